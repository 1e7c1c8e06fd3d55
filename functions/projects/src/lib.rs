//! /v1/projects: projects, and the API keys that open them.

mod api_keys;

use alerting::target;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use identity::project::{NewProject, ProjectPatch, ProjectView};
use identity::{Guard, OrgHeader, Project};
use kernel::policy::{CreateProjects, DeleteProjects, ReadProjects, WriteProjects};
use kernel::{ProjectId, Scope};
use lambda::{App, Created, IdempotencyKey, Json, List, Paging, Path, Problem, Query, Result};
use outbound::AllowList;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this function. Webhooks may go to these addresses though they are not public.
pub fn routes(guard: &Guard, allow: AllowList) -> OpenApiRouter<App> {
    let projects = OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, update, delete));
    guard
        .members(projects.merge(api_keys::routes()))
        .layer(Extension(allow))
}

/// Makes a project
#[utoipa::path(post, path = "/v1/projects", operation_id = "create_project", tag = "Projects",
    params(OrgHeader, IdempotencyKey), request_body = NewProject, security(("bearer" = [])),
    responses((status = 201, body = ProjectView), Problem))]
async fn create(
    State(app): State<App>,
    scope: Scope<CreateProjects>,
    Extension(allow): Extension<AllowList>,
    Json(input): Json<NewProject>,
) -> Result<Created<ProjectView>> {
    target::check_defaults(input.alert_defaults.as_ref(), &allow)?;
    let project = Project::create(&app, &scope, input).await?;
    Ok(Created(project.into()))
}

/// Lists the projects of an organization, newest first
#[utoipa::path(get, path = "/v1/projects", operation_id = "list_projects", tag = "Projects", params(OrgHeader, Paging),
    security(("bearer" = [])), responses((status = 200, body = List<ProjectView>), Problem))]
async fn list(
    State(app): State<App>,
    scope: Scope<ReadProjects>,
    Query(paging): Query<Paging>,
) -> Result<Json<List<ProjectView>>> {
    let context = format!("{} /v1/projects", scope.org());
    let page = Project::list(&app.table, &scope, paging.slice(&app, &context)?).await?;
    Ok(Json(List::of(&app, &context, page, ProjectView::from)?))
}

/// Shows a project
#[utoipa::path(get, path = "/v1/projects/{projectId}", operation_id = "get_project", tag = "Projects",
    params(OrgHeader, ("projectId" = ProjectId, Path, description = "The project.")), security(("bearer" = [])),
    responses((status = 200, body = ProjectView), Problem))]
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
    params(OrgHeader, ("projectId" = ProjectId, Path, description = "The project.")), request_body = ProjectPatch,
    security(("bearer" = [])), responses((status = 200, body = ProjectView), Problem))]
async fn update(
    State(app): State<App>,
    scope: Scope<WriteProjects>,
    Extension(allow): Extension<AllowList>,
    Path(id): Path<ProjectId>,
    Json(input): Json<ProjectPatch>,
) -> Result<Json<ProjectView>> {
    target::check_defaults(input.alert_defaults.as_ref().and_then(Option::as_ref), &allow)?;
    let project = Project::load(&app.table, &scope, id).await?;
    let project = project.save(&app, &scope, input).await?;
    Ok(Json(project.into()))
}

/// Deletes a project: it is absent from then on, and its API keys stop working within a minute
#[utoipa::path(delete, path = "/v1/projects/{projectId}", operation_id = "delete_project", tag = "Projects",
    params(OrgHeader, ("projectId" = ProjectId, Path, description = "The project.")), security(("bearer" = [])),
    responses((status = 204, description = "It is deleted."), Problem))]
async fn delete(State(app): State<App>, scope: Scope<DeleteProjects>, Path(id): Path<ProjectId>) -> Result<StatusCode> {
    let project = Project::load(&app.table, &scope, id).await?;
    project.delete(&app, &scope).await?;
    Ok(StatusCode::NO_CONTENT)
}
