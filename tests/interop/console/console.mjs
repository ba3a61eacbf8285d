// The browser's half of console.py: it is told what there is in TASK, and says each check as a line of JSON.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const task = JSON.parse(process.env.TASK);
const require = createRequire(process.env.MODULES + "/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

function say(name, ok, note = "") {
  console.log(JSON.stringify({ name, ok: Boolean(ok), note: String(note) }));
}

async function check(name, work) {
  try {
    say(name, true, (await work()) ?? "");
  } catch (problem) {
    say(name, false, String(problem).split("\n").slice(0, 6).join(" / "));
  }
}

function ensure(holds, sentence) {
  if (!holds) throw new Error(sentence);
}

const browser = await chromium.launch({ executablePath: task.browser, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
const page = await context.newPage();
const complaints = [];
page.on("console", (message) => {
  const ours = message.location().url.startsWith(task.base);
  if (message.type() === "error" && ours) complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(String(error)));

const text = async () => (await page.locator("main").innerText()).replaceAll("\u00a0", " ");
const field = (key) => page.locator(`#f-${key}, input[name="${key}"]`).first();

async function fill(fields) {
  for (const [key, value] of Object.entries(fields)) await field(key).fill(value);
}

await check("without a login there is a login page and nothing else", async () => {
  const answer = await page.goto(task.base + "/accounts");
  ensure(answer.status() === 401, `status ${answer.status()}`);
  ensure(!(await page.content()).includes("fabrikam"), "an account is shown");
});

await check("a link of admin-url logs in, once", async () => {
  await page.goto(task.links[0]);
  ensure((await page.title()).startsWith("Overview"), await page.title());
  const again = await context.request.get(task.links[0]);
  ensure(again.status() === 403, `the second time: ${again.status()}`);
});

await check("a new Microsoft account: the mistakes are said at their fields", async () => {
  await page.goto(task.base + "/accounts");
  await page.getByRole("link", { name: "Microsoft OAuth 2.0 (SMTP)" }).click();
  await fill({ id: "contoso", name: "Contoso support", description: "Tickets of Contoso", domains: "contoso.example" });
  await page.getByText("Settable all the same").click();
  await fill({ address: task.address, port: "none", rate_limit: "often", username: task.username });
  await page.getByRole("button", { name: "Save", exact: true }).click();
  ensure(/"none" is no whole number/.test(await text()), await text());
  ensure((await field("port").getAttribute("aria-invalid")) === "true", "the field is not marked");
  await fill({ port: String(task.port) });
  await page.getByRole("button", { name: "Save", exact: true }).click();
  const said = await text();
  for (const key of ["client_id", "rate_limit"]) {
    const mark = await field(key).getAttribute("aria-invalid");
    const whole = await page.locator(".flash.bad").allInnerTexts();
    ensure(mark === "true" || whole.join(" ").includes(key), `nothing is said of ${key}: ${said}`);
  }
  await shoot("mistakes");
});

await check("and saved, it is there, and needs authorization", async () => {
  await fill({
    rate_limit: "", client_id: "sandbox-client", client_secret: task.secret, ca_file: task.ca, tenant: "contoso.example",
    authorization_endpoint: task.authorization, token_endpoint: task.token, scope: "mail offline_access",
  });
  await page.getByRole("button", { name: "Save", exact: true }).click();
  ensure((await text()).includes("The account contoso is saved and in force."), await text());
  ensure((await page.locator(".state").first().innerText()) === "needs authorization", "state");
  ensure(!(await page.content()).includes(task.secret), "the secret is in the page");
});

await check("Generate Tokens goes to the provider's page, and back to ready", async () => {
  await page.getByRole("button", { name: "Generate Tokens", exact: true }).click();
  await page.waitForURL(/authorize/);
  await page.locator("#approve").click();
  await page.waitForURL(/accounts\/contoso/);
  const said = await text();
  ensure(said.includes("The account contoso is authorized."), said);
  ensure((await page.locator(".state").first().innerText()) === "ready", said);
});

await check("a test message goes, and is in the trace", async () => {
  await page.locator("#to").fill("proof@example.org");
  await page.getByRole("button", { name: "Test", exact: true }).click();
  const said = await text();
  ensure(said.includes("sent to proof@example.org") && said.includes("MAIL FROM"), said);
  await shoot("test");
  await page.goto(task.base + "/trace?q=proof@example.org");
  const traced = await text();
  ensure(/received/.test(traced) && /delivered/.test(traced) && /250/.test(traced), traced);
  return said.match(/sent to[^\n]*/)?.[0];
});

await check("what printers sent is in the trace, to the provider's reply", async () => {
  await page.goto(task.base + "/trace");
  await page.locator("#q").fill("someone3@example.org");
  await page.getByRole("button", { name: "Trace" }).click();
  const said = await text();
  ensure(/delivered/.test(said) && /250/.test(said) && said.includes("scanner@fabrikam.example"), said);
});

await check("a message is held, released and removed, and asked about first", async () => {
  await page.goto(task.base + "/queue?account=erp");
  await page.locator('input[name="id"]').first().check();
  await page.getByRole("button", { name: "Hold" }).click();
  ensure((await text()).includes("Messages held: 1."), await text());
  await page.goto(task.base + "/queue?account=erp");
  await page.locator("tbody a").first().click();
  await page.getByRole("button", { name: "Release" }).click();
  ensure((await text()).includes("Messages released: 1."), await text());
  await page.getByRole("button", { name: "Remove" }).click();
  ensure((await text()).includes("taken out of the queue for good"), await text());
  await page.getByRole("link", { name: "Keep" }).click();
});

await check("the log goes on by itself", async () => {
  await page.goto(task.base + "/log");
  const before = (await page.locator("#log").innerText()).length;
  await context.request.post(task.base + "/reload", { form: { csrf: await csrf() }, headers: { Origin: task.base } });
  await page.waitForFunction((length) => document.querySelector("#log").innerText.length > length, before, { timeout: 8000 });
});

async function csrf() {
  const other = await context.newPage();
  await other.goto(task.base + "/accounts/new?type=basic");
  const word = await other.locator('input[name="csrf"]').first().inputValue();
  await other.close();
  return word;
}

await check("forged forms and other hosts are refused", async () => {
  const good = await csrf();
  const post = (form, headers) => context.request.post(task.base + "/reload", { form, headers, maxRedirects: 0 });
  const seen = [
    (await post({ csrf: "guessed" }, { Origin: task.base })).status(),
    (await post({}, { Origin: task.base })).status(),
    (await post({ csrf: good }, { Origin: "http://evil.example" })).status(),
    (await post({ csrf: good }, { Origin: task.base, Host: "evil.example" })).status(),
    (await post({ csrf: good }, { Origin: task.base, Cookie: "waxseal=none" })).status(),
  ];
  ensure(seen.join() === "403,403,403,421,401", seen.join());
  // A page of another site that sends a form here, as an attacker's would.
  const attacker = await context.newPage();
  await attacker.goto("data:text/html," + encodeURIComponent(
    `<form method=post action="${task.base}/accounts/contoso/forget"><input name=csrf value=${good}><input name=sure value=yes></form><script>document.forms[0].submit()</script>`));
  await attacker.waitForURL(/forget/, { timeout: 8000 });
  // The browser leaves the cookie at home: SameSite.
  ensure((await attacker.title()).startsWith("Log in"), await attacker.content());
  await attacker.close();
  await page.goto(task.base + "/accounts/contoso");
  ensure((await page.locator(".state").first().innerText()) === "ready", "the tokens are gone");
  return seen.join();
});

await check("by keyboard alone: the first stop is the way to the content, and every field has a visible focus", async () => {
  await page.goto(task.base + "/accounts/contoso");
  await page.keyboard.press("Tab");
  ensure((await page.evaluate(() => document.activeElement.textContent)) === "To the content", "the first stop");
  await page.keyboard.press("Enter");
  ensure(await page.evaluate(() => document.activeElement.id === "content"), "it does not lead there");
  let seen = 0;
  for (let stops = 0; stops < 60; stops += 1) {
    await page.keyboard.press("Tab");
    const outline = await page.evaluate(() => {
      const at = document.activeElement;
      if (!at || at === document.body) return null;
      return getComputedStyle(at).outlineStyle;
    });
    if (outline === null) break;
    ensure(outline !== "none", `no focus is shown at stop ${stops}`);
    seen += 1;
  }
  ensure(seen > 15, `${seen} stops`);
  return `${seen} stops`;
});

await check("without JavaScript it works all the same", async () => {
  const bare = await browser.newContext({ javaScriptEnabled: false, storageState: await context.storageState() });
  const plain = await bare.newPage();
  await plain.goto(task.base + "/accounts/contoso");
  await plain.locator("#f-description").fill("Changed without a script");
  await plain.getByRole("button", { name: "Save", exact: true }).click();
  ensure((await plain.locator("main").innerText()).includes("saved and in force"), "not saved");
  await bare.close();
});

// Each page in both themes and both widths, looked at by axe.
const PAGES = {
  overview: "/", accounts: "/accounts", account: "/accounts/contoso", "new-microsoft": "/accounts/new?type=microsoft",
  "new-basic": "/accounts/new?type=basic", queue: "/queue", message: null, trace: "/trace?q=*@fabrikam.example",
  log: "/log", forecasts: "/forecasts", login: "/login",
};

async function shoot(name) {
  await page.screenshot({ path: `${task.images}/${name}.png` });
}

// As much of a page as fits on two screens.
async function picture(name, width) {
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  const clip = { x: 0, y: 0, width, height: Math.min(height, 1600) };
  await page.screenshot({ path: `${task.images}/${name}.png`, fullPage: true, clip });
}

await page.goto(task.base + "/queue");
PAGES.message = await page.locator('tbody a[href^="/queue/"]').first().getAttribute("href");
for (const theme of ["light", "dark"]) {
  for (const width of [1920, 360]) {
    await page.emulateMedia({ colorScheme: theme });
    await page.setViewportSize({ width, height: width === 360 ? 780 : 1080 });
    for (const [name, path] of Object.entries(PAGES)) {
      await check(`${name}, ${theme}, ${width} px`, async () => {
        await page.goto(task.base + path);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        ensure(over <= 0, `the page is ${over} px too wide`);
        const found = await browser.contexts()[0].pages()[0].evaluate(axe + "; null").then(() =>
          page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] })));
        const bad = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
        await picture(`${name}-${theme}-${width}`, width);
        ensure(bad.length === 0, bad.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(" ")}`).join("; "));
        const light = found.violations.map((violation) => violation.id);
        return light.length ? `minor: ${light.join()}` : "";
      });
    }
  }
}

await check("no page made the browser complain", async () => {
  // The refusals that were provoked are told of by the browser, too.
  const rest = complaints.filter((line) => !/status of (401|403|421|422)/.test(line));
  ensure(rest.length === 0, rest.join(" / "));
});

await browser.close();
