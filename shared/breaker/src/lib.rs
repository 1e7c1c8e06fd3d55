//! Breakers: who fails again and again is left alone for a while, by all processes together.
//!
//! A breaker belongs to one counterpart of one organization (its account at Stripe, one of its endpoints), so that one that
//! is dead or set up wrongly stops nobody else's calls. Every call goes through [`Breaker::call`], which asks first and
//! takes down what came of it:
//!
//! - *closed*: calls pass. Failures in a row are counted, a success ends the row.
//! - *open*: after so many failures calls are refused without being made, until the cool-down is over.
//! - *trying*: then one call at a time passes. So many successes close it, one failure opens it anew.
//!
//! What is stored is one item in `operations`, changed by conditional updates alone, and none for a counterpart that never
//! failed: then a call costs an eventually consistent read. A breaker is a courtesy, never a promise: what it cannot read or
//! write stops no call.
//!
//! It knows nothing of what is called, and what a failure is says the caller.
//!
//! # Known bounds
//!
//! Of those that are open 1,000 are counted. One whose process dies as it opens is not counted until it opens anew.

mod state;
mod store;

use std::collections::BTreeMap;
use std::time::Duration;

use app::App;
use kernel::{OrgId, Time};

use state::{Admission, Change, State};

/// When a breaker opens, for how long, and what closes it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// So many failures in a row open it.
    pub failures: u32,
    /// It stays open for so long.
    pub cool_down: Duration,
    /// So many successes in a row close it then.
    pub successes: u32,
}

impl Rule {
    /// A payment provider.
    pub const PROVIDER: Self = Self::of(5, 30, 2);
    /// What mails go out by.
    pub const EMAIL: Self = Self::of(3, 60, 1);
    /// An endpoint for webhooks.
    pub const WEBHOOK: Self = Self::of(10, 15, 3);

    const fn of(failures: u32, cool_down_seconds: u64, successes: u32) -> Self {
        Self {
            failures,
            cool_down: Duration::from_secs(cool_down_seconds),
            successes,
        }
    }
}

/// The breaker of one counterpart.
#[derive(Clone, Debug)]
pub struct Breaker {
    org: Option<OrgId>,
    name: String,
    rule: Rule,
}

/// The call was not made: its counterpart has failed too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not called before {until}: it has failed too often")]
pub struct Open {
    /// When to ask again.
    pub until: Time,
}

/// What breakers are of: the first part of their names.
const KINDS: [&str; 5] = ["cashfree", "email", "razorpay", "stripe", "webhook"];
/// One that let nobody fail for so long waits for a call, and holds nothing up: longer than every cool-down, and seen by each
/// minute's look.
const RECENT: i64 = 2 * Time::MINUTE;

/// Notes how many breakers of each kind are open: the gauge `breaker.open`, 0 where none is.
pub async fn measure(app: &App) -> kernel::Result<()> {
    let names = store::open_since(app, app.now().plus_millis(-RECENT)).await?;
    let mut open: BTreeMap<&str, u32> = KINDS.map(|kind| (kind, 0)).into();
    for name in &names {
        *open.entry(kind(name)).or_default() += 1;
    }
    for (kind, count) in open {
        app.measures.gauge("breaker.open", &[("breaker", kind)], count);
    }
    Ok(())
}

/// What the breaker of this name is of: one series for all endpoints of webhooks.
fn kind(name: &str) -> &str {
    name.split('#').next().unwrap_or_default()
}

/// What a call that was let through reports to.
enum Permit {
    /// Of a closed breaker, in this round; `row` says whether failures were counted.
    Closed { round: i64, row: bool },
    /// To try it, under this number, after so many that succeeded.
    Trial { number: i64, succeeded: i64 },
    /// To nothing: the breaker could not be asked.
    Unknown,
}

impl Breaker {
    /// The breaker of a counterpart of an organization, by a name that is its own among them: `stripe`, `webhook#<id>`.
    pub fn of(org: OrgId, name: impl Into<String>, rule: Rule) -> Self {
        Self {
            org: Some(org),
            name: name.into(),
            rule,
        }
    }

    /// The breaker of a counterpart that all organizations share: `email`.
    pub fn shared(name: impl Into<String>, rule: Rule) -> Self {
        Self {
            org: None,
            name: name.into(),
            rule,
        }
    }

    /// Makes a call unless the breaker is open; `has_failed` says whether what came of it is the counterpart's failure. A call
    /// that is dropped before it is done counts for nothing.
    pub async fn call<T, F>(
        &self,
        app: &App,
        call: impl FnOnce() -> F,
        has_failed: impl FnOnce(&T) -> bool,
    ) -> Result<T, Open>
    where
        F: Future<Output = T>,
    {
        let permit = self.ask(app).await?;
        let outcome = call().await;
        self.report(app, permit, has_failed(&outcome)).await;
        Ok(outcome)
    }

    async fn ask(&self, app: &App) -> Result<Permit, Open> {
        let state = match store::read(app, self).await {
            Ok(state) => state.unwrap_or_default(),
            Err(error) => return Ok(self.unknown(&error)),
        };
        match state.admission(self.rule, app.now()) {
            Admission::Pass => Ok(Permit::of(&state)),
            Admission::Refused { until } => Err(Open { until }),
            Admission::Trial => self.try_once(app, &state).await,
        }
    }

    /// Takes the one place there is for a trial.
    async fn try_once(&self, app: &App, read: &State) -> Result<Permit, Open> {
        let number = new_number();
        let change = Change::trial(read, number, app.now());
        let now_there = match store::change(app, self, &change).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(there)) => there.unwrap_or_default(),
            Err(error) => return Ok(self.unknown(&error)),
        };
        // An update whose reply was lost is sent again, and then refused by what it did itself.
        if now_there.trial == number {
            let succeeded = now_there.successes;
            return Ok(Permit::Trial { number, succeeded });
        }
        match now_there.admission(self.rule, app.now()) {
            Admission::Pass => Ok(Permit::of(&now_there)),
            Admission::Refused { until } => Err(Open { until }),
            // Somebody else's trial is over already, or one has failed a whole cool-down ago: the next one may ask.
            Admission::Trial => Err(Open { until: app.now() }),
        }
    }

    async fn report(&self, app: &App, permit: Permit, has_failed: bool) {
        let (now, rule) = (app.now(), self.rule);
        let change = match (permit, has_failed) {
            (Permit::Closed { round, .. }, true) => Change::failure(round, rule, now),
            (Permit::Closed { round, row: true }, false) => Change::end_of_row(round, rule),
            (Permit::Trial { number, .. }, true) => Change::opened_anew(number, now),
            (Permit::Trial { number, succeeded }, false) => Change::success(number, succeeded, rule),
            (Permit::Closed { row: false, .. }, false) | (Permit::Unknown, _) => return,
        };
        match store::change(app, self, &change).await {
            Ok(Ok(state)) => {
                self.tell(app, &change, &state);
                if change.opens(&state, rule)
                    && let Err(error) = store::note_open(app, self, &state).await
                {
                    let name = &self.name;
                    tracing::warn!(breaker.name = %name, %error, "an open breaker is not among those that are counted");
                }
            }
            // What it reports to is not any more.
            Ok(Err(_)) => {}
            Err(error) => drop(self.unknown(&error)),
        }
    }

    fn unknown(&self, error: &kernel::Error) -> Permit {
        let name = &self.name;
        tracing::warn!(breaker.name = %name, %error, "a breaker does not answer, so it is passed by");
        Permit::Unknown
    }

    /// Says that it has opened or closed; a row that goes on is nobody's news.
    fn tell(&self, app: &App, change: &Change, state: &State) {
        let kind = kind(&self.name);
        let (name, org) = (&self.name, self.org.map(|org| org.to_string()).unwrap_or_default());
        if change.opens(state, self.rule) {
            app.measures.count("breaker.opened", &[("breaker", kind)]);
            tracing::warn!(breaker.name = %name, org.id = org, breaker.state = "open", "a breaker is open");
        } else if change.closes() {
            app.measures.count("breaker.closed", &[("breaker", kind)]);
            tracing::info!(breaker.name = %name, org.id = org, breaker.state = "closed", "a breaker is closed again");
        }
    }
}

impl Permit {
    fn of(state: &State) -> Self {
        Self::Closed {
            round: state.round,
            row: state.failures > 0,
        }
    }
}

/// A number that no other trial has, and never 0. DynamoDB would keep more digits; 53 bits are enough.
fn new_number() -> i64 {
    let bits = u64::from_be_bytes(kernel::id::random()) >> 11;
    i64::try_from(bits).unwrap_or(0).max(1)
}
