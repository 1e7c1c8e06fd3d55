//! The cases of money that concern invoices (S1 to S4, S16, S17), at the API; credit notes and analytics.

use billing::analytics::moved_mrr;
use kernel::{Minor, Money};
use serde_json::{Value, json};
use testing::{Client, TestApp};

use crate::invoices::{balance, cash, client_of, drafted, go_to, invoice, owner_now, send, sent, told};

fn sums(document: &Value) -> [i64; 3] {
    ["subtotal", "taxAmount", "total"].map(|name| document[name].as_i64().unwrap())
}

/// Credits lines of an invoice.
async fn credit(client: &Client, invoice: &Value, lines: Value) -> testing::Reply {
    let path = format!("/v1/invoices/{}/credit-notes", invoice["id"].as_str().unwrap());
    client.post(path, json!({"lines": lines, "reason": "goodwill"})).await
}

async fn shown(client: &Client, invoice: &Value) -> Value {
    let path = format!("/v1/invoices/{}", invoice["id"].as_str().unwrap());
    client.get(path).await.expect(200).json
}

/// S1.
#[tokio::test]
async fn a_full_credit_note_is_its_invoice() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let found = sent(&acme.client, invoice(&client, &[(761_250, "19")])).await;
    assert_eq!(sums(&found), [761_250, 144_638, 905_888]);
    let note = credit(&acme.client, &found, json!([{"lineIndex": 0}]))
        .await
        .expect(201)
        .json;
    assert_eq!(sums(&note), [761_250, 144_638, 905_888]);
    assert_eq!(
        (&note["number"], &note["invoiceId"]),
        (&json!("CN-2027-0001"), &found["id"])
    );
    assert_eq!([&note["amountDueLowered"], &note["amountToBalance"]], [905_888, 0]);
    let after = shown(&acme.client, &found).await;
    assert_eq!([&after["amountDue"], &after["amountCredited"]], [0, 905_888]);
    assert_eq!(after["status"], "paid");
    credit(&acme.client, &found, json!([{"lineIndex": 0}]))
        .await
        .problem(422, "invalid");
    let path = format!("/v1/credit-notes/{}", note["id"].as_str().unwrap());
    assert_eq!(acme.client.get(path).await.expect(200).json, note);
    assert_eq!(
        acme.client.get("/v1/credit-notes").await.expect(200).data(),
        std::slice::from_ref(&note)
    );
    let of_client = format!("/v1/credit-notes?clientId={client}");
    assert_eq!(
        acme.client.get(of_client).await.expect(200).data(),
        std::slice::from_ref(&note)
    );
    let facts = told(&app, &acme.org, note["id"].as_str().unwrap()).await;
    assert_eq!(facts, [("credit_note.created".to_owned(), 1)]);
    app.settle().await;
}

/// S2.
#[tokio::test]
async fn tax_is_computed_once_for_each_rate() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let mut new = invoice(&client, &[(69_622, "25"), (69_622, "25"), (69_622, "25")]);
    new["currency"] = json!("NOK");
    let made = acme.client.post("/v1/invoices", new).await.expect(201).json;
    assert_eq!(sums(&made), [208_866, 52_217, 261_083]);
    let found = sent(&acme.client, invoice(&client, &[(59_889, "8.5"), (32_984, "8.5")])).await;
    let lines = json!([{"lineIndex": 0, "amount": 5_989}, {"lineIndex": 1, "amount": 3_298}]);
    let note = credit(&acme.client, &found, lines).await.expect(201).json;
    assert_eq!(sums(&found)[0] - sums(&note)[0], 83_586);
    assert_eq!(sums(&found)[1] - sums(&note)[1], 7_105);
    app.settle().await;
}

/// S3.
#[tokio::test]
async fn credit_notes_in_parts_sum_to_the_invoice() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let lines = [(6_833, "20"), (6_833, "20"), (5_750, "20"), (8_500, "20")];
    let found = sent(&acme.client, invoice(&client, &lines)).await;
    assert_eq!(sums(&found), [27_916, 5_583, 33_499]);
    // Half of it is paid: what is credited beyond what is due is the client's.
    let id = found["id"].as_str().unwrap();
    acme.client
        .post(format!("/v1/invoices/{id}/payments"), cash(20_000))
        .await
        .expect(201);
    let mut totals = Vec::new();
    for line in [0, 2, 3, 1] {
        app.advance(1_000);
        let note = credit(&acme.client, &found, json!([{"lineIndex": line}]))
            .await
            .expect(201)
            .json;
        totals.push(note["total"].as_i64().unwrap());
    }
    assert_eq!(totals, [8_200, 6_900, 10_200, 8_199]);
    assert_eq!(shown(&acme.client, &found).await["amountCredited"], 33_499);
    assert_eq!(balance(&app, &acme, &client).await, 20_000);
    let notes = acme.client.all(format!("/v1/invoices/{id}/credit-notes")).await;
    let numbers: Vec<&str> = notes.iter().map(|note| note["number"].as_str().unwrap()).collect();
    assert_eq!(
        numbers,
        ["CN-2027-0004", "CN-2027-0003", "CN-2027-0002", "CN-2027-0001"]
    );
    app.settle().await;
}

#[tokio::test]
async fn what_cannot_be_credited_is_said() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let draft = acme
        .client
        .post("/v1/invoices", invoice(&client, &[(100, "0")]))
        .await
        .expect(201)
        .json;
    credit(&acme.client, &draft, json!([{"lineIndex": 0}]))
        .await
        .problem(409, "invoice_not_sent");
    let found = send(&acme.client, draft["id"].as_str().unwrap()).await;
    for (lines, field) in [
        (json!([]), "lines"),
        (json!([{"lineIndex": 1}]), "lines[0].lineIndex"),
        (json!([{"lineIndex": 0, "amount": 101}]), "lines[0].amount"),
        (json!([{"lineIndex": 0, "amount": 0}]), "lines[0].amount"),
        (json!([{"lineIndex": 0, "quantity": 2}]), "lines[0].quantity"),
        (json!([{"lineIndex": 0}, {"lineIndex": 0}]), "lines[1].lineIndex"),
    ] {
        let reply = credit(&acme.client, &found, lines.clone()).await;
        assert_eq!(reply.problem(422, "invalid").fields(), [field], "{lines}");
    }
    // Nothing of it was paid by a provider that could give it back.
    let id = found["id"].as_str().unwrap();
    acme.client
        .post(format!("/v1/invoices/{id}/payments"), cash(100))
        .await
        .expect(201);
    let refund = json!({"lines": [{"lineIndex": 0}], "reason": "x", "refund": true});
    acme.client
        .post(format!("/v1/invoices/{id}/credit-notes"), refund)
        .await
        .problem(409, "not_refundable");
    let other = sent(&acme.client, invoice(&client, &[(100, "0")])).await;
    let path = format!("/v1/invoices/{}/cancel", other["id"].as_str().unwrap());
    acme.client.post(path, json!({})).await.expect(200);
    credit(&acme.client, &other, json!([{"lineIndex": 0}]))
        .await
        .problem(409, "invoice_cancelled");
    // No number was taken by what was refused.
    let note = credit(&acme.client, &found, json!([{"lineIndex": 0, "amount": 1}]))
        .await
        .expect(201);
    assert_eq!(note.text("number"), "CN-2027-0001");
    app.settle().await;
}

/// S16: the year turns where the organization is.
#[tokio::test]
async fn numbers_begin_anew_when_the_year_turns_at_the_organization() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let path = format!("/v1/orgs/{}", acme.org);
    acme.client
        .patch(path, json!({"timeZone": "Europe/Berlin"}))
        .await
        .expect(200);
    // The client's zone says nothing about numbers.
    let client = client_of(&app, &acme, json!({"timeZone": "Asia/Tokyo"})).await;
    go_to(&app, "2027-12-31T22:30:00Z");
    let owner = owner_now(&app, &acme).await;
    let old = sent(&owner, invoice(&client, &[(100, "0")])).await;
    assert_eq!(
        (&old["number"], &old["issuedOn"]),
        (&json!("INV-2027-0001"), &json!("2027-12-31"))
    );
    let waiting = drafted(&owner, invoice(&client, &[(100, "0")])).await;
    go_to(&app, "2027-12-31T23:30:00Z");
    let owner = owner_now(&app, &acme).await;
    let new = send(&owner, &waiting).await;
    assert_eq!(
        (&new["number"], &new["issuedOn"]),
        (&json!("INV-2028-0001"), &json!("2028-01-01"))
    );
    let note = credit(&owner, &old, json!([{"lineIndex": 0}])).await.expect(201);
    assert_eq!(note.text("number"), "CN-2028-0001");
    app.settle().await;
}

#[tokio::test]
async fn who_is_exempt_is_charged_no_tax_and_told_why() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), json!({"taxRate": "19"}))
        .await
        .expect(200);
    let line = json!([{"description": "a", "quantity": 1, "unitPrice": 1_000}]);
    let new = |client: &str| json!({"clientId": client, "currency": "EUR", "dueDate": "2027-01-29", "lineItems": line});
    let taxed = client_of(&app, &acme, json!({})).await;
    let made = acme.client.post("/v1/invoices", new(&taxed)).await.expect(201).json;
    assert_eq!((&made["taxAmount"], made.get("taxNote")), (&json!(190), None));
    let abroad = client_of(&app, &acme, json!({"taxExempt": "reverse_charge"})).await;
    let made = acme.client.post("/v1/invoices", new(&abroad)).await.expect(201).json;
    assert_eq!(
        (&made["taxAmount"], &made["taxExempt"]),
        (&json!(0), &json!("reverse_charge"))
    );
    assert!(made["taxNote"].as_str().unwrap().starts_with("Reverse charge"));
    // A draft that moves to another client is taxed as that one is.
    let path = format!("/v1/invoices/{}", made["id"].as_str().unwrap());
    let moved = acme
        .client
        .patch(path, json!({"clientId": taxed}))
        .await
        .expect(200)
        .json;
    assert_eq!((&moved["taxAmount"], &moved["clientId"]), (&json!(190), &json!(taxed)));
    app.settle().await;
}

/// A month of revenue: invoices, what was invoiced, credited, cancelled, what that is, its tax, what came in.
fn row(month: &str, currency: &str, figures: [i64; 7]) -> Value {
    let names = [
        "invoices",
        "invoiced",
        "credited",
        "cancelled",
        "revenue",
        "tax",
        "received",
    ];
    let mut row = json!({"month": month, "currency": currency});
    for (name, figure) in names.into_iter().zip(figures) {
        row[name] = json!(figure);
    }
    row
}

#[tokio::test]
async fn revenue_is_what_was_done_in_a_month() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let first = sent(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    let mut dollars = invoice(&client, &[(5_000, "0")]);
    dollars["currency"] = json!("USD");
    sent(&acme.client, dollars).await;
    drafted(&acme.client, invoice(&client, &[(99, "0")])).await;
    let id = first["id"].as_str().unwrap();
    acme.client
        .post(format!("/v1/invoices/{id}/payments"), cash(900))
        .await
        .expect(201);
    go_to(&app, "2027-02-10T12:00:00Z");
    let owner = owner_now(&app, &acme).await;
    credit(&owner, &first, json!([{"lineIndex": 0, "amount": 4_000}]))
        .await
        .expect(201);
    owner
        .post(format!("/v1/invoices/{id}/cancel"), json!({}))
        .await
        .expect(200);

    let months = owner.get("/v1/analytics/revenue").await.expect(200).json;
    let january = row("2027-01", "EUR", [1, 10_000, 0, 0, 10_000, 1_900, 900]);
    let dollars = row("2027-01", "USD", [1, 5_000, 0, 0, 5_000, 0, 0]);
    let february = row("2027-02", "EUR", [0, 0, 4_000, 6_000, -10_000, -1_900, 0]);
    assert_eq!(months["data"], json!([january, dollars, february]));
    let one = owner.get("/v1/analytics/revenue?currency=USD").await.expect(200).json;
    assert_eq!(one["data"], json!([dollars]));
    let one = owner
        .get("/v1/analytics/revenue?from=2027-02-01&to=2027-02-28")
        .await
        .expect(200)
        .json;
    assert_eq!(one["data"], json!([february]));
    let one = owner
        .get("/v1/analytics/revenue?from=2027-01-01T00:00:00Z&to=2027-02-01T00:00:00Z")
        .await;
    assert_eq!(one.expect(200).data().len(), 2);
    let states = owner.get("/v1/analytics/invoices").await.expect(200).json;
    let by_status = &states["byStatus"];
    assert_eq!(
        [&by_status["draft"], &by_status["sent"], &by_status["cancelled"]],
        [1, 1, 1]
    );
    assert_eq!(states["due"], json!({"USD": 5_000}));
    let rival = app.tenant().await;
    assert!(
        rival
            .client
            .get("/v1/analytics/revenue")
            .await
            .expect(200)
            .data()
            .is_empty()
    );
    app.settle().await;
}

#[tokio::test]
async fn what_cannot_be_asked_of_revenue_is_said() {
    let app = TestApp::start().await;
    let owner = app.tenant().await.client;
    for (query, status, field) in [
        ("currency=eur", 422, "currency"),
        ("from=x", 400, "from"),
        ("from=2027-02-01&to=2027-01-01", 422, "to"),
        ("from=2001-01-01", 422, "from"),
    ] {
        let reply = owner.get(format!("/v1/analytics/revenue?{query}")).await.expect(status);
        assert_eq!(reply.fields(), [field], "{query}");
    }
    app.settle().await;
}

/// S17: what subscriptions bring is moved by their deeds, each by what it brought and brings.
#[tokio::test]
async fn monthly_revenue_is_moved_by_currency() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let money = |amount, currency: &str| Some(Money::new(Minor::new(amount), currency.parse().unwrap()));
    let org = acme.org.parse().unwrap();
    for (before, after) in [
        (None, money(4_900, "EUR")),
        (None, money(10_000, "EUR")),
        (None, money(3_042, "EUR")),
        (None, money(9_900, "EUR")),
        (money(9_900, "EUR"), None),
        (None, money(2_000, "USD")),
        (money(2_000, "USD"), money(1_500, "USD")),
        (money(1, "EUR"), money(1, "EUR")),
    ] {
        app.table().write(moved_mrr(org, [(before, after)])).await.unwrap();
    }
    let mrr = acme.client.get("/v1/analytics/mrr").await.expect(200).json;
    let expected = json!([{"currency": "EUR", "amount": 17_942}, {"currency": "USD", "amount": 1_500}]);
    assert_eq!(mrr["data"], expected);
    app.settle().await;
}
