//! Rate limits that are exact at any concurrency, and cost few writes.
//!
//! A subject (an API key, a tenant, an address) has one counter, an item in the table, which holds its current window of
//! a minute and how much of it was handed out: a source of leases. A process leases a block of units with one conditional
//! update, spends it in memory, and never after the window's end (`lease`). So of a window never more than the limit
//! passes: a unit that is not spent (its process died, or idles) is lost until the window ends, never spent twice. That a
//! window is used up is remembered in memory, so refused calls write nothing.
//!
//! When the table does not answer, calls are refused with `Busy`, not let through.
//!
//! # Known bounds
//!
//! - As with every fixed window, up to twice the limit can pass within a minute that has the end of one window and the
//!   beginning of the next in it.
//! - A process holds at most 1 % of a limit, and at most 2 % of what was left of it: what it does not spend is lost until
//!   the window ends. A limit that is changed begins anew: what processes held of the former one is lost likewise.

mod store;
mod window;

use std::net::IpAddr;
use std::num::NonZeroU64;

use kernel::{ApiKeyId, Error, Network, OrgId, Result, Time, UserId};
use lease::{Hold, Leases};
use table::Table;

use store::Windows;
use window::{Limit, WINDOW};

/// How many calls a minute are allowed, where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// With one API key.
    pub per_key: u32,
    /// To one tenant, by all its keys together; and by all its members together, counted apart.
    pub per_tenant: u32,
    /// From one address, to routes that anyone may try.
    pub per_address: u32,
    /// From one address, to pages for whoever has a link.
    pub per_visitor: u32,
    /// By one person, outside of any tenant.
    pub per_person: u32,
    /// From one address, with what proves nothing yet: refresh tokens, tokens of mails, API keys that nobody has.
    pub per_stranger: u32,
}

/// Whose calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Those with an API key.
    Key(ApiKeyId),
    /// All those to a tenant with API keys.
    Tenant(OrgId),
    /// All those to a tenant by its members: who looks at a page must not stop servers.
    Members(OrgId),
    /// Those by a person outside of any tenant.
    Person(UserId),
    /// Those from a network; [`Subject::address`] makes it.
    Address(Option<Network>),
    /// Those from a network to pages for whoever has a link; [`Subject::visitor`] makes it.
    Visitor(Option<Network>),
    /// Those from a network that prove nothing yet; [`Subject::stranger`] makes it.
    Stranger(Option<Network>),
}

impl Subject {
    /// Those from an address as the gateway saw it. An IPv6 address stands for its /64, which is what one customer has;
    /// a v4-mapped one for the IPv4 address. All whose address is not known share one limit.
    pub fn address(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(Network::of))
    }

    /// Those from an address to pages, as [`Subject::address`].
    pub fn visitor(address: Option<IpAddr>) -> Self {
        Self::Visitor(address.map(Network::of))
    }

    /// Those from an address that prove nothing yet, as [`Subject::address`].
    pub fn stranger(address: Option<IpAddr>) -> Self {
        Self::Stranger(address.map(Network::of))
    }

    /// What the limit is called in headers.
    fn name(self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Tenant(_) | Self::Members(_) => "tenant",
            Self::Person(_) => "person",
            Self::Address(_) => "address",
            Self::Visitor(_) => "visitor",
            Self::Stranger(_) => "stranger",
        }
    }

    /// Whose it is, in words.
    fn whose(self) -> &'static str {
        match self {
            Self::Key(_) => "API key",
            Self::Tenant(_) | Self::Members(_) => "organization",
            Self::Person(_) => "person",
            Self::Address(_) | Self::Visitor(_) | Self::Stranger(_) => "address",
        }
    }
}

impl Limit {
    /// One line of the log for each call that it refuses.
    fn log_refusal(&self) {
        let of = match self.subject {
            Subject::Key(key) => key.to_string(),
            Subject::Tenant(org) | Subject::Members(org) => org.to_string(),
            Subject::Person(user) => user.to_string(),
            Subject::Address(network) | Subject::Visitor(network) | Subject::Stranger(network) => {
                network.map_or_else(|| "unknown".to_owned(), |network| network.to_string())
            }
        };
        tracing::warn!(
            limit.name = self.subject.name(),
            limit.of = of,
            limit.calls = self.calls,
            "a limit refused a call"
        );
    }
}

/// One process's share of all limits.
#[derive(Debug)]
pub struct Limits {
    rates: Rates,
    leases: Leases<Windows>,
}

/// What a call took from one limit, or would have.
#[derive(Clone, Copy, Debug)]
struct Taken {
    limit: Limit,
    passes: bool,
    /// How many more calls may be made, as far as this process knows.
    remaining: u64,
    /// When the window ends.
    ends_at: Time,
}

impl Taken {
    fn resets_in_seconds(&self, now: Time) -> u64 {
        let millis = self.ends_at.millis().saturating_sub(now.millis()).clamp(1, WINDOW);
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
        let refused = self.taken.iter().find(|taken| !taken.passes)?;
        Some(Error::Limited {
            whose: refused.limit.subject.whose(),
            limit: refused.limit.calls,
            retry_after_seconds: refused.resets_in_seconds(self.now),
        })
    }

    /// The value of the header `RateLimit-Policy`: every limit by name, its quota and its window in seconds
    /// (draft-ietf-httpapi-ratelimit-headers).
    pub fn policy(&self) -> String {
        self.list(|taken| format!("q={};w={}", taken.limit.calls, WINDOW / Time::SECOND))
    }

    /// The value of the header `RateLimit`: how much is left of every limit, and in how many seconds its window ends.
    pub fn remaining(&self) -> String {
        self.list(|taken| format!("r={};t={}", taken.remaining, taken.resets_in_seconds(self.now)))
    }

    fn list(&self, parameters: impl Fn(&Taken) -> String) -> String {
        let item = |taken: &Taken| format!("\"{}\";{}", taken.limit.subject.name(), parameters(taken));
        self.taken.iter().map(item).collect::<Vec<_>>().join(", ")
    }
}

impl Limits {
    /// Limits by these rates, with counters in this table.
    pub fn new(table: Table, rates: Rates) -> Self {
        Self {
            rates,
            leases: Leases::new(Windows(table)),
        }
    }

    /// Takes a call with an API key, which may have a rate of its own, from the key's limit and from its tenant's.
    pub async fn key(&self, key: ApiKeyId, rate: Option<u32>, org: OrgId, now: impl Fn() -> Time) -> Result<Verdict> {
        let key = Limit::new(Subject::Key(key), rate.unwrap_or(self.rates.per_key));
        self.admit(&[key, Limit::new(Subject::Tenant(org), self.rates.per_tenant)], now)
            .await
    }

    /// Takes so many more calls from the same limits as [`Limits::key`], all or none: for a call that makes as much work as
    /// many.
    pub async fn key_again(
        &self,
        key: ApiKeyId,
        rate: Option<u32>,
        org: OrgId,
        calls: NonZeroU64,
        now: impl Fn() -> Time,
    ) -> Result<Verdict> {
        let key = Limit::new(Subject::Key(key), rate.unwrap_or(self.rates.per_key));
        let tenant = Limit::new(Subject::Tenant(org), self.rates.per_tenant);
        self.admit_many(&[key, tenant], calls, now).await
    }

    /// How many calls a minute a key with this rate of its own may make, if no other of its tenant makes any.
    pub fn most_by_key(&self, rate: Option<u32>) -> u32 {
        rate.unwrap_or(self.rates.per_key).min(self.rates.per_tenant)
    }

    /// Takes a call to a tenant by one of its members.
    pub async fn members(&self, org: OrgId, now: impl Fn() -> Time) -> Result<Verdict> {
        self.admit(&[Limit::new(Subject::Members(org), self.rates.per_tenant)], now)
            .await
    }

    /// Takes a call by a person outside of any tenant.
    pub async fn person(&self, user: UserId, now: impl Fn() -> Time) -> Result<Verdict> {
        self.admit(&[Limit::new(Subject::Person(user), self.rates.per_person)], now)
            .await
    }

    /// Takes a call from an address that proves nothing yet.
    pub async fn stranger(&self, address: Option<IpAddr>, now: impl Fn() -> Time) -> Result<Verdict> {
        self.admit(&[Limit::new(Subject::stranger(address), self.rates.per_stranger)], now)
            .await
    }

    /// Takes a call from an address.
    pub async fn address(&self, address: Option<IpAddr>, now: impl Fn() -> Time) -> Result<Verdict> {
        self.admit(&[Limit::new(Subject::address(address), self.rates.per_address)], now)
            .await
    }

    /// Takes a call from an address to a page.
    pub async fn visitor(&self, address: Option<IpAddr>, now: impl Fn() -> Time) -> Result<Verdict> {
        self.admit(&[Limit::new(Subject::visitor(address), self.rates.per_visitor)], now)
            .await
    }

    /// Takes a call from each of these limits or from none. `Busy` when the table does not answer. What a handler then does
    /// with the call changes nothing: it was made.
    async fn admit(&self, limits: &[Limit], now: impl Fn() -> Time) -> Result<Verdict> {
        self.admit_many(limits, NonZeroU64::MIN, now).await
    }

    async fn admit_many(&self, limits: &[Limit], calls: NonZeroU64, now: impl Fn() -> Time) -> Result<Verdict> {
        let wanted: Vec<_> = limits.iter().map(|limit| (*limit, calls)).collect();
        let seen = match self.leases.take(&wanted, &now).await? {
            lease::Taken::None(seen) => seen,
            lease::Taken::All(holds) => {
                let seen = holds.iter().map(Hold::seen).collect();
                holds.into_iter().for_each(Hold::spent);
                seen
            }
        };
        let taken = limits.iter().zip(seen).map(|(limit, seen)| Taken {
            limit: *limit,
            passes: seen.enough,
            remaining: seen.remaining,
            ends_at: seen.until,
        });
        let taken: Vec<_> = taken.collect();
        if let Some(refused) = taken.iter().find(|taken| !taken.passes) {
            refused.limit.log_refusal();
        }
        Ok(Verdict { taken, now: now() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_is_left() {
        let now = Time::from_millis(1_000_000);
        let key = ApiKeyId::new(now);
        let taken = |subject, calls, passes, remaining, resets_in_ms| Taken {
            limit: Limit::new(subject, calls),
            passes,
            remaining,
            ends_at: now.plus_millis(resets_in_ms),
        };
        let passes = taken(Subject::Key(key), 100, true, 99, 41_001);
        let refused = taken(Subject::Tenant(OrgId::new(now)), 60_000, false, 0, 500);
        let verdict = Verdict {
            taken: vec![passes, refused],
            now,
        };
        assert_eq!(verdict.policy(), r#""key";q=100;w=60, "tenant";q=60000;w=60"#);
        assert_eq!(verdict.remaining(), r#""key";r=99;t=42, "tenant";r=0;t=1"#);
        let refusal = verdict.refusal().unwrap().to_string();
        assert_eq!(
            refusal,
            "this organization may make 60000 calls a minute; call again in 1 s"
        );
        let taken = vec![passes];
        assert!(Verdict { taken, now }.refusal().is_none());
    }
}
