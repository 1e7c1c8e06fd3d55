//! Razorpay's events: signed in hexadecimal over the raw bytes, without a stamp.

use outbound::header::HeaderMap;
use serde::Deserialize;

use super::DisputeEntity;
use crate::signature::{self, header, optional};
use crate::wire::{Lenient, Notes, id};
use crate::{About, Event, Rejected};

const SIGNATURE: &str = "x-razorpay-signature";
/// Outside the signature, so a hint and no more.
const EVENT: &str = "x-razorpay-event-id";
const LONGEST_ID: usize = 100;

#[derive(Deserialize)]
struct Envelope {
    #[serde(default, deserialize_with = "id")]
    event: Option<String>,
    #[serde(default)]
    payload: Lenient<Payload>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    payment: Lenient<Entity<Thing>>,
    #[serde(default)]
    payment_link: Lenient<Entity<Thing>>,
    #[serde(default)]
    order: Lenient<Entity<Thing>>,
    #[serde(default)]
    refund: Lenient<Entity<Thing>>,
    #[serde(default)]
    dispute: Lenient<Entity<DisputeEntity>>,
}

#[derive(Deserialize)]
struct Entity<T> {
    entity: T,
}

#[derive(Deserialize)]
struct Thing {
    #[serde(default, deserialize_with = "id")]
    id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    order_id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    payment_id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    reference_id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    receipt: Option<String>,
    #[serde(default)]
    notes: Notes,
}

/// Verifies an event by any of these secrets, and reads it.
pub(crate) fn verify(secrets: &[&str], headers: &HeaderMap, body: &[u8]) -> Result<Event, Rejected> {
    let given = hex::decode(header(headers, SIGNATURE)?).map_err(|_| Rejected::Header(SIGNATURE))?;
    let by = |secret: &&str| signature::is(&signature::of(secret.as_bytes(), body), &given);
    if !secrets.iter().any(by) {
        return Err(Rejected::Signature);
    }
    let id = optional(headers, EVENT).filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
    read(body, id.map(str::to_owned))
}

fn read(body: &[u8], id: Option<String>) -> Result<Event, Rejected> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|_| Rejected::Body("it is no JSON object"))?;
    let kind = envelope.event.ok_or(Rejected::Body("it has no event"))?;
    let Some(payload) = envelope.payload.0 else {
        return Ok(Event {
            id,
            kind,
            about: About::default(),
            dispute: None,
        });
    };
    let dispute = payload.dispute.0.map(|it| it.entity);
    let of_dispute = dispute.as_ref().and_then(|dispute| dispute.payment_id.clone());
    let payment = payload.payment.0.map(|it| it.entity);
    let link = payload.payment_link.0.map(|it| it.entity);
    let order = payload.order.0.map(|it| it.entity);
    let refund = payload.refund.0.map(|it| it.entity);
    let things = [&link, &payment, &order, &refund];
    let noted = things.iter().find_map(|thing| thing.as_ref()?.notes.read("payment"));
    let referred = link.as_ref().and_then(|link| link.reference_id.as_ref()?.parse().ok());
    let receipt = order.as_ref().and_then(|order| order.receipt.as_ref()?.parse().ok());
    let of_refund = refund.and_then(|refund| refund.payment_id);
    // The payment names its order in full; the order itself may come without its prefix.
    let of_payment = payment.as_ref().and_then(|payment| payment.order_id.clone());
    Ok(Event {
        id,
        kind,
        about: About {
            payment: referred.or(noted).or(receipt),
            session: link.and_then(|link| link.id),
            charge: payment.and_then(|payment| payment.id).or(of_refund).or(of_dispute),
            order: of_payment.or_else(|| order.and_then(|order| order.id).map(in_full)),
        },
        dispute: dispute.and_then(DisputeEntity::read),
    })
}

fn in_full(order: String) -> String {
    if order.starts_with("order_") {
        order
    } else {
        format!("order_{order}")
    }
}
