//! Where payments are taken on this machine: at a double of the providers, or wherever variables of the environment say.
//!
//! Whoever sets a variable of a provider replaces the double for that provider, by all that the variables say of it: without
//! an address, that is the real one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use kernel::OrgId;
use payment_double::{Account, PaymentDouble, Provider};
use serde_json::{Value, json};
use stack::clock::Clock;

/// What organizations without accounts of their own are paid by.
const SHARED: &str = "PaymentAccountsShared";

/// A variable, the parameter of the template for it, and what that is at the double.
type Setting = (&'static str, &'static str, &'static str);

/// Those of each provider: where it is, then what logs in, at the end what signs.
const SETTINGS: [(Provider, &[Setting]); 3] = [
    (
        Provider::Stripe,
        &[
            ("STRIPE_BASE_URL", "StripeBaseUrl", ""),
            ("STRIPE_SECRET_KEY", "StripeSecretKey", "sk_test_double"),
            ("STRIPE_WEBHOOK_SECRET", "StripeWebhookSecret", "whsec_double_stripe"),
        ],
    ),
    (
        Provider::Razorpay,
        &[
            ("RAZORPAY_BASE_URL", "RazorpayBaseUrl", ""),
            ("RAZORPAY_KEY_ID", "RazorpayKeyId", "rzp_test_double"),
            ("RAZORPAY_KEY_SECRET", "RazorpayKeySecret", "double_razorpay_key"),
            (
                "RAZORPAY_WEBHOOK_SECRET",
                "RazorpayWebhookSecret",
                "double_razorpay_webhook",
            ),
        ],
    ),
    (
        Provider::Cashfree,
        &[
            ("CASHFREE_BASE_URL", "CashfreeBaseUrl", ""),
            ("CASHFREE_CLIENT_ID", "CashfreeClientId", "double_client"),
            (
                "CASHFREE_CLIENT_SECRET",
                "CashfreeClientSecret",
                "double_cashfree_secret",
            ),
        ],
    ),
];

/// What takes payments while the stack is up.
#[derive(Debug, Default)]
pub struct Payments {
    double: Option<PaymentDouble>,
    /// What the template is told.
    pub parameters: BTreeMap<String, String>,
    /// Hosts that functions have to reach, because variables name them.
    pub hosts: Vec<String>,
}

/// Where the double lives.
#[derive(Debug)]
pub struct At<'a> {
    /// What it knows, between one run and the next.
    pub file: PathBuf,
    /// The stack's time.
    pub clock: &'a Clock,
}

impl Payments {
    /// Starts the double for the providers that no variable replaces, if the template has parameters for them.
    pub async fn start(
        declared: &[String],
        variable: impl Fn(&str) -> Option<String>,
        api: &str,
        at: &At<'_>,
    ) -> Result<Self> {
        let mut payments = Self::default();
        if !declared.iter().any(|name| name == SHARED) {
            return Ok(payments);
        }
        payments.parameters.insert(SHARED.to_owned(), "true".to_owned());
        for (provider, settings) in SETTINGS {
            let given: Vec<(&str, String)> = settings
                .iter()
                .filter_map(|(name, parameter, _)| Some((*parameter, variable(name).filter(|it| !it.is_empty())?)))
                .collect();
            if given.is_empty() {
                payments.take_at_double(provider, settings, api, at).await?;
                continue;
            }
            for (parameter, value) in given {
                if parameter.ends_with("BaseUrl") {
                    payments.hosts.extend(host_of(&value));
                }
                payments.parameters.insert(parameter.to_owned(), value);
            }
        }
        Ok(payments)
    }

    async fn take_at_double(&mut self, provider: Provider, settings: &[Setting], api: &str, at: &At<'_>) -> Result<()> {
        if self.double.is_none() {
            let clock = at.clock.clone();
            let started = PaymentDouble::open(at.file.clone(), Arc::new(move || clock.now_ms())).await;
            self.double = Some(started.context("start the double of the payment providers")?);
        }
        let Some(double) = &self.double else { return Ok(()) };
        for (_, parameter, value) in settings {
            let value = if parameter.ends_with("BaseUrl") {
                double.base(provider)
            } else {
                (*value).to_owned()
            };
            self.parameters.insert((*parameter).to_owned(), value);
        }
        let (Some(key), Some(secret)) = (settings.get(1), settings.last()) else {
            return Ok(());
        };
        double.register(Account {
            provider,
            key: key.2.to_owned(),
            webhook_url: format!("{api}/v1/provider-webhooks/{}/{}", provider.name(), OrgId::PLATFORM),
            webhook_secret: secret.2.to_owned(),
        });
        Ok(())
    }

    /// Where the double is looked at and told what to do, if there is one.
    pub fn control(&self) -> Option<String> {
        self.double.as_ref().map(|double| format!("{}/_double", double.url()))
    }

    /// What a developer may ask at `/_local/payments`.
    pub fn told(&self) -> Option<Value> {
        Some(json!({"control": self.control()?, "parameters": self.parameters}))
    }
}

fn host_of(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    Some(url.host_str()?.trim_matches(['[', ']']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn start(given: &[(&str, &str)]) -> Payments {
        let given: BTreeMap<String, String> = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let variable = |name: &str| given.get(name).cloned();
        let declared = [SHARED.to_owned()];
        let folder = tempfile::tempdir().unwrap();
        let at = At {
            file: folder.path().join("payments.json"),
            clock: &Clock::system(),
        };
        Payments::start(&declared, variable, "http://127.0.0.1:3000", &at)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn without_variables_all_three_are_doubled() {
        let payments = start(&[]).await;
        let double = payments.control().unwrap().replace("/_double", "");
        for (parameter, path) in [
            ("StripeBaseUrl", "/stripe"),
            ("RazorpayBaseUrl", "/razorpay"),
            ("CashfreeBaseUrl", "/cashfree/pg"),
        ] {
            assert_eq!(payments.parameters[parameter], format!("{double}{path}"));
        }
        assert_eq!(payments.parameters.len(), 1 + 3 + 4 + 3);
        assert_eq!(payments.hosts, [""; 0]);
    }

    #[tokio::test]
    async fn a_variable_replaces_one_provider_and_its_host_may_be_called() {
        let payments = start(&[
            ("STRIPE_BASE_URL", "http://localhost:9000/stripe"),
            ("STRIPE_SECRET_KEY", "sk_test_mine"),
            ("RAZORPAY_KEY_ID", ""),
        ])
        .await;
        assert_eq!(payments.parameters["StripeBaseUrl"], "http://localhost:9000/stripe");
        assert_eq!(payments.parameters["StripeSecretKey"], "sk_test_mine");
        assert_eq!(payments.parameters.get("StripeWebhookSecret"), None);
        assert_eq!(payments.hosts, ["localhost"]);
        assert_eq!(payments.parameters["RazorpayKeyId"], "rzp_test_double");
        assert!(payments.control().is_some());
    }

    #[tokio::test]
    async fn without_need_there_is_no_double() {
        let payments = start(&[
            ("STRIPE_BASE_URL", "http://[::1]:9000"),
            ("RAZORPAY_BASE_URL", "http://127.0.0.1:9000"),
            ("CASHFREE_CLIENT_ID", "mine"),
        ])
        .await;
        assert_eq!((payments.control(), payments.told()), (None, None));
        assert_eq!(payments.hosts, ["::1", "127.0.0.1"]);
        let at = At {
            file: PathBuf::new(),
            clock: &Clock::system(),
        };
        let other = Payments::start(&[], |_| None, "http://127.0.0.1:3000", &at).await;
        let other = other.unwrap();
        assert!(other.control().is_none() && other.parameters.is_empty());
    }
}
