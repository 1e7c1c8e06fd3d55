//! Stripe's events: signed with the whole secret over the stamp and the raw bytes.

use kernel::{PaymentId, Time};
use outbound::header::HeaderMap;
use serde::Deserialize;

use super::{dispute_state, read_money};
use crate::signature::{self, header};
use crate::wire::{Lenient, Notes, id, reference};
use crate::{About, Dispute, Event, Rejected};

/// How old a stamp may be, in seconds. One of the future is fine, as it is to Stripe's own library: nobody else signs.
const TOLERANCE: i64 = 300;
const SIGNATURE: &str = "stripe-signature";
/// The most signatures that are looked at; two secrets sign while one replaces the other.
const MOST_SIGNATURES: usize = 16;

/// The types that payments are about, of which Stripe lists what it could not deliver: it takes 20 at most.
pub(super) const OF_PAYMENTS: [&str; 14] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
];

#[derive(Deserialize)]
pub(super) struct Envelope {
    #[serde(default, deserialize_with = "id")]
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    object: Option<String>,
    #[serde(default, deserialize_with = "id")]
    r#type: Option<String>,
    #[serde(default)]
    data: Lenient<Data>,
}

#[derive(Deserialize)]
struct Data {
    object: Object,
}

/// What an event shows: a session, an intent, a charge, a refund or a dispute.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are Stripe's")]
struct Object {
    #[serde(default, deserialize_with = "id")]
    id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    object: Option<String>,
    #[serde(default, deserialize_with = "id")]
    client_reference_id: Option<String>,
    #[serde(default, deserialize_with = "reference")]
    payment_intent: Option<String>,
    #[serde(default)]
    metadata: Notes,
    #[serde(default, deserialize_with = "id")]
    status: Option<String>,
    #[serde(default)]
    amount: Lenient<i64>,
    #[serde(default, deserialize_with = "id")]
    currency: Option<String>,
}

/// Verifies an event by any of these secrets, and reads it.
pub(crate) fn verify(secrets: &[&str], headers: &HeaderMap, body: &[u8], now: Time) -> Result<Event, Rejected> {
    let (stamp, signatures) = parts(header(headers, SIGNATURE)?).ok_or(Rejected::Header(SIGNATURE))?;
    let signed = [stamp.as_bytes(), b".", body].concat();
    let by_any = |secret: &&str| {
        let good = signature::of(secret.as_bytes(), &signed);
        // Each is compared, so that the time tells nothing of which.
        signatures
            .iter()
            .fold(false, |found, other| found | signature::is(&good, other))
    };
    if !secrets.iter().any(by_any) {
        return Err(Rejected::Signature);
    }
    let stamp: i64 = stamp.parse().map_err(|_| Rejected::Header(SIGNATURE))?;
    if stamp < now.seconds().saturating_sub(TOLERANCE) {
        return Err(Rejected::Old);
    }
    read(body)
}

/// The stamp, and the signatures of scheme `v1`; others are ignored.
fn parts(header: &str) -> Option<(&str, Vec<Vec<u8>>)> {
    let mut stamp = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) if stamp.is_none() => stamp = Some(value),
            Some(("v1", value)) if signatures.len() < MOST_SIGNATURES => {
                if let Ok(bytes) = hex::decode(value) {
                    signatures.push(bytes);
                }
            }
            _ => {}
        }
    }
    let stamp = stamp.filter(|stamp| !stamp.is_empty() && stamp.bytes().all(|byte| byte.is_ascii_digit()))?;
    (!signatures.is_empty()).then_some((stamp, signatures))
}

fn read(body: &[u8]) -> Result<Event, Rejected> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|_| Rejected::Body("it is no JSON object"))?;
    if envelope.object.as_deref() == Some("v2.core.event") {
        return Err(Rejected::Body(
            "it is a thin event; let the endpoint send snapshots (API v1)",
        ));
    }
    envelope.read().ok_or(Rejected::Body("it has no type"))
}

impl Envelope {
    /// What it says; nothing without a type.
    pub(super) fn read(self) -> Option<Event> {
        let kind = self.r#type?;
        let object = self.data.0.map(|data| data.object);
        Some(Event {
            id: self.id,
            dispute: object
                .as_ref()
                .filter(|_| kind.starts_with("charge.dispute."))
                .and_then(dispute),
            about: object.map(|object| about(&kind, object)).unwrap_or_default(),
            kind,
        })
    }
}

fn about(kind: &str, object: Object) -> About {
    let named: Option<PaymentId> = object.client_reference_id.and_then(|text| text.parse().ok());
    let what = object.object.as_deref().unwrap_or_default();
    let is = |name: &str, prefix: &str| what == name || kind.starts_with(prefix);
    About {
        payment: named.or_else(|| object.metadata.read("payment")),
        charge: if is("payment_intent", "payment_intent.") {
            object.id.clone()
        } else {
            object.payment_intent
        },
        session: object.id.filter(|_| is("checkout.session", "checkout.session.")),
        order: None,
    }
}

fn dispute(object: &Object) -> Option<Dispute> {
    Some(Dispute {
        id: object.id.clone()?,
        state: dispute_state(object.status.as_deref()),
        money: read_money(object.amount.0, object.currency.as_deref())?,
    })
}
