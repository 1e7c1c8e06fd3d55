//! `/_double/…`: what it is told, and what it tells. `GET /_double` lists it.

use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Shared;
use crate::page::{escaped, html};
use crate::serve::json as reply;
use crate::world::{Account, Act, Fault, Flow, RefundEnd, Session};

const HELP: &str = "\
GET  /_double/sessions   every payment page there is
GET  /_double/webhooks   every webhook, in the order in which they came about
GET  /_double/calls      every call, with its key and a hash of its body
GET  /_double/counts     what really happened, by the caller's own reference
POST /_double/accounts   {provider, key, webhookUrl, webhookSecret}
POST /_double/act        {session, do: pay|fail|cancel|delay|settle|bounce|expire|dispute|decide|refund, …}
                         pay {units?, currency?}, dispute {units?}, decide {verdict: won|lost|closed},
                         refund {refund, end: pending|succeeded|failed}
POST /_double/faults     {provider?, on?: open|close|refund|capture|look, kind: error|lost|slow|busy|conflict|retry|never, done?, times?}
POST /_double/flow       {flow: prompt|late|repeated|reversed|held}
POST /_double/refunds    {end: pending|succeeded|failed}: what becomes of refunds from now on
POST /_double/release    {ids: […]}: sends these webhooks, in this order
";

#[derive(Deserialize)]
struct Asked {
    session: String,
    #[serde(flatten)]
    act: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFlow {
    flow: Flow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEnd {
    end: RefundEnd,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    ids: Vec<String>,
}

pub(crate) fn answer(shared: &Shared, parts: &Parts, body: &[u8]) -> Response {
    let path = parts.uri.path().trim_end_matches('/');
    let shown = match (parts.method.as_str(), path) {
        ("GET", "/_double/sessions") => Some(sessions(shared)),
        ("GET", "/_double/webhooks") => Some(shared.world().webhooks()),
        ("GET", "/_double/calls") => Some(shared.world().calls()),
        ("GET", "/_double/counts") => Some(json!(shared.world().counts())),
        ("GET", "" | "/_double") => return front(shared),
        _ => None,
    };
    if let Some(data) = shown {
        return reply(200, json!({"data": data}).to_string());
    }
    if parts.method != "POST" {
        return reply(404, json!({"detail": "GET /_double says what there is"}).to_string());
    }
    match told(shared, path, body) {
        Ok(()) => {
            shared.0.due.notify_one();
            reply(200, json!({"done": true}).to_string())
        }
        Err(why) => reply(400, json!({"detail": why}).to_string()),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn told(shared: &Shared, path: &str, body: &[u8]) -> Result<(), String> {
    let mut world = shared.world();
    match path {
        "/_double/accounts" => world.register(read::<Account>(body)?),
        "/_double/act" => {
            let asked: Asked = read(body)?;
            let act: Act = serde_json::from_value(asked.act).map_err(|error| error.to_string())?;
            world.act(&asked.session, &act, shared.now())?;
        }
        "/_double/faults" => world.faults.push(read::<Fault>(body)?),
        "/_double/flow" => world.flow = read::<NewFlow>(body)?.flow,
        "/_double/refunds" => world.refund_end = read::<NewEnd>(body)?.end,
        "/_double/release" => world.release(&read::<Release>(body)?.ids),
        _ => return Err("GET /_double says what there is".to_owned()),
    }
    Ok(())
}

fn sessions(shared: &Shared) -> Value {
    let world = shared.world();
    let shown = world.sessions.iter().map(|it| {
        json!({"provider": it.provider, "id": it.id, "reference": it.reference, "units": it.units,
            "currency": it.currency, "url": it.url, "state": format!("{:?}", it.state).to_lowercase()})
    });
    shown.collect()
}

fn front(shared: &Shared) -> Response {
    let world = shared.world();
    let row = |it: &Session| {
        let (url, currency) = (escaped(&it.url), escaped(&it.currency));
        let (name, units, state, tries) = (it.provider.name(), it.units, it.state, it.charges.len());
        format!("<li><a href=\"{url}\">{name} {currency} {units}</a>: {state:?}, {tries} attempts</li>")
    };
    let rows: Vec<String> = world.sessions.iter().rev().take(50).map(row).collect();
    let rows = rows.join("\n");
    let body = format!(
        "<h1>No real payments</h1>\n<pre>{}</pre>\n<ul>\n{rows}</ul>",
        escaped(HELP)
    );
    html(StatusCode::OK, "Payment double", &body)
}
