//! Processes: how many there are, what they may do, how they start and end.

use std::sync::Arc;

use stack::chaos::Chaos;

use crate::fixture::Fixture;

#[tokio::test]
async fn requests_at_once_get_processes_of_their_own() {
    let fixture = Fixture::start().await;
    let (one, two) = tokio::join!(fixture.get("/pause"), fixture.get("/pause"));
    assert_ne!(one.1["pid"], two.1["pid"]);
    let web: Vec<_> = fixture
        .stack
        .processes()
        .into_iter()
        .filter(|it| it.name == "web")
        .collect();
    assert_eq!(web.len(), 2);
    assert_eq!(web.iter().map(|it| it.invocations).sum::<u64>(), 2);
    assert!(
        web.iter()
            .all(|it| it.memory_bytes > 1_000_000 && it.duration_ms >= 300)
    );
}

#[tokio::test]
async fn a_function_may_do_what_its_policy_grants_and_no_more() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.get("/put/Granted").await.1["stored"], true);
    let refused = fixture.get("/put/Forbidden").await.1;
    assert_eq!(refused["code"], "AccessDeniedException");
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("assumed-role/Web is not authorized to perform: dynamodb:PutItem"),
        "{message}"
    );
}

#[tokio::test]
async fn a_function_that_does_not_start_is_named_with_its_last_words() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let error = Fixture::try_start(folder, "function_that_does_not_start", Chaos::default())
        .await
        .err()
        .unwrap()
        .to_string();
    for part in ["web", "worker", "exit status: 3", "no configuration"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn functions_see_the_clock_move() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.get("/clock").await.1, 0.to_string());
    fixture.clock.advance(90).unwrap();
    assert_eq!(fixture.get("/clock").await.1, 90_000.to_string());
}

#[tokio::test]
async fn a_schedule_that_became_due_many_times_fires_once() {
    let fixture = Fixture::start().await;
    let ticks = |fixture: &Fixture| fixture.record().iter().filter(|line| line.starts_with("tick")).count();
    fixture.clock.advance(5 * 3600).unwrap();
    fixture.until("it fires", |fixture| ticks(fixture) == 1).await;
    fixture.clock.advance(1800).unwrap();
    fixture.clock.advance(1799).unwrap();
    assert_eq!(ticks(&fixture), 1);
    fixture.clock.advance(2).unwrap();
    fixture.until("it fires again", |fixture| ticks(fixture) == 2).await;
}

#[tokio::test]
async fn stopping_ends_every_process() {
    let fixture = Fixture::start().await;
    let pids: Vec<u32> = fixture.stack.processes().iter().map(|process| process.pid).collect();
    assert_eq!(pids.len(), 3);
    fixture.stack.stop().await;
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
