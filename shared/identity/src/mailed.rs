//! What was mailed to a person about their account in the last hour, with the tokens in it. A token proves once, for one
//! purpose, that whoever sends it back reads the person's mail. Pure.

mod store;

use kernel::{Result, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::ticket::{Ticket, bad_token};

/// A token is good for so long, and a mail counts for so long.
const LIFETIME: i64 = Time::HOUR;
/// So many mails for one purpose one person gets in that time, whoever asks for them.
const MOST: usize = 5;
/// What a token begins with.
const PREFIX: &str = "mt_";

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Purpose {
    /// Proving the address.
    VerifyEmail,
    /// Choosing a new password.
    ResetPassword,
}

/// A token: whose, and a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MailToken(Ticket<1>);

impl MailToken {
    /// Reads a token; 400 `bad_token` if it was not made here.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Ticket::parse(PREFIX, text).map(Self).ok_or_else(bad_token)
    }

    /// Its text, for the mail and never for a log.
    pub(crate) fn reveal(&self) -> String {
        self.0.reveal(PREFIX)
    }

    /// Whose it is.
    pub(crate) fn user(&self) -> UserId {
        UserId::from_bits(self.0.ids[0])
    }
}

/// What was mailed to a person in the last hour.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mailed {
    user: UserId,
    mails: Vec<Mail>,
    #[serde(default)]
    version: u64,
}

/// One mail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mail {
    purpose: Purpose,
    /// Which request asked for it, so that a repeated one gets no second mail.
    request: String,
    at: Time,
    /// The hash of its token; nothing once it is not good any more.
    hash: Option<String>,
}

impl Mailed {
    /// Nothing was mailed yet.
    pub(crate) fn nothing(user: UserId) -> Self {
        Self {
            user,
            mails: Vec::new(),
            version: 0,
        }
    }

    /// Makes the token of a mail that `request` asks for. Nothing if that request had its mail, or the person had as
    /// many as they may: nobody is bombed with mails by whoever knows their address.
    pub(crate) fn issue(&mut self, now: Time, purpose: Purpose, request: &str) -> Option<MailToken> {
        self.mails.retain(|mail| mail.is_recent(now));
        let mut same = self.mails.iter().filter(|mail| mail.purpose == purpose);
        if same.clone().count() >= MOST || same.any(|mail| mail.request == request) {
            return None;
        }
        let token = Ticket::new([self.user.bits()]);
        self.mails.push(Mail {
            purpose,
            request: request.to_owned(),
            at: now,
            hash: Some(token.hash()),
        });
        Some(MailToken(token))
    }

    /// Spends a token, and with it all others of its purpose. 400 `bad_token` unless it is good for that.
    pub(crate) fn spend(&mut self, now: Time, purpose: Purpose, token: &MailToken) -> Result<()> {
        let good = |mail: &Mail| mail.is_good(now) && mail.hash.as_ref().is_some_and(|hash| token.0.is(hash));
        let found = self.mails.iter().any(|mail| mail.purpose == purpose && good(mail));
        if !found {
            return Err(bad_token());
        }
        self.withdraw(purpose);
        Ok(())
    }

    /// Makes every token of a purpose worthless; says whether there was one.
    pub(crate) fn withdraw(&mut self, purpose: Purpose) -> bool {
        let same = self.mails.iter_mut().filter(|mail| mail.purpose == purpose);
        same.filter_map(|mail| mail.hash.take()).count() > 0
    }
}

impl Mail {
    fn is_recent(&self, now: Time) -> bool {
        now < self.at.plus_millis(LIFETIME)
    }

    fn is_good(&self, now: Time) -> bool {
        self.at <= now && self.is_recent(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Purpose::{ResetPassword, VerifyEmail};

    const NOW: Time = Time::from_millis(1_700_000_000_000);

    fn issued(purpose: Purpose) -> (Mailed, MailToken) {
        let mut mailed = Mailed::nothing(UserId::new(NOW));
        let token = mailed.issue(NOW, purpose, "first").unwrap();
        (mailed, token)
    }

    #[test]
    fn a_token_is_good_once_for_its_purpose_and_for_an_hour() {
        let check = |millis: i64, purpose: Purpose, good: bool| {
            let (mut mailed, token) = issued(ResetPassword);
            let now = NOW.plus_millis(millis);
            assert_eq!(mailed.spend(now, purpose, &token).is_ok(), good, "{millis} {purpose:?}");
            assert!(mailed.spend(now, ResetPassword, &token).is_err() || !good);
        };
        check(0, ResetPassword, true);
        check(Time::HOUR - 1, ResetPassword, true);
        check(Time::HOUR, ResetPassword, false);
        check(0, VerifyEmail, false);
    }

    #[test]
    fn using_one_ends_the_others_of_its_purpose() {
        let (mut mailed, first) = issued(ResetPassword);
        let second = mailed.issue(NOW, ResetPassword, "second").unwrap();
        let verify = mailed.issue(NOW, VerifyEmail, "third").unwrap();
        mailed.spend(NOW, ResetPassword, &second).unwrap();
        assert!(mailed.spend(NOW, ResetPassword, &first).is_err());
        assert!(mailed.spend(NOW, VerifyEmail, &verify).is_ok());
    }

    #[test]
    fn five_mails_an_hour_are_enough_and_a_repeated_request_gets_no_second_one() {
        let (mut mailed, _) = issued(ResetPassword);
        assert!(mailed.issue(NOW, ResetPassword, "first").is_none());
        for request in 1..MOST {
            assert!(mailed.issue(NOW, ResetPassword, &request.to_string()).is_some());
        }
        assert!(
            mailed
                .issue(NOW.plus_millis(Time::HOUR - 1), ResetPassword, "more")
                .is_none()
        );
        assert!(mailed.issue(NOW, VerifyEmail, "another purpose").is_some());
        // Spent ones count too.
        mailed.withdraw(ResetPassword);
        assert!(mailed.issue(NOW, ResetPassword, "more").is_none());
        assert!(
            mailed
                .issue(NOW.plus_millis(Time::HOUR), ResetPassword, "more")
                .is_some()
        );
        assert_eq!(mailed.mails.len(), 1);
    }

    #[test]
    fn another_persons_token_is_none() {
        let (mut mailed, _) = issued(ResetPassword);
        let (_, theirs) = issued(ResetPassword);
        assert!(mailed.spend(NOW, ResetPassword, &theirs).is_err());
        assert!(!format!("{mailed:?}").contains(&theirs.reveal()));
        assert!(MailToken::parse(&theirs.reveal()).is_ok_and(|token| token == theirs));
        assert!(MailToken::parse("mt_").is_err());
    }
}
