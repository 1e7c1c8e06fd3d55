//! Jobs: done once where nothing goes wrong, again where somebody dies, and never by two at a time.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use jobs::store::Filter;
use jobs::{
    Event, Hold, Job, JobKey, JobRecord, JobRef, Later, Outcome, Owner, Place, Queue, Redriven, Retry, Running, State,
    Stored, Work, redrive, redrive_all, store, sweep, work,
};
use kernel::policy::{ManageUsers, ReadOrg};
use kernel::{Error, JobId, OrgId, Scope, Time};
use lambda::App;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use table::{Position, Record, Slice, Write, WriteError};
use testing::{START, TestApp};

const QUEUE_ID: &str = "MailQueue";
const TOLD: app::Queue = app::Queue("MAIL_QUEUE_URL");
const LEASE: i64 = Time::MINUTE;

static QUEUE: Queue = queue("tests", 4, 2_000);
/// A queue of which hardly anything may wait.
static NARROW: Queue = queue("narrow", 2, 20);

const fn queue(name: &'static str, shards: u8, most_waiting: u64) -> Queue {
    Queue {
        name,
        told: TOLD,
        retry: Retry::Doubling {
            base: Duration::from_secs(10),
            attempts: 3,
        },
        lease: Duration::from_mins(1),
        kept: Duration::from_hours(24),
        shards,
        most_waiting,
    }
}

/// Something to count, for an organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Count {
    org: OrgId,
    number: u32,
    #[serde(default)]
    key: Option<String>,
}

impl Job for Count {
    const KIND: &'static str = "count";
    const QUEUE: &'static Queue = &QUEUE;

    fn place(&self) -> Place {
        Place::of(Owner::Org(self.org), "counting")
    }

    fn key(&self) -> Option<JobKey> {
        self.key.as_ref().map(|key| JobKey::of(key, START))
    }
}

/// Something to tell nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Whisper(String);

impl Job for Whisper {
    const KIND: &'static str = "whisper";
    const QUEUE: &'static Queue = &NARROW;
    const SEALED: bool = true;

    fn place(&self) -> Place {
        Place::of(Owner::Org(org()), "whispering")
    }

    fn group(&self) -> String {
        self.0.clone()
    }
}

fn org() -> OrgId {
    OrgId::from_bits(7)
}

fn count(number: u32) -> Count {
    Count {
        org: org(),
        number,
        key: None,
    }
}

fn keyed(number: u32, key: &str) -> Count {
    Count {
        key: Some(key.to_owned()),
        ..count(number)
    }
}

/// What a worker does at each try, the last again and again.
#[derive(Default)]
struct Worker {
    outcomes: Vec<Outcome>,
    tries: AtomicUsize,
    done: Mutex<Vec<u32>>,
}

impl Worker {
    fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        Self {
            outcomes: outcomes.into_iter().collect(),
            ..Self::default()
        }
    }

    fn tries(&self) -> usize {
        self.tries.load(Ordering::Relaxed)
    }
}

impl Work<Count> for Worker {
    async fn work(&self, _: &App, running: &Running<'_, Count>) -> Outcome {
        let place = self.tries.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let outcome = self.outcomes.get(place).or(self.outcomes.last());
        let outcome = outcome.cloned().unwrap_or(Outcome::Done);
        if outcome == Outcome::Done {
            self.done.lock().unwrap().push(running.job.number);
        }
        outcome
    }
}

/// An app with its own tables and queues, and jobs in them.
struct World {
    testing: TestApp,
    app: App,
}

impl World {
    async fn new() -> Self {
        let testing = TestApp::start().await;
        let app = testing.app().await;
        Self { testing, app }
    }

    fn later<J: Job>(&self, job: &J) -> Later {
        Later::of(self.app.now(), job, self.app.now()).unwrap()
    }

    /// Stores a job and takes the message that names it.
    async fn made<J: Job>(&self, job: &J) -> (JobRef, String) {
        let later = self.later(job);
        assert_eq!(later.store(&self.app).await.unwrap(), Stored::New);
        let text = self.testing.take(QUEUE_ID).await.pop().unwrap();
        assert_eq!(JobRef::parse(&text).unwrap(), later.reference());
        (later.reference(), text)
    }

    async fn stored(&self, job: &JobRef) -> JobRecord {
        store::find(&self.app.table, job).await.unwrap().unwrap()
    }

    async fn state(&self, job: &JobRef) -> State {
        self.stored(job).await.state
    }

    async fn events(&self, job: &JobRef) -> Vec<Event> {
        let history = self.stored(job).await.history;
        history.iter().map(|entry| entry.event).collect()
    }

    async fn sweep(&self) -> jobs::Swept {
        sweep(&self.app, &[&QUEUE, &NARROW]).await.unwrap()
    }

    /// Takes what queues were told, and does it.
    async fn run(&self, worker: &Worker) -> usize {
        let texts = self.testing.take(QUEUE_ID).await;
        for text in &texts {
            work(&self.app, worker, text).await.unwrap();
        }
        texts.len()
    }
}

#[tokio::test]
async fn of_a_hundred_workers_that_race_for_a_job_one_does_it() {
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    let worker = Worker::default();
    let all = (0..100).map(|_| work(&world.app, &worker, &text));
    for done in join_all(all).await {
        done.unwrap();
    }
    assert_eq!((worker.tries(), world.state(&job).await), (1, State::Completed));
    let record = world.stored(&job).await;
    assert_eq!((record.attempts, record.index1()), (1, None));
    assert_eq!(record.expires_at(), Some(START.plus_millis(Time::DAY)));
}

#[tokio::test]
async fn a_worker_that_dies_leaves_a_job_that_is_done_after_its_lease() {
    struct Dying;
    impl Work<Count> for Dying {
        async fn work(&self, _: &App, _: &Running<'_, Count>) -> Outcome {
            std::future::pending().await
        }
    }
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    let dead = tokio::time::timeout(Duration::from_millis(300), work(&world.app, &Dying, &text));
    assert!(dead.await.is_err());
    assert_eq!(world.state(&job).await, State::Running);

    let worker = Worker::default();
    world.testing.advance(LEASE - 1);
    work(&world.app, &worker, &text).await.unwrap();
    assert_eq!((worker.tries(), world.sweep().await.told), (0, 0), "its lease holds");
    world.testing.advance(20 * Time::SECOND);
    let swept = world.sweep().await;
    assert_eq!((swept.lost, swept.told), (1, 1));
    assert_eq!(world.state(&job).await, State::Pending, "nothing runs that nobody does");
    assert_eq!(world.run(&worker).await, 1);
    assert_eq!((worker.tries(), world.state(&job).await), (1, State::Completed));
    let events = [Event::Started, Event::Lost, Event::Started, Event::Completed];
    assert_eq!(world.events(&job).await, events);
    assert_eq!(
        world.stored(&job).await.attempts,
        1,
        "what a crash cut short is no attempt"
    );
}

#[tokio::test]
async fn a_job_that_cost_too_many_workers_is_counted_as_failed() {
    let world = World::new().await;
    for by_the_sweeper in [true, false] {
        let (job, text) = world.made(&count(1)).await;
        // The last worker but none has just died.
        let mut record = json!(world.stored(&job).await);
        (record["state"], record["lost"]) = (json!("RUNNING"), json!(8));
        let mut record: JobRecord = serde_json::from_value(record).unwrap();
        assert!(store::save(&world.app.table, &mut record).await.unwrap());
        world.testing.advance(20 * Time::SECOND);
        for _ in 0..2 {
            if by_the_sweeper {
                world.sweep().await;
            } else {
                work(&world.app, &Worker::default(), &text).await.unwrap();
            }
        }
        assert_eq!(world.state(&job).await, State::Dead);
        let failed = world.app.measures.take().into_iter();
        let failed: Vec<_> = failed.filter(|one| one.name == "jobs.failed").collect();
        let counted = failed.iter().map(|one| (one.labels.clone(), one.values.clone()));
        let expected = (vec![("queue", "tests".to_owned())], vec![1.0]);
        assert_eq!(counted.collect::<Vec<_>>(), [expected]);
    }
}

#[tokio::test]
async fn a_worker_that_dies_at_any_moment_loses_nothing() {
    let mut finished = false;
    for polls in 1..200 {
        let world = World::new().await;
        let (job, text) = world.made(&count(1)).await;
        let worker = Worker::default();
        finished = Box::pin(dies_after(polls, work(&world.app, &worker, &text))).await;
        // Whatever was on its way to the table arrives.
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.testing.take(QUEUE_ID).await;
        world.testing.advance(LEASE + 20 * Time::SECOND);
        world.sweep().await;
        world.run(&worker).await;
        assert_eq!(world.state(&job).await, State::Completed, "after {polls} polls");
        assert!((1..=2).contains(&worker.tries()), "after {polls} polls");
        if finished {
            break;
        }
    }
    assert!(finished, "a job takes no 200 polls");
}

/// Polls a future so often, then drops it; says whether it was done.
pub(crate) async fn dies_after<T>(polls: u32, work: impl Future<Output = T>) -> bool {
    let mut work = std::pin::pin!(work);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        left -= 1;
        let done = work.as_mut().poll(context).map(|_| true);
        if left == 0 && done.is_pending() {
            return std::task::Poll::Ready(false);
        }
        done
    })
    .await
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again_after_longer_and_longer_pauses_and_is_dead_in_the_end() {
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    let worker = Worker::of([Outcome::again("no answer")]);
    work(&world.app, &worker, &text).await.unwrap();
    for (tries, pause) in [(1, 15), (2, 30)] {
        let record = world.stored(&job).await;
        assert_eq!((record.state, record.attempts), (State::Failed, tries));
        assert_eq!(record.error.as_deref(), Some("no answer"));
        assert_eq!(world.run(&worker).await, 0, "its pause is not over");
        world.testing.advance((pause + 2) * Time::SECOND);
        assert_eq!(world.run(&worker).await, 1);
    }
    assert_eq!((worker.tries(), world.state(&job).await), (3, State::Dead));
    world.testing.advance(Time::HOUR);
    assert_eq!((world.sweep().await.told, world.run(&worker).await), (0, 0));
}

#[tokio::test]
async fn what_cannot_succeed_is_dead_at_once() {
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    let worker = Worker::of([Outcome::dead("no such address")]);
    work(&world.app, &worker, &text).await.unwrap();
    let record = world.stored(&job).await;
    assert_eq!((record.state, record.attempts), (State::Dead, 1));
    assert_eq!(record.error.as_deref(), Some("no such address"));
}

#[tokio::test]
async fn a_worker_that_panics_has_failed() {
    struct Broken;
    impl Work<Count> for Broken {
        async fn work(&self, _: &App, running: &Running<'_, Count>) -> Outcome {
            panic!("the secret is {}", running.job.number)
        }
    }
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    work(&world.app, &Broken, &text).await.unwrap();
    let record = world.stored(&job).await;
    assert_eq!((record.state, record.attempts), (State::Failed, 1));
    assert_eq!(record.error.as_deref(), Some("its worker broke down"));
}

#[tokio::test]
async fn a_server_may_ask_for_patience() {
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    let asked = Outcome::Again {
        why: "busy".to_owned(),
        after: Some(Duration::from_hours(1)),
    };
    let worker = Worker::of([asked, Outcome::Done]);
    work(&world.app, &worker, &text).await.unwrap();
    assert_eq!(world.stored(&job).await.due_at, START.plus_millis(Time::HOUR));
    // That is later than a message can be delayed, so the sweeper tells of it.
    world.testing.advance(Time::HOUR - 1);
    assert_eq!((world.sweep().await.told, world.run(&worker).await), (0, 0));
    world.testing.advance(20 * Time::SECOND);
    assert_eq!((world.sweep().await.told, world.run(&worker).await), (1, 1));
    assert_eq!(world.state(&job).await, State::Completed);
}

#[tokio::test]
async fn a_job_that_is_due_later_is_not_done_before() {
    let world = World::new().await;
    let worker = Worker::default();
    let soon = Later::of(START, &count(1), START.plus_millis(10 * Time::MINUTE)).unwrap();
    let late = Later::of(START, &count(2), START.plus_millis(30 * Time::DAY)).unwrap();
    for later in [&soon, &late] {
        later.store(&world.app).await.unwrap();
    }
    assert_eq!((world.sweep().await.told, world.run(&worker).await), (0, 0));
    // A message that comes early finds nothing to do.
    let early = json!(soon.reference()).to_string();
    work(&world.app, &worker, &early).await.unwrap();
    assert_eq!(worker.tries(), 0);
    world.testing.advance(10 * Time::MINUTE + 2 * Time::SECOND);
    assert_eq!(world.run(&worker).await, 1);
    world.testing.advance(30 * Time::DAY);
    assert_eq!((world.sweep().await.told, world.run(&worker).await), (1, 1));
    assert_eq!(*worker.done.lock().unwrap(), [1, 2]);
}

#[tokio::test]
async fn messages_that_come_twice_late_or_in_any_order_change_nothing() {
    let world = World::new().await;
    let mut texts = Vec::new();
    for number in 0..5 {
        texts.push(world.made(&count(number)).await.1);
    }
    texts.extend(texts.clone());
    texts.reverse();
    let worker = Worker::default();
    for text in &texts {
        work(&world.app, &worker, text).await.unwrap();
    }
    world.testing.advance(Time::DAY);
    assert_eq!(world.sweep().await.told, 0);
    for text in &texts {
        work(&world.app, &worker, text).await.unwrap();
    }
    assert_eq!(*worker.done.lock().unwrap(), [4, 3, 2, 1, 0]);
}

#[tokio::test]
async fn a_message_that_is_none_of_ours_comes_again_and_one_without_a_job_does_not() {
    let world = World::new().await;
    let (job, _) = world.made(&count(1)).await;
    let worker = Worker::default();
    let changed = |name: &str, value: Value| {
        let mut named = json!(job);
        named[name] = value;
        named.to_string()
    };
    for poisoned in [
        "",
        "{",
        "[]",
        &changed("more", 1.into()),
        &changed("kind", "whisper".into()),
        &changed("owner", "x".into()),
    ] {
        let error = work(&world.app, &worker, poisoned).await.unwrap_err();
        assert!(matches!(error, Error::Internal(_)), "{poisoned}");
    }
    let nobodys = changed("id", json!(JobId::new(START)));
    work(&world.app, &worker, &nobodys).await.unwrap();
    let elsewhere = changed("cause", "guessing".into());
    work(&world.app, &worker, &elsewhere).await.unwrap();
    assert_eq!(worker.tries(), 0);
}

#[tokio::test]
async fn a_job_with_a_key_is_made_once() {
    let world = World::new().await;
    let (first, text) = world.made(&keyed(1, "january")).await;
    let second = world.later(&keyed(2, "january"));
    assert_eq!(second.store(&world.app).await.unwrap(), Stored::There);
    assert!(world.testing.take(QUEUE_ID).await.is_empty());
    // Together with something else, both or none of it.
    let other = world.later(&count(3));
    let both = [&other, &second].map(|later| later.write(&world.app.sealing).unwrap());
    let error = world.app.table.write(both).await.unwrap_err();
    assert!(error.failed(1) && !error.failed(0));
    let stored = store::find(&world.app.table, &other.reference()).await.unwrap();
    assert!(stored.is_none());
    // Another key is another job, and what is done is not done again.
    let february = world.later(&keyed(2, "february"));
    assert_eq!(february.store(&world.app).await.unwrap(), Stored::New);
    work(&world.app, &Worker::default(), &text).await.unwrap();
    assert_eq!(world.state(&first).await, State::Completed);
    assert_eq!(second.store(&world.app).await.unwrap(), Stored::There);
    world.testing.take(QUEUE_ID).await;
}

#[tokio::test]
async fn a_dead_job_does_not_block_its_key() {
    let world = World::new().await;
    let (dead, text) = world.made(&keyed(1, "january")).await;
    let mut stale = world.stored(&dead).await;
    work(&world.app, &Worker::of([Outcome::dead("no")]), &text)
        .await
        .unwrap();
    world.testing.advance(1_000);
    let (again, text) = world.made(&keyed(2, "january")).await;
    assert_eq!(again, dead, "it takes the place of the dead one");
    // Whoever still holds the dead one, however often it was changed, changes nothing any more.
    for _ in 0..5 {
        assert!(!store::save(&world.app.table, &mut stale).await.unwrap());
        stale = serde_json::from_value(bumped(&stale)).unwrap();
    }
    let worker = Worker::default();
    work(&world.app, &worker, &text).await.unwrap();
    assert_eq!(*worker.done.lock().unwrap(), [2]);
}

/// The same record, one version later.
fn bumped(record: &JobRecord) -> Value {
    let mut value = json!(record);
    value["version"] = json!(value["version"].as_u64().unwrap() + 1);
    value
}

#[tokio::test]
async fn of_many_who_make_a_job_with_one_key_one_does() {
    let world = World::new().await;
    let jobs: Vec<Later> = (0..20).map(|number| world.later(&keyed(number, "january"))).collect();
    let made = join_all(jobs.iter().map(|later| later.store(&world.app))).await;
    let new = made.into_iter().filter(|made| matches!(made, Ok(Stored::New)));
    assert_eq!(new.count(), 1);
    assert_eq!(world.testing.take(QUEUE_ID).await.len(), 1);
}

#[tokio::test]
async fn a_secret_is_sealed_for_its_job_and_erased_when_it_is_over() {
    struct Listener(Mutex<Vec<Whisper>>);
    impl Work<Whisper> for Listener {
        async fn work(&self, _: &App, running: &Running<'_, Whisper>) -> Outcome {
            self.0.lock().unwrap().push(running.job.clone());
            Outcome::Done
        }
    }
    let world = World::new().await;
    let secret = "s3cret-and-long-enough";
    let (job, text) = world.made(&Whisper(secret.to_owned())).await;
    let (other, other_text) = world.made(&Whisper("other".to_owned())).await;
    let contents = json!(world.stored(&job).await)["contents"].clone();
    let bytes: Vec<u8> = serde_json::from_value(contents.clone()).unwrap();
    assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));

    // One job's contents in another's place.
    let mut swapped = json!(world.stored(&other).await);
    swapped["contents"] = contents;
    put(&world, swapped).await;
    let listener = Listener(Mutex::default());
    for text in [&text, &other_text] {
        work(&world.app, &listener, text).await.unwrap();
    }
    assert_eq!(*listener.0.lock().unwrap(), [Whisper(secret.to_owned())]);
    assert_eq!(world.state(&job).await, State::Completed);
    assert_eq!(json!(world.stored(&job).await)["contents"], Value::Null);
    let refused = world.stored(&other).await;
    let why = Some("its contents cannot be opened");
    assert_eq!((refused.state, refused.error.as_deref()), (State::Dead, why));
}

/// Stores a record as it is written here.
async fn put(world: &World, record: Value) {
    let record: JobRecord = serde_json::from_value(record).unwrap();
    world.app.table.write([Write::put(&record).unwrap()]).await.unwrap();
}

#[tokio::test]
async fn contents_that_nobody_can_read_any_more_are_dead_and_told_to_nobody() {
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    let mut damaged = json!(world.stored(&job).await);
    damaged["contents"] = json!(br#"{"number":"a secret"}"#.to_vec());
    put(&world, damaged).await;
    work(&world.app, &Worker::default(), &text).await.unwrap();
    let record = world.stored(&job).await;
    let why = Some("its contents cannot be read");
    assert_eq!((record.state, record.error.as_deref()), (State::Dead, why));
}

#[tokio::test]
async fn work_that_takes_long_renews_its_lease_and_tells_how_far_it_is() {
    struct Slow<'a>(&'a World);
    impl Work<Count> for Slow<'_> {
        async fn work(&self, _: &App, running: &Running<'_, Count>) -> Outcome {
            for percent in [10, 20, 200] {
                self.0.testing.advance(LEASE - 1);
                assert_eq!(running.progress(percent).await.unwrap(), Hold::Mine);
                assert_eq!(self.0.sweep().await.lost, 0);
            }
            self.0.testing.advance(LEASE - 1);
            assert_eq!(running.renew().await.unwrap(), Hold::Mine);
            Outcome::Done
        }
    }
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    work(&world.app, &Slow(&world), &text).await.unwrap();
    let record = world.stored(&job).await;
    assert_eq!((record.state, record.progress), (State::Completed, Some(100)));
}

#[tokio::test]
async fn who_lost_a_job_learns_it_and_changes_nothing() {
    struct Late<'a>(&'a World, Worker);
    impl Work<Count> for Late<'_> {
        async fn work(&self, _: &App, running: &Running<'_, Count>) -> Outcome {
            assert_eq!((running.attempt(), running.job.number), (1, 1));
            let world = self.0;
            world.testing.advance(LEASE + 20 * Time::SECOND);
            world.sweep().await;
            assert_eq!(world.run(&self.1).await, 1);
            assert_eq!(running.renew().await.unwrap(), Hold::Gone);
            Outcome::dead("too late")
        }
    }
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    let late = Late(&world, Worker::default());
    work(&world.app, &late, &text).await.unwrap();
    assert_eq!((world.state(&job).await, late.1.tries()), (State::Completed, 1));
}

#[tokio::test]
async fn what_is_not_to_be_done_now_is_no_attempt() {
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    let after = Duration::from_secs(15);
    let worker = Worker::of([Outcome::NotNow { after }, Outcome::NotNow { after }, Outcome::Done]);
    work(&world.app, &worker, &text).await.unwrap();
    let record = world.stored(&job).await;
    assert_eq!((record.state, record.attempts), (State::Pending, 0));
    for _ in 0..2 {
        world.testing.advance(16 * Time::SECOND);
        assert_eq!(world.run(&worker).await, 1);
    }
    let record = world.stored(&job).await;
    assert_eq!((record.state, record.attempts), (State::Completed, 1));
}

#[tokio::test]
async fn a_process_that_is_to_end_gives_back_what_it_has_not_begun_to_do() {
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    let worker = Worker::default();
    // It is asked to end while it takes the job.
    let (done, ()) = tokio::join!(work(&world.app, &worker, &text), world.app.shutdown.begin());
    done.unwrap();
    assert_eq!((worker.tries(), world.state(&job).await), (0, State::Pending));
    assert_eq!(world.events(&job).await, [Event::Returned]);
    // Then it takes none, and the message comes again.
    let error = work(&world.app, &worker, &text).await.unwrap_err();
    assert!(matches!(error, Error::Busy));
    // Another process has it at once, without waiting for a lease to end.
    let other = World {
        app: world.testing.app().await,
        testing: world.testing.clone(),
    };
    assert_eq!(other.run(&worker).await, 1);
    assert_eq!((worker.tries(), other.state(&job).await), (1, State::Completed));
}

#[test]
fn a_cause_cannot_name_another_partition() {
    #[derive(Serialize, Deserialize)]
    struct Placed(String);
    impl Job for Placed {
        const KIND: &'static str = "placed";
        const QUEUE: &'static Queue = &QUEUE;

        fn place(&self) -> Place {
            Place::of(Owner::Org(org()), &self.0)
        }
    }
    for bad in ["", "a#b", "a b"] {
        let error = Later::of(START, &Placed(bad.to_owned()), START).unwrap_err();
        assert!(matches!(error, Error::Internal(_)), "{bad}");
    }
    assert!(Later::of(START, &Placed("alr_1".to_owned()), START).is_ok());
}

/// Puts many jobs like this one, which are due; behind the API, which would take a minute.
fn put_many(world: &World, job: &JobRecord, shards: u32, many: u32) {
    let database = world.testing.aws().dynamodb().database();
    let (key, table) = (job.key(), world.testing.table_name("OperationsTable"));
    let asked = json!({"TableName": table, "Key": {"pk": {"S": key.pk}, "sk": {"S": key.sk}}});
    let found = database.get_item(serde_json::from_value(asked).unwrap()).unwrap();
    let like = json!(found)["Item"].clone();
    let item = |number: u32| {
        let (id, due) = (JobId::from_bits(number.into()), START.plus_millis(number.into()));
        let mut item = like.clone();
        for (name, text) in [
            ("sk", id.to_string()),
            ("id", id.to_string()),
            ("dueAt", due.to_string()),
            ("gsi1pk", format!("DUE#{}#{}", job.queue, number % shards)),
            ("gsi1sk", format!("{due}#{id}")),
            ("gsi2sk", format!("PENDING#{id}")),
            ("gsi3pk", format!("JOBS#{}#{}", job.queue, number % shards)),
            ("gsi3sk", id.to_string()),
        ] {
            assert!(item[name].is_object(), "{name} in {item}");
            item[name] = json!({"S": text});
        }
        item
    };
    for numbers in (0..many).collect::<Vec<_>>().chunks(10_000) {
        let items: Value = numbers.iter().map(|number| item(*number)).collect();
        let items = serde_json::from_value(items).unwrap();
        #[expect(clippy::default_trait_access, reason = "the type is the database's own")]
        let plain = Default::default();
        database.import_items(&table, items, plain).unwrap();
    }
}

#[tokio::test]
async fn of_a_hundred_thousand_jobs_a_queue_holds_no_more_than_its_bound() {
    let world = World::new().await;
    let (job, _) = world.made(&count(1)).await;
    let like = world.stored(&job).await;
    put_many(&world, &like, QUEUE.shards.into(), 100_000);
    world.testing.advance(10 * Time::MINUTE);
    let (sqs, name) = (world.testing.aws().sqs(), world.testing.queue_name(QUEUE_ID));
    let mut told = 0;
    for _ in 0..4 {
        let swept = world.sweep().await;
        told += swept.told;
        assert!(swept.held_back > 0);
        assert_eq!(sqs.depth(&name).unwrap().total(), QUEUE.most_waiting);
        // Workers that do 300 a minute, and have 10 more at hand.
        for batch in 0..31 {
            let messages = sqs.receive(&name, 10, 600, Duration::ZERO).await.unwrap();
            let receipts: Vec<&str> = messages.iter().map(|message| message.receipt.as_str()).collect();
            if batch < 30 {
                sqs.delete(&name, &receipts).unwrap();
            }
        }
        world.testing.advance(Time::MINUTE);
    }
    assert_eq!(told, 2_000 + 3 * 300);
    sqs.purge(&name).unwrap();
}

#[tokio::test]
async fn a_narrow_queue_still_gets_everything_done() {
    struct Listener(AtomicU32);
    impl Work<Whisper> for Listener {
        async fn work(&self, _: &App, _: &Running<'_, Whisper>) -> Outcome {
            self.0.fetch_add(1, Ordering::Relaxed);
            Outcome::Done
        }
    }
    let world = World::new().await;
    let mut groups = BTreeSet::new();
    for number in 0..150 {
        let later = world.later(&Whisper(number.to_string()));
        groups.insert(later.nudge().unwrap().message.group.unwrap());
        world
            .app
            .table
            .write([later.write(&world.app.sealing).unwrap()])
            .await
            .unwrap();
    }
    assert_eq!(groups.len(), 150);
    let (listener, mut sweeps) = (Listener(AtomicU32::new(0)), 0);
    while listener.0.load(Ordering::Relaxed) < 150 {
        world.testing.advance(Time::MINUTE);
        world.sweep().await;
        let texts = world.testing.take(QUEUE_ID).await;
        assert!(texts.len() <= 20);
        for text in &texts {
            work(&world.app, &listener, text).await.unwrap();
        }
        sweeps += 1;
        assert!(sweeps <= 15);
    }
    assert_eq!(world.sweep().await, jobs::Swept::default());
}

/// What administrators of this organization may see.
fn admins() -> Scope<ReadOrg> {
    Scope::system(org())
}

fn first(limit: u16) -> Slice {
    Slice { limit, after: None }
}

/// The numbers of the jobs in a list, read page by page.
async fn listed(world: &World, filter: &Filter, limit: u16) -> Vec<u32> {
    let (mut numbers, mut slice) = (Vec::new(), first(limit));
    loop {
        let page = store::list(&world.app.table, &admins(), filter, slice).await.unwrap();
        assert!(page.records.len() <= usize::from(limit));
        for job in page.records {
            numbers.push(u32::try_from(job.id.time().millis() - START.millis()).unwrap() / 1_000);
        }
        let Some(after) = page.next else { return numbers };
        slice = Slice {
            limit,
            after: Some(after),
        };
    }
}

#[tokio::test]
async fn an_owners_jobs_are_listed_by_state_and_queue_newest_first() {
    let world = World::new().await;
    for number in 0..9 {
        let (_, text) = world.made(&count(number)).await;
        let outcome = match number % 3 {
            0 => Outcome::Done,
            1 => Outcome::dead("no"),
            _ => Outcome::again("no"),
        };
        work(&world.app, &Worker::of([outcome]), &text).await.unwrap();
        world.testing.advance(1_000);
    }
    world.made(&Whisper("x".to_owned())).await;
    let rival = Count {
        org: OrgId::from_bits(8),
        ..count(1)
    };
    world.made(&rival).await;

    let all = Filter::default();
    assert_eq!(listed(&world, &all, 4).await, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    let state = |state| Filter {
        state: Some(state),
        queue: None,
    };
    for limit in [1, 2, 100] {
        assert_eq!(listed(&world, &state(State::Completed), limit).await, [6, 3, 0]);
        assert_eq!(listed(&world, &state(State::Dead), limit).await, [7, 4, 1]);
        assert_eq!(listed(&world, &state(State::Failed), limit).await, [8, 5, 2]);
    }
    assert!(listed(&world, &state(State::Canceled), 100).await.is_empty());
    let narrow = |state| Filter {
        state,
        queue: Some("narrow".to_owned()),
    };
    assert_eq!(listed(&world, &narrow(None), 3).await, [9]);
    assert_eq!(listed(&world, &narrow(Some(State::Pending)), 3).await, [9]);
    assert!(listed(&world, &narrow(Some(State::Dead)), 3).await.is_empty());
}

#[tokio::test]
async fn a_job_is_found_by_its_id_whatever_became_of_it_and_by_nobody_else() {
    let world = World::new().await;
    let (job, text) = world.made(&keyed(1, "january")).await;
    let rival = Scope::<ReadOrg>::system(OrgId::from_bits(8));
    for state in [State::Pending, State::Completed] {
        let found = store::load(&world.app.table, &admins(), job.id).await.unwrap();
        assert_eq!((found.id, found.state), (job.id, state));
        let hidden = store::load(&world.app.table, &rival, job.id).await.unwrap_err();
        assert!(matches!(hidden, Error::NotFound("job")));
        work(&world.app, &Worker::default(), &text).await.unwrap();
    }
    let absent = store::load(&world.app.table, &admins(), JobId::new(START)).await;
    assert!(matches!(absent, Err(Error::NotFound("job"))));
}

#[tokio::test]
async fn the_jobs_of_a_cause_are_listed_newest_first() {
    let world = World::new().await;
    let mut made = Vec::new();
    for number in 0..3 {
        made.insert(0, world.made(&count(number)).await.0.id);
        world.testing.advance(1_000);
    }
    world.made(&Whisper("x".to_owned())).await;
    let page = store::of_cause_in(&world.app.table, &admins(), "counting", first(2)).await;
    let page = page.unwrap();
    let listed: Vec<_> = page.records.iter().map(|job| job.id).collect();
    assert_eq!(listed, made[..2]);
    assert!(page.next.is_some());
}

/// Cancels a job as a person would: as it was read, or not at all.
async fn cancel(world: &World, job: &JobRef) -> bool {
    let mut record = world.stored(job).await;
    record.cancel(world.app.now()).is_ok_and(|changed| changed)
        && store::save(&world.app.table, &mut record).await.unwrap()
}

#[tokio::test]
async fn a_job_that_is_canceled_before_it_begins_is_not_done() {
    let world = World::new().await;
    let (job, text) = world.made(&keyed(1, "january")).await;
    assert!(cancel(&world, &job).await && !cancel(&world, &job).await);
    let worker = Worker::default();
    work(&world.app, &worker, &text).await.unwrap();
    world.testing.advance(Time::HOUR);
    assert_eq!((world.sweep().await.told, worker.tries()), (0, 0));
    assert_eq!(json!(world.stored(&job).await)["contents"], Value::Null);
    // Its key is free again.
    assert_eq!(
        world.later(&keyed(2, "january")).store(&world.app).await.unwrap(),
        Stored::New
    );
    assert_eq!(world.run(&worker).await, 1);
}

#[tokio::test]
async fn a_job_that_is_canceled_while_it_is_done_stays_canceled() {
    struct Canceled<'a>(&'a World, JobRef);
    impl Work<Count> for Canceled<'_> {
        async fn work(&self, _: &App, running: &Running<'_, Count>) -> Outcome {
            assert!(cancel(self.0, &self.1).await);
            assert_eq!(running.renew().await.unwrap(), Hold::Gone);
            Outcome::again("it was stopped")
        }
    }
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    work(&world.app, &Canceled(&world, job.clone()), &text).await.unwrap();
    assert_eq!(world.state(&job).await, State::Canceled);
    world.testing.advance(Time::HOUR);
    assert_eq!((world.sweep().await.told, world.run(&Worker::default()).await), (0, 0));
}

#[tokio::test]
async fn of_a_cancel_and_a_worker_that_race_one_wins() {
    for _ in 0..20 {
        let world = World::new().await;
        let (job, text) = world.made(&count(1)).await;
        let worker = Worker::default();
        let (done, canceled) = tokio::join!(work(&world.app, &worker, &text), cancel(&world, &job));
        done.unwrap();
        let expected = if canceled { State::Canceled } else { State::Completed };
        assert_eq!(world.state(&job).await, expected);
        assert!(canceled || worker.tries() == 1);
    }
}

#[tokio::test]
async fn a_dead_job_that_a_person_retries_is_done() {
    let world = World::new().await;
    let (job, text) = world.made(&count(1)).await;
    work(&world.app, &Worker::of([Outcome::dead("no")]), &text)
        .await
        .unwrap();
    let mut record = world.stored(&job).await;
    record.retry(world.app.now()).unwrap();
    assert!(store::save(&world.app.table, &mut record).await.unwrap());
    let worker = Worker::default();
    work(&world.app, &worker, &text).await.unwrap();
    assert_eq!((worker.tries(), world.state(&job).await), (1, State::Completed));
    let events = [
        Event::Started,
        Event::Dead,
        Event::Retried,
        Event::Started,
        Event::Completed,
    ];
    assert_eq!(world.events(&job).await, events);
}

/// Makes jobs of two organizations that die.
async fn many_dead(world: &World, each: u32) {
    let dead = Worker::of([Outcome::dead("no")]);
    for number in 0..each {
        for bits in [7, 8] {
            let job = Count {
                org: OrgId::from_bits(bits),
                ..count(number)
            };
            let (_, text) = world.made(&job).await;
            work(&world.app, &dead, &text).await.unwrap();
        }
    }
}

/// Has a page of dead jobs tried again; says how many, and where to go on. Nothing if somebody was faster with any of them.
async fn retried(world: &World, page: Redriven) -> Option<(usize, Option<Position>)> {
    match world.app.table.write(page.writes().unwrap()).await {
        Ok(()) => {}
        Err(WriteError::Condition(_)) => return None,
        Err(error) => panic!("{error}"),
    }
    page.tell(&world.app).await.unwrap();
    Some((page.len(), page.next))
}

#[tokio::test]
async fn the_dead_jobs_of_an_organization_are_redriven_page_by_page() {
    let world = World::new().await;
    many_dead(&world, 30).await;
    world.testing.advance(1_000);
    let began = world.app.now();
    let page = redrive(&world.app, &admins(), &QUEUE, began, None).await.unwrap();
    let (jobs, next) = retried(&world, page).await.unwrap();
    assert_eq!(jobs, 20);
    // The first of them die again at once, before the rest is looked at.
    let dead = Worker::of([Outcome::dead("still no")]);
    assert_eq!(world.run(&dead).await, 20);
    let rest = redrive(&world.app, &admins(), &QUEUE, began, next).await.unwrap();
    assert_eq!(retried(&world, rest).await, Some((10, None)));
    let none = redrive(&world.app, &admins(), &QUEUE, began, None).await.unwrap();
    assert!(none.is_empty());
    let worker = Worker::default();
    assert_eq!(world.run(&worker).await, 10);
    // The other organization's stay as they are until the platform has them tried again.
    let platform = Scope::<ManageUsers>::system(org());
    world.testing.advance(1_000);
    let (mut jobs, mut after) = (0, None);
    loop {
        let page = redrive_all(&world.app, &platform, &QUEUE, world.app.now(), after)
            .await
            .unwrap();
        let (more, next) = retried(&world, page).await.unwrap();
        jobs += more;
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((jobs, world.run(&worker).await), (50, 50));
    assert_eq!(worker.done.lock().unwrap().len(), 60);
}

#[tokio::test]
async fn redriving_twice_at_once_tries_each_job_once() {
    let world = World::new().await;
    many_dead(&world, 10).await;
    world.testing.advance(1_000);
    let scope = admins();
    let both = [(); 2].map(|()| redrive(&world.app, &scope, &QUEUE, world.app.now(), None));
    let both = join_all(both)
        .await
        .into_iter()
        .map(|page| retried(&world, page.unwrap()));
    let done: Vec<_> = join_all(both).await.into_iter().flatten().collect();
    assert_eq!(done, [(10, None)]);
    assert_eq!(world.run(&Worker::default()).await, 10);
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_redriven_by_the_sweeper() {
    struct Deaf(Outcome);
    impl Work<Whisper> for Deaf {
        async fn work(&self, _: &App, _: &Running<'_, Whisper>) -> Outcome {
            self.0.clone()
        }
    }
    let world = World::new().await;
    for number in 0..50 {
        let (_, text) = world.made(&Whisper(number.to_string())).await;
        work(&world.app, &Deaf(Outcome::dead("no")), &text).await.unwrap();
    }
    world.testing.advance(1_000);
    let mut after = None;
    for jobs in [20, 20, 10] {
        let page = redrive(&world.app, &admins(), &NARROW, world.app.now(), after)
            .await
            .unwrap();
        let (done, next) = retried(&world, page).await.unwrap();
        assert_eq!(done, jobs);
        after = next;
    }
    let mut told = Vec::new();
    while told.len() < 50 {
        for text in world.testing.take(QUEUE_ID).await {
            work(&world.app, &Deaf(Outcome::Done), &text).await.unwrap();
            told.push(text);
        }
        world.testing.advance(Time::MINUTE);
        assert!(world.sweep().await.told <= 20);
    }
    assert_eq!(BTreeSet::from_iter(&told).len(), 50);
}

#[tokio::test]
async fn a_job_is_made_with_the_deed_that_causes_it_or_not_at_all() {
    let app = TestApp::start().await;
    let parts = app.app().await;
    let due = |key: &str| Count {
        org: org(),
        number: 1,
        key: Some(key.to_owned()),
    };
    let commit = || commit::Commit::of(&parts, &kernel::Origin::default());
    commit().later(&due("a"), app.now()).unwrap().await.unwrap();
    assert_eq!(app.jobs_of(&org().to_string()).await, 1);
    // One with its key is there: neither job is made, and no queue is told.
    let again = commit().later(&due("b"), app.now()).unwrap();
    let again = again.later(&due("a"), app.now()).unwrap().await;
    assert!(again.is_err_and(|not_done| not_done.failed("job")));
    assert_eq!(app.jobs_of(&org().to_string()).await, 1);
    assert_eq!(app.take(QUEUE_ID).await.len(), 1);
}
