//! Razorpay: Payment Links, whose payments are captured by themselves or by us, refunds, disputes. Its API has one version, `v1`.
//!
//! Links have no idempotency key: one is looked for by its reference before it is made and whenever nobody knows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::{Currency, Money, PaymentId, Time};
use outbound::Client;
use outbound::header::HeaderName;
use serde::Deserialize;
use serde_json::json;

use crate::call::{Caller, Content, no_money, not_chargeable, segment};
use crate::wire::{Notes, id};
use crate::{
    About, Charge, ChargeState, Checkout, Closed, Credentials, Dispute, DisputeState, Failure, Listed, Provider,
    RefundState, Refunding, Seen, SeenRefund, Session, SessionState, Sought, scale,
};

mod event;

pub(crate) use event::verify;

const HERE: Provider = Provider::Razorpay;
/// A link cannot be paid for less than 15 minutes, nor for more than six months; ours is counted from when our payment was
/// made, which is a little before.
const SHORTEST: i64 = 20 * Time::MINUTE;
const LONGEST: i64 = 180 * Time::DAY;
/// The longest description.
const LONGEST_TEXT: usize = 2_000;
/// Payments of a link that are looked at.
const MOST_PAYMENTS: usize = 20;
/// Payments on a page of the list.
const PAGE: usize = 100;

static IDEMPOTENCY: HeaderName = HeaderName::from_static("x-refund-idempotency");

pub(crate) struct Razorpay<'a>(Caller<'a>);

#[derive(Deserialize)]
struct Link {
    #[serde(default, deserialize_with = "id")]
    id: Option<String>,
    short_url: Option<String>,
    status: Option<String>,
    reference_id: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    expire_by: Option<i64>,
    #[serde(default, deserialize_with = "id")]
    order_id: Option<String>,
    payments: Option<Vec<LinkPayment>>,
}

/// What a link says of a payment: of those alone that were captured.
#[derive(Deserialize)]
struct LinkPayment {
    #[serde(default, deserialize_with = "id")]
    payment_id: Option<String>,
    amount: Option<i64>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct Links {
    #[serde(default)]
    payment_links: Vec<Link>,
}

#[derive(Deserialize)]
struct Payment {
    #[serde(default, deserialize_with = "id")]
    id: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    status: Option<String>,
    captured: Option<bool>,
    #[serde(default, deserialize_with = "id")]
    order_id: Option<String>,
    error_description: Option<String>,
    #[serde(default)]
    notes: Notes,
    created_at: Option<i64>,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Refund {
    #[serde(default, deserialize_with = "id")]
    id: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    status: Option<String>,
    receipt: Option<String>,
    #[serde(default)]
    notes: Notes,
}

#[derive(Deserialize)]
struct DisputeEntity {
    #[serde(default, deserialize_with = "id")]
    id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    payment_id: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    status: Option<String>,
}

impl<'a> Razorpay<'a> {
    pub(crate) fn new(
        client: &'a Client,
        base: &'a str,
        account: &'a Credentials,
        key_id: &str,
        key_secret: &str,
    ) -> Result<Self, Failure> {
        // The word is `Basic`: Razorpay refuses `basic`.
        let value = format!("Basic {}", STANDARD.encode(format!("{key_id}:{key_secret}")));
        Ok(Self(Caller::new(client, base, account).authorized(&value)?))
    }

    pub(crate) async fn open(&self, checkout: &Checkout) -> Result<Session, Failure> {
        let units = scale::charged(HERE, checkout.money).map_err(not_chargeable)?;
        if let Some(link) = self.find(checkout.payment).await? {
            return opened(link);
        }
        match self
            .0
            .post("payment link", "/v1/payment_links", body(checkout, units), None)
            .await
        {
            Ok(link) => opened(link),
            // Unanswered, or refused because there is one already.
            Err(failure) => match self.find(checkout.payment).await? {
                Some(link) => opened(link),
                None => Err(failure),
            },
        }
    }

    /// Finds the link of a payment of ours.
    async fn find(&self, payment: PaymentId) -> Result<Option<Link>, Failure> {
        let payment = payment.to_string();
        let path = format!("/v1/payment_links?reference_id={payment}");
        let links = self.0.seek::<Links>("payment link", &path).await?;
        let mut links = links.map(|links| links.payment_links).unwrap_or_default().into_iter();
        Ok(links.find(|link| link.reference_id.as_deref() == Some(&payment)))
    }

    pub(crate) async fn close(&self, sought: &Sought) -> Result<Closed, Failure> {
        let path = format!("/v1/payment_links/{}/cancel", segment(&sought.session));
        let cancelled = self
            .0
            .post::<Link>("payment link", &path, Content::json(&json!({})), None)
            .await;
        let seen = self.look(sought).await?;
        // A payment that is under way may still come.
        let paying = seen.charges.iter().any(|charge| charge.state != ChargeState::Failed);
        match seen.state {
            _ if paying => Ok(Closed::Used),
            SessionState::Used => Ok(Closed::Used),
            SessionState::Ended => Ok(Closed::Unpaid),
            SessionState::Open => Err(match cancelled {
                Err(failure) => failure,
                Ok(_) => Failure::Unanswered("Razorpay left it open".to_owned()),
            }),
        }
    }

    pub(crate) async fn look(&self, sought: &Sought) -> Result<Seen, Failure> {
        let path = format!("/v1/payment_links/{}", segment(&sought.session));
        let link: Link = self.0.get("payment link", &path).await?;
        let mut state = match link.status.as_deref() {
            Some("paid" | "partially_paid") => SessionState::Used,
            Some("cancelled" | "expired") => SessionState::Ended,
            _ => SessionState::Open,
        };
        let mut charges = Vec::new();
        for payment in self.payments(&link, sought).await? {
            let payment = self.captured(payment, &link, state).await?;
            if let Some(charge) = self.charge(payment, sought).await? {
                charges.push(charge);
            }
        }
        if charges.iter().any(|charge| charge.state == ChargeState::Succeeded) {
            state = SessionState::Used;
        }
        Ok(Seen { state, charges })
    }

    /// The payments of a link: those of its order where that is known, else those that it names, and the one that an event
    /// named. Oldest first.
    async fn payments(&self, link: &Link, sought: &Sought) -> Result<Vec<Payment>, Failure> {
        let mut found: Vec<Payment> = Vec::new();
        let named = link.payments.iter().flatten();
        let mut ids: Vec<String> = named.filter_map(|payment| payment.payment_id.clone()).collect();
        ids.extend(sought.charge.clone());
        let mut order = link.order_id.clone();
        if order.is_none() && !ids.is_empty() {
            let payment = self.payment(&ids[0]).await?;
            order = payment.as_ref().and_then(|payment| payment.order_id.clone());
            found.extend(payment);
        }
        if let Some(order) = order {
            let path = format!("/v1/orders/{}/payments?count={MOST_PAYMENTS}", segment(&order));
            if let Some(page) = self.0.find::<Items<Payment>>("order", &path).await? {
                // Listed with the newest first, which decides between those of one second.
                found = page.items.into_iter().rev().collect();
            }
        }
        for id in ids.into_iter().take(MOST_PAYMENTS) {
            if !found.iter().any(|payment| payment.id.as_ref() == Some(&id)) {
                found.extend(self.payment(&id).await?);
            }
        }
        // What the link says of one that cannot be asked for.
        for named in link.payments.iter().flatten() {
            if !found.iter().any(|payment| payment.id == named.payment_id) {
                found.push(Payment::named(named, link));
            }
        }
        found.sort_by_key(|payment| payment.created_at);
        Ok(found)
    }

    async fn payment(&self, id: &str) -> Result<Option<Payment>, Failure> {
        self.0.find("payment", &format!("/v1/payments/{}", segment(id))).await
    }

    /// Takes the money of a payment that is only authorized. Links capture by themselves if the account is set so; what
    /// nobody captures goes back after days. Not if it is another amount, and not if the link has ended: nobody waits for
    /// that money, so it goes back by itself.
    async fn captured(&self, payment: Payment, link: &Link, state: SessionState) -> Result<Payment, Failure> {
        let wanted = payment.amount == link.amount && payment.currency == link.currency;
        let id = match &payment.id {
            Some(id) if payment.status.as_deref() == Some("authorized") && wanted && state != SessionState::Ended => id,
            _ => return Ok(payment),
        };
        let path = format!("/v1/payments/{}/capture", segment(id));
        let content = Content::json(&json!({"amount": payment.amount, "currency": payment.currency}));
        match self.0.post("payment", &path, content, None).await {
            Ok(captured) => Ok(captured),
            // It was captured in between, or nobody knows.
            Err(_) => Ok(self.payment(id).await?.unwrap_or(payment)),
        }
    }

    async fn charge(&self, payment: Payment, sought: &Sought) -> Result<Option<Charge>, Failure> {
        let id = payment.id.unwrap_or_default();
        let state = match payment.status.as_deref() {
            // What was never captured and went back was never ours.
            Some("refunded") if payment.captured == Some(false) => ChargeState::Failed,
            Some("captured" | "refunded") => ChargeState::Succeeded,
            Some("authorized") => ChargeState::Processing,
            Some("failed") => ChargeState::Failed,
            // Somebody is at it: there is no money yet.
            _ => return Ok(None),
        };
        let succeeded = state == ChargeState::Succeeded;
        Ok(Some(Charge {
            money: money(payment.amount, payment.currency.as_deref())?,
            why: match state {
                ChargeState::Failed => payment.error_description.map(|why| self.0.clean(&why)),
                _ => None,
            },
            refunds: if succeeded {
                self.refunds(&id).await?
            } else {
                Vec::new()
            },
            disputes: if succeeded {
                self.disputes(&id, sought).await?
            } else {
                Vec::new()
            },
            id,
            state,
        }))
    }

    async fn refunds(&self, payment: &str) -> Result<Vec<SeenRefund>, Failure> {
        let path = format!("/v1/payments/{}/refunds?count=100", segment(payment));
        let page = self.0.find::<Items<Refund>>("refund", &path).await?;
        // Razorpay lists the newest first.
        let items = page.map(|page| page.items).unwrap_or_default();
        items.into_iter().rev().map(refund_of).collect()
    }

    /// Razorpay does not list the disputes of a payment: there is only the one that an event showed.
    async fn disputes(&self, payment: &str, sought: &Sought) -> Result<Vec<Dispute>, Failure> {
        let Some(named) = &sought.dispute else {
            return Ok(Vec::new());
        };
        let path = format!("/v1/disputes/{}", segment(&named.id));
        // Not every account may ask for disputes.
        let asked = self.0.seek::<DisputeEntity>("dispute", &path).await?;
        // It may be one of another attempt.
        let of = asked.as_ref().map_or(&sought.charge, |dispute| &dispute.payment_id);
        if of.as_deref().is_some_and(|of| of != payment) {
            return Ok(Vec::new());
        }
        Ok(vec![match asked {
            Some(dispute) => dispute.read().ok_or_else(|| no_money(HERE))?,
            None => named.clone(),
        }])
    }

    pub(crate) async fn refund(&self, refunding: &Refunding) -> Result<SeenRefund, Failure> {
        let units = scale::units(HERE, refunding.money).map_err(not_chargeable)?;
        if let Some(made) = self.made(refunding).await? {
            return Ok(made);
        }
        let key = refunding.refund.to_string();
        let content = Content::json(&json!({
            "amount": units,
            "receipt": key,
            "notes": {"refund": key, "payment": refunding.payment},
        }));
        let path = format!("/v1/payments/{}/refund", segment(&refunding.charge));
        match self
            .0
            .post("payment", &path, content, Some((IDEMPOTENCY.clone(), &key)))
            .await
        {
            Ok(refund) => refund_of(refund),
            Err(failure @ Failure::Unanswered(_)) => match self.made(refunding).await {
                Ok(Some(made)) => Ok(made),
                _ => Err(failure),
            },
            Err(failure) => Err(failure),
        }
    }

    /// The refund that was made for ours, if it was.
    async fn made(&self, refunding: &Refunding) -> Result<Option<SeenRefund>, Failure> {
        let refunds = self.refunds(&refunding.charge).await?;
        Ok(refunds.into_iter().find(|it| it.ours == Some(refunding.refund)))
    }

    pub(crate) async fn list(&self, from: Time, until: Time, after: Option<&str>) -> Result<Listed, Failure> {
        let skip: usize = after.and_then(|after| after.parse().ok()).unwrap_or(0);
        let (from, until) = (from.seconds(), until.seconds());
        let path = format!("/v1/payments?from={from}&to={until}&count={PAGE}&skip={skip}");
        let page: Items<Payment> = self.0.get("payment", &path).await?;
        let next = (page.items.len() == PAGE).then(|| (skip + PAGE).to_string());
        let mut charges = Vec::new();
        for payment in page.items {
            let state = match payment.status.as_deref() {
                Some("captured") => ChargeState::Succeeded,
                Some("refunded") if payment.captured != Some(false) => ChargeState::Succeeded,
                _ => continue,
            };
            let at = Time::from_millis(payment.created_at.unwrap_or(0).saturating_mul(Time::SECOND));
            let ours = payment.notes.read("payment");
            let money = match money(payment.amount, payment.currency.as_deref()) {
                // What others sell by this account may be in money that we do not know.
                Err(_) if ours.is_none() => continue,
                money => money?,
            };
            let charge = Charge {
                id: payment.id.unwrap_or_default(),
                state,
                money,
                why: None,
                refunds: Vec::new(),
                disputes: Vec::new(),
            };
            charges.push((ours, charge, at));
        }
        Ok(Listed { charges, next })
    }
}

impl Razorpay<'_> {
    /// The payment of ours that one of Razorpay's is of: as its notes say, which it has from its link, or as the link says.
    pub(crate) async fn whose(&self, about: &About) -> Result<Option<PaymentId>, Failure> {
        let Some(id) = &about.charge else {
            return Ok(None);
        };
        let path = format!("/v1/payments/{}", segment(id));
        let payment = self.0.seek::<Payment>("payment", &path).await?;
        if let Some(ours) = payment.and_then(|payment| payment.notes.read("payment")) {
            return Ok(Some(ours));
        }
        let path = format!("/v1/payment_links?payment_id={}", segment(id));
        let links = self.0.seek::<Links>("payment link", &path).await?;
        let mut links = links.map(|links| links.payment_links).unwrap_or_default().into_iter();
        let is_mine = |link: &Link| {
            link.payments
                .iter()
                .flatten()
                .any(|it| it.payment_id.as_ref() == Some(id))
        };
        let link = links.find(is_mine);
        Ok(link.and_then(|link| link.reference_id?.parse().ok()))
    }
}

impl Payment {
    fn named(named: &LinkPayment, link: &Link) -> Self {
        Self {
            id: named.payment_id.clone(),
            amount: named.amount,
            currency: link.currency.clone(),
            status: named.status.clone(),
            captured: None,
            order_id: None,
            error_description: None,
            notes: Notes::default(),
            created_at: None,
        }
    }
}

impl DisputeEntity {
    fn read(self) -> Option<Dispute> {
        Some(Dispute {
            id: self.id?,
            state: match self.status.as_deref() {
                Some("won") => DisputeState::Won,
                Some("lost") => DisputeState::Lost,
                Some("closed") => DisputeState::Closed,
                _ => DisputeState::Open,
            },
            money: read_money(self.amount, self.currency.as_deref())?,
        })
    }
}

fn refund_of(refund: Refund) -> Result<SeenRefund, Failure> {
    let receipt = refund.receipt.as_deref().and_then(|text| text.parse().ok());
    Ok(SeenRefund {
        id: refund.id.unwrap_or_default(),
        ours: refund.notes.read("refund").or(receipt),
        state: match refund.status.as_deref() {
            Some("processed") => RefundState::Succeeded,
            Some("failed") => RefundState::Failed,
            _ => RefundState::Pending,
        },
        money: money(refund.amount, refund.currency.as_deref())?,
        why: None,
    })
}

/// What Razorpay is asked for: the same for the same checkout.
fn body(checkout: &Checkout, units: i64) -> Content {
    let made = checkout.payment.time();
    let expire_by = checkout
        .expires_at
        .clamp(made.plus_millis(SHORTEST), made.plus_millis(LONGEST));
    let description: String = checkout.description.chars().take(LONGEST_TEXT).collect();
    let mut customer = serde_json::Map::new();
    let fields = [
        ("name", Some(checkout.customer.name.as_str())),
        ("email", Some(checkout.customer.email.as_str())),
        ("contact", checkout.customer.phone.as_deref()),
    ];
    for (name, value) in fields {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            customer.insert(name.to_owned(), value.into());
        }
    }
    Content::json(&json!({
        "amount": units,
        "currency": checkout.money.currency,
        "accept_partial": false,
        "reference_id": checkout.payment,
        "description": description,
        "customer": customer,
        // We tell them ourselves.
        "notify": {"sms": false, "email": false},
        "reminder_enable": false,
        "notes": {"payment": checkout.payment},
        "expire_by": expire_by.seconds(),
        "callback_url": checkout.return_url,
        "callback_method": "get",
    }))
}

fn opened(link: Link) -> Result<Session, Failure> {
    let (Some(id), Some(url)) = (link.id, link.short_url) else {
        return Err(Failure::Unanswered(
            "Razorpay answered a link without an address".to_owned(),
        ));
    };
    Ok(Session {
        id,
        url,
        expires_at: Time::from_millis(link.expire_by.unwrap_or(0).saturating_mul(Time::SECOND)),
    })
}

fn money(units: Option<i64>, currency: Option<&str>) -> Result<Money, Failure> {
    read_money(units, currency).ok_or_else(|| no_money(HERE))
}

fn read_money(units: Option<i64>, currency: Option<&str>) -> Option<Money> {
    let currency: Currency = currency?.to_ascii_uppercase().parse().ok()?;
    scale::money(HERE, units?, currency)
}
