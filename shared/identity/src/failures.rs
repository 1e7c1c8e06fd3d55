//! Attempts at an account that failed: after some, the next one has to wait, longer each time. Pure.
//!
//! It slows and never locks. A minute is the longest wait, and an attempt that comes too early is not charged. Who logs in
//! from a network that the person has logged in from before is counted apart from strangers, so that strangers do not slow
//! the person. An attempt is charged before it is known whether it fails, and given back if it does not: so of many at
//! once none is for nothing.

mod store;

use aws_lc_rs::digest::{SHA256, digest};
use kernel::{Error, Network, Result, Time, UserId};
use serde::{Deserialize, Serialize};

pub(crate) use store::Guess;

/// So many failures cost nothing.
const FREE: u32 = 10;
/// Who fails from then on waits for 1, 2, 4, … seconds, and for so long at most: 24 * 60 = 1,440 attempts a day are left.
const LONGEST: i64 = Time::MINUTE;
/// And for so long who has the password and guesses a code of six digits: 24 * 4 = 96 attempts a day, each at 3 of 1,000,000
/// codes. Whoever has a recovery code does not wait for that.
const LONGEST_FOR_CODES: i64 = 15 * Time::MINUTE;
/// Without a failure for so long, all are forgotten.
const KEPT: i64 = Time::DAY;

/// What is guessed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// The password for an address, by somebody who comes from a network that the person is known to use, or by a stranger.
    Login {
        /// The address, in lower case, whether or not anybody has it.
        email: &'a str,
        /// The network, if it is known.
        from: Option<Network>,
    },
    /// The password of a person, by somebody who has their session.
    Password(UserId),
    /// The code that a person's app shows, by somebody who has their password; counted as logins are.
    Code {
        /// Whose.
        user: UserId,
        /// The network, if it is known.
        from: Option<Network>,
    },
    /// A recovery code of a person, likewise.
    RecoveryCode {
        /// Whose.
        user: UserId,
        /// The network, if it is known.
        from: Option<Network>,
    },
}

impl Subject<'_> {
    /// What it is called in keys, which hold no address.
    fn name(self) -> String {
        match self {
            Self::Login { email, from } => format!("LOGIN#{}", hash(email, from)),
            Self::Password(user) => format!("PASSWORD#{user}"),
            Self::Code { user, from } => format!("CODE#{}", hash(&user.to_string(), from)),
            Self::RecoveryCode { user, from } => format!("RECOVERY#{}", hash(&user.to_string(), from)),
        }
    }

    /// How long who fails waits at most.
    fn longest(self) -> i64 {
        match self {
            Self::Login { .. } | Self::Password(_) | Self::RecoveryCode { .. } => LONGEST,
            Self::Code { .. } => LONGEST_FOR_CODES,
        }
    }
}

fn hash(whose: &str, from: Option<Network>) -> String {
    let from = from.map(|network| network.to_string()).unwrap_or_default();
    hex::encode(digest(&SHA256, format!("{whose}\n{from}").as_bytes()))
}

/// How often attempts at a subject failed one after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failures {
    subject: String,
    many: u32,
    /// When the last one was charged.
    at: Time,
    #[serde(default)]
    version: u64,
}

impl Failures {
    fn none(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            many: 0,
            at: Time::from_millis(0),
            version: 0,
        }
    }

    /// Charges an attempt; 429 `too_many_failures`, and no charge, if it comes too early.
    fn charge(&mut self, now: Time, longest: i64) -> Result<()> {
        if now.millis() - self.at.millis() >= KEPT {
            self.many = 0;
        }
        let left = self.at.plus_millis(wait(self.many, longest)).millis() - now.millis();
        if left > 0 {
            // Clocks differ: a wait is never longer than it was when it began.
            let left = left.min(longest).unsigned_abs();
            let retry_after_seconds = left.div_ceil(Time::SECOND.unsigned_abs());
            return Err(Error::TooManyFailures { retry_after_seconds });
        }
        self.many = self.many.saturating_add(1);
        self.at = now;
        Ok(())
    }
}

/// For how long whoever comes after so many failures waits.
fn wait(many: u32, longest: i64) -> i64 {
    match many.checked_sub(FREE) {
        None => 0,
        Some(more) => 2_i64.pow(more.min(10)).saturating_mul(Time::SECOND).min(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_millis(1_700_000_000_000);

    fn after(many: u32) -> Failures {
        let mut failures = Failures::none("LOGIN#a");
        (failures.many, failures.at) = (many, NOW);
        failures
    }

    fn check(many: u32, seconds: i64, passes: bool) {
        let outcome = after(many).charge(NOW.plus_seconds(seconds), LONGEST);
        assert_eq!(outcome.is_ok(), passes, "{many} failures, {seconds} s later");
    }

    #[test]
    fn ten_are_free_and_then_each_waits_twice_as_long_up_to_a_minute() {
        check(9, 0, true);
        for (many, wait) in [(10, 1), (11, 2), (12, 4), (15, 32), (16, 60), (17, 60), (u32::MAX, 60)] {
            check(many, wait - 1, false);
            check(many, wait, true);
        }
    }

    #[test]
    fn codes_of_an_app_are_guessed_four_times_an_hour_at_most() {
        let wait = |many: u32| wait(many, LONGEST_FOR_CODES) / Time::SECOND;
        assert_eq!([9, 10, 16, 19, 20, u32::MAX].map(wait), [0, 1, 64, 512, 900, 900]);
    }

    #[test]
    fn a_refusal_says_when_to_come_again_and_is_not_charged() {
        let mut failures = after(12);
        let refused = failures.charge(NOW.plus_millis(1), LONGEST).unwrap_err();
        assert!(matches!(refused, Error::TooManyFailures { retry_after_seconds: 4 }));
        assert_eq!((failures.many, failures.at), (12, NOW));
    }

    #[test]
    fn a_day_without_a_failure_forgets_all() {
        let mut failures = after(100);
        failures.charge(NOW.plus_millis(Time::DAY), LONGEST).unwrap();
        assert_eq!(failures.many, 1);
    }

    #[test]
    fn who_is_known_is_counted_apart_and_no_name_holds_an_address() {
        let network = Network::of("192.0.2.1".parse().unwrap());
        let email = "ada@example.com";
        let [stranger, known] = [None, Some(network)].map(|from| Subject::Login { email, from }.name());
        assert_ne!(stranger, known);
        let user = UserId::new(NOW);
        let codes = [None, Some(network)].map(|from| Subject::Code { user, from }.name());
        assert!(codes[0] != codes[1] && codes.iter().all(|name| !name.contains("192")));
        assert!(!stranger.contains("ada") && !known.contains("192"));
    }

    proptest! {
        #[test]
        fn nobody_is_ever_locked_out(gaps in proptest::collection::vec(0..200_000_i64, 1..200)) {
            let (mut failures, mut now) = (Failures::none("LOGIN#a"), NOW);
            for gap in gaps {
                now = now.plus_millis(gap);
                if let Err(Error::TooManyFailures { retry_after_seconds }) = failures.charge(now, LONGEST) {
                    let seconds = i64::try_from(retry_after_seconds).unwrap();
                    prop_assert!((1..=60).contains(&seconds));
                    prop_assert!(failures.clone().charge(now.plus_seconds(seconds), LONGEST).is_ok());
                }
            }
        }
    }
}
