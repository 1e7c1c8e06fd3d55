//! How many mails went out lately to one address for all organizations together, and for one person to all addresses. Each
//! organization has bounds of its own, but organizations are free. And who may have mails sent at all. Pure.

mod store;

pub use store::may_mail;

use kernel::{Error, Result, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::user::User;

/// A mail counts for so long.
const DAY: i64 = Time::DAY;
/// So many invitations one address gets in that time, whoever sends them.
const MOST_TO_ONE: usize = 20;
/// So many invitations one person sends in that time, wherever they are a member.
const MOST_BY_ONE: usize = 500;

/// Whose mails are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Whose {
    /// Those to an address, known by its hash alone.
    To(String),
    /// Those that a person sends.
    By(UserId),
}

/// When mails went out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Postage {
    whose: Whose,
    mailed_at: Vec<Time>,
    #[serde(default)]
    version: u64,
}

impl Postage {
    /// Counts another mail; 409 `too_many_mails` if there were enough.
    fn count(&mut self, now: Time) -> Result<()> {
        self.mailed_at.retain(|at| now < at.plus_millis(DAY));
        let (most, detail) = match self.whose {
            Whose::To(_) => (
                MOST_TO_ONE,
                "this address was invited often enough within a day; invite it tomorrow",
            ),
            Whose::By(_) => (
                MOST_BY_ONE,
                "you have sent enough invitations within a day; go on tomorrow",
            ),
        };
        if self.mailed_at.len() >= most {
            return Err(Error::refused("too_many_mails", detail));
        }
        self.mailed_at.push(now);
        Ok(())
    }
}

/// Wants somebody who has proved their own address; 403 `email_unproved` says how.
pub(crate) fn proved(user: &User) -> Result<()> {
    if user.email_verified_at.is_some() {
        return Ok(());
    }
    Err(Error::Forbidden {
        code: "email_unproved",
        detail: "confirm your own address first: by the link in the mail that you got when you registered, or in another \
                 one, which POST /v1/auth/email/resend sends",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_700_000_000_000);

    fn check(whose: Whose, most: usize) {
        let mut postage = Postage {
            whose,
            mailed_at: Vec::new(),
            version: 0,
        };
        for _ in 0..most {
            postage.count(NOW).unwrap();
        }
        assert!(matches!(
            postage.count(NOW),
            Err(Error::Refused {
                code: "too_many_mails",
                ..
            })
        ));
        assert!(postage.count(NOW.plus_millis(DAY - 1)).is_err());
        postage.count(NOW.plus_millis(DAY)).unwrap();
        assert_eq!(postage.mailed_at.len(), 1);
    }

    #[test]
    fn a_day_has_so_many_mails_and_no_more() {
        check(Whose::To("hash".to_owned()), MOST_TO_ONE);
        check(Whose::By(UserId::new(NOW)), MOST_BY_ONE);
    }
}
