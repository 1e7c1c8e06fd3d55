//! Cashfree: `/links`, `/orders`; its events. Amounts are decimal numbers there, which stand here as texts with a mark
//! until the end, so that none is ever a float.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::world::{
    Charge, ChargeState, Dispute, News, Provider, Refund, RefundEnd, Session, SessionState, Verdict, World,
};

/// Before a text that is written as a number.
const MARK: &str = "#number#";

/// An error as Cashfree writes it.
pub(crate) fn error(status: u16, code: &str, message: &str) -> (u16, String) {
    let kind = if status >= 500 {
        "api_error"
    } else {
        "invalid_request_error"
    };
    (
        status,
        json!({"message": message, "code": code, "type": kind}).to_string(),
    )
}

fn ok(value: &Value) -> (u16, String) {
    (200, rendered(value))
}

fn rendered(value: &Value) -> String {
    let mut text = value.to_string();
    let open = format!("\"{MARK}");
    while let Some(start) = text.find(&open) {
        let digits = start + open.len();
        let end = text[digits..].find('"').map_or(text.len(), |length| digits + length);
        let number = text[digits..end].to_owned();
        text.replace_range(start..(end + 1).min(text.len()), &number);
    }
    text
}

fn plain(hundredths: i64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn number(hundredths: i64) -> Value {
    format!("{MARK}{}", plain(hundredths)).into()
}

/// Hundredths of a JSON number with at most two places.
fn hundredths(raw: &RawValue) -> Option<i64> {
    let (whole, fraction) = raw.get().split_once('.').unwrap_or((raw.get(), ""));
    if fraction.len() > 2 || whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|it| it.is_ascii_digit()) {
        return None;
    }
    format!("{whole}{fraction:0<2}").parse().ok()
}

fn time(seconds: i64) -> String {
    let shown = jiff::Timestamp::from_second(seconds + 19_800)
        .unwrap_or_default()
        .to_string();
    format!("{}+05:30", shown.trim_end_matches('Z'))
}

/// Answers a call, by the parts of its path below `/cashfree/pg`.
pub(crate) fn answer(
    world: &mut World,
    account: &str,
    (method, path, query, body): (&str, &[&str], &str, &[u8]),
    now: i64,
) -> (u16, String) {
    let link_of = |world: &World, id: &str| all(world, account).find(|(_, it)| it.id == id).map(|(place, _)| place);
    let order_of = |world: &World, id: &str| {
        let mut orders = all(world, account).filter(|(_, it)| !it.order.is_empty());
        orders.find(|(_, it)| it.order == id).map(|(place, _)| place)
    };
    let no_link = || error(404, "link_not_found", "link does not exist");
    let no_order = || error(404, "order_not_found", "Order Reference Id does not exist");
    let with_order = |world: &World, id: &str, show: fn(&Session) -> Value| match order_of(world, id) {
        Some(place) => ok(&show(&world.sessions[place])),
        None => no_order(),
    };
    match (method, path) {
        ("POST", ["links"]) => open(world, account, body, now),
        ("GET", ["links", id]) => link_of(world, id).map_or_else(no_link, |place| ok(&link(&world.sessions[place]))),
        ("POST", ["links", id, "cancel"]) => match link_of(world, id) {
            None => no_link(),
            Some(place) if world.sessions[place].state != SessionState::Open => error(
                400,
                "link_cancellation_failed",
                "link cannot be cancelled in its current status",
            ),
            Some(place) => {
                world.end(place, SessionState::Cancelled, now);
                ok(&link(&world.sessions[place]))
            }
        },
        ("GET", ["links", id, "orders"]) => match link_of(world, id) {
            None => no_link(),
            Some(place) => {
                let of = &world.sessions[place];
                let shown = !of.order.is_empty()
                    && (of.state == SessionState::Complete || query.split('&').any(|pair| pair == "status=ALL"));
                ok(&if shown { json!([order(of)]) } else { json!([]) })
            }
        },
        ("GET", ["orders", id]) => with_order(world, id, order),
        ("GET", ["orders", id, "payments"]) => with_order(world, id, payments),
        ("GET", ["orders", id, "refunds"]) => with_order(world, id, refunds),
        ("GET", ["orders", id, "disputes"]) => with_order(world, id, disputes),
        ("POST", ["orders", id, "refunds"]) => match order_of(world, id) {
            Some(place) => refund(world, place, body, now),
            None => no_order(),
        },
        ("GET", ["orders", id, "refunds", refund]) => {
            let found = order_of(world, id).map(|place| refunds(&world.sessions[place]));
            let found = found.and_then(|all| all.as_array()?.iter().find(|it| it["refund_id"] == *refund).cloned());
            found.map_or_else(
                || error(404, "refund_not_found", "Refund not found"),
                |found| ok(&found),
            )
        }
        _ => error(404, "request_failed", "no such path"),
    }
}

fn all<'a>(world: &'a World, account: &'a str) -> impl Iterator<Item = (usize, &'a Session)> {
    let mine = move |it: &Session| it.provider == Provider::Cashfree && it.account == account;
    world.sessions.iter().enumerate().filter(move |(_, it)| mine(it))
}

#[derive(Deserialize)]
struct NewLink {
    link_id: String,
    link_amount: Box<RawValue>,
    link_currency: String,
    link_purpose: String,
    customer_details: Value,
    link_expiry_time: Option<String>,
    #[serde(default)]
    link_meta: Value,
    #[serde(default)]
    link_notes: Value,
}

fn is_id(text: &str, longest: usize) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (3..=longest).contains(&text.len()) && text.bytes().all(fine)
}

fn open(world: &mut World, account: &str, body: &[u8], now: i64) -> (u16, String) {
    let invalid = |message: &str| error(400, "link_post_failed", message);
    let new: NewLink = match serde_json::from_slice(body) {
        Ok(new) => new,
        Err(why) => return invalid(&why.to_string()),
    };
    let Some(units) = hundredths(&new.link_amount).filter(|units| *units > 0) else {
        return error(
            400,
            "link_amount_invalid",
            "link_amount must be a number with at most two decimals",
        );
    };
    if !is_id(&new.link_id, 50) || new.link_purpose.is_empty() || new.link_currency.len() != 3 {
        return invalid("link_id, link_purpose or link_currency is invalid");
    }
    if new.customer_details["customer_phone"]
        .as_str()
        .is_none_or(str::is_empty)
    {
        return error(
            400,
            "customer_details.customer_phone_missing",
            "customer_phone is missing in the request",
        );
    }
    if all(world, account).any(|(_, it)| it.id == new.link_id) {
        return error(409, "link_already_exists", "link with same id is already present");
    }
    let expires_at = match new.link_expiry_time.as_deref().map(str::parse::<jiff::Timestamp>) {
        None => now / 1_000 + 30 * 86_400,
        Some(Ok(at)) if at.as_second() > now / 1_000 => at.as_second(),
        Some(_) => return invalid("link_expiry_time is invalid"),
    };
    let made = Session {
        provider: Provider::Cashfree,
        account: account.to_owned(),
        reference: new.link_id.clone(),
        order: String::new(),
        units,
        currency: new.link_currency,
        description: new.link_purpose,
        customer: new.customer_details,
        notes: new.link_notes,
        return_url: new.link_meta["return_url"].as_str().unwrap_or_default().to_owned(),
        created: now / 1_000,
        expires_at,
        state: SessionState::Open,
        url: world.page(Provider::Cashfree, &new.link_id),
        charges: Vec::new(),
        id: new.link_id,
    };
    let reply = ok(&link(&made));
    world.sessions.push(made);
    reply
}

#[derive(Deserialize)]
struct NewRefund {
    refund_amount: Box<RawValue>,
    refund_id: String,
}

fn refund(world: &mut World, place: usize, body: &[u8], now: i64) -> (u16, String) {
    let new: NewRefund = match serde_json::from_slice(body) {
        Ok(new) => new,
        Err(why) => return error(400, "refund_post_failed", &why.to_string()),
    };
    let Some(units) = hundredths(&new.refund_amount) else {
        return error(
            400,
            "refund_amount_invalid",
            "refund_amount must be a number with at most two decimals",
        );
    };
    if !is_id(&new.refund_id, 40) {
        return error(400, "refund_id_invalid", "refund_id is invalid");
    }
    let session = &world.sessions[place];
    if session
        .charges
        .iter()
        .flat_map(|it| &it.refunds)
        .any(|it| it.reference == new.refund_id)
    {
        return error(409, "refund_already_exists", "refund with same id is already present");
    }
    // Of an order that was paid twice, what there is enough left of.
    let left = |it: &Charge| it.state == ChargeState::Succeeded && it.units - it.refunded() >= units;
    let Some(charge) = session.charges.iter().position(left) else {
        return error(
            400,
            "refund_amount_invalid",
            "refund amount is more than what is left of the order",
        );
    };
    let made = Refund {
        id: world.new_number().to_string(),
        reference: new.refund_id,
        state: world.refund_end,
        units,
        notes: Value::Null,
        created: now / 1_000,
    };
    match world.refund(place, charge, made, now) {
        Ok(made) => ok(&refund_entity(&world.sessions[place], charge, made)),
        Err(why) => error(400, "refund_post_failed", &why),
    }
}

fn status(of: &Session) -> &'static str {
    match of.state {
        SessionState::Open => "ACTIVE",
        SessionState::Complete => "PAID",
        SessionState::Expired => "EXPIRED",
        SessionState::Cancelled => "CANCELLED",
    }
}

/// What an order is of: what was paid, which may differ from what was asked for if the double is told so.
fn amount(of: &Session) -> (i64, &str) {
    let paid = of.charges.iter().find(|charge| charge.state == ChargeState::Succeeded);
    paid.map_or((of.units, of.currency.as_str()), |charge| {
        (charge.units, charge.currency.as_str())
    })
}

fn link(of: &Session) -> Value {
    let (paid, _) = amount(of);
    json!({
        "cf_link_id": of.created, "link_id": of.id, "link_status": status(of), "link_currency": of.currency,
        "link_amount": number(of.units),
        "link_amount_paid": number(if of.state == SessionState::Complete { paid } else { 0 }),
        "link_partial_payments": false, "link_purpose": of.description, "link_created_at": time(of.created),
        "customer_details": of.customer, "link_meta": {"return_url": of.return_url}, "link_url": of.url,
        "link_expiry_time": time(of.expires_at), "link_notes": of.notes, "link_auto_reminders": false,
        "link_notify": {"send_sms": false, "send_email": false},
    })
}

fn order(of: &Session) -> Value {
    let (units, currency) = amount(of);
    let status = if of.state == SessionState::Complete {
        "PAID"
    } else {
        "ACTIVE"
    };
    json!({
        "cf_order_id": "2149460581", "order_id": of.order, "entity": "order", "order_currency": currency,
        "order_amount": number(units), "order_status": status, "order_expiry_time": time(of.expires_at),
        "created_at": time(of.created), "customer_details": of.customer, "order_tags": {"link_id": of.id},
        "payment_session_id": "session_double",
    })
}

fn payment(of: &Session, charge: &Charge) -> Value {
    let status = match charge.state {
        ChargeState::Succeeded => "SUCCESS",
        ChargeState::Processing => "PENDING",
        ChargeState::Failed => "FAILED",
    };
    let (units, currency) = amount(of);
    json!({
        "cf_payment_id": charge.id, "order_id": of.order, "entity": "payment", "is_captured": status == "SUCCESS",
        "order_amount": number(units), "order_currency": currency,
        "payment_status": status, "payment_amount": number(charge.units), "payment_currency": charge.currency,
        "payment_message": if status == "FAILED" { "Declined by the bank" } else { "" },
        "payment_time": time(charge.created), "payment_group": "upi",
    })
}

/// As webhooks of the API version before have it: the id is a number.
fn payment_told(charge: &Charge, status: &str) -> Value {
    json!({
        "cf_payment_id": format!("{MARK}{}", charge.id), "payment_status": status,
        "payment_amount": number(charge.units), "payment_currency": charge.currency,
        "payment_time": time(charge.created), "payment_group": "upi",
    })
}

fn payments(of: &Session) -> Value {
    of.charges.iter().rev().map(|charge| payment(of, charge)).collect()
}

fn refund_entity(of: &Session, charge: usize, refund: usize) -> Value {
    let (charge, it) = (&of.charges[charge], &of.charges[charge].refunds[refund]);
    json!({
        "cf_payment_id": charge.id, "cf_refund_id": it.id, "refund_id": it.reference, "order_id": of.order,
        "entity": "refund", "refund_amount": number(it.units), "refund_currency": charge.currency,
        "refund_type": "MERCHANT_INITIATED", "created_at": time(it.created),
        "refund_status": match it.state {
            RefundEnd::Pending => "PENDING",
            RefundEnd::Succeeded => "SUCCESS",
            RefundEnd::Failed => "FAILED",
        },
        "refund_speed": {"requested": "STANDARD", "accepted": "STANDARD"},
    })
}

fn refunds(of: &Session) -> Value {
    let all = of.charges.iter().enumerate();
    all.flat_map(|(place, charge)| (0..charge.refunds.len()).map(move |it| refund_entity(of, place, it)))
        .collect()
}

fn dispute_entity(charge: &Charge, it: &Dispute) -> Value {
    json!({
        "dispute_id": format!("{MARK}{}", it.id), "dispute_type": "CHARGEBACK", "reason_code": "13.1",
        "dispute_amount": number(it.units), "dispute_amount_currency": charge.currency, "cf_payment_id": charge.id,
        "created_at": time(it.created), "dispute_action_on": "MERCHANT",
        "dispute_status": match it.verdict {
            None => "CHARGEBACK_CREATED",
            Some(Verdict::Won) => "CHARGEBACK_MERCHANT_WON",
            Some(Verdict::Lost) => "CHARGEBACK_MERCHANT_LOST",
            Some(Verdict::Closed) => "CHARGEBACK_CLOSED",
        },
    })
}

fn disputes(of: &Session) -> Value {
    let all = of
        .charges
        .iter()
        .flat_map(|charge| charge.disputes.iter().map(move |it| (charge, it)));
    all.map(|(charge, it)| dispute_entity(charge, it)).collect()
}

fn event(kind: &'static str, data: &Value, now: i64) -> News {
    let body = json!({"data": data, "event_time": time(now / 1_000), "type": kind});
    News {
        kind,
        body: rendered(&body),
    }
}

pub(crate) fn of_link(of: &Session, charge: Option<&Charge>, now: i64) -> News {
    let mut shown = link(of);
    // In these, amounts are texts.
    for name in ["link_amount", "link_amount_paid"] {
        let text = shown[name]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches(MARK)
            .to_owned();
        shown[name] = text.into();
    }
    if let Some(charge) = charge {
        shown["order"] = json!({"order_amount": plain(charge.units), "order_id": of.order, "transaction_id": charge.id,
            "transaction_status": "SUCCESS"});
    }
    event("PAYMENT_LINK_EVENT", &shown, now)
}

fn of_payment(kind: &'static str, of: &Session, charge: &Charge, status: &str, now: i64) -> News {
    let (units, currency) = amount(of);
    let data = json!({
        "order": {"order_id": of.order, "order_amount": number(units), "order_currency": currency, "order_tags": Value::Null},
        "payment": payment_told(charge, status),
        "customer_details": of.customer,
    });
    event(kind, &data, now)
}

pub(crate) fn attempted(of: &Session, charge: usize, now: i64) -> Vec<News> {
    let it = &of.charges[charge];
    match it.state {
        ChargeState::Succeeded => vec![
            of_payment("PAYMENT_SUCCESS_WEBHOOK", of, it, "SUCCESS", now),
            of_link(of, Some(it), now),
        ],
        ChargeState::Processing => Vec::new(),
        ChargeState::Failed => vec![of_payment("PAYMENT_FAILED_WEBHOOK", of, it, "FAILED", now)],
    }
}

/// Whoever was at it left.
pub(crate) fn dropped(of: &Session, now: i64) -> News {
    let data = json!({
        "order": {"order_id": of.order, "order_amount": number(of.units), "order_currency": of.currency,
            "order_tags": {"link_id": of.id}},
        "payment": {"payment_status": "USER_DROPPED"},
        "customer_details": of.customer,
    });
    event("PAYMENT_USER_DROPPED_WEBHOOK", &data, now)
}

pub(crate) fn refunded(of: &Session, charge: usize, refund: usize, now: i64) -> News {
    let mut entity = refund_entity(of, charge, refund);
    entity["cf_payment_id"] = format!("{MARK}{}", of.charges[charge].id).into();
    event("REFUND_STATUS_WEBHOOK", &json!({"refund": entity}), now)
}

pub(crate) fn disputed(of: &Session, charge: usize, now: i64) -> News {
    let it = &of.charges[charge];
    let last = it.disputes.last();
    let kind = match last.and_then(|dispute| dispute.verdict) {
        None => "DISPUTE_CREATED",
        Some(_) => "DISPUTE_CLOSED",
    };
    let (units, currency) = amount(of);
    let mut dispute = last.map(|dispute| dispute_entity(it, dispute)).unwrap_or_default();
    if let Some(dispute) = dispute.as_object_mut() {
        dispute.remove("cf_payment_id");
        dispute.remove("dispute_amount_currency");
    }
    let data = json!({
        "dispute": dispute,
        "order_details": {"order_id": of.order, "order_amount": number(units), "order_currency": currency,
            "cf_payment_id": format!("{MARK}{}", it.id), "payment_amount": number(it.units), "payment_currency": it.currency},
        "customer_details": of.customer,
    });
    event(kind, &data, now)
}
