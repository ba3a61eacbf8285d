// Two authorization servers and a mail server that none of us wrote: oauth2-mock-server, oidc-provider, and nodemailer's
// smtp-server with STARTTLS and with TLS from the first octet. Reads its settings as JSON from the first line of standard
// input, prints its addresses as one line of JSON, then a line a message that it took.
import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { OAuth2Server } from "oauth2-mock-server";
import { errors, Provider } from "oidc-provider";
import { decodeJwt, jwtVerify } from "jose";
import { SMTPServer } from "smtp-server";

const lines = createInterface({ input: process.stdin });
const settings = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);
const { user, password, secret, callback, key } = settings;
// Standard output is for what is said below.
console.info = console.warn = console.error;
const say = (value) => console.log(JSON.stringify(value));

// The access tokens that the mock server has given out; it keeps none itself.
const given = new Set();
const mock = new OAuth2Server();
await mock.issuer.keys.generate("RS256");
mock.service.on("beforeResponse", (answer) => given.add(answer.body.access_token));
await mock.start(0, "127.0.0.1");
const mockUrl = `http://127.0.0.1:${mock.address().port}`;

const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code";
const publicKey = createPublicKey(createPrivateKey(readFileSync(key)));
const common = {
  grant_types: ["authorization_code", "refresh_token", "client_credentials", DEVICE_CODE, JWT_BEARER],
  redirect_uris: [callback],
  response_types: ["code"],
  scope: "openid email offline_access mail",
};
const oidc = new Provider("http://127.0.0.1:0", {
  clients: [
    { ...common, client_id: "known-by-secret", client_secret: secret, token_endpoint_auth_method: "client_secret_post" },
    {
      ...common,
      client_id: "known-by-key",
      token_endpoint_auth_method: "private_key_jwt",
      jwks: { keys: [publicKey.export({ format: "jwk" })] },
    },
    // Google's service accounts are clients of their own.
    { ...common, client_id: "robot@project.example", token_endpoint_auth_method: "none", grant_types: [JWT_BEARER],
      redirect_uris: [], response_types: [] },
  ],
  scopes: ["openid", "email", "offline_access", "mail"],
  claims: { openid: ["sub"], email: ["email"] },
  conformIdTokenClaims: false,
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true },
  },
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, email: id }) }),
  ttl: { AccessToken: 3600, ClientCredentials: 3600 },
});
// RFC 7523 §2.1 is not among its grants. The request's way through the server is its own; what makes an assertion good is
// jose's to say.
oidc.registerGrantType(JWT_BEARER, async (context, next) => {
  const { assertion } = context.oidc.params;
  const { payload } = await jwtVerify(assertion, publicKey, {
    audience: context.oidc.urlFor("token"), algorithms: ["RS256"], requiredClaims: ["iss", "sub", "iat", "exp", "jti"],
  }).catch(() => { throw new errors.InvalidGrant("the assertion is not good"); });
  const token = new oidc.ClientCredentials({ client: context.oidc.client, scope: payload.scope });
  context.body = {
    access_token: await token.save(), expires_in: token.expiration, token_type: "Bearer", scope: payload.scope,
  };
  await next();
}, ["assertion"], []);
// Google's request names no client, for the assertion's issuer is it; this server wants it named.
oidc.use(async (context, next) => {
  if (context.path === "/token" && context.method === "POST") {
    let text = "";
    for await (const chunk of context.req) text += chunk;
    const form = Object.fromEntries(new URLSearchParams(text));
    if (form.grant_type === JWT_BEARER) form.client_id ??= decodeJwt(form.assertion).iss;
    context.req.body = form;
  }
  await next();
});
const http = oidc.listen(0, "127.0.0.1");
await new Promise((listening) => http.once("listening", listening));
const oidcUrl = `http://127.0.0.1:${http.address().port}`;

const live = async (token) => given.has(token) || Boolean(await oidc.AccessToken.find(token))
  || Boolean(await oidc.ClientCredentials.find(token));
const smtp = (secure) => new SMTPServer({
  secure,
  cert: readFileSync(settings.certificate),
  key: readFileSync(settings.private_key),
  authMethods: ["XOAUTH2", "PLAIN", "LOGIN", "CRAM-MD5"],
  allowInsecureAuth: false,
  logger: false,
  async onAuth(login, session, done) {
    const good = login.username === user && (login.method === "XOAUTH2"
      ? await live(login.accessToken)
      : login.method === "CRAM-MD5" ? login.validatePassword(password) : login.password === password);
    session.method = login.method;
    if (good) return done(null, { user: login.username });
    return login.method === "XOAUTH2"
      ? done(null, { data: { status: "401", schemes: "bearer", scope: "mail" } })
      : done(new Error("no such login"));
  },
  onData(stream, session, done) {
    const octets = [];
    stream.on("data", (chunk) => octets.push(chunk));
    stream.on("end", () => {
      const { envelope: { mailFrom, rcptTo }, method, secure: tls, user: who } = session;
      say({ from: mailFrom.address, to: rcptTo.map(({ address }) => address), method, tls, user: who,
        octets: Buffer.concat(octets).toString("base64") });
      done(null);
    });
  },
});
const ports = {};
for (const [name, secure] of [["starttls", false], ["tls", true]]) {
  const server = smtp(secure);
  server.on("error", () => {});
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  ports[name] = server.server.address().port;
}
say({ mock: mockUrl, oidc: oidcUrl, ports });
lines.on("close", () => process.exit(0));
