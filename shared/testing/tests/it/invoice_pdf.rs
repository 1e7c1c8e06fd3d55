//! /v1/invoices/{id}/pdf and /xml, and those of credit notes: what was sent is stored and led to, what does not count is not.

use serde_json::{Value, json};
use testing::{Client, Tenant, TestApp};

use crate::invoices::{cash, client_of, drafted, invoice, sent};

/// A tenant that has said everything an e-invoice needs, and a client that has.
async fn ready(app: &TestApp) -> (Tenant, String) {
    let acme = app.tenant().await;
    let logo = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI5IiBoZWlnaHQ9IjkiPjxwYXRoIGQ9Ik0wIDBoOXY5eiIvPjwvc3ZnPg==";
    let said = json!({
        "taxId": "DE123456789", "color": "#0f766e", "logo": logo,
        "address": {"line1": "Invalidenstr. 42", "postalCode": "10115", "city": "Berlin", "country": "DE"},
    });
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), said)
        .await
        .expect(200);
    let address = json!({"line1": "Ring 1", "postalCode": "1010", "city": "Wien", "country": "AT"});
    let client = client_of(app, &acme, json!({"language": "de", "address": address})).await;
    (acme, client)
}

/// What lies at the place that a reply leads to, asked for without a token.
async fn followed(client: &Client, path: &str) -> Vec<u8> {
    let reply = client.get(path).await.expect(302);
    assert_eq!(reply.header("cache-control"), "no-store");
    let found = reqwest::get(reply.header("location")).await.unwrap();
    assert_eq!(found.status(), 200);
    assert_eq!(found.headers()["content-type"], "application/pdf");
    let disposition = found.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(
        disposition.starts_with("inline; filename=\"") && disposition.ends_with(".pdf\""),
        "{disposition}"
    );
    found.bytes().await.unwrap().to_vec()
}

fn is_pdf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"%PDF-1.7") && bytes.ends_with(b"%%EOF")
}

/// Whether a file carries its e-invoice.
fn carries_xml(pdf: &[u8]) -> bool {
    let has = |wanted: &[u8]| pdf.windows(wanted.len()).any(|part| part == wanted);
    has(b"(factur-x.xml)") && has(b"<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>")
}

#[tokio::test]
async fn what_was_sent_is_rendered_once_and_does_not_change() {
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let sent = sent(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    let path = format!("/v1/invoices/{}/pdf", sent["id"].as_str().unwrap());
    let first = followed(&acme.client, &path).await;
    assert!(is_pdf(&first) && carries_xml(&first));
    // It lies there as it was, whatever is paid, and whatever the organization says of itself since.
    let pay = format!("/v1/invoices/{}/payments", sent["id"].as_str().unwrap());
    acme.client.post(pay, cash(4_000)).await.expect(201);
    let other = json!({"name": "Another name"});
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), other)
        .await
        .expect(200);
    assert_eq!(followed(&acme.client, &path).await, first);
    app.settle().await;
}

/// What the logo, as it is drawn, and the colour of a document are.
async fn look(app: &TestApp, tenant: &Tenant, invoice: &str) -> (bool, String) {
    let scope = kernel::Scope::system(tenant.org.parse().unwrap());
    let document = archive::Archive::of(app.env())
        .unwrap()
        .invoice(&app.app().await, &scope, invoice.parse().unwrap())
        .await
        .unwrap();
    (
        document.logo.is_some(),
        format!("{:?} {:?}", document.logo, document.color),
    )
}

#[tokio::test]
async fn a_document_looks_as_it_did_when_it_was_sent() {
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let org = format!("/v1/orgs/{}", acme.org);
    let send = async || {
        sent(&acme.client, invoice(&client, &[(10_000, "19")])).await["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = send().await;
    let note = format!("/v1/invoices/{first}/credit-notes");
    let credit = json!({"lines": [{"lineIndex": 0, "amount": 1_000}], "reason": "Late"});
    acme.client.post(note, credit).await.expect(201);
    let looked = look(&app, &acme, &first).await;
    assert!(looked.0, "it has a logo");
    let other = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI4IiBoZWlnaHQ9IjgiPjxwYXRoIGQ9Ik0wIDBoOHY4eiIvPjwvc3ZnPg==";
    let mut looks = vec![(first, looked)];
    // Each logo is found again, also one that was there twice, and none at all.
    let logos = [
        json!(other),
        json!(null),
        json!("https://cdn.example.com/logo.png"),
        json!(other),
    ];
    for (logo, color) in logos.into_iter().zip(["#112233", "#223344", "#334455", "#445566"]) {
        let said = json!({"logo": logo, "color": color});
        acme.client.patch(&org, said).await.expect(200);
        let next = send().await;
        let looked = look(&app, &acme, &next).await;
        assert_eq!(
            looked.0,
            logo.as_str().is_some_and(|logo| logo.starts_with("data:")),
            "{logo}"
        );
        assert!(looks.iter().all(|(_, before)| before.1 != looked.1), "{logo} {color}");
        looks.push((next, looked));
        for (id, looked) in &looks {
            assert_eq!(look(&app, &acme, id).await, *looked);
        }
    }
    app.settle().await;
}

#[tokio::test]
async fn a_link_is_good_for_a_while() {
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let sent = sent(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    let reply = acme
        .client
        .get(format!("/v1/invoices/{}/pdf", sent["id"].as_str().unwrap()))
        .await
        .expect(302);
    let link = reply.header("location");
    assert!(link.contains("X-Amz-Expires=300"), "{link}");
    // A part of it more or less, and it is none.
    let other = link.replace(sent["id"].as_str().unwrap(), "inv_00000000000000000000000000");
    assert_eq!(reqwest::get(other).await.unwrap().status(), 403);
    app.settle().await;
}

#[tokio::test]
async fn what_does_not_count_is_made_anew_and_has_no_e_invoice() {
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let id = drafted(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    let path = format!("/v1/invoices/{id}");
    let (pdf, xml) = (format!("{path}/pdf"), format!("{path}/xml"));
    let draft = followed(&acme.client, &pdf).await;
    assert!(is_pdf(&draft) && !carries_xml(&draft));
    assert_eq!(followed(&acme.client, &pdf).await, draft);
    let patch = json!({"notes": "Another one"});
    acme.client.patch(&path, patch).await.expect(200);
    assert_ne!(followed(&acme.client, &pdf).await, draft);
    acme.client.get(&xml).await.problem(409, "invoice_not_sent");
    acme.client.post(format!("{path}/send"), json!({})).await.expect(200);
    let sent = followed(&acme.client, &pdf).await;
    assert!(carries_xml(&sent));
    acme.client.post(format!("{path}/cancel"), json!({})).await.expect(200);
    let cancelled = followed(&acme.client, &pdf).await;
    assert!(is_pdf(&cancelled) && !carries_xml(&cancelled));
    app.settle().await;
}

#[tokio::test]
async fn an_e_invoice_has_the_amounts_of_the_api() {
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let sent = sent(&acme.client, invoice(&client, &[(69_622, "25"), (33, "8.5")])).await;
    let path = format!("/v1/invoices/{}/xml", sent["id"].as_str().unwrap());
    let euros = |field: &str| {
        let cents = sent[field].as_i64().unwrap();
        format!("{}.{:02}", cents / 100, cents % 100)
    };
    for (query, root, total) in [
        ("", "CrossIndustryInvoice", "GrandTotalAmount"),
        ("?format=cii", "CrossIndustryInvoice", "GrandTotalAmount"),
        ("?format=ubl", "Invoice", "TaxInclusiveAmount"),
    ] {
        let reply = acme.client.get(format!("{path}{query}")).await.expect(200);
        assert_eq!(reply.header("content-type"), "application/xml");
        let number = sent["number"].as_str().unwrap();
        assert_eq!(
            reply.header("content-disposition"),
            format!("attachment; filename=\"{number}.xml\"")
        );
        let text = String::from_utf8(reply.bytes).unwrap();
        let xml = roxmltree::Document::parse(&text).unwrap();
        assert_eq!(xml.root_element().tag_name().name(), root);
        let found = |name: &str| {
            let node = xml.descendants().find(|node| node.tag_name().name() == name);
            node.and_then(|node| node.text()).map(str::to_owned)
        };
        assert_eq!(found(total), Some(euros("total")), "{text}");
        assert!(text.contains(number) && text.contains("DE123456789") && text.contains("Difference GmbH"));
    }
    let wrong = acme.client.get(format!("{path}?format=edifact")).await.expect(400);
    assert_eq!(wrong.fields(), ["format"], "{}", wrong.json);
    app.settle().await;
}

#[tokio::test]
async fn a_credit_note_has_them_too() {
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let sent = sent(&acme.client, invoice(&client, &[(10_000, "19"), (5_000, "7")])).await;
    let credit = json!({"lines": [{"lineIndex": 0, "amount": 2_500}], "reason": "Returned"});
    let path = format!("/v1/invoices/{}/credit-notes", sent["id"].as_str().unwrap());
    let note = acme.client.post(path, credit).await.expect(201);
    let path = format!("/v1/credit-notes/{}", note.text("id"));
    assert!(carries_xml(&followed(&acme.client, &format!("{path}/pdf")).await));
    for (query, code) in [
        ("", "<ram:TypeCode>381</ram:TypeCode>"),
        ("?format=ubl", "CreditNoteTypeCode>381<"),
    ] {
        let xml = acme.client.get(format!("{path}/xml{query}")).await.expect(200);
        let xml = String::from_utf8(xml.bytes).unwrap();
        assert!(xml.contains(code), "{xml}");
        assert!(
            xml.contains(sent["number"].as_str().unwrap()) && xml.contains(">29.75<"),
            "{xml}"
        );
    }
    app.settle().await;
}

#[tokio::test]
async fn a_client_that_was_deleted_is_on_its_documents_still() {
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let sent = sent(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    acme.client.delete(format!("/v1/clients/{client}")).await.expect(204);
    let xml = acme
        .client
        .get(format!("/v1/invoices/{}/xml", sent["id"].as_str().unwrap()))
        .await
        .expect(200);
    assert!(String::from_utf8(xml.bytes).unwrap().contains("Difference GmbH"));
    app.settle().await;
}

#[tokio::test]
async fn another_tenants_documents_look_absent() {
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let rival = app.tenant().await;
    let sent = sent(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    let credit = json!({"lines": [{"lineIndex": 0, "amount": 2_500}], "reason": "Returned"});
    let credits = format!("/v1/invoices/{}/credit-notes", sent["id"].as_str().unwrap());
    let note = acme.client.post(credits, credit).await.expect(201).text("id");
    for path in [
        format!("/v1/invoices/{}", sent["id"].as_str().unwrap()),
        format!("/v1/credit-notes/{note}"),
    ] {
        for what in ["pdf", "xml"] {
            rival
                .client
                .get(format!("{path}/{what}"))
                .await
                .problem(404, "not_found");
            acme.client
                .without("x-org-id")
                .get(format!("{path}/{what}"))
                .await
                .expect(400);
            app.client().get(format!("{path}/{what}")).await.expect(401);
        }
    }
    for what in ["pdf", "xml"] {
        acme.client
            .get(format!("/v1/invoices/inv_1/{what}"))
            .await
            .problem(400, "malformed_id");
    }
    app.settle().await;
}

/// What a statement says, as text: the file is compressed, so the amounts are looked for in what it was made of elsewhere.
/// Wants the statement as data: 119.00 invoiced, 11.90 credited, 40.00 paid.
async fn shows_the_account(acme: &Tenant, client: &str, number: &Value) {
    let path = format!("/v1/clients/{client}/statement");
    let shown = acme
        .client
        .get(format!("{path}?from=2027-01-01&to=2027-01-31&format=json"))
        .await
        .expect(200);
    assert_eq!(shown.header("cache-control"), "no-store");
    let entries: Vec<Value> = shown.json["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| json!([entry["kind"], entry["amount"], entry["balance"]]))
        .collect();
    assert_eq!(
        entries,
        [
            json!(["invoice", 11_900, 11_900]),
            json!(["credit_note", -1_190, 10_710]),
            json!(["payment", -4_000, 6_710])
        ]
    );
    assert_eq!(shown.json["entries"][0]["reference"], *number);
    let frame = ["clientId", "currency", "from", "to", "opening", "closing"].map(|name| shown.json[name].clone());
    assert_eq!(
        frame,
        [
            json!(client),
            json!("EUR"),
            json!("2027-01-01"),
            json!("2027-01-31"),
            json!(0),
            json!(6_710)
        ]
    );
    let later = acme
        .client
        .get(format!("{path}?from=2027-02-01&to=2027-02-28&format=json"))
        .await
        .expect(200)
        .json;
    assert_eq!(
        [&later["opening"], &later["entries"], &later["closing"]],
        [&json!(6_710), &json!([]), &json!(6_710)]
    );
}

#[tokio::test]
async fn a_client_gets_a_statement_of_its_account() {
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let first = sent(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    let id = first["id"].as_str().unwrap();
    acme.client
        .post(format!("/v1/invoices/{id}/payments"), cash(4_000))
        .await
        .expect(201);
    let credit = json!({"lines": [{"lineIndex": 0, "amount": 1_000}], "reason": "Late"});
    acme.client
        .post(format!("/v1/invoices/{id}/credit-notes"), credit)
        .await
        .expect(201);
    let path = format!("/v1/clients/{client}/statement");
    for query in ["", "?from=2027-01-01&to=2027-01-31", "?to=2026-12-31", "?currency=USD"] {
        assert!(
            is_pdf(&followed(&acme.client, &format!("{path}{query}")).await),
            "{query}"
        );
    }
    shows_the_account(&acme, &client, &first["number"]).await;
    let scope = kernel::Scope::system(acme.org.parse().unwrap());
    let of = async |from: &str, to: &str| {
        let period = archive::Period {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        };
        let found = archive::account(&app.app().await, &scope, client.parse().unwrap(), Some(period), None).await;
        let account = found.unwrap();
        let entries: Vec<i64> = account.entries.iter().map(|entry| entry.amount.get()).collect();
        (account.opening.get(), entries, account.closing().get())
    };
    // 119.00 invoiced, 11.90 credited with its tax, 40.00 paid.
    assert_eq!(
        of("2027-01-01", "2027-01-31").await,
        (0, vec![11_900, -1_190, -4_000], 6_710)
    );
    assert_eq!(of("2027-02-01", "2027-02-28").await, (6_710, vec![], 6_710));
    assert_eq!(of("2026-01-01", "2026-12-31").await, (0, vec![], 0));
    app.settle().await;
}

#[tokio::test]
async fn a_statement_is_of_as_many_invoices_as_there_are() {
    const MANY: usize = 260;
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let first = sent(&acme.client, invoice(&client, &[(10_000, "0")])).await;
    let pay = format!("/v1/invoices/{}/payments", first["id"].as_str().unwrap());
    // More of each than a page has.
    for _ in 0..MANY {
        acme.client.post(&pay, cash(1)).await.expect(201);
    }
    for _ in 1..MANY {
        sent(&acme.client, invoice(&client, &[(100, "0")])).await;
    }
    let path = format!("/v1/clients/{client}/statement?format=json");
    let shown = acme.client.get(&path).await.expect(200).json;
    let entries = shown["entries"].as_array().unwrap();
    let of = |kind: &str| entries.iter().filter(|entry| entry["kind"] == kind).count();
    assert_eq!([of("invoice"), of("payment")], [MANY, MANY]);
    let expected = 10_000 + 100 * 259 - 260;
    assert_eq!((&shown["opening"], &shown["closing"]), (&json!(0), &json!(expected)));
    assert_eq!(entries.last().unwrap()["balance"], expected);
    app.advance(60 * kernel::Time::DAY);
    let owner = acme.owner.logged_in_again(&app).await.client.within(&acme.org);
    let later = owner
        .get(format!("{path}&from=2027-02-01&to=2027-02-28"))
        .await
        .expect(200)
        .json;
    assert_eq!([&later["opening"], &later["entries"]], [&json!(expected), &json!([])]);
    app.take("OutboxQueue").await;
}

#[tokio::test]
async fn a_statement_of_nothing_and_nobody_is_refused() {
    let app = TestApp::start().await;
    let (acme, client) = ready(&app).await;
    let rival = app.tenant().await;
    let path = format!("/v1/clients/{client}/statement");
    rival.client.get(&path).await.problem(404, "not_found");
    rival
        .client
        .get(format!("{path}?format=json"))
        .await
        .problem(404, "not_found");
    let viewer = app.member(&acme, "viewer").await;
    assert_eq!(
        viewer.client.get(format!("{path}?format=json")).await.expect(200).json["entries"],
        json!([])
    );
    app.client().get(format!("{path}?format=json")).await.expect(401);
    let backwards = acme
        .client
        .get(format!("{path}?from=2027-02-01&to=2027-01-01"))
        .await
        .expect(422);
    assert_eq!(backwards.fields(), ["to"]);
    // As of revenue: what looks like a currency and is none.
    let unknown = acme.client.get(format!("{path}?currency=XYZ")).await.expect(422);
    assert_eq!(unknown.fields(), ["currency"]);
    for (query, field) in [
        ("from=x", "from"),
        ("to=2027-02-30", "to"),
        ("a=b", "a"),
        ("format=csv", "format"),
    ] {
        let wrong = acme.client.get(format!("{path}?{query}")).await.expect(400);
        assert_eq!(wrong.fields(), [field], "{query}: {}", wrong.json);
    }
    app.settle().await;
}
