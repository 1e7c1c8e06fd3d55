//! Wallets: what they grant, what ends, what the platform adds and takes back, what is bought; and that all of it adds up.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use kernel::Time;
use serde_json::{Value, json};
use testing::{Client, Person, Reply, Setup, Tenant, TestApp};

/// What the free plan includes each month.
const INCLUDED: i64 = 100_000;

/// The wallet, whose sums hold.
pub(crate) async fn wallet(client: &Client) -> Value {
    let wallet = client.get("/v1/wallet").await.expect(200).json;
    let of = |name: &str| wallet[name].as_i64().unwrap_or_else(|| panic!("{wallet}"));
    let parts = ["balance", "leased", "spent", "expired"].map(of);
    assert_eq!(parts.iter().sum::<i64>(), of("granted"), "{wallet}");
    assert!(parts.iter().all(|part| *part >= 0) && of("debt") >= 0, "{wallet}");
    wallet
}

fn credits_of(org: &str) -> String {
    format!("/v1/admin/orgs/{org}/credits")
}

/// Adds or takes back as a manager.
pub(crate) async fn adjust(manager: &Person, org: &str, body: Value) -> Reply {
    manager.client.post(credits_of(org), body).await
}

async fn add(manager: &Person, tenant: &Tenant, credits: i64) -> Reply {
    let body = json!({"credits": credits, "reason": "goodwill"});
    adjust(manager, &tenant.org, body).await.expect(201)
}

/// Calls as the owner, whose token is fresh.
async fn owner_now(app: &TestApp, tenant: &Tenant) -> Client {
    tenant.owner.logged_in_again(app).await.client.within(&tenant.org)
}

/// What the ledger says of each account; each entry sums to zero.
async fn accounts(client: &Client) -> BTreeMap<String, i64> {
    let (mut accounts, mut entries) = (BTreeMap::<String, i64>::new(), BTreeMap::<String, i64>::new());
    let mut ids = BTreeSet::new();
    for line in client.all("/v1/wallet/ledger").await {
        let (account, amount) = (line["account"].as_str().unwrap(), line["amount"].as_i64().unwrap());
        assert_ne!(amount, 0, "{line}");
        assert!(ids.insert(line["id"].as_str().unwrap().to_owned()), "{line}");
        *accounts.entry(account.to_owned()).or_default() += amount;
        *entries.entry(line["entryId"].as_str().unwrap().to_owned()).or_default() += amount;
    }
    assert!(entries.values().all(|sum| *sum == 0), "{entries:?}");
    accounts
}

/// The wallet and the ledger say the same. Yields the wallet.
pub(crate) async fn agreed(client: &Client) -> Value {
    let (wallet, accounts) = (wallet(client).await, accounts(client).await);
    let account = |name: &str| accounts.get(name).copied().unwrap_or(0);
    let of = |name: &str| wallet[name].as_i64().unwrap();
    assert_eq!(account("granted"), -of("granted"), "{wallet} {accounts:?}");
    assert_eq!(account("expired"), of("expired"), "{wallet} {accounts:?}");
    assert_eq!(account("debt"), of("debt"), "{wallet} {accounts:?}");
    assert_eq!(account("uncovered"), -of("debt"), "{wallet} {accounts:?}");
    // What open leases have sold is among what is spent, and in the account of the balance until they are settled.
    let spendable = of("balance") + of("leased") + of("spent");
    assert_eq!(
        account("balance") + account("spent"),
        spendable,
        "{wallet} {accounts:?}"
    );
    wallet
}

#[tokio::test]
async fn a_new_organization_has_the_credits_of_its_plan_until_the_month_ends() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let expected = json!({"balance": INCLUDED, "leased": 0, "spent": 0, "expired": 0, "granted": INCLUDED, "debt": 0});
    assert_eq!(agreed(&acme.client).await, expected);
    let grants = acme.client.get("/v1/wallet/grants").await.expect(200);
    let [grant] = grants.data() else {
        panic!("{}", grants.json)
    };
    assert!(grant["id"].as_str().unwrap().starts_with("cgr_"), "{grant}");
    assert_eq!(grant["credits"], INCLUDED);
    assert_eq!(grant["remaining"], INCLUDED);
    assert_eq!(grant["expiresAt"], "2027-02-01T00:00:00.000Z");
    assert_eq!(grants.json["nextCursor"], Value::Null);
    // Looking makes it once.
    let looks = join_all((0..10).map(|_| acme.client.get("/v1/wallet/grants"))).await;
    assert!(looks.into_iter().all(|reply| reply.expect(200).data().len() == 1));
}

/// Moves the app's time to a moment.
fn go_to(app: &TestApp, moment: &str) {
    let moment: Time = moment.parse().unwrap();
    app.advance(moment.millis() - app.now().millis());
}

#[tokio::test]
async fn what_a_month_included_ends_with_it_in_the_zone_of_the_organization() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let path = format!("/v1/orgs/{}", acme.org);
    let patched = acme.client.patch(path, json!({"timeZone": "Europe/Berlin"})).await;
    assert_eq!(patched.expect(200).json["timeZone"], "Europe/Berlin");
    // March begins in winter and ends in summer.
    for (last, granted, expired) in [
        ("2027-01-31T22:59:59.999Z", INCLUDED, 0),
        ("2027-01-31T23:00:00.000Z", 2 * INCLUDED, INCLUDED),
        ("2027-02-28T22:59:59.999Z", 2 * INCLUDED, INCLUDED),
        ("2027-02-28T23:00:00.000Z", 3 * INCLUDED, 2 * INCLUDED),
        ("2027-03-31T21:59:59.999Z", 3 * INCLUDED, 2 * INCLUDED),
        ("2027-03-31T22:00:00.000Z", 4 * INCLUDED, 3 * INCLUDED),
    ] {
        go_to(&app, last);
        let wallet = agreed(&owner_now(&app, &acme).await).await;
        let found = ["balance", "granted", "expired"].map(|name| wallet[name].as_i64().unwrap());
        assert_eq!(found, [INCLUDED, granted, expired], "{last}");
    }
    // Months in which nobody called are not made up for.
    go_to(&app, "2027-06-15T12:00:00Z");
    let client = owner_now(&app, &acme).await;
    assert_eq!(wallet(&client).await["granted"], 5 * INCLUDED);
    let grants = client.all("/v1/wallet/grants").await;
    let ends: Vec<_> = grants
        .iter()
        .map(|grant| grant["expiresAt"].as_str().unwrap())
        .collect();
    assert_eq!(ends[0], "2027-06-30T22:00:00.000Z");
    for grant in &grants[1..] {
        assert_eq!((&grant["remaining"], &grant["expired"]), (&json!(0), &json!(INCLUDED)));
    }
}

#[tokio::test]
async fn a_change_of_zone_gives_no_second_month() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    assert_eq!(wallet(&acme.client).await["granted"], INCLUDED);
    let path = format!("/v1/orgs/{}", acme.org);
    acme.client
        .patch(path, json!({"timeZone": "America/Los_Angeles"}))
        .await
        .expect(200);
    // There it is January still, for eight hours.
    go_to(&app, "2027-02-01T00:00:00Z");
    let client = owner_now(&app, &acme).await;
    assert_eq!(agreed(&client).await["granted"], 2 * INCLUDED);
    let grants = client.get("/v1/wallet/grants").await.expect(200);
    assert_eq!(grants.data()[0]["expiresAt"], "2027-03-01T08:00:00.000Z");
}

#[tokio::test]
async fn credits_end_at_once_though_nobody_calls() {
    let app = TestApp::start().await;
    let (acme, manager) = (app.tenant().await, app.manager().await);
    let end = app.now().plus_millis(Time::MINUTE);
    // Far more than what one transaction tells the grants of.
    for number in 0..70 {
        let body = json!({"credits": 10 + number, "reason": "trial", "expiresAt": end, "priority": 1 + number});
        let made = adjust(&manager, &acme.org, body).await.expect(201);
        assert_eq!(made.json["grant"]["remaining"], 10 + number);
        assert_eq!(made.json["grant"]["priority"], 1 + number);
        assert_eq!(made.json["grant"]["expiresAt"], json!(end));
    }
    let given: i64 = (10..80).sum();
    app.advance(Time::MINUTE - 1);
    assert_eq!(wallet(&acme.client).await["balance"], INCLUDED + given);
    app.advance(1);
    let after = agreed(&acme.client).await;
    assert_eq!(
        (&after["balance"], &after["expired"]),
        (&json!(INCLUDED), &json!(given))
    );
    for grant in acme.client.all("/v1/wallet/grants?limit=50").await {
        let (left, ended) = if grant["reason"] == "trial" {
            (json!(0), grant["credits"].clone())
        } else {
            (json!(INCLUDED), json!(0))
        };
        assert_eq!((&grant["remaining"], &grant["expired"]), (&left, &ended), "{grant}");
    }
    // They are one entry.
    let ledger = acme.client.all("/v1/wallet/ledger").await;
    assert_eq!(ledger.iter().filter(|line| line["reason"] == "expired").count(), 2);
}

#[tokio::test]
async fn the_platform_adds_credits_and_says_why() {
    let app = TestApp::start().await;
    let (acme, manager) = (app.tenant().await, app.manager().await);
    let reply = add(&manager, &acme, 5_000).await;
    assert_eq!(reply.json["wallet"]["balance"], INCLUDED + 5_000);
    let grant = &reply.json["grant"];
    assert_eq!(grant["credits"], 5_000);
    assert_eq!(grant["priority"], 50);
    assert_eq!(grant["reason"], "goodwill");
    assert!(grant.get("expiresAt").is_none(), "{grant}");
    assert_eq!(agreed(&acme.client).await, reply.json["wallet"]);
    let listed = acme.client.all("/v1/wallet/grants").await;
    assert!(listed.contains(grant), "{listed:?}");

    let audit = acme
        .client
        .get(format!("/v1/orgs/{}/audit", acme.org))
        .await
        .expect(200);
    let entry = &audit.data()[0];
    assert_eq!(entry["action"], "wallet.credits_adjusted");
    assert_eq!(entry["actorUserId"], manager.id);
    assert_eq!(entry["newValue"], json!({"credits": 5_000, "reason": "goodwill"}));
}

#[tokio::test]
async fn a_correction_takes_back_what_is_there_and_no_more() {
    let app = TestApp::start().await;
    let (acme, manager) = (app.tenant().await, app.manager().await);
    let take = async |credits: i64| adjust(&manager, &acme.org, json!({"credits": credits, "reason": "typo"})).await;
    let reply = take(-40_000).await.expect(201);
    assert!(reply.json.get("grant").is_none(), "{}", reply.json);
    assert_eq!(reply.json["wallet"]["granted"], 60_000);
    take(-60_001).await.problem(409, "balance_too_low");
    assert_eq!(agreed(&acme.client).await["balance"], 60_000);
    take(-60_000).await.expect(201);
    let empty = agreed(&acme.client).await;
    assert_eq!((&empty["balance"], &empty["granted"]), (&json!(0), &json!(0)));
    take(-1).await.problem(409, "balance_too_low");
    // Those that would be used last are taken first.
    let (later, never) = (
        app.now().plus_millis(Time::DAY),
        json!({"credits": 10, "reason": "never"}),
    );
    adjust(
        &manager,
        &acme.org,
        json!({"credits": 10, "reason": "later", "expiresAt": later}),
    )
    .await
    .expect(201);
    adjust(&manager, &acme.org, never).await.expect(201);
    take(-15).await.expect(201);
    let grants = acme.client.all("/v1/wallet/grants").await;
    let left = |reason: &str| grants.iter().find(|grant| grant["reason"] == reason).unwrap()["remaining"].clone();
    assert_eq!((left("later"), left("never")), (json!(5), json!(0)));
}

#[tokio::test]
async fn an_adjustment_that_breaks_a_rule_names_the_field() {
    let app = TestApp::start().await;
    let (acme, manager) = (app.tenant().await, app.manager().await);
    let past = app.now().plus_millis(-1);
    for (body, field) in [
        (json!({"credits": 0, "reason": "a"}), "credits"),
        (json!({"credits": 1_000_000_000_001_i64, "reason": "a"}), "credits"),
        (json!({"credits": 5, "reason": ""}), "reason"),
        (json!({"credits": 5, "reason": "x".repeat(201)}), "reason"),
        (json!({"credits": 5, "reason": "a", "priority": 0}), "priority"),
        (json!({"credits": 5, "reason": "a", "priority": 101}), "priority"),
        (json!({"credits": 5, "reason": "a", "priority": -1}), "priority"),
        (json!({"credits": 5, "reason": "a", "expiresAt": past}), "expiresAt"),
        (
            json!({"credits": 5, "reason": "a", "expiresAt": app.now()}),
            "expiresAt",
        ),
        (json!({"credits": -5, "reason": "a", "expiresAt": past}), "expiresAt"),
    ] {
        let reply = adjust(&manager, &acme.org, body.clone()).await.problem(422, "invalid");
        assert_eq!(reply.fields(), [field], "{body}");
    }
    for (body, code, field) in [
        (json!({"reason": "a"}), "missing_field", "credits"),
        (json!({"credits": 5}), "missing_field", "reason"),
        (json!({"credits": 1.5, "reason": "a"}), "wrong_type", "credits"),
        (json!({"credits": "5", "reason": "a"}), "wrong_type", "credits"),
        (json!({"credits": 5, "reason": "a", "why": "b"}), "unknown_field", "why"),
        (
            json!({"credits": 5, "reason": "a", "expiresAt": "soon"}),
            "wrong_type",
            "expiresAt",
        ),
    ] {
        let reply = adjust(&manager, &acme.org, body).await.problem(400, code);
        assert_eq!(reply.fields(), [field]);
    }
    assert_eq!(agreed(&acme.client).await["granted"], INCLUDED);

    let body = json!({"credits": 5, "reason": "a"});
    let nobody = kernel::OrgId::new(app.now()).to_string();
    adjust(&manager, &nobody, body.clone()).await.problem(404, "not_found");
    adjust(&manager, "acme", body.clone())
        .await
        .problem(400, "malformed_id");
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    adjust(&manager, &acme.org, body).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_platform_alone_adds_credits_and_sets_prices() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let body = json!({"credits": 5, "reason": "a gift to myself"});
    acme.client
        .post(credits_of(&acme.org), body.clone())
        .await
        .problem(403, "forbidden");
    app.client().post(credits_of(&acme.org), body).await.expect(401);
    acme.client.get("/v1/admin/prices").await.problem(403, "forbidden");
    let free = json!({"prices": {"ingest.event": 0}});
    acme.client
        .put("/v1/admin/prices", free.clone())
        .await
        .problem(403, "forbidden");
    app.client().put("/v1/admin/prices", free).await.expect(401);
    assert_eq!(agreed(&acme.client).await["granted"], INCLUDED);
}

#[tokio::test]
async fn the_same_adjustment_sent_twice_is_one() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let manager = app.manager().await;
    let once = manager.client.header("idempotency-key", "gift-1");
    let body = json!({"credits": 700, "reason": "a gift"});
    let first = once.post(credits_of(&acme.org), body.clone()).await.expect(201);
    let again = once.post(credits_of(&acme.org), body.clone()).await.expect(201);
    assert_eq!(again.json, first.json);
    assert_eq!(again.header("idempotent-replayed"), "true");
    once.post(credits_of(&acme.org), json!({"credits": 701, "reason": "a gift"}))
        .await
        .problem(422, "idempotency_key_reused");
    assert_eq!(agreed(&acme.client).await["granted"], INCLUDED + 700);
    // Another organization's is another request, so it wants another key.
    once.post(credits_of(&rival.org), body)
        .await
        .problem(422, "idempotency_key_reused");
    assert_eq!(agreed(&rival.client).await["granted"], INCLUDED);

    // A refusal frees the key; a correction that was done is done once.
    let once = manager.client.header("idempotency-key", "mistake-1");
    let take = async |credits: i64| {
        once.post(credits_of(&acme.org), json!({"credits": credits, "reason": "b"}))
            .await
    };
    take(-999_999).await.problem(409, "balance_too_low");
    let first = take(-700).await.expect(201);
    assert_eq!(take(-700).await.expect(201).json, first.json);
    assert_eq!(agreed(&acme.client).await["granted"], INCLUDED);

    let once = acme.client.header("idempotency-key", "topup-1");
    let first = once.post("/v1/wallet/topups", json!({"credits": 5})).await.expect(201);
    let again = once.post("/v1/wallet/topups", json!({"credits": 5})).await.expect(201);
    assert_eq!(
        (&again.json, again.header("idempotent-replayed")),
        (&first.json, "true")
    );
    assert_eq!(acme.client.all("/v1/wallet/topups").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_adjustments_at_once_add_up() {
    let setup = Setup {
        processes: 4,
        ..Setup::default()
    };
    let app = TestApp::start_as(setup).await;
    let (acme, manager) = (app.tenant().await, app.manager().await);
    add(&manager, &acme, 1_000).await;
    let adjust_at_once = (1..=50_i64).map(|number| {
        // Two in three add, one takes back.
        let credits = if number % 3 == 0 { -number } else { number };
        let client = manager.client.header("idempotency-key", format!("at-once-{number}"));
        let path = credits_of(&acme.org);
        async move {
            let body = json!({"credits": credits, "reason": "at once"});
            client.post(path, body).await.expect(201);
            credits
        }
    });
    let sum: i64 = join_all(adjust_at_once).await.into_iter().sum();
    let after = agreed(&acme.client).await;
    assert_eq!(after["granted"], INCLUDED + 1_000 + sum);
    assert_eq!(after["balance"], INCLUDED + 1_000 + sum);
    let added = acme.client.all("/v1/wallet/grants").await;
    assert_eq!(added.iter().filter(|grant| grant["reason"] == "at once").count(), 34);
}

#[tokio::test]
async fn a_topup_is_pending_until_somebody_pays() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let (one, other) = tokio::join!(
        acme.client.post("/v1/wallet/topups", json!({"credits": 100})),
        acme.client.post("/v1/wallet/topups", json!({"credits": 200})),
    );
    let mut ids = BTreeSet::new();
    for (reply, credits) in [(one.expect(201), 100), (other.expect(201), 200)] {
        let payment = &reply.json["payment"];
        // Anybody who has the link may pay it, and nobody guesses it.
        let page = reply.json["paymentUrl"].as_str().unwrap();
        assert!(page.contains("/pay/") && page.len() > 60, "{page}");
        assert_eq!(payment["paymentUrl"], page);
        assert_eq!(
            (&payment["credits"], &payment["status"]),
            (&json!(credits), &json!("pending"))
        );
        assert_eq!(payment["automatic"], false);
        let id = payment["id"].as_str().unwrap().to_owned();
        assert!(id.starts_with("pay_"), "{id}");
        ids.insert(id);
    }
    let listed = acme.client.all("/v1/wallet/topups").await;
    let found: BTreeSet<_> = listed
        .iter()
        .map(|topup| topup["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, ids);
    assert_eq!(agreed(&acme.client).await["granted"], INCLUDED, "nobody has paid");
    assert!(rival.client.all("/v1/wallet/topups").await.is_empty());

    for bad in [json!(0), json!(-5), json!(1_000_000_000_001_i64)] {
        let reply = acme.client.post("/v1/wallet/topups", json!({"credits": bad})).await;
        assert_eq!(reply.problem(422, "invalid").fields(), ["credits"]);
    }
    let reply = acme.client.post("/v1/wallet/topups", json!({"credits": 1.5})).await;
    assert_eq!(reply.problem(400, "wrong_type").fields(), ["credits"]);
    let reply = acme.client.post("/v1/wallet/topups", json!({})).await;
    assert_eq!(reply.problem(400, "missing_field").fields(), ["credits"]);
}

#[tokio::test]
async fn a_wallet_asks_for_one_topup_at_a_time_sized_to_the_gap() {
    let app = TestApp::start().await;
    let (acme, manager) = (app.tenant().await, app.manager().await);
    let auto = "/v1/wallet/auto-topup";
    acme.client.get(auto).await.problem(404, "not_found");
    let set = json!({"threshold": 1_000, "step": 300});
    assert_eq!(acme.client.put(auto, set.clone()).await.expect(200).json, set);
    assert_eq!(acme.client.get(auto).await.expect(200).json, set);
    assert!(acme.client.all("/v1/wallet/topups").await.is_empty(), "there is enough");

    let take = |credits: i64| adjust(&manager, &acme.org, json!({"credits": -credits, "reason": "b"}));
    take(INCLUDED - 1_000).await.expect(201);
    assert!(
        acme.client.all("/v1/wallet/topups").await.is_empty(),
        "it is not below the threshold"
    );
    take(650).await.expect(201);
    let asked = acme.client.all("/v1/wallet/topups").await;
    assert_eq!(
        (&asked[0]["credits"], &asked[0]["status"]),
        (&json!(900), &json!("pending"))
    );
    assert_eq!(asked[0]["automatic"], true);
    let takes = join_all((0..10).map(|_| take(10))).await;
    assert!(takes.into_iter().all(|reply| reply.status == 201));
    assert_eq!(
        acme.client.all("/v1/wallet/topups").await.len(),
        1,
        "one is open at a time"
    );

    // A manager's credits fulfil it.
    add(&manager, &acme, 900).await;
    let done = acme.client.all("/v1/wallet/topups").await;
    assert_eq!((done.len(), &done[0]["status"]), (1, &json!("succeeded")));
    assert_eq!(agreed(&acme.client).await["balance"], 250 + 900);
    take(151).await.expect(201);
    let asked = acme.client.all("/v1/wallet/topups").await;
    let open: Vec<_> = asked.iter().filter(|topup| topup["status"] == "pending").collect();
    assert_eq!((open.len(), &open[0]["credits"]), (1, &json!(300)));
    told_of_topup(&app, &acme).await;

    // Without it, nothing more is asked for; what is open stays.
    acme.client.delete(auto).await.expect(204);
    acme.client.delete(auto).await.expect(204);
    acme.client.get(auto).await.problem(404, "not_found");
    add(&manager, &acme, 1).await;
    take(900).await.expect(201);
    let all = acme.client.all("/v1/wallet/topups").await;
    assert_eq!(
        (all.len(), &all[0]["status"], &all[1]["status"]),
        (2, &json!("succeeded"), &json!("succeeded"))
    );
    app.settle().await;
}

/// Facts say that credits that were asked for are there.
async fn told_of_topup(app: &TestApp, tenant: &Tenant) {
    let table = app.table();
    let scope = kernel::Scope::<kernel::policy::ReadOrg>::system(tenant.org.parse().unwrap());
    let slice = table::Slice { limit: 10, after: None };
    let facts = outbox::store::log(&table, &scope, slice).await.unwrap().records;
    let facts: Vec<_> = facts.iter().filter(|told| told.fact == "wallet.topped_up").collect();
    assert_eq!(facts.len(), 1);
    let wallet: Value = serde_json::from_str(&facts[0].data).unwrap();
    assert_eq!(wallet["balance"], 250 + 900);
}

#[tokio::test]
async fn a_wallet_that_is_low_already_asks_at_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let set = json!({"threshold": INCLUDED + 1_000, "step": 500});
    acme.client.put("/v1/wallet/auto-topup", set.clone()).await.expect(200);
    acme.client.put("/v1/wallet/auto-topup", set).await.expect(200);
    let asked = acme.client.all("/v1/wallet/topups").await;
    assert_eq!((asked.len(), &asked[0]["credits"]), (1, &json!(1_000)));
    let audit = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    let noted = audit.iter().filter(|entry| entry["action"] == "wallet.auto_topup_set");
    assert_eq!(noted.count(), 1, "what changes nothing is no entry");
}

#[tokio::test]
async fn credits_that_end_make_a_wallet_ask_too() {
    let app = TestApp::start().await;
    let (acme, manager) = (app.tenant().await, app.manager().await);
    let end = app.now().plus_millis(Time::MINUTE);
    let body = json!({"credits": 5_000, "reason": "trial", "expiresAt": end});
    adjust(&manager, &acme.org, body).await.expect(201);
    let set = json!({"threshold": INCLUDED + 10, "step": 10});
    acme.client.put("/v1/wallet/auto-topup", set).await.expect(200);
    assert!(acme.client.all("/v1/wallet/topups").await.is_empty());
    app.advance(Time::MINUTE);
    wallet(&acme.client).await;
    assert_eq!(acme.client.all("/v1/wallet/topups").await[0]["credits"], 10);
}

#[tokio::test]
async fn an_automatic_topup_that_breaks_a_rule_names_the_field() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let set = async |body: Value| acme.client.put("/v1/wallet/auto-topup", body).await;
    for (body, field) in [
        (json!({"threshold": 0, "step": 5}), "threshold"),
        (json!({"threshold": 5, "step": 0}), "step"),
        (json!({"threshold": -1, "step": 5}), "threshold"),
        (json!({"threshold": 5, "step": 1_000_000_000_001_i64}), "step"),
    ] {
        assert_eq!(set(body).await.problem(422, "invalid").fields(), [field]);
    }
    for (body, code, field) in [
        (json!({"threshold": 5}), "missing_field", "step"),
        (json!({"threshold": 5, "step": 5, "most": 1}), "unknown_field", "most"),
        (json!({"threshold": "5", "step": 5}), "wrong_type", "threshold"),
    ] {
        assert_eq!(set(body).await.problem(400, code).fields(), [field]);
    }
    acme.client.get("/v1/wallet/auto-topup").await.problem(404, "not_found");
}

#[tokio::test]
async fn the_ledger_is_read_in_pages_of_whole_entries_by_its_own_tenant() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let manager = app.manager().await;
    for _ in 0..4 {
        // What happens in one millisecond has no order.
        app.advance(1);
        add(&manager, &acme, 10).await;
    }
    let page = acme.client.get("/v1/wallet/ledger?limit=2").await.expect(200);
    assert_eq!(page.data().len(), 4, "two entries of two lines");
    let line = &page.data()[0];
    assert_eq!(line["id"], format!("{}-1", line["entryId"].as_str().unwrap()));
    assert_eq!(line["reason"], "goodwill");
    assert_eq!(line["at"], json!(app.now()));
    let cursor = page.json["nextCursor"].as_str().unwrap();
    let next = format!("/v1/wallet/ledger?limit=2&cursor={cursor}");
    assert_eq!(acme.client.get(&next).await.expect(200).data().len(), 4);
    rival.client.get(&next).await.problem(400, "bad_cursor");
    rival
        .client
        .get(next.replace("ledger", "grants"))
        .await
        .problem(400, "bad_cursor");
    for list in ["ledger", "grants", "topups"] {
        for bad in ["limit=0", "limit=101"] {
            let reply = acme.client.get(format!("/v1/wallet/{list}?{bad}")).await;
            reply.problem(400, "bad_limit");
        }
        let reply = acme.client.get(format!("/v1/wallet/{list}?colour=red")).await;
        assert_eq!(reply.problem(400, "unknown_field").fields(), ["colour"]);
        let theirs = rival.owner.client.within(&acme.org);
        theirs.get(format!("/v1/wallet/{list}")).await.problem(404, "not_found");
    }
    rival
        .owner
        .client
        .within(&acme.org)
        .get("/v1/wallet")
        .await
        .problem(404, "not_found");
    rival.owner.client.get("/v1/wallet").await.problem(400, "missing_org");
    assert_eq!(acme.client.all("/v1/wallet/ledger?limit=3").await.len(), 10);
    assert_eq!(agreed(&rival.client).await["granted"], INCLUDED);
}

#[tokio::test]
async fn the_plan_says_what_an_organization_is_entitled_to() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let reply = acme.client.get("/v1/entitlements").await.expect(200);
    assert_eq!(reply.json["plan"], "free");
    let entitlements = reply.json["entitlements"].as_object().unwrap();
    assert_eq!(entitlements["maxFileMb"], 10);
    assert_eq!(entitlements["includedCredits"], INCLUDED);
    assert!(entitlements.values().all(|value| value.is_u64() || *value == true));
    let theirs = rival.owner.client.within(&acme.org);
    theirs.get("/v1/entitlements").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_manager_sets_what_operations_cost() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let prices = "/v1/admin/prices";
    let usual = json!({"prices": {"ingest.event": 1, "public.call": 1}});
    assert_eq!(manager.client.get(prices).await.expect(200).json, usual);
    let set = json!({"prices": {"ingest.event": 3}});
    let dear = json!({"prices": {"ingest.event": 3, "public.call": 1}});
    assert_eq!(manager.client.put(prices, set).await.expect(200).json, dear);
    assert_eq!(manager.client.get(prices).await.expect(200).json, dear);
    let audit = manager.client.all("/v1/audit").await;
    let noted = audit.iter().find(|entry| entry["action"] == "prices.changed").unwrap();
    assert_eq!((&noted["oldValue"], &noted["newValue"]), (&usual, &dear));

    for (body, field) in [
        (json!({"prices": {"ingest.event": -1}}), "prices.ingest.event"),
        (json!({"prices": {"ingest.event": 1_000_001}}), "prices.ingest.event"),
        (json!({"prices": {"coffee": 1}}), "prices.coffee"),
    ] {
        let reply = manager.client.put(prices, body).await.problem(422, "invalid");
        assert_eq!(reply.fields(), [field]);
    }
    for (body, code) in [
        (json!({}), "missing_field"),
        (json!({"prices": {"ingest.event": 0.5}}), "wrong_type"),
        (json!({"prices": 5}), "wrong_type"),
        (json!({"prices": {}, "from": "now"}), "unknown_field"),
    ] {
        manager.client.put(prices, body).await.problem(400, code);
    }
    assert_eq!(manager.client.get(prices).await.expect(200).json, dear);
    let reset = manager.client.put(prices, json!({"prices": {}})).await.expect(200);
    assert_eq!(reset.json, usual);
}
