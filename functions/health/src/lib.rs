//! /health and /ready: whether the system answers, and whether it can reach its tables. Open to everyone.

use axum::extract::State;
use gate::{Routes, Serve, routes};
use kernel::Error;
use lambda::{App, Function, Json, Problem, Result};
use serde::Serialize;
use table::TableName;

/// The function.
pub const FUNCTION: Function = gate::function::<Health>("health");

struct Health;

impl Serve for Health {
    type State = App;

    fn routes() -> Routes<App> {
        Routes::new().open(routes![health, ready])
    }
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
