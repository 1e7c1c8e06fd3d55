// Passkeys as browsers make and use them: added to an account, asked for after a password, and instead of one. The device is
// Chromium's virtual authenticator.

const assert = require("node:assert/strict");

/** Has the page's browser make what the API asks for. */
function make(page, options) {
  return page.evaluate(async (json) => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(json);
    return (await navigator.credentials.create({ publicKey })).toJSON();
  }, options);
}

/** Has the page's browser sign what the API asks for. */
function sign(page, options) {
  return page.evaluate(async (json) => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(json);
    return (await navigator.credentials.get({ publicKey })).toJSON();
  }, options);
}

/** A device that knows its person, who touches it as often as they are asked. */
async function device(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const options = {
    protocol: "ctap2",
    transport: "internal",
    hasResidentKey: true,
    hasUserVerification: true,
    isUserVerified: true,
    automaticPresenceSimulation: true,
  };
  await cdp.send("WebAuthn.addVirtualAuthenticator", { options });
}

module.exports = async function passkeys({ api, page, password }) {
  await page.goto(`${api.url.replace("127.0.0.1", "localhost")}/health`);
  await device(page);
  const who = { email: `grace-${Date.now()}@example.com`, password };
  const { user, accessToken } = await api.call("POST", "/v1/auth/register", { ...who, name: "Grace Hopper" }, {});
  const own = { authorization: `Bearer ${accessToken}` };
  const begun = await api.call("POST", "/v1/auth/factors/passkey", { name: "Laptop" }, own);
  const credential = await make(page, begun.publicKey);
  const { factor } = await api.call("POST", `/v1/auth/factors/${begun.factorId}/confirm`, { credential }, own);
  assert.deepEqual([factor.type, factor.name], ["passkey", "Laptop"]);

  const enter = async (asked) => {
    const { challenge, publicKey } = asked;
    const met = { challenge, credential: await sign(page, publicKey) };
    const entered = await api.call("POST", "/v1/auth/login/factor", met, {});
    assert.equal(entered.user.id, user.id);
  };
  const asked = await api.call("POST", "/v1/auth/login", who, {});
  assert.deepEqual(asked.methods, ["passkey", "recovery_code"]);
  await enter(asked);
  await enter(await api.call("POST", "/v1/auth/login/passkey", undefined, {}));
};
