//! A commit that has all that a commit can have, whose process dies before or after any call that it makes: what is left
//! is nothing of it or all of it, the same key gets the same reply, and what is due is done. Every call is tried, none
//! sampled.

use std::time::Duration;

use commit::{Commit, Reply, again};
use idempotency::{Answer, Ask, Once};
use jobs::{Job, Owner, Place, Queue, Retry, store::Filter};
use kernel::policy::{ReadOrg, ReadOrgAudit};
use kernel::{Error, OrgId, Origin, Permission, Result, Scope, Time};
use lambda::App;
use outbox::Fact;
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::{Key, Record, Slice, TableName, Write};
use testing::{Chaos, Moment, TestApp};
use trail::{Chain, Change};

/// No deed here makes more calls.
const MOST_CALLS: u64 = 40;
/// How many there are of two things, entries, facts and jobs when all is done.
const ALL: [usize; 5] = [1, 1, 1, 1, 1];

static QUEUE: Queue = Queue {
    name: "whole",
    told: app::Queue("MAIL_QUEUE_URL"),
    retry: Retry::Listed(&[]),
    lease: Duration::from_mins(1),
    kept: Duration::from_hours(24),
    shards: 1,
    most_waiting: 100,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Thing {
    org: OrgId,
    name: String,
    #[serde(default)]
    version: u64,
}

impl Record for Thing {
    const KIND: &'static str = "thing";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        Key::of(format!("ORG#{}#THINGS", self.org), &self.name)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn thing(org: OrgId, name: &str) -> Thing {
    Thing {
        org,
        name: name.to_owned(),
        version: 0,
    }
}

/// Something to be done after it.
#[derive(Serialize, Deserialize)]
struct Afterwards(OrgId);

impl Job for Afterwards {
    const KIND: &'static str = "afterwards";
    const QUEUE: &'static Queue = &QUEUE;
    const SEALED: bool = true;

    fn place(&self) -> Place {
        Place::of(Owner::Org(self.0), "whole")
    }
}

/// It was done.
#[derive(Serialize)]
struct Made {
    #[serde(skip)]
    org: OrgId,
}

impl Fact for Made {
    const TYPE: &'static str = "test.made";

    fn org(&self) -> OrgId {
        self.org
    }

    fn about(&self) -> String {
        "thg_1".to_owned()
    }

    fn sequence(&self) -> u64 {
        1
    }
}

/// Does it for a request with a key, as a handler does behind the layer of idempotency. The reply, and whether it is
/// one that was given before.
async fn deed(app: &App, org: OrgId) -> Result<(Reply, bool)> {
    let once = Once::new(app.table.clone(), app.keys.clone().expect("the keys"));
    let owner = format!("ORG#{org}");
    let ask = Ask {
        owner: &owner,
        route: "/v1/things",
        key: "key",
        parts: &[b"body"],
    };
    let claim = match once.claim(app.now(), &ask).await? {
        Answer::Replay(reply) => return Ok((reply, true)),
        Answer::Do(claim) => claim,
    };
    let origin = Origin {
        request: "request".to_owned(),
        claim: Some(claim.clone()),
        ..Origin::default()
    };
    let scope = Scope::<ReadOrg>::system(org).because_of(origin);
    // It tells who made it, so that another one's reply is another.
    let reply = Reply::created(&json!({"id": kernel::id::random::<8>()}))?;
    let change = Change::by(scope.actor(), "thing.made", "thing", 1);
    let done = again(|| async {
        Commit::by(app, &scope)
            .write("one", Write::create(&thing(org, "one"))?)
            .write("other", Write::create(&thing(org, "other"))?)
            .note(Chain::Org(org), change.clone())
            .tell(&Made { org })?
            .later(&Afterwards(org), app.now())?
            .reply(reply.clone())
            .await
    });
    let done = done.await;
    once.settle(app.now(), &claim, done.is_ok().then_some(&reply)).await?;
    done.map(|()| (reply, false))
}

fn may<P: Permission>(org: OrgId) -> Scope<P> {
    Scope::system(org)
}

/// How many there are of everything that it makes.
async fn left(app: &App, org: OrgId) -> [usize; 5] {
    let slice = || Slice { limit: 10, after: None };
    let is_there = async |name| {
        let found = app.table.get::<Thing>(&thing(org, name).key()).await.unwrap();
        usize::from(found.is_some())
    };
    let entries = trail::of_org(&app.table, &may::<ReadOrgAudit>(org), slice())
        .await
        .unwrap();
    let facts = outbox::store::log(&app.table, &may::<ReadOrg>(org), slice())
        .await
        .unwrap();
    let (filter, readers) = (Filter::default(), may::<ReadOrg>(org));
    let jobs = jobs::store::list(&app.table, &readers, &filter, slice()).await.unwrap();
    [
        is_there("one").await,
        is_there("other").await,
        entries.records.len(),
        facts.records.len(),
        jobs.records.len(),
    ]
}

/// Does it as a client makes it be done: what is in flight again when its lease is over.
async fn asked_again(testing: &TestApp, app: &App, org: OrgId) -> (Reply, bool) {
    match deed(app, org).await {
        Err(Error::InFlight { .. }) => testing.advance(31 * Time::SECOND),
        other => return other.unwrap(),
    }
    deed(app, org).await.unwrap()
}

/// Dies at a call; says whether it got so far.
async fn check(testing: &TestApp, chaos: &Chaos, org: OrgId, call: u64, moment: Moment) -> bool {
    // Of all functions this one may do the most of it: all but tell the queue of facts, which is best effort.
    let (dying, app) = (testing.app_of("Alerts").await, testing.app().await);
    chaos.enable(true);
    chaos.crash_at(call, moment);
    let died = tokio::select! {
        done = deed(&dying, org) => { done.unwrap(); false }
        () = chaos.crashed() => true,
    };
    chaos.enable(false);
    let now_there = left(&app, org).await;
    assert!(
        now_there == ALL || now_there == [0; 5],
        "{moment:?} call {call}: {now_there:?} is left"
    );

    let (reply, is_replayed) = asked_again(testing, &app, org).await;
    assert_eq!(is_replayed, now_there == ALL, "{moment:?} call {call}");
    assert_eq!(left(&app, org).await, ALL, "{moment:?} call {call}");
    assert_eq!(asked_again(testing, &app, org).await, (reply, true));
    assert_eq!(left(&app, org).await, ALL);

    // Whether or not it came to tell the queues, they are told.
    testing.advance(Time::MINUTE);
    jobs::sweep(&app, &[&QUEUE]).await.unwrap();
    outbox::sweep(&app).await.unwrap();
    for queue in ["MailQueue", "OutboxQueue"] {
        let told = testing.take(queue).await;
        assert!(
            told.iter().any(|text| text.contains(&org.to_string())),
            "{moment:?} call {call}: {queue} was told {told:?}"
        );
    }
    died
}

#[tokio::test]
async fn a_commit_is_done_with_all_that_it_has_or_not_at_all() {
    let chaos = Chaos::only(&[]);
    let testing = TestApp::start_under(chaos.clone()).await;
    let mut calls = 0;
    for call in 1..=MOST_CALLS {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            let org = OrgId::from_bits(testing.number().into());
            died = check(&testing, &chaos, org, call, moment).await;
        }
        if !died {
            break;
        }
        calls = call;
    }
    // The claim, the end of the chain, the transaction, and a message for each of two queues.
    assert_eq!(calls, 5);
}
