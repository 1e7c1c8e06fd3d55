//! A cruel stack of the small template: what goes wrong, and that everything is done nevertheless.

use std::collections::HashSet;
use std::sync::Arc;

use axum::http::Request;
use serde_json::Value;
use stack::chaos::Chaos;

use crate::fixture::Fixture;

async fn cruel(seed: u64) -> Fixture {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    Fixture::try_start(folder, "function", Chaos::seeded(seed))
        .await
        .unwrap()
}

impl Fixture {
    fn count(&self, fault: &str) -> u64 {
        self.stack.chaos.report().faults[fault].as_u64().unwrap()
    }
}

#[tokio::test]
async fn every_message_arrives_though_some_arrive_twice_late_or_at_a_dying_process() {
    let stack = cruel(1).await;
    for number in 0..200 {
        stack.send("Work", &format!("message-{number}"));
    }
    stack
        .until("all are handled", |stack| stack.queue_is_empty("Work"))
        .await;
    let record = stack.record();
    let mut seen: HashSet<String> = record
        .iter()
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect();
    // Two receives are all that this queue allows: what met two faults lies there.
    seen.extend(stack.stack.aws.sqs().peek("Dead", 200).unwrap());
    assert_eq!(seen.len(), 200);
    assert!(record.len() > 200, "nothing was repeated");
    for fault in ["lateMessage", "twoConsumers", "undeleted", "reorder"] {
        assert!(stack.count(fault) > 0, "no {fault}");
    }
}

/// Nobody is asked more often.
const MOST_CALLS: usize = 5_000;

#[tokio::test]
async fn calls_fail_and_processes_die_until_it_is_switched_off() {
    let stack = cruel(2).await;
    // Which call meets which fault also depends on how fast the machine is, so this goes on until each was seen.
    let wanted = HashSet::from([(200, true), (502, true), (200, false)]);
    let mut answers = HashSet::new();
    let faults = ["throttle", "lostReply", "lostAnswer"];
    for _ in 0..MOST_CALLS {
        let response = stack.answer(Request::get("/put/Granted"), "").await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        answers.insert((status, body.is_ok()));
        if answers.is_superset(&wanted) && faults.iter().all(|fault| stack.count(fault) > 0) {
            break;
        }
    }
    assert!(answers.is_superset(&wanted), "{answers:?}");
    for fault in faults {
        assert!(stack.count(fault) > 0, "no {fault}");
    }
    // The function makes one call an invocation, so not every way to die gets its turn.
    let kills = ["killAfterCall", "killDuringCall", "killLater"].map(|fault| stack.count(fault));
    assert!(kills.iter().sum::<u64>() > 0, "no kill");

    let (status, report) = switch(&stack, r#"{"enabled": false}"#).await;
    assert_eq!(
        (status, &report["seed"], &report["enabled"]),
        (200, &2.into(), &false.into())
    );
    let before = stack.stack.chaos.report();
    for _ in 0..50 {
        assert_eq!(
            stack.get("/put/Granted").await,
            (200, serde_json::json!({"stored": true}))
        );
    }
    assert_eq!(stack.stack.chaos.report().faults, before.faults);
}

#[tokio::test]
async fn a_stack_in_peace_says_so() {
    let stack = Fixture::start().await;
    let (status, refused) = switch(&stack, r#"{"enabled": true}"#).await;
    assert_eq!(status, 400, "{refused}");
    assert!(!stack.stack.chaos.is_active());
    let (status, _) = switch(&stack, r#"{"enabled": 1}"#).await;
    assert_eq!(status, 400);
}

async fn switch(stack: &Fixture, body: &str) -> (u16, Value) {
    let request = Request::post("/_local/chaos")
        .body(axum::body::Body::from(body.to_owned()))
        .unwrap();
    let response = stack::aids::answer(&stack.stack, request).await;
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}
