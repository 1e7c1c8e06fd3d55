//! /v1/notifications, /v1/notification-preferences: what one is told oneself in the organization that one acts in, and how one
//! wants it; /v1/unsubscribe, which mails lead to; /v1/push, browsers that are told too; /v1/email-suppressions, addresses that
//! have mail again.
//!
//! # Known bounds
//!
//! - Mail providers post for all of their readers from a few addresses, each of which is let in 60 times a minute.
//! - Whether an organization has a client with an address is looked for among its first 50,000 clients, in one request.

mod push;
mod suppressions;
mod unsubscribe;

use axum::extract::{FromRef, State};
use gate::{Gate, Routes, Serve, routes};
use inbox::{Item, ItemView, Preferences, PreferencesInput, PreferencesView};
use kernel::policy::{ManageNotifications, ReadNotifications};
use kernel::{NotificationId, Scope};
use lambda::{App, Env, Function, Json, List, Pages, Paging, Path, Result, Start};
use notifications::Desk;
use notifications::push::PushKeys;
use outbound::AllowList;
use serde::Deserialize;

/// The function.
pub const FUNCTION: Function = gate::function::<Notices>("notices");

#[derive(Clone, FromRef)]
struct Notices {
    app: App,
    gate: Gate,
    push_keys: PushKeys,
    /// What may be called although it is not public.
    allow: AllowList,
    /// The page where people say how they want to be told.
    console: String,
}

impl Start for Notices {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            push_keys: PushKeys::of(env).await?,
            allow: AllowList::parse(env.optional("OUTBOUND_ALLOW").unwrap_or_default()),
            console: Desk::of(env, &app)?.page("/settings/notifications"),
            app,
        })
    }
}

impl Serve for Notices {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new()
            .members(routes![list, read, preferences, set_preferences])
            .visitors(unsubscribe::routes())
            .and(push::routes())
            .and(suppressions::routes())
    }
}

/// Which notifications are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Those alone that were not read; all if absent or `false`.
    #[serde(default)]
    unread: bool,
}

/// Lists what one was told oneself, newest first
///
/// Of this organization alone. Each is kept for 90 days.
#[utoipa::path(get, path = "/v1/notifications", operation_id = "list_notifications", tag = "Notifications",
    params(Paging, Which), responses((status = 200, body = List<ItemView>)))]
async fn list(
    State(app): State<App>,
    scope: Scope<ReadNotifications>,
    pages: Pages<Which>,
) -> Result<Json<List<ItemView>>> {
    let page = Item::list(&app, &scope, pages.filter.unread, pages.slice()?).await?;
    Ok(Json(pages.list(page, ItemView::from)?))
}

/// Notes that one has read a notification
#[utoipa::path(post, path = "/v1/notifications/{id}/read", operation_id = "read_notification", tag = "Notifications",
    params(("id" = NotificationId, Path, description = "The notification")), responses((status = 200, body = ItemView)))]
async fn read(
    State(app): State<App>,
    scope: Scope<ManageNotifications>,
    Path(id): Path<NotificationId>,
) -> Result<Json<ItemView>> {
    Ok(Json(Item::read(&app, &scope, id).await?.into()))
}

/// Shows how one wants to be told
///
/// By topic and way: at once (`now`), with a digest, or not (`off`). Whoever has set nothing is told everything at once; digests
/// come at 08:00 UTC, on Mondays. Digests by mail are one for each topic, and never empty.
#[utoipa::path(get, path = "/v1/notification-preferences", operation_id = "get_notification_preferences",
    tag = "Notifications", responses((status = 200, body = PreferencesView)))]
async fn preferences(State(app): State<App>, scope: Scope<ReadNotifications>) -> Result<Json<PreferencesView>> {
    Ok(Json(Preferences::own(&app.table, &scope).await?.into()))
}

/// Sets how one wants to be told
///
/// All of it: what is left out is as if it had never been set. What waits for a digest comes with the next one as it is due now.
/// During quiet hours mail and push wait for their end, but for `payments` and `security`, whose mail cannot be turned off
/// either.
#[utoipa::path(put, path = "/v1/notification-preferences", operation_id = "set_notification_preferences",
    tag = "Notifications", request_body = PreferencesInput, responses((status = 200, body = PreferencesView)))]
async fn set_preferences(
    State(app): State<App>,
    scope: Scope<ManageNotifications>,
    Json(input): Json<PreferencesInput>,
) -> Result<Json<PreferencesView>> {
    Ok(Json(Preferences::set(&app, &scope, &input).await?.into()))
}
