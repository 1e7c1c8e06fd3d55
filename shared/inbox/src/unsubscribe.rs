//! Links that turn mail about one topic off, for one person in one organization (RFC 8058): signed, for whoever reads a mail has
//! no login at hand; good for 180 days, and for nothing else.

use app::App;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{Member, Org};
use kernel::policy::{ReadMembers, ReadOrg};
use kernel::seal::{Keyring, Purpose};
use kernel::{Error, OrgId, Origin, Result, Scope, Time, UserId};
use notifications::Topic;
use notifications::mails::Unsubscribe;

use crate::preferences::Preferences;

/// What is sealed in a link.
const UNSUBSCRIBE: Purpose = Purpose::named("unsubscribe");
/// The first version of what is sealed.
const V1: &str = "1";
/// How long a link is good.
const GOOD: i64 = 180 * Time::DAY;
/// No token is longer.
const LONGEST: usize = 300;
/// Two ids, a time and a topic.
const LENGTH: usize = 16 + 16 + 8;

/// Whose mail about what a link turns off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// In which organization.
    pub org: OrgId,
    /// Whose.
    pub user: UserId,
    /// About what.
    pub topic: Topic,
    /// When the mail went out that has it.
    pub made_at: Time,
}

impl Link {
    /// The end of the link: letters, digits, `-` and `_`.
    pub fn token(&self, keys: &Keyring) -> String {
        let mut plain = Vec::with_capacity(LENGTH + self.topic.name().len());
        plain.extend(self.org.bits().to_be_bytes());
        plain.extend(self.user.bits().to_be_bytes());
        plain.extend(self.made_at.millis().to_be_bytes());
        plain.extend(self.topic.name().bytes());
        URL_SAFE_NO_PAD.encode(keys.seal(UNSUBSCRIBE, V1, &plain))
    }

    /// What a token is for; nothing if it is none of ours, or was good until a while ago.
    pub fn of(keys: &Keyring, token: &str, now: Time) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(token).ok().filter(|_| token.len() <= LONGEST)?;
        let plain = keys.open(UNSUBSCRIBE, V1, &sealed)?;
        let (org, rest) = plain.split_first_chunk()?;
        let (user, rest) = rest.split_first_chunk()?;
        let (made_at, topic) = rest.split_first_chunk()?;
        let link = Self {
            org: OrgId::from_bits(u128::from_be_bytes(*org)),
            user: UserId::from_bits(u128::from_be_bytes(*user)),
            made_at: Time::from_millis(i64::from_be_bytes(*made_at)),
            topic: Topic::named(std::str::from_utf8(topic).ok()?)?,
        };
        (now < link.made_at.plus_millis(GOOD)).then_some(link)
    }

    /// The link, below where we are reached; nothing if that is no place that mail programs go to.
    pub fn url(&self, keys: &Keyring, public_url: &str) -> Option<Unsubscribe> {
        let url = format!(
            "{}/v1/unsubscribe/{}",
            public_url.trim_end_matches('/'),
            self.token(keys)
        );
        url.try_into().ok()
    }

    /// What the organization is called; nothing if it is gone, or they have left it.
    pub async fn organization(&self, app: &App) -> Result<Option<String>> {
        let found = async {
            let org = Org::load(&app.table, &Scope::<ReadOrg>::system(self.org)).await?;
            Member::load(&app.table, &Scope::<ReadMembers>::system(self.org), self.user).await?;
            Ok(org.name)
        };
        match found.await {
            Ok(name) => Ok(Some(name)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Turns the mail off. Nothing happens if it is, or if they have left: nobody mails them then.
    pub async fn follow(&self, app: &App, origin: &Origin) -> Result<()> {
        if self.organization(app).await?.is_none() {
            return Ok(());
        }
        Preferences::unsubscribe(app, origin, self.org, self.user, self.topic).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> Keyring {
        format!("1:{:064x}", 1).parse().unwrap()
    }

    fn link() -> Link {
        Link {
            org: OrgId::from_bits(1),
            user: UserId::from_bits(2),
            topic: Topic::Conversions,
            made_at: Time::from_millis(1_800_000_000_000),
        }
    }

    #[test]
    fn a_token_is_short_and_good_for_180_days() {
        let (keys, link) = (keys(), link());
        let token = link.token(&keys);
        assert!(token.len() <= 150, "{token}");
        let last = link.made_at.plus_millis(180 * Time::DAY - 1);
        assert_eq!(Link::of(&keys, &token, last), Some(link));
        assert_eq!(Link::of(&keys, &token, last.plus_millis(1)), None);
        let other = format!("1:{:064x}", 2).parse().unwrap();
        assert_eq!(Link::of(&other, &token, link.made_at), None);
        let url = link.url(&keys, "https://api.example.com/").unwrap().to_string();
        assert!(url.starts_with("https://api.example.com/v1/unsubscribe/"));
        assert_eq!(link.url(&keys, "ftp://api.example.com"), None);
    }

    proptest! {
        #[test]
        fn nobody_else_makes_a_token(place in 0_usize..90, change in 1_u8..64, text in ".{0,400}") {
            let (keys, link) = (keys(), link());
            let mut token = link.token(&keys).into_bytes();
            let place = place % token.len();
            token[place] ^= change;
            if let Ok(token) = String::from_utf8(token) {
                prop_assert_eq!(Link::of(&keys, &token, link.made_at), None);
            }
            prop_assert_eq!(Link::of(&keys, &text, link.made_at), None);
        }
    }
}
