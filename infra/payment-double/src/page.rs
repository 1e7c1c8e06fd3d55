//! `/hosted/{provider}/{session}`: the page where a person pays, fails or leaves. Plain HTML, no script.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::Shared;
use crate::serve::text;
use crate::world::{Act, ChargeState, Provider, Session, SessionState, World};

pub(crate) fn answer(shared: &Shared, parts: &Parts, body: &[u8]) -> Response {
    let id = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let mut world = shared.world();
    world.expire(shared.now());
    let Some(place) = world.sessions.iter().position(|session| session.id == id) else {
        return html(
            StatusCode::NOT_FOUND,
            "There is no such page",
            "<p>There is no such payment.</p>",
        );
    };
    if parts.method == "GET" {
        return show(&world.sessions[place]);
    }
    let fields: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let act = match fields.get("do").map(String::as_str) {
        Some("pay") => Act::Pay {
            units: None,
            currency: None,
        },
        Some("fail") => Act::Fail,
        Some("delay") => Act::Delay,
        Some("cancel") => Act::Cancel,
        _ => return html(StatusCode::BAD_REQUEST, "What?", "<p>Use one of the buttons.</p>"),
    };
    let is_open = world.sessions[place].state == SessionState::Open;
    if !is_open && !matches!(act, Act::Cancel) {
        return show(&world.sessions[place]);
    }
    if let Err(why) = world.act(&id, &act, shared.now()) {
        return html(
            StatusCode::CONFLICT,
            "It did not work",
            &format!("<p>{}</p>", escaped(&why)),
        );
    }
    shared.0.due.notify_one();
    back(&world, place)
}

/// Sends the person back to where the session was opened for.
fn back(world: &World, place: usize) -> Response {
    let session = &world.sessions[place];
    let mut target = session.return_url.clone();
    let paid = session
        .charges
        .iter()
        .rev()
        .find(|charge| charge.state == ChargeState::Succeeded);
    if let (Provider::Razorpay, Some(paid)) = (session.provider, paid) {
        let secret = world
            .key_secrets
            .get(&session.account)
            .map(String::as_str)
            .unwrap_or_default();
        let signed = format!("{}|{}|paid|{}", session.id, session.reference, paid.id);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = hex::encode(hmac::sign(&key, signed.as_bytes()));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("razorpay_payment_id", &paid.id)
            .append_pair("razorpay_payment_link_id", &session.id)
            .append_pair("razorpay_payment_link_reference_id", &session.reference)
            .append_pair("razorpay_payment_link_status", "paid")
            .append_pair("razorpay_signature", &signature);
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(&query.finish());
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    match HeaderValue::from_str(&target) {
        Ok(target) if !target.is_empty() => {
            response.headers_mut().insert("location", target);
            response
        }
        _ => show(session),
    }
}

fn show(session: &Session) -> Response {
    let places = match session.provider {
        Provider::Cashfree => 2,
        _ => match session.currency.as_str() {
            "JPY" | "KRW" | "CLP" | "VND" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
            _ => 2,
        },
    };
    let digits = format!("{:0>width$}", session.units, width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let amount = if places == 0 {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    };
    let title = match session.provider {
        Provider::Stripe => "Stripe",
        Provider::Razorpay => "Razorpay",
        Provider::Cashfree => "Cashfree",
    };
    let buttons = [
        ("pay", "Pay"),
        ("fail", "Fail"),
        ("delay", "Pay by a slow method"),
        ("cancel", "Cancel"),
    ];
    let shown = match session.state {
        SessionState::Open => buttons.map(|(act, label)| button(act, label)).concat(),
        SessionState::Complete => "<p>This is paid.</p>".to_owned(),
        SessionState::Expired | SessionState::Cancelled => "<p>This payment link is no longer active.</p>".to_owned(),
    };
    let tried = session.charges.iter().any(|charge| charge.state == ChargeState::Failed);
    let declined = if tried {
        "<p role=\"status\">A payment was declined.</p>"
    } else {
        ""
    };
    let body = format!(
        "<h1>{} {amount}</h1>\n<p>{}</p>\n{declined}<form method=\"post\">\n{shown}</form>\n\
         <p><small>This is no real {title}: no money moves.</small></p>",
        escaped(&session.currency),
        escaped(&session.description),
    );
    html(StatusCode::OK, &format!("Pay with {title}"), &body)
}

fn button(act: &str, label: &str) -> String {
    format!("<button name=\"do\" value=\"{act}\" id=\"{act}\">{label}</button>\n")
}

pub(crate) fn html(status: StatusCode, title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <style>body{{font-family:sans-serif;max-width:30rem;margin:3rem auto;padding:0 1rem}}\
         button{{font-size:1.1rem;padding:.6rem 1rem;margin:.3rem .3rem .3rem 0}}</style>\n</head>\n<body>\n<main>\n{body}\n\
         </main>\n</body>\n</html>\n"
    );
    text(status, "text/html; charset=utf-8", page)
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
