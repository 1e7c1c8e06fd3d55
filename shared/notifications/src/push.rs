//! Web push: messages to browsers that people allowed it, by the push services of those who make the browsers.
//!
//! A message is encrypted for its browser (RFC 8291), so the push service reads nothing of it, and signed by our key (RFC
//! 8292), so nobody else can send to a subscription. Each is a job of its own for each browser. Sends nothing itself.

mod encryption;
mod message;
mod subscription;
mod vapid;

pub use encryption::{BrowserKeys, MOST_PLAIN};
pub use message::{PushMessage, PushNotice, Urgency, jobs_for};
pub use subscription::{NewSubscription, Subscription, SubscriptionView, Subscriptions};
pub use vapid::{PushKeys, Signer};

/// Names the parameter with the keys that sign what goes to push services.
pub const PUSH_KEYS: &str = "PUSH_KEYS_PARAMETER";
