//! /v1/notification-jobs: what became of the notices that alerts caused. Nothing here sends or changes one.

use axum::extract::State;
use gate::{Routes, routes};
use kernel::policy::ReadAlerts;
use kernel::{AlertId, Scope};
use lambda::{App, Json, List, Pages, Paging, Result};
use notifications::JobView;
use serde::Deserialize;

use crate::Alerts;

pub(crate) fn routes() -> Routes<Alerts> {
    Routes::new().members(routes![list])
}

/// Which notices are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// The alert that caused them.
    #[param(inline)]
    alert_id: AlertId,
}

/// Lists the notices that an alert caused, newest first
///
/// A notice is tried three times. What became of it is kept for 90 days.
#[utoipa::path(get, path = "/v1/notification-jobs", operation_id = "list_notification_jobs", tag = "Alerts",
    params(Listed, Paging), responses((status = 200, body = List<JobView>)))]
async fn list(State(app): State<App>, scope: Scope<ReadAlerts>, pages: Pages<Listed>) -> Result<Json<List<JobView>>> {
    let cause = pages.filter.alert_id.to_string();
    let page = jobs::store::of_cause_in(&app.table, &scope, &cause, pages.slice()?).await?;
    Ok(Json(pages.list(page, JobView::from)?))
}
