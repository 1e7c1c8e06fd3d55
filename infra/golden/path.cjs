// The golden path: from nobody to an invoice that is paid in a browser. Each step asks for exactly what must come out.

const assert = require("node:assert/strict");
const { execFile } = require("node:child_process");
const path = require("node:path");
const { promisify } = require("node:util");

const LOG = path.join(__dirname, "../local/sample/access.log");
const SENT = 2000;
const USED = 10;
const INCLUDED = 100_000;
const MONTH_S = 32 * 86_400;

/** Every mail to somebody, the oldest first. */
async function mails(api, to) {
  return (await api.call("GET", `/_local/emails?to=${to}`)).data;
}

/** Moves the time that functions see. */
function advance(api, seconds) {
  return api.call("POST", "/_local/clock", { advanceSeconds: seconds });
}

/** Makes a project with a key, and sends the log; each event is seen, and paid for once. */
async function ingest(api, local) {
  const project = await api.call("POST", "/v1/projects", { name: "Shop", environment: "prod" });
  const { key } = await api.call("POST", `/v1/projects/${project.id}/api-keys`, { label: "server" });
  const replay = ["replay", LOG, "--url", api.url, "--api-key", key];
  const { stdout } = await promisify(execFile)(local, replay);
  assert.deepEqual(JSON.parse(stdout), { sent: SENT, accepted: SENT, rejected: 0 });
  const overview = await api.until("the events", async () => {
    const seen = await api.call("GET", `/v1/metrics/overview?projectId=${project.id}`);
    return seen.events >= SENT && seen;
  });
  assert.equal(overview.events, SENT);
  const wallet = await api.until("the debits", async () => {
    const seen = await api.call("GET", "/v1/wallet");
    return seen.spent >= SENT && seen;
  });
  assert.deepEqual([wallet.spent, wallet.balance + wallet.leased], [SENT, INCLUDED - SENT]);
  return { project: project.id, key, errors: overview.errors };
}

/** An alert fires within a minute, and is mailed once. */
async function alert(api, { project, errors }) {
  const target = "oncall@example.com";
  const asked = { projectId: project, name: "Errors", metricType: "event_count", eventType: "ERROR", condition: ">" };
  const { id } = await api.call("POST", "/v1/alerts", { ...asked, threshold: errors - 1, window: "24h", channel: "email", target });
  await advance(api, 70);
  await api.until("the alert's mail", async () => (await mails(api, target)).length > 0);
  const incidents = await api.call("GET", `/v1/alerts/${id}/incidents`);
  assert.deepEqual(incidents.data.map(({ status, value }) => [status, value]), [["firing", errors]]);
  assert.deepEqual((await mails(api, target)).map(({ subject }) => subject.startsWith("Firing in Shop: Errors")), [true]);
}

/** Sells a plan; yields the invoice of its second period, which bills the usage of the first, and its mail. */
async function bill(api, { key }) {
  const email = "ap@globex.example";
  const of = { name: "Globex SARL", email, currency: "EUR", language: "en", externalId: "globex" };
  const address = { line1: "Torstr. 1", postalCode: "10119", city: "Berlin", country: "DE" };
  const client = await api.call("POST", "/v1/clients", { ...of, address });
  const metric = { eventName: "render", aggregation: "count" };
  const prices = [{ kind: "flat", amount: 4900 }, { kind: "perUnit", metric, unitAmount: "2.5" }];
  const plan = await api.call("POST", "/v1/plans", { name: "Pro", interval: "monthly", currency: "EUR", prices });
  const contract = await api.call("POST", "/v1/contracts", { clientId: client.id });
  const subscription = await api.call("POST", "/v1/subscriptions", { contractId: contract.id, planId: plan.id });
  await api.call("POST", `/v1/contracts/${contract.id}/activate`, {});
  const used = Array.from({ length: USED }, (_, number) => ({ id: `r-${number}`, type: "CUSTOM", name: "render", userId: "globex" }));
  const queued = await api.call("POST", "/v1/ingest/events", { events: used }, { "x-api-key": key });
  assert.equal(queued.accepted, USED);
  await advance(api, 60);
  await api.until("the first period's invoice", async () => (await mails(api, email)).length > 0);
  await advance(api, MONTH_S);
  await api.login();
  const invoices = await api.until("the second period's invoice", async () => {
    const { data } = await api.call("GET", `/v1/invoices?clientId=${client.id}`);
    return data.length > 1 && data.sort((one, other) => one.number.localeCompare(other.number));
  });
  const year = invoices[0].issuedOn.slice(0, 4);
  assert.deepEqual(invoices.map(({ total }) => total), [5831, 5861]);
  assert.equal(invoices[0].number, `INV-${year}-0001`);
  const [, invoice] = invoices;
  assert.ok(invoice.billingKey.startsWith(`${subscription.id}_`), invoice.billingKey);
  const mail = await api.until("its mail", async () =>
    (await mails(api, email)).find(({ subject, attachments }) => subject.includes(invoice.number) && attachments.length > 0));
  return { invoice, mail };
}

/** The invoice is in its mail as PDF, the same that the API has. */
async function document(api, { invoice, mail }) {
  const [{ fileName, contentType, size }] = mail.attachments;
  const file = await fetch(`${api.url}/v1/invoices/${invoice.id}/pdf`, { headers: api.headers });
  const bytes = Buffer.from(await file.arrayBuffer());
  assert.equal(bytes.subarray(0, 5).toString(), "%PDF-");
  assert.deepEqual([fileName, contentType, size], [`${invoice.number}.pdf`, "application/pdf", bytes.length]);
}

/** Pays at the provider's page; the browser never comes back, so that it is the provider's webhook that pays the invoice. */
async function pay(api, page, { invoice, mail }, picture) {
  const link = mail.text.match(/https?:\/\/\S+\/pay\/\S+/)[0];
  await page.goto(link);
  await picture("due");
  await page.click("button[name=provider][value=stripe]");
  await page.waitForURL((url) => !url.pathname.startsWith("/pay/"));
  await picture("provider");
  await page.route("**", async (route) => {
    await route.fetch({ maxRedirects: 0 });
    await route.abort();
  });
  await page.click("button[value=pay]");
  const paid = await api.until("that it is paid", async () => {
    const seen = await api.call("GET", `/v1/invoices/${invoice.id}`);
    return seen.status === "paid" && seen;
  });
  assert.deepEqual([paid.amountPaid, paid.amountDue], [invoice.total, 0]);
  await page.unroute("**");
  await page.goto(link);
  await page.getByText("This invoice is paid. Thank you.").first().waitFor();
  await picture("paid");
}

/** One payment and one charge; every webhook was taken, every fact told and heard. */
async function accounts(api, { invoice }) {
  const { data } = await api.call("GET", `/v1/invoices/${invoice.id}/payments`);
  assert.deepEqual(data.map(({ status, amount }) => [status, amount]), [["succeeded", invoice.total]]);
  const [payment] = data;
  assert.equal(payment.history.at(-1).text, `EUR ${invoice.total / 100} applied to ${invoice.number}`);
  const { control } = await api.call("GET", "/_local/payments");
  const double = async (what) => (await (await fetch(`${control}/${what}`)).json()).data;
  const webhooks = await api.until("that the webhooks are taken", async () => {
    const all = await double("webhooks");
    return all.every(({ state }) => state === "sent") && all;
  });
  assert.ok(webhooks.some(({ kind }) => kind === "checkout.session.completed"), JSON.stringify(webhooks));
  const charged = { sessions: 1, charges: 1, charged: invoice.total, refunds: 0, refunded: 0 };
  assert.deepEqual(await double("counts"), { [payment.id]: charged });
  const facts = await api.until("that the facts are heard", async () => {
    const all = await outbox(api);
    return all.every(({ isHeard }) => isHeard) && all;
  });
  facts.sort((one, other) => one.sequence - other.sequence);
  const about = (id) => facts.filter((fact) => fact.about === id).map(({ fact }) => fact);
  assert.deepEqual(about(invoice.id), ["invoice.created", "invoice.sent", "invoice.viewed", "invoice.paid"]);
  assert.deepEqual(about(payment.id), ["payment.succeeded"]);
}

/** What is in the outbox of the organization; what nobody has heard yet is in an index. */
async function outbox(api) {
  const { endpoint, region, accessKey } = await api.call("GET", "/_local/aws");
  const scope = `${accessKey}/20270101/${region}/dynamodb/aws4_request`;
  const reply = await fetch(endpoint, {
    method: "POST",
    headers: {
      "content-type": "application/x-amz-json-1.0",
      "x-amz-target": "DynamoDB_20120810.Query",
      // Signatures are not checked on this machine.
      authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=none`,
    },
    body: JSON.stringify({
      TableName: "OperationsTable",
      KeyConditionExpression: "pk = :log",
      ExpressionAttributeValues: { ":log": { S: `ORG#${api.headers["x-org-id"]}#OUTBOX` } },
    }),
  });
  const text = await reply.text();
  assert.equal(reply.status, 200, text);
  return JSON.parse(text).Items.map(({ fact, about, sequence, gsi1pk }) => ({
    fact: fact.S,
    about: about.S,
    sequence: Number(sequence.N),
    isHeard: !gsi1pk,
  }));
}

/** All of it, in order. */
module.exports = async function golden({ api, local, page, picture }) {
  const begun = Date.now();
  const said = (what) => console.log(`${((Date.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${what}`);
  const seen = await ingest(api, local);
  said(`a log of ${SENT} events was sent, each is seen and paid for`);
  await alert(api, seen);
  said("the alert fired and was mailed");
  const due = await bill(api, seen);
  said(`a subscription was billed twice: ${due.invoice.number} is about a month and what was used`);
  await document(api, due);
  said("its mail has the PDF");
  await pay(api, page, due, picture);
  said("it was paid in a browser; the provider's webhook said so");
  await accounts(api, due);
  said("one payment, one charge; every fact was told");
};
