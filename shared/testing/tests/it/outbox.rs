//! Facts: in the transaction in which they happen, and heard by everybody who listens, however often and by whomever
//! they are relayed.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::join_all;
use jobs::{Job, JobKey, Later, Owner, Place, Queue};
use kernel::policy::ReadOrg;
use kernel::{Error, MessageId, OrgId, Origin, Scope, Time};
use lambda::App;
use outbox::{Fact, FactRef, Heard, Listener, Telling, Told, relay, store, sweep};
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::{Record, Slice};
use testing::{START, TestApp};

const QUEUE: &str = "OutboxQueue";

fn org() -> OrgId {
    OrgId::from_bits(7)
}

/// A thing was sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThingSent {
    thing_id: &'static str,
    sequence: u64,
}

impl Fact for ThingSent {
    const TYPE: &'static str = "thing.sent";

    fn org(&self) -> OrgId {
        org()
    }

    fn about(&self) -> String {
        self.thing_id.to_owned()
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

fn sent(sequence: u64) -> ThingSent {
    ThingSent {
        thing_id: "thg_1",
        sequence,
    }
}

/// Remembers what it heard; cannot hear, or panics, so often before.
#[derive(Default)]
struct Ear {
    deaf: AtomicU32,
    broken: AtomicU32,
    heard: Mutex<Vec<u64>>,
}

impl Ear {
    fn heard(&self) -> Vec<u64> {
        self.heard.lock().unwrap().clone()
    }
}

fn counts_down(left: &AtomicU32) -> bool {
    let count = |left: u32| left.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
}

impl Listener for Ear {
    fn name(&self) -> &'static str {
        "ear"
    }

    fn hear<'a>(&'a self, _: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(async move {
            assert!(!counts_down(&self.broken), "it is broken");
            if counts_down(&self.deaf) {
                return Err(Error::Busy);
            }
            self.heard.lock().unwrap().push(fact.sequence);
            Ok(())
        })
    }
}

/// Tells of something, together with nothing else. Yields what names it.
async fn tell(app: &App, sequence: u64) -> FactRef {
    let telling = Telling::of(app.now(), &sent(sequence)).unwrap();
    app.table.write([telling.write().unwrap()]).await.unwrap();
    app.queues.nudge_each([telling.nudge()]).await;
    telling.reference()
}

async fn stored(app: &App, fact: &FactRef) -> Told {
    store::find(&app.table, fact).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_fact_is_one_item_that_says_what_happened() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let origin = Origin {
        trace: Some(trace.to_owned()),
        ..Origin::default()
    };
    let telling = Telling::of(START, &sent(3)).unwrap().because_of(&origin);
    assert_eq!(telling.nudge().message.group, Some(org().to_string()));
    app.table.write([telling.write().unwrap()]).await.unwrap();
    let told = stored(&app, &telling.reference()).await;
    assert_eq!(
        (told.fact.as_str(), told.about.as_str(), told.sequence),
        ("thing.sent", "thg_1", 3)
    );
    assert_eq!(told.data, json!({"thingId": "thg_1", "sequence": 3}).to_string());
    assert_eq!((told.at, told.origin.trace.as_deref()), (START, Some(trace)));
    assert_eq!(told.expires_at(), Some(START.plus_millis(30 * Time::DAY)));
    // The same one is told once.
    let twice = app.table.write([telling.write().unwrap()]).await.unwrap_err();
    assert!(twice.failed(0));
}

#[tokio::test]
async fn everybody_hears_a_fact_once_however_often_its_message_comes() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    let fact = tell(&app, 1).await;
    let texts = testing.take(QUEUE).await;
    let ears = [Ear::default(), Ear::default()];
    let listeners: [&dyn Listener; 2] = [&ears[0], &ears[1]];
    for _ in 0..3 {
        relay(&app, &listeners, &texts[0]).await.unwrap();
    }
    assert!(ears.iter().all(|ear| ear.heard() == [1]));
    let told = stored(&app, &fact).await;
    assert!(told.is_relayed() && told.index1().is_none());
    testing.advance(Time::DAY);
    assert_eq!(sweep(&app).await.unwrap(), 0);
}

#[tokio::test]
async fn who_cannot_hear_a_fact_keeps_nobody_from_it_and_is_told_again() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    for (deaf, broken) in [(2, 0), (0, 2)] {
        let fact = tell(&app, 1).await;
        let bad = Ear {
            deaf: deaf.into(),
            broken: broken.into(),
            ..Ear::default()
        };
        let good = Ear::default();
        let listeners: [&dyn Listener; 2] = [&bad, &good];
        let mut text = testing.take(QUEUE).await.remove(0);
        for pause in [15, 30] {
            relay(&app, &listeners, &text).await.unwrap();
            let due = app.now().plus_seconds(pause);
            assert!(!stored(&app, &fact).await.is_relayed());
            testing.advance(pause * Time::SECOND);
            assert_eq!(sweep(&app).await.unwrap(), 0, "it has a moment after {due}");
            testing.advance(16 * Time::SECOND);
            assert_eq!(sweep(&app).await.unwrap(), 1);
            text = testing.take(QUEUE).await.remove(0);
        }
        relay(&app, &listeners, &text).await.unwrap();
        assert!(stored(&app, &fact).await.is_relayed());
        assert_eq!(
            (bad.heard().len(), good.heard().len()),
            (1, 3),
            "a repeat has the same id"
        );
    }
}

#[tokio::test]
async fn a_relay_that_dies_at_any_moment_loses_nothing() {
    let mut finished = false;
    for polls in 1..100 {
        let testing = TestApp::start().await;
        let app = testing.app().await;
        let fact = tell(&app, 1).await;
        let text = testing.take(QUEUE).await.remove(0);
        let ear = Ear::default();
        let listeners: [&dyn Listener; 1] = [&ear];
        finished = Box::pin(crate::jobs::dies_after(polls, relay(&app, &listeners, &text))).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        testing.advance(Time::MINUTE);
        sweep(&app).await.unwrap();
        for text in testing.take(QUEUE).await {
            relay(&app, &listeners, &text).await.unwrap();
        }
        assert!(stored(&app, &fact).await.is_relayed(), "after {polls} polls");
        assert!((1..=2).contains(&ear.heard().len()), "after {polls} polls");
        if finished {
            break;
        }
    }
    assert!(finished, "a relay takes no 100 polls");
}

#[tokio::test]
async fn relays_that_race_leave_a_fact_relayed() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    let fact = tell(&app, 1).await;
    let text = testing.take(QUEUE).await.remove(0);
    let ear = Ear::default();
    let listeners: [&dyn Listener; 1] = [&ear];
    for done in join_all((0..20).map(|_| relay(&app, &listeners, &text))).await {
        done.unwrap();
    }
    assert!(stored(&app, &fact).await.is_relayed());
}

#[tokio::test]
async fn the_sweeper_finds_what_nobody_was_told_of_and_the_function_relays_it() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    let mut facts = Vec::new();
    for sequence in 0..30 {
        facts.push(tell(&app, sequence).await);
    }
    assert_eq!(testing.take(QUEUE).await.len(), 30, "these are lost");
    testing.run_sweeper().await;
    assert!(testing.take(QUEUE).await.is_empty());
    testing.advance(Time::MINUTE);
    testing.run_sweeper().await;
    testing.settle().await;
    for fact in &facts {
        assert!(stored(&app, fact).await.is_relayed());
    }
}

#[tokio::test]
async fn a_message_that_is_none_of_ours_comes_again_and_one_without_a_fact_does_not() {
    let testing = TestApp::start().await;
    let named = |id: &str| json!({"org": org(), "id": id}).to_string();
    let texts = [
        "{".to_owned(),
        named("job_01mcc5rm00ead9ttpnkqfb058v"),
        named(&MessageId::new(START).to_string()),
    ];
    assert_eq!(testing.deliver_from(QUEUE, &texts).await, [0, 1]);
}

#[tokio::test]
async fn an_organizations_log_is_read_in_order_and_by_nobody_else() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    for sequence in 0..5 {
        tell(&app, sequence).await;
        testing.advance(1_000);
    }
    let slice = |limit| Slice { limit, after: None };
    let mine = Scope::<ReadOrg>::system(org());
    let page = store::log(&app.table, &mine, slice(3)).await.unwrap();
    let sequences: Vec<_> = page.records.iter().map(|told| told.sequence).collect();
    assert_eq!(sequences, [0, 1, 2]);
    assert!(page.next.is_some());
    let others = Scope::<ReadOrg>::system(OrgId::from_bits(8));
    assert!(
        store::log(&app.table, &others, slice(3))
            .await
            .unwrap()
            .records
            .is_empty()
    );
    testing.take(QUEUE).await;
}

/// A delivery of a fact to somebody.
#[derive(Serialize, Deserialize)]
struct Delivery {
    fact: MessageId,
    to: u32,
}

impl Job for Delivery {
    const KIND: &'static str = "delivery";
    const QUEUE: &'static Queue = &jobs::queue::INTEGRATIONS;

    fn place(&self) -> Place {
        Place::of(Owner::Org(org()), format!("endpoint_{}", self.to))
    }

    fn key(&self) -> Option<JobKey> {
        Some(JobKey::of(self.fact.to_string(), self.fact.time()))
    }
}

/// Makes a job of each fact for each of so many endpoints; breaks down after some of them, once.
struct Endpoints {
    many: u32,
    breaks_after: AtomicU32,
}

impl Listener for Endpoints {
    fn name(&self) -> &'static str {
        "endpoints"
    }

    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(async move {
            for to in 0..self.many {
                if to > 0 && self.breaks_after.swap(0, Ordering::Relaxed) > 0 {
                    return Err(Error::Busy);
                }
                let delivery = Delivery { fact: fact.id, to };
                Later::of(app.now(), &delivery, app.now())?.store(app).await?;
            }
            Ok(())
        })
    }
}

#[tokio::test]
async fn deliveries_are_made_once_though_the_fan_out_breaks_down_in_the_middle() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    tell(&app, 1).await;
    let text = testing.take(QUEUE).await.remove(0);
    let endpoints = Endpoints {
        many: 5,
        breaks_after: AtomicU32::new(1),
    };
    let listeners: [&dyn Listener; 1] = [&endpoints];
    for _ in 0..3 {
        relay(&app, &listeners, &text).await.unwrap();
    }
    let texts = testing.take("WebhookQueue").await;
    let named: BTreeSet<&String> = texts.iter().collect();
    assert_eq!((texts.len(), named.len()), (5, 5));
}
