//! One event: what a client sends, the rules it must keep, and what is shown of it.

use kernel::{Check, EventId, Input, Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One event is at most this long as JSON.
pub const LONGEST_EVENT: usize = 64 * 1024;
/// An event may claim to occur this much later than it arrives.
const AHEAD: i64 = 5 * Time::MINUTE;
/// An event may arrive this much later than it occurred.
pub(crate) const LATE: i64 = 400 * Time::DAY;
/// The type that counts as an error.
pub const ERROR: &str = "ERROR";

/// An event as a client sends it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewEvent {
    /// Your own id, 1 to 200 characters; the same id within 24 hours counts once.
    #[schema(min_length = 1, max_length = 200, example = "order-4711-failed")]
    pub id: Option<String>,
    /// `ERROR`, `REQUEST`, `CUSTOM` or a type of your own: 1 to 64 letters, digits, `_`, `.` or `-`.
    #[schema(pattern = "^[A-Za-z0-9_.-]{1,64}$", example = "ERROR")]
    pub r#type: String,
    /// What happened, 1 to 1,000 characters.
    #[schema(min_length = 1, max_length = 1000, example = "payment_failed")]
    pub name: String,
    /// Who it happened to, 1 to 200 characters; an id of yours, ideally not personal data.
    #[schema(min_length = 1, max_length = 200, example = "user-42")]
    pub user_id: Option<String>,
    /// Any JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    pub payload: Option<Box<RawValue>>,
    /// Any JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    pub metadata: Option<Box<RawValue>>,
    /// When it happened: at most 5 minutes ahead and 400 days back; the time of arrival if absent.
    pub occurred_at: Option<Time>,
}

impl Input for NewEvent {
    fn check(&self, check: &mut Check) {
        let kind = &self.r#type;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let fits = (1..=64).contains(&kind.len()) && kind.chars().all(plain);
        check.that(fits, "type", "must be 1 to 64 letters, digits, `_`, `.` or `-`");
        check.text("name", &self.name, 1..=1_000);
        if let Some(id) = &self.id {
            check.text("id", id, 1..=200);
        }
        if let Some(user) = &self.user_id {
            check.text("userId", user, 1..=200);
        }
    }
}

impl NewEvent {
    /// Whether the event may have occurred when it says, seen from its arrival.
    pub fn check_time(&self, check: &mut Check, received_at: Time) {
        let Some(at) = self.occurred_at else { return };
        check.that(
            at <= received_at.plus_millis(AHEAD),
            "occurredAt",
            "must not be more than 5 minutes ahead",
        );
        check.that(
            at >= received_at.plus_millis(-LATE),
            "occurredAt",
            "must not be more than 400 days back",
        );
    }

    /// The event as it is kept.
    pub fn accept(self, received_at: Time) -> Event {
        let text = |json: Box<RawValue>| Some(String::from(Box::<str>::from(json))).filter(|text| text != "null");
        Event {
            kind: self.r#type,
            name: self.name,
            user_id: self.user_id,
            payload: self.payload.and_then(text),
            metadata: self.metadata.and_then(text),
            occurred_at_ms: self.occurred_at.unwrap_or(received_at).millis(),
            client_id: self.id,
        }
    }
}

/// An event as it is kept in a chunk. The order of its fields is its stored form; new ones come last, with a new
/// version of the chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its type.
    pub kind: String,
    /// What happened.
    pub name: String,
    /// Who it happened to.
    pub user_id: Option<String>,
    /// JSON.
    pub payload: Option<String>,
    /// JSON.
    pub metadata: Option<String>,
    /// When it happened, in milliseconds since the epoch.
    pub occurred_at_ms: i64,
    /// The client's id of it.
    pub client_id: Option<String>,
}

impl Event {
    /// When it happened.
    pub fn occurred_at(&self) -> Time {
        Time::from_millis(self.occurred_at_ms)
    }

    /// The day (UTC) it happened on, counted from the epoch.
    pub fn day(&self) -> i64 {
        self.occurred_at_ms.div_euclid(Time::DAY)
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.kind == ERROR
    }
}

/// An event as it is shown.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Its id here.
    #[schema(value_type = EventId)]
    pub id: EventId,
    /// The id that the client gave it.
    #[schema(required)]
    pub client_id: Option<String>,
    /// Its type.
    pub r#type: String,
    /// What happened.
    pub name: String,
    /// Who it happened to.
    #[schema(required)]
    pub user_id: Option<String>,
    /// What the client sent.
    #[schema(required, value_type = Option<serde_json::Value>)]
    pub payload: Option<Box<RawValue>>,
    /// What the client sent.
    #[schema(required, value_type = Option<serde_json::Value>)]
    pub metadata: Option<Box<RawValue>>,
    /// When it happened.
    pub occurred_at: Time,
}

impl EventView {
    pub(crate) fn new(id: EventId, event: Event) -> Self {
        let json = |text: String| RawValue::from_string(text).ok();
        Self {
            id,
            client_id: event.client_id.clone(),
            occurred_at: event.occurred_at(),
            r#type: event.kind,
            name: event.name,
            user_id: event.user_id,
            payload: event.payload.and_then(json),
            metadata: event.metadata.and_then(json),
        }
    }
}
