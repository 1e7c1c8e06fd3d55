//! /v1/ingest: takes events from customers' servers, with an API key. What it answers with 202 is durable.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use gate::{Metered, MeteredState, Routes, Serve, routes};
use kernel::{Error, Scope, policy};
use lambda::{App, Function, Json};
use metering::Operation;
use serde::{Deserialize, Serialize};
use telemetry::batch::{self, Format, Rejected};
use telemetry::cloud_event::{self, CloudEvent};
use telemetry::event::NewEvent;

/// The function.
pub const FUNCTION: Function = gate::function::<Ingest>("ingest");

struct Ingest;

impl Serve for Ingest {
    type State = MeteredState;

    fn routes() -> Routes<MeteredState> {
        Routes::new().api_key(Operation::IngestEvent, routes![ingest_event, ingest_events])
    }
}

/// What was taken.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Taken {
    /// `queued`: the events are durable and will be visible within seconds.
    #[schema(example = "queued")]
    status: &'static str,
    /// How many events were taken. One whose `id` was seen within 24 hours is taken, and counts once.
    accepted: usize,
    /// What is wrong with the others.
    rejected: Vec<Rejected>,
}

/// A batch of events.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it documents what telemetry::batch reads event by event")]
struct NewEvents {
    /// 1 to 1,000 events, together at most 1 MiB.
    #[schema(min_items = 1, max_items = 1000)]
    events: Vec<NewEvent>,
}

/// Takes one event
///
/// Also as a CloudEvent 1.0, structured (`application/cloudevents+json`) or binary (`ce-` headers). The body may be
/// compressed (`Content-Encoding: gzip` or `zstd`); it and what it expands to have at most 1 MiB, an event 64 KiB. What an
/// event carries is nested at most 64 levels deep, and has no half of a surrogate pair in its texts.
#[utoipa::path(post, path = "/v1/ingest/event", tag = "Ingest",
    request_body(content((NewEvent = "application/json"), (CloudEvent = "application/cloudevents+json"))),
    responses((status = 202, description = "Durable.", body = Taken)))]
async fn ingest_event(
    State(app): State<App>,
    scope: Scope<policy::IngestEvents>,
    metered: Metered,
    request: Request,
) -> lambda::Result<(StatusCode, Json<Taken>)> {
    let (headers, body) = read(request).await?;
    let now = app.now();
    let kind = content_type(&headers);
    let event = if let Some(format) = cloud_event::mode(kind, headers.contains_key("ce-specversion"))? {
        batch::read_one(&body, format, now)?
    } else {
        let attributes = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let body = cloud_event::join_binary(attributes, kind, &body)?;
        batch::read_one(&body, Format::CloudEvent, now)?
    };
    let charge = metered.cover(1).await?;
    telemetry::enqueue(&app, &scope, now, vec![(0, event)], charge).await?;
    Ok(taken(1, Vec::new()))
}

/// Takes a batch of events
///
/// Good events are kept when others are bad: `rejected` tells which were not taken, and why. Also as a batch of
/// CloudEvents 1.0 (`application/cloudevents-batch+json`). The body may be compressed (`Content-Encoding: gzip` or
/// `zstd`); it and what it expands to have at most 1 MiB.
///
/// A batch counts as one call for each different day (UTC) on which its events occurred, by the rate limits, and has events
/// of at most 100 days: send old events day by day.
#[utoipa::path(post, path = "/v1/ingest/events", tag = "Ingest",
    request_body(content((NewEvents = "application/json"), (Vec<CloudEvent> = "application/cloudevents-batch+json"))),
    responses((status = 202, description = "Durable.", body = Taken)))]
async fn ingest_events(
    State(app): State<App>,
    scope: Scope<policy::IngestEvents>,
    metered: Metered,
    request: Request,
) -> lambda::Result<(StatusCode, Json<Taken>)> {
    let (headers, body) = read(request).await?;
    let now = app.now();
    let (mut good, mut rejected) = batch::read_many(&body, Format::of(content_type(&headers))?, now)?;
    let most_days = batch::MOST_DAYS.min(metered.most_calls()?);
    let (days, of_more_days) = batch::keep_days(&mut good, most_days);
    rejected.extend(of_more_days);
    let many = good.len();
    let mut lost = Vec::new();
    if many > 0 {
        metered.count_as(days).await?;
        let charge = metered.cover(many).await?;
        lost = telemetry::enqueue(&app, &scope, now, good, charge).await?;
    }
    let accepted = many - lost.len();
    let detail = "the queue is away; send this event again";
    rejected.extend(lost.into_iter().map(|index| Rejected {
        index,
        code: "unavailable",
        detail: detail.to_owned(),
    }));
    rejected.sort_by_key(|rejected| rejected.index);
    Ok(taken(accepted, rejected))
}

fn taken(accepted: usize, rejected: Vec<Rejected>) -> (StatusCode, Json<Taken>) {
    (
        StatusCode::ACCEPTED,
        Json(Taken {
            status: "queued",
            accepted,
            rejected,
        }),
    )
}

/// Reads and expands a body.
async fn read(request: Request) -> Result<(HeaderMap, Bytes), Error> {
    let (parts, body) = request.into_parts();
    let body = lambda::read_body(body, batch::LONGEST_BODY).await?;
    match text(&parts.headers, header::CONTENT_ENCODING.as_str()) {
        Some(encoding) => Ok((
            parts.headers.clone(),
            batch::expand(body.to_vec(), Some(encoding))?.into(),
        )),
        None => Ok((parts.headers, body)),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn content_type(headers: &HeaderMap) -> &str {
    text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default()
}
