//! Cashfree's events: signed in base64 by the client secret over the stamp and the raw bytes, nothing between them.
//!
//! How old a stamp may be is not documented, nor whether a retry keeps it: old ones are taken, for an event only says where
//! to look.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::{Currency, PaymentId};
use outbound::header::HeaderMap;
use serde::Deserialize;

use super::shapes::DisputeEntity;
use crate::signature::{self, header, optional};
use crate::wire::{Lenient, Notes, id};
use crate::{About, Event, Rejected};

const SIGNATURE: &str = "x-webhook-signature";
const TIMESTAMP: &str = "x-webhook-timestamp";
/// Outside the signature, so a hint and no more.
const EVENT: &str = "x-idempotency-key";
const LONGEST_ID: usize = 200;

#[derive(Deserialize)]
struct Envelope {
    #[serde(default, deserialize_with = "id")]
    r#type: Option<String>,
    #[serde(default)]
    data: Lenient<Data>,
}

/// What an event shows: a payment of an order, a refund, a link, a dispute.
#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    order: Lenient<Order>,
    #[serde(default)]
    order_details: Lenient<Order>,
    #[serde(default)]
    payment: Lenient<Payment>,
    #[serde(default)]
    refund: Lenient<Payment>,
    #[serde(default)]
    auto_refund: Lenient<Payment>,
    #[serde(default)]
    dispute: Lenient<DisputeEntity>,
    #[serde(default, deserialize_with = "id")]
    link_id: Option<String>,
    #[serde(default)]
    link_notes: Notes,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are Cashfree's")]
struct Order {
    #[serde(default, deserialize_with = "id")]
    order_id: Option<String>,
    #[serde(default)]
    order_tags: Notes,
    #[serde(default, deserialize_with = "id")]
    order_currency: Option<String>,
    #[serde(default, deserialize_with = "id")]
    cf_payment_id: Option<String>,
}

#[derive(Deserialize)]
struct Payment {
    #[serde(default, deserialize_with = "id")]
    cf_payment_id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    order_id: Option<String>,
}

/// Verifies an event by any of these secrets, and reads it.
pub(crate) fn verify(secrets: &[&str], headers: &HeaderMap, body: &[u8]) -> Result<Event, Rejected> {
    let stamp = header(headers, TIMESTAMP)?;
    if stamp.is_empty() || !stamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Rejected::Header(TIMESTAMP));
    }
    let given = STANDARD.decode(header(headers, SIGNATURE)?);
    let given = given.map_err(|_| Rejected::Header(SIGNATURE))?;
    let signed = [stamp.as_bytes(), body].concat();
    let by = |secret: &&str| signature::is(&signature::of(secret.as_bytes(), &signed), &given);
    if !secrets.iter().any(by) {
        return Err(Rejected::Signature);
    }
    let id = optional(headers, EVENT).filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
    read(body, id.map(str::to_owned))
}

fn read(body: &[u8], id: Option<String>) -> Result<Event, Rejected> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|_| Rejected::Body("it is no JSON object"))?;
    let kind = envelope.r#type.ok_or(Rejected::Body("it has no type"))?;
    let Some(data) = envelope.data.0 else {
        return Ok(Event {
            id,
            kind,
            about: About::default(),
            dispute: None,
        });
    };
    let order = data.order.0.or(data.order_details.0);
    let currency = order.as_ref().and_then(|order| order.order_currency.clone());
    let currency: Option<Currency> = currency.and_then(|code| code.parse().ok());
    let dispute = data.dispute.0;
    let of_dispute = dispute.as_ref().and_then(DisputeEntity::payment);
    let payment = data.payment.0.or(data.refund.0).or(data.auto_refund.0);
    let tagged = order
        .as_ref()
        .and_then(|order| order.order_tags.get("link_id").map(str::to_owned));
    let session = data.link_id.or(tagged);
    let order_id = order.as_ref().and_then(|order| order.order_id.clone());
    let order_id = order_id.or_else(|| payment.as_ref().and_then(|payment| payment.order_id.clone()));
    let ours = |text: Option<&String>| -> Option<PaymentId> { text?.parse().ok() };
    let of_order = order.and_then(|order| order.cf_payment_id);
    Ok(Event {
        id,
        kind,
        about: About {
            payment: ours(session.as_ref())
                .or_else(|| data.link_notes.read("payment"))
                .or_else(|| ours(order_id.as_ref())),
            session,
            charge: payment
                .and_then(|payment| payment.cf_payment_id)
                .or(of_dispute)
                .or(of_order),
            order: order_id,
        },
        dispute: dispute.and_then(|dispute| dispute.read(currency.unwrap_or_else(rupee))),
    })
}

/// What a dispute is about if its event says no currency.
fn rupee() -> Currency {
    "INR".parse().expect("a currency of ISO 4217")
}
