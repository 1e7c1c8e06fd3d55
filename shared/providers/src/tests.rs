//! The adapters against the double, and what providers send.

mod bytes;
mod life;
mod trouble;
mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kernel::{Minor, Money, PaymentId, RefundId, Time};
use outbound::{AllowList, Client};
use payment_double::{Act, PaymentDouble, Provider as There};

use crate::{Bases, Checkout, Credentials, Customer, Failure, Provider, Providers, Refunding, Session, Sought};

/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

/// The adapters, the double, and a clock.
struct World {
    double: PaymentDouble,
    providers: Providers,
    clock: Arc<AtomicI64>,
}

impl World {
    async fn start() -> Self {
        let clock = Arc::new(AtomicI64::new(NOW));
        let shown = Arc::clone(&clock);
        let double = PaymentDouble::start_at(0, Arc::new(move || shown.load(Ordering::Relaxed))).await;
        let double = double.unwrap();
        let bases = Bases {
            stripe: double.base(There::Stripe),
            razorpay: double.base(There::Razorpay),
            cashfree: double.base(There::Cashfree),
        };
        Self {
            providers: Providers::new(Client::new(AllowList::parse("127.0.0.1")), bases),
            double,
            clock,
        }
    }

    fn later(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    async fn open(&self, provider: Provider, checkout: &Checkout) -> Session {
        self.providers.open(&account(provider), checkout).await.unwrap()
    }

    fn act(&self, session: &Session, act: &Act) {
        self.double.act(&session.id, act).unwrap();
    }

    fn pay(&self, session: &Session) {
        let pay = Act::Pay {
            units: None,
            currency: None,
        };
        self.act(session, &pay);
    }

    /// The calls that did something, as `(path, key, hash of the body)`.
    fn posts(&self, path: &str) -> Vec<(String, Option<String>, String)> {
        let calls = self.double.calls();
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let posts = calls.as_array().unwrap().iter().filter(|call| call["method"] == "POST");
        let found = posts.map(|call| {
            (
                text(&call["path"]).unwrap(),
                text(&call["key"]),
                text(&call["sha256"]).unwrap(),
            )
        });
        found.filter(|(found, ..)| found.contains(path)).collect()
    }
}

fn account(provider: Provider) -> Credentials {
    match provider {
        Provider::Stripe => Credentials::Stripe {
            secret_key: "sk_test_secret".to_owned(),
            webhook_secret: "whsec_Y291bnRpbmdob3VzZQ".to_owned(),
        },
        Provider::Razorpay => Credentials::Razorpay {
            key_id: "rzp_test_key".to_owned(),
            key_secret: "rzp_key_secret".to_owned(),
            webhook_secret: "rzp_hook_secret".to_owned(),
        },
        Provider::Cashfree => Credentials::Cashfree {
            client_id: "cf_client".to_owned(),
            client_secret: "cf_client_secret".to_owned(),
        },
    }
}

fn there(provider: Provider) -> There {
    match provider {
        Provider::Stripe => There::Stripe,
        Provider::Razorpay => There::Razorpay,
        Provider::Cashfree => There::Cashfree,
    }
}

fn rupees(minor: i64) -> Money {
    Money::new(Minor::new(minor), "INR".parse().unwrap())
}

fn checkout() -> Checkout {
    Checkout {
        payment: PaymentId::new(Time::from_millis(NOW)),
        money: rupees(17_050),
        description: "Invoice INV-2027-0001 & what is \"in\" it".to_owned(),
        customer: Customer {
            id: "cli_1".to_owned(),
            name: "Zoë".to_owned(),
            email: "zoe@example.com".to_owned(),
            phone: Some("+919876543210".to_owned()),
        },
        return_url: "https://pay.example.com/pay/token?a=b&c=d".to_owned(),
        expires_at: Time::from_millis(NOW + 3 * HOUR),
    }
}

fn sought(checkout: &Checkout, session: &Session) -> Sought {
    Sought {
        payment: checkout.payment,
        session: session.id.clone(),
        charge: None,
        dispute: None,
    }
}

fn refunding(checkout: &Checkout, session: &Session, charge: &str, minor: i64) -> Refunding {
    Refunding {
        refund: RefundId::new(Time::from_millis(NOW)),
        payment: checkout.payment,
        session: session.id.clone(),
        charge: charge.to_owned(),
        money: Money::new(Minor::new(minor), checkout.money.currency),
    }
}

#[track_caller]
fn refused(failure: &Failure) -> &str {
    match failure {
        Failure::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    }
}
