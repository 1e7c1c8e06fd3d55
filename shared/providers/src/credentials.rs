//! Which provider, and what opens an account there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A payment provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PaymentProvider)]
pub enum Provider {
    /// Stripe: Checkout by redirect.
    Stripe,
    /// Razorpay: Payment Links.
    Razorpay,
    /// Cashfree: Payment Links.
    Cashfree,
}

impl Provider {
    /// All.
    pub const ALL: [Self; 3] = [Self::Stripe, Self::Razorpay, Self::Cashfree];

    /// As it is written in JSON and addresses: never changed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Razorpay => "razorpay",
            Self::Cashfree => "cashfree",
        }
    }

    /// As people write it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Stripe => "Stripe",
            Self::Razorpay => "Razorpay",
            Self::Cashfree => "Cashfree",
        }
    }

    /// Whether it wants the phone number of whoever pays.
    pub const fn needs_phone(self) -> bool {
        matches!(self, Self::Cashfree)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// It names no provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be stripe, razorpay or cashfree")]
pub struct NotAProvider;

impl FromStr for Provider {
    type Err = NotAProvider;

    fn from_str(text: &str) -> Result<Self, NotAProvider> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.name() == text)
            .ok_or(NotAProvider)
    }
}

/// What opens an account at a provider. Stored sealed; never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Credentials {
    /// Of Stripe.
    Stripe {
        /// `sk_…`.
        secret_key: String,
        /// `whsec_…`, which signs as a whole.
        webhook_secret: String,
    },
    /// Of Razorpay.
    Razorpay {
        /// `rzp_…`.
        key_id: String,
        /// Of that key.
        key_secret: String,
        /// Another one: it signs webhooks.
        webhook_secret: String,
    },
    /// Of Cashfree.
    Cashfree {
        /// The app.
        client_id: String,
        /// Its secret, which signs webhooks too.
        client_secret: String,
    },
}

impl Credentials {
    /// Whose.
    pub const fn provider(&self) -> Provider {
        match self {
            Self::Stripe { .. } => Provider::Stripe,
            Self::Razorpay { .. } => Provider::Razorpay,
            Self::Cashfree { .. } => Provider::Cashfree,
        }
    }

    /// What signs its events.
    pub(crate) fn webhook_secret(&self) -> &str {
        match self {
            Self::Stripe { webhook_secret, .. } | Self::Razorpay { webhook_secret, .. } => webhook_secret,
            Self::Cashfree { client_secret, .. } => client_secret,
        }
    }

    /// All that nobody may read.
    pub(crate) fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Stripe {
                secret_key,
                webhook_secret,
            } => vec![secret_key, webhook_secret],
            Self::Razorpay {
                key_secret,
                webhook_secret,
                ..
            } => vec![key_secret, webhook_secret],
            Self::Cashfree { client_secret, .. } => vec![client_secret],
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.provider()).finish()
    }
}
