//! Accounts at payment providers: whose money comes where. An organization has its own; the platform's come from the
//! template. What opens them is stored sealed, and never shown.

mod store;

use app::Env;
use kernel::check::{Check, Input};
use kernel::{OrgId, Result, Time};
use providers::{Credentials, Provider};
use serde::{Deserialize, Serialize};

pub(crate) use store::{Accounts, Opened};
pub use store::{configured, forget, list, set};

/// After new credentials are set, events that are signed with the old ones are still taken: longer than providers send an
/// event again (Stripe three days, Razorpay one, Cashfree 42 minutes).
const OLD_LIVES: i64 = 4 * Time::DAY;
/// Keys and secrets are this long at most.
const LONGEST: usize = 500;

/// An organization's account at a provider, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    org: OrgId,
    provider: Provider,
    /// The credentials, sealed.
    sealed: Vec<u8>,
    /// The ones before, sealed.
    previous: Option<Vec<u8>>,
    /// Until when the ones before still verify events.
    previous_until: Option<Time>,
    /// When they were set.
    set_at: Time,
    #[serde(default)]
    version: u64,
}

/// An account as replies show it: never what opens it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PaymentProviderAccount)]
pub struct AccountView {
    /// Where.
    pub provider: Provider,
    /// Whether the organization can be paid by it.
    pub configured: bool,
    /// When the organization's own credentials were set; null if it has none.
    #[schema(required)]
    pub set_at: Option<Time>,
    /// Until when events are taken that are signed with the credentials before; null if there are none.
    #[schema(required)]
    pub previous_expires_at: Option<Time>,
    /// Where the provider is to send its events.
    #[schema(example = "https://api.example.com/v1/provider-webhooks/stripe/org_06bhkz8n7m1j3v0q5r2t4w6y8a")]
    pub webhook_url: String,
}

/// What opens an account, as a request says it: Stripe wants `secretKey` and `webhookSecret`; Razorpay `keyId`, `keySecret` and
/// `webhookSecret`; Cashfree `clientId` and `clientSecret`. Each has 1 to 500 visible ASCII characters.
#[derive(Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PaymentProviderKeys)]
pub struct Keys {
    /// Of Stripe: `sk_…` or `rk_…`.
    #[schema(nullable = false)]
    pub secret_key: Option<String>,
    /// Of Stripe: `whsec_…` of the webhook endpoint. Of Razorpay: what was typed in when the webhook was made.
    #[schema(nullable = false)]
    pub webhook_secret: Option<String>,
    /// Of Razorpay: `rzp_…`.
    #[schema(nullable = false)]
    pub key_id: Option<String>,
    /// Of Razorpay.
    #[schema(nullable = false)]
    pub key_secret: Option<String>,
    /// Of Cashfree: the app.
    #[schema(nullable = false)]
    pub client_id: Option<String>,
    /// Of Cashfree: its secret, which signs events too.
    #[schema(nullable = false)]
    pub client_secret: Option<String>,
}

impl Input for Keys {
    /// What is right depends on the provider: [`Keys::of`] says.
    fn check(&self, _: &mut Check) {}
}

impl Keys {
    /// The credentials of a provider; `Invalid` for each that is missing, malformed or another provider's.
    pub fn of(mut self, provider: Provider) -> Result<Credentials> {
        let mut check = Check::default();
        let title = provider.title();
        let mut take = |name: &str, field: &mut Option<String>| {
            let value = field.take();
            check.that(value.is_some(), name, format!("is missing; {title} wants it"));
            let fits = value.as_deref().is_none_or(fits_a_header);
            let rule = format!("must have 1 to {LONGEST} characters, visible ASCII without spaces");
            check.that(fits, name, rule);
            value.unwrap_or_default()
        };
        let credentials = match provider {
            Provider::Stripe => Credentials::Stripe {
                secret_key: take("secretKey", &mut self.secret_key),
                webhook_secret: take("webhookSecret", &mut self.webhook_secret),
            },
            Provider::Razorpay => Credentials::Razorpay {
                key_id: take("keyId", &mut self.key_id),
                key_secret: take("keySecret", &mut self.key_secret),
                webhook_secret: take("webhookSecret", &mut self.webhook_secret),
            },
            Provider::Cashfree => Credentials::Cashfree {
                client_id: take("clientId", &mut self.client_id),
                client_secret: take("clientSecret", &mut self.client_secret),
            },
        };
        // What was not taken is another provider's.
        for (name, left) in [
            ("secretKey", &self.secret_key),
            ("webhookSecret", &self.webhook_secret),
            ("keyId", &self.key_id),
            ("keySecret", &self.key_secret),
            ("clientId", &self.client_id),
            ("clientSecret", &self.client_secret),
        ] {
            check.that(left.is_none(), name, format!("is nothing that {title} has"));
        }
        check.done()?;
        Ok(credentials)
    }
}

fn fits_a_header(value: &str) -> bool {
    (1..=LONGEST).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The accounts that the environment names: the platform's. Where `PAYMENT_ACCOUNTS_SHARED` says so, as the local stack
/// does, everybody is paid by them who has none of their own.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    accounts: Vec<Credentials>,
    pub(crate) are_shared: bool,
}

impl Defaults {
    /// Those of the environment.
    pub(crate) fn of(env: &Env) -> Self {
        let variable = |name| env.optional(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let stripe = || {
            Some(Credentials::Stripe {
                secret_key: variable("STRIPE_SECRET_KEY")?,
                webhook_secret: variable("STRIPE_WEBHOOK_SECRET")?,
            })
        };
        let razorpay = || {
            Some(Credentials::Razorpay {
                key_id: variable("RAZORPAY_KEY_ID")?,
                key_secret: variable("RAZORPAY_KEY_SECRET")?,
                webhook_secret: variable("RAZORPAY_WEBHOOK_SECRET")?,
            })
        };
        let cashfree = || {
            Some(Credentials::Cashfree {
                client_id: variable("CASHFREE_CLIENT_ID")?,
                client_secret: variable("CASHFREE_CLIENT_SECRET")?,
            })
        };
        Self {
            accounts: [stripe(), razorpay(), cashfree()].into_iter().flatten().collect(),
            are_shared: env.optional("PAYMENT_ACCOUNTS_SHARED") == Some("true"),
        }
    }

    /// That at a provider, for an organization that has none of its own there.
    pub(crate) fn at(&self, org: OrgId, provider: Provider) -> Option<&Credentials> {
        let is_theirs = self.are_shared || org == OrgId::PLATFORM;
        let mut accounts = self.accounts.iter().filter(|_| is_theirs);
        accounts.find(|account| account.provider() == provider)
    }
}
