//! /v1/notifications: what one is told oneself, in the organization that one acts in; the browsers that are told of it, and
//! addresses that have mail again.

mod push;
mod suppressions;

use axum::extract::{FromRef, State};
use gate::{Gate, Routes, Serve, routes};
use inbox::{Item, ItemView};
use kernel::policy::{ManageNotifications, ReadNotifications};
use kernel::{NotificationId, Scope};
use lambda::{App, Env, Function, Json, List, Pages, Paging, Path, Result, Start};
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
}

impl Start for Notices {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            push_keys: PushKeys::of(env).await?,
            allow: AllowList::parse(env.optional("OUTBOUND_ALLOW").unwrap_or_default()),
            app,
        })
    }
}

impl Serve for Notices {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new()
            .members(routes![list, read])
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
