//! /pay/{token}: whoever has the link of an invoice sees it and its files, without a login; nobody else does.

use axum::http::Method;
use billing::Invoice;
use commit::Commit;
use kernel::link::Token;
use kernel::policy::ReadBilling;
use kernel::{Origin, Scope};
use payment_double::{Act, Provider};
use serde_json::{Value, json};
use table::Write;
use testing::{RATES, Rates, Reply, Tenant, TestApp};

use crate::invoices::{cash, client_of, go_to, invoice, sent, told};
use crate::shop::{ALL, PAY, Shop};

/// What the link of an invoice ends in.
pub(crate) async fn link_of(app: &TestApp, tenant: &Tenant, invoice: &str) -> String {
    let (org, invoice) = (tenant.org.parse().unwrap(), invoice.parse().unwrap());
    let token: Token = Invoice::token_of(&app.app().await, org, invoice).await.unwrap();
    token.reveal()
}

/// A page, as text.
pub(crate) fn html(reply: Reply) -> String {
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    String::from_utf8(reply.bytes).unwrap()
}

/// A tenant's invoice over 119 euros that was sent, and the path of its page.
async fn shared(app: &TestApp, client: Value) -> (Tenant, String, String) {
    let acme = app.tenant().await;
    let client = client_of(app, &acme, client).await;
    let sent = sent(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    let id = sent["id"].as_str().unwrap().to_owned();
    let path = format!("/pay/{}", link_of(app, &acme, &id).await);
    (acme, id, path)
}

#[tokio::test]
async fn a_link_shows_an_invoice_in_its_clients_language() {
    let app = TestApp::start().await;
    let (acme, _, path) = shared(&app, json!({"language": "de", "name": "<b>שלום</b> & Söhne"})).await;
    let logo = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI5IiBoZWlnaHQ9IjkiPjxwYXRoIGQ9Ik0wIDBoOXY5eiIvPjwvc3ZnPg==";
    let said = json!({"logo": logo, "color": "#ffff00", "taxId": "DE123456789"});
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), said)
        .await
        .expect(200);
    let reply = app.client().get(&path).await.expect(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    assert_eq!(reply.header("x-robots-tag"), "noindex");
    let policy = reply.header("content-security-policy").to_owned();
    let page = html(reply);
    let (_, nonce) = policy.split_once("'nonce-").unwrap();
    let nonce = nonce.split('\'').next().unwrap();
    assert!(page.contains(&format!("<style nonce=\"{nonce}\">")), "{policy}");
    assert!(
        policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    for text in [
        "<html lang=\"de\">",
        "Rechnung INV-2027-0001",
        "119,00\u{a0}€",
        "29. Januar 2027",
        "Offen",
        "DE123456789",
        logo,
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    // What people wrote is text.
    assert!(
        page.contains("&#60;b&#62;שלום&#60;/b&#62; &#38; Söhne") && !page.contains("<b>"),
        "{page}"
    );
    // Yellow cannot be read on white.
    assert!(!page.contains("#ffff00, "), "{page}");
    assert!(!page.contains("<script") && !page.contains(" style="), "{page}");
    app.settle().await;
}

#[tokio::test]
async fn a_page_says_how_far_the_invoice_is() {
    let app = TestApp::start().await;
    let (acme, id, path) = shared(&app, json!({})).await;
    let page = async || html(app.client().get(&path).await.expect(200));
    assert!(page().await.contains("Please pay by 29 January 2027."));
    let pay = |amount| acme.client.post(format!("/v1/invoices/{id}/payments"), cash(amount));
    pay(4_000).await.expect(201);
    let part = page().await;
    for text in ["Partly paid", "€79.00", "-€40.00", "Cash", "15 January 2027"] {
        assert!(part.contains(text), "{text}: {part}");
    }
    go_to(&app, "2027-01-30T00:00:00Z");
    let late = page().await;
    assert!(
        late.contains("Overdue") && late.contains("It was due on 29 January 2027."),
        "{late}"
    );
    let owner = crate::invoices::owner_now(&app, &acme).await;
    owner
        .post(format!("/v1/invoices/{id}/payments"), cash(7_900))
        .await
        .expect(201);
    let paid = page().await;
    assert!(
        paid.contains("This invoice is paid. Thank you.") && paid.contains("€0.00"),
        "{paid}"
    );
    app.settle().await;
}

#[tokio::test]
async fn a_cancelled_invoice_says_so_and_its_link_stays() {
    let app = TestApp::start().await;
    let (acme, id, path) = shared(&app, json!({})).await;
    acme.client
        .post(format!("/v1/invoices/{id}/cancel"), json!({}))
        .await
        .expect(200);
    let page = html(app.client().get(&path).await.expect(200));
    assert!(
        page.contains("Cancelled") && page.contains("There is nothing to pay."),
        "{page}"
    );
    assert!(!page.contains("class=\"amount\""), "{page}");
    app.settle().await;
}

#[tokio::test]
async fn a_look_is_noted_once_and_only_of_somebody_who_looks() {
    let app = TestApp::start().await;
    let (acme, id, path) = shared(&app, json!({})).await;
    let status = async || {
        acme.client
            .get(format!("/v1/invoices/{id}"))
            .await
            .expect(200)
            .text("status")
    };
    let head = app.client().send(Method::HEAD, &path, Vec::new()).await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
    app.client()
        .header("sec-purpose", "prefetch;prerender")
        .get(&path)
        .await
        .expect(200);
    assert_eq!(status().await, "sent");
    for _ in 0..2 {
        app.client().get(&path).await.expect(200);
    }
    assert_eq!(status().await, "viewed");
    let viewed = told(&app, &acme.org, &id)
        .await
        .into_iter()
        .filter(|(fact, _)| fact == "invoice.viewed");
    assert_eq!(viewed.count(), 1);
    app.settle().await;
}

#[tokio::test]
async fn the_files_of_an_invoice_lie_below_its_page() {
    let app = TestApp::start().await;
    let (_, id, path) = shared(&app, json!({})).await;
    let reply = app.client().get(format!("{path}/pdf")).await.expect(302);
    let found = reqwest::get(reply.header("location")).await.unwrap();
    assert_eq!(found.headers()["content-type"], "application/pdf");
    assert!(found.bytes().await.unwrap().starts_with(b"%PDF-1.7"), "{id}");
    for (query, root) in [("", "CrossIndustryInvoice"), ("?format=ubl", "<Invoice")] {
        let xml = app.client().get(format!("{path}/xml{query}")).await.expect(200);
        assert!(String::from_utf8(xml.bytes).unwrap().contains(root), "{query}");
    }
    app.settle().await;
}

#[tokio::test]
async fn whatever_is_no_link_leads_nowhere() {
    let app = TestApp::start().await;
    let (acme, id, path) = shared(&app, json!({})).await;
    let token = path.strip_prefix("/pay/").unwrap();
    let mut others: Vec<String> = vec![
        "none".to_owned(),
        "%00".to_owned(),
        "a".repeat(66),
        id,
        "../health".to_owned(),
    ];
    // One character of its secret, or of anything else, is another one.
    others.extend([0, 10, 40, 50, 60].map(|place| {
        let other = if &token[place..=place] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &token[..place], &token[place + 1..])
    }));
    // A draft has no link.
    let client = client_of(&app, &acme, json!({})).await;
    let draft = crate::invoices::drafted(&acme.client, invoice(&client, &[(100, "0")])).await;
    let of_draft = Invoice::token_of(&app.app().await, acme.org.parse().unwrap(), draft.parse().unwrap()).await;
    assert!(matches!(
        of_draft,
        Err(kernel::Error::Refused {
            code: "invoice_not_sent",
            ..
        })
    ));
    for other in others {
        let here = app.client().header("accept-language", "es-MX,en;q=0.5");
        let page = here.get(format!("/pay/{other}")).await;
        assert_eq!(page.status, 404, "{other}");
        if !other.contains('/') {
            assert!(html(page).contains("Este enlace no lleva a ninguna parte"), "{other}");
            for file in ["pdf", "xml"] {
                here.get(format!("/pay/{other}/{file}")).await.problem(404, "not_found");
            }
        }
    }
    app.settle().await;
}

#[tokio::test]
async fn no_link_opens_after_its_organization_is_gone() {
    let app = TestApp::start().await;
    let (acme, _, path) = shared(&app, json!({})).await;
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    assert_eq!(app.client().get(&path).await.status, 404);
    app.settle().await;
}

#[tokio::test]
async fn what_was_sent_before_there_were_links_gets_one() {
    let app = TestApp::start().await;
    let (acme, id, path) = shared(&app, json!({})).await;
    let (org, invoice) = (acme.org.parse().unwrap(), id.parse().unwrap());
    let token = |token: Token| format!("/pay/{}", token.reveal());
    let here = app.app().await;
    // Asked twice, it is the same one.
    let again = Invoice::token_of(&here, org, invoice).await.unwrap();
    assert_eq!(token(again), path);
    let scope = Scope::<ReadBilling>::system(org);
    let stored = Invoice::load(&here.table, &scope, invoice).await.unwrap();
    let mut stored = serde_json::to_value(stored).unwrap();
    stored.as_object_mut().unwrap().remove("link").unwrap();
    let without: Invoice = serde_json::from_value(stored).unwrap();
    let write = Write::replace(&without).unwrap();
    Commit::of(&here, &Origin::default())
        .write("invoice", write)
        .await
        .unwrap();
    assert_eq!(app.client().get(&path).await.status, 404);
    let both = futures::future::join_all([0, 1].map(|_| Invoice::token_of(&here, org, invoice))).await;
    let [one, other] = both.try_into().unwrap();
    let (one, other) = (token(one.unwrap()), token(other.unwrap()));
    assert_eq!(one, other);
    assert_ne!(one, path);
    app.client().get(&one).await.expect(200);
    app.settle().await;
}

#[tokio::test]
async fn no_reply_and_no_fact_has_the_secret_of_a_link() {
    let app = TestApp::start().await;
    let (acme, id, path) = shared(&app, json!({})).await;
    let token = path.strip_prefix("/pay/").unwrap();
    let secret = &token[token.len() - 20..];
    let view = acme.client.get(format!("/v1/invoices/{id}")).await.expect(200);
    let list = acme.client.get("/v1/invoices").await.expect(200);
    let audit = acme
        .client
        .get(format!("/v1/orgs/{}/audit", acme.org))
        .await
        .expect(200);
    for reply in [view, list, audit] {
        assert!(!String::from_utf8(reply.bytes).unwrap().contains(secret));
    }
    for fact in crate::invoices::facts(&app, &acme.org).await {
        assert!(!fact.data.contains(secret), "{}", fact.fact);
    }
    app.settle().await;
}

#[tokio::test]
async fn an_address_looks_so_often_a_minute() {
    let rates = Rates {
        per_visitor: 5,
        ..RATES
    };
    let app = TestApp::start_with(rates, 2).await;
    let (_, _, path) = shared(&app, json!({})).await;
    let here = app.client().from("198.51.100.7");
    for _ in 0..3 {
        here.get(&path).await.expect(200);
    }
    for _ in 0..2 {
        here.get(format!("{path}/pdf")).await.expect(302);
    }
    let refused = here.get(&path).await.problem(429, "rate_limited");
    assert_eq!(refused.header("ratelimit-policy"), r#""visitor";q=5;w=60"#);
    app.client().from("198.51.100.8").get(&path).await.expect(200);
    app.settle().await;
}

/// The mails to a client, oldest first.
fn mails(app: &TestApp) -> Vec<stack::aws::ses::Mail> {
    app.mails_to("bills@difference.example")
}

#[tokio::test]
async fn an_invoice_is_mailed_with_its_file_and_its_link() {
    let app = TestApp::start().await;
    let (acme, id, path) = shared(&app, json!({})).await;
    app.settle().await;
    let mails = mails(&app);
    let [mail] = mails.as_slice() else {
        panic!("{}", mails.len())
    };
    let link = format!("{}{path}", testing::PUBLIC_URL);
    assert!(
        mail.text.as_ref().unwrap().contains(&link) && mail.html.as_ref().unwrap().contains(&link),
        "{mail:?}"
    );
    let [file] = mail.attachments.as_slice() else {
        panic!("{:?}", mail.attachments)
    };
    assert_eq!(
        (file.file_name.as_str(), file.content_type.as_str()),
        ("INV-2027-0001.pdf", "application/pdf")
    );
    // It is the one that everybody gets.
    let reply = acme.client.get(format!("/v1/invoices/{id}/pdf")).await.expect(302);
    let found = reqwest::get(reply.header("location"))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(found, file.bytes);
    // And it leads to the page.
    assert!(
        file.bytes.windows(link.len()).any(|part| part == link.as_bytes()),
        "the page is not linked"
    );
}

#[tokio::test]
async fn what_was_sent_says_what_both_were_called_then() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({"taxId": "DE123456789"})).await;
    let sent = sent(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    let id = sent["id"].as_str().unwrap();
    let credit = json!({"lines": [{"lineIndex": 0, "amount": 100}], "reason": "Late"});
    let note = acme
        .client
        .post(format!("/v1/invoices/{id}/credit-notes"), credit)
        .await
        .expect(201)
        .text("id");
    let paths = [format!("/v1/invoices/{id}/xml"), format!("/v1/credit-notes/{note}/xml")];
    let xml = async |path: &String| String::from_utf8(acme.client.get(path).await.expect(200).bytes).unwrap();
    let before = [xml(&paths[0]).await, xml(&paths[1]).await];
    let other = json!({"name": "Other AG", "taxId": "ATU12345678", "email": "other@difference.example"});
    acme.client
        .patch(format!("/v1/clients/{client}"), other)
        .await
        .expect(200);
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), json!({"name": "Other", "taxId": "X"}))
        .await
        .expect(200);
    // No file was made yet: it says so all the same.
    for (path, before) in paths.iter().zip(before) {
        assert!(before.contains("Difference GmbH") && before.contains("DE123456789"));
        assert_eq!(xml(path).await, before);
    }
    app.settle().await;
}

#[tokio::test]
async fn a_mail_waits_for_its_file_and_goes_without_in_the_end() {
    let app = TestApp::start().await;
    let (_, _, path) = shared(&app, json!({})).await;
    let facts = app.take("OutboxQueue").await;
    assert_eq!(app.deliver_from("OutboxQueue", &facts).await, Vec::<usize>::new());
    // Nobody makes files.
    assert_eq!(app.take("DocumentQueue").await.len(), 1);
    let told = app.take("MailQueue").await;
    assert_eq!(app.deliver_from("MailQueue", &told).await, Vec::<usize>::new());
    assert!(mails(&app).is_empty());
    app.advance(3_000);
    let told = app.take("MailQueue").await;
    assert_eq!(app.deliver_from("MailQueue", &told).await, Vec::<usize>::new());
    assert!(mails(&app).is_empty());
    app.advance(5 * 60_000);
    let told = app.take("MailQueue").await;
    assert_eq!(app.deliver_from("MailQueue", &told).await, Vec::<usize>::new());
    let sent = mails(&app);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].attachments.is_empty() && sent[0].text.as_ref().unwrap().contains(&path));
    app.settle().await;
}

#[tokio::test]
async fn what_is_cancelled_before_its_file_was_made_is_mailed_without() {
    let app = TestApp::start().await;
    let (acme, id, _) = shared(&app, json!({})).await;
    acme.client
        .post(format!("/v1/invoices/{id}/cancel"), json!({}))
        .await
        .expect(200);
    app.settle().await;
    app.advance(5 * 60_000 + 3_000);
    app.settle().await;
    let sent = mails(&app);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].attachments.is_empty());
}

/// Sends the form of a page.
async fn choose(app: &TestApp, path: &str, provider: &str) -> Reply {
    let client = app.client().header("content-type", "application/x-www-form-urlencoded");
    client.post_bytes(path, format!("provider={provider}")).await
}

/// A shop's invoice over 119.00 that was sent, and the path of its page.
async fn in_shop(shop: &Shop, provider: Provider) -> (String, String) {
    let id = shop.invoice(provider, 11_900).await;
    let path = format!("/pay/{}", link_of(&shop.app, &shop.acme, &id).await);
    (id, path)
}

/// The payment of an invoice that was begun last, and the path that its provider sends people back to.
async fn begun(shop: &Shop, invoice: &str, path: &str) -> (String, String) {
    let payments = shop
        .now()
        .await
        .get(format!("/v1/invoices/{invoice}/payments"))
        .await
        .expect(200);
    let id = payments.data()[0]["id"].as_str().unwrap().to_owned();
    let back = format!("{path}?payment={id}");
    (id, back)
}

#[tokio::test]
async fn an_invoice_is_paid_from_its_page() {
    let shop = Shop::open().await;
    for provider in ALL {
        let (invoice, path) = in_shop(&shop, provider).await;
        let page = html(shop.app.client().get(&path).await.expect(200));
        assert!(page.contains(&format!("value=\"{}\"", provider.name())), "{page}");
        let policy = shop.app.client().get(&path).await;
        assert!(
            policy
                .header("content-security-policy")
                .contains("form-action 'self' https:;"),
            "{policy:?}"
        );
        let chosen = choose(&shop.app, &path, provider.name()).await;
        assert_eq!(chosen.status, 303);
        let url = chosen.header("location").to_owned();
        assert!(url.starts_with(shop.double.url()), "{url}");
        // Chosen again, it is the same page there.
        let again = choose(&shop.app, &path, provider.name()).await;
        assert_eq!((again.status.as_u16(), again.header("location")), (303, url.as_str()));
        let (payment, back) = begun(&shop, &invoice, &path).await;
        let waiting = html(shop.app.client().get(&back).await.expect(200));
        assert!(
            waiting.contains("We have not heard of your payment yet.") && waiting.contains("<form"),
            "{waiting}"
        );
        assert!(
            waiting.contains(&format!("<a href=\"{back}\">Look again</a>")),
            "{waiting}"
        );
        // Whoever comes back has it looked at: the provider's own word may come later.
        shop.double.act(&payment, &PAY).unwrap();
        let paid = html(shop.app.client().get(&back).await.expect(200));
        for text in ["Your payment has arrived.", "This invoice is paid.", "Online payment"] {
            assert!(paid.contains(text), "{text}: {paid}");
        }
        assert!(!paid.contains("<form") && !paid.contains("Look again"), "{paid}");
        // A form that was open elsewhere leads back to the page.
        let late = choose(&shop.app, &path, provider.name()).await;
        assert_eq!((late.status.as_u16(), late.header("location")), (303, path.as_str()));
        assert_eq!(shop.shown(&invoice).await["status"], "paid");
    }
    shop.tell().await;
}

#[tokio::test]
async fn whoever_comes_back_is_told_what_became_of_it() {
    let shop = Shop::open().await;
    let (invoice, path) = in_shop(&shop, Provider::Stripe).await;
    let show = async |path: &str| html(shop.app.client().get(path).await.expect(200));
    choose(&shop.app, &path, "stripe").await;
    let (payment, back) = begun(&shop, &invoice, &path).await;
    shop.act(&payment, &Act::Delay).await;
    let slow = show(&back).await;
    assert!(
        slow.contains("Your payment is on its way.") && !slow.contains("<form"),
        "{slow}"
    );
    // Without the name of it, too, nobody is asked to pay twice.
    assert!(!show(&path).await.contains("<form"));
    shop.act(&payment, &Act::Bounce).await;
    let failed = show(&back).await;
    assert!(
        failed.contains("The payment did not go through") && failed.contains("<form"),
        "{failed}"
    );
    // Another one, whose time runs out.
    choose(&shop.app, &path, "stripe").await;
    let (_, back) = begun(&shop, &invoice, &path).await;
    shop.app.advance(24 * 3_600_000);
    let expired = show(&back).await;
    assert!(
        expired.contains("The time for that payment is over") && expired.contains("<form"),
        "{expired}"
    );
    // Another one, which arrives after the invoice was cancelled.
    choose(&shop.app, &path, "stripe").await;
    let (payment, back) = begun(&shop, &invoice, &path).await;
    shop.double.act(&payment, &PAY).unwrap();
    shop.now()
        .await
        .post(format!("/v1/invoices/{invoice}/cancel"), json!({}))
        .await
        .expect(200);
    let kept = show(&back).await;
    assert!(
        kept.contains("nothing was to be paid any more") && kept.contains("Cancelled"),
        "{kept}"
    );
    shop.tell().await;
}

#[tokio::test]
async fn what_belongs_to_another_invoice_is_not_told_here() {
    let shop = Shop::open().await;
    let (invoice, path) = in_shop(&shop, Provider::Stripe).await;
    let (_, other) = in_shop(&shop, Provider::Stripe).await;
    choose(&shop.app, &path, "stripe").await;
    let (payment, _) = begun(&shop, &invoice, &path).await;
    for foreign in [payment.as_str(), "pay_00000000000000000000000000", "x", ""] {
        let page = html(
            shop.app
                .client()
                .get(format!("{other}?payment={foreign}&utm=1"))
                .await
                .expect(200),
        );
        assert!(!page.contains("class=\"notice"), "{page}");
    }
    shop.tell().await;
}

#[tokio::test]
async fn a_way_that_cannot_be_used_is_not_shown_and_says_so_when_it_is_chosen() {
    let shop = Shop::open().await;
    // Cashfree wants a phone number, and takes no euros.
    let acme = &shop.acme;
    let client = client_of(&shop.app, acme, json!({})).await;
    let sent = sent(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    let id = sent["id"].as_str().unwrap();
    let path = format!("/pay/{}", link_of(&shop.app, acme, id).await);
    let page = html(shop.app.client().get(&path).await.expect(200));
    assert!(
        page.contains("value=\"stripe\"") && !page.contains("value=\"cashfree\""),
        "{page}"
    );
    let refused = choose(&shop.app, &path, "cashfree").await;
    assert_eq!(refused.status, 409);
    assert!(html(refused).contains("This way of paying cannot be used right now"));
    choose(&shop.app, &path, "paypal").await.problem(400, "malformed_form");
    let long = "x".repeat(5_000);
    choose(&shop.app, &path, &long).await.problem(413, "too_large");
    assert_eq!(choose(&shop.app, "/pay/none", "stripe").await.status, 404);
    shop.tell().await;
}

#[tokio::test]
async fn without_an_account_at_a_provider_it_is_paid_by_transfer() {
    let app = TestApp::start().await;
    let (acme, _, path) = shared(&app, json!({})).await;
    let page = html(app.client().get(&path).await.expect(200));
    assert!(
        !page.contains("<form") && page.contains("by bank transfer, with the number INV-2027-0001"),
        "{page}"
    );
    assert_eq!(choose(&app, &path, "stripe").await.status, 409);
    drop(acme);
    app.settle().await;
}
