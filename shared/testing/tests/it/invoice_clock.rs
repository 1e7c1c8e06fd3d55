//! What the clock does to invoices: they fall overdue, clients are reminded, recurring ones recur; each once, however often,
//! late and concurrently it is done, and whatever process dies.

use billing::{Invoice, Recurring};
use futures::future::join_all;
use serde_json::{Value, json};
use testing::{Chaos, Moment, Tenant, TestApp};

use crate::invoices::{cash, client_of, drafted, go_to, invoice, owner_now, sent, told};

/// No deed here makes more calls.
const MOST_CALLS: u64 = 40;

/// Lets the clock do what is due to an invoice; when it is due next.
async fn tick(app: &TestApp, tenant: &Tenant, invoice: &Value) -> Option<String> {
    let id = invoice["id"].as_str().unwrap().parse().unwrap();
    let next = Invoice::do_due(&app.app().await, &app.post(), tenant.org.parse().unwrap(), id).await;
    next.unwrap().map(|at| at.to_string())
}

async fn shown(app: &TestApp, tenant: &Tenant, invoice: &Value) -> Value {
    let path = format!("/v1/invoices/{}", invoice["id"].as_str().unwrap());
    owner_now(app, tenant).await.get(path).await.expect(200).json
}

/// How many mails remind a client.
async fn reminders(app: &TestApp, address: &str) -> usize {
    app.settle().await;
    let mails = app.mails_to(address).into_iter();
    mails.filter(|mail| mail.subject.starts_with("Reminder:")).count()
}

/// S16.
#[tokio::test]
async fn an_invoice_is_overdue_from_the_end_of_its_day_at_the_client() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(
        &app,
        &acme,
        json!({"timeZone": "Europe/Berlin", "email": "late@acme.example"}),
    )
    .await;
    let found = sent(&acme.client, invoice(&client, &[(1_000, "0")])).await;
    let end = "2027-01-29T23:00:00.000Z";
    go_to(&app, "2027-01-29T22:59:00Z");
    assert_eq!(tick(&app, &acme, &found).await.as_deref(), Some(end));
    assert_eq!(shown(&app, &acme, &found).await["status"], "sent");
    assert_eq!(reminders(&app, "late@acme.example").await, 0);
    go_to(&app, end);
    // Three at once, and again.
    let ticks = join_all((0..3).map(|_| tick(&app, &acme, &found))).await;
    assert!(
        ticks
            .iter()
            .all(|next| next.as_deref() == Some("2027-01-31T23:00:00.000Z")),
        "{ticks:?}"
    );
    tick(&app, &acme, &found).await;
    let late = shown(&app, &acme, &found).await;
    assert_eq!((&late["status"], &late["overdueAt"]), (&json!("overdue"), &json!(end)));
    let id = found["id"].as_str().unwrap();
    let names: Vec<String> = told(&app, &acme.org, id)
        .await
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["invoice.created", "invoice.sent", "invoice.overdue"]);
    let owner = owner_now(&app, &acme).await;
    let states = owner.get("/v1/analytics/invoices").await.expect(200).json;
    assert_eq!(states["overdue"], json!({"count": 1, "amounts": {"EUR": 1_000}}));
    assert_eq!(states["byStatus"]["sent"], 0);
    app.settle().await;
}

#[tokio::test]
async fn reminders_go_out_once_each_and_stop_when_it_is_paid() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({"email": "late@acme.example"})).await;
    let found = sent(&acme.client, invoice(&client, &[(1_000, "0")])).await;
    // 3 and 10 days after the due one; the first was missed.
    go_to(&app, "2027-02-08T00:00:00Z");
    join_all((0..3).map(|_| tick(&app, &acme, &found))).await;
    let next = tick(&app, &acme, &found).await;
    assert_eq!(next.as_deref(), Some("2027-02-18T00:00:00.000Z"));
    assert_eq!(reminders(&app, "late@acme.example").await, 1);
    let mut mails = app.mails_to("late@acme.example").into_iter();
    let mail = mails.rfind(|mail| mail.subject.starts_with("Reminder:")).unwrap();
    assert_eq!(mail.subject, "Reminder: invoice INV-2027-0001 from Tenant 1 is overdue");
    assert!(
        mail.text
            .unwrap()
            .contains("was due on 2027-01-29, and EUR 10.00 of it is not paid yet")
    );
    assert_eq!(shown(&app, &acme, &found).await["reminders"], 2);
    let path = format!("/v1/invoices/{}/payments", found["id"].as_str().unwrap());
    owner_now(&app, &acme).await.post(path, cash(1_000)).await.expect(201);
    go_to(&app, "2027-02-18T00:00:00Z");
    assert_eq!(tick(&app, &acme, &found).await, None);
    assert_eq!(reminders(&app, "late@acme.example").await, 1);
    app.settle().await;
}

#[tokio::test]
async fn a_paid_invoice_never_becomes_overdue() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let found = sent(&acme.client, invoice(&client, &[(1_000, "0")])).await;
    go_to(&app, "2027-01-30T00:00:00Z");
    let owner = owner_now(&app, &acme).await;
    // The payment and the clock meet: whichever comes first, in the end it is paid.
    let path = format!("/v1/invoices/{}/payments", found["id"].as_str().unwrap());
    let (reply, _) = futures::future::join(
        owner.post(path, cash(1_000)),
        join_all((0..5).map(|_| tick(&app, &acme, &found))),
    )
    .await;
    reply.expect(201);
    assert_eq!(tick(&app, &acme, &found).await, None);
    let paid = shown(&app, &acme, &found).await;
    assert_eq!((&paid["status"], &paid["amountDue"]), (&json!("paid"), &json!(0)));
    let nothing = sent(&owner, invoice(&client, &[(0, "0")])).await;
    assert_eq!(tick(&app, &acme, &nothing).await, None);
    let cancelled = sent(&owner, invoice(&client, &[(1, "0")])).await;
    let path = format!("/v1/invoices/{}/cancel", cancelled["id"].as_str().unwrap());
    owner.post(path, json!({})).await.expect(200);
    assert_eq!(tick(&app, &acme, &cancelled).await, None);
    app.settle().await;
}

/// A recurring invoice over 100 from a day on.
async fn recurring(app: &TestApp, tenant: &Tenant, rest: Value) -> Value {
    let client = client_of(app, tenant, json!({})).await;
    let mut new = json!({
        "clientId": client, "currency": "EUR", "interval": "monthly", "dueInDays": 10, "autoSend": true,
        "lineItems": [{"description": "Hosting", "quantity": 1, "unitPrice": 100}],
    });
    new.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let owner = owner_now(app, tenant).await;
    owner.post("/v1/recurring-invoices", new).await.expect(201).json
}

/// Lets the clock make what is due; when it recurs next.
async fn recur(app: &TestApp, tenant: &Tenant, recurring: &Value) -> Option<String> {
    let id = recurring["id"].as_str().unwrap().parse().unwrap();
    let next = Recurring::do_due(&app.app().await, tenant.org.parse().unwrap(), id).await;
    next.unwrap().map(|at| at.to_string())
}

/// The days of the invoices of a client, and their states, oldest first.
async fn made(app: &TestApp, tenant: &Tenant, recurring: &Value) -> Vec<(String, String)> {
    let owner = owner_now(app, tenant).await;
    let client = recurring["clientId"].as_str().unwrap();
    let invoices = owner.all(format!("/v1/invoices?clientId={client}")).await;
    let mut days: Vec<(String, String)> = invoices
        .iter()
        .map(|invoice| {
            assert_eq!(invoice["recurringInvoiceId"], recurring["id"]);
            let key = format!(
                "{}_{}",
                recurring["id"].as_str().unwrap(),
                invoice["issuedOn"].as_str().unwrap()
            );
            assert_eq!(invoice["billingKey"], key);
            let text = |name: &str| invoice[name].as_str().unwrap().to_owned();
            (text("issuedOn"), text("status"))
        })
        .collect();
    days.sort_unstable();
    days
}

/// S9.
#[tokio::test]
async fn occurrences_count_from_the_start_and_come_once_however_late() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let found = recurring(&app, &acme, json!({"startAt": "2027-01-01T00:00:00Z"})).await;
    assert_eq!(
        (&found["status"], &found["nextAt"]),
        (&json!("active"), &json!("2027-01-01T00:00:00.000Z"))
    );
    // The first lies in the past: one for it, none for days to come.
    let next = recur(&app, &acme, &found).await;
    assert_eq!(next.as_deref(), Some("2027-02-01T00:00:00.000Z"));
    // Nothing runs until the 3rd, then everything at once.
    go_to(&app, "2027-02-03T12:00:00Z");
    join_all((0..4).map(|_| recur(&app, &acme, &found))).await;
    let next = recur(&app, &acme, &found).await;
    assert_eq!(next.as_deref(), Some("2027-03-01T00:00:00.000Z"));
    let day = |day: &str| (day.to_owned(), "sent".to_owned());
    assert_eq!(made(&app, &acme, &found).await, [day("2027-01-01"), day("2027-02-01")]);
    go_to(&app, "2028-01-15T12:00:00Z");
    let next = recur(&app, &acme, &found).await;
    assert_eq!(next.as_deref(), Some("2028-02-01T00:00:00.000Z"));
    let days = made(&app, &acme, &found).await;
    assert_eq!(days.len(), 13);
    assert!(days.iter().all(|(day, _)| day.ends_with("-01")), "{days:?}");
    let owner = owner_now(&app, &acme).await;
    let numbers = owner.all("/v1/invoices").await;
    let mut numbers: Vec<&str> = numbers.iter().map(|one| one["number"].as_str().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!((numbers.len(), numbers[1]), (13, "INV-2027-0002"));
    app.settle().await;
}

#[tokio::test]
async fn a_long_outage_is_made_up_for_in_parts() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let start = json!({"startAt": "2026-01-02T00:00:00Z", "interval": "weekly", "autoSend": false});
    let found = recurring(&app, &acme, start).await;
    // 55 weeks: at most 25 at once.
    assert!(recur(&app, &acme, &found).await.unwrap() < app.now().to_string());
    recur(&app, &acme, &found).await;
    assert_eq!(
        recur(&app, &acme, &found).await.as_deref(),
        Some("2027-01-22T00:00:00.000Z")
    );
    let days = made(&app, &acme, &found).await;
    assert_eq!(days.len(), 55);
    assert!(days.iter().all(|(_, status)| status == "draft"));
    app.settle().await;
}

#[tokio::test]
async fn a_recurring_invoice_is_paused_resumed_and_cancelled() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let found = recurring(&app, &acme, json!({"startAt": "2027-01-31T00:00:00Z"})).await;
    let path = format!("/v1/recurring-invoices/{}", found["id"].as_str().unwrap());
    assert_eq!(acme.client.get(&path).await.expect(200).json, found);
    acme.client
        .post(format!("{path}/resume"), json!({}))
        .await
        .problem(409, "recurring_not_paused");
    let paused = acme
        .client
        .post(format!("{path}/pause"), json!({}))
        .await
        .expect(200)
        .json;
    assert_eq!((&paused["status"], &paused["nextAt"]), (&json!("paused"), &Value::Null));
    acme.client
        .post(format!("{path}/pause"), json!({}))
        .await
        .problem(409, "recurring_not_active");
    go_to(&app, "2027-02-28T12:00:00Z");
    assert_eq!(recur(&app, &acme, &found).await, None);
    let owner = owner_now(&app, &acme).await;
    let resumed = owner.post(format!("{path}/resume"), json!({})).await.expect(200).json;
    // From today, and the anchor comes back.
    assert_eq!(resumed["nextAt"], "2027-02-28T00:00:00.000Z");
    assert_eq!(
        recur(&app, &acme, &found).await.as_deref(),
        Some("2027-03-31T00:00:00.000Z")
    );
    owner.post(format!("{path}/cancel"), json!({})).await.expect(200);
    owner
        .post(format!("{path}/cancel"), json!({}))
        .await
        .problem(409, "recurring_cancelled");
    go_to(&app, "2027-06-01T00:00:00Z");
    assert_eq!(recur(&app, &acme, &found).await, None);
    assert_eq!(made(&app, &acme, &found).await.len(), 1);
    let owner = owner_now(&app, &acme).await;
    let of_client = format!(
        "/v1/recurring-invoices?clientId={}",
        found["clientId"].as_str().unwrap()
    );
    assert_eq!(owner.get(of_client).await.expect(200).data().len(), 1);
    let actions: Vec<Value> = owner.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    let actions: Vec<&str> = actions.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions[0], "recurring_invoice.cancelled");
    app.settle().await;
}

#[tokio::test]
async fn a_client_is_not_deleted_while_something_recurs() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let found = recurring(&app, &acme, json!({"startAt": "2027-01-31T00:00:00Z"})).await;
    let ended = json!({"startAt": "2027-01-31T00:00:00Z", "endAt": "2027-02-10T00:00:00Z"});
    let ends = recurring(&app, &acme, ended).await;
    let client = |of: &Value| format!("/v1/clients/{}", of["clientId"].as_str().unwrap());
    let path = format!("/v1/recurring-invoices/{}", found["id"].as_str().unwrap());
    let code = "client_has_recurring_invoice";
    acme.client.delete(client(&found)).await.problem(409, code);
    acme.client.delete(client(&ends)).await.problem(409, code);
    // One that rests may go on.
    acme.client.post(format!("{path}/pause"), json!({})).await.expect(200);
    acme.client.delete(client(&found)).await.problem(409, code);
    acme.client.post(format!("{path}/cancel"), json!({})).await.expect(200);
    acme.client.delete(client(&found)).await.expect(204);
    let new = json!({
        "clientId": found["clientId"], "currency": "EUR", "interval": "monthly", "dueInDays": 10,
        "startAt": "2027-01-31T00:00:00Z", "lineItems": [{"description": "Hosting", "quantity": 1, "unitPrice": 100}],
    });
    acme.client
        .post("/v1/recurring-invoices", new)
        .await
        .problem(404, "not_found");
    // One whose last day was made has ended.
    go_to(&app, "2027-02-01T00:00:00Z");
    assert_eq!(recur(&app, &acme, &ends).await, None);
    let owner = owner_now(&app, &acme).await;
    owner.delete(client(&ends)).await.expect(204);
    app.settle().await;
}

#[tokio::test]
async fn every_rule_that_a_recurring_invoice_breaks_is_named() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    for (field, value) in [
        ("lineItems", json!([])),
        ("currency", json!("EURO")),
        ("taxRate", json!(101)),
        ("dueInDays", json!(366)),
        ("endAt", json!("2026-01-01T00:00:00Z")),
        ("startAt", json!("2001-01-01T00:00:00Z")),
    ] {
        let mut new = json!({
            "clientId": client, "currency": "EUR", "interval": "monthly", "startAt": "2027-02-01T00:00:00Z", "dueInDays": 10,
            "lineItems": [{"description": "a", "quantity": 1, "unitPrice": 1}],
        });
        new[field] = value;
        let reply = acme.client.post("/v1/recurring-invoices", new).await;
        assert_eq!(reply.problem(422, "invalid").fields(), [field]);
    }
    let absent = kernel::RecurringInvoiceId::new(app.now());
    let path = format!("/v1/recurring-invoices/{absent}");
    acme.client.get(&path).await.problem(404, "not_found");
    for deed in ["pause", "resume", "cancel"] {
        acme.client
            .post(format!("{path}/{deed}"), json!({}))
            .await
            .problem(404, "not_found");
    }
    app.settle().await;
}

/// Sends an invoice with a process that dies at a call, and then again with the same key, as a client does. Whether it got
/// so far; and the number.
async fn sent_by_who_dies(app: &TestApp, chaos: &Chaos, tenant: &Tenant, call: u64, moment: Moment) -> (bool, String) {
    let owner = owner_now(app, tenant).await;
    let client = client_of(app, tenant, json!({})).await;
    let id = drafted(&owner, invoice(&client, &[(100, "19")])).await;
    let (path, keyed) = (format!("/v1/invoices/{id}/send"), owner.header("idempotency-key", &id));
    chaos.enable(true);
    chaos.crash_at(call, moment);
    let died = tokio::select! {
        reply = keyed.post(&path, json!({})) => { reply.expect(200); false }
        () = chaos.crashed() => true,
    };
    chaos.enable(false);
    let left = owner.get(format!("/v1/invoices/{id}")).await.expect(200).json;
    let facts = told(app, &tenant.org, &id).await.len();
    let is_whole = match left["status"].as_str().unwrap() {
        "draft" => facts == 1 && left["number"].is_null(),
        "sent" => facts == 2 && left["number"].is_string(),
        _ => false,
    };
    assert!(is_whole, "{moment:?} call {call}: {facts} facts of {left}");
    let mut reply = keyed.post(&path, json!({})).await;
    if reply.json["code"] == "in_flight" {
        app.advance(31_000);
        reply = keyed.post(&path, json!({})).await;
    }
    (died, reply.expect(200).text("number"))
}

#[tokio::test]
async fn whoever_dies_while_sending_leaves_no_gap() {
    let chaos = Chaos::only(&[]);
    let app = TestApp::start_under(chaos.clone()).await;
    let acme = app.tenant().await;
    let (mut many, mut calls) = (0, 0);
    for call in 1..=MOST_CALLS {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            let (so_far, number) = sent_by_who_dies(&app, &chaos, &acme, call, moment).await;
            many += 1;
            assert_eq!(number, format!("INV-2027-{many:04}"), "{moment:?} call {call}");
            died = so_far;
        }
        if !died {
            break;
        }
        calls = call;
    }
    // Who calls, the claim, what is read, the end of the chain, the transaction, what the queue is told.
    assert!((10..MOST_CALLS).contains(&calls), "{calls} calls");
    app.advance(120_000);
    app.run_sweeper().await;
    app.settle().await;
}

#[tokio::test]
async fn whoever_dies_while_it_recurs_leaves_one_invoice() {
    let chaos = Chaos::only(&[]);
    let app = TestApp::start_under(chaos.clone()).await;
    let acme = app.tenant().await;
    let mut calls = 0;
    for call in 1..=MOST_CALLS {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            let found = recurring(&app, &acme, json!({"startAt": "2027-01-15T00:00:00Z"})).await;
            let dying = app.app_of("BillingWorker").await;
            let id = found["id"].as_str().unwrap().parse().unwrap();
            chaos.enable(true);
            chaos.crash_at(call, moment);
            died = tokio::select! {
                done = Recurring::do_due(&dying, acme.org.parse().unwrap(), id) => { done.unwrap(); false }
                () = chaos.crashed() => true,
            };
            chaos.enable(false);
            for _ in 0..2 {
                let next = recur(&app, &acme, &found).await;
                assert_eq!(
                    next.as_deref(),
                    Some("2027-02-15T00:00:00.000Z"),
                    "{moment:?} call {call}"
                );
            }
            let day = ("2027-01-15".to_owned(), "sent".to_owned());
            assert_eq!(made(&app, &acme, &found).await, [day], "{moment:?} call {call}");
        }
        if !died {
            break;
        }
        calls = call;
    }
    assert!((7..MOST_CALLS).contains(&calls), "{calls} calls");
    app.advance(120_000);
    app.run_sweeper().await;
    app.settle().await;
}
