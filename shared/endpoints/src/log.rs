//! The log of events, for those who would rather pull.

use app::App;
use kernel::policy::ReadWebhooks;
use kernel::{MessageId, Result, Scope, Time};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::events;

/// What happened less than this ago is not shown yet: it may still be joined by something older that is being committed. A call of
/// DynamoDB takes 12 s at most, with its repeats.
const SETTLES: i64 = 15 * Time::SECOND;

/// An event, as it is sent.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WebhookEvent)]
pub struct EventView {
    /// What it is known by: the header `webhook-id`.
    pub id: MessageId,
    /// Its name.
    #[serde(rename = "type")]
    #[schema(example = "invoice.paid")]
    pub kind: String,
    /// When it happened.
    pub timestamp: Time,
    /// What it happened to, as its GET showed it then.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
}

/// A page of the log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookEvents)]
pub struct EventPage {
    /// The events, the oldest first.
    pub data: Vec<EventView>,
    /// What to go on after; null when there is no more yet.
    #[schema(required)]
    pub next_cursor: Option<MessageId>,
}

/// Reads what happened in the scope's organization after a message, or in the last 30 days: at most `limit`, oldest first.
pub async fn read(app: &App, scope: &Scope<ReadWebhooks>, after: Option<MessageId>, limit: u16) -> Result<EventPage> {
    let before = app.now().plus_millis(-SETTLES);
    let page = outbox::store::log_after(&app.table, scope, after, before, limit).await?;
    let last = page.records.last().map(|fact| fact.id);
    let known = page
        .records
        .into_iter()
        .filter(|fact| events::named(&fact.fact).is_some());
    let data = known.filter_map(|fact| {
        Some(EventView {
            id: fact.id,
            timestamp: fact.at,
            data: RawValue::from_string(fact.data).ok()?,
            kind: fact.fact,
        })
    });
    Ok(EventPage {
        data: data.collect(),
        next_cursor: page.next.and(last),
    })
}
