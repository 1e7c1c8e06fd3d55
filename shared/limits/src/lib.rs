//! Rate limits that are exact at any concurrency, and cost few writes.
//!
//! A subject (an API key, a tenant, an address) has one counter, an item in the table, which holds its current window of
//! a minute and how much of it was handed out. A process leases a block of units with one conditional update, spends it
//! in memory, and never after the window's end. So of a window never more than the limit passes: a unit that is not
//! spent (its process died, or idles) is lost until the window ends, never spent twice. That a window is used up is
//! remembered in memory, so refused calls write nothing.
//!
//! When the table does not answer, calls are refused with `Busy`, not let through.
//!
//! # Known bounds
//!
//! - As with every fixed window, up to twice the limit can pass within a minute that has the end of one window and the
//!   beginning of the next in it.
//! - A process holds at most 1 % of a limit, and at most 2 % of what was left of it: what it does not spend is lost until
//!   the window ends.

mod store;
mod window;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::{ApiKeyId, Error, OrgId, Result, Time};
use table::Table;

use window::{Counter, Holding, Spend, Unit, WINDOW};

/// How many subjects one process remembers.
const REMEMBERED: usize = 4_096;
/// An ask that is refused tells why, so that the next one fits; only others who are faster can refuse that too.
const ATTEMPTS: u32 = 16;

/// How many calls a minute are allowed, where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// With one API key.
    pub per_key: u32,
    /// To one tenant, by all its keys and members together.
    pub per_tenant: u32,
    /// From one address, to routes that anyone may try.
    pub per_address: u32,
}

/// Whose calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Those with an API key.
    Key(ApiKeyId),
    /// All those to a tenant.
    Tenant(OrgId),
    /// Those from a network; [`Subject::address`] makes it.
    Address(Option<Network>),
}

impl Subject {
    /// Those from an address as the gateway saw it. An IPv6 address stands for its /64, which is what one customer has;
    /// a v4-mapped one for the IPv4 address. All whose address is not known share one limit.
    pub fn address(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(Network::of))
    }

    /// What the limit is called in headers.
    fn name(self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Tenant(_) => "tenant",
            Self::Address(_) => "address",
        }
    }

    /// Whose it is, in words.
    fn whose(self) -> &'static str {
        match self {
            Self::Key(_) => "API key",
            Self::Tenant(_) => "organization",
            Self::Address(_) => "address",
        }
    }
}

/// An IPv4 address, or the /64 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// One process's share of all limits.
#[derive(Debug)]
pub struct Limits {
    table: Table,
    rates: Rates,
    slots: Slots,
}

/// What one process holds, by subject.
#[derive(Debug, Default)]
struct Slots(Mutex<HashMap<Subject, Arc<Slot>>>);

#[derive(Debug, Default)]
struct Slot {
    holding: Mutex<Holding>,
    /// Held by the one who asks the counter.
    asking: tokio::sync::Mutex<()>,
}

impl Slot {
    fn holding(&self) -> MutexGuard<'_, Holding> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// The subject's slot; an empty one if it is not remembered.
    fn of(&self, subject: Subject, now: Time) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&subject) {
            return Arc::clone(slot);
        }
        if slots.len() >= REMEMBERED {
            slots.retain(|_, slot| !slot.holding().is_over(now));
        }
        if slots.len() >= REMEMBERED {
            // What they hold is lost until their windows end: fewer calls pass, never more.
            slots.clear();
        }
        Arc::clone(slots.entry(subject).or_default())
    }
}

/// What a call took from one limit.
#[derive(Clone, Copy, Debug)]
struct Taken {
    subject: Subject,
    limit: u32,
    /// The unit, or the counter that has none left.
    unit: std::result::Result<Unit, Counter>,
}

impl Taken {
    fn resets_in_seconds(&self, now: Time) -> u64 {
        let ends_at = self.unit.map_or_else(|counter| counter.ends_at, |unit| unit.ends_at);
        let millis = ends_at.millis().saturating_sub(now.millis()).clamp(1, WINDOW);
        millis.unsigned_abs().div_ceil(Time::SECOND.unsigned_abs())
    }
}

/// What became of one call, and what is left.
#[derive(Clone, Debug)]
pub struct Verdict {
    taken: Vec<Taken>,
    now: Time,
}

impl Verdict {
    /// The limit that refuses the call, if one does.
    pub fn refusal(&self) -> Option<Error> {
        let refused = self.taken.iter().find(|taken| taken.unit.is_err())?;
        Some(Error::Limited {
            whose: refused.subject.whose(),
            limit: refused.limit,
            retry_after_seconds: refused.resets_in_seconds(self.now),
        })
    }

    /// The value of the header `RateLimit-Policy`: every limit by name, its quota and its window in seconds
    /// (draft-ietf-httpapi-ratelimit-headers).
    pub fn policy(&self) -> String {
        self.list(|taken| format!("q={};w={}", taken.limit, WINDOW / Time::SECOND))
    }

    /// The value of the header `RateLimit`: how much is left of every limit, and in how many seconds its window ends.
    pub fn remaining(&self) -> String {
        self.list(|taken| {
            let remaining = taken.unit.map_or(0, |unit| unit.remaining);
            format!("r={remaining};t={}", taken.resets_in_seconds(self.now))
        })
    }

    fn list(&self, parameters: impl Fn(&Taken) -> String) -> String {
        let item = |taken: &Taken| format!("\"{}\";{}", taken.subject.name(), parameters(taken));
        self.taken.iter().map(item).collect::<Vec<_>>().join(", ")
    }
}

impl Limits {
    /// Limits by these rates, with counters in this table.
    pub fn new(table: Table, rates: Rates) -> Self {
        Self {
            table,
            rates,
            slots: Slots::default(),
        }
    }

    /// Takes a call with an API key, which may have a rate of its own, from the key's limit and from its tenant's.
    pub async fn key(&self, key: ApiKeyId, rate: Option<u32>, org: OrgId, now: impl Fn() -> Time) -> Result<Verdict> {
        let key = (Subject::Key(key), rate.unwrap_or(self.rates.per_key));
        self.admit(&[key, (Subject::Tenant(org), self.rates.per_tenant)], now)
            .await
    }

    /// Takes a call to a tenant.
    pub async fn tenant(&self, org: OrgId, now: impl Fn() -> Time) -> Result<Verdict> {
        self.admit(&[(Subject::Tenant(org), self.rates.per_tenant)], now).await
    }

    /// Takes a call from an address.
    pub async fn address(&self, address: Option<IpAddr>, now: impl Fn() -> Time) -> Result<Verdict> {
        self.admit(&[(Subject::address(address), self.rates.per_address)], now)
            .await
    }

    /// Takes a unit from each of these limits or from none. `Busy` when the table does not answer.
    async fn admit(&self, wanted: &[(Subject, u32)], now: impl Fn() -> Time) -> Result<Verdict> {
        let slots: Vec<_> = wanted
            .iter()
            .map(|(subject, _)| self.slots.of(*subject, now()))
            .collect();
        let takes = wanted.iter().zip(&slots);
        let takes = takes.map(|((subject, limit), slot)| self.take(*subject, *limit, slot, &now));
        let all = futures::future::join_all(takes).await;
        let passes = all
            .iter()
            .all(|taken| taken.as_ref().is_ok_and(|taken| taken.unit.is_ok()));
        if !passes {
            for (taken, slot) in all.iter().zip(&slots) {
                if let Ok(Taken { unit: Ok(unit), .. }) = taken {
                    slot.holding().put_back(*unit);
                }
            }
        }
        Ok(Verdict {
            taken: all.into_iter().collect::<Result<_>>()?,
            now: now(),
        })
    }

    async fn take(&self, subject: Subject, limit: u32, slot: &Slot, now: impl Fn() -> Time) -> Result<Taken> {
        let taken = |unit| Taken { subject, limit, unit };
        let (mut turn, mut noted) = (None, None);
        for _ in 0..ATTEMPTS {
            let ask = {
                let mut holding = slot.holding();
                if let Some((ask, answer)) = noted.take() {
                    holding.note(now(), limit, ask, answer);
                }
                match holding.spend(now(), limit) {
                    Spend::Spent(unit) => return Ok(taken(Ok(unit))),
                    Spend::Refused(counter) => return Ok(taken(Err(counter))),
                    Spend::Wanting(ask) => ask,
                }
            };
            if turn.is_some() {
                let answer = store::ask(&self.table, subject, ask, now(), limit).await?;
                noted = Some((ask, answer));
            } else {
                // One asks at a time; whoever waited looks first what the one before brought.
                turn = Some(slot.asking.lock().await);
            }
        }
        Err(Error::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_network(address: &str, expected: &str) {
        assert_eq!(Network::of(address.parse().unwrap()).to_string(), expected);
    }

    #[test]
    fn a_customer_of_ipv6_has_one_network() {
        check_network("192.0.2.1", "192.0.2.1");
        check_network("::ffff:192.0.2.1", "192.0.2.1");
        check_network("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
        check_network("2001:db8:1:2:ffff::", "2001:db8:1:2::/64");
        check_network("2001:db8:1:3::1", "2001:db8:1:3::/64");
    }

    #[test]
    fn no_number_of_callers_fills_the_memory() {
        let (slots, now) = (Slots::default(), Time::from_millis(1_000_000));
        let address = |number: u32| Subject::address(Some(IpAddr::V4(number.into())));
        for number in 0..20_000 {
            let slot = slots.of(address(number), now);
            let counter = Counter {
                ends_at: now.plus_millis(WINDOW),
                taken: 1,
            };
            let ask = window::Ask::Open { units: 1 };
            slot.holding().note(now, 5, ask, window::Answer::Granted(counter));
            assert!(Arc::ptr_eq(&slot, &slots.of(address(number), now)));
            assert!(slots.0.lock().unwrap().len() <= REMEMBERED);
        }
        // Those whose windows are over go first.
        let later = now.plus_millis(WINDOW);
        let many = u32::try_from(REMEMBERED).unwrap();
        for number in 0..many {
            slots.of(address(number), later);
        }
        assert!(slots.0.lock().unwrap().len() <= REMEMBERED);
    }

    #[test]
    fn headers_say_what_is_left() {
        let now = Time::from_millis(1_000_000);
        let key = ApiKeyId::new(now);
        let unit = Unit {
            ends_at: now.plus_millis(41_001),
            remaining: 99,
        };
        let used_up = Counter {
            ends_at: now.plus_millis(500),
            taken: 60_000,
        };
        let taken = |subject, limit, unit| Taken { subject, limit, unit };
        let verdict = Verdict {
            taken: vec![
                taken(Subject::Key(key), 100, Ok(unit)),
                taken(Subject::Tenant(OrgId::new(now)), 60_000, Err(used_up)),
            ],
            now,
        };
        assert_eq!(verdict.policy(), r#""key";q=100;w=60, "tenant";q=60000;w=60"#);
        assert_eq!(verdict.remaining(), r#""key";r=99;t=42, "tenant";r=0;t=1"#);
        let refusal = verdict.refusal().unwrap().to_string();
        assert_eq!(
            refusal,
            "this organization may make 60000 calls a minute; call again in 1 s"
        );
        let passes = Verdict {
            taken: vec![taken(Subject::Key(key), 100, Ok(unit))],
            now,
        };
        assert!(passes.refusal().is_none());
    }
}
