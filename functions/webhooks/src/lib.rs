//! /v1/webhook-subscriptions: endpoints that are told of events, what became of telling them, and the events themselves.

use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use endpoints::call::Trial;
use endpoints::log::EventPage;
use endpoints::{DeliveryView, Endpoint, EndpointPatch, EndpointView, NewEndpoint, SignedEndpointView};
use gate::{Gate, Routes, Serve, routes};
use kernel::check::{Check, Input};
use kernel::policy::{ManageWebhooks, ReadWebhooks};
use kernel::{Error, JobId, MessageId, Scope, Time, WebhookId};
use lambda::{App, Created, Env, Function, Json, List, Pages, Paging, Path, Query, Result, Start};
use outbound::{AllowList, Client};
use serde::{Deserialize, Serialize};

/// The function.
pub const FUNCTION: Function = gate::function::<Webhooks>("webhooks");

/// How long the keys of before sign too, unless somebody says otherwise; and at most.
const OVERLAP: u32 = 86_400;
const LONGEST_OVERLAP: u32 = 604_800;
/// So many events a page of the log has, unless somebody says otherwise.
const PAGE: u16 = 100;

#[derive(Clone, FromRef)]
struct Webhooks {
    app: App,
    gate: Gate,
    client: Client,
}

impl Start for Webhooks {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        let allow = AllowList::parse(env.optional("OUTBOUND_ALLOW").unwrap_or_default());
        Ok(Self {
            gate: Gate::of(env, &app)?,
            client: Client::new(allow),
            app,
        })
    }
}

impl Serve for Webhooks {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new().members(routes![
            create,
            list,
            get,
            update,
            delete,
            rotate,
            test,
            deliveries,
            replay,
            replay_since,
            log
        ])
    }
}

/// Makes a webhook subscription
///
/// Each event that it names is posted to its `url` as `{type, timestamp, data}`, signed by the Standard Webhooks' schemes `v1`
/// (`secret`, which this reply alone shows: the key is what the base64 after `whsec_` decodes to) and `v1a` (`publicKey`).
/// Any 2xx within 15 s is success; else it is tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h, or after what
/// `Retry-After` asks for. 410 disables it, and so do five days of failures. An organization has at most 100 (409
/// `too_many_webhooks`).
#[utoipa::path(post, path = "/v1/webhook-subscriptions", operation_id = "create_webhook_subscription", tag = "Webhooks",
    request_body = NewEndpoint, responses((status = 201, body = SignedEndpointView)))]
async fn create(
    State(app): State<App>,
    State(client): State<Client>,
    scope: Scope<ManageWebhooks>,
    Json(input): Json<NewEndpoint>,
) -> Result<Created<SignedEndpointView>> {
    Ok(Created(
        Endpoint::create(&app, &scope, input, client.allow_list()).await?,
    ))
}

/// Lists the webhook subscriptions, newest first
#[utoipa::path(get, path = "/v1/webhook-subscriptions", operation_id = "list_webhook_subscriptions", tag = "Webhooks",
    params(Paging), responses((status = 200, body = List<EndpointView>)))]
async fn list(State(app): State<App>, scope: Scope<ReadWebhooks>, pages: Pages) -> Result<Json<List<EndpointView>>> {
    let page = Endpoint::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, EndpointView::from)?))
}

/// Shows a webhook subscription
#[utoipa::path(get, path = "/v1/webhook-subscriptions/{id}", operation_id = "get_webhook_subscription", tag = "Webhooks",
    params(("id" = WebhookId, Path, description = "The subscription.")), responses((status = 200, body = EndpointView)))]
async fn get(
    State(app): State<App>,
    scope: Scope<ReadWebhooks>,
    Path(id): Path<WebhookId>,
) -> Result<Json<EndpointView>> {
    Ok(Json(Endpoint::load(&app.table, &scope, id).await?.into()))
}

/// Changes a webhook subscription
///
/// Disabling one keeps what happens meanwhile as `skipped`; enabling it again sends nothing of that, a replay does.
#[utoipa::path(patch, path = "/v1/webhook-subscriptions/{id}", operation_id = "update_webhook_subscription",
    tag = "Webhooks", params(("id" = WebhookId, Path, description = "The subscription.")), request_body = EndpointPatch,
    responses((status = 200, body = EndpointView)))]
async fn update(
    State(app): State<App>,
    State(client): State<Client>,
    scope: Scope<ManageWebhooks>,
    Path(id): Path<WebhookId>,
    Json(input): Json<EndpointPatch>,
) -> Result<Json<EndpointView>> {
    let endpoint = Endpoint::save(&app, &scope, id, input, client.allow_list()).await?;
    Ok(Json(endpoint.into()))
}

/// Deletes a webhook subscription
///
/// What was to be delivered to it fails.
#[utoipa::path(delete, path = "/v1/webhook-subscriptions/{id}", operation_id = "delete_webhook_subscription",
    tag = "Webhooks", params(("id" = WebhookId, Path, description = "The subscription.")),
    responses((status = 204, description = "It is deleted.")))]
async fn delete(State(app): State<App>, scope: Scope<ManageWebhooks>, Path(id): Path<WebhookId>) -> Result<StatusCode> {
    Endpoint::delete(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How long the keys of before sign too.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = WebhookRotation)]
struct Rotation {
    /// 0 to 604800 seconds; 86400, a day, if absent.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 604_800, example = 86_400)]
    overlap_seconds: Option<u32>,
}

impl Input for Rotation {
    fn check(&self, check: &mut Check) {
        let fits = self.overlap_seconds.is_none_or(|seconds| seconds <= LONGEST_OVERLAP);
        check.that(fits, "overlapSeconds", format!("must be 0 to {LONGEST_OVERLAP}"));
    }
}

/// Gives a webhook subscription other keys
///
/// The reply alone shows the new secret. The keys of before sign too until `previousExpiresAt`: so each request has four
/// signatures until then.
#[utoipa::path(post, path = "/v1/webhook-subscriptions/{id}/rotate-secret", operation_id = "rotate_webhook_secret",
    tag = "Webhooks", params(("id" = WebhookId, Path, description = "The subscription.")), request_body = Rotation,
    responses((status = 200, body = SignedEndpointView)))]
async fn rotate(
    State(app): State<App>,
    scope: Scope<ManageWebhooks>,
    Path(id): Path<WebhookId>,
    Json(input): Json<Rotation>,
) -> Result<Json<SignedEndpointView>> {
    let overlap = i64::from(input.overlap_seconds.unwrap_or(OVERLAP));
    let until = app.now().plus_seconds(overlap);
    Ok(Json(Endpoint::rotate(&app, &scope, id, until).await?))
}

/// What an endpoint is tried with.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhookTrial)]
struct NewTrial {
    /// The name of an event; the first one that there is if absent.
    #[serde(default, rename = "type")]
    #[schema(example = "invoice.paid")]
    kind: Option<String>,
}

impl Input for NewTrial {
    fn check(&self, _: &mut Check) {}
}

/// Calls an endpoint once, with an event as it might be
///
/// Waits for at most 12 s, and never shows what the endpoint answered but its status. At most 10 a minute.
#[utoipa::path(post, path = "/v1/webhook-subscriptions/{id}/test", operation_id = "test_webhook_subscription",
    tag = "Webhooks", params(("id" = WebhookId, Path, description = "The subscription.")), request_body = NewTrial,
    responses((status = 200, body = Trial)))]
async fn test(
    State(app): State<App>,
    State(client): State<Client>,
    scope: Scope<ManageWebhooks>,
    Path(id): Path<WebhookId>,
    Json(input): Json<NewTrial>,
) -> Result<Json<Trial>> {
    let trial = endpoints::try_out(&app, &client, &scope, id, input.kind.as_deref()).await?;
    Ok(Json(trial))
}

/// Lists what became of the events for an endpoint, newest first
///
/// Kept for 30 days after it was over.
#[utoipa::path(get, path = "/v1/webhook-subscriptions/{id}/deliveries", operation_id = "list_webhook_deliveries",
    tag = "Webhooks", params(("id" = WebhookId, Path, description = "The subscription."), Paging),
    responses((status = 200, body = List<DeliveryView>)))]
async fn deliveries(
    State(app): State<App>,
    scope: Scope<ReadWebhooks>,
    Path(id): Path<WebhookId>,
    pages: Pages,
) -> Result<Json<List<DeliveryView>>> {
    let endpoint = Endpoint::load(&app.table, &scope, id).await?;
    let page = endpoints::delivery::list(&app, &scope, &endpoint, pages.slice()?).await?;
    Ok(Json(pages.list(page, |view| view)?))
}

/// Has an event told once more
///
/// Whatever became of it, under the same `webhook-id` and with the same bytes; its attempts are added to those there are. 409
/// `delivery_pending` while it is still to be delivered, `webhook_disabled` while the subscription is.
#[utoipa::path(post, path = "/v1/webhook-subscriptions/{id}/deliveries/{deliveryId}/replay",
    operation_id = "replay_webhook_delivery", tag = "Webhooks",
    params(("id" = WebhookId, Path, description = "The subscription."), ("deliveryId" = JobId, Path, description = "The delivery.")),
    responses((status = 202, description = "It will be told.", body = DeliveryView)))]
async fn replay(
    State(app): State<App>,
    scope: Scope<ManageWebhooks>,
    Path((id, delivery)): Path<(WebhookId, JobId)>,
) -> Result<(StatusCode, Json<DeliveryView>)> {
    let view = endpoints::replay_one(&app, &scope, id, delivery).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Since when events are to be told once more.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhookReplay)]
struct NewReplay {
    /// A moment of the last 30 days.
    since: Time,
}

impl Input for NewReplay {
    fn check(&self, _: &mut Check) {}
}

/// That events will be told once more.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WebhookReplay)]
struct Replaying {
    /// Those since then.
    since: Time,
}

/// Has all events told once more that happened since a moment
///
/// But those that are still to be delivered; whatever became of the others, each under its own `webhook-id`. 409 `webhook_disabled` while the
/// subscription is.
#[utoipa::path(post, path = "/v1/webhook-subscriptions/{id}/replay", operation_id = "replay_webhook_events",
    tag = "Webhooks", params(("id" = WebhookId, Path, description = "The subscription.")), request_body = NewReplay,
    responses((status = 202, description = "They will be told.", body = Replaying)))]
async fn replay_since(
    State(app): State<App>,
    scope: Scope<ManageWebhooks>,
    Path(id): Path<WebhookId>,
    Json(input): Json<NewReplay>,
) -> Result<(StatusCode, Json<Replaying>)> {
    endpoints::replay_since(&app, &scope, id, input.since).await?;
    Ok((StatusCode::ACCEPTED, Json(Replaying { since: input.since })))
}

/// Which events are read.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Those after this one: a `webhook-id`, or `nextCursor`. From the oldest on if absent.
    #[param(inline)]
    after: Option<MessageId>,
    /// So many at most: 1 to 100.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
}

/// Reads the events of the last 30 days, oldest first
///
/// The same log that subscriptions are told of, for those who would rather pull. An event is shown 15 seconds after it happened. Go on after the last
/// id that you have read; a page may be short.
#[utoipa::path(get, path = "/v1/webhook-events", operation_id = "list_webhook_events", tag = "Webhooks", params(Wanted),
    responses((status = 200, body = EventPage)))]
async fn log(
    State(app): State<App>,
    scope: Scope<ReadWebhooks>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<EventPage>> {
    let limit = wanted.limit.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&limit) {
        return Err(Error::invalid("limit", format!("must be 1 to {PAGE}")).into());
    }
    Ok(Json(endpoints::log::read(&app, &scope, wanted.after, limit).await?))
}
