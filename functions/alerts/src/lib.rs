//! /v1/alerts: rules over a project's metrics, the incidents in which they fired, and the notices that these caused.

mod notices;

use alerting::alert::{AlertPatch, AlertView, NewAlert, Settings, SignedAlertView};
use alerting::incident::IncidentView;
use alerting::{Alert, Incident, Notices};
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use gate::{Gate, Routes, Serve, routes};
use identity::Project;
use kernel::policy::{ManageAlerts, ReadAlerts};
use kernel::{AlertId, Error, ProjectId, Scope};
use lambda::{App, Created, Env, Function, Json, List, Pages, Paging, Path, Result, Start};
use serde::Deserialize;

/// The function.
pub const FUNCTION: Function = gate::function::<Alerts>("alerts");

#[derive(Clone, FromRef)]
struct Alerts {
    app: App,
    gate: Gate,
    notices: Notices,
}

impl Start for Alerts {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            notices: Notices::of(env, &app)?,
            app,
        })
    }
}

impl Serve for Alerts {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new()
            .members(routes![create, list, get, update, delete, incidents])
            .and(notices::routes())
    }
}

/// Makes an alert
///
/// It is looked at once a minute, over the whole minutes of its window that are over; without events a count is 0 and so
/// is a rate. What is left out of `channel`, `target`, `window` and `coolDownMinutes` comes from the project's
/// `alertDefaults`. A webhook gets `alert.fired` and `alert.resolved`, signed by the Standard Webhooks scheme `v1` with
/// the secret that this reply alone shows. A project has at most 200 alerts (409 `too_many_alerts`).
#[utoipa::path(post, path = "/v1/alerts", operation_id = "create_alert", tag = "Alerts", request_body = NewAlert,
    responses((status = 201, body = SignedAlertView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageAlerts>,
    State(notices): State<Notices>,
    Json(input): Json<NewAlert>,
) -> Result<Created<SignedAlertView>> {
    let project = Project::load(&app.table, &scope, input.project_id).await?;
    let defaults = project.alert_defaults.clone().unwrap_or_default();
    let settings = Settings::complete(input, &defaults)?;
    let alert = Alert::create(&app, &scope, &project, settings, &notices).await?;
    Ok(Created(alert))
}

/// Which alerts are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Only those of this project.
    project_id: Option<ProjectId>,
}

/// Lists the alerts of a project, or of all projects, newest first
#[utoipa::path(get, path = "/v1/alerts", operation_id = "list_alerts", tag = "Alerts", params(Listed, Paging),
    responses((status = 200, body = List<AlertView>)))]
async fn list(State(app): State<App>, scope: Scope<ReadAlerts>, pages: Pages<Listed>) -> Result<Json<List<AlertView>>> {
    let page = match pages.filter.project_id {
        None => Alert::list(&app.table, &scope, pages.slice()?).await?,
        Some(project) => {
            let project = Project::load(&app.table, &scope, project).await?;
            Alert::list_of(&app.table, &scope, &project, pages.slice()?).await?
        }
    };
    Ok(Json(pages.list(page, AlertView::from)?))
}

/// Shows an alert
#[utoipa::path(get, path = "/v1/alerts/{id}", operation_id = "get_alert", tag = "Alerts",
    params(("id" = AlertId, Path, description = "The alert.")), responses((status = 200, body = AlertView)))]
async fn get(State(app): State<App>, scope: Scope<ReadAlerts>, Path(id): Path<AlertId>) -> Result<Json<AlertView>> {
    let alert = Alert::load(&app.table, &scope, id).await?;
    Ok(Json(alert.into()))
}

/// Changes an alert
///
/// A change that concerns what is measured counts from the next minute on. Disabling an alert that fires resolves its
/// incident, with a notice. Where notices go to another webhook, the reply shows its new signing secret, this once.
#[utoipa::path(patch, path = "/v1/alerts/{id}", operation_id = "update_alert", tag = "Alerts",
    params(("id" = AlertId, Path, description = "The alert.")), request_body = AlertPatch,
    responses((status = 200, body = SignedAlertView)))]
async fn update(
    State(app): State<App>,
    scope: Scope<ManageAlerts>,
    State(notices): State<Notices>,
    Path(id): Path<AlertId>,
    Json(input): Json<AlertPatch>,
) -> Result<Json<SignedAlertView>> {
    let alert = Alert::load(&app.table, &scope.narrow()?, id).await?;
    let project = Project::load(&app.table, &scope, alert.project).await?;
    let (alert, secret) = alert.save(&app, &scope, &project, input, &notices).await?;
    Ok(Json(SignedAlertView::of(alert, secret)))
}

/// Deletes an alert
///
/// If it fires, its incident is resolved, with a notice.
#[utoipa::path(delete, path = "/v1/alerts/{id}", operation_id = "delete_alert", tag = "Alerts",
    params(("id" = AlertId, Path, description = "The alert.")),
    responses((status = 204, description = "It is deleted.")))]
async fn delete(
    State(app): State<App>,
    scope: Scope<ManageAlerts>,
    State(notices): State<Notices>,
    Path(id): Path<AlertId>,
) -> Result<StatusCode> {
    let alert = Alert::load(&app.table, &scope.narrow()?, id).await?;
    // The alerts of a deleted project may still be deleted.
    let project = match Project::load(&app.table, &scope, alert.project).await {
        Ok(project) => project.name,
        Err(Error::NotFound(_)) => alert.project.to_string(),
        Err(error) => return Err(error.into()),
    };
    alert.delete(&app, &scope, &project, &notices).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the incidents of an alert, newest first
#[utoipa::path(get, path = "/v1/alerts/{id}/incidents", operation_id = "list_incidents", tag = "Alerts",
    params(("id" = AlertId, Path, description = "The alert."), Paging),
    responses((status = 200, body = List<IncidentView>)))]
async fn incidents(
    State(app): State<App>,
    scope: Scope<ReadAlerts>,
    Path(id): Path<AlertId>,
    pages: Pages,
) -> Result<Json<List<IncidentView>>> {
    let alert = Alert::load(&app.table, &scope, id).await?;
    let page = Incident::list(&app.table, &scope, &alert, pages.slice()?).await?;
    Ok(Json(pages.list(page, IncidentView::from)?))
}
