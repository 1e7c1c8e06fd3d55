//! /v1/coupons: what is taken off invoices of subscriptions and drafts to which they are applied.

use axum::extract::State;
use axum::http::StatusCode;
use billing::Coupon;
use billing::coupon::{CouponView, NewCoupon};
use gate::{Guarded, Route, routes};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{CouponId, Scope};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};

pub(crate) fn routes() -> Vec<Route<Guarded>> {
    routes![create, list, get, delete]
}

/// Makes a coupon
///
/// No two coupons have the same code, whatever its case (409 `coupon_code_taken`).
#[utoipa::path(post, path = "/v1/coupons", operation_id = "create_coupon", tag = "Coupons", request_body = NewCoupon,
    responses((status = 201, body = CouponView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Json(input): Json<NewCoupon>,
) -> Result<Created<CouponView>> {
    Ok(Created(Coupon::create(&app, &scope, &input).await?))
}

/// Lists the coupons, newest first
#[utoipa::path(get, path = "/v1/coupons", operation_id = "list_coupons", tag = "Coupons", params(Paging),
    responses((status = 200, body = List<CouponView>)))]
async fn list(State(app): State<App>, scope: Scope<ReadBilling>, pages: Pages) -> Result<Json<List<CouponView>>> {
    let page = Coupon::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, CouponView::from)?))
}

/// Shows a coupon
#[utoipa::path(get, path = "/v1/coupons/{id}", operation_id = "get_coupon", tag = "Coupons",
    params(("id" = CouponId, Path, description = "The coupon.")), responses((status = 200, body = CouponView)))]
async fn get(State(app): State<App>, scope: Scope<ReadBilling>, Path(id): Path<CouponId>) -> Result<Json<CouponView>> {
    let coupon = Coupon::load(&app.table, &scope, id).await?;
    Ok(Json(coupon.into()))
}

/// Deletes a coupon: its code is free; what it was applied to keeps its discount
#[utoipa::path(delete, path = "/v1/coupons/{id}", operation_id = "delete_coupon", tag = "Coupons",
    params(("id" = CouponId, Path, description = "The coupon.")),
    responses((status = 204, description = "It is deleted.")))]
async fn delete(State(app): State<App>, scope: Scope<ManageBilling>, Path(id): Path<CouponId>) -> Result<StatusCode> {
    Coupon::remove(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
