//! The platform's own organization: the others are its clients, with plans that are billed by the same code.

use kernel::{OrgId, Time};
use serde_json::{Value, json};
use testing::{Client, Person, Tenant, TestApp};

async fn run(app: &TestApp) {
    app.fire("BillingRun").await;
    app.settle().await;
}

/// The manager within the platform's organization.
async fn seller(app: &TestApp) -> Client {
    let manager: Person = app.manager().await;
    let platform = OrgId::PLATFORM.to_string();
    app.client().bearer(&manager.access_token).within(&platform)
}

/// Sells the plan `pro` to the only organization that there is. The subscription, and what its change came to.
async fn sell_pro(seller: &Client) -> (String, Value) {
    let plans = seller.all("/v1/plans").await;
    let pro = plans.iter().find(|plan| plan["name"] == "pro").unwrap();
    let subscription = seller.all("/v1/subscriptions").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/subscriptions/{subscription}/change-plan");
    let changed = seller.post(path, json!({"planId": pro["id"]})).await.expect(200).json;
    (subscription, changed)
}

async fn own_plan(tenant: &Tenant) -> Value {
    let entitlements = tenant.client.get("/v1/entitlements").await.expect(200).json;
    json!([entitlements["plan"], entitlements["entitlements"]["maxFileMb"]])
}

#[tokio::test]
async fn a_new_organization_is_a_client_of_the_platform_with_the_free_plan() {
    let app = TestApp::start().await;
    let [acme, other] = app.tenants().await;
    run(&app).await;
    run(&app).await;
    let seller = seller(&app).await;
    let orgs = seller.all("/v1/orgs").await;
    assert_eq!(orgs.len(), 1);
    assert_eq!(
        (&orgs[0]["id"], &orgs[0]["name"], &orgs[0]["role"]),
        (&json!(OrgId::PLATFORM), &json!("Countinghouse"), &json!("owner"))
    );
    let mut clients = seller.all("/v1/clients").await;
    clients.sort_by_key(|client| client["externalId"].to_string());
    let ids: Vec<&Value> = clients.iter().map(|client| &client["externalId"]).collect();
    let mut expected = [json!(acme.org), json!(other.org)];
    expected.sort_by_key(Value::to_string);
    assert_eq!(ids, expected.iter().collect::<Vec<_>>());
    let plans = seller.all("/v1/plans").await;
    let mut names: Vec<&str> = plans.iter().map(|plan| plan["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["enterprise", "free", "pro"]);
    let subscriptions = seller.all("/v1/subscriptions").await;
    assert!(
        subscriptions
            .iter()
            .all(|one| one["planName"] == "free" && one["status"] == "ACTIVE")
    );
    assert_eq!(subscriptions.len(), 2);
    // A month later nobody owes anything.
    app.advance(40 * Time::DAY);
    run(&app).await;
    let seller = self::seller(&app).await;
    assert_eq!(seller.all("/v1/invoices").await, Vec::<Value>::new());
    // It is no tenant's business.
    let acme = acme.client.within(&OrgId::PLATFORM.to_string());
    assert!([401, 403, 404].contains(&acme.get("/v1/clients").await.status.as_u16()));
}

#[tokio::test]
async fn who_changes_the_plan_pays_for_it_and_has_what_it_grants() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    run(&app).await;
    run(&app).await;
    assert_eq!(own_plan(&acme).await, json!(["free", 10]));
    let seller = seller(&app).await;
    let (subscription, changed) = sell_pro(&seller).await;
    assert_eq!(changed["invoice"]["total"], 4_900, "{changed}");
    assert_eq!(own_plan(&acme).await, json!(["pro", 50]));
    app.settle().await;
    let cancel = format!("/v1/subscriptions/{subscription}/cancel");
    seller.post(cancel, json!({"at": "now"})).await.expect(200);
    assert_eq!(own_plan(&acme).await, json!(["free", 10]));
    app.settle().await;
}

#[tokio::test]
async fn what_a_plan_includes_counts_from_the_next_month() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    run(&app).await;
    let granted = async |acme: &Tenant| acme.client.get("/v1/wallet").await.expect(200).json["granted"].clone();
    assert_eq!(granted(&acme).await, 100_000);
    let seller = seller(&app).await;
    sell_pro(&seller).await;
    app.settle().await;
    assert_eq!(granted(&acme).await, 100_000);
    // From 15 January to the first days of February.
    app.advance(20 * Time::DAY);
    let owner = acme.owner.logged_in_again(&app).await;
    let acme = Tenant {
        client: app.client().bearer(&owner.access_token).within(&acme.org),
        ..acme
    };
    assert_eq!(granted(&acme).await, 5_100_000);
}

#[tokio::test]
async fn an_organization_that_is_gone_is_not_enrolled() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    run(&app).await;
    app.fire("BillingRun").await;
    assert_eq!(app.take("BillingQueue").await.len(), 0);
}

#[tokio::test]
async fn who_deletes_their_organization_owes_nothing_more() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    run(&app).await;
    run(&app).await;
    let seller = seller(&app).await;
    sell_pro(&seller).await;
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    run(&app).await;
    run(&app).await;
    let contract = seller.all("/v1/contracts").await[0].clone();
    assert_eq!(
        (&contract["status"], &contract["reason"]),
        (&json!("TERMINATED"), &json!("ADMIN_DECISION"))
    );
    assert_eq!(seller.all("/v1/subscriptions").await[0]["status"], "CANCELED");
    assert_eq!(seller.all("/v1/credit-notes").await[0]["total"], 4_900);
    app.fire("BillingRun").await;
    assert_eq!(app.take("BillingQueue").await.len(), 0);
    // The platform's own is there for good.
    let own = seller.delete(format!("/v1/orgs/{}", OrgId::PLATFORM)).await;
    own.problem(409, "platform_org");
}

#[tokio::test]
async fn an_organization_that_is_called_otherwise_is_so_for_the_platform_too() {
    let app = TestApp::start().await;
    let [acme, other] = app.tenants().await;
    run(&app).await;
    run(&app).await;
    let client = async |tenant: &Tenant| {
        let all = seller(&app).await.all("/v1/clients").await;
        all.into_iter()
            .find(|client| client["externalId"] == json!(tenant.org))
            .unwrap()
    };
    let before = [client(&acme).await, client(&other).await];
    let path = format!("/v1/clients/{}", before[0]["id"].as_str().unwrap());
    // What only the platform says stays.
    let said = json!({"language": "pt-BR", "phone": "+4930123456", "taxExempt": "reverse_charge"});
    seller(&app).await.patch(&path, said.clone()).await.expect(200);
    let address = json!({"line1": "Ring 1", "postalCode": "1010", "city": "Wien", "country": "AT"});
    let change =
        json!({"name": "Acme & Sons", "timeZone": "Europe/Vienna", "address": address, "taxId": "ATU12345678"});
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), change.clone())
        .await
        .expect(200);
    assert_eq!(
        client(&acme).await["name"],
        before[0]["name"],
        "not before the next run"
    );
    run(&app).await;
    run(&app).await;
    let after = client(&acme).await;
    for (name, value) in change.as_object().unwrap().iter().chain(said.as_object().unwrap()) {
        let expected = if name == "address" { &after["address"] } else { value };
        assert_eq!(&after[name], expected, "{name}");
    }
    assert_eq!(after["address"]["line1"], "Ring 1");
    assert_eq!(after["email"], before[0]["email"]);
    assert_eq!(client(&other).await, before[1], "nobody else is called otherwise");
    // What an organization takes back stays as it was known, and what it says again changes nothing.
    let noted = async || {
        let path = format!("/v1/orgs/{}/audit", OrgId::PLATFORM);
        let all = seller(&app).await.all(path).await.into_iter();
        all.filter(|entry| entry["action"] == "client.updated" && entry["actorUserId"].is_null())
            .count()
    };
    assert_eq!(noted().await, 1);
    let nothing = json!({"address": null, "taxId": null, "color": "#112233"});
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), nothing)
        .await
        .expect(200);
    run(&app).await;
    assert_eq!(client(&acme).await, after);
    assert_eq!(noted().await, 1);
    // The platform's own is no client of its own.
    let name = json!({"name": "Countinghouse Ltd"});
    seller(&app)
        .await
        .patch(format!("/v1/orgs/{}", OrgId::PLATFORM), name)
        .await
        .expect(200);
    run(&app).await;
    assert_eq!(seller(&app).await.all("/v1/clients").await.len(), 2);
}
