// Starts a local stack, takes the golden path, then follows the links in mails of invoices with Chromium. `run` tells the rest.

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const { join } = require("node:path");
const { parseArgs } = require("node:util");
const axe = require("axe-core");
const { chromium } = require("playwright-core");
const golden = require("./path.cjs");
const passkeys = require("./passkeys.cjs");

const PATIENCE_MS = 900_000;
// In a minute each schedule has run.
const STEP_MS = 60_000;
const PASSWORD = "correct horse battery staple";
const LANGUAGES = ["en", "de", "fr", "es", "pt", "hi"];
const LOOKS = ["light", "dark"].flatMap((scheme) => [390, 1280].map((width) => ({ scheme, width })));

const problems = [];

/** Notes what is not as it should be. */
function wants(so, what) {
  if (!so) {
    problems.push(what);
    console.log(`  not so: ${what}`);
  }
}

/** The API of the stack, as one person calls it. */
class Api {
  constructor(url) {
    this.url = url;
    this.headers = {};
  }

  async call(method, where, body, headers = this.headers) {
    const sent = { ...headers, "content-type": "application/json" };
    const reply = await fetch(this.url + where, { method, headers: sent, body: body && JSON.stringify(body) });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${method} ${where}: ${reply.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** Becomes the owner, again when time was moved: a token is good for minutes. */
  async login() {
    const { accessToken } = await this.call("POST", "/v1/auth/login", this.owner, {});
    this.headers.authorization = `Bearer ${accessToken}`;
  }

  /** Asks until there is an answer; else says what went wrong last. */
  async until(what, attempt, patience = STEP_MS) {
    const end = Date.now() + patience;
    let failure = "";
    while (Date.now() < end) {
      const found = await attempt().catch((error) => {
        failure = `: ${error.message}`;
      });
      if (found) return found;
      await new Promise((done) => setTimeout(done, 200));
    }
    throw new Error(`${what} did not come${failure}`);
  }
}

/** An organization that looks like one, whose owner calls the API. */
async function organization(api) {
  api.owner = { email: `owner-${Date.now()}@example.com`, password: PASSWORD };
  await api.call("POST", "/v1/auth/register", { ...api.owner, name: "Ada Lovelace" });
  await api.login();
  const org = await api.call("POST", "/v1/orgs", { name: "Analytical Engines" });
  api.headers["x-org-id"] = org.id;
  await api.call("PATCH", `/v1/orgs/${org.id}`, {
    color: "#0f766e",
    taxId: "DE123456789",
    taxRate: 19,
    address: { line1: "Invalidenstr. 42", postalCode: "10115", city: "Berlin", country: "DE" },
  });
}

/** Sends an invoice to a new client of that language; the link in its mail, and its id. */
async function sent(api, language, name, rest = {}) {
  const email = `${language}-${Date.now()}-${Math.random().toString(36).slice(2)}@client.example`;
  const { now } = await api.call("GET", "/_local/clock");
  const client = await api.call("POST", "/v1/clients", { name, email, language, currency: "EUR", phone: "+4930123456", ...rest });
  const invoice = await api.call("POST", "/v1/invoices", {
    clientId: client.id,
    currency: "EUR",
    dueDate: new Date(Date.parse(now) + 14 * 86_400_000).toISOString().slice(0, 10),
    notes: "Thank you for working with us.\nשלום",
    lineItems: [
      { description: "Consulting, on site", quantity: "12.5", unitPrice: 12_000 },
      { description: "Books <b>&amp;</b> maps", quantity: 3, unitPrice: "2999.5", taxRate: 7 },
    ],
  });
  await api.call("POST", `/v1/invoices/${invoice.id}/send`);
  const mail = await api.until("the mail", async () => (await api.call("GET", `/_local/emails?to=${email}`)).data[0]);
  wants(mail.attachments?.[0]?.contentType === "application/pdf", "the invoice goes with its mail");
  const link = mail.text.match(/https?:\/\/\S+\/pay\/\S+/)[0];
  return { id: invoice.id, link };
}

/** Opens pages, and notes what the browser says of them. */
async function context(browser, options) {
  const opened = await browser.newContext(options);
  opened.setDefaultTimeout(STEP_MS);
  opened.on("page", (page) => {
    page.on("pageerror", (error) => wants(false, `an error of the page: ${error}`));
    page.on("console", (said) => {
      const isMissing = said.text().includes("404");
      if (said.type() === "error" && !isMissing && page.url().includes("/pay/")) wants(false, `the browser says: ${said.text()}`);
    });
  });
  return opened;
}

/** Has axe look at a page in every look, and keeps pictures. */
async function judge(browser, link, name, pictures) {
  for (const { scheme, width } of LOOKS) {
    const look = await context(browser, { colorScheme: scheme, viewport: { width, height: 900 } });
    const page = await look.newPage();
    await page.goto(link);
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, nodes } of violations) {
      wants(false, `${name}, ${scheme}, ${width}: ${id}: ${nodes.map((node) => node.html).join(" ")}`);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
    wants(!wide, `${name} fits ${width} px`);
    if (pictures) await page.screenshot({ path: join(pictures, `${name}-${scheme}-${width}.png`), fullPage: true });
    await look.close();
  }
}

/** Pays an invoice by hand, in a browser without scripts, up to what the page says in the end. */
async function pay(browser, link, button, expected) {
  const plain = await context(browser, { javaScriptEnabled: false, viewport: { width: 390, height: 900 } });
  const page = await plain.newPage();
  await page.goto(link);
  await page.click("button[name=provider][value=stripe]");
  await page.waitForURL((url) => !url.pathname.startsWith("/pay/"));
  await page.click(button);
  await page.waitForURL((url) => url.pathname.startsWith("/pay/"));
  await page.getByText(expected).first().waitFor();
  const back = page.url();
  await plain.close();
  return back;
}

/** Takes the golden path, in a browser without scripts. */
async function path(api, browser, local, pictures) {
  const plain = await context(browser, { javaScriptEnabled: false, viewport: { width: 390, height: 900 } });
  const page = await plain.newPage();
  const picture = async (name) => pictures && page.screenshot({ path: join(pictures, `golden-${name}.png`), fullPage: true });
  await golden({ api, local, page, picture });
  await plain.close();
}

/** Logs in by passkeys. */
async function devices(api, browser) {
  const opened = await context(browser, {});
  await passkeys({ api, page: await opened.newPage(), password: PASSWORD });
  await opened.close();
}

/** Everything that is to be seen. */
async function look(api, browser, pictures) {
  for (const language of LANGUAGES) {
    const { link } = await sent(api, language, language === "en" ? "شركة المثال <i>&</i> Söhne" : "Difference GmbH");
    console.log(`the page in ${language}`);
    await judge(browser, link, `open-${language}`, pictures);
  }
  const paid = await sent(api, "en", "Difference GmbH");
  console.log("paying");
  const back = await pay(browser, paid.link, "button[value=pay]", "This invoice is paid. Thank you.");
  await judge(browser, back, "paid", pictures);
  const invoice = await api.call("GET", `/v1/invoices/${paid.id}`);
  wants(invoice.status === "paid", "an invoice that was paid in a browser is paid");
  console.log("what fails, and what takes long");
  const failed = await sent(api, "de", "Difference GmbH");
  await judge(browser, await pay(browser, failed.link, "button[value=cancel]", "Von Ihrer Zahlung wissen wir noch nichts"), "left", pictures);
  const slow = await sent(api, "en", "Difference GmbH");
  await judge(browser, await pay(browser, slow.link, "button[value=delay]", "Your payment is on its way."), "processing", pictures);
  const cancelled = await sent(api, "en", "Difference GmbH");
  await api.call("POST", `/v1/invoices/${cancelled.id}/cancel`);
  await judge(browser, cancelled.link, "cancelled", pictures);
  await judge(browser, `${api.url}/pay/nowhere`, "absent", pictures);
}

async function main() {
  const { values } = parseArgs({
    options: {
      local: { type: "string" },
      port: { type: "string", default: "3200" },
      pictures: { type: "string" },
      quick: { type: "boolean" },
    },
  });
  if (values.pictures) fs.mkdirSync(values.pictures, { recursive: true });
  const folder = fs.mkdtempSync(join(os.tmpdir(), "golden-"));
  const log = fs.openSync(join(folder, "stack.log"), "w");
  const up = ["up", "--port", values.port, "--data", join(folder, "data"), "--parameter", "RateLimitPerVisitor=6000"];
  const stack = spawn(values.local, up, { stdio: ["ignore", log, log] });
  const stop = new Promise((done) => stack.on("exit", done));
  process.on("SIGTERM", () => stack.kill());
  let browser;
  try {
    const api = new Api(`http://127.0.0.1:${values.port}`);
    await api.until("the stack", async () => (stack.exitCode === null ? api.call("GET", "/ready") : true), PATIENCE_MS);
    if (stack.exitCode !== null) throw new Error(`the stack ended with ${stack.exitCode}`);
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-dev-shm-usage"],
    });
    await organization(api);
    await path(api, browser, values.local, values.pictures);
    await devices(api, browser);
    if (!values.quick) await look(api, browser, values.pictures);
  } catch (error) {
    problems.push(String(error?.stack ?? error));
    const lines = fs.readFileSync(join(folder, "stack.log"), "utf8").split("\n");
    console.log(lines.slice(-30).map((line) => line.slice(0, 400)).join("\n"));
  } finally {
    await browser?.close();
    stack.kill();
    await stop;
    fs.rmSync(folder, { recursive: true, force: true });
  }
  if (problems.length > 0) {
    console.error(`failed:\n${problems.join("\n")}`);
    process.exit(1);
  }
  console.log("everything is as it should be");
}

main();
