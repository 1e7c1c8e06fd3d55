//! A process dies before or after any call of a deed: what is left is nothing of it or all of it, and whoever asks again
//! with the same key gets one reply and one effect. Every call is tried, none sampled.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use testing::{Chaos, Client, Moment, PASSWORD, Reply, Tenant, TestApp};

/// No deed makes more calls.
const MOST_CALLS: u64 = 40;

/// What a deed changes, by its name: how many of it there are.
type Counts = BTreeMap<&'static str, usize>;

/// Something that is asked for, and how its effects are counted.
struct Deed {
    method: Method,
    path: String,
    body: Value,
    /// What it makes besides its audit entry.
    effects: &'static [&'static str],
}

/// A stack whose functions can be made to die.
struct Stage {
    chaos: Chaos,
    app: TestApp,
    acme: Tenant,
}

impl Stage {
    async fn start() -> Self {
        let chaos = Chaos::only(&[]);
        let app = TestApp::start_under(chaos.clone()).await;
        let acme = app.tenant().await;
        Self { chaos, app, acme }
    }

    /// How many there are of everything that deeds here make.
    async fn counts(&self) -> Counts {
        let acme = &self.acme;
        let org = format!("/v1/orgs/{}", acme.org);
        let lists = [
            ("audit", format!("{org}/audit")),
            ("projects", "/v1/projects".to_owned()),
            ("keys", format!("/v1/projects/{}/api-keys", acme.project)),
            ("alerts", "/v1/alerts".to_owned()),
            ("invitations", format!("{org}/invitations")),
        ];
        let mut counts = Counts::new();
        for (name, path) in lists {
            counts.insert(name, acme.client.all(path).await.len());
        }
        counts.insert("mails", self.app.jobs_of(&acme.org).await);
        counts
    }

    /// Lets the process that does `request` die at its `call`th call; says whether it got so far.
    async fn dies(&self, request: impl Future<Output = Reply>, call: u64, moment: Moment) -> bool {
        self.chaos.enable(true);
        self.chaos.crash_at(call, moment);
        let died = tokio::select! {
            reply = request => { assert!(reply.status.is_success(), "{} {}", reply.status, reply.json); false }
            () = self.chaos.crashed() => true,
        };
        self.chaos.enable(false);
        died
    }

    /// Asks again as a client does: what is in flight until its lease is over, and then once more.
    async fn asked_again(&self, client: &Client, deed: &Deed) -> Reply {
        let body = deed.body.to_string().into_bytes();
        let reply = client.send(deed.method.clone(), &deed.path, body.clone()).await;
        if reply.json["code"] != "in_flight" {
            return reply;
        }
        self.app.advance(31_000);
        client.send(deed.method.clone(), &deed.path, body).await
    }
}

/// Does a deed with a key of its own for each call that it makes, and dies there.
async fn check(deed: impl Fn(&Stage, u32) -> Deed) {
    let stage = Stage::start().await;
    let mut calls = 0;
    for call in 1..=MOST_CALLS {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            let number = stage.app.number();
            let deed = deed(&stage, number);
            let client = stage.acme.client.header("content-type", "application/json");
            let client = client.header("idempotency-key", number.to_string());
            let before = stage.counts().await;
            let body = deed.body.to_string().into_bytes();
            died = stage
                .dies(client.send(deed.method.clone(), &deed.path, body), call, moment)
                .await;

            let all: Counts = before
                .iter()
                .map(|(name, many)| {
                    (
                        *name,
                        many + usize::from(deed.effects.contains(name) || *name == "audit"),
                    )
                })
                .collect();
            let left = stage.counts().await;
            assert!(
                left == before || left == all,
                "{moment:?} call {call}: {before:?} became {left:?}"
            );

            let reply = stage.asked_again(&client, &deed).await.expect(201);
            assert_eq!(stage.counts().await, all, "{moment:?} call {call}");
            let again = stage.asked_again(&client, &deed).await.expect(201);
            assert_eq!(
                (again.header("idempotent-replayed"), &again.json),
                ("true", &reply.json)
            );
            assert_eq!(stage.counts().await, all);
        }
        if !died {
            break;
        }
        calls = call;
    }
    assert!((5..MOST_CALLS).contains(&calls), "{calls} calls");
}

fn post(path: impl Into<String>, body: Value, effects: &'static [&'static str]) -> Deed {
    Deed {
        method: Method::POST,
        path: path.into(),
        body,
        effects,
    }
}

#[tokio::test]
async fn a_project_is_made_once_or_not_at_all() {
    check(|_, number| {
        let body = json!({"name": format!("Project {number}"), "environment": "dev"});
        post("/v1/projects", body, &["projects"])
    })
    .await;
}

#[tokio::test]
async fn a_key_is_made_once_and_shown_to_who_asks_again() {
    check(|stage, number| {
        let path = format!("/v1/projects/{}/api-keys", stage.acme.project);
        post(path, json!({"label": format!("key {number}")}), &["keys"])
    })
    .await;
}

#[tokio::test]
async fn an_alert_is_made_once_with_its_secret() {
    check(|stage, number| {
        let body = json!({
            "projectId": stage.acme.project, "name": format!("alert {number}"), "metricType": "event_count",
            "condition": ">", "threshold": 5, "window": "5m", "channel": "webhook",
            "target": "https://hooks.example.com/alerts",
        });
        post("/v1/alerts", body, &["alerts"])
    })
    .await;
}

#[tokio::test]
async fn an_invitation_is_made_with_its_mail_or_not_at_all() {
    check(|stage, number| {
        let body = json!({"email": format!("guest-{number}@example.com"), "role": "viewer"});
        let path = format!("/v1/orgs/{}/members", stage.acme.org);
        post(path, body, &["invitations", "mails"])
    })
    .await;
}

#[tokio::test]
async fn a_member_is_changed_with_the_entry_that_says_so() {
    let stage = Stage::start().await;
    let ada = stage.app.member(&stage.acme, "viewer").await;
    let path = format!("/v1/orgs/{}/members/{}", stage.acme.org, ada.id);
    let role = async || {
        let members = stage
            .acme
            .client
            .all(format!("/v1/orgs/{}/members", stage.acme.org))
            .await;
        let adas = members.iter().find(|member| member["userId"] == ada.id.as_str());
        adas.unwrap()["role"].clone()
    };
    let mut roles = ["admin", "viewer"].into_iter().cycle();
    for call in 1..=MOST_CALLS {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            let new = roles.next().unwrap();
            let (old, before) = (role().await, stage.counts().await["audit"]);
            let request = stage.acme.client.patch(&path, json!({"role": new}));
            died = stage.dies(request, call, moment).await;
            let left = (role().await, stage.counts().await["audit"]);
            assert!(
                left == (old, before) || left == (json!(new), before + 1),
                "{moment:?} call {call}: {left:?}"
            );
            stage.acme.client.patch(&path, json!({"role": new})).await.expect(200);
            assert_eq!((role().await, stage.counts().await["audit"]), (json!(new), before + 1));
        }
        if !died {
            assert!(call > 4, "{call} calls");
            return;
        }
    }
    panic!("it does not end");
}

#[tokio::test]
async fn a_password_is_set_once_with_its_mail_or_not_at_all() {
    let stage = Stage::start().await;
    let app = &stage.app;
    let mut old = PASSWORD.to_owned();
    for call in 1..=MOST_CALLS {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            // Five mails an hour are the most.
            app.advance(3_600_000);
            let email = &stage.acme.owner.email;
            app.client()
                .post("/v1/auth/password/forgot", json!({"email": email}))
                .await
                .expect(202);
            app.settle().await;
            let new = format!("password number {}", app.number());
            let body = json!({"token": app.token_mailed_to(email), "password": new});
            let mails = app.jobs_of(&stage.acme.owner.id).await;
            let client = app.client();
            let request = client.post("/v1/auth/password/reset", body.clone());
            died = stage.dies(request, call, moment).await;

            let done = app.jobs_of(&stage.acme.owner.id).await > mails;
            let opens = async |password: &str| {
                let credentials = json!({"email": email, "password": password});
                app.client()
                    .post("/v1/auth/login", credentials)
                    .await
                    .status
                    .is_success()
            };
            assert_eq!(
                (opens(&old).await, opens(&new).await),
                (!done, done),
                "{moment:?} call {call}"
            );
            let again = app.client().post("/v1/auth/password/reset", body).await;
            if done {
                again.problem(400, "bad_token")
            } else {
                again.expect(204)
            };
            assert!(opens(&new).await && !opens(&old).await);
            assert_eq!(app.jobs_of(&stage.acme.owner.id).await, mails + 1);
            old = new;
        }
        if !died {
            assert!(call > 4, "{call} calls");
            return;
        }
    }
    panic!("it does not end");
}

/// A subscription that changes between two plans, of which the dear one costs 4,000 more for what is left of the period.
struct Switching {
    client: String,
    subscription: String,
    plans: [String; 2],
}

impl Switching {
    async fn start(stage: &Stage) -> Self {
        let acme = &stage.acme;
        let plans = [
            acme.new_plan(3_000, json!({})).await,
            acme.new_plan(9_000, json!({})).await,
        ];
        let start = stage.app.now().plus_millis(-10 * kernel::Time::DAY);
        let sold = acme.sold(&plans[1], json!({"startAt": start})).await;
        stage.app.bill().await;
        Self {
            client: sold.client,
            subscription: sold.subscription,
            plans,
        }
    }

    /// The plan, the client's balance, and how many audit entries there are.
    async fn state(&self, client: &Client, org: &str) -> (String, i64, usize) {
        let shown = client.get(format!("/v1/subscriptions/{}", self.subscription)).await;
        let balance = client.get(format!("/v1/clients/{}", self.client)).await.expect(200);
        let audit = client.all(format!("/v1/orgs/{org}/audit?limit=100")).await;
        let balance = balance.json["balance"].as_i64().unwrap();
        (shown.expect(200).text("planId"), balance, audit.len())
    }
}

#[tokio::test]
async fn a_change_of_plan_is_booked_once_or_not_at_all() {
    let stage = Stage::start().await;
    let switching = Switching::start(&stage).await;
    let path = format!("/v1/subscriptions/{}/change-plan", switching.subscription);
    // Down to the cheap one first: a credit note, which the invoice of the way back uses up.
    let mut down = true;
    for call in 1..=MOST_CALLS {
        let mut died = false;
        // Time passes while requests are in flight, and tokens end.
        let owner = stage.acme.owner.logged_in_again(&stage.app).await;
        let client = owner.client.within(&stage.acme.org);
        for moment in [Moment::Before, Moment::After] {
            let before = switching.state(&client, &stage.acme.org).await;
            let (plan, balance) = if down { (0, 4_000) } else { (1, 0) };
            let all = (switching.plans[plan].clone(), balance, before.2 + 1);
            let deed = post(path.clone(), json!({"planId": all.0}), &[]);
            let keyed = client.header("content-type", "application/json");
            let keyed = keyed.header("idempotency-key", stage.app.number().to_string());
            let body = deed.body.to_string().into_bytes();
            died = stage
                .dies(keyed.send(Method::POST, &deed.path, body), call, moment)
                .await;
            let left = switching.state(&client, &stage.acme.org).await;
            assert!(
                left == before || left == all,
                "{moment:?} call {call}: {before:?} became {left:?}"
            );
            let reply = stage.asked_again(&keyed, &deed).await.expect(200);
            assert_eq!(
                switching.state(&client, &stage.acme.org).await,
                all,
                "{moment:?} call {call}"
            );
            let name = if down { "creditNote" } else { "invoice" };
            assert_eq!(reply.json[name]["total"], 4_000);
            let again = stage.asked_again(&keyed, &deed).await.expect(200);
            assert_eq!(again.json, reply.json);
            down = !down;
        }
        if !died {
            assert!(call > 8, "{call} calls");
            stage.app.settle().await;
            return;
        }
    }
    panic!("it does not end");
}
