//! The jobs API: who sees which jobs, and what becomes of one that is tried again, canceled or redriven.

use std::collections::BTreeSet;
use std::time::Duration;

use jobs::{JobRecord, JobRef, Outcome, Running, Work, store};
use kernel::Time;
use lambda::App;
use notifications::MailNotice;
use payment_double::Provider;
use serde_json::{Value, json};
use testing::{Client, MANAGER_PASSWORD, PASSWORD, Reply, Setup, Tenant, TestApp};

use crate::shop::Shop;

const QUEUE: &str = "MailQueue";

/// Gives everything up.
struct Dying;

impl Work<MailNotice> for Dying {
    async fn work(&self, _: &App, _: &Running<'_, MailNotice>) -> Outcome {
        Outcome::dead("no such mailbox")
    }
}

/// Invites somebody; yields the message that names the job of the mail, which nobody is told of then.
async fn invited(app: &TestApp, tenant: &Tenant) -> String {
    app.send_notices().await;
    let email = format!("guest-{}@example.com", app.number());
    let members = format!("/v1/orgs/{}/members", tenant.org);
    let body = json!({"email": email, "role": "viewer"});
    tenant.client.post(members, body).await.expect(201);
    let told = app.take(QUEUE).await;
    let mut ours = told.into_iter().filter(|text| text.contains(&tenant.org));
    ours.next_back().expect("a mail")
}

/// A job of an organization that is due or dead; its id.
pub(crate) async fn a_job(app: &TestApp, tenant: &Tenant, dies: bool) -> String {
    let text = invited(app, tenant).await;
    if dies {
        jobs::work::<MailNotice>(&app.app().await, &Dying, &text).await.unwrap();
    }
    JobRef::parse(&text).unwrap().id.to_string()
}

async fn job(client: &Client, id: &str) -> Value {
    client.get(format!("/v1/jobs/{id}")).await.expect(200).json
}

async fn deed(client: &Client, id: &str, deed: &str) -> Reply {
    client.post(format!("/v1/jobs/{id}/{deed}"), json!({})).await
}

fn ids(jobs: &[Value]) -> Vec<&str> {
    jobs.iter().map(|job| job["id"].as_str().unwrap()).collect()
}

fn events(job: &Value) -> Vec<&str> {
    let history = job["history"].as_array().unwrap();
    history.iter().map(|entry| entry["event"].as_str().unwrap()).collect()
}

/// What the trail of an organization says of jobs, newest first.
async fn noted(tenant: &Tenant) -> Vec<Value> {
    let all = tenant.client.all(format!("/v1/orgs/{}/audit", tenant.org)).await;
    let of_jobs = |entry: &Value| entry["action"].as_str().unwrap().starts_with("job");
    all.into_iter().filter(of_jobs).collect()
}

#[tokio::test]
async fn an_organization_sees_its_own_jobs_newest_first_and_nothing_of_what_they_say() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let dead = a_job(&app, &acme, true).await;
    app.advance(1);
    let text = invited(&app, &acme).await;
    let due = JobRef::parse(&text).unwrap().id.to_string();
    let other = a_job(&app, &rival, false).await;

    let all = acme.client.all("/v1/jobs?queue=notifications").await;
    assert_eq!(ids(&all)[..2], [due.as_str(), dead.as_str()]);
    assert!(!ids(&all).contains(&other.as_str()));
    let only = |status: &'static str| acme.client.all(format!("/v1/jobs?status={status}"));
    assert_eq!(ids(&only("DEAD").await), [dead.as_str()]);
    assert_eq!(ids(&only("PENDING").await), [due.as_str()]);
    assert_eq!(acme.client.all("/v1/jobs?queue=payments").await, [] as [Value; 0]);

    let shown = acme.client.get(format!("/v1/jobs/{dead}")).await.expect(200);
    let fields = [
        "id",
        "orgId",
        "queue",
        "type",
        "status",
        "attempts",
        "createdAt",
        "nextAttemptAt",
        "history",
    ];
    let shown = shown.json;
    let keys: BTreeSet<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, fields.into_iter().collect());
    assert_eq!(
        (&shown["queue"], &shown["type"], &shown["status"], &shown["attempts"]),
        (&json!("notifications"), &json!("mail"), &json!("DEAD"), &json!(1))
    );
    assert_eq!(
        (&shown["orgId"], &shown["nextAttemptAt"]),
        (&json!(acme.org), &Value::Null)
    );
    assert_eq!(events(&shown), ["started", "dead"]);
    assert_eq!(shown["history"][1]["error"], "no such mailbox");
    assert_ne!(job(&acme.client, &due).await["nextAttemptAt"], Value::Null);
    // Neither to whom it goes nor the token in it.
    let told = format!("{all:?}{shown}");
    assert!(!told.contains("@example.com") && !told.contains("contents"), "{told}");

    for reply in [
        rival.client.get(format!("/v1/jobs/{due}")).await,
        deed(&rival.client, &due, "cancel").await,
        deed(&rival.client, &dead, "retry").await,
    ] {
        reply.problem(404, "not_found");
    }
    assert_eq!(job(&acme.client, &due).await["status"], "PENDING");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for path in [
        "/v1/jobs?status=LOST",
        "/v1/jobs?limit=0",
        "/v1/jobs?colour=red",
        "/v1/jobs?queue=wishes",
        "/v1/jobs/job_1",
    ] {
        assert_eq!(acme.client.get(path).await.status, 400, "{path}");
    }
    for queue in jobs::queue::ALL {
        let path = format!("/v1/jobs?queue={}", queue.name);
        acme.client.get(path).await.expect(200);
        let body = json!({"queue": queue.name});
        acme.client.post("/v1/jobs/redrive", body).await.expect(200);
    }
    acme.owner.client.get("/v1/jobs").await.problem(400, "missing_org");
    let redrive = |body: Value| acme.client.post("/v1/jobs/redrive", body);
    redrive(json!({"queue": "wishes"})).await.problem(422, "invalid");
    assert_eq!(redrive(json!({"queue": 7})).await.status, 400);
    assert_eq!(redrive(json!({"queues": "payments"})).await.status, 400);
}

#[tokio::test]
async fn a_dead_job_is_tried_again_once_and_done() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let id = a_job(&app, &acme, true).await;
    let client = acme.client.header("idempotency-key", "again");
    let first = deed(&client, &id, "retry").await.expect(200);
    assert_eq!(
        (&first.json["status"], &first.json["attempts"]),
        (&json!("PENDING"), &json!(0))
    );
    let second = deed(&client, &id, "retry").await.expect(200);
    assert_eq!(
        (second.header("idempotent-replayed"), &second.json),
        ("true", &first.json)
    );
    deed(&acme.client, &id, "retry").await.problem(409, "job_not_failed");
    assert_eq!(app.take(QUEUE).await.len(), 1, "its queue is told once");
    // The message was lost; the sweeper tells of it.
    app.advance(Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    let done = job(&acme.client, &id).await;
    assert_eq!((&done["status"], &done["attempts"]), (&json!("COMPLETED"), &json!(1)));
    assert_eq!(events(&done), ["started", "dead", "retried", "started", "completed"]);
    deed(&acme.client, &id, "retry").await.problem(409, "job_not_failed");
    deed(&acme.client, &id, "cancel").await.problem(409, "job_over");

    let noted = noted(&acme).await;
    assert_eq!(noted.len(), 1);
    assert_eq!(
        (&noted[0]["action"], &noted[0]["targetId"], &noted[0]["actorUserId"]),
        (&json!("job.retried"), &json!(id), &json!(acme.owner.id))
    );
}

#[tokio::test]
async fn a_canceled_job_is_not_done() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let text = invited(&app, &acme).await;
    let id = JobRef::parse(&text).unwrap().id.to_string();
    for _ in 0..2 {
        let canceled = deed(&acme.client, &id, "cancel").await.expect(200);
        assert_eq!(canceled.json["status"], "CANCELED");
    }
    assert_eq!(app.deliver_from(QUEUE, &[text]).await, Vec::<usize>::new());
    assert_eq!(events(&job(&acme.client, &id).await), ["canceled"]);
    deed(&acme.client, &id, "retry").await.problem(409, "job_not_failed");
    assert_eq!(noted(&acme).await.len(), 1, "what changes nothing is not noted");
}

#[tokio::test]
async fn a_job_whose_worker_was_lost_shows_that_as_an_attempt() {
    struct Lost;
    impl Work<MailNotice> for Lost {
        async fn work(&self, _: &App, _: &Running<'_, MailNotice>) -> Outcome {
            std::future::pending().await
        }
    }
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let text = invited(&app, &acme).await;
    let id = JobRef::parse(&text).unwrap().id.to_string();
    let one = app.app().await;
    let dies = tokio::time::timeout(Duration::from_millis(300), jobs::work::<MailNotice>(&one, &Lost, &text));
    assert!(dies.await.is_err());
    let running = job(&acme.client, &id).await;
    assert_eq!(
        (&running["status"], &running["attempts"]),
        (&json!("RUNNING"), &json!(1))
    );
    assert_eq!(running["nextAttemptAt"], Value::Null);
    app.advance(2 * Time::MINUTE);
    app.run_sweeper().await;
    assert_eq!(acme.client.all("/v1/jobs?status=RUNNING").await, [] as [Value; 0]);
    app.settle().await;
    let done = job(&acme.client, &id).await;
    assert_eq!((&done["status"], &done["attempts"]), (&json!("COMPLETED"), &json!(2)));
    assert_eq!(events(&done), ["started", "lost", "started", "completed"]);
}

#[tokio::test]
async fn the_platform_sees_everybodys_jobs_and_an_organization_sees_what_it_did_to_its_own() {
    let app = TestApp::start().await;
    let (manager, [acme, rival]) = (app.manager().await, app.tenants().await);
    let mut dead = Vec::new();
    let mut due = Vec::new();
    for tenant in [&acme, &rival, &acme] {
        app.advance(1_000);
        dead.push(a_job(&app, tenant, true).await);
        app.advance(1_000);
        due.push(a_job(&app, tenant, false).await);
    }
    let all = manager.client.all("/v1/jobs?queue=notifications&limit=2").await;
    let newest = [&due[2], &dead[2], &due[1], &dead[1], &due[0], &dead[0]];
    assert_eq!(ids(&all)[..6], newest.map(String::as_str));
    assert!(all.iter().any(|job| job["orgId"] == Value::Null), "accounts' jobs too");
    assert_eq!(ids(&all).iter().collect::<BTreeSet<_>>().len(), all.len(), "none twice");

    let waiting = manager.client.all("/v1/jobs?status=PENDING&limit=1").await;
    assert_eq!(ids(&waiting), due, "the longest due first");
    let given_up = manager.client.all("/v1/jobs?status=DEAD&limit=1").await;
    let mut expected = [(&acme.org, &dead[0]), (&acme.org, &dead[2]), (&rival.org, &dead[1])];
    expected.sort_by_key(|(org, _)| *org);
    assert_eq!(
        ids(&given_up),
        expected.map(|(_, id)| id.as_str()),
        "the longest dead first"
    );
    let over = manager.client.all("/v1/jobs?status=COMPLETED&limit=1").await;
    assert!(!over.is_empty() && over.iter().all(|job| job["status"] == "COMPLETED"));

    assert_eq!(job(&manager.client, &due[1]).await["orgId"], rival.org.as_str());
    let absent = kernel::JobId::new(app.now());
    manager
        .client
        .get(format!("/v1/jobs/{absent}"))
        .await
        .problem(404, "not_found");
    deed(&manager.client, &due[1], "cancel").await.expect(200);
    let noted_there = noted(&rival).await;
    assert_eq!(
        (&noted_there[0]["action"], &noted_there[0]["actorUserId"]),
        (&json!("job.canceled"), &json!(manager.id))
    );
    assert_eq!(noted(&acme).await, [] as [Value; 0]);

    let counted = manager.client.get("/v1/admin/stats").await.expect(200).json;
    let mails = json!({"states": {"PENDING": 2, "RUNNING": 0, "FAILED": 0, "DEAD": 3}, "complete": true});
    assert_eq!(counted["jobs"]["notifications"], mails);
}

#[tokio::test]
async fn dead_jobs_are_redriven_by_organization_and_by_the_platform() {
    let app = TestApp::start().await;
    let (manager, [acme, rival]) = (app.manager().await, app.tenants().await);
    let mut jobs = Vec::new();
    for tenant in [&acme, &acme, &rival] {
        jobs.push(a_job(&app, tenant, true).await);
    }
    app.advance(1_000);
    let redrive = |client: &Client, body: Value| {
        let client = client.clone();
        async move { client.post("/v1/jobs/redrive", body).await.expect(200).json }
    };
    let none = redrive(&acme.client, json!({"queue": "payments"})).await;
    assert_eq!(none, json!({"jobs": 0, "more": false, "deadLetterQueues": 0}));
    let ours = redrive(&acme.client, json!({})).await;
    assert_eq!(ours, json!({"jobs": 2, "more": false, "deadLetterQueues": 0}));
    assert_eq!(job(&rival.client, &jobs[2]).await["status"], "DEAD");
    assert_eq!(noted(&acme).await[0]["action"], "jobs.redriven");
    assert_eq!(redrive(&acme.client, json!({})).await["jobs"], 0);
    app.settle().await;
    assert_eq!(job(&acme.client, &jobs[0]).await["status"], "COMPLETED");

    // A message that was tried in vain lies among the dead letters.
    let (sqs, name) = (app.aws().sqs(), app.queue_name(QUEUE));
    let dead_name = app.queue_name("MailDeadLetterQueue");
    let told = invited(&app, &acme).await;
    let message = stack::aws::sqs::Send {
        body: told.clone(),
        ..stack::aws::sqs::Send::default()
    };
    sqs.send(&name, &[message]).unwrap();
    for _ in 0..6 {
        sqs.receive(&name, 10, 0, Duration::ZERO).await.unwrap();
    }
    assert_eq!(sqs.depth(&dead_name).unwrap().total(), 1);
    let rest = redrive(&manager.client, json!({"queue": "notifications"})).await;
    assert_eq!(rest, json!({"jobs": 1, "more": false, "deadLetterQueues": 1}));
    assert_eq!(sqs.depth(&dead_name).unwrap().total(), 0);
    app.settle().await;
    let id = JobRef::parse(&told).unwrap().id.to_string();
    assert_eq!(job(&acme.client, &id).await["status"], "COMPLETED");
    let everything = redrive(&manager.client, json!({})).await;
    assert!(everything["deadLetterQueues"].as_u64().unwrap() >= 10);
    let audit = format!("/v1/audit?userId={}", manager.id);
    let audit = manager.client.all(audit).await;
    assert_eq!(
        audit.iter().filter(|entry| entry["action"] == "jobs.redriven").count(),
        1
    );
    assert_eq!(
        audit
            .iter()
            .filter(|entry| entry["action"] == "dead_letters.redriven")
            .count(),
        2
    );
}

#[tokio::test]
async fn what_settles_money_is_not_canceled() {
    let shop = Shop::open().await;
    let (_, payment) = shop.paid(Provider::Stripe, 9_900).await;
    shop.refund(&payment, 900).await.expect(201);
    let due = shop.acme.client.all("/v1/jobs?queue=payments").await;
    let refund = due.iter().find(|job| job["type"] == "payment-refund").unwrap();
    let id = refund["id"].as_str().unwrap();
    let manager = shop.app.manager().await;
    for client in [&shop.acme.client, &manager.client] {
        deed(client, id, "cancel").await.problem(409, "job_not_cancelable");
    }
    assert_eq!(noted(&shop.acme).await, [] as [Value; 0]);
    shop.app.settle().await;
    assert_ne!(job(&shop.acme.client, id).await["status"], "CANCELED");
    assert_eq!(shop.double.count(&payment).refunds, 1);
}

#[tokio::test]
async fn what_erases_and_what_tells_a_person_of_their_account_is_not_canceled() {
    let app = TestApp::start().await;
    let (manager, admin, ada) = (app.manager().await, app.proved_person().await, app.person().await);
    let role = format!("/v1/users/{}/role", admin.id);
    manager.client.patch(role, json!({"role": "admin"})).await.expect(200);
    app.send_notices().await;
    let erasure = format!("/v1/users/{}/erasure", ada.id);
    manager.client.post(erasure, json!({})).await.expect(202);
    let bob = json!({"email": "bob@example.com", "password": PASSWORD, "name": "Bob"});
    app.client().post("/v1/auth/register", bob).await.expect(201);

    let admin = admin.logged_in_again(&app).await;
    for queue in ["erasures", "notifications"] {
        let due = format!("/v1/jobs?queue={queue}&status=PENDING");
        let due = admin.client.all(due).await;
        let of_a_person = due.iter().find(|job| job["orgId"] == Value::Null);
        let id = of_a_person.unwrap()["id"].as_str().unwrap();
        for client in [&admin.client, &manager.client] {
            deed(client, id, "cancel").await.problem(409, "job_not_cancelable");
        }
        assert_eq!(job(&admin.client, id).await["status"], "PENDING");
    }
}

#[tokio::test]
async fn redriving_everybodys_takes_a_recent_proof() {
    let app = TestApp::start_as(Setup::default().parameter("StepUpMinutes", 15)).await;
    let (mut manager, acme) = (app.manager().await, app.tenant().await);
    let dead = a_job(&app, &acme, true).await;
    app.advance(16 * Time::MINUTE);
    let refreshed = json!({"refreshToken": manager.refresh_token});
    let refreshed = app.client().post("/v1/auth/refresh", refreshed).await.expect(200);
    manager = app.known(manager.email.clone(), &refreshed);
    let redrive = async |client: &Client| client.post("/v1/jobs/redrive", json!({})).await;
    redrive(&manager.client).await.problem(403, "proof_required");
    assert_eq!(job(&manager.client, &dead).await["status"], "DEAD");
    let proof = json!({"password": MANAGER_PASSWORD});
    manager.client.post("/v1/auth/step-up", proof).await.expect(204);
    assert_eq!(redrive(&manager.client).await.expect(200).json["jobs"], 1);

    // An organization's own take none.
    let owner = json!({"refreshToken": acme.owner.refresh_token});
    let owner = app.client().post("/v1/auth/refresh", owner).await.expect(200);
    let owner = app.known(acme.owner.email.clone(), &owner);
    redrive(&owner.client.within(&acme.org)).await.expect(200);
}

#[tokio::test]
async fn a_job_is_found_by_its_id_in_whichever_shard_it_was_made() {
    let app = TestApp::start().await;
    let (manager, acme) = (app.manager().await, app.tenant().await);
    let text = invited(&app, &acme).await;
    let named = JobRef::parse(&text).unwrap();
    let table = app.table();
    for shard in 0..4 {
        let mut record = json!(store::find(&table, &named).await.unwrap().unwrap());
        record["shard"] = json!(shard);
        let mut record: JobRecord = serde_json::from_value(record).unwrap();
        assert!(store::save(&table, &mut record).await.unwrap());
        let shown = job(&manager.client, &named.id.to_string()).await;
        assert_eq!(shown["orgId"], acme.org.as_str(), "shard {shard}");
    }
}
