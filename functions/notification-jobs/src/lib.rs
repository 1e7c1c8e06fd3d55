//! /v1/notification-jobs: what became of the notices that alerts caused. Nothing here sends or changes one.

use axum::extract::State;
use gate::{Guarded, Routes, Serve, routes};
use kernel::policy::ReadAlerts;
use kernel::{AlertId, Scope};
use lambda::{App, Function, Json, List, Paging, Query, Result};
use notifications::JobView;
use notifications::job::store;
use serde::Deserialize;

/// The function.
pub const FUNCTION: Function = gate::function::<NotificationJobs>("notification-jobs");

struct NotificationJobs;

impl Serve for NotificationJobs {
    type State = Guarded;

    fn routes() -> Routes<Guarded> {
        Routes::new().members(routes![list])
    }
}

/// Which notices are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct JobQuery {
    /// The alert that caused them.
    #[param(inline)]
    alert_id: AlertId,
    /// How many at most: 1 to 100, 20 if absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u16>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Lists the notices that an alert caused, newest first
///
/// A notice is tried three times. What became of it is kept for 90 days.
#[utoipa::path(get, path = "/v1/notification-jobs", operation_id = "list_notification_jobs", tag = "Alerts",
    params(JobQuery), responses((status = 200, body = List<JobView>)))]
async fn list(
    State(app): State<App>,
    scope: Scope<ReadAlerts>,
    Query(query): Query<JobQuery>,
) -> Result<Json<List<JobView>>> {
    let paging = Paging {
        limit: query.limit,
        cursor: query.cursor,
    };
    let context = format!("{} /v1/notification-jobs {}", scope.org(), query.alert_id);
    let slice = paging.slice(&app, &context)?;
    let page = store::of_alert(&app.table, &scope, query.alert_id, slice).await?;
    Ok(Json(List::of(&app, &context, page, JobView::from)?))
}
