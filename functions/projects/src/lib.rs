//! /v1/projects: projects, and the API keys that open them.

mod api_keys;

use alerting::target;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use gate::{Gate, Routes, Serve, routes};
use identity::Project;
use identity::project::{NewProject, ProjectPatch, ProjectView};
use kernel::policy::{CreateProjects, DeleteProjects, ReadProjects, WriteProjects};
use kernel::{ProjectId, Scope};
use lambda::{App, Created, Env, Function, Json, List, Pages, Paging, Path, Result, Start};
use outbound::AllowList;

/// The function.
pub const FUNCTION: Function = gate::function::<Projects>("projects");

#[derive(Clone, FromRef)]
struct Projects {
    app: App,
    gate: Gate,
    /// Where webhooks may go though it is not public.
    allow: AllowList,
}

impl Start for Projects {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            allow: AllowList::parse(env.optional("OUTBOUND_ALLOW").unwrap_or_default()),
            app,
        })
    }
}

impl Serve for Projects {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new()
            .members(routes![create, list, get, update, delete])
            .members(api_keys::routes())
    }
}

/// Makes a project
///
/// 409 `quota_reached` when the organization has as many as its quota says, 100 unless it was raised.
#[utoipa::path(post, path = "/v1/projects", operation_id = "create_project", tag = "Projects",
    request_body = NewProject, responses((status = 201, body = ProjectView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<CreateProjects>,
    State(allow): State<AllowList>,
    Json(mut input): Json<NewProject>,
) -> Result<Created<ProjectView>> {
    target::check_defaults(input.alert_defaults.as_mut(), &allow)?;
    let project = Project::create(&app, &scope, input).await?;
    Ok(Created(project.into()))
}

/// Lists the projects of an organization, newest first
#[utoipa::path(get, path = "/v1/projects", operation_id = "list_projects", tag = "Projects", params(Paging),
    responses((status = 200, body = List<ProjectView>)))]
async fn list(State(app): State<App>, scope: Scope<ReadProjects>, pages: Pages) -> Result<Json<List<ProjectView>>> {
    let page = Project::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, ProjectView::from)?))
}

/// Shows a project
#[utoipa::path(get, path = "/v1/projects/{projectId}", operation_id = "get_project", tag = "Projects",
    params(("projectId" = ProjectId, Path, description = "The project.")),
    responses((status = 200, body = ProjectView)))]
async fn get(
    State(app): State<App>,
    scope: Scope<ReadProjects>,
    Path(id): Path<ProjectId>,
) -> Result<Json<ProjectView>> {
    let project = Project::load(&app.table, &scope, id).await?;
    Ok(Json(project.into()))
}

/// Changes a project
#[utoipa::path(patch, path = "/v1/projects/{projectId}", operation_id = "update_project", tag = "Projects",
    params(("projectId" = ProjectId, Path, description = "The project.")), request_body = ProjectPatch,
    responses((status = 200, body = ProjectView)))]
async fn update(
    State(app): State<App>,
    scope: Scope<WriteProjects>,
    State(allow): State<AllowList>,
    Path(id): Path<ProjectId>,
    Json(mut input): Json<ProjectPatch>,
) -> Result<Json<ProjectView>> {
    target::check_defaults(input.alert_defaults.as_mut().and_then(Option::as_mut), &allow)?;
    let project = Project::load(&app.table, &scope, id).await?;
    let project = project.save(&app, &scope, input).await?;
    Ok(Json(project.into()))
}

/// Deletes a project: it is absent from then on, and its API keys stop working within a minute
#[utoipa::path(delete, path = "/v1/projects/{projectId}", operation_id = "delete_project", tag = "Projects",
    params(("projectId" = ProjectId, Path, description = "The project.")),
    responses((status = 204, description = "It is deleted.")))]
async fn delete(State(app): State<App>, scope: Scope<DeleteProjects>, Path(id): Path<ProjectId>) -> Result<StatusCode> {
    let project = Project::load(&app.table, &scope, id).await?;
    project.delete(&app, &scope).await?;
    Ok(StatusCode::NO_CONTENT)
}
