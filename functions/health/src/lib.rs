//! /health and /ready: whether the system answers, and whether it can reach its tables. Open to everyone.

use axum::extract::State;
use kernel::Error;
use lambda::{App, Json, Problem, Result};
use serde::Serialize;
use table::TableName;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this function.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready))
}

/// How it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Readiness {
    /// `ok` or `ready`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Says that it answers
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "Health",
    responses((status = 200, body = Readiness)))]
async fn health() -> Json<Readiness> {
    Json(Readiness { status: "ok" })
}

/// Says whether it can work: 503 while the tables cannot be read
#[utoipa::path(get, path = "/ready", operation_id = "ready", tag = "Health",
    responses((status = 200, body = Readiness), Problem))]
async fn ready(State(app): State<App>) -> Result<Json<Readiness>> {
    match app.table.answers(TableName::Identity).await {
        Ok(()) => Ok(Json(Readiness { status: "ready" })),
        Err(error) => {
            tracing::error!(error = %error, "the identity table cannot be read");
            Err(Error::Busy.into())
        }
    }
}
