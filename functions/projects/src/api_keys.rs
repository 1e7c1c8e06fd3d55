//! /v1/projects/{projectId}/api-keys: what a customer's servers send events with.

use gate::{Route, routes};
use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use identity::api_key::{ApiKeyPatch, ApiKeyView, NewApiKey, NewApiKeyView, Rotation};
use identity::{ApiKey, Project};
use kernel::policy::kind::WithinOrg;
use kernel::policy::{ManageApiKeys, ReadApiKeys};
use kernel::{ApiKeyId, Permission, ProjectId, Scope};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};
use telemetry::KeyUsage;

use crate::Projects;

pub(crate) fn routes() -> Vec<Route<Projects>> {
    routes![create, list, get, update, revoke, rotate]
}

/// How much the keys of a project were used, as their events tell; who is absent never was.
async fn usage<P: Permission>(app: &App, scope: &Scope<P>, project: &Project) -> Result<HashMap<ApiKeyId, KeyUsage>> {
    Ok(telemetry::key_usage(&app.table, &scope.narrow()?, project.id, app.now()).await?)
}

async fn view<P: Permission<Kind: WithinOrg>>(
    app: &App,
    scope: &Scope<P>,
    project: &Project,
    key: ApiKey,
) -> Result<ApiKeyView> {
    let usage = usage(app, scope, project).await?.remove(&key.id).unwrap_or_default();
    let makers = ApiKey::makers(&app.table, scope, project, std::slice::from_ref(&key)).await?;
    Ok(ApiKeyView::of(
        key,
        usage.events,
        usage.last_used_at,
        &makers,
        app.now(),
    ))
}

/// Makes an API key for a project, and shows it this once
///
/// 409 `quota_reached` when the project has as many as the quota of its organization says, 50 unless it was raised. One that
/// ended counts for a day more.
#[utoipa::path(post, path = "/v1/projects/{projectId}/api-keys", operation_id = "create_api_key", tag = "API keys",
    params(("projectId" = ProjectId, Path, description = "The project.")), request_body = NewApiKey,
    responses((status = 201, body = NewApiKeyView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageApiKeys>,
    Path(project): Path<ProjectId>,
    Json(input): Json<NewApiKey>,
) -> Result<Created<NewApiKeyView>> {
    let project = Project::load(&app.table, &scope, project).await?;
    let key = ApiKey::create(&app, &scope, &project, input).await?;
    Ok(Created(key))
}

/// Lists the API keys of a project, newest first, revoked ones too
#[utoipa::path(get, path = "/v1/projects/{projectId}/api-keys", operation_id = "list_api_keys", tag = "API keys",
    params(("projectId" = ProjectId, Path, description = "The project."), Paging),
    responses((status = 200, body = List<ApiKeyView>)))]
async fn list(
    State(app): State<App>,
    scope: Scope<ReadApiKeys>,
    Path(project): Path<ProjectId>,
    pages: Pages,
) -> Result<Json<List<ApiKeyView>>> {
    let project = Project::load(&app.table, &scope, project).await?;
    let page = ApiKey::list(&app.table, &scope, &project, pages.slice()?).await?;
    let mut usage = usage(&app, &scope, &project).await?;
    let makers = ApiKey::makers(&app.table, &scope, &project, &page.records).await?;
    let view = |key: ApiKey| {
        let usage = usage.remove(&key.id).unwrap_or_default();
        ApiKeyView::of(key, usage.events, usage.last_used_at, &makers, app.now())
    };
    Ok(Json(pages.list(page, view)?))
}

/// Shows an API key: not the key itself
#[utoipa::path(get, path = "/v1/projects/{projectId}/api-keys/{keyId}", operation_id = "get_api_key", tag = "API keys",
    params(("projectId" = ProjectId, Path, description = "The project."),
        ("keyId" = ApiKeyId, Path, description = "The key's id.")),
    responses((status = 200, body = ApiKeyView)))]
async fn get(
    State(app): State<App>,
    scope: Scope<ReadApiKeys>,
    Path((project, id)): Path<(ProjectId, ApiKeyId)>,
) -> Result<Json<ApiKeyView>> {
    let project = Project::load(&app.table, &scope, project).await?;
    let key = ApiKey::load(&app.table, &scope, &project, id).await?;
    Ok(Json(view(&app, &scope, &project, key).await?))
}

/// Disables an API key, makes it active again, or calls it something else
///
/// Effective within a minute.
#[utoipa::path(patch, path = "/v1/projects/{projectId}/api-keys/{keyId}", operation_id = "update_api_key",
    tag = "API keys",
    params(("projectId" = ProjectId, Path, description = "The project."),
        ("keyId" = ApiKeyId, Path, description = "The key's id.")),
    request_body = ApiKeyPatch, responses((status = 200, body = ApiKeyView)))]
async fn update(
    State(app): State<App>,
    scope: Scope<ManageApiKeys>,
    Path((project, id)): Path<(ProjectId, ApiKeyId)>,
    Json(input): Json<ApiKeyPatch>,
) -> Result<Json<ApiKeyView>> {
    let project = Project::load(&app.table, &scope, project).await?;
    let key = ApiKey::load(&app.table, &scope, &project, id).await?;
    let key = key.save(&app, &scope, input).await?;
    Ok(Json(view(&app, &scope, &project, key).await?))
}

/// Revokes an API key for ever
///
/// Effective within a minute.
#[utoipa::path(delete, path = "/v1/projects/{projectId}/api-keys/{keyId}", operation_id = "revoke_api_key",
    tag = "API keys",
    params(("projectId" = ProjectId, Path, description = "The project."),
        ("keyId" = ApiKeyId, Path, description = "The key's id.")),
    responses((status = 204, description = "It is revoked.")))]
async fn revoke(
    State(app): State<App>,
    scope: Scope<ManageApiKeys>,
    Path((project, id)): Path<(ProjectId, ApiKeyId)>,
) -> Result<StatusCode> {
    let project = Project::load(&app.table, &scope, project).await?;
    let key = ApiKey::load(&app.table, &scope, &project, id).await?;
    key.end(&app, &scope).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the key that takes an API key's place, and shows it this once; the old one works through its grace
///
/// 409 `quota_reached` as for any other new key.
#[utoipa::path(post, path = "/v1/projects/{projectId}/api-keys/{keyId}/rotate", operation_id = "rotate_api_key",
    tag = "API keys",
    params(("projectId" = ProjectId, Path, description = "The project."),
        ("keyId" = ApiKeyId, Path, description = "The key's id.")),
    request_body = Rotation, responses((status = 201, body = NewApiKeyView)))]
async fn rotate(
    State(app): State<App>,
    scope: Scope<ManageApiKeys>,
    Path((project, id)): Path<(ProjectId, ApiKeyId)>,
    Json(input): Json<Rotation>,
) -> Result<Created<NewApiKeyView>> {
    let project = Project::load(&app.table, &scope, project).await?;
    let key = ApiKey::load(&app.table, &scope, &project, id).await?;
    let key = key.replace(&app, &scope, &project, &input).await?;
    Ok(Created(key))
}
