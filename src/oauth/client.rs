//! The OAuth 2.0 client: what is sent to authorization servers. The only file that names `oauth2`; tokens
//! leave their wrapper here, in the store and in `outbound::auth`, nowhere else.

use super::{
    answer::{Extra, TokenTrouble, judge, read},
    device,
    http::{self, Http},
    id_token, jwt, nonce,
    tokens::Clock,
};
use crate::account::{Client, ClientProof, Grant, OAuthLogin, ServiceAccount, SignInWay};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
    },
};
use reqwest::{Method, header};
use ring::rand::SystemRandom;
use secrecy::{ExposeSecret, SecretString};
use std::{borrow::Cow, future::Future, pin::Pin, sync::Arc, time::Duration};
use url::{Url, form_urlencoded};

/// `client_assertion_type` of RFC 7523 §2.2.
const JWT_BEARER_CLIENT: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// `grant_type` of RFC 7523 §2.1.
const JWT_BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// `grant_type` of RFC 8628 §3.4.
const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What a token endpoint gave (RFC 6749 §5.1).
#[derive(Debug, Clone)]
pub(super) struct Granted {
    pub(super) access_token: SecretString,
    pub(super) expires_in: Option<Duration>,
    pub(super) refresh_token: Option<SecretString>,
    /// The refresh token's own life.
    pub(super) refresh_token_expires_in: Option<Duration>,
    /// Who signed in, where the provider says.
    pub(super) signed_in: Vec<String>,
}

/// A consent request on its way: where to send the browser, and what only we know of it.
#[derive(Debug)]
pub(super) struct Consent {
    pub(super) url: Url,
    /// The PKCE verifier (RFC 7636 §4.1).
    pub(super) verifier: SecretString,
}

/// Asks token endpoints.
pub(super) struct TokenClient {
    http: Http,
    /// Assertions are made at a time.
    clock: Clock,
}

impl oauth2::ExtraTokenFields for Extra {}

type Answered = StandardTokenResponse<Extra, BasicTokenType>;
type Configured = oauth2::Client<
    BasicErrorResponse,
    Answered,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

fn configured(login: &OAuthLogin, client: &Client) -> Configured {
    let configured = oauth2::Client::new(ClientId::new(client.id.clone()))
        .set_token_uri(TokenUrl::from_url(login.token_endpoint.clone()))
        // Every provider takes the secret in the body; not every one takes it in a header.
        .set_auth_type(AuthType::RequestBody);
    match &client.proof {
        ClientProof::Secret { secret, .. } => {
            configured.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
        }
        ClientProof::Nothing | ClientProof::Certificate(_) => configured,
    }
}

fn scopes(scope: &str) -> impl Iterator<Item = Scope> + '_ {
    scope.split_ascii_whitespace().map(|scope| Scope::new(scope.to_owned()))
}

/// The provider's page for this account: code flow, PKCE S256 (RFC 7636), the given one-time state. `None` for an
/// account whose tokens come in another way.
pub(super) fn consent(login: &OAuthLogin, redirect: &Url, state: &str) -> Option<Consent> {
    let Grant::SignIn(client, sign_in) = &login.grant else { return None };
    let SignInWay::Browser { endpoint, parameters, .. } = &sign_in.way else { return None };
    let client = configured(login, client)
        .set_auth_uri(AuthUrl::from_url(endpoint.clone()))
        .set_redirect_uri(RedirectUrl::from_url(redirect.clone()));
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let mut request = client
        .authorize_url(|| CsrfToken::new(state.to_owned()))
        .add_scopes(scopes(&login.scope))
        .set_pkce_challenge(challenge);
    for (name, value) in parameters {
        request = request.add_extra_param(*name, value.as_str());
    }
    Some(Consent { url: request.url().0, verifier: verifier.into_secret().into() })
}

/// Whether two secrets are the same.
pub(super) fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

impl TokenClient {
    pub(super) fn new(clock: Clock) -> Self {
        Self { http: Http::default(), clock }
    }

    /// Refreshes (RFC 6749 §6). `with_scope`: name the scopes again, for servers that serve several resources.
    pub(super) async fn refresh(
        &self,
        login: &OAuthLogin,
        client: &Client,
        token: &SecretString,
        with_scope: bool,
    ) -> Result<Granted, TokenTrouble> {
        let configured = configured(login, client);
        let refresh_token = RefreshToken::new(token.expose_secret().to_owned());
        let assertion = self.assertion(login, client)?;
        let mut request = configured.exchange_refresh_token(&refresh_token);
        if with_scope {
            request = request.add_scopes(scopes(&login.scope));
        }
        for (name, value) in client_assertion(assertion.as_ref()) {
            request = request.add_extra_param(name, value);
        }
        let transport = self.transport(login, client, [Some(token), assertion.as_ref()])?;
        granted(request.request_async(&transport).await)
    }

    /// Asks in the client's own name (RFC 6749 §4.4.2).
    pub(super) async fn client_credentials(
        &self,
        login: &OAuthLogin,
        client: &Client,
    ) -> Result<Granted, TokenTrouble> {
        let configured = configured(login, client);
        let assertion = self.assertion(login, client)?;
        let mut request = configured.exchange_client_credentials().add_scopes(scopes(&login.scope));
        for (name, value) in client_assertion(assertion.as_ref()) {
            request = request.add_extra_param(name, value);
        }
        let transport = self.transport(login, client, [assertion.as_ref()])?;
        granted(request.request_async(&transport).await)
    }

    /// Exchanges an authorization code (RFC 6749 §4.1.3).
    pub(super) async fn exchange(
        &self,
        login: &OAuthLogin,
        client: &Client,
        code: &SecretString,
        verifier: &SecretString,
        redirect: &Url,
    ) -> Result<Granted, TokenTrouble> {
        let configured = configured(login, client);
        let assertion = self.assertion(login, client)?;
        let mut request = configured
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()))
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(redirect.clone())));
        for (name, value) in client_assertion(assertion.as_ref()) {
            request = request.add_extra_param(name, value);
        }
        let transport = self.transport(login, client, [Some(code), Some(verifier), assertion.as_ref()])?;
        granted(request.request_async(&transport).await)
    }

    /// Asks as a service account that speaks for the mailbox that logs in (RFC 7523 §2.1).
    pub(super) async fn service_account(
        &self,
        login: &OAuthLogin,
        account: &ServiceAccount,
    ) -> Result<Granted, TokenTrouble> {
        let audience = login.token_endpoint.as_str();
        let assertion = self.made(|making| {
            jwt::of_service_account(account, &login.username, &login.scope, audience, making)
        })?;
        let form = [("grant_type", JWT_BEARER_GRANT), ("assertion", assertion.expose_secret())];
        let answer = self.post(&login.token_endpoint, &form).await?;
        let retry_after = answer.retry_after.as_deref();
        let body =
            judge(answer.status, retry_after, &answer.body, "access_token", &[assertion.expose_secret()])?;
        granted_by(&body)
    }

    /// Asks for a device code (RFC 8628 §3.1); a good answer is given as it came.
    pub(super) async fn device_code(
        &self,
        login: &OAuthLogin,
        client: &Client,
        endpoint: &Url,
    ) -> Result<Vec<u8>, TokenTrouble> {
        let answer = self.ask(login, client, endpoint, &[("scope", &login.scope)]).await?;
        judge(answer.status, answer.retry_after.as_deref(), &answer.body, "device_code", &[])
    }

    /// Asks whether somebody has agreed by now (RFC 8628 §3.4).
    pub(super) async fn device_token(
        &self,
        login: &OAuthLogin,
        client: &Client,
        device_code: &SecretString,
    ) -> device::Poll {
        let device_code = device_code.expose_secret();
        let form = [("grant_type", DEVICE_CODE_GRANT), ("device_code", device_code)];
        match self.ask(login, client, &login.token_endpoint, &form).await {
            Ok(answer) => {
                device::judged(answer.status, answer.retry_after.as_deref(), &answer.body, device_code)
            }
            Err(trouble) => device::Poll::Trouble(trouble),
        }
    }

    /// Asks any endpoint as this client, with more parameters, and gives its answer unjudged.
    async fn ask(
        &self,
        login: &OAuthLogin,
        client: &Client,
        endpoint: &Url,
        parameters: &[(&str, &str)],
    ) -> Result<http::Answer, TokenTrouble> {
        let assertion = self.assertion(login, client)?;
        let mut form = vec![("client_id", client.id.as_str())];
        if let ClientProof::Secret { secret, .. } = &client.proof {
            form.push(("client_secret", secret.expose_secret()));
        }
        form.extend(client_assertion(assertion.as_ref()));
        form.extend_from_slice(parameters);
        self.post(endpoint, &form).await
    }

    async fn post(&self, endpoint: &Url, form: &[(&str, &str)]) -> Result<http::Answer, TokenTrouble> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = reqwest::Request::new(Method::POST, endpoint.clone());
        let headers = request.headers_mut();
        let form = header::HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.into());
        http::send(&*self.http.client(endpoint)?, request).await
    }

    /// The client's assertion, where it is known by a certificate.
    fn assertion(&self, login: &OAuthLogin, client: &Client) -> Result<Option<SecretString>, TokenTrouble> {
        let ClientProof::Certificate(certificate) = &client.proof else { return Ok(None) };
        let audience = login.token_endpoint.as_str();
        self.made(|making| jwt::of_client(certificate, &client.id, audience, making)).map(Some)
    }

    fn made(
        &self,
        make: impl FnOnce(&jwt::Making<'_>) -> Option<SecretString>,
    ) -> Result<SecretString, TokenTrouble> {
        let trouble = || TokenTrouble::unavailable("the system gives no randomness");
        let name = nonce().ok_or_else(trouble)?;
        let making = jwt::Making { now: (self.clock)(), name: &name, random: &SystemRandom::new() };
        make(&making).ok_or_else(trouble)
    }

    fn transport<const N: usize>(
        &self,
        login: &OAuthLogin,
        client: &Client,
        secrets: [Option<&SecretString>; N],
    ) -> Result<Transport, TokenTrouble> {
        let own = match &client.proof {
            ClientProof::Secret { secret, .. } => Some(secret),
            ClientProof::Nothing | ClientProof::Certificate(_) => None,
        };
        let secrets = secrets.into_iter().flatten().chain(own).cloned().collect();
        Ok(Transport { client: self.http.client(&login.token_endpoint)?, secrets })
    }
}

fn client_assertion(assertion: Option<&SecretString>) -> impl Iterator<Item = (&str, &str)> {
    assertion.into_iter().flat_map(|assertion| {
        [("client_assertion_type", JWT_BEARER_CLIENT), ("client_assertion", assertion.expose_secret())]
    })
}

/// Carries one request and judges its answer, so that `oauth2` only ever sees good ones.
struct Transport {
    client: Arc<reqwest::Client>,
    /// What must not come back in an error.
    secrets: Vec<SecretString>,
}

impl<'c> AsyncHttpClient<'c> for Transport {
    type Error = TokenTrouble;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, TokenTrouble>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request)
                .map_err(|_| TokenTrouble::unavailable("the token request cannot be made"))?;
            let answer = http::send(&self.client, request).await?;
            let secrets: Vec<_> = self.secrets.iter().map(ExposeSecret::expose_secret).collect();
            let retry_after = answer.retry_after.as_deref();
            judge(answer.status, retry_after, &answer.body, "access_token", &secrets).map(HttpResponse::new)
        })
    }
}

type Asked = Result<Answered, RequestTokenError<TokenTrouble, BasicErrorResponse>>;

fn granted(asked: Asked) -> Result<Granted, TokenTrouble> {
    match asked {
        Ok(answer) => Ok(taken(&answer)),
        Err(RequestTokenError::Request(trouble)) => Err(trouble),
        // The other errors may quote the body.
        Err(_) => Err(nonsense()),
    }
}

/// What a judged answer grants.
pub(super) fn granted_by(body: &[u8]) -> Result<Granted, TokenTrouble> {
    read::<Answered>(body).map(|answer| taken(&answer)).ok_or_else(nonsense)
}

fn nonsense() -> TokenTrouble {
    TokenTrouble::unavailable("the token endpoint's answer makes no sense")
}

fn taken(answer: &Answered) -> Granted {
    let extra = answer.extra_fields();
    Granted {
        access_token: answer.access_token().secret().clone().into(),
        expires_in: answer.expires_in(),
        refresh_token: answer.refresh_token().map(|token| token.secret().clone().into()),
        refresh_token_expires_in: extra.refresh_token_expires_in.map(Duration::from_secs),
        signed_in: extra.id_token.as_deref().map(id_token::names).unwrap_or_default(),
    }
}
