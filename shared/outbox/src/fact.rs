//! A fact: something that happened, as it is told and as it is stored. Pure: time is passed in.

use std::borrow::Cow;

use anyhow::{Context, anyhow};
use app::{Nudge, Outgoing};
use kernel::{MessageId, OrgId, Origin, Result, Time};
use serde::{Deserialize, Serialize};
use table::Write;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::{QUEUE, store};

/// How long a fact is kept.
pub(crate) const KEPT: i64 = 30 * Time::DAY;
/// After a listener failed at it, a fact waits; that doubles up to an hour.
const FIRST_PAUSE: i64 = 15 * Time::SECOND;
const LONGEST_PAUSE: i64 = Time::HOUR;
/// Relayed facts are found by nobody; those that are not, in so many partitions of the index.
pub(crate) const SHARDS: u8 = 4;

/// Something that happened. What is serialized is its data: the resource that it is about, as it then was.
pub trait Fact: Serialize {
    /// What it is called, for ever: `invoice.sent`.
    const TYPE: &'static str;

    /// Whose it is.
    fn org(&self) -> OrgId;

    /// The id of the resource that it is about.
    fn about(&self) -> String;

    /// Grows with each fact about the same resource, so that whoever hears them in another order can tell.
    fn sequence(&self) -> u64;
}

/// What the facts about one kind of resource have in common.
pub trait About: Serialize {
    /// What they show, as it is described.
    type View: ToSchema;

    /// As [`Fact::org`].
    fn org(&self) -> OrgId;

    /// As [`Fact::about`].
    fn about(&self) -> String;

    /// As [`Fact::sequence`].
    fn sequence(&self) -> u64;
}

/// A resource as its GET shows it, when something happened to it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown<V> {
    #[serde(skip)]
    org: OrgId,
    #[serde(skip)]
    id: String,
    sequence: u64,
    #[serde(flatten)]
    view: V,
}

impl<V: Serialize> Shown<V> {
    /// Shows a resource by its id, with the number of what is told of it.
    pub fn of(org: OrgId, id: &impl ToString, sequence: u64, view: V) -> Self {
        Self {
            org,
            id: id.to_string(),
            sequence,
            view,
        }
    }
}

impl<V: Serialize + ToSchema> About for Shown<V> {
    type View = V;

    fn org(&self) -> OrgId {
        self.org
    }

    fn about(&self) -> String {
        self.id.clone()
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// A kind of fact, as it is described to those who hear of it.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What happened, in a sentence.
    pub about: &'static str,
    /// Names the schema of what is shown.
    pub view: fn() -> Cow<'static, str>,
    /// Adds that schema, and those that it refers to.
    pub schemas: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Kind {
    /// A kind of fact that shows a `V`.
    pub const fn of<V: ToSchema>(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            view: V::name,
            schemas: |into| {
                into.push((V::name().into_owned(), V::schema()));
                V::schemas(into);
            },
        }
    }
}

/// Makes facts, each of what it tells and its name: `/// Docs. pub InvoiceSent(Shown<InvoiceView>) "invoice.sent";`. Lists
/// them as `KINDS`.
#[macro_export]
macro_rules! facts {
    ($(#[doc = $doc:literal] $visible:vis $name:ident($told:ty) $type:literal;)*) => {
        /// What is told here.
        pub const KINDS: &[$crate::Kind] = &[$(
            $crate::Kind::of::<<$told as $crate::About>::View>($type, $doc)
        ),*];
    $(
        #[doc = $doc]
        #[derive(Debug, serde::Serialize)]
        $visible struct $name(pub(crate) $told);

        impl $crate::Fact for $name {
            const TYPE: &'static str = $type;

            fn org(&self) -> kernel::OrgId {
                $crate::About::org(&self.0)
            }

            fn about(&self) -> String {
                $crate::About::about(&self.0)
            }

            fn sequence(&self) -> u64 {
                $crate::About::sequence(&self.0)
            }
        }
    )*};
}

/// A fact as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Its id, by which those who hear it know a repeat.
    pub id: MessageId,
    /// Whose it is.
    pub org: OrgId,
    /// What happened.
    pub fact: String,
    /// What it happened to.
    pub about: String,
    /// Grows with each fact about that.
    pub sequence: u64,
    /// When it happened.
    pub at: Time,
    /// What it happened to as it then was, as JSON: stored once, sent unchanged.
    pub data: String,
    /// Which request it comes from: for the jobs that listeners make of it.
    #[serde(default)]
    pub origin: Origin,
    /// When it is to be relayed (again); nothing once it was.
    pub(crate) due_at: Option<Time>,
    /// How often a listener failed at it.
    pub(crate) failures: u32,
    #[serde(default)]
    pub(crate) version: u64,
}

/// Names a fact: what the queue carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactRef {
    /// Whose it is.
    pub org: OrgId,
    /// Its id.
    pub id: MessageId,
}

impl FactRef {
    /// Reads a message of the relay's queue.
    pub fn parse(message: &str) -> Result<Self> {
        serde_json::from_str(message).map_err(|_| anyhow!("a message that is none of ours").into())
    }
}

impl Told {
    /// What names it.
    pub fn reference(&self) -> FactRef {
        FactRef {
            org: self.org,
            id: self.id,
        }
    }

    /// Whether it was handed to everybody.
    pub fn is_relayed(&self) -> bool {
        self.due_at.is_none()
    }

    pub(crate) fn shard(&self) -> u8 {
        u8::try_from(self.id.bits() % u128::from(SHARDS)).unwrap_or(0)
    }

    /// Notes that everybody has heard it.
    pub(crate) fn relayed(&mut self) {
        self.due_at = None;
    }

    /// Notes that not everybody could hear it.
    pub(crate) fn postpone(&mut self, now: Time) {
        let pause = FIRST_PAUSE << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        self.due_at = Some(now.plus_millis(pause.min(LONGEST_PAUSE)));
    }

    /// The message that names it. An organization's facts do not hold up another's.
    pub(crate) fn message(&self) -> Outgoing {
        Outgoing {
            group: Some(self.org.to_string()),
            ..Outgoing::now(serde_json::json!(self.reference()).to_string())
        }
    }
}

/// A fact that is to be told: what stores it, and what tells the relay once that is committed.
#[derive(Clone, Debug)]
pub struct Telling(Told);

impl Telling {
    /// Tells that something happened just now.
    pub fn of<F: Fact>(now: Time, fact: &F) -> Result<Self> {
        Ok(Self(Told {
            id: MessageId::new(now),
            org: fact.org(),
            fact: F::TYPE.to_owned(),
            about: fact.about(),
            sequence: fact.sequence(),
            at: now,
            data: serde_json::to_string(fact).with_context(|| format!("a fact {}", F::TYPE))?,
            origin: Origin::default(),
            due_at: Some(now),
            failures: 0,
            version: 0,
        }))
    }

    /// Says which request it comes from. `Commit::tell` does.
    #[must_use]
    pub fn because_of(mut self, origin: &Origin) -> Self {
        self.0.origin = origin.for_later();
        self
    }

    /// Its id.
    pub fn id(&self) -> MessageId {
        self.0.id
    }

    /// What names it.
    pub fn reference(&self) -> FactRef {
        self.0.reference()
    }

    /// What stores it.
    pub fn write(&self) -> Result<Write> {
        store::create(&self.0)
    }

    /// What tells the relay.
    pub fn nudge(&self) -> Nudge {
        Nudge {
            queue: QUEUE,
            message: self.0.message(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    #[derive(Serialize)]
    struct Sent(u32);

    impl Fact for Sent {
        const TYPE: &'static str = "test.sent";

        fn org(&self) -> OrgId {
            OrgId::from_bits(7)
        }

        fn about(&self) -> String {
            "tst_1".to_owned()
        }

        fn sequence(&self) -> u64 {
            self.0.into()
        }
    }

    #[test]
    fn a_fact_waits_longer_and_longer_for_who_cannot_hear_it() {
        let mut told = Telling::of(NOW, &Sent(1)).unwrap().0;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            told.postpone(NOW);
            pauses.push((told.due_at.unwrap().millis() - NOW.millis()) / 1_000);
        }
        assert_eq!(
            pauses,
            [15, 30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600, 3_600]
        );
        told.relayed();
        assert!(told.is_relayed());
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(text in ".{0,200}") {
            let _ = FactRef::parse(&text);
        }

        #[test]
        fn pauses_stay_in_bounds(failures: u32) {
            let mut told = Telling::of(NOW, &Sent(1)).unwrap().0;
            told.failures = failures;
            told.postpone(NOW);
            prop_assert!(told.due_at.unwrap() <= NOW.plus_millis(LONGEST_PAUSE));
        }
    }
}
