//! Cruelty by a seed: what goes wrong, and how often.
//!
//! Processes are killed with -9 in the middle of invocations, AWS refuses, falls silent or does what it was asked and
//! loses its reply, queues deliver twice, late and out of order, clients' connections are cut. Whether something goes
//! wrong is a pure function of the seed, the kind of fault, the stream it happens in (a function, a queue, an
//! operation) and how many occasions that stream had before; no clock and no other chance decides. Threads race as
//! they do, so two runs with one seed are not equal, but their decisions are.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::sync::Notify;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A process is killed once one of its AWS calls has had its effect, before it hears of that.
    KillAfterCall,
    /// A process is killed while one of its AWS calls is under way, which has its effect up to half a second later.
    KillDuringCall,
    /// A process is killed up to 30 ms after it was given an invocation.
    KillLater,
    /// AWS refuses a call for its rate, or for a transaction that it meets.
    Throttle,
    /// AWS answers 500 and does nothing.
    ServerError,
    /// AWS does nothing and never answers.
    Silence,
    /// AWS does what it was asked, and the connection breaks before its reply.
    LostReply,
    /// A message shows itself up to two seconds late.
    LateMessage,
    /// A message is delivered to two consumers at once.
    TwoConsumers,
    /// A message that was deleted is delivered once more, up to two seconds later.
    Undeleted,
    /// Messages are delivered newest first.
    Reorder,
    /// The function answers, and the client's connection breaks before it hears.
    LostAnswer,
}

/// Each fault, its name, how many of 10,000 occasions it takes, and what an occasion is. Moderate, so that work gets
/// done: of an invocation with five AWS calls about six in ten meet no fault at all.
pub const FAULTS: [(Fault, &str, u64, &str); 12] = [
    (Fault::KillAfterCall, "killAfterCall", 400, "invocation of a function"),
    (Fault::KillDuringCall, "killDuringCall", 300, "invocation of a function"),
    (Fault::KillLater, "killLater", 300, "invocation of a function"),
    (Fault::Throttle, "throttle", 300, "AWS call of a function"),
    (Fault::ServerError, "serverError", 150, "AWS call of a function"),
    (Fault::Silence, "silence", 30, "AWS call of a function"),
    (Fault::LostReply, "lostReply", 200, "AWS call of a function"),
    (Fault::LateMessage, "lateMessage", 500, "message sent"),
    (Fault::TwoConsumers, "twoConsumers", 500, "message received"),
    (Fault::Undeleted, "undeleted", 500, "message deleted"),
    (Fault::Reorder, "reorder", 2_000, "receive of a queue"),
    (Fault::LostAnswer, "lostAnswer", 100, "request of a client"),
];

const PARTS: u64 = 10_000;
/// A process is killed at one of the first calls of an invocation; few make more.
const CALLS: u64 = 4;

/// Decides what goes wrong. Cheap to clone; one that is off lets everything be.
#[derive(Clone, Default)]
pub struct Chaos(Option<Arc<Inner>>);

struct Inner {
    plan: Plan,
    enabled: AtomicBool,
    state: Mutex<State>,
    crashed: Notify,
}

enum Plan {
    /// By this seed.
    Seed(u64),
    /// Exactly these occasions, counted from 1.
    Only(Vec<(Fault, String, u64)>),
}

impl Plan {
    fn seed(&self) -> Option<u64> {
        match self {
            Self::Seed(seed) => Some(*seed),
            Self::Only(_) => None,
        }
    }

    fn decide(&self, fault: Fault, stream: &str, occasion: u64) -> Option<Draw> {
        match self {
            Self::Seed(seed) => decision(*seed, fault, stream, occasion),
            Self::Only(occasions) => {
                let listed = occasions
                    .iter()
                    .any(|(a, b, c)| (*a, b.as_str(), *c) == (fault, stream, occasion));
                listed.then_some(Draw(occasion))
            }
        }
    }
}

#[derive(Default)]
struct State {
    /// How many occasions each stream had.
    occasions: HashMap<(Fault, String), u64>,
    /// How often each fault happened.
    counts: [u64; FAULTS.len()],
    /// What awaits the processes that are in an invocation, by their session token.
    fates: HashMap<String, Fate>,
    /// At which of the calls to come somebody dies who shares this process.
    crash: Option<(u64, Moment)>,
}

struct Fate {
    pid: u32,
    calls: u64,
    fault: Fault,
    draw: Draw,
}

/// A number that belongs to one decision, for how late or how long.
#[derive(Debug, Clone, Copy)]
pub struct Draw(u64);

impl Draw {
    /// Picks a number below `limit`.
    pub fn below(self, limit: u64) -> u64 {
        mix(self.0) % limit.max(1)
    }

    /// Picks a time of at most `most`.
    pub fn up_to(self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.below(millis))
    }
}

/// When somebody dies who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before it has its effect, which it never has.
    Before,
    /// After it, without hearing of that.
    After,
}

/// The death of a process at one of its calls.
#[derive(Debug, Clone, Copy)]
pub enum Death {
    /// The call has its effect before.
    AfterEffect,
    /// The call has its effect so much later.
    BeforeEffect(Duration),
}

/// What happened so far.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The seed; none if the stack is not cruel.
    pub seed: Option<u64>,
    /// Whether faults happen now.
    pub enabled: bool,
    /// How often each fault happened, by its name.
    pub faults: serde_json::Map<String, serde_json::Value>,
}

impl fmt::Debug for Chaos {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Chaos({:?})", self.0.as_ref().map(|inner| inner.plan.seed()))
    }
}

impl Chaos {
    /// Makes cruelty that goes by a seed. It begins when it is switched on.
    pub fn seeded(seed: u64) -> Self {
        Self::of(Plan::Seed(seed))
    }

    /// Makes cruelty that strikes exactly these occasions of streams, counted from 1: for tests of one fault.
    pub fn only(occasions: &[(Fault, &str, u64)]) -> Self {
        let own = |(fault, stream, occasion): &(Fault, &str, u64)| (*fault, (*stream).to_owned(), *occasion);
        Self::of(Plan::Only(occasions.iter().map(own).collect()))
    }

    fn of(plan: Plan) -> Self {
        Self(Some(Arc::new(Inner {
            plan,
            enabled: AtomicBool::new(false),
            state: Mutex::new(State::default()),
            crashed: Notify::new(),
        })))
    }

    /// Switches the cruelty on or off; says whether there is any.
    pub fn enable(&self, enabled: bool) -> bool {
        if let Some(inner) = &self.0 {
            inner.enabled.store(enabled, Ordering::SeqCst);
            let mut state = inner.state();
            state.fates.clear();
            state.crash = None;
        }
        self.0.is_some()
    }

    /// Decides about the next occasion of a stream: none lets it be.
    pub fn strike(&self, fault: Fault, stream: &str) -> Option<Draw> {
        let draw = self.decide(fault, stream)?;
        self.count(fault);
        Some(draw)
    }

    /// Decides how late something is, in milliseconds: zero lets it be, two seconds are the most.
    pub(crate) fn lateness_ms(&self, fault: Fault, stream: &str) -> i64 {
        self.strike(fault, stream)
            .map_or(0, |draw| 1 + i64::try_from(draw.below(2_000)).unwrap_or_default())
    }

    fn decide(&self, fault: Fault, stream: &str) -> Option<Draw> {
        let inner = self.active()?;
        let mut state = inner.state();
        let occasion = state.occasions.entry((fault, stream.to_owned())).or_default();
        *occasion += 1;
        inner.plan.decide(fault, stream, *occasion)
    }

    fn count(&self, fault: Fault) {
        if let Some(inner) = &self.0 {
            inner.state().counts[fault as usize] += 1;
        }
    }

    /// Notes that a process was given an invocation, and decides whether it is killed at one of its AWS calls.
    pub(crate) fn begin(&self, function: &str, token: &str, pid: u32) {
        let decided = [Fault::KillAfterCall, Fault::KillDuringCall].map(|fault| (fault, self.decide(fault, function)));
        let Some(inner) = self.active() else { return };
        let fate = decided.into_iter().find_map(|(fault, draw)| {
            let draw = draw?;
            let calls = 1 + draw.below(CALLS);
            Some(Fate {
                pid,
                calls,
                fault,
                draw,
            })
        });
        let mut state = inner.state();
        match fate {
            Some(fate) => state.fates.insert(token.to_owned(), fate),
            None => state.fates.remove(token),
        };
    }

    /// Decides whether a process is killed some time after it was given an invocation.
    pub(crate) fn kill_later(&self, function: &str) -> Option<Duration> {
        Some(
            self.decide(Fault::KillLater, function)?
                .up_to(Duration::from_millis(30)),
        )
    }

    /// Notes that [`Chaos::kill_later`] came true: the process was still at it.
    pub(crate) fn killed_later(&self) {
        self.count(Fault::KillLater);
    }

    /// Tells whether a process, known by its session token, dies of the AWS call that it makes.
    pub(crate) fn death(&self, token: &str) -> Option<(Death, Victim)> {
        let inner = self.active()?;
        let fate = {
            let mut state = inner.state();
            let fate = state.fates.get_mut(token)?;
            fate.calls -= 1;
            if fate.calls > 0 {
                return None;
            }
            state.fates.remove(token)?
        };
        self.count(fate.fault);
        let death = match fate.fault {
            Fault::KillDuringCall => Death::BeforeEffect(fate.draw.up_to(Duration::from_millis(500))),
            _ => Death::AfterEffect,
        };
        Some((death, Victim(fate.pid)))
    }

    /// Lets the `call`th AWS call from now on, counted from 1, be the last of who makes it: it is never answered, and whoever
    /// waits for [`Chaos::crashed`] drops the caller. For tests whose functions share a process that cannot be killed.
    pub fn crash_at(&self, call: u64, moment: Moment) {
        if let Some(inner) = &self.0 {
            inner.state().crash = Some((call, moment));
        }
    }

    /// Waits until somebody is to be dropped.
    pub async fn crashed(&self) {
        match &self.0 {
            Some(inner) => inner.crashed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Whether who makes the next call is to be dropped, and when.
    pub(crate) fn crash(&self) -> Option<Moment> {
        let inner = self.active()?;
        let mut state = inner.state();
        let (calls, moment) = state.crash.take()?;
        if calls > 1 {
            state.crash = Some((calls - 1, moment));
            return None;
        }
        Some(moment)
    }

    /// Says that somebody is to be dropped, and never comes back to them.
    pub(crate) async fn drop_caller(&self) -> ! {
        if let Some(inner) = &self.0 {
            inner.crashed.notify_one();
        }
        std::future::pending().await
    }

    /// Forgets a process that has ended.
    pub(crate) fn forget(&self, token: &str) {
        if let Some(inner) = &self.0 {
            inner.state().fates.remove(token);
        }
    }

    /// Tells what happened so far.
    pub fn report(&self) -> Report {
        let counts = self.0.as_ref().map(|inner| inner.state().counts).unwrap_or_default();
        Report {
            seed: self.0.as_ref().and_then(|inner| inner.plan.seed()),
            enabled: self.is_active(),
            faults: FAULTS
                .iter()
                .map(|(fault, name, ..)| ((*name).to_owned(), counts[*fault as usize].into()))
                .collect(),
        }
    }

    /// Tells whether faults happen now.
    pub fn is_active(&self) -> bool {
        self.active().is_some()
    }

    fn active(&self) -> Option<&Inner> {
        self.0.as_deref().filter(|inner| inner.enabled.load(Ordering::SeqCst))
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that is to die.
#[derive(Debug)]
pub(crate) struct Victim(u32);

impl Victim {
    /// Kills it with -9, at once.
    pub(crate) fn kill(&self) {
        if let Ok(pid) = i32::try_from(self.0)
            && pid > 0
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// A reply that never arrives whole: its body breaks off, and with it the connection.
pub(crate) fn cut() -> Response {
    let broken = Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionAborted));
    Response::new(Body::from_stream(futures::stream::iter([broken])))
}

/// The decision about one occasion: a function of its arguments alone.
fn decision(seed: u64, fault: Fault, stream: &str, occasion: u64) -> Option<Draw> {
    let (_, name, rate, _) = FAULTS[fault as usize];
    let mut hash = mix(seed);
    for byte in name.bytes().chain([0]).chain(stream.bytes()) {
        hash = mix(hash ^ u64::from(byte));
    }
    hash = mix(hash ^ occasion);
    (hash % PARTS < rate).then_some(Draw(hash))
}

/// The finalizer of `SplitMix64`: every bit of its argument moves every bit of its result.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(chaos: &Chaos, stream: &str) -> Vec<Option<u64>> {
        let strike = |_| chaos.strike(Fault::Reorder, stream).map(|draw| draw.below(1_000_000));
        (0..1_000).map(strike).collect()
    }

    fn switched_on(seed: u64) -> Chaos {
        let chaos = Chaos::seeded(seed);
        assert!(chaos.enable(true));
        chaos
    }

    #[test]
    fn a_seed_decides_alone() {
        let (one, same, other) = (switched_on(1), switched_on(1), switched_on(2));
        let first = decisions(&one, "a");
        // What happens in other streams meanwhile changes nothing.
        decisions(&same, "b");
        assert_eq!(decisions(&same, "a"), first);
        assert_ne!(decisions(&other, "a"), first);
        assert_ne!(decisions(&same, "b"), first);
    }

    #[test]
    fn faults_are_as_frequent_as_their_table_says() {
        for (fault, name, rate, _) in FAULTS {
            let hits = (0..20_000)
                .filter(|n| decision(7, fault, "stream", *n).is_some())
                .count();
            let expected = 2.0 * f64::from(u32::try_from(rate).unwrap());
            let difference = (f64::from(u32::try_from(hits).unwrap()) - expected).abs();
            // Four standard deviations of a binomial distribution.
            assert!(
                difference <= 4.0 * expected.sqrt(),
                "{name}: {hits} instead of {expected}"
            );
        }
    }

    #[test]
    fn the_table_lists_each_fault_in_its_place() {
        for (place, (fault, ..)) in FAULTS.iter().enumerate() {
            assert_eq!(*fault as usize, place);
        }
    }

    #[test]
    fn nothing_goes_wrong_without_a_seed_or_while_it_is_switched_off() {
        let (off, paused) = (Chaos::default(), Chaos::seeded(1));
        assert!(!off.enable(true));
        for chaos in [off, paused] {
            assert!(decisions(&chaos, "a").iter().all(Option::is_none));
            chaos.begin("f", "t", 1);
            assert!(chaos.death("t").is_none());
            assert!(chaos.report().faults.values().all(|count| count == 0));
        }
    }

    #[test]
    fn an_invocation_ends_at_one_of_its_first_calls_or_not_at_all() {
        let chaos = switched_on(3);
        let mut deaths = 0;
        for _ in 0..1_000 {
            // No process has this number, so nobody is killed.
            chaos.begin("f", "t", 0);
            let calls = (1..=20).filter(|_| chaos.death("t").is_some()).count();
            assert!(calls <= 1);
            deaths += calls;
        }
        assert!((40..=100).contains(&deaths), "{deaths}");
        assert_eq!(
            chaos.report().faults["killAfterCall"].as_u64().unwrap()
                + chaos.report().faults["killDuringCall"].as_u64().unwrap(),
            deaths as u64
        );
    }
}
