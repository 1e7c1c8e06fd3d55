//! Stripe: `/v1/checkout/sessions`, `/v1/payment_intents`, `/v1/refunds`, `/v1/disputes`, `/v1/events`; its events.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::world::{
    Charge, ChargeState, Dispute, News, Provider, Refund, RefundEnd, Session, SessionState, Verdict, WebhookState,
    World, paid,
};

type Fields = HashMap<String, String>;

/// An error as Stripe writes it.
pub(crate) fn error(status: u16, kind: &str, message: &str) -> (u16, String) {
    let error = json!({"error": {"type": kind, "message": message, "code": Value::Null}});
    (status, error.to_string())
}

fn invalid(message: &str) -> (u16, String) {
    error(400, "invalid_request_error", message)
}

fn missing(what: &str, id: &str) -> (u16, String) {
    error(404, "invalid_request_error", &format!("No such {what}: '{id}'"))
}

/// Answers a call, by the parts of its path below `/stripe`.
pub(crate) fn answer(
    world: &mut World,
    account: &str,
    (method, path, query, body): (&str, &[&str], &str, &[u8]),
    now: i64,
) -> (u16, String) {
    let fields: Fields = form_urlencoded::parse(body).into_owned().collect();
    let raw_query = query;
    let query: Fields = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mine = |world: &World, id: &str| {
        let is = |it: &Session| it.provider == Provider::Stripe && it.account == account && it.id == id;
        world.sessions.iter().position(is)
    };
    match (method, path) {
        ("POST", ["v1", "checkout", "sessions"]) => open(world, account, &fields, now),
        ("GET", ["v1", "checkout", "sessions"]) => list(world, account, &query),
        ("GET", ["v1", "checkout", "sessions", id]) => match mine(world, id) {
            Some(place) => ok(&session(&world.sessions[place])),
            None => missing("checkout.session", id),
        },
        ("POST", ["v1", "checkout", "sessions", id, "expire"]) => match mine(world, id) {
            None => missing("checkout.session", id),
            Some(place) if world.sessions[place].state != SessionState::Open => {
                invalid("Only Checkout Sessions with a status in [\"open\"] can be expired.")
            }
            Some(place) => {
                world.end(place, SessionState::Expired, now);
                ok(&session(&world.sessions[place]))
            }
        },
        ("GET", ["v1", "events"]) => events(world, account, raw_query),
        ("GET", ["v1", "payment_intents", id]) => match of_intent(world, account, id) {
            Some(place) => ok(&intent(&world.sessions[place])),
            None => missing("payment_intent", id),
        },
        ("POST", ["v1", "refunds"]) => refund(world, account, &fields, now),
        ("GET", ["v1", "refunds"]) => page(&of_payment(world, account, &query, refunds)),
        ("GET", ["v1", "disputes"]) => page(&of_payment(world, account, &query, disputes)),
        ("GET", ["v1", "disputes", id]) => {
            let all = world
                .sessions
                .iter()
                .filter(|it| it.provider == Provider::Stripe && it.account == account);
            let found = all.flat_map(disputes).find(|it| it["id"] == *id);
            found.map_or_else(|| missing("dispute", id), |found| ok(&found))
        }
        _ => error(404, "invalid_request_error", "Unrecognized request URL."),
    }
}

fn ok(value: &Value) -> (u16, String) {
    (200, value.to_string())
}

fn page(data: &[Value]) -> (u16, String) {
    ok(&json!({"object": "list", "has_more": false, "url": "/v1", "data": data}))
}

fn metadata(fields: &Fields, prefix: &str) -> Value {
    let named = fields.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')?;
        Some((name.to_owned(), Value::from(value.as_str())))
    });
    Value::Object(named.collect())
}

fn open(world: &mut World, account: &str, fields: &Fields, now: i64) -> (u16, String) {
    let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let units = text("line_items[0][price_data][unit_amount]").parse::<i64>();
    let Ok(units) = units else {
        return invalid("Invalid integer: unit_amount");
    };
    let currency = text("line_items[0][price_data][currency]");
    if text("mode") != "payment" || text("line_items[0][quantity]") != "1" {
        return invalid("mode must be payment, with one item");
    }
    if currency.len() != 3 || currency.bytes().any(|byte| !byte.is_ascii_lowercase()) {
        return invalid(&format!("Invalid currency: {currency}"));
    }
    if ["isk", "ugx"].contains(&currency.as_str()) && units % 100 != 0
        || ["bhd", "jod", "kwd", "omr", "tnd"].contains(&currency.as_str()) && units % 10 != 0
    {
        return invalid("Invalid amount for this currency.");
    }
    if text("success_url").is_empty() || text("line_items[0][price_data][product_data][name]").is_empty() {
        return invalid("Missing required param.");
    }
    let expires_at = text("expires_at").parse().unwrap_or(now / 1_000 + 86_400);
    let ahead = expires_at - now / 1_000;
    if !(1_800..=86_400).contains(&ahead) {
        return invalid(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.",
        );
    }
    let id = world.new_id("cs_test_");
    let made = Session {
        provider: Provider::Stripe,
        account: account.to_owned(),
        reference: text("client_reference_id"),
        order: String::new(),
        units,
        currency: currency.to_ascii_uppercase(),
        description: text("line_items[0][price_data][product_data][name]"),
        customer: json!({"email": text("customer_email")}),
        notes: json!({"session": metadata(fields, "metadata"), "intent": metadata(fields, "payment_intent_data[metadata]")}),
        return_url: text("success_url"),
        created: now / 1_000,
        expires_at,
        state: SessionState::Open,
        url: world.page(Provider::Stripe, &id),
        charges: Vec::new(),
        id,
    };
    let reply = ok(&session(&made));
    world.sessions.push(made);
    reply
}

/// The newest first, as Stripe lists.
fn list(world: &World, account: &str, query: &Fields) -> (u16, String) {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<i64>().ok());
    let limit = number("limit").unwrap_or(10).clamp(1, 100);
    let (from, until) = (
        number("created[gte]").unwrap_or(0),
        number("created[lt]").unwrap_or(i64::MAX),
    );
    let of_intent = query.get("payment_intent");
    let fits = |it: &&Session| {
        it.provider == Provider::Stripe
            && it.account == account
            && (from..until).contains(&it.created)
            && of_intent.is_none_or(|intent| it.order == *intent)
    };
    let mut found: Vec<&Session> = world.sessions.iter().filter(fits).collect();
    found.reverse();
    if let Some(after) = query.get("starting_after") {
        let place = found.iter().position(|it| it.id == *after);
        found.drain(..place.map_or(0, |place| place + 1));
    }
    let limit = usize::try_from(limit).unwrap_or(10);
    let has_more = found.len() > limit;
    let data: Vec<Value> = found.into_iter().take(limit).map(session).collect();
    ok(&json!({"object": "list", "has_more": has_more, "url": "/v1/checkout/sessions", "data": data}))
}

/// Events, the newest first; those that were not delivered, if it is asked for them.
fn events(world: &World, account: &str, query: &str) -> (u16, String) {
    let fields: Fields = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let types: Vec<String> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "types[]")
        .map(|(_, value)| value.into_owned())
        .collect();
    if types.len() > 20 {
        return invalid("You may pass up to 20 types.");
    }
    let from = fields
        .get("created[gte]")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let wanted = fields.get("delivery_success").map(String::as_str);
    let shown = world.outgoing.iter().rev().filter_map(|webhook| {
        let is_delivered = webhook.state == WebhookState::Sent;
        let fits = webhook.provider == Provider::Stripe
            && webhook.account == account
            && wanted.is_none_or(|wanted| (wanted == "true") == is_delivered)
            && (types.is_empty() || types.contains(&webhook.kind));
        let event: Value = serde_json::from_str(&webhook.body).ok().filter(|_| fits)?;
        (event["created"].as_i64()? >= from).then_some(event)
    });
    let mut found: Vec<Value> = shown.collect();
    if let Some(after) = fields.get("starting_after") {
        let place = found.iter().position(|event| event["id"] == **after);
        found.drain(..place.map_or(0, |place| place + 1));
    }
    let limit = fields.get("limit").and_then(|text| text.parse::<usize>().ok());
    let limit = limit.unwrap_or(10).clamp(1, 100);
    let has_more = found.len() > limit;
    found.truncate(limit);
    ok(&json!({"object": "list", "has_more": has_more, "url": "/v1/events", "data": found}))
}

fn of_intent(world: &World, account: &str, intent: &str) -> Option<usize> {
    let is = |it: &Session| it.provider == Provider::Stripe && it.account == account && it.order == intent;
    world.sessions.iter().position(is)
}

fn of_payment(world: &World, account: &str, query: &Fields, of: fn(&Session) -> Vec<Value>) -> Vec<Value> {
    let intent = query.get("payment_intent").map(String::as_str).unwrap_or_default();
    let place = of_intent(world, account, intent);
    place.map(|place| of(&world.sessions[place])).unwrap_or_default()
}

fn refund(world: &mut World, account: &str, fields: &Fields, now: i64) -> (u16, String) {
    let intent = fields.get("payment_intent").cloned().unwrap_or_default();
    let Some(place) = of_intent(world, account, &intent) else {
        return missing("payment_intent", &intent);
    };
    let Some(charge) = paid(&world.sessions[place]) else {
        return invalid("This PaymentIntent does not have a successful charge to refund.");
    };
    let of = &world.sessions[place].charges[charge];
    let left = of.units - of.refunded();
    let units = fields.get("amount").map_or(Ok(left), |text| text.parse());
    let Ok(units) = units else {
        return invalid("Invalid integer: amount");
    };
    if of
        .disputes
        .iter()
        .any(|dispute| dispute.verdict.is_none_or(|verdict| verdict == Verdict::Lost))
    {
        return error(400, "invalid_request_error", "The charge has been charged back.");
    }
    let made = Refund {
        id: world.new_id("re_"),
        reference: fields.get("metadata[refund]").cloned().unwrap_or_default(),
        state: world.refund_end,
        units,
        notes: metadata(fields, "metadata"),
        created: now / 1_000,
    };
    match world.refund(place, charge, made, now) {
        Ok(made) => ok(&refund_object(&world.sessions[place], charge, made)),
        Err(why) => invalid(&why),
    }
}

fn session(of: &Session) -> Value {
    let last = of.charges.last();
    let succeeded = paid(of).map(|place| &of.charges[place]);
    let status = match of.state {
        SessionState::Open => "open",
        SessionState::Complete => "complete",
        SessionState::Expired | SessionState::Cancelled => "expired",
    };
    let (units, currency) = succeeded.map_or((of.units, &of.currency), |charge| (charge.units, &charge.currency));
    json!({
        "id": of.id, "object": "checkout.session", "amount_subtotal": units, "amount_total": units,
        "currency": currency.to_ascii_lowercase(), "client_reference_id": of.reference, "created": of.created,
        "expires_at": of.expires_at, "livemode": false, "metadata": of.notes["session"], "mode": "payment",
        "payment_intent": last.map(|_| &of.order), "payment_status": if succeeded.is_some() { "paid" } else { "unpaid" },
        "status": status, "success_url": of.return_url, "cancel_url": of.return_url,
        "url": (of.state == SessionState::Open).then_some(&of.url),
        "customer_details": {"email": of.customer["email"]},
    })
}

fn intent(of: &Session) -> Value {
    let last = of.charges.last();
    let succeeded = paid(of).map(|place| &of.charges[place]);
    let charge = succeeded.or(last);
    let status = match charge.map(|charge| charge.state) {
        Some(ChargeState::Succeeded) => "succeeded",
        Some(ChargeState::Processing) => "processing",
        Some(ChargeState::Failed) | None => "requires_payment_method",
    };
    let failed = charge.is_some_and(|charge| charge.state == ChargeState::Failed);
    let declined = json!({"type": "card_error", "code": "card_declined", "message": "Your card was declined."});
    json!({
        "id": of.order, "object": "payment_intent",
        "amount": charge.map_or(of.units, |charge| charge.units),
        "amount_received": succeeded.map_or(0, |charge| charge.units),
        "currency": charge.map_or(&of.currency, |charge| &charge.currency).to_ascii_lowercase(),
        "created": of.created, "latest_charge": last.map(|charge| &charge.id), "metadata": of.notes["intent"],
        "last_payment_error": failed.then_some(declined), "status": status,
    })
}

fn charge_object(of: &Session, charge: &Charge) -> Value {
    let refunded = charge.refunded();
    json!({
        "id": charge.id, "object": "charge", "amount": charge.units, "amount_refunded": refunded,
        "amount_captured": if charge.state == ChargeState::Succeeded { charge.units } else { 0 },
        "currency": charge.currency.to_ascii_lowercase(), "created": charge.created, "metadata": of.notes["intent"],
        "payment_intent": of.order, "refunded": refunded == charge.units, "disputed": !charge.disputes.is_empty(),
        "paid": charge.state == ChargeState::Succeeded,
        "status": match charge.state {
            ChargeState::Succeeded => "succeeded",
            ChargeState::Processing => "pending",
            ChargeState::Failed => "failed",
        },
    })
}

/// The newest first.
fn refunds(of: &Session) -> Vec<Value> {
    let all = of.charges.iter().enumerate();
    let mut found: Vec<Value> = all
        .flat_map(|(place, charge)| (0..charge.refunds.len()).map(move |refund| refund_object(of, place, refund)))
        .collect();
    found.reverse();
    found
}

fn refund_object(of: &Session, charge: usize, refund: usize) -> Value {
    let (charge, refund) = (&of.charges[charge], &of.charges[charge].refunds[refund]);
    let failed = refund.state == RefundEnd::Failed;
    json!({
        "id": refund.id, "object": "refund", "amount": refund.units, "charge": charge.id, "created": refund.created,
        "currency": charge.currency.to_ascii_lowercase(), "metadata": refund.notes, "payment_intent": of.order,
        "reason": Value::Null, "failure_reason": failed.then_some("expired_or_canceled_card"),
        "status": match refund.state {
            RefundEnd::Pending => "pending",
            RefundEnd::Succeeded => "succeeded",
            RefundEnd::Failed => "failed",
        },
    })
}

fn disputes(of: &Session) -> Vec<Value> {
    let all = of
        .charges
        .iter()
        .flat_map(|charge| charge.disputes.iter().map(move |it| (charge, it)));
    let mut found: Vec<Value> = all.map(|(charge, it)| dispute_object(of, charge, it)).collect();
    found.reverse();
    found
}

fn dispute_object(of: &Session, charge: &Charge, dispute: &Dispute) -> Value {
    json!({
        "id": dispute.id, "object": "dispute", "amount": dispute.units, "charge": charge.id,
        "currency": charge.currency.to_ascii_lowercase(), "created": dispute.created, "metadata": {},
        "payment_intent": of.order, "reason": "fraudulent", "is_charge_refundable": false,
        "status": match dispute.verdict {
            None => "needs_response",
            Some(Verdict::Won) => "won",
            Some(Verdict::Lost) => "lost",
            Some(Verdict::Closed) => "warning_closed",
        },
    })
}

fn event(kind: &'static str, object: &Value, now: i64) -> News {
    let id = uuid::Uuid::new_v4().simple();
    let body = json!({
        "id": format!("evt_{id}"), "object": "event", "api_version": "2026-07-29.dahlia", "created": now / 1_000,
        "data": {"object": object}, "livemode": false, "pending_webhooks": 1,
        "request": {"id": Value::Null, "idempotency_key": Value::Null}, "type": kind,
    });
    News {
        kind,
        body: body.to_string(),
    }
}

pub(crate) fn of_session(kind: &'static str, of: &Session, now: i64) -> News {
    event(kind, &session(of), now)
}

pub(crate) fn attempted(of: &Session, charge: usize, now: i64) -> Vec<News> {
    let charge = &of.charges[charge];
    let (intent, object) = (intent(of), charge_object(of, charge));
    match charge.state {
        ChargeState::Succeeded => vec![
            event("payment_intent.succeeded", &intent, now),
            event("charge.succeeded", &object, now),
            of_session("checkout.session.completed", of, now),
        ],
        ChargeState::Processing => vec![
            event("payment_intent.processing", &intent, now),
            of_session("checkout.session.completed", of, now),
        ],
        ChargeState::Failed => vec![
            event("payment_intent.payment_failed", &intent, now),
            event("charge.failed", &object, now),
        ],
    }
}

pub(crate) fn settled(of: &Session, charge: usize, now: i64) -> Vec<News> {
    if of.charges[charge].state == ChargeState::Succeeded {
        vec![
            event("payment_intent.succeeded", &intent(of), now),
            event("charge.succeeded", &charge_object(of, &of.charges[charge]), now),
            of_session("checkout.session.async_payment_succeeded", of, now),
        ]
    } else {
        vec![
            event("payment_intent.payment_failed", &intent(of), now),
            of_session("checkout.session.async_payment_failed", of, now),
        ]
    }
}

pub(crate) fn refunded(of: &Session, charge: usize, refund: usize, is_new: bool, now: i64) -> Vec<News> {
    let object = refund_object(of, charge, refund);
    let mut news = vec![event(
        if is_new { "refund.created" } else { "refund.updated" },
        &object,
        now,
    )];
    if of.charges[charge].refunds[refund].state == RefundEnd::Failed {
        news.push(event("refund.failed", &object, now));
    } else if is_new {
        news.push(event("charge.refunded", &charge_object(of, &of.charges[charge]), now));
    }
    news
}

pub(crate) fn disputed(of: &Session, charge: usize, now: i64) -> Vec<News> {
    let charge = &of.charges[charge];
    let Some(dispute) = charge.disputes.last() else {
        return Vec::new();
    };
    let object = dispute_object(of, charge, dispute);
    let kinds: &[&str] = match dispute.verdict {
        None => &["charge.dispute.created", "charge.dispute.funds_withdrawn"],
        Some(Verdict::Won) => &["charge.dispute.closed", "charge.dispute.funds_reinstated"],
        Some(_) => &["charge.dispute.closed"],
    };
    kinds.iter().map(|kind| event(kind, &object, now)).collect()
}
