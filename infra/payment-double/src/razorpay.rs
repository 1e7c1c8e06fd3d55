//! Razorpay: `/v1/payment_links`, `/v1/payments`, `/v1/orders`, `/v1/disputes`; its events.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::world::{
    Charge, ChargeState, Dispute, News, Provider, Refund, RefundEnd, Session, SessionState, Verdict, World,
};

/// An error as Razorpay writes it: unknown ids are 400 too.
pub(crate) fn error(status: u16, description: &str) -> (u16, String) {
    let code = if status >= 500 {
        "SERVER_ERROR"
    } else {
        "BAD_REQUEST_ERROR"
    };
    let error = json!({"error": {"code": code, "description": description, "source": "business", "step": Value::Null,
        "reason": "input_validation_failed", "metadata": {}}});
    (status, error.to_string())
}

fn unknown() -> (u16, String) {
    error(400, "The id provided does not exist")
}

fn ok(value: &Value) -> (u16, String) {
    (200, value.to_string())
}

fn items(items: impl Iterator<Item = Value>) -> (u16, String) {
    let items: Vec<Value> = items.collect();
    ok(&json!({"entity": "collection", "count": items.len(), "items": items}))
}

/// Answers a call, by the parts of its path below `/razorpay`.
pub(crate) fn answer(
    world: &mut World,
    account: &str,
    (method, path, query, body): (&str, &[&str], &str, &[u8]),
    now: i64,
) -> (u16, String) {
    let query: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let link_of = |world: &World, id: &str| all(world, account).find(|(_, it)| it.id == id).map(|(place, _)| place);
    match (method, path) {
        ("POST", ["v1", "payment_links"]) => open(world, account, &body, now),
        ("GET", ["v1", "payment_links"]) => {
            let of = query.get("reference_id");
            let found = all(world, account).filter(|(_, it)| of.is_none_or(|of| it.reference == *of));
            let links: Vec<Value> = found.map(|(_, it)| link(it)).collect();
            ok(&json!({"payment_links": links}))
        }
        ("GET", ["v1", "payment_links", id]) => match link_of(world, id) {
            Some(place) => ok(&link(&world.sessions[place])),
            None => unknown(),
        },
        ("POST", ["v1", "payment_links", id, "cancel"]) => match link_of(world, id) {
            None => unknown(),
            Some(place) if world.sessions[place].state != SessionState::Open => {
                error(400, "Payment Link cannot be cancelled in its current status")
            }
            Some(place) => {
                world.end(place, SessionState::Cancelled, now);
                ok(&link(&world.sessions[place]))
            }
        },
        ("GET", ["v1", "payments"]) => list(world, account, &query),
        ("GET", ["v1", "payments", id]) => match charge_of(world, account, id) {
            Some((place, charge)) => ok(&payment(&world.sessions[place], charge)),
            None => unknown(),
        },
        ("POST", ["v1", "payments", id, "capture"]) => capture(world, account, id, &body, now),
        ("POST", ["v1", "payments", id, "refund"]) => refund(world, account, id, &body, now),
        ("GET", ["v1", "payments", id, "refunds"]) => match charge_of(world, account, id) {
            Some((place, charge)) => {
                let of = &world.sessions[place].charges[charge];
                items(of.refunds.iter().rev().map(|it| refund_entity(of, it)))
            }
            None => unknown(),
        },
        ("GET", ["v1", "orders", id, "payments"]) => {
            let Some((_, of)) = all(world, account).find(|(_, it)| it.order == *id) else {
                return unknown();
            };
            items((0..of.charges.len()).rev().map(|place| payment(of, place)))
        }
        ("GET", ["v1", "disputes", id]) => {
            let charges = all(world, account).flat_map(|(_, it)| it.charges.iter());
            let mut found = charges.flat_map(|charge| charge.disputes.iter().map(move |it| (charge, it)));
            found
                .find(|(_, it)| it.id == *id)
                .map_or_else(unknown, |(charge, it)| ok(&dispute_entity(charge, it)))
        }
        _ => error(404, "The requested URL was not found on the server."),
    }
}

fn all<'a>(world: &'a World, account: &'a str) -> impl Iterator<Item = (usize, &'a Session)> {
    let mine = move |it: &Session| it.provider == Provider::Razorpay && it.account == account;
    world.sessions.iter().enumerate().filter(move |(_, it)| mine(it))
}

fn charge_of(world: &World, account: &str, id: &str) -> Option<(usize, usize)> {
    all(world, account).find_map(|(place, it)| {
        let charge = it.charges.iter().position(|charge| charge.id == id)?;
        Some((place, charge))
    })
}

/// What a new link may say: others are errors.
const FIELDS: [&str; 13] = [
    "amount",
    "currency",
    "accept_partial",
    "first_min_partial_amount",
    "expire_by",
    "reference_id",
    "description",
    "customer",
    "notify",
    "reminder_enable",
    "notes",
    "callback_url",
    "callback_method",
];

fn open(world: &mut World, account: &str, body: &Value, now: i64) -> (u16, String) {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let unknown = body
        .as_object()
        .and_then(|body| body.keys().find(|name| !FIELDS.contains(&name.as_str())));
    if let Some(name) = unknown {
        return error(400, &format!("{name} is/are not required and should not be sent"));
    }
    let Some(units) = body["amount"].as_i64().filter(|units| *units > 0) else {
        return error(400, "The amount must be an integer.");
    };
    let (currency, reference) = (text("currency"), text("reference_id"));
    if currency == "INR" && units < 100 {
        return error(400, "The amount must be atleast INR 1.00");
    }
    if ["KWD", "BHD", "OMR"].contains(&currency.as_str()) && units % 10 != 0 {
        return error(400, "The last digit of the amount must be 0");
    }
    if reference.len() > 40 {
        return error(400, "The reference id may not be greater than 40 characters.");
    }
    if !reference.is_empty() && all(world, account).any(|(_, it)| it.reference == reference) {
        return error(
            400,
            &format!("payment link with given reference_id: ({reference}) already exists"),
        );
    }
    if text("callback_url").is_empty() || body["callback_method"] != "get" {
        return error(400, "callback_method must be get");
    }
    let expires_at = body["expire_by"].as_i64().unwrap_or(now / 1_000 + 180 * 86_400);
    if expires_at < now / 1_000 + 15 * 60 {
        return error(400, "timestamp must be atleast 15 minutes in future");
    }
    let id = world.new_id("plink_");
    let made = Session {
        provider: Provider::Razorpay,
        account: account.to_owned(),
        reference,
        order: String::new(),
        units,
        currency,
        description: text("description"),
        customer: body["customer"].clone(),
        notes: body["notes"].clone(),
        return_url: text("callback_url"),
        created: now / 1_000,
        expires_at,
        state: SessionState::Open,
        url: world.page(Provider::Razorpay, &id),
        charges: Vec::new(),
        id,
    };
    let reply = ok(&link(&made));
    world.sessions.push(made);
    reply
}

fn list(world: &World, account: &str, query: &HashMap<String, String>) -> (u16, String) {
    let number = |name: &str, other: i64| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(other);
    let (from, until) = (number("from", 0), number("to", i64::MAX));
    let (count, skip) = (number("count", 10).clamp(1, 100), number("skip", 0).max(0));
    let of = |(_, it): (usize, &Session)| -> Vec<(i64, Value)> {
        let places = 0..it.charges.len();
        places
            .map(|place| (it.charges[place].created, payment(it, place)))
            .collect()
    };
    let mut found: Vec<(i64, Value)> = all(world, account).flat_map(of).collect();
    found.retain(|(at, _)| (from..=until).contains(at));
    found.reverse();
    let (count, skip) = (usize::try_from(count).unwrap_or(10), usize::try_from(skip).unwrap_or(0));
    items(found.into_iter().skip(skip).take(count).map(|(_, it)| it))
}

fn capture(world: &mut World, account: &str, id: &str, body: &Value, now: i64) -> (u16, String) {
    let Some((place, charge)) = charge_of(world, account, id) else {
        return unknown();
    };
    let of = &world.sessions[place].charges[charge];
    if of.state != ChargeState::Processing {
        return error(400, "This payment has already been captured");
    }
    if body["amount"].as_i64() != Some(of.units) || body["currency"] != of.currency.as_str() {
        return error(400, "Capture amount must be equal to the amount authorized");
    }
    match world.settle(place, ChargeState::Succeeded, now) {
        Ok(()) => ok(&payment(&world.sessions[place], charge)),
        Err(why) => error(400, &why),
    }
}

fn refund(world: &mut World, account: &str, id: &str, body: &Value, now: i64) -> (u16, String) {
    let allowed = ["amount", "speed", "notes", "receipt"];
    if body
        .as_object()
        .is_some_and(|body| body.keys().any(|name| !allowed.contains(&name.as_str())))
    {
        return error(400, "extra fields are not required and should not be sent");
    }
    let Some((place, charge)) = charge_of(world, account, id) else {
        return unknown();
    };
    let of = &world.sessions[place].charges[charge];
    let units = body["amount"].as_i64().unwrap_or(of.units - of.refunded());
    let made = Refund {
        id: world.new_id("rfnd_"),
        reference: body["receipt"].as_str().unwrap_or_default().to_owned(),
        state: world.refund_end,
        units,
        notes: body["notes"].clone(),
        created: now / 1_000,
    };
    match world.refund(place, charge, made, now) {
        Ok(made) => {
            let of = &world.sessions[place].charges[charge];
            ok(&refund_entity(of, &of.refunds[made]))
        }
        Err(why) => error(400, &why),
    }
}

/// Notes as Razorpay writes them: `[]` if there are none.
fn notes(of: &Value) -> Value {
    match of.as_object() {
        Some(notes) if !notes.is_empty() => of.clone(),
        _ => json!([]),
    }
}

fn link(of: &Session) -> Value {
    let captured = of
        .charges
        .iter()
        .filter(|charge| charge.state == ChargeState::Succeeded);
    let payments: Vec<Value> = captured
        .map(|it| {
            json!({"amount": it.units, "created_at": it.created, "method": "upi", "payment_id": it.id, "plink_id": of.id,
                "status": "captured", "updated_at": it.created})
        })
        .collect();
    let paid: i64 = payments.iter().filter_map(|it| it["amount"].as_i64()).sum();
    let status = match of.state {
        SessionState::Open => "created",
        SessionState::Complete => "paid",
        SessionState::Expired => "expired",
        SessionState::Cancelled => "cancelled",
    };
    json!({
        "accept_partial": false, "amount": of.units, "amount_paid": paid, "callback_method": "get",
        "callback_url": of.return_url, "cancelled_at": 0, "created_at": of.created, "currency": of.currency,
        "customer": of.customer, "description": of.description, "expire_by": of.expires_at, "expired_at": 0,
        "first_min_partial_amount": 0, "id": of.id, "notes": notes(&of.notes),
        "notify": {"email": false, "sms": false}, "payments": if payments.is_empty() { Value::Null } else { payments.into() },
        "reference_id": of.reference, "reminder_enable": false, "reminders": [], "short_url": of.url, "status": status,
        "updated_at": of.created, "upi_link": false, "user_id": "",
    })
}

fn order(of: &Session) -> Value {
    let paid = of.state == SessionState::Complete;
    json!({
        // In the sample of `payment_link.paid` for UPI, it comes without its prefix.
        "id": of.order.trim_start_matches("order_"), "entity": "order", "amount": of.units,
        "amount_paid": if paid { of.units } else { 0 }, "amount_due": if paid { 0 } else { of.units },
        "currency": of.currency, "receipt": of.reference, "offer_id": Value::Null,
        "status": if paid { "paid" } else { "attempted" }, "attempts": of.charges.len(), "notes": notes(&of.notes),
        "created_at": of.created,
    })
}

fn payment(of: &Session, charge: usize) -> Value {
    let it = &of.charges[charge];
    let refunded = it.refunded();
    let captured = it.state == ChargeState::Succeeded;
    let status = match it.state {
        ChargeState::Succeeded if refunded == it.units => "refunded",
        ChargeState::Succeeded => "captured",
        ChargeState::Processing => "authorized",
        ChargeState::Failed => "failed",
    };
    let refund_status = match refunded {
        0 => Value::Null,
        all if all == it.units => "full".into(),
        _ => "partial".into(),
    };
    let failed = it.state == ChargeState::Failed;
    json!({
        "id": it.id, "entity": "payment", "amount": it.units, "currency": it.currency, "status": status,
        "order_id": of.order, "invoice_id": Value::Null, "international": false, "method": "upi",
        "amount_refunded": refunded, "refund_status": refund_status, "captured": captured,
        "description": of.description, "email": of.customer["email"], "contact": of.customer["contact"],
        "notes": notes(&of.notes), "fee": Value::Null, "tax": Value::Null,
        "error_code": failed.then_some("BAD_REQUEST_ERROR"),
        "error_description": failed.then_some("Your payment was declined by the bank."),
        "created_at": it.created,
    })
}

fn refund_entity(charge: &Charge, it: &Refund) -> Value {
    json!({
        "id": it.id, "entity": "refund", "amount": it.units, "currency": charge.currency, "payment_id": charge.id,
        "notes": notes(&it.notes), "receipt": it.reference, "created_at": it.created, "batch_id": Value::Null,
        "status": match it.state {
            RefundEnd::Pending => "pending",
            RefundEnd::Succeeded => "processed",
            RefundEnd::Failed => "failed",
        },
        "speed_requested": "normal", "speed_processed": "normal",
    })
}

fn dispute_entity(charge: &Charge, it: &Dispute) -> Value {
    json!({
        "id": it.id, "entity": "dispute", "payment_id": charge.id, "amount": it.units, "currency": charge.currency,
        "amount_deducted": if it.verdict == Some(Verdict::Lost) { it.units } else { 0 },
        "reason_code": "goods_or_services_not_received", "respond_by": it.created + 7 * 86_400, "created_at": it.created,
        "status": match it.verdict {
            None => "open",
            Some(Verdict::Won) => "won",
            Some(Verdict::Lost) => "lost",
            Some(Verdict::Closed) => "closed",
        },
        "phase": "chargeback",
    })
}

fn event(kind: &'static str, payload: &Value, now: i64) -> News {
    let contains: Vec<&String> = payload.as_object().map(|it| it.keys().collect()).unwrap_or_default();
    let body = json!({"entity": "event", "account_id": "acc_double", "event": kind, "contains": contains,
        "payload": payload, "created_at": now / 1_000});
    News {
        kind,
        body: body.to_string(),
    }
}

pub(crate) fn of_link(kind: &'static str, of: &Session, charge: Option<usize>, now: i64) -> News {
    let mut payload = json!({"payment_link": {"entity": link(of)}});
    if let Some(charge) = charge {
        payload["order"] = json!({"entity": order(of)});
        payload["payment"] = json!({"entity": payment(of, charge)});
    }
    event(kind, &payload, now)
}

fn of_payment(kind: &'static str, of: &Session, charge: usize, now: i64) -> News {
    event(kind, &json!({"payment": {"entity": payment(of, charge)}}), now)
}

pub(crate) fn attempted(of: &Session, charge: usize, now: i64) -> Vec<News> {
    match of.charges[charge].state {
        ChargeState::Succeeded => {
            let mut news = vec![of_payment("payment.authorized", of, charge, now)];
            news.extend(settled(of, charge, now));
            news
        }
        ChargeState::Processing => vec![of_payment("payment.authorized", of, charge, now)],
        ChargeState::Failed => vec![of_payment("payment.failed", of, charge, now)],
    }
}

pub(crate) fn settled(of: &Session, charge: usize, now: i64) -> Vec<News> {
    if of.charges[charge].state == ChargeState::Failed {
        return vec![of_payment("payment.failed", of, charge, now)];
    }
    let both = json!({"order": {"entity": order(of)}, "payment": {"entity": payment(of, charge)}});
    vec![
        of_payment("payment.captured", of, charge, now),
        event("order.paid", &both, now),
        of_link("payment_link.paid", of, Some(charge), now),
    ]
}

pub(crate) fn refunded(of: &Session, charge: usize, refund: usize, is_new: bool, now: i64) -> Vec<News> {
    let it = &of.charges[charge];
    let payload = json!({
        "refund": {"entity": refund_entity(it, &it.refunds[refund])},
        "payment": {"entity": payment(of, charge)},
    });
    let mut news = Vec::new();
    if is_new {
        news.push(event("refund.created", &payload, now));
    }
    match it.refunds[refund].state {
        RefundEnd::Pending => {}
        RefundEnd::Succeeded => news.push(event("refund.processed", &payload, now)),
        RefundEnd::Failed => news.push(event("refund.failed", &payload, now)),
    }
    news
}

pub(crate) fn disputed(of: &Session, charge: usize, now: i64) -> News {
    let it = &of.charges[charge];
    let last = it.disputes.last();
    let kind = match last.and_then(|dispute| dispute.verdict) {
        None => "payment.dispute.created",
        Some(Verdict::Won) => "payment.dispute.won",
        Some(Verdict::Lost) => "payment.dispute.lost",
        Some(Verdict::Closed) => "payment.dispute.closed",
    };
    let entity = last.map(|dispute| dispute_entity(it, dispute));
    event(
        kind,
        &json!({"payment": {"entity": payment(of, charge)}, "dispute": {"entity": entity}}),
        now,
    )
}
