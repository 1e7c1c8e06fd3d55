//! Who is mailed when an organization's credits get low, or are gone: each owner, once for each.

use kernel::policy::ReadOrg;
use kernel::{Scope, Time};
use metering::mails::Mails;
use outbox::{Listener, Told};
use serde_json::json;
use table::Slice;
use testing::{Person, TestApp};

use crate::usage::{MANY, Shop, env};
use crate::wallet::adjust;

/// The subjects of mails about credits that a person got, in the order of the alphabet: of two that were told together
/// either may come first.
fn subjects(app: &TestApp, person: &Person) -> Vec<String> {
    let mails = app.mails_to(&person.email).into_iter();
    let subjects = mails.map(|mail| mail.subject);
    let mut subjects: Vec<_> = subjects.filter(|subject| subject.contains("credits")).collect();
    subjects.sort_unstable();
    subjects
}

async fn facts(app: &TestApp, org: &str) -> Vec<Told> {
    let scope = Scope::<ReadOrg>::system(org.parse().unwrap());
    let slice = Slice {
        limit: 100,
        after: None,
    };
    outbox::store::log(&app.table(), &scope, slice).await.unwrap().records
}

#[tokio::test]
async fn owners_are_mailed_when_credits_get_low_and_when_they_are_gone() {
    let app = TestApp::start().await;
    let (acme, shop) = (app.tenant().await, Shop::of(&app).await);
    let second = app.member(&acme, "owner").await;
    let others = [app.member(&acme, "admin").await, app.tenant().await.owner];
    let name = "Tenant 1";
    let low = format!("{name} has used 80 % of this month's credits");
    let gone = format!("{name} has used all of this month's credits");

    shop.sell(&acme, MANY, 79_999).await;
    shop.close(&app).await;
    app.settle().await;
    assert!(subjects(&app, &acme.owner).is_empty());
    shop.sell(&acme, MANY, 1).await;
    shop.close(&app).await;
    app.settle().await;
    for owner in [&acme.owner, &second] {
        assert_eq!(subjects(&app, owner), [low.as_str()]);
    }
    let mail = app.mails_to(&acme.owner.email).pop().unwrap();
    let text = mail.text.unwrap();
    assert!(
        text.contains("Hello A Person,") && text.contains("Left:      20,000,"),
        "{text}"
    );
    assert!(text.contains("/wallet\n"), "{text}");

    shop.sell(&acme, MANY, 20_000).await;
    shop.close(&app).await;
    app.settle().await;
    for owner in [&acme.owner, &second] {
        assert_eq!(subjects(&app, owner), [low.as_str(), gone.as_str()]);
    }
    // What is spent of other credits is nothing to tell, until the next month.
    let manager = app.manager().await;
    adjust(&manager, &acme.org, json!({"credits": 200_000, "reason": "more"}))
        .await
        .expect(201);
    shop.sell(&acme, MANY, 100_000).await;
    shop.close(&app).await;
    app.settle().await;
    assert_eq!(subjects(&app, &acme.owner).len(), 2);
    app.advance(31 * Time::DAY);
    shop.sell(&acme, MANY, 100_000).await;
    shop.close(&app).await;
    app.settle().await;
    for owner in [&acme.owner, &second] {
        assert_eq!(subjects(&app, owner), [&low, &low, &gone, &gone].map(String::as_str));
    }
    for other in &others {
        assert!(subjects(&app, other).is_empty());
    }
}

#[tokio::test]
async fn a_fact_that_is_heard_twice_is_mailed_once() {
    let app = TestApp::start().await;
    let (acme, shop) = (app.tenant().await, Shop::of(&app).await);
    shop.sell(&acme, MANY, 100_000).await;
    shop.close(&app).await;
    app.settle().await;
    assert_eq!(subjects(&app, &acme.owner).len(), 2);
    let outside = app.app().await;
    let mails = Mails::of(&env(&outside), &outside).unwrap();
    let told = facts(&app, &acme.org).await;
    assert_eq!(told.len(), 2);
    // Though the organization is called otherwise by now.
    let path = format!("/v1/orgs/{}", acme.org);
    let client = acme.owner.logged_in_again(&app).await.client;
    client.patch(&path, json!({"name": "Renamed"})).await.expect(200);
    for fact in &told {
        mails.hear(&outside, fact).await.unwrap();
    }
    app.settle().await;
    assert_eq!(subjects(&app, &acme.owner).len(), 2);
    // And of an organization that is gone nobody is told.
    client.delete(&path).await.expect(204);
    for fact in told {
        mails.hear(&outside, &fact).await.unwrap();
    }
}
