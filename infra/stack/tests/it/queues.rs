//! Queues that feed a real process.

use std::sync::Arc;

use crate::fixture::Fixture;

#[tokio::test]
async fn messages_are_delivered_and_deleted() {
    let fixture = Fixture::start().await;
    for number in 0..25 {
        fixture.send("Work", &format!("message-{number}"));
    }
    fixture
        .until("all arrive", |fixture| {
            fixture.record().len() == 25 && fixture.queue_is_empty("Work")
        })
        .await;
}

#[tokio::test]
async fn only_the_messages_that_failed_return_and_end_among_the_dead() {
    let fixture = Fixture::start().await;
    fixture.send("Work", "fail");
    fixture.send("Work", "fine");
    fixture
        .until("it dies", |fixture| {
            fixture.stack.aws.sqs().depth("Dead").unwrap().visible == 1
        })
        .await;
    let mut record = fixture.record();
    record.sort();
    assert_eq!(record, ["fail 1", "fail 2", "fine 1"]);
    assert!(fixture.queue_is_empty("Work"));
}

#[tokio::test]
async fn the_messages_of_a_process_that_died_return_at_once() {
    let fixture = Fixture::start().await;
    fixture.send("Work", "crash once");
    fixture
        .until("it recovers", |fixture| fixture.queue_is_empty("Work"))
        .await;
    assert_eq!(fixture.record(), ["crash once 1", "crash once 2"]);
}

#[tokio::test]
async fn the_messages_of_a_process_killed_from_outside_return_too() {
    let fixture = Fixture::start().await;
    fixture.send("Work", "wait");
    fixture
        .until("it begins", |fixture| fixture.record() == ["wait 1"])
        .await;
    let worker = fixture
        .stack
        .processes()
        .into_iter()
        .find(|process| process.name == "worker")
        .unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-9", &worker.pid.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    fixture
        .until("it comes again", |fixture| fixture.record() == ["wait 1", "wait 2"])
        .await;
}

#[tokio::test]
async fn a_restart_keeps_messages_even_those_in_flight() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    {
        let fixture = Fixture::start_in(Arc::clone(&folder)).await;
        fixture.send("Unread", "one");
        fixture.send("Unread", "two");
        let wait = std::time::Duration::ZERO;
        assert_eq!(
            fixture
                .stack
                .aws
                .sqs()
                .receive("Unread", 1, 600, wait)
                .await
                .unwrap()
                .len(),
            1
        );
        fixture.stack.stop().await;
    }
    let fixture = Fixture::start_in(folder).await;
    let mut bodies: Vec<String> = fixture.stack.aws.sqs().peek("Unread", 10).unwrap();
    bodies.sort();
    assert_eq!(bodies, ["one", "two"]);
    assert_eq!(fixture.stack.aws.sqs().depth("Unread").unwrap().visible, 2);
}
