//! One thing that one person is told. Pure.

pub(crate) mod store;

pub use store::forget;

use kernel::{NotificationId, OrgId, Time, UserId};
use notifications::Topic;
use serde::{Deserialize, Serialize};

/// How long an item is kept.
const KEPT: i64 = 90 * Time::DAY;

/// What one person is told of one thing that happened in an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Its id.
    pub id: NotificationId,
    /// In which organization.
    pub org: OrgId,
    /// Whom.
    pub user: UserId,
    /// What it is about.
    pub topic: Topic,
    /// In a few words.
    pub title: String,
    /// In a sentence or two.
    pub body: String,
    /// When they read it.
    pub read_at: Option<Time>,
    #[serde(default)]
    version: u64,
}

impl Item {
    /// What somebody is told; it is seen from the time of its id on.
    pub(crate) fn new(id: NotificationId, org: OrgId, user: UserId, topic: Topic, title: &str, body: &str) -> Self {
        Self {
            id,
            org,
            user,
            topic,
            title: title.to_owned(),
            body: body.to_owned(),
            read_at: None,
            version: 0,
        }
    }
}

/// An item, as it is shown.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Notification)]
pub struct ItemView {
    /// Its id.
    pub id: NotificationId,
    /// What it is about.
    pub topic: Topic,
    /// In a few words. Text, not markup: whatever shows it escapes it.
    #[schema(example = "Invoice INV-2027-0001 was paid")]
    pub title: String,
    /// In a sentence or two. Text, as the title.
    #[schema(example = "Acme paid EUR 119.00.")]
    pub body: String,
    /// When it happened, or when the digest came that it was in.
    pub created_at: Time,
    /// When it was read; null if it was not.
    #[schema(required)]
    pub read_at: Option<Time>,
}

impl From<Item> for ItemView {
    fn from(item: Item) -> Self {
        Self {
            id: item.id,
            topic: item.topic,
            title: item.title,
            body: item.body,
            created_at: item.id.time(),
            read_at: item.read_at,
        }
    }
}
