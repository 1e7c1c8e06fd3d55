//! Stripe: Checkout by redirect, refunds of payment intents, disputes. API version 2026-07-29.dahlia.
//!
//! Bodies are forms, and what is sent under an idempotency key follows from what is asked alone, so that it is the same
//! bytes whenever it is asked.

use kernel::{Currency, Money, PaymentId, Time};
use outbound::Client;
use outbound::header::HeaderName;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::call::{Caller, Content, no_money, not_chargeable, segment};
use crate::wire::{Notes, id, reference};
use crate::{
    About, Charge, ChargeState, Checkout, Closed, Credentials, Dispute, DisputeState, Failure, Listed, Provider,
    RefundState, Refunding, Seen, SeenRefund, Session, SessionState, Sought, Undelivered, scale,
};

mod event;

pub(crate) use event::verify;

const VERSION: &str = "2026-07-29.dahlia";
const HERE: Provider = Provider::Stripe;
/// A session can be paid for 30 minutes to 24 hours after Stripe makes it. Ours is counted from when our payment was made,
/// which is a little before.
const SHORTEST: i64 = 40 * Time::MINUTE;
const LONGEST: i64 = Time::DAY - 5 * Time::MINUTE;
/// The longest name of what is bought.
const LONGEST_NAME: usize = 250;
/// Pages of sessions that are read to find one, of a hundred each.
const MOST_PAGES: usize = 5;
/// How long before and after our payment was made its session is looked for.
const AROUND: i64 = 10 * Time::MINUTE;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
static STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");

pub(crate) struct Stripe<'a>(Caller<'a>);

/// So many keys are tried for one thing: each after the one before it was kept with a failure.
const MOST_KEYS: u32 = 3;

/// Something to be made once.
struct Ask {
    what: &'static str,
    path: &'static str,
    form: Content,
    /// The first of its keys.
    key: String,
}

/// A Checkout session, as far as we read it.
#[derive(Deserialize)]
struct CheckoutSession {
    #[serde(default, deserialize_with = "id")]
    id: Option<String>,
    url: Option<String>,
    status: Option<String>,
    payment_status: Option<String>,
    amount_total: Option<i64>,
    currency: Option<String>,
    #[serde(default, deserialize_with = "reference")]
    payment_intent: Option<String>,
    client_reference_id: Option<String>,
    #[serde(default)]
    metadata: Notes,
    expires_at: Option<i64>,
    created: Option<i64>,
}

#[derive(Deserialize)]
struct PaymentIntent {
    status: Option<String>,
    amount: Option<i64>,
    amount_received: Option<i64>,
    currency: Option<String>,
    last_payment_error: Option<PaymentError>,
}

#[derive(Deserialize)]
struct PaymentError {
    message: Option<String>,
    code: Option<String>,
}

#[derive(Deserialize)]
struct Refund {
    #[serde(default, deserialize_with = "id")]
    id: Option<String>,
    status: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    failure_reason: Option<String>,
    #[serde(default)]
    metadata: Notes,
}

#[derive(Deserialize)]
struct DisputeObject {
    #[serde(default, deserialize_with = "id")]
    id: Option<String>,
    status: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    #[serde(default)]
    has_more: bool,
}

/// Sessions that were made in a time, the newest first.
struct Sessions {
    data: Vec<CheckoutSession>,
    /// After which one the next page begins, if there is one.
    next: Option<String>,
}

impl<'a> Stripe<'a> {
    pub(crate) fn new(
        client: &'a Client,
        base: &'a str,
        account: &'a Credentials,
        secret_key: &str,
    ) -> Result<Self, Failure> {
        let caller = Caller::new(client, base, account)
            .with(STRIPE_VERSION.clone(), VERSION)?
            .authorized(&format!("Bearer {secret_key}"))?;
        Ok(Self(caller))
    }

    pub(crate) async fn open(&self, checkout: &Checkout) -> Result<Session, Failure> {
        let units = scale::charged(HERE, checkout.money).map_err(not_chargeable)?;
        let ask = Ask {
            what: "session",
            path: "/v1/checkout/sessions",
            form: form(checkout, units),
            key: checkout.payment.to_string(),
        };
        opened(self.make(ask, || self.find(checkout.payment)).await?)
    }

    /// Makes something once. Stripe keeps a 500 under the key, also if it made nothing, and says it again for a day. So where
    /// it says one, only a look tells whether it was made; and where it says one again and nothing was made, that key is
    /// of no use any more, and the next one is due, which is the same for whoever comes to this.
    async fn make<T: DeserializeOwned, L>(&self, ask: Ask, look: impl Fn() -> L) -> Result<T, Failure>
    where
        L: Future<Output = Result<Option<T>, Failure>>,
    {
        let mut last = None;
        for number in 1..=MOST_KEYS {
            let key = if number == 1 {
                ask.key.clone()
            } else {
                format!("{}_{number}", ask.key)
            };
            let key = Some((IDEMPOTENCY_KEY.clone(), key.as_str()));
            let made = self.0.post_once(ask.what, ask.path, ask.form.clone(), key).await;
            let (failure, is_replayed) = match made {
                Ok((Ok(made), _)) => return Ok(made),
                Ok((Err(failure @ Failure::Unanswered(_)), is_replayed)) => (failure, is_replayed),
                Err(failure @ Failure::Unanswered(_)) => (failure, false),
                Ok((Err(failure), _)) | Err(failure) => return Err(failure),
            };
            match look().await {
                Ok(Some(made)) => return Ok(made),
                Ok(None) => {}
                // Nobody knows still, and least of all that nothing was made.
                Err(_) => return Err(failure),
            }
            if !is_replayed {
                return Err(failure);
            }
            last = Some(failure);
        }
        Err(last.unwrap_or_else(|| Failure::Unanswered("Stripe fails each time".to_owned())))
    }

    /// Finds the session of a payment of ours among those that were made about then.
    async fn find(&self, payment: PaymentId) -> Result<Option<CheckoutSession>, Failure> {
        let (from, until) = (payment.time().plus_millis(-AROUND), payment.time().plus_millis(AROUND));
        let mut after = None;
        for _ in 0..MOST_PAGES {
            let page = self.sessions(from, until, after.as_deref()).await?;
            if let Some(found) = page.data.into_iter().find(|it| it.payment() == Some(payment)) {
                return Ok(Some(found));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(None)
    }

    async fn sessions(&self, from: Time, until: Time, after: Option<&str>) -> Result<Sessions, Failure> {
        let after = after.map_or_else(String::new, |after| format!("&starting_after={}", segment(after)));
        let (from, until) = (from.seconds(), until.seconds());
        let path = format!("/v1/checkout/sessions?created%5Bgte%5D={from}&created%5Blt%5D={until}&limit=100{after}");
        let page: Page<CheckoutSession> = self.0.get("session", &path).await?;
        let last = page.data.last().and_then(|session| session.id.clone());
        Ok(Sessions {
            next: last.filter(|_| page.has_more),
            data: page.data,
        })
    }

    pub(crate) async fn close(&self, sought: &Sought) -> Result<Closed, Failure> {
        let path = format!("/v1/checkout/sessions/{}/expire", segment(&sought.session));
        let refusal = match self
            .0
            .post::<CheckoutSession>("session", &path, Content::form(&[]), None)
            .await
        {
            Ok(session) => {
                return closed(&session).ok_or_else(|| Failure::Unanswered("Stripe left it open".to_owned()));
            }
            Err(failure @ Failure::Unknown(_)) => return Err(failure),
            Err(failure) => failure,
        };
        // It is not open any more, or nobody knows.
        let session = self.session(&sought.session).await?;
        closed(&session).ok_or(refusal)
    }

    async fn session(&self, id: &str) -> Result<CheckoutSession, Failure> {
        self.0
            .get("session", &format!("/v1/checkout/sessions/{}", segment(id)))
            .await
    }

    pub(crate) async fn look(&self, sought: &Sought) -> Result<Seen, Failure> {
        let session = self.session(&sought.session).await?;
        let state = match session.status.as_deref() {
            Some("complete") => SessionState::Used,
            Some("expired") => SessionState::Ended,
            _ => SessionState::Open,
        };
        let intent = match &session.payment_intent {
            Some(intent) => {
                let path = format!("/v1/payment_intents/{}", segment(intent));
                self.0.find::<PaymentIntent>("payment intent", &path).await?
            }
            None => None,
        };
        let Some(mut charge) = self.charge(&session, intent.as_ref())? else {
            return Ok(Seen {
                state,
                charges: Vec::new(),
            });
        };
        if charge.state == ChargeState::Succeeded {
            charge.refunds = self.refunds(&charge.id).await?;
            charge.disputes = self.disputes(&charge.id, sought).await?;
        }
        Ok(Seen {
            // Whoever paid has used it, whatever it says.
            state: if charge.state == ChargeState::Failed {
                state
            } else {
                SessionState::Used
            },
            charges: vec![charge],
        })
    }

    /// The one charge of a session, if anybody has tried. Whether it is paid, the session alone says.
    fn charge(&self, session: &CheckoutSession, intent: Option<&PaymentIntent>) -> Result<Option<Charge>, Failure> {
        let paid = session.payment_status.as_deref() == Some("paid");
        let complete = session.status.as_deref() == Some("complete");
        let status = intent.and_then(|intent| intent.status.as_deref());
        let error = intent.and_then(|intent| intent.last_payment_error.as_ref());
        let why = error.and_then(|error| error.message.as_deref().or(error.code.as_deref()));
        let why = why.map(|why| self.0.clean(why));
        let state = match status {
            _ if paid => ChargeState::Succeeded,
            Some("processing" | "requires_capture" | "succeeded") => ChargeState::Processing,
            Some("canceled") => ChargeState::Failed,
            Some("requires_payment_method") if why.is_some() || complete => ChargeState::Failed,
            // Somebody is at it, or has been: nothing is decided.
            Some(_) if complete => ChargeState::Processing,
            // On its way, as far as the session says.
            None if complete && session.payment_intent.is_some() => ChargeState::Processing,
            _ => return Ok(None),
        };
        let (amount, currency) = match intent {
            Some(intent) if paid => (intent.amount_received.or(session.amount_total), &intent.currency),
            Some(intent) => (intent.amount.or(session.amount_total), &intent.currency),
            None => (session.amount_total, &session.currency),
        };
        let currency = currency.as_deref().or(session.currency.as_deref());
        Ok(Some(Charge {
            id: session
                .payment_intent
                .clone()
                .or_else(|| session.id.clone())
                .unwrap_or_default(),
            state,
            money: money(amount, currency)?,
            why: why.filter(|_| state == ChargeState::Failed),
            refunds: Vec::new(),
            disputes: Vec::new(),
        }))
    }

    async fn refunds(&self, intent: &str) -> Result<Vec<SeenRefund>, Failure> {
        // Stripe lists the newest first.
        let listed = match self.listed(intent).await {
            Err(Failure::Unknown(_)) => Vec::new(),
            listed => listed?,
        };
        let listed = listed.into_iter().rev();
        listed.map(|refund| self.refund_of(refund)).collect()
    }

    /// The refunds of an intent, the newest first; `Unknown` from a server that lists none.
    async fn listed(&self, intent: &str) -> Result<Vec<Refund>, Failure> {
        let path = format!("/v1/refunds?payment_intent={}&limit=100", segment(intent));
        let page: Page<Refund> = self.0.get("refund", &path).await?;
        Ok(page.data)
    }

    fn refund_of(&self, refund: Refund) -> Result<SeenRefund, Failure> {
        Ok(SeenRefund {
            id: refund.id.unwrap_or_default(),
            ours: refund.metadata.read("refund"),
            state: match refund.status.as_deref() {
                Some("succeeded") => RefundState::Succeeded,
                Some("failed") => RefundState::Failed,
                Some("canceled") => RefundState::Cancelled,
                _ => RefundState::Pending,
            },
            money: money(refund.amount, refund.currency.as_deref())?,
            why: refund.failure_reason.map(|why| self.0.clean(&why)),
        })
    }

    async fn disputes(&self, intent: &str, sought: &Sought) -> Result<Vec<Dispute>, Failure> {
        let path = format!("/v1/disputes?payment_intent={}&limit=100", segment(intent));
        if let Some(page) = self.0.find::<Page<DisputeObject>>("dispute", &path).await? {
            return page.data.into_iter().rev().map(DisputeObject::read).collect();
        }
        let Some(named) = &sought.dispute else {
            return Ok(Vec::new());
        };
        let path = format!("/v1/disputes/{}", segment(&named.id));
        let found = self.0.find::<DisputeObject>("dispute", &path).await?;
        Ok(vec![match found {
            Some(found) => found.read()?,
            None => named.clone(),
        }])
    }

    pub(crate) async fn refund(&self, refunding: &Refunding) -> Result<SeenRefund, Failure> {
        let units = scale::units(HERE, refunding.money).map_err(not_chargeable)?;
        // Stripe forgets keys after a day, and may do so while a refund of ours waits to be asked for again.
        match self.ours(refunding).await {
            Ok(Some(made)) => return self.refund_of(made),
            Ok(None) | Err(Failure::Unknown(_)) => {}
            Err(failure) => return Err(failure),
        }
        let (refund, payment) = (refunding.refund.to_string(), refunding.payment.to_string());
        let amount = units.to_string();
        let form = Content::form(&[
            ("payment_intent", &refunding.charge),
            ("amount", &amount),
            ("metadata[refund]", &refund),
            ("metadata[payment]", &payment),
        ]);
        let ask = Ask {
            what: "payment",
            path: "/v1/refunds",
            form,
            key: refund,
        };
        self.refund_of(self.make(ask, || self.ours(refunding)).await?)
    }

    /// The refund that was made for ours, if it was.
    async fn ours(&self, refunding: &Refunding) -> Result<Option<Refund>, Failure> {
        let refunds = self.listed(&refunding.charge).await?;
        let ours = |made: &Refund| made.metadata.read("refund") == Some(refunding.refund);
        Ok(refunds.into_iter().find(ours))
    }

    pub(crate) async fn list(&self, from: Time, until: Time, after: Option<&str>) -> Result<Listed, Failure> {
        let page = self.sessions(from, until, after).await?;
        let mut charges = Vec::new();
        for session in page.data {
            if session.payment_status.as_deref() != Some("paid") {
                continue;
            }
            let at = Time::from_millis(session.created.unwrap_or(0).saturating_mul(Time::SECOND));
            let charge = match self.charge(&session, None) {
                // What others sell by this account may be in money that we do not know.
                Err(_) if session.payment().is_none() => continue,
                charge => charge?,
            };
            charges.extend(charge.map(|charge| (session.payment(), charge, at)));
        }
        Ok(Listed {
            charges,
            next: page.next,
        })
    }
}

impl Stripe<'_> {
    /// The events of payments since a time that some endpoint did not take; Stripe lists those of the last 30 days.
    pub(crate) async fn undelivered(&self, from: Time, after: Option<&str>) -> Result<Undelivered, Failure> {
        let after = after.map_or_else(String::new, |after| format!("&starting_after={}", segment(after)));
        let types = event::OF_PAYMENTS.map(|name| format!("&types%5B%5D={name}")).concat();
        let from = from.seconds();
        let path = format!("/v1/events?delivery_success=false&created%5Bgte%5D={from}&limit=100{types}{after}");
        let page: Page<event::Envelope> = self.0.get("event", &path).await?;
        let last = page.data.last().and_then(|event| event.id.clone());
        Ok(Undelivered {
            next: last.filter(|_| page.has_more),
            events: page.data.into_iter().filter_map(event::Envelope::read).collect(),
        })
    }

    /// The payment of ours that an intent is of.
    pub(crate) async fn whose(&self, about: &About) -> Result<Option<PaymentId>, Failure> {
        let Some(intent) = &about.charge else {
            return Ok(None);
        };
        let path = format!("/v1/checkout/sessions?payment_intent={}&limit=10", segment(intent));
        let page = self.0.seek::<Page<CheckoutSession>>("session", &path).await?;
        let mut sessions = page.into_iter().flat_map(|page| page.data);
        let mine = sessions.find(|session| session.payment_intent.as_ref() == Some(intent));
        Ok(mine.and_then(|session| session.payment()))
    }
}

impl CheckoutSession {
    /// Which payment of ours it is for.
    fn payment(&self) -> Option<PaymentId> {
        let named = self.client_reference_id.as_deref().and_then(|text| text.parse().ok());
        named.or_else(|| self.metadata.read("payment"))
    }
}

impl DisputeObject {
    fn read(self) -> Result<Dispute, Failure> {
        Ok(Dispute {
            id: self.id.unwrap_or_default(),
            state: dispute_state(self.status.as_deref()),
            money: money(self.amount, self.currency.as_deref())?,
        })
    }
}

fn dispute_state(status: Option<&str>) -> DisputeState {
    match status {
        Some("won") => DisputeState::Won,
        Some("lost") => DisputeState::Lost,
        Some("warning_closed" | "prevented") => DisputeState::Closed,
        _ => DisputeState::Open,
    }
}

/// What Stripe is asked for: the same for the same checkout, whenever it is asked.
fn form(checkout: &Checkout, units: i64) -> Content {
    let (payment, units) = (checkout.payment.to_string(), units.to_string());
    let currency = checkout.money.currency.code().to_ascii_lowercase();
    let made = checkout.payment.time();
    let expires_at = checkout
        .expires_at
        .clamp(made.plus_millis(SHORTEST), made.plus_millis(LONGEST));
    let expires_at = expires_at.seconds().to_string();
    let name: String = checkout.description.chars().take(LONGEST_NAME).collect();
    let name = if name.trim().is_empty() { "Payment" } else { &name };
    let mut fields = vec![
        ("mode", "payment"),
        ("client_reference_id", &payment),
        ("success_url", &checkout.return_url),
        ("cancel_url", &checkout.return_url),
        ("expires_at", &expires_at),
        // Else the amount may be in the currency of whoever pays.
        ("adaptive_pricing[enabled]", "false"),
        ("line_items[0][quantity]", "1"),
        ("line_items[0][price_data][currency]", &currency),
        ("line_items[0][price_data][unit_amount]", &units),
        ("line_items[0][price_data][product_data][name]", name),
        ("metadata[payment]", &payment),
        ("payment_intent_data[metadata][payment]", &payment),
    ];
    if !checkout.customer.email.is_empty() {
        fields.push(("customer_email", &checkout.customer.email));
    }
    Content::form(&fields)
}

fn opened(session: CheckoutSession) -> Result<Session, Failure> {
    let Some(id) = session.id else {
        return Err(Failure::Unanswered(
            "Stripe answered a session without an id".to_owned(),
        ));
    };
    let url = session.url.ok_or_else(|| Failure::Refused {
        code: "session_over".to_owned(),
        text: "Stripe's session of this payment is over".to_owned(),
    })?;
    Ok(Session {
        id,
        url,
        expires_at: Time::from_millis(session.expires_at.unwrap_or(0).saturating_mul(Time::SECOND)),
    })
}

fn closed(session: &CheckoutSession) -> Option<Closed> {
    match session.status.as_deref() {
        Some("expired") => Some(Closed::Unpaid),
        Some("complete") => Some(Closed::Used),
        _ => None,
    }
}

fn money(units: Option<i64>, currency: Option<&str>) -> Result<Money, Failure> {
    read_money(units, currency).ok_or_else(|| no_money(HERE))
}

fn read_money(units: Option<i64>, currency: Option<&str>) -> Option<Money> {
    let currency: Currency = currency?.to_ascii_uppercase().parse().ok()?;
    scale::money(HERE, units?, currency)
}
