//! Cashfree: Payment Links, refunds and disputes of the orders that come of them. API version 2025-01-01.
//!
//! Our ids are its ids, of links and of refunds, so that nothing is made twice. What counts is the order's amount; only
//! `SUCCESS` is final.

use kernel::{Currency, Money, PaymentId, Time};
use outbound::Client;
use outbound::header::HeaderName;
use serde_json::value::RawValue;

use crate::call::{Caller, Content, no_money, not_chargeable, segment};
use crate::wire::Hundredths;
use crate::{
    About, Charge, ChargeState, Checkout, Closed, Credentials, Dispute, DisputeState, Failure, Provider, RefundState,
    Refunding, Seen, SeenRefund, Session, SessionState, Sought, scale,
};

mod event;
mod shapes;

pub(crate) use event::verify;
use shapes::{
    CustomerDetails, DisputeEntity, Link, LinkNotes, Meta, NewLink, NewRefund, Notify, Order, Payment, Refund,
};

const VERSION: &str = "2025-01-01";
const HERE: Provider = Provider::Cashfree;
/// Ours is counted from when our payment was made, which is a little before; Cashfree names no bounds.
const SHORTEST: i64 = 20 * Time::MINUTE;
const LONGEST: i64 = 180 * Time::DAY;
/// The longest purpose of a link.
const LONGEST_PURPOSE: usize = 500;
/// Orders of a link that are looked at: each attempt may have one of its own.
const MOST_ORDERS: usize = 10;

static CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
static CLIENT_SECRET: HeaderName = HeaderName::from_static("x-client-secret");
static API_VERSION: HeaderName = HeaderName::from_static("x-api-version");
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-idempotency-key");

pub(crate) struct Cashfree<'a>(Caller<'a>);

impl<'a> Cashfree<'a> {
    pub(crate) fn new(
        client: &'a Client,
        base: &'a str,
        account: &'a Credentials,
        client_id: &str,
        client_secret: &str,
    ) -> Result<Self, Failure> {
        let caller = Caller::new(client, base, account)
            .with(API_VERSION.clone(), VERSION)?
            .with(CLIENT_ID.clone(), client_id)?
            .with(CLIENT_SECRET.clone(), client_secret)?;
        Ok(Self(caller))
    }

    pub(crate) async fn open(&self, checkout: &Checkout) -> Result<Session, Failure> {
        let units = scale::charged(HERE, checkout.money).map_err(not_chargeable)?;
        let phone = checkout.customer.phone.as_deref().filter(|phone| !phone.is_empty());
        let phone = phone.ok_or_else(|| Failure::Refused {
            code: "phone_required".to_owned(),
            text: "Cashfree wants the phone number of who pays".to_owned(),
        })?;
        let key = checkout.payment.to_string();
        let content = new_link(checkout, phone, units);
        match self
            .0
            .post("payment link", "/links", content, Some((IDEMPOTENCY_KEY.clone(), &key)))
            .await
        {
            Ok(link) => opened(link),
            // Unanswered, or refused because there is one already.
            Err(failure) => match self.link(&key).await {
                Ok(link) => opened(link),
                Err(Failure::Unknown(_)) => Err(failure),
                Err(other) => Err(if matches!(failure, Failure::Refused { .. }) {
                    failure
                } else {
                    other
                }),
            },
        }
    }

    async fn link(&self, id: &str) -> Result<Link, Failure> {
        self.0.get("payment link", &format!("/links/{}", segment(id))).await
    }

    pub(crate) async fn close(&self, sought: &Sought) -> Result<Closed, Failure> {
        let path = format!("/links/{}/cancel", segment(&sought.session));
        let cancelled = self
            .0
            .post::<Link>("payment link", &path, Content::json(&serde_json::json!({})), None)
            .await;
        let seen = self.look(sought).await?;
        // An attempt that is under way may still succeed.
        let paying = seen.charges.iter().any(|charge| charge.state != ChargeState::Failed);
        match seen.state {
            _ if paying => Ok(Closed::Used),
            SessionState::Used => Ok(Closed::Used),
            SessionState::Ended => Ok(Closed::Unpaid),
            SessionState::Open => Err(match cancelled {
                Err(failure) => failure,
                Ok(_) => Failure::Unanswered("Cashfree left it open".to_owned()),
            }),
        }
    }

    pub(crate) async fn look(&self, sought: &Sought) -> Result<Seen, Failure> {
        let link = self.link(&sought.session).await?;
        let mut state = match link.link_status.as_deref() {
            Some("PAID" | "PARTIALLY_PAID") => SessionState::Used,
            Some("EXPIRED" | "CANCELLED") => SessionState::Ended,
            _ => SessionState::Open,
        };
        let mut charges = Vec::new();
        match self.orders(&sought.session).await? {
            Some(orders) => {
                for order in orders {
                    charges.extend(self.charges(order, sought).await?);
                }
            }
            // It is paid, and there are no orders to ask for.
            None if state == SessionState::Used => charges.push(link.paid()?),
            None => {}
        }
        if charges.iter().any(|charge| charge.state == ChargeState::Succeeded) {
            state = SessionState::Used;
        }
        Ok(Seen { state, charges })
    }

    /// The orders of a link: each attempt may have one of its own. A server that does not list them may have one of the
    /// link's own name, or none to ask for.
    async fn orders(&self, link: &str) -> Result<Option<Vec<Order>>, Failure> {
        // Without the status, only those that are paid.
        let path = format!("/links/{}/orders?status=ALL", segment(link));
        let Some(mut orders) = self.0.find::<Vec<Order>>("order", &path).await? else {
            let order = self.0.seek("order", &format!("/orders/{}", segment(link))).await?;
            return Ok(order.map(|order| vec![order]));
        };
        orders.truncate(MOST_ORDERS);
        Ok(Some(orders))
    }

    async fn payments(&self, order: &str) -> Result<Vec<Payment>, Failure> {
        let path = format!("/orders/{}/payments", segment(order));
        let mut payments: Vec<Payment> = self.0.find("order", &path).await?.unwrap_or_default();
        payments.reverse();
        // All at the offset of India, so that texts sort as times do.
        payments.sort_by(|one, next| one.payment_time.cmp(&next.payment_time));
        Ok(payments)
    }

    async fn charges(&self, order: Order, sought: &Sought) -> Result<Vec<Charge>, Failure> {
        let Some(id) = order.order_id.as_deref() else {
            return Ok(Vec::new());
        };
        let money = money(order.order_amount, order.order_currency.as_deref())?;
        let mut charges = Vec::new();
        for payment in self.payments(id).await? {
            let state = match payment.payment_status.as_deref() {
                Some("SUCCESS") => ChargeState::Succeeded,
                Some("FAILED" | "USER_DROPPED" | "VOID" | "CANCELLED") => ChargeState::Failed,
                Some("NOT_ATTEMPTED") | None => continue,
                Some(_) => ChargeState::Processing,
            };
            charges.push(Charge {
                id: payment.cf_payment_id.unwrap_or_default(),
                state,
                money,
                why: match state {
                    ChargeState::Failed => payment.payment_message.map(|why| self.0.clean(&why)),
                    _ => None,
                },
                refunds: Vec::new(),
                disputes: Vec::new(),
            });
        }
        let Some(first) = charges.iter().position(|charge| charge.state == ChargeState::Succeeded) else {
            return Ok(charges);
        };
        // Those that say of which payment they are belong to it, others to the first that succeeded.
        let of = |charges: &[Charge], payment: Option<String>| {
            let named = charges.iter().position(|charge| payment.as_ref() == Some(&charge.id));
            named.unwrap_or(first)
        };
        for (payment, refund) in self.refunds(id, money.currency).await? {
            let place = of(&charges, payment);
            charges[place].refunds.push(refund);
        }
        for (payment, dispute) in self.disputes(id, money.currency, sought).await? {
            let place = of(&charges, payment);
            charges[place].disputes.push(dispute);
        }
        Ok(charges)
    }

    async fn refunds(&self, order: &str, currency: Currency) -> Result<Vec<(Option<String>, SeenRefund)>, Failure> {
        let path = format!("/orders/{}/refunds", segment(order));
        let refunds: Vec<Refund> = self.0.find("refund", &path).await?.unwrap_or_default();
        refunds
            .into_iter()
            .map(|refund| Ok((refund.cf_payment_id.clone(), self.refund_of(refund, currency)?)))
            .collect()
    }

    fn refund_of(&self, refund: Refund, currency: Currency) -> Result<SeenRefund, Failure> {
        let currency = refund.refund_currency.as_deref().unwrap_or(currency.code());
        Ok(SeenRefund {
            ours: refund.refund_id.as_deref().and_then(|id| id.parse().ok()),
            // Automatic refunds have no id of ours.
            id: refund.cf_refund_id.or(refund.refund_id).unwrap_or_default(),
            state: match refund.refund_status.as_deref() {
                Some("SUCCESS") => RefundState::Succeeded,
                Some("CANCELLED") => RefundState::Cancelled,
                Some("FAILED") => RefundState::Failed,
                _ => RefundState::Pending,
            },
            money: money(refund.refund_amount, Some(currency))?,
            why: refund.status_description.map(|why| self.0.clean(&why)),
        })
    }

    async fn disputes(
        &self,
        order: &str,
        currency: Currency,
        sought: &Sought,
    ) -> Result<Vec<(Option<String>, Dispute)>, Failure> {
        let path = format!("/orders/{}/disputes", segment(order));
        let Some(found) = self.0.find::<Vec<DisputeEntity>>("dispute", &path).await? else {
            let named = sought.dispute.iter();
            return Ok(named.map(|named| (sought.charge.clone(), named.clone())).collect());
        };
        let read = |dispute: DisputeEntity| Some((dispute.payment(), dispute.read(currency)?));
        found
            .into_iter()
            .map(|dispute| read(dispute).ok_or_else(|| no_money(HERE)))
            .collect()
    }

    pub(crate) async fn refund(&self, refunding: &Refunding) -> Result<SeenRefund, Failure> {
        let units = scale::units(HERE, refunding.money).map_err(not_chargeable)?;
        let (order, currency) = (self.order_of(refunding).await?, refunding.money.currency);
        let key = refunding.refund.to_string();
        let path = format!("/orders/{}/refunds", segment(&order));
        let one = format!("{path}/{key}");
        // A reply that is kept under the key may be older than the refund.
        if let Some(made) = self.0.seek::<Refund>("refund", &one).await? {
            return self.refund_of(made, currency);
        }
        let content = Content::json(&NewRefund {
            refund_amount: number(units),
            refund_id: key.clone(),
            refund_speed: "STANDARD",
        });
        let failure = match self
            .0
            .post("order", &path, content, Some((IDEMPOTENCY_KEY.clone(), &key)))
            .await
        {
            Ok(made) => return self.refund_of(made, currency),
            Err(failure) => failure,
        };
        // Unanswered, or refused because there is one already: its id is ours.
        match self.0.seek::<Refund>("refund", &one).await {
            Ok(Some(made)) => self.refund_of(made, currency),
            _ => Err(failure),
        }
    }

    /// The payment of ours that an order is of: as its tags say, or as it is called itself.
    pub(crate) async fn whose(&self, about: &About) -> Result<Option<PaymentId>, Failure> {
        let Some(order) = &about.order else {
            return Ok(None);
        };
        let found = self
            .0
            .seek::<Order>("order", &format!("/orders/{}", segment(order)))
            .await?;
        Ok(found.and_then(|order| order.order_tags.read("link_id")))
    }

    /// The order of a charge: the only one of the link, or the one with that payment.
    async fn order_of(&self, refunding: &Refunding) -> Result<String, Failure> {
        let orders = self.orders(&refunding.session).await?.unwrap_or_default();
        let ids: Vec<String> = orders.into_iter().filter_map(|order| order.order_id).collect();
        if let [only] = ids.as_slice() {
            return Ok(only.clone());
        }
        for id in ids {
            let payments = self.payments(&id).await?;
            if payments
                .iter()
                .any(|payment| payment.cf_payment_id.as_deref() == Some(&refunding.charge))
            {
                return Ok(id);
            }
        }
        Err(Failure::Unknown("order"))
    }
}

impl Link {
    /// What a link says that was paid by it.
    fn paid(self) -> Result<Charge, Failure> {
        Ok(Charge {
            id: self.cf_link_id.or(self.link_id).unwrap_or_default(),
            state: ChargeState::Succeeded,
            money: money(self.link_amount_paid, self.link_currency.as_deref())?,
            why: None,
            refunds: Vec::new(),
            disputes: Vec::new(),
        })
    }
}

impl DisputeEntity {
    /// Of which payment.
    fn payment(&self) -> Option<String> {
        self.cf_payment_id
            .clone()
            .or_else(|| self.order_details.cf_payment_id.clone())
    }

    fn read(self, currency: Currency) -> Option<Dispute> {
        let currency = self.dispute_amount_currency.as_deref().unwrap_or(currency.code());
        Some(Dispute {
            id: self.dispute_id?,
            state: dispute_state(self.dispute_status.as_deref().unwrap_or_default()),
            money: read_money(self.dispute_amount, Some(currency))?,
        })
    }
}

/// A status begins with the kind of case (`CHARGEBACK_`, `PRE_ARBITRATION_`, …) and ends with how far it is.
fn dispute_state(status: &str) -> DisputeState {
    let ends = |with: &[&str]| with.iter().any(|end| status.ends_with(end));
    if ends(&["MERCHANT_WON"]) {
        DisputeState::Won
    } else if ends(&["MERCHANT_LOST", "MERCHANT_ACCEPTED"]) {
        DisputeState::Lost
    } else if ends(&["CLOSED", "CANCELLED", "WITHDRAWN"]) {
        DisputeState::Closed
    } else {
        DisputeState::Open
    }
}

fn number(units: i64) -> Box<RawValue> {
    RawValue::from_string(Hundredths(units).written()).expect("digits and a point are a number")
}

/// What Cashfree is asked for: the same for the same checkout.
fn new_link(checkout: &Checkout, phone: &str, units: i64) -> Content {
    let made = checkout.payment.time();
    let expires_at = checkout
        .expires_at
        .clamp(made.plus_millis(SHORTEST), made.plus_millis(LONGEST));
    let purpose: String = checkout.description.chars().take(LONGEST_PURPOSE).collect();
    Content::json(&NewLink {
        link_id: checkout.payment.to_string(),
        link_amount: number(units),
        link_currency: checkout.money.currency,
        link_purpose: if purpose.trim().is_empty() { "Payment" } else { &purpose },
        customer_details: CustomerDetails {
            customer_phone: phone,
            customer_email: &checkout.customer.email,
            customer_name: &checkout.customer.name,
        },
        link_partial_payments: false,
        // We tell them ourselves.
        link_notify: Notify {
            send_sms: false,
            send_email: false,
        },
        link_auto_reminders: false,
        // To the second, as all their samples.
        link_expiry_time: format!("{}+00:00", &expires_at.to_string()[..19]),
        link_meta: Meta {
            return_url: &checkout.return_url,
        },
        link_notes: LinkNotes {
            payment: checkout.payment.to_string(),
        },
    })
}

fn opened(link: Link) -> Result<Session, Failure> {
    let (Some(id), Some(url)) = (link.link_id, link.link_url) else {
        return Err(Failure::Unanswered(
            "Cashfree answered a link without an address".to_owned(),
        ));
    };
    let expires_at = link.link_expiry_time.and_then(|text| text.parse().ok());
    Ok(Session {
        id,
        url,
        expires_at: expires_at.unwrap_or_default(),
    })
}

fn money(units: Option<Hundredths>, currency: Option<&str>) -> Result<Money, Failure> {
    read_money(units, currency).ok_or_else(|| no_money(HERE))
}

fn read_money(units: Option<Hundredths>, currency: Option<&str>) -> Option<Money> {
    let currency: Currency = currency?.to_ascii_uppercase().parse().ok()?;
    scale::money(HERE, units?.0, currency)
}
