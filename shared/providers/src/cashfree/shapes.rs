//! What Cashfree writes and reads, as far as we do.
#![expect(clippy::struct_field_names, reason = "the names are Cashfree's")]

use kernel::Currency;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire::{Hundredths, Notes, id};

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default, deserialize_with = "id")]
    pub(super) link_id: Option<String>,
    pub(super) link_status: Option<String>,
    pub(super) link_url: Option<String>,
    pub(super) link_expiry_time: Option<String>,
    pub(super) link_currency: Option<String>,
    pub(super) link_amount_paid: Option<Hundredths>,
    #[serde(default, deserialize_with = "id")]
    pub(super) cf_link_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Order {
    #[serde(default, deserialize_with = "id")]
    pub(super) order_id: Option<String>,
    pub(super) order_amount: Option<Hundredths>,
    pub(super) order_currency: Option<String>,
    #[serde(default)]
    pub(super) order_tags: Notes,
}

#[derive(Deserialize)]
pub(super) struct Payment {
    #[serde(default, deserialize_with = "id")]
    pub(super) cf_payment_id: Option<String>,
    pub(super) payment_status: Option<String>,
    pub(super) payment_message: Option<String>,
    pub(super) payment_time: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Refund {
    #[serde(default, deserialize_with = "id")]
    pub(super) cf_refund_id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    pub(super) cf_payment_id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    pub(super) refund_id: Option<String>,
    pub(super) refund_amount: Option<Hundredths>,
    pub(super) refund_currency: Option<String>,
    pub(super) refund_status: Option<String>,
    pub(super) status_description: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct DisputeEntity {
    #[serde(default, deserialize_with = "id")]
    pub(super) dispute_id: Option<String>,
    #[serde(default, deserialize_with = "id")]
    pub(super) cf_payment_id: Option<String>,
    pub(super) dispute_amount: Option<Hundredths>,
    pub(super) dispute_amount_currency: Option<String>,
    pub(super) dispute_status: Option<String>,
    #[serde(default)]
    pub(super) order_details: OrderDetails,
}

#[derive(Default, Deserialize)]
pub(super) struct OrderDetails {
    #[serde(default, deserialize_with = "id")]
    pub(super) cf_payment_id: Option<String>,
}

#[derive(Serialize)]
pub(super) struct NewLink<'a> {
    pub(super) link_id: String,
    pub(super) link_amount: Box<RawValue>,
    pub(super) link_currency: Currency,
    pub(super) link_purpose: &'a str,
    pub(super) customer_details: CustomerDetails<'a>,
    pub(super) link_partial_payments: bool,
    pub(super) link_notify: Notify,
    pub(super) link_auto_reminders: bool,
    pub(super) link_expiry_time: String,
    pub(super) link_meta: Meta<'a>,
    pub(super) link_notes: LinkNotes,
}

#[derive(Serialize)]
pub(super) struct CustomerDetails<'a> {
    pub(super) customer_phone: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) customer_email: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) customer_name: &'a str,
}

#[derive(Serialize)]
pub(super) struct Notify {
    pub(super) send_sms: bool,
    pub(super) send_email: bool,
}

#[derive(Serialize)]
pub(super) struct Meta<'a> {
    pub(super) return_url: &'a str,
}

#[derive(Serialize)]
pub(super) struct LinkNotes {
    pub(super) payment: String,
}

#[derive(Serialize)]
pub(super) struct NewRefund {
    pub(super) refund_amount: Box<RawValue>,
    pub(super) refund_id: String,
    pub(super) refund_speed: &'static str,
}
