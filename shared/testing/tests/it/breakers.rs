//! Breakers over the real table: what processes count together, who tries, what it costs, and that nothing stops a call but
//! failures.

use std::cell::Cell;
use std::collections::BTreeMap;

use breaker::{Breaker, Open, Rule};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use kernel::{OrgId, Time};
use lambda::App;
use testing::{Chaos, Fault, START, TestApp};

/// Its function may read and change what breakers are stored in.
const CALLER: &str = "Alerts";

fn org(number: u128) -> OrgId {
    OrgId::from_bits(number)
}

fn stripe(number: u128) -> Breaker {
    Breaker::of(org(number), "stripe", Rule::PROVIDER)
}

/// Makes one call that ends like this, unless the breaker is open.
async fn call(breaker: &Breaker, app: &App, has_failed: bool) -> Result<bool, Open> {
    breaker.call(app, async || has_failed, |failed| *failed).await
}

async fn fail(breaker: &Breaker, app: &App, times: usize) {
    for _ in 0..times {
        assert_eq!(call(breaker, app, true).await, Ok(true));
    }
}

#[tokio::test]
async fn processes_count_together_and_an_open_one_makes_no_call() {
    let testing = TestApp::start().await;
    let (one, other) = (testing.app().await, testing.app().await);
    let acme = stripe(1);
    // Five at once in two processes.
    let calls = [&one, &other, &one, &other, &one].map(|app| call(&acme, app, true));
    assert_eq!(join_all(calls).await, [Ok(true); 5]);
    let open = Open {
        until: START.plus_seconds(30),
    };
    let called = Cell::new(0);
    for app in [&one, &other] {
        let refused = acme.call(app, async || called.set(called.get() + 1), |()| true).await;
        assert_eq!(refused, Err(open));
    }
    assert_eq!(called.get(), 0);
    // Another organization's account, another provider, and what all share know nothing of it.
    let razorpay = Breaker::of(org(1), "razorpay", Rule::PROVIDER);
    let email = Breaker::shared("stripe", Rule::EMAIL);
    for other in [&stripe(2), &razorpay, &email] {
        assert_eq!(call(other, &one, false).await, Ok(false));
    }
}

#[tokio::test]
async fn a_success_ends_the_row() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    fail(&stripe(1), &app, 4).await;
    call(&stripe(1), &app, false).await.unwrap();
    fail(&stripe(1), &app, 4).await;
    assert!(call(&stripe(1), &app, false).await.is_ok());
}

#[tokio::test]
async fn after_the_cool_down_one_call_tries_and_two_close_it() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    let acme = stripe(1);
    fail(&acme, &app, 5).await;
    testing.advance(30 * Time::SECOND - 1);
    assert!(call(&acme, &app, false).await.is_err());
    testing.advance(1);

    // Twenty at once: while one is on its way nobody else is let through.
    let (go, started) = (tokio::sync::Notify::new(), Cell::new(0));
    let waits = async || {
        started.set(started.get() + 1);
        go.notified().await;
    };
    let mut calls: FuturesUnordered<_> = (0..20).map(|_| acme.call(&app, waits, |()| false)).collect();
    for _ in 0..19 {
        assert!(calls.next().await.unwrap().is_err());
    }
    go.notify_one();
    assert_eq!((calls.next().await, started.get()), (Some(Ok(())), 1));

    // One failure opens it anew; then two in a row close it, and a row begins at nothing.
    assert!(call(&acme, &app, true).await.is_ok());
    assert!(call(&acme, &app, true).await.is_err());
    testing.advance(30 * Time::SECOND);
    for _ in 0..2 {
        assert!(call(&acme, &app, false).await.is_ok());
    }
    fail(&acme, &app, 4).await;
    assert!(call(&acme, &app, false).await.is_ok());
}

#[tokio::test]
async fn who_dies_while_trying_blocks_it_for_a_minute_at_most() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    let email = Breaker::shared("email", Rule::EMAIL);
    fail(&email, &app, 3).await;
    testing.advance(Time::MINUTE);
    let began = tokio::sync::Notify::new();
    let hangs = async || {
        began.notify_one();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = email.call(&app, hangs, |()| false) => unreachable!("it never ends"),
        () = began.notified() => {}
    }
    assert!(call(&email, &app, false).await.is_err());
    testing.advance(Time::MINUTE);
    assert!(call(&email, &app, false).await.is_ok());
    fail(&email, &app, 2).await;
}

/// How many breakers are open by what they are of, as it is measured.
async fn open(app: &App) -> BTreeMap<String, f64> {
    app.measures.take();
    breaker::measure(app).await.unwrap();
    let taken = app.measures.take().into_iter();
    let gauges = taken.filter(|one| one.name == "breaker.open");
    gauges.map(|one| (one.labels[0].1.clone(), one.values[0])).collect()
}

#[tokio::test]
async fn those_that_are_open_are_measured_until_they_close_or_nobody_calls() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    let endpoint = Breaker::of(org(1), "webhook#whe_1", Rule::WEBHOOK);
    let none = ["cashfree", "email", "razorpay", "stripe", "webhook"].map(|kind| (kind.to_owned(), 0.0));
    let none = BTreeMap::from(none);
    fail(&stripe(1), &app, 4).await;
    assert_eq!(open(&app).await, none, "a row of failures alone opens nothing");
    fail(&stripe(1), &app, 1).await;
    fail(&stripe(2), &app, 5).await;
    fail(&endpoint, &app, 10).await;
    let mut expected = none.clone();
    expected.extend([("stripe".to_owned(), 2.0), ("webhook".to_owned(), 1.0)]);
    assert_eq!(open(&app).await, expected);
    testing.advance(30 * Time::SECOND);
    for _ in 0..2 {
        assert_eq!(call(&stripe(1), &app, false).await, Ok(false));
    }
    expected.insert("stripe".to_owned(), 1.0);
    assert_eq!(open(&app).await, expected);
    testing.advance(2 * Time::MINUTE);
    assert_eq!(open(&app).await, none);
    // A trial that fails opens it anew.
    fail(&stripe(2), &app, 1).await;
    assert_eq!(open(&app).await["stripe"].to_bits(), 1.0_f64.to_bits());
}

#[tokio::test]
async fn what_never_failed_costs_a_cheap_read_and_is_not_stored() {
    let testing = TestApp::start().await;
    let app = testing.app_of(CALLER).await;
    testing.take_usage(CALLER);
    for _ in 0..10 {
        call(&stripe(1), &app, false).await.unwrap();
    }
    let usage = testing.take_usage(CALLER);
    assert_eq!((usage.dynamodb_requests, usage.write_units), (10, 0.0));
    assert!((usage.read_units - 5.0).abs() < f64::EPSILON);
    // A failure is one write, and so is the success after it.
    for has_failed in [true, false, false] {
        call(&stripe(1), &app, has_failed).await.unwrap();
    }
    let usage = testing.take_usage(CALLER);
    assert_eq!((usage.dynamodb_requests, usage.write_units), (5, 2.0));
}

#[tokio::test]
async fn a_breaker_that_does_not_answer_stops_no_call() {
    let testing = TestApp::start().await;
    // Its function may not read breakers at all.
    let barred = testing.app_of("Metrics").await;
    for _ in 0..10 {
        let (stripe, app) = (stripe(1), barred.clone());
        let called = tokio::spawn(async move { call(&stripe, &app, true).await });
        assert_eq!(called.await.unwrap(), Ok(true));
    }
    assert_eq!(call(&stripe(1), &testing.app().await, false).await, Ok(false));
}

#[tokio::test]
async fn a_trial_whose_reply_was_lost_is_one_all_the_same() {
    let chaos = Chaos::only(&[(Fault::LostReply, "UpdateItem", 1)]);
    let testing = TestApp::start_under(chaos.clone()).await;
    let (app, lossy) = (testing.app().await, testing.app_of(CALLER).await);
    fail(&stripe(1), &app, 5).await;
    testing.advance(30 * Time::SECOND);
    // It reads, takes the place, does not hear so, asks again, and reports.
    chaos.enable(true);
    assert_eq!(call(&stripe(1), &lossy, false).await, Ok(false));
    chaos.enable(false);
    assert_eq!(call(&stripe(1), &app, false).await, Ok(false));
    fail(&stripe(1), &app, 4).await;
}
