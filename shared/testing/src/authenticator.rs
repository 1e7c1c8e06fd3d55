//! An authenticator app, as people have it on a phone.

use serde_json::{Value, json};
use totp_rs::{Secret, Totp};

use crate::{PASSWORD, Person, Reply, TestApp};

/// An app that shows codes.
#[derive(Clone, Debug)]
pub struct Authenticator {
    app: TestApp,
    /// The factor's id.
    pub id: String,
    /// In base32.
    pub secret: String,
    /// What was shown with the first factor.
    pub recovery_codes: Vec<String>,
}

impl Authenticator {
    /// The code that it shows so many seconds from now.
    pub fn code_in(&self, seconds: i64) -> String {
        let secret = Secret::try_from_base32(&self.secret).expect("base32");
        let totp: Totp = totp_rs::Builder::new().with_secret(secret).build().expect("a secret");
        let at = self.app.now().plus_seconds(seconds).seconds();
        format!("{}", totp.generate(at.unsigned_abs()))
    }

    /// The code that it shows now.
    pub fn code(&self) -> String {
        self.code_in(0)
    }
}

impl TestApp {
    /// Adds an authenticator app to a person's factors. Its code of now is spent by that.
    pub async fn authenticator(&self, person: &Person, name: &str) -> Authenticator {
        let added = person.client.post("/v1/auth/factors/totp", json!({"name": name})).await;
        let added = added.expect(201);
        let mut authenticator = Authenticator {
            app: self.clone(),
            id: added.text("factorId"),
            secret: added.text("secret"),
            recovery_codes: Vec::new(),
        };
        let confirm = format!("/v1/auth/factors/{}/confirm", authenticator.id);
        let code = json!({"code": authenticator.code()});
        let confirmed = person.client.post(confirm, code).await.expect(200);
        let codes = confirmed.json["recoveryCodes"].as_array().into_iter().flatten();
        authenticator.recovery_codes = codes.filter_map(Value::as_str).map(str::to_owned).collect();
        self.send_notices().await;
        authenticator
    }
}

impl Person {
    /// Begins to log in, as who has a factor does; the challenge.
    pub async fn challenge(&self, app: &TestApp) -> String {
        let body = json!({"email": self.email, "password": PASSWORD});
        let reply = app.client().post("/v1/auth/login", body).await.expect(200);
        assert!(reply.json["accessToken"].is_null(), "{}", reply.json);
        reply.text("challenge")
    }

    /// Logs in with an app's code.
    pub async fn log_in_by_code(&self, app: &TestApp, code: &str) -> Reply {
        let challenge = self.challenge(app).await;
        let body = json!({"challenge": challenge, "code": code});
        app.client().post("/v1/auth/login/factor", body).await
    }
}
