//! What may become of a job.

use proptest::prelude::*;

use super::*;
use crate::queue::Retry;

const NOW: Time = Time::from_millis(1_800_000_000_000);
const LEASE: i64 = 60;

static QUEUE: Queue = Queue {
    name: "tests",
    told: app::Queue("TESTS"),
    retry: Retry::Doubling {
        base: Duration::from_secs(5),
        attempts: 3,
    },
    lease: Duration::from_mins(1),
    kept: Duration::from_hours(24),
    shards: 1,
    most_waiting: 10,
};

fn job() -> JobRecord {
    JobRecord {
        id: JobId::new(NOW),
        owner: Owner::User(UserId::new(NOW)),
        cause: "test".to_owned(),
        kind: "test".to_owned(),
        label: None,
        queue: "tests".to_owned(),
        shard: 0,
        group: String::new(),
        state: State::Pending,
        attempts: 0,
        lost: 0,
        due_at: NOW,
        last_begun_at: None,
        error: None,
        progress: None,
        created_at: NOW,
        finished_at: None,
        kept_seconds: 86_400,
        origin: Origin::default(),
        history: Vec::new(),
        contents: Some(vec![1]),
        version: 0,
    }
}

fn events(job: &JobRecord) -> Vec<Event> {
    job.history.iter().map(|entry| entry.event).collect()
}

#[test]
fn a_job_is_tried_as_often_as_its_queue_says_with_longer_and_longer_pauses() {
    use Event::{Dead, Failed, Started};

    let (mut job, mut now) = (job(), NOW);
    for pause in [5, 10] {
        assert_eq!(job.begin(now, &QUEUE), Begin::Try);
        assert_eq!(job.state, State::Running);
        job.fail(now, &QUEUE, "no", None, 0);
        assert_eq!((job.state, job.due_at), (State::Failed, now.plus_seconds(pause)));
        assert_eq!(job.begin(now.plus_seconds(pause - 3), &QUEUE), Begin::NotDue);
        now = job.due_at;
    }
    assert_eq!(job.begin(now, &QUEUE), Begin::Try);
    job.fail(now, &QUEUE, "still no", None, 0);
    assert_eq!((job.state, job.attempts), (State::Dead, 3));
    assert_eq!(job.finished_at, Some(now));
    assert!(job.contents.is_some(), "a person may have it tried again");
    assert_eq!(job.begin(now.plus_seconds(3_600), &QUEUE), Begin::Over);
    assert_eq!(events(&job), [Started, Failed, Started, Failed, Started, Dead]);
    assert_eq!(job.history[5].error.as_deref(), Some("still no"));
}

#[test]
fn a_job_is_nobody_elses_until_the_lease_ends() {
    let mut job = job();
    assert_eq!(job.begin(NOW, &QUEUE), Begin::Try);
    assert_eq!(job.begin(NOW.plus_seconds(LEASE - 1), &QUEUE), Begin::NotDue);
    assert_eq!(job.begin(NOW.plus_seconds(LEASE), &QUEUE), Begin::Try);
    assert_eq!(job.attempts, 0, "what a crash cut short is no attempt");
    job.renew(NOW.plus_seconds(LEASE + 30), &QUEUE);
    assert!(!job.is_lost(NOW.plus_seconds(2 * LEASE + 29)));
    assert!(job.is_lost(NOW.plus_seconds(2 * LEASE + 30)));
    assert_eq!(events(&job), [Event::Started, Event::Lost, Event::Started]);
}

#[test]
fn a_job_that_kills_its_workers_is_given_up() {
    let (mut job, mut now) = (job(), NOW);
    for _ in 0..MOST_LOST {
        assert_eq!(job.begin(now, &QUEUE), Begin::Try);
        now = job.due_at;
    }
    assert_eq!(job.begin(now, &QUEUE), Begin::GivenUp);
    assert_eq!((job.state, job.attempts), (State::Dead, 0));
    assert!(job.error.unwrap().contains("cut short"));
}

#[test]
fn what_would_fail_again_is_not_tried_again() {
    let mut job = job();
    job.begin(NOW, &QUEUE);
    job.die(NOW, "no such address");
    assert_eq!((job.state, job.attempts), (State::Dead, 1));
}

#[test]
fn what_is_done_is_over_and_says_nothing_any_more() {
    let mut job = job();
    job.begin(NOW, &QUEUE);
    job.fail(NOW, &QUEUE, "no", None, 0);
    job.begin(NOW.plus_seconds(5), &QUEUE);
    job.complete(NOW.plus_seconds(6));
    assert_eq!((job.state, job.attempts), (State::Completed, 2));
    assert!(job.contents.is_none() && job.error.is_none());
    assert!(matches!(
        job.retry(NOW),
        Err(Error::Refused {
            code: "job_not_failed",
            ..
        })
    ));
    assert!(matches!(job.cancel(NOW), Err(Error::Refused { code: "job_over", .. })));
}

#[test]
fn a_server_may_ask_for_patience() {
    let mut job = job();
    job.begin(NOW, &QUEUE);
    job.fail(NOW, &QUEUE, "busy", Some(Duration::from_hours(1)), 0);
    assert_eq!(job.due_at, NOW.plus_seconds(3_600));
}

#[test]
fn what_is_given_back_is_as_it_was() {
    use Event::{Failed, Returned, Started};

    let mut job = job();
    for _ in 0..100 {
        assert_eq!(job.begin(job.due_at, &QUEUE), Begin::Try);
        job.give_back(job.due_at, Duration::from_secs(30));
    }
    assert_eq!((job.state, job.attempts), (State::Pending, 0));
    assert_eq!(events(&job), [Event::Returned]);
    job.begin(job.due_at, &QUEUE);
    job.fail(job.due_at, &QUEUE, "no", None, 0);
    job.begin(job.due_at, &QUEUE);
    job.give_back(job.due_at, Duration::ZERO);
    assert_eq!((job.state, job.attempts), (State::Failed, 1));
    assert_eq!(events(&job), [Returned, Started, Failed, Returned]);
}

#[test]
fn a_dead_job_is_tried_again_as_if_it_were_new() {
    let mut job = job();
    job.begin(NOW, &QUEUE);
    job.die(NOW, "no");
    let later = NOW.plus_seconds(3_600);
    job.retry(later).unwrap();
    assert_eq!((job.state, job.attempts, job.due_at), (State::Pending, 0, later));
    assert_eq!(job.finished_at, None);
    assert!(job.retry(later).is_err(), "it is pending now");
    for _ in 0..3 {
        assert_eq!(job.begin(job.due_at, &QUEUE), Begin::Try);
        job.fail(job.due_at, &QUEUE, "no", None, 0);
    }
    assert_eq!(job.state, State::Dead);
}

#[test]
fn whatever_is_not_done_can_be_canceled() {
    let mut canceled = job();
    assert!(canceled.cancel(NOW).unwrap());
    assert!(!canceled.cancel(NOW).unwrap());
    assert_eq!(canceled.begin(NOW, &QUEUE), Begin::Over);
    assert!(canceled.contents.is_none() && canceled.retry(NOW).is_err());
    let mut running = job();
    running.begin(NOW, &QUEUE);
    assert!(running.cancel(NOW).unwrap());
    let mut dead = job();
    dead.begin(NOW, &QUEUE);
    dead.die(NOW, "no");
    assert!(dead.cancel(NOW).unwrap());
}

#[test]
fn an_owner_is_named_by_its_id() {
    let owner = Owner::Org(OrgId::new(NOW));
    assert_eq!(owner.to_string().parse::<Owner>(), Ok(owner));
    assert!("prj_01mcc5rm00ead9ttpnkqfb058v".parse::<Owner>().is_err());
}

#[test]
fn states_are_stored_as_they_are_called() {
    for state in State::ALL {
        assert_eq!(serde_json::json!(state), state.name());
    }
}

/// Something that happens to a job.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    Renew,
    Complete,
    Fail(String),
    Die,
    GiveBack,
    Retry,
    Cancel,
    Wait(i64),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Begin),
        1 => Just(Step::Renew),
        1 => Just(Step::Complete),
        3 => (0..900_usize).prop_map(|length| Step::Fail("é".repeat(length))),
        1 => Just(Step::Die),
        1 => Just(Step::GiveBack),
        1 => Just(Step::Retry),
        1 => Just(Step::Cancel),
        3 => (0..120_000_i64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_job_stays_in_bounds(steps in prop::collection::vec(a_step(), 0..200), random: u8) {
        let (mut job, mut now) = (job(), NOW);
        for step in steps {
            let before = job.clone();
            let is_running = job.state == State::Running;
            match step {
                Step::Begin => {
                    let begun = job.begin(now, &QUEUE);
                    let took = begun == Begin::Try;
                    prop_assert_eq!(took, job.state == State::Running && job.due_at > now && !(is_running && before.due_at > now));
                }
                Step::Renew if is_running => job.renew(now, &QUEUE),
                Step::Complete if is_running => job.complete(now),
                Step::Fail(why) if is_running => job.fail(now, &QUEUE, &why, None, random),
                Step::Die if is_running => job.die(now, "no"),
                Step::GiveBack if is_running => job.give_back(now, Duration::from_secs(1)),
                Step::Retry => prop_assert_eq!(job.retry(now).is_ok(), matches!(before.state, State::Dead | State::Failed)),
                Step::Cancel => prop_assert_eq!(job.cancel(now).is_ok(), before.state != State::Completed),
                Step::Wait(millis) => now = now.plus_millis(millis),
                _ => {}
            }
            prop_assert!(job.attempts <= 3 && job.lost <= MOST_LOST && job.history.len() <= MOST_HISTORY);
            prop_assert!(job.error.as_ref().is_none_or(|error| error.chars().count() <= LONGEST_ERROR));
            prop_assert_eq!(job.state.is_open(), job.finished_at.is_none());
            // What can still be done is still known.
            prop_assert_eq!(job.contents.is_some(), !matches!(job.state, State::Completed | State::Canceled));
        }
    }

    #[test]
    fn no_message_makes_it_panic(text in ".{0,200}") {
        let _ = JobRef::parse(&text);
    }
}
