//! A session: a person on a device, and the family of refresh tokens that keeps it alive. Pure.
//!
//! Of a token only its SHA-256 is stored. Rotating one makes a random nonce, stored beside the spent token's hash, and
//! the successor's secret is HMAC-SHA-256 of the nonce under the old secret: so whoever holds the old token can be
//! given the same successor again for a moment (requests race, replies get lost), while nobody can make it from what is
//! stored. A spent token after that moment means that somebody copied it: the session ends.

mod store;

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Error, Result, SessionId, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::user::User;

pub(crate) use store::{end_by_token, key, must_be_current, own, rotate};

/// A session ends that long after its last refresh.
const LIFETIME: i64 = 7 * Time::DAY;
/// And that long after its person logged in, however often it is refreshed.
const LONGEST: i64 = 30 * Time::DAY;
/// How long the holder of a spent token is given its successor again.
const GRACE: i64 = 30 * Time::SECOND;
/// What a refresh token begins with.
const PREFIX: &str = "rt_";
/// 16 bytes of the person's id, 16 of the session's, 32 of the secret.
const TOKEN_BYTES: usize = 64;
/// A longer user agent is cut off.
const LONGEST_AGENT: usize = 256;

/// A refresh token: whose it is, of which session, and a secret of 256 bits.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// Whose.
    pub user: UserId,
    /// Of which session.
    pub session: SessionId,
    secret: [u8; 32],
}

impl RefreshToken {
    /// Reads a token; nothing if it was not made here.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(PREFIX)?;
        let mut bytes = [0; TOKEN_BYTES];
        if text.len() != TOKEN_BYTES.div_ceil(3) * 4 - 2
            || URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(TOKEN_BYTES)
        {
            return None;
        }
        let (ids, secret) = bytes.split_first_chunk::<32>()?;
        let (user, session) = ids.split_first_chunk::<16>()?;
        Some(Self {
            user: UserId::from_bits(u128::from_be_bytes(*user)),
            session: SessionId::from_bits(u128::from_be_bytes(session.try_into().ok()?)),
            secret: secret.try_into().ok()?,
        })
    }

    /// The token's text, for the reply and never for a log.
    pub fn reveal(&self) -> String {
        let ids = [self.user.bits().to_be_bytes(), self.session.bits().to_be_bytes()].concat();
        format!(
            "{PREFIX}{}",
            URL_SAFE_NO_PAD.encode([ids.as_slice(), &self.secret].concat())
        )
    }

    /// What is stored of it.
    fn hash(&self) -> String {
        hex::encode(digest(&SHA256, &self.secret))
    }

    /// The token that follows this one under `nonce`.
    fn successor(&self, nonce: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let tag = hmac::sign(&key, format!("successor\n{}\n{nonce}", self.session).as_bytes());
        Self {
            secret: tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes"),
            ..*self
        }
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshToken")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// From where someone logs in, for them to recognize later.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// The address, as the gateway saw it.
    pub ip_address: Option<IpAddr>,
    /// What the client says it is.
    pub user_agent: Option<String>,
}

/// A session that has not ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// When they logged in.
    pub created_at: Time,
    /// When it was refreshed last.
    pub last_used_at: Time,
    /// From which address they logged in.
    pub ip_address: Option<String>,
    /// With what they logged in.
    pub user_agent: Option<String>,
    /// The hash of the only refresh token that is not spent.
    current: String,
    /// When it ends by itself.
    pub until: Time,
    /// When it ends however often it is refreshed. Those that were opened before there was an end get one when they are
    /// refreshed next.
    #[serde(default)]
    ends_at: Option<Time>,
    /// When its person proved again that it is them; nothing if they did only by logging in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proved_again_at: Option<Time>,
    /// The person's `session_epoch` when it was opened or kept.
    #[serde(default)]
    epoch: u32,
    #[serde(default)]
    version: u64,
}

/// A refresh token that was used.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spent {
    user: UserId,
    session: SessionId,
    hash: String,
    /// With the token itself, makes its successor.
    nonce: String,
    at: Time,
}

/// What is to be done with a refresh token.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// It is the current one.
    Rotate,
    /// It was spent a moment ago: its successor is made with this nonce.
    Repeat(String),
    /// It was spent long ago.
    Reused,
    /// It never was one.
    Unknown,
}

impl Session {
    /// Opens a session, with its first token.
    pub(crate) fn open(now: Time, user: &User, device: Device) -> (Self, RefreshToken) {
        let token = RefreshToken {
            user: user.id,
            session: SessionId::new(now),
            secret: kernel::id::random(),
        };
        let agent = device
            .user_agent
            .map(|agent| agent.chars().take(LONGEST_AGENT).collect());
        let session = Self {
            id: token.session,
            user: user.id,
            created_at: now,
            last_used_at: now,
            ip_address: device.ip_address.map(|address| address.to_string()),
            user_agent: agent,
            current: token.hash(),
            until: now.plus_millis(LIFETIME),
            ends_at: Some(now.plus_millis(LONGEST)),
            proved_again_at: None,
            epoch: user.session_epoch,
            version: 0,
        };
        (session, token)
    }

    /// Whether it has neither ended by itself nor with all of its person's.
    pub fn is_live(&self, user: &User, now: Time) -> bool {
        self.lasts(now) && self.epoch == user.session_epoch
    }

    fn lasts(&self, now: Time) -> bool {
        now < self.until
    }

    /// Whether it lasts to its very end, beyond which nobody can refresh it.
    fn is_last(&self) -> bool {
        self.ends_at == Some(self.until)
    }

    /// Fails unless it is live. Who has its last token after its very end is told so: 401 `session_expired`.
    fn must_be_live(&self, user: &User, token: &RefreshToken, now: Time) -> Result<()> {
        if self.is_live(user, now) {
            return Ok(());
        }
        let came_to_its_end = self.is_last() && self.epoch == user.session_epoch && self.is_current(token);
        Err(if came_to_its_end {
            session_expired()
        } else {
            bad_refresh_token()
        })
    }

    /// When its person proved last that it is them.
    pub(crate) fn proved_at(&self) -> Time {
        self.proved_again_at.unwrap_or(self.created_at)
    }

    /// Notes that its person proved again that it is them.
    pub(crate) fn prove(&mut self, now: Time) {
        self.proved_again_at = Some(now);
    }

    /// Keeps it when its person's other sessions end.
    pub(crate) fn keep(&mut self, user: &User) {
        self.epoch = user.session_epoch;
    }

    fn is_current(&self, token: &RefreshToken) -> bool {
        verify_slices_are_equal(self.current.as_bytes(), token.hash().as_bytes()).is_ok()
    }

    /// Decides about a token, which was spent as `spent` says.
    fn turn(&self, token: &RefreshToken, spent: Option<&Spent>, now: Time) -> Turn {
        match spent {
            _ if self.is_current(token) => Turn::Rotate,
            Some(spent) if now.millis() - spent.at.millis() <= GRACE => Turn::Repeat(spent.nonce.clone()),
            Some(_) => Turn::Reused,
            None => Turn::Unknown,
        }
    }

    /// Spends the current token; returns its successor.
    fn rotate(&mut self, token: &RefreshToken, now: Time) -> (Spent, RefreshToken) {
        let nonce = hex::encode(kernel::id::random::<32>());
        let successor = token.successor(&nonce);
        let spent = Spent {
            user: self.user,
            session: self.id,
            hash: token.hash(),
            nonce,
            at: now,
        };
        self.current = successor.hash();
        self.last_used_at = now;
        let end = *self.ends_at.get_or_insert(now.plus_millis(LONGEST));
        self.until = now.plus_millis(LIFETIME).min(end);
        (spent, successor)
    }
}

pub(crate) fn bad_refresh_token() -> Error {
    Error::Unauthenticated {
        code: "bad_refresh_token",
        detail: "the refresh token is not good; log in again",
    }
}

fn refresh_reused() -> Error {
    Error::Unauthenticated {
        code: "refresh_reused",
        detail: "the refresh token was used before, so the session was ended; log in again",
    }
}

fn session_expired() -> Error {
    Error::Unauthenticated {
        code: "session_expired",
        detail: "a session lasts for 30 days at most; log in again",
    }
}

pub(crate) fn session_ended() -> Error {
    Error::Unauthenticated {
        code: "session_ended",
        detail: "the session of this access token has ended; log in again",
    }
}

/// A session, as lists show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// When they logged in.
    pub created_at: Time,
    /// When it was refreshed last.
    pub last_used_at: Time,
    /// From which address they logged in.
    #[schema(required)]
    pub ip_address: Option<String>,
    /// With what they logged in.
    #[schema(required)]
    pub user_agent: Option<String>,
    /// Whether it is the session that asks.
    pub current: bool,
}

impl SessionView {
    /// Shows a session to someone who asks in the session `asking`.
    pub fn of(session: Session, asking: Option<SessionId>) -> Self {
        let Session {
            id,
            created_at,
            last_used_at,
            ip_address,
            user_agent,
            ..
        } = session;
        Self {
            id,
            created_at,
            last_used_at,
            ip_address,
            user_agent,
            current: asking == Some(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_millis(1_700_000_000_000);

    fn person() -> User {
        User::new(NOW, "ada@example.com", "Ada", kernel::PlatformRole::User)
    }

    fn opened() -> (Session, RefreshToken) {
        Session::open(NOW, &person(), Device::default())
    }

    #[test]
    fn all_sessions_of_a_person_end_at_once_but_one_that_is_kept() {
        let mut user = person();
        let (mut session, _) = Session::open(NOW, &user, Device::default());
        assert!(session.is_live(&user, NOW));
        user.end_sessions();
        assert!(!session.is_live(&user, NOW));
        assert!(Session::open(NOW, &user, Device::default()).0.is_live(&user, NOW));
        session.keep(&user);
        assert!(session.is_live(&user, NOW) && !session.is_live(&user, NOW.plus_millis(LIFETIME)));
    }

    #[test]
    fn the_current_token_rotates_and_lives_a_week() {
        let (mut session, first) = opened();
        assert_eq!(session.turn(&first, None, NOW), Turn::Rotate);
        let later = NOW.plus_millis(Time::DAY);
        let (spent, second) = session.rotate(&first, later);
        assert_eq!(session.turn(&second, None, later), Turn::Rotate);
        assert_eq!(session.turn(&first, Some(&spent), later), Turn::Repeat(spent.nonce));
        assert!(session.lasts(later.plus_millis(7 * Time::DAY - 1)));
        assert!(!session.lasts(later.plus_millis(7 * Time::DAY)));
    }

    #[test]
    fn no_refresh_moves_a_session_past_its_end() {
        let (mut session, first) = opened();
        let late = NOW.plus_millis(LONGEST - 1);
        let (_, second) = session.rotate(&first, late);
        let end = NOW.plus_millis(LONGEST);
        assert_eq!((session.until, session.is_last()), (end, true));
        let (_, third) = session.rotate(&second, late);
        let refusal = |user: &User, token| match session.must_be_live(user, token, end) {
            Err(Error::Unauthenticated { code, .. }) => code,
            other => panic!("{other:?}"),
        };
        let mut user = person();
        session.must_be_live(&user, &third, late).unwrap();
        assert_eq!(refusal(&user, &third), "session_expired");
        assert_eq!(refusal(&user, &second), "bad_refresh_token");
        user.end_sessions();
        assert_eq!(refusal(&user, &third), "bad_refresh_token");
    }

    #[test]
    fn a_session_of_before_there_was_an_end_gets_one_with_its_next_refresh() {
        let (session, first) = opened();
        let mut stored = serde_json::to_value(&session).unwrap();
        stored.as_object_mut().unwrap().remove("endsAt").unwrap();
        let mut old: Session = serde_json::from_value(stored).unwrap();
        assert!(old.is_live(&person(), NOW) && !old.is_last());
        let later = NOW.plus_millis(6 * Time::DAY);
        old.rotate(&first, later);
        assert_eq!(old.ends_at, Some(later.plus_millis(LONGEST)));
        assert_eq!(old.until, later.plus_millis(LIFETIME));
    }

    #[test]
    fn a_spent_token_gives_the_same_successor_for_30_seconds() {
        let (mut session, first) = opened();
        let (spent, second) = session.rotate(&first, NOW);
        let turn = |seconds| session.turn(&first, Some(&spent), NOW.plus_seconds(seconds));
        assert_eq!(turn(30), Turn::Repeat(spent.nonce.clone()));
        assert_eq!(first.successor(&spent.nonce), second);
        assert_eq!(turn(31), Turn::Reused);
    }

    #[test]
    fn what_was_never_a_token_ends_nothing() {
        let (session, token) = opened();
        let stranger = RefreshToken {
            secret: [7; 32],
            ..token
        };
        assert_eq!(session.turn(&stranger, None, NOW), Turn::Unknown);
    }

    #[test]
    fn neither_a_token_nor_its_successor_can_be_made_from_what_is_stored() {
        let (mut session, first) = opened();
        let (spent, second) = session.rotate(&first, NOW);
        let stored = format!("{session:?}{spent:?}");
        for token in [&first, &second] {
            assert!(!stored.contains(&hex::encode(token.secret)) && !stored.contains(&token.reveal()));
        }
        assert_ne!(
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, first.hash().as_bytes()), b"").as_ref(),
            second.secret
        );
        assert!(!format!("{first:?}").contains(&hex::encode(first.secret)));
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same(user: u128, session: u128, secret: [u8; 32]) {
            let token = RefreshToken { user: UserId::from_bits(user), session: SessionId::from_bits(session), secret };
            prop_assert_eq!(RefreshToken::parse(&token.reveal()), Some(token));
        }

        #[test]
        fn no_other_text_is_a_token(text in "(rt_)?[a-zA-Z0-9_=.-]{0,120}") {
            if let Some(token) = RefreshToken::parse(&text) {
                prop_assert_eq!(token.reveal(), text);
            }
        }

        #[test]
        fn a_changed_token_is_another_or_none(secret: [u8; 32], place: prop::sample::Index, letter in "\\PC", cut: bool) {
            let (user, session) = (UserId::from_bits(1), SessionId::from_bits(2));
            let token = RefreshToken { user, session, secret };
            let mut text = token.reveal();
            let place = place.index(text.len());
            if cut { text.truncate(place) } else { text.replace_range(place..=place, &letter) }
            prop_assume!(text != token.reveal());
            if let Some(other) = RefreshToken::parse(&text) {
                prop_assert!(other != token && other.reveal() == text);
            }
        }
    }
}
