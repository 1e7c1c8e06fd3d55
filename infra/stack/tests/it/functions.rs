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
async fn a_function_has_as_many_processes_as_are_reserved_for_it() {
    let fixture = Fixture::start().await;
    let (one, two) = tokio::join!(fixture.get("/one/pause"), fixture.get("/one/pause"));
    assert_eq!((one.0, two.0), (200, 200));
    assert_eq!(one.1["pid"], two.1["pid"]);
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

fn is_alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn stopping_tells_who_wants_to_know_and_ends_every_process() {
    let fixture = Fixture::start().await;
    let processes = fixture.stack.processes();
    assert_eq!(processes.len(), 3);
    fixture.stack.stop().await;
    assert!(!processes.iter().any(|process| is_alive(process.pid)));
    let pid = |name: &str| processes.iter().find(|process| process.name == name).unwrap().pid;
    let mut record = fixture.record();
    record.sort();
    // The worker would have taken a minute; the clockwork has no extension and was not told.
    let mut told = [
        format!("ended {}", pid("web")),
        format!("ending {}", pid("web")),
        format!("ending {}", pid("worker")),
    ];
    told.sort();
    assert_eq!(record, told);
}

#[tokio::test]
async fn a_process_that_idles_is_told_before_it_ends_and_one_stays() {
    let fixture = Fixture::start().await;
    tokio::join!(fixture.get("/pause"), fixture.get("/pause"));
    let pool = fixture.stack.pool("web").unwrap();
    fixture
        .until("one is left, and the other said farewell", |fixture| {
            // Both are idle once they have asked for work again.
            pool.trim_idle_for(std::time::Duration::ZERO);
            fixture.record().iter().any(|line| line.starts_with("ended"))
        })
        .await;
    fixture
        .until("it is gone", |fixture| {
            let record = fixture.record();
            let ended: Vec<u32> = record
                .iter()
                .filter_map(|line| line.strip_prefix("ended ")?.parse().ok())
                .collect();
            ended.len() == 1 && !is_alive(ended[0]) && pool.snapshots().len() == 1
        })
        .await;
    assert_eq!(fixture.get("/pause").await.0, 200);
}
