//! /v1/metrics: what a project's events add up to.

use axum::extract::State;
use gate::{Guarded, Routes, Serve, routes};
use identity::project::Project;
use kernel::{ProjectId, Scope, Time, policy};
use lambda::{App, Function, Json, Query};
use serde::Deserialize;
use telemetry::metrics::{self, Interval, Only, Overview, Range, Timeseries, TopErrors};

/// The function.
pub const FUNCTION: Function = gate::function::<Metrics>("metrics");

struct Metrics;

impl Serve for Metrics {
    type State = Guarded;

    fn routes() -> Routes<Guarded> {
        Routes::new().members(routes![overview, timeseries, top_errors])
    }
}

/// Which events an overview is about.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OverviewQuery {
    /// The project.
    project_id: ProjectId,
    /// The first moment; 24 hours before `to` if absent. Counted by whole minutes.
    from: Option<Time>,
    /// The first moment after; now if absent. At most 401 days after `from`.
    to: Option<Time>,
}

/// Answers with a project's numbers at a glance
#[utoipa::path(get, path = "/v1/metrics/overview", tag = "Metrics", params(OverviewQuery),
    responses((status = 200, description = "The numbers.", body = Overview)))]
async fn overview(
    State(app): State<App>,
    scope: Scope<policy::ReadMetrics>,
    Query(query): Query<OverviewQuery>,
) -> lambda::Result<Json<Overview>> {
    let range = Range::of(query.from, query.to, app.now(), Time::MINUTE)?;
    let project = Project::load(&app.table, &scope, query.project_id).await?;
    Ok(Json(
        metrics::overview(&app.table, &scope, project.id, range, app.now()).await?,
    ))
}

/// Which events a timeseries is about.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TimeseriesQuery {
    /// The project.
    project_id: ProjectId,
    /// The first moment; 24 hours before `to` if absent. The first bucket holds it.
    from: Option<Time>,
    /// The first moment after; now if absent. The last bucket ends with it or later.
    to: Option<Time>,
    /// The width of the buckets, `1h` if absent; at most 10,080 of them are answered.
    #[param(inline)]
    interval: Option<Interval>,
    /// Only events of this type.
    r#type: Option<String>,
    /// Only events of this name.
    name: Option<String>,
}

/// Answers with a project's events over time
///
/// Every bucket of the range is there, also those without events. Buckets are whole and in UTC.
#[utoipa::path(get, path = "/v1/metrics/events/timeseries", tag = "Metrics", params(TimeseriesQuery),
    responses((status = 200, description = "The buckets.", body = Timeseries)))]
async fn timeseries(
    State(app): State<App>,
    scope: Scope<policy::ReadMetrics>,
    Query(query): Query<TimeseriesQuery>,
) -> lambda::Result<Json<Timeseries>> {
    let interval = query.interval.unwrap_or(Interval::Hour);
    let range = Range::of(query.from, query.to, app.now(), interval.millis())?;
    let project = Project::load(&app.table, &scope, query.project_id).await?;
    let only = Only {
        kind: query.r#type,
        name: query.name,
    };
    Ok(Json(
        metrics::timeseries(&app.table, &scope, project.id, (range, app.now()), interval, only).await?,
    ))
}

/// Which errors are asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TopErrorsQuery {
    /// The project.
    project_id: ProjectId,
    /// The first moment; 24 hours before `to` if absent. Counted by whole minutes.
    from: Option<Time>,
    /// The first moment after; now if absent. At most 401 days after `from`.
    to: Option<Time>,
    /// How many names, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<u16>,
}

/// Answers with a project's most frequent errors
#[utoipa::path(get, path = "/v1/metrics/errors/top", tag = "Metrics", params(TopErrorsQuery),
    responses((status = 200, description = "The errors, the most frequent first.", body = TopErrors)))]
async fn top_errors(
    State(app): State<App>,
    scope: Scope<policy::ReadMetrics>,
    Query(query): Query<TopErrorsQuery>,
) -> lambda::Result<Json<TopErrors>> {
    let limit = lambda::limit(query.limit, 10)?;
    let range = Range::of(query.from, query.to, app.now(), Time::MINUTE)?;
    let project = Project::load(&app.table, &scope, query.project_id).await?;
    Ok(Json(
        metrics::top_errors(&app.table, &scope, project.id, (range, app.now()), usize::from(limit)).await?,
    ))
}
