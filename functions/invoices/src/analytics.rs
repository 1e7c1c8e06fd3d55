//! /v1/analytics: what invoices and subscriptions come to, from sums that are kept as they change.

use axum::extract::State;
use billing::analytics::{self, RevenueOfMonth, StatesView};
use gate::{Guarded, Route, routes};
use kernel::policy::ReadBilling;
use kernel::{Currency, Error, Minor, Scope, Time};
use lambda::{App, Json, Query, Result};
use serde::{Deserialize, Serialize};

use crate::moment::{Moment, zone};

/// Months that are shown if nothing is said.
const SHOWN: i64 = 12;
/// So many are shown at most.
const MOST: i64 = 120;

pub(crate) fn routes() -> Vec<Route<Guarded>> {
    routes![revenue, invoices, mrr]
}

/// Which revenue is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RevenueQuery {
    /// The first month: a time or a date in it; eleven months before the last if absent.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-01-01")]
    from: Option<Moment>,
    /// The last month: a date in it, or a time before which it begins; this one if absent. At most 120 months after the first.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-12-31")]
    to: Option<Moment>,
    /// Of ISO 4217; all if absent.
    #[param(example = "EUR")]
    currency: Option<String>,
}

/// Revenue by month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RevenueReply {
    /// By month, then by currency; months without any are left out.
    data: Vec<RevenueOfMonth>,
}

/// Shows revenue by month and currency
///
/// Net of tax, by what was done in a month of the organization's zone: invoices that were sent, credit notes, and what was left
/// of invoices that were cancelled. A month that is over does not change.
#[utoipa::path(get, path = "/v1/analytics/revenue", operation_id = "get_revenue", tag = "Analytics", params(RevenueQuery),
    responses((status = 200, body = RevenueReply)))]
async fn revenue(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Query(query): Query<RevenueQuery>,
) -> Result<Json<RevenueReply>> {
    let zone = zone(&app, &scope).await?;
    let last = query.to.unwrap_or(Moment::At(app.now().plus_millis(1))).end(&zone);
    let last = zone.day_of(last.plus_millis(-1)).first_of_month();
    let first = match query.from {
        Some(from) => zone.day_of(from.start(&zone)).first_of_month(),
        None => last.plus_months(1 - SHOWN),
    };
    let months = first.months_until(last);
    if months < 0 {
        return Err(Error::invalid("to", "must be after `from`").into());
    }
    if months >= MOST {
        return Err(Error::invalid("from", format!("must lie at most {MOST} months before `to`")).into());
    }
    let currency = query.currency.as_deref().map(str::parse::<Currency>).transpose();
    let currency = currency.map_err(|problem| Error::invalid("currency", problem.to_string()))?;
    let data = analytics::revenue(&app.table, &scope, [first, last], currency).await?;
    Ok(Json(RevenueReply { data }))
}

/// Shows how many invoices are in each state, and what is overdue
#[utoipa::path(get, path = "/v1/analytics/invoices", operation_id = "get_invoice_states", tag = "Analytics",
    responses((status = 200, body = StatesView)))]
async fn invoices(State(app): State<App>, scope: Scope<ReadBilling>) -> Result<Json<StatesView>> {
    Ok(Json(analytics::states(&app.table, &scope).await?))
}

/// What subscriptions bring a month in one currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MonthlyRevenue {
    /// The currency.
    currency: Currency,
    /// How much, in minor units.
    #[schema(value_type = i64)]
    amount: Minor,
}

/// What subscriptions bring a month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MrrReply {
    /// When it was looked at.
    at: Time,
    /// By currency.
    data: Vec<MonthlyRevenue>,
}

/// Shows what subscriptions bring a month, by currency
///
/// Flat prices of active subscriptions outside a trial, net of tax and discounts: a year's by twelve, those of 30 days by
/// 365/360.
#[utoipa::path(get, path = "/v1/analytics/mrr", operation_id = "get_mrr", tag = "Analytics",
    responses((status = 200, body = MrrReply)))]
async fn mrr(State(app): State<App>, scope: Scope<ReadBilling>) -> Result<Json<MrrReply>> {
    let sums = analytics::monthly_recurring(&app.table, &scope).await?.into_iter();
    let data = sums.map(|(currency, amount)| MonthlyRevenue { currency, amount });
    Ok(Json(MrrReply {
        at: app.now(),
        data: data.collect(),
    }))
}
