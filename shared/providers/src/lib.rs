//! Payment providers, spoken to over their own HTTP: Stripe, Razorpay, Cashfree. One interface, three adapters. It knows
//! neither what is paid nor what is stored; all money is in ISO 4217 minor units here and on no other side of it.
//!
//! A [`Checkout`] becomes a [`Session`], a page at the provider where a person pays once. Its id at the provider follows
//! from our payment's id, so that opening it twice opens one; the same holds for a refund. What became of it is looked
//! at ([`Providers::look`]), never believed from an event: an [`Event`] only says where to look.

mod call;
mod cashfree;
mod checkout;
mod credentials;
mod event;
mod failure;
mod razorpay;
mod scale;
mod seen;
mod signature;
mod stripe;
mod wire;

pub use checkout::{Checkout, Closed, Customer, Refunding, Session, Sought};
pub use credentials::{Credentials, Provider};
pub use event::{About, Event, Rejected};
pub use failure::Failure;
pub use scale::NotChargeable;
pub use seen::{
    Charge, ChargeState, Dispute, DisputeState, Listed, RefundState, Seen, SeenRefund, SessionState, Undelivered,
};

use kernel::{Money, PaymentId, Time};
use outbound::Client;
use outbound::header::HeaderMap;

/// The providers, as this process calls them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Providers {
    client: Client,
    bases: Bases,
}

/// Where each provider listens, without a slash at the end.
#[derive(Clone, Debug)]
pub struct Bases {
    /// Without `/v1`.
    pub stripe: String,
    /// Without `/v1`.
    pub razorpay: String,
    /// With `/pg`.
    pub cashfree: String,
}

impl Providers {
    /// Calls the providers at these addresses.
    pub fn new(client: Client, bases: Bases) -> Self {
        Self { client, bases }
    }

    /// Whether a provider can charge exactly so much.
    pub fn chargeable(provider: Provider, money: Money) -> Result<(), NotChargeable> {
        scale::charged(provider, money).map(drop)
    }

    /// Whether a provider can give back exactly so much, which may be less than what it charges.
    pub fn refundable(provider: Provider, money: Money) -> Result<(), NotChargeable> {
        scale::units(provider, money).map(drop)
    }

    /// Opens a session, or finds the one that was opened for this payment already. What was found may be over: look.
    pub async fn open(&self, account: &Credentials, checkout: &Checkout) -> Result<Session, Failure> {
        match self.account(account)? {
            Account::Stripe(stripe) => stripe.open(checkout).await,
            Account::Razorpay(razorpay) => razorpay.open(checkout).await,
            Account::Cashfree(cashfree) => cashfree.open(checkout).await,
        }
    }

    /// Closes a session, so that nobody can pay there any more.
    pub async fn close(&self, account: &Credentials, session: &Sought) -> Result<Closed, Failure> {
        match self.account(account)? {
            Account::Stripe(stripe) => stripe.close(session).await,
            Account::Razorpay(razorpay) => razorpay.close(session).await,
            Account::Cashfree(cashfree) => cashfree.close(session).await,
        }
    }

    /// Looks at a session: its state, its charges, what was given back and what is contested. At Razorpay, a payment that
    /// is only authorized is captured by this.
    pub async fn look(&self, account: &Credentials, session: &Sought) -> Result<Seen, Failure> {
        match self.account(account)? {
            Account::Stripe(stripe) => stripe.look(session).await,
            Account::Razorpay(razorpay) => razorpay.look(session).await,
            Account::Cashfree(cashfree) => cashfree.look(session).await,
        }
    }

    /// Gives money back, once for each of our refunds however often it is asked.
    pub async fn refund(&self, account: &Credentials, refunding: &Refunding) -> Result<SeenRefund, Failure> {
        match self.account(account)? {
            Account::Stripe(stripe) => stripe.refund(refunding).await,
            Account::Razorpay(razorpay) => razorpay.refund(refunding).await,
            Account::Cashfree(cashfree) => cashfree.refund(refunding).await,
        }
    }

    /// Reads a page of what was charged in a time, `after` what [`Listed::next`] said. Cashfree lists nothing of that
    /// kind, so its page is empty: its payments are looked at one by one.
    pub async fn list(
        &self,
        account: &Credentials,
        from: Time,
        until: Time,
        after: Option<&str>,
    ) -> Result<Listed, Failure> {
        match self.account(account)? {
            Account::Stripe(stripe) => stripe.list(from, until, after).await,
            Account::Razorpay(razorpay) => razorpay.list(from, until, after).await,
            Account::Cashfree(_) => Ok(Listed {
                charges: Vec::new(),
                next: None,
            }),
        }
    }

    /// Reads a page of the events since a time that were not delivered, `after` what [`Undelivered::next`] said. Stripe alone
    /// lists them.
    pub async fn undelivered(
        &self,
        account: &Credentials,
        from: Time,
        after: Option<&str>,
    ) -> Result<Undelivered, Failure> {
        match self.account(account)? {
            Account::Stripe(stripe) => stripe.undelivered(from, after).await,
            Account::Razorpay(_) | Account::Cashfree(_) => Ok(Undelivered {
                events: Vec::new(),
                next: None,
            }),
        }
    }

    /// Finds the payment of ours that an event is about which names none: by the charge or the order that it names. Nothing
    /// if the provider does not know it, or says nothing of ours.
    pub async fn whose(&self, account: &Credentials, about: &About) -> Result<Option<PaymentId>, Failure> {
        if about.payment.is_some() {
            return Ok(about.payment);
        }
        match self.account(account)? {
            Account::Stripe(stripe) => stripe.whose(about).await,
            Account::Razorpay(razorpay) => razorpay.whose(about).await,
            Account::Cashfree(cashfree) => cashfree.whose(about).await,
        }
    }

    /// Verifies an event by any of an account's credentials (two are valid while they rotate) and reads it.
    pub fn verify(accounts: &[Credentials], headers: &HeaderMap, body: &[u8], now: Time) -> Result<Event, Rejected> {
        let Some(first) = accounts.first() else {
            return Err(Rejected::Signature);
        };
        let same = accounts.iter().filter(|account| account.provider() == first.provider());
        let secrets: Vec<&str> = same
            .map(Credentials::webhook_secret)
            .filter(|secret| !secret.is_empty())
            .collect();
        match first.provider() {
            Provider::Stripe => stripe::verify(&secrets, headers, body, now),
            Provider::Razorpay => razorpay::verify(&secrets, headers, body),
            Provider::Cashfree => cashfree::verify(&secrets, headers, body),
        }
    }

    fn account<'a>(&'a self, account: &'a Credentials) -> Result<Account<'a>, Failure> {
        let (client, bases) = (&self.client, &self.bases);
        Ok(match account {
            Credentials::Stripe { secret_key, .. } => {
                Account::Stripe(stripe::Stripe::new(client, &bases.stripe, account, secret_key)?)
            }
            Credentials::Razorpay { key_id, key_secret, .. } => {
                let base = &bases.razorpay;
                Account::Razorpay(razorpay::Razorpay::new(client, base, account, key_id, key_secret)?)
            }
            Credentials::Cashfree {
                client_id,
                client_secret,
            } => {
                let base = &bases.cashfree;
                Account::Cashfree(cashfree::Cashfree::new(
                    client,
                    base,
                    account,
                    client_id,
                    client_secret,
                )?)
            }
        })
    }
}

/// An account, and how its provider is spoken to.
enum Account<'a> {
    Stripe(stripe::Stripe<'a>),
    Razorpay(razorpay::Razorpay<'a>),
    Cashfree(cashfree::Cashfree<'a>),
}

#[cfg(test)]
mod tests;
