//! One deed, one transaction.

use std::pin::Pin;

use app::{App, Nudge};
use idempotency::{Reply, Stamp};
use jobs::{Job, Later};
use kernel::origin::{Still, Stored};
use kernel::{Anchor, Error, Origin, Permission, Scope, Time};
use outbox::{Fact, Telling};
use table::{ITEM_BYTES, TRANSACTION, TRANSACTION_BYTES, Write, WriteError};
use trail::{Chain, Change, Heads};

use crate::{NotDone, TooLarge};

/// Writers of one chain that meet try this often.
const ATTEMPTS: u32 = 12;

/// A change that is put together; awaiting it does it.
#[must_use = "a commit changes nothing before it is awaited"]
#[derive(Debug)]
pub struct Commit<'a> {
    app: &'a App,
    origin: Origin,
    anchors: Vec<Anchor>,
    parts: Vec<Part>,
    note: Option<(Chain, Change)>,
    nudges: Vec<Nudge>,
    begun: Option<String>,
    reply: Option<Reply>,
    counts: Vec<(&'static str, &'static str, &'static str)>,
}

/// A write, and what it is.
#[derive(Clone, Debug)]
struct Part {
    what: What,
    write: Write,
}

/// What a write of a commit is.
#[derive(Clone, Debug)]
enum What {
    /// The caller's own, by its name.
    Named(&'static str),
    /// What the actor's standing rests on.
    Anchor(Anchor),
    /// The entry of the audit trail, and what it discloses.
    Entry,
    /// The stamp of the request's claim.
    Stamp,
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            Self::Named(name) => name,
            Self::Anchor(_) => "anchor",
            Self::Entry => "audit entry",
            Self::Stamp => "reply",
        }
    }
}

impl<'a> Commit<'a> {
    /// Begins a change by whoever has this scope.
    pub fn by<P: Permission>(app: &'a App, scope: &Scope<P>) -> Self {
        Self {
            anchors: scope.anchors().to_vec(),
            ..Self::of(app, scope.origin())
        }
    }

    /// Begins a change by nobody who is known: by who has just come, or proves who they are with what they send; or by the
    /// system.
    pub fn of(app: &'a App, origin: &Origin) -> Self {
        Self {
            app,
            origin: origin.clone(),
            anchors: Vec::new(),
            parts: Vec::new(),
            note: None,
            nudges: Vec::new(),
            begun: None,
            reply: None,
            counts: Vec::new(),
        }
    }

    /// Adds a write. If its condition does not hold, nothing is done, and [`NotDone::Conditions`] has the name.
    pub fn write(mut self, name: &'static str, write: Write) -> Self {
        let what = What::Named(name);
        self.parts.push(Part { what, write });
        self
    }

    /// Adds writes with one name.
    pub fn write_all(self, name: &'static str, writes: impl IntoIterator<Item = Write>) -> Self {
        writes.into_iter().fold(self, |commit, write| commit.write(name, write))
    }

    /// Notes the change in the audit trail. There is one entry at most: the last one that is given.
    pub fn note(mut self, chain: Chain, change: Change) -> Self {
        self.note = Some((chain, change));
        self
    }

    /// Adds a job that is due at `due`; its queue is told after the commit. If one with its key is there, the condition of
    /// the write `job` does not hold.
    pub fn later<J: Job>(self, job: &J, due: Time) -> kernel::Result<Self> {
        let later = Later::of(self.app.now(), job, due)?;
        self.due(&later)
    }

    /// Adds a job that was made elsewhere, as [`Commit::later`].
    pub fn due(mut self, job: &Later) -> kernel::Result<Self> {
        let job = job.clone().because_of(&self.origin);
        self.nudges.extend(job.nudge());
        let write = job.write(&self.app.sealing)?;
        Ok(self.write("job", write))
    }

    /// Tells a fact: what happened by this, for whatever listens.
    pub fn tell<F: Fact>(mut self, fact: &F) -> kernel::Result<Self> {
        let telling = Telling::of(self.app.now(), fact)?.because_of(&self.origin);
        self.nudges.push(telling.nudge());
        let write = telling.write()?;
        Ok(self.write("fact", write))
    }

    /// Says what the request is answered, so that whoever sends it again is answered the same, whatever happens after
    /// this. It must be what the handler then answers.
    pub fn reply(mut self, reply: Reply) -> Self {
        self.reply = Some(reply);
        self
    }

    /// Says that this only begins what the request asks for. Whoever sends it again, if it was never answered, is told
    /// `what` was begun by [`Origin::resumed`].
    pub fn begins(mut self, what: impl Into<String>) -> Self {
        self.begun = Some(what.into());
        self
    }

    /// Counts that something came to be so, once this is done: `name`, by a label and its value.
    pub fn counts(mut self, name: &'static str, label: &'static str, value: &'static str) -> Self {
        self.counts.push((name, label, value));
        self
    }

    async fn run(mut self) -> Result<(), NotDone> {
        self.hold_anchors()?;
        let claim = self
            .origin
            .claim
            .take()
            .filter(|claim| claim.progress.last().stored != Stored::Reply);
        let stamp = claim.map(|claim| (claim, self.stamp()));
        let now = self.app.now();
        if let Some((claim, stamp)) = &stamp {
            let write = idempotency::stamp(claim, now, stamp)?;
            self.parts.push(Part {
                what: What::Stamp,
                write,
            });
        }
        match self.note.take() {
            None => self.send(self.parts.clone()).await?,
            Some((chain, change)) => self.append(chain, &change).await?,
        }
        if let Some((claim, stamp)) = stamp {
            claim.progress.step(stamp.stored());
        }
        for (name, label, value) in &self.counts {
            self.app.measures.count(name, &[(*label, *value)]);
        }
        self.app.queues.nudge_each(self.nudges).await;
        Ok(())
    }

    /// Adds what the actor's standing rests on: to the write of the same item if there is one, for a transaction takes
    /// one write an item.
    fn hold_anchors(&mut self) -> Result<(), NotDone> {
        for anchor in std::mem::take(&mut self.anchors) {
            if let Some(part) = self.parts.iter_mut().find(|part| part.write.touches(&anchor)) {
                let held = part.write.clone().holding(&anchor);
                part.write = held.ok_or_else(|| lost(&anchor))?;
            } else {
                let write = Write::anchor(&anchor)?;
                let what = What::Anchor(anchor);
                self.parts.push(Part { what, write });
            }
        }
        Ok(())
    }

    /// What is stored of the request with its effect.
    fn stamp(&mut self) -> Stamp {
        if let Some(what) = self.begun.take() {
            return Stamp::Begun(what);
        }
        match self.reply.take() {
            Some(reply) => Stamp::Reply(reply),
            None => Stamp::Effect(self.effect()),
        }
    }

    /// What is changed, in words.
    fn effect(&self) -> String {
        let noted = self.note.as_ref().map(|(_, change)| change.target());
        noted.unwrap_or_else(|| self.parts.first().map_or("nothing", |part| part.what.name()).to_owned())
    }

    /// Sends the writes with the entry that follows the end of a chain, again where somebody else's entry came first.
    async fn append(&self, chain: Chain, change: &Change) -> Result<(), NotDone> {
        let heads = self.app.memory.of::<Heads>();
        for attempt in 0..ATTEMPTS {
            let entry = heads.entry(&self.app.table, chain, change, self.app.now()).await?;
            let mut parts = self.parts.clone();
            parts.push(Part::entry(Write::create(&entry)?));
            for disclosure in change.disclosures(&entry) {
                parts.push(Part::entry(Write::put(&disclosure)?));
            }
            match self.send(parts).await {
                Ok(()) => {
                    heads.written(&entry);
                    return Ok(());
                }
                Err(NotDone::Conditions(names)) if names.is_empty() => {
                    heads.lost(chain);
                    table::pause(attempt).await;
                }
                Err(error) => {
                    heads.lost(chain);
                    return Err(error);
                }
            }
        }
        Err(Error::Busy.into())
    }

    /// Sends the writes. `Conditions` without a name if that of the audit entry alone does not hold.
    async fn send(&self, parts: Vec<Part>) -> Result<(), NotDone> {
        check(&parts)?;
        let writes = parts.iter().map(|part| part.write.clone());
        let places = match self.app.table.write(writes).await {
            Ok(()) => return Ok(()),
            Err(WriteError::Condition(places)) => places,
            Err(WriteError::Other(error)) => return Err(error.into()),
        };
        let failed = places.into_iter().filter_map(|place| Some(&parts.get(place)?.what));
        let mut names = Vec::new();
        for what in failed {
            match what {
                // Whoever holds the request's key now does it, or has done it.
                What::Stamp => return Err(Error::InFlight { retry_after_seconds: 1 }.into()),
                What::Anchor(anchor) => return Err(lost(anchor).into()),
                What::Named(name) => names.push(*name),
                What::Entry => {}
            }
        }
        Err(NotDone::Conditions(names))
    }
}

impl Part {
    fn entry(write: Write) -> Self {
        let what = What::Entry;
        Self { what, write }
    }
}

/// What to tell an actor who is not any more who the guard saw.
fn lost(anchor: &Anchor) -> Error {
    match anchor.still {
        Still::Version(_) => Error::Denied,
        Still::Without { what, .. } => Error::NotFound(what),
    }
}

/// Refuses what no transaction takes, by name.
fn check(parts: &[Part]) -> Result<(), NotDone> {
    if parts.len() > TRANSACTION {
        let (writes, most) = (parts.len(), TRANSACTION);
        return Err(TooLarge::Writes { writes, most }.into());
    }
    let mut bytes = 0;
    let mut largest = (0, "nothing");
    for (place, part) in parts.iter().enumerate() {
        let (size, name) = (part.write.bytes(), part.what.name());
        if size > ITEM_BYTES {
            let (bytes, most) = (size, ITEM_BYTES);
            return Err(TooLarge::Item { name, bytes, most }.into());
        }
        if let Some(other) = parts[..place].iter().find(|other| other.write.meets(&part.write)) {
            let other = other.what.name();
            return Err(Error::from(anyhow::anyhow!("`{other}` and `{name}` of one commit write one item")).into());
        }
        bytes += size;
        largest = largest.max((size, name));
    }
    if bytes > TRANSACTION_BYTES {
        let ((largest, name), most) = (largest, TRANSACTION_BYTES);
        return Err(TooLarge::Transaction {
            name,
            largest,
            bytes,
            most,
        }
        .into());
    }
    Ok(())
}

impl<'a> IntoFuture for Commit<'a> {
    type Output = Result<(), NotDone>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
