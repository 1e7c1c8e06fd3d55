//! Passkeys: made on a device, asked to sign after a password or instead of one, good for what they were asked.

use kernel::Time;
use serde_json::{Value, json};
use testing::{PASSWORD, Person, Reply, Setup, TestApp};
use webauthn_authenticator_rs::WebauthnAuthenticator;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;
use webauthn_rs::prelude::Url;

use crate::recovery::reset_token;

const FACTOR: &str = "/v1/auth/login/factor";
const STEP_UP: &str = "/v1/auth/step-up";

/// A device of somebody, which makes passkeys and signs with them as a browser has it do.
struct Device {
    keys: SoftPasskey,
    page: Url,
    /// What it has made last.
    made: Value,
}

impl Device {
    fn new() -> Self {
        Self::at("http://localhost:3000")
    }

    /// In a browser that shows this page.
    fn at(page: &str) -> Self {
        Self {
            keys: SoftPasskey::new(true),
            page: Url::parse(page).unwrap(),
            made: Value::Null,
        }
    }

    fn make(&mut self, options: &Value) -> Value {
        let asked = serde_json::from_value(json!({"publicKey": options})).unwrap();
        self.made = json!(self.keys.do_registration(self.page.clone(), asked).unwrap());
        self.made.clone()
    }

    /// Signs what is asked, with the key that it has made last. Like a real one it says whose that is, if it is asked for any.
    fn sign(&mut self, options: &Value, person: &Person) -> Value {
        let mut options = options.clone();
        let is_for_any = options["allowCredentials"] == json!([]);
        if is_for_any {
            options["allowCredentials"] = json!([{"type": "public-key", "id": self.made["rawId"]}]);
        }
        let asked = serde_json::from_value(json!({"publicKey": options})).unwrap();
        let mut signed = json!(self.keys.do_authentication(self.page.clone(), asked).unwrap());
        if is_for_any {
            signed["response"]["userHandle"] = handle(person).into();
        }
        signed
    }
}

/// As which keys know a person: the 16 bytes of their id.
fn handle(person: &Person) -> String {
    handle_of(person.id.parse().unwrap())
}

fn handle_of(id: kernel::UserId) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id.bits().to_be_bytes())
}

async fn begin(person: &Person) -> Reply {
    let added = person
        .client
        .post("/v1/auth/factors/passkey", json!({"name": "Laptop"}));
    added.await.expect(201)
}

async fn confirm(person: &Person, id: &str, body: Value) -> Reply {
    person.client.post(format!("/v1/auth/factors/{id}/confirm"), body).await
}

/// A person who has a passkey, its id as a factor and the device that it is on.
async fn with_passkey(app: &TestApp) -> (Person, String, Device) {
    let (ada, mut laptop) = (app.proved_person().await, Device::new());
    let begun = begin(&ada).await;
    let credential = laptop.make(&begun.json["publicKey"]);
    let id = begun.text("factorId");
    let confirmed = confirm(&ada, &id, json!({"credential": credential})).await.expect(200);
    assert_eq!(confirmed.json["recoveryCodes"].as_array().unwrap().len(), 10);
    app.send_notices().await;
    (ada, id, laptop)
}

/// What is asked of who has given their password.
async fn asked(app: &TestApp, ada: &Person) -> Reply {
    let body = json!({"email": ada.email, "password": PASSWORD});
    app.client().post("/v1/auth/login", body).await.expect(200)
}

async fn asked_of_anybody(app: &TestApp) -> Reply {
    app.client().post("/v1/auth/login/passkey", json!({})).await.expect(200)
}

async fn meet(app: &TestApp, asked: &Reply, credential: &Value) -> Reply {
    let body = json!({"challenge": asked.text("challenge"), "credential": credential});
    app.client().post(FACTOR, body).await
}

#[tokio::test]
async fn it_is_asked_for_after_the_password_and_good_once() {
    let app = TestApp::start().await;
    let (ada, id, mut laptop) = with_passkey(&app).await;
    let listed = ada.client.get("/v1/auth/factors").await.expect(200).json;
    let factor = json!({"id": id, "type": "passkey", "name": "Laptop", "addedAt": app.now(), "lastUsedAt": null});
    assert_eq!(listed, json!({"factors": [factor], "recoveryCodesLeft": 10}));

    app.advance(Time::MINUTE);
    let asked = asked(&app, &ada).await;
    assert_eq!(asked.json["methods"], json!(["passkey", "recovery_code"]));
    let allowed = json!([{"type": "public-key", "id": laptop.made["rawId"]}]);
    assert_eq!(asked.json["publicKey"]["allowCredentials"], allowed);
    assert_eq!(asked.json["publicKey"]["userVerification"], "required");
    let signed = laptop.sign(&asked.json["publicKey"], &ada);
    let entered = meet(&app, &asked, &signed).await.expect(200);
    assert_eq!(entered.json["user"]["id"], ada.id.as_str());
    meet(&app, &asked, &signed).await.problem(401, "bad_challenge");
    let listed = ada.client.get("/v1/auth/factors").await.expect(200).json;
    assert_eq!(listed["factors"][0]["lastUsedAt"], json!(app.now()));
}

#[tokio::test]
async fn who_says_nothing_of_themself_logs_in_with_it_alone() {
    let app = TestApp::start().await;
    let (ada, _, mut laptop) = with_passkey(&app).await;
    let eve = app.person().await;
    let asked = asked_of_anybody(&app).await;
    assert_eq!(asked.json["methods"], json!(["passkey"]));
    let signed = laptop.sign(&asked.json["publicKey"], &ada);
    // Whose it says it is decides whose keys are tried; and nobody is meant by a key that does not say.
    for (claimed, status, code) in [
        (json!(handle(&eve)), 401, "wrong_passkey"),
        (Value::Null, 401, "bad_challenge"),
    ] {
        let mut lie = signed.clone();
        lie["response"]["userHandle"] = claimed;
        meet(&app, &asked, &lie).await.problem(status, code);
    }
    // Nor can it be met by anything else.
    let body = json!({"challenge": asked.text("challenge"), "code": "123456"});
    app.client().post(FACTOR, body).await.problem(401, "bad_challenge");

    let entered = meet(&app, &asked, &signed).await.expect(200);
    assert_eq!(entered.json["user"]["id"], ada.id.as_str());
    let me = app.known(ada.email.clone(), &entered).client.get("/v1/auth/me").await;
    assert_eq!(me.expect(200).json["id"], ada.id.as_str());
    meet(&app, &asked, &signed).await.problem(401, "bad_challenge");

    let late = asked_of_anybody(&app).await;
    let signed = laptop.sign(&late.json["publicKey"], &ada);
    app.advance(5 * Time::MINUTE);
    meet(&app, &late, &signed).await.problem(401, "bad_challenge");
}

#[tokio::test]
async fn who_is_deactivated_or_unknown_is_told_to_nobody_without_the_key() {
    let app = TestApp::start().await;
    let (ada, _, mut laptop) = with_passkey(&app).await;
    let asked = asked_of_anybody(&app).await;
    let signed = laptop.sign(&asked.json["publicKey"], &ada);
    let path = format!("/v1/users/{}", ada.id);
    app.manager().await.client.delete(path).await.expect(204);
    let nobody = kernel::UserId::new(app.now());
    let (mut forged, mut unknown) = (signed.clone(), signed.clone());
    forged["response"]["signature"] = "MEUCIQ".into();
    unknown["response"]["userHandle"] = handle_of(nobody).into();
    for lie in [forged, unknown] {
        meet(&app, &asked, &lie).await.problem(401, "wrong_passkey");
    }
    meet(&app, &asked, &signed).await.problem(401, "deactivated");
}

#[tokio::test]
async fn one_that_was_prepared_before_the_address_was_proved_goes_with_a_reset() {
    let app = TestApp::start().await;
    // Somebody registers with an address that is not theirs, and adds a key; later its owner proves it, and wants to get in.
    let (eve, mut laptop) = (app.person().await, Device::new());
    let begun = begin(&eve).await;
    let credential = laptop.make(&begun.json["publicKey"]);
    confirm(&eve, &begun.text("factorId"), json!({"credential": credential}))
        .await
        .expect(200);
    app.advance(Time::MINUTE);
    app.prove(&eve).await;
    app.advance(Time::MINUTE);
    let token = reset_token(&app, &eve).await;
    let body = json!({"token": token, "password": "another good one 7"});
    app.client().post("/v1/auth/password/reset", body).await.expect(204);

    let asked = asked_of_anybody(&app).await;
    let signed = laptop.sign(&asked.json["publicKey"], &eve);
    meet(&app, &asked, &signed).await.problem(401, "wrong_passkey");
    let body = json!({"email": eve.email, "password": "another good one 7"});
    let entered = app.client().post("/v1/auth/login", body).await.expect(200);
    assert!(entered.json["accessToken"].is_string());
}

#[tokio::test]
async fn what_was_not_asked_or_not_signed_by_it_opens_nothing() {
    let app = TestApp::start().await;
    let (ada, id, mut laptop) = with_passkey(&app).await;
    let (first, second) = (asked(&app, &ada).await, asked(&app, &ada).await);
    let signed = laptop.sign(&first.json["publicKey"], &ada);
    meet(&app, &second, &signed).await.problem(401, "wrong_passkey");
    let mut changed = signed.clone();
    changed["response"]["signature"] = "MEUCIQ".into();
    meet(&app, &first, &changed).await.problem(401, "wrong_passkey");
    for nonsense in [json!({}), json!({"id": 7}), json!({"response": {}}), json!([])] {
        let refused = meet(&app, &first, &nonsense).await;
        refused.problem(422, "invalid");
    }
    // Another's key, of the same challenge.
    let (eve, _, mut phone) = with_passkey(&app).await;
    let mut options = first.json["publicKey"].clone();
    options["allowCredentials"] = json!([]);
    let mut theirs = phone.sign(&options, &eve);
    meet(&app, &first, &theirs).await.problem(401, "wrong_passkey");
    theirs["response"]["userHandle"] = Value::Null;
    meet(&app, &first, &theirs).await.problem(401, "wrong_passkey");

    // A key that has signed less often than it said before was copied.
    let newer = laptop.sign(&second.json["publicKey"], &ada);
    meet(&app, &second, &newer).await.expect(200);
    meet(&app, &first, &signed).await.problem(401, "wrong_passkey");

    ada.client.delete(format!("/v1/auth/factors/{id}")).await.expect(204);
    let asked = asked_of_anybody(&app).await;
    let signed = laptop.sign(&asked.json["publicKey"], &ada);
    meet(&app, &asked, &signed).await.problem(401, "wrong_passkey");
}

#[tokio::test]
async fn it_counts_once_what_was_to_be_made_was_made() {
    let app = TestApp::start().await;
    let (ada, mut laptop) = (app.proved_person().await, Device::new());
    let begun = begin(&ada).await;
    let id = begun.text("factorId");
    let options = &begun.json["publicKey"];
    assert_eq!(options["rp"], json!({"id": "localhost", "name": "Countinghouse"}));
    assert_eq!(options["user"]["name"], ada.email.as_str());
    assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
    assert_eq!(options["attestation"], "none");

    // Made for a page of somebody else, or when it was asked before.
    let elsewhere = Device::at("https://localhost:3000").make(options);
    let refused = confirm(&ada, &id, json!({"credential": elsewhere})).await;
    refused.problem(422, "invalid");
    let old = laptop.make(options);
    let begun = begin(&ada).await;
    let again = begun.text("factorId");
    let refused = confirm(&ada, &again, json!({"credential": old.clone()})).await;
    refused.problem(422, "invalid");
    confirm(&ada, &id, json!({"credential": old}))
        .await
        .problem(404, "not_found");

    for body in [
        json!({"code": "123456"}),
        json!({"credential": 7}),
        json!({}),
        json!({"code": "1", "credential": {}}),
    ] {
        confirm(&ada, &again, body).await.problem(422, "invalid");
    }
    let made = laptop.make(&begun.json["publicKey"]);
    app.advance(10 * Time::MINUTE);
    let late = confirm(&ada, &again, json!({"credential": made})).await;
    late.problem(404, "not_found");
    let none = ada.client.get("/v1/auth/factors").await.expect(200).json;
    assert_eq!(none, json!({"factors": [], "recoveryCodesLeft": 0}));

    let totp = ada
        .client
        .post("/v1/auth/factors/totp", json!({"name": "Phone"}))
        .await
        .expect(201);
    let credential = json!({"credential": made});
    confirm(&ada, &totp.text("factorId"), credential)
        .await
        .problem(422, "invalid");
}

#[tokio::test]
async fn a_device_is_not_asked_for_a_second_key_and_all_are_asked_for_at_once() {
    let app = TestApp::start().await;
    let (ada, _, mut laptop) = with_passkey(&app).await;
    let phone = app.authenticator(&ada, "Phone").await;
    let begun = begin(&ada).await;
    let excluded = &begun.json["publicKey"]["excludeCredentials"];
    assert_eq!(excluded[0]["id"], laptop.made["rawId"]);
    let mut tablet = Device::new();
    let credential = tablet.make(&begun.json["publicKey"]);
    let confirmed = confirm(&ada, &begun.text("factorId"), json!({"credential": credential})).await;
    assert!(confirmed.expect(200).json["recoveryCodes"].is_null());

    let asked = asked(&app, &ada).await;
    assert_eq!(asked.json["methods"], json!(["passkey", "totp", "recovery_code"]));
    assert_eq!(asked.json["publicKey"]["allowCredentials"].as_array().unwrap().len(), 2);
    for device in [&mut laptop, &mut tablet] {
        let asked = self::asked(&app, &ada).await;
        let mut options = asked.json["publicKey"].clone();
        options["allowCredentials"] = json!([{"type": "public-key", "id": device.made["rawId"]}]);
        let signed = device.sign(&options, &ada);
        meet(&app, &asked, &signed).await.expect(200);
    }
    app.advance(30 * Time::SECOND);
    ada.log_in_by_code(&app, &phone.code()).await.expect(200);
}

#[tokio::test]
async fn it_proves_again_that_it_is_still_its_person() {
    let app = TestApp::start_as(Setup::default().parameter("StepUpMinutes", 5)).await;
    let (ada, id, mut laptop) = with_passkey(&app).await;
    let (eve, _, mut phone) = with_passkey(&app).await;
    let stranger = app.proved_person().await;
    let ask = "/v1/auth/step-up/passkey";
    stranger.client.post(ask, json!({})).await.problem(409, "no_passkey");
    app.advance(5 * Time::MINUTE + 1);
    let factor = format!("/v1/auth/factors/{id}");
    ada.client.delete(&factor).await.problem(403, "proof_required");

    // A login elsewhere; a key that counts is to count on from here.
    let login = asked_of_anybody(&app).await;
    let entered = meet(&app, &login, &laptop.sign(&login.json["publicKey"], &ada))
        .await
        .expect(200);
    let elsewhere = app.known(ada.email.clone(), &entered).client;
    let asked = ada.client.post(ask, json!({})).await.expect(200);
    let challenge = asked.text("challenge");
    let signed = laptop.sign(&asked.json["publicKey"], &ada);
    let body = json!({"challenge": challenge, "credential": signed});
    // It was asked of who is logged in: it opens no other session, whatever meets it.
    meet(&app, &asked, &body["credential"])
        .await
        .problem(401, "bad_challenge");
    assert_eq!(asked.json["methods"], json!(["passkey"]));
    elsewhere
        .post(STEP_UP, body.clone())
        .await
        .problem(401, "bad_challenge");
    // What another person was asked is nothing to the caller.
    eve.client
        .post(STEP_UP, body.clone())
        .await
        .problem(401, "bad_challenge");
    let theirs = eve.client.post(ask, json!({})).await.expect(200);
    let theirs = phone.sign(&theirs.json["publicKey"], &eve);
    let wrong = json!({"challenge": challenge, "credential": theirs});
    ada.client.post(STEP_UP, wrong).await.problem(422, "invalid");
    let alone = json!({"credential": body["credential"]});
    ada.client.post(STEP_UP, alone).await.problem(422, "invalid");

    ada.client.post(STEP_UP, body.clone()).await.expect(204);
    ada.client.post(STEP_UP, body).await.problem(401, "bad_challenge");
    ada.client.delete(&factor).await.expect(204);
}
