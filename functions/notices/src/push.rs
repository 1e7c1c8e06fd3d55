//! /v1/push: browsers that one allows messages to oneself.

use axum::extract::State;
use axum::http::StatusCode;
use gate::{Routes, routes};
use identity::User;
use kernel::policy::ManageOwnAccount;
use kernel::{Error, PushSubscriptionId, Scope};
use lambda::{App, Created, Json, Path, Result};
use notifications::push::{NewSubscription, PushKeys, SubscriptionView, Subscriptions};
use outbound::AllowList;
use serde::Serialize;

use crate::Notices;

/// The key for everybody, and what is a person's own.
pub(crate) fn routes() -> Routes<Notices> {
    Routes::new()
        .open(routes![key])
        .signed_in(routes![list, subscribe, unsubscribe])
}

/// The key that subscriptions are made for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PushKey)]
struct Key {
    /// What a browser wants as `applicationServerKey`: an uncompressed point of P-256 in base64url.
    #[schema(example = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs")]
    key: String,
}

/// Tells the key that push subscriptions are made for
#[utoipa::path(get, path = "/v1/push/key", operation_id = "get_push_key", tag = "Notifications",
    responses((status = 200, body = Key)))]
async fn key(State(keys): State<PushKeys>) -> Result<Json<Key>> {
    let signer = keys.signer(keys.newest())?;
    let signer = signer.ok_or_else(|| Error::Internal(anyhow::anyhow!("a ring without its newest key")))?;
    Ok(Json(Key {
        key: signer.public().to_owned(),
    }))
}

/// The browsers that one has subscribed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PushSubscriptions)]
struct Shown {
    /// All of them, oldest first: 20 at most.
    data: Vec<SubscriptionView>,
}

/// Lists the browsers that one has subscribed
///
/// Those that are still told: none that was subscribed before one's sessions were ended.
#[utoipa::path(get, path = "/v1/push/subscriptions", operation_id = "list_push_subscriptions", tag = "Notifications",
    responses((status = 200, body = Shown)))]
async fn list(State(app): State<App>, scope: Scope<ManageOwnAccount>) -> Result<Json<Shown>> {
    let me = User::me(&app.table, &scope).await?;
    let data = Subscriptions::list(&app.table, &scope, me.epoch()).await?;
    Ok(Json(Shown { data }))
}

/// Subscribes a browser to what one is told
///
/// In all organizations. The body is what a browser's `PushSubscription.toJSON()` gives; the same `endpoint` again is the same subscription, with the
/// keys of then. A person has at most 20 (409 `too_many_push_subscriptions`). One that its push service does not know any more (404, 410) is
/// forgotten; so are all when one's password is changed or reset, or all of one's sessions are ended: a browser subscribes anew then. What a
/// browser is sent is `{title, body, topic, url}`.
#[utoipa::path(post, path = "/v1/push/subscriptions", operation_id = "create_push_subscription", tag = "Notifications",
    request_body = NewSubscription, responses((status = 201, body = SubscriptionView)))]
async fn subscribe(
    State(app): State<App>,
    State(keys): State<PushKeys>,
    State(allow): State<AllowList>,
    scope: Scope<ManageOwnAccount>,
    Json(input): Json<NewSubscription>,
) -> Result<Created<SubscriptionView>> {
    let me = User::me(&app.table, &scope).await?;
    let view = Subscriptions::subscribe(&app, &scope, &input, (keys.newest(), me.epoch()), &allow).await?;
    Ok(Created(view))
}

/// Ends the subscription of a browser
#[utoipa::path(delete, path = "/v1/push/subscriptions/{id}", operation_id = "delete_push_subscription",
    tag = "Notifications", params(("id" = PushSubscriptionId, Path, description = "The subscription.")),
    responses((status = 204, description = "It is deleted.")))]
async fn unsubscribe(
    State(app): State<App>,
    scope: Scope<ManageOwnAccount>,
    Path(id): Path<PushSubscriptionId>,
) -> Result<StatusCode> {
    Subscriptions::unsubscribe(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
