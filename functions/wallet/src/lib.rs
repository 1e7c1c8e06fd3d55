//! /v1/wallet, /v1/usage and /v1/entitlements: an organization's credits, what they went on, and what its plan grants.

mod topups;

use axum::extract::{FromRef, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use gate::{Gate, Routes, Serve, routes};
use kernel::link::Links;
use kernel::policy::ReadWallet;
use kernel::{Scope, Time};
use lambda::csv::{Cell, Columns, Format};
use lambda::{App, Env, Function, Json, List, Pages, Paging, Query, Result, Start};
use metering::credit_grant::{self, CreditGrantView};
use metering::ledger::{self, LineView};
use metering::plan::{EntitlementsView, Plan};
use metering::usage::{self, CreditsUsed, GroupBy, Interval, Question};
use metering::wallet::{Wallet, WalletView};
use serde::{Deserialize, Serialize};

/// The function.
pub const FUNCTION: Function = gate::function::<Wallets>("wallet");

/// What usage is shown of if nothing is said.
const SHOWN: i64 = 30 * Time::DAY;

#[derive(Clone, Debug, FromRef)]
struct Wallets {
    app: App,
    gate: Gate,
    links: Links,
}

impl Start for Wallets {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            links: Links::to(env.variable("PUBLIC_URL")?),
            app,
        })
    }
}

impl Serve for Wallets {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new()
            .members(routes![wallet, list_entries, list_grants, usage, entitlements])
            .members(topups::routes())
    }
}

/// Shows the wallet
///
/// `balance + leased + spent + expired = granted`, at every moment. Each API-key call costs credits by the price list;
/// without credits it is refused with 402. The free plan grants 100,000 credits a calendar month in the organization's zone;
/// what is left of them ends with it.
#[utoipa::path(get, path = "/v1/wallet", operation_id = "get_wallet", tag = "Wallet",
    responses((status = 200, body = WalletView)))]
async fn wallet(State(app): State<App>, scope: Scope<ReadWallet>) -> Result<Json<WalletView>> {
    let (wallet, open) = Wallet::view(&app, &scope).await?;
    Ok(Json(WalletView::of(&wallet, &open)))
}

/// Lists what moved credits, newest first
///
/// In double entry: the amounts of the lines with one `entryId` sum to zero, and so do those of a page, which holds whole
/// entries: `limit` counts them, and each has two to five lines. The credits that our servers hold for calls to come, and
/// what they have sold of them since, are in the account `balance` still.
#[utoipa::path(get, path = "/v1/wallet/ledger", operation_id = "list_ledger", tag = "Wallet", params(Paging),
    responses((status = 200, body = List<LineView>)))]
async fn list_entries(State(app): State<App>, scope: Scope<ReadWallet>, pages: Pages) -> Result<Json<List<LineView>>> {
    // So that what has ended is an entry.
    Wallet::now(&app, &scope).await?;
    let page = ledger::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(List {
        data: page.records.iter().flat_map(LineView::of).collect(),
        next_cursor: pages.next(page.next.as_ref())?,
    }))
}

/// Lists the grants of credits, newest first
///
/// Those with a lower `priority` are used first, then those that end sooner, then older ones. From its end nothing of a
/// grant can be spent; 400 days later it is shown no more.
#[utoipa::path(get, path = "/v1/wallet/grants", operation_id = "list_credit_grants", tag = "Wallet", params(Paging),
    responses((status = 200, body = List<CreditGrantView>)))]
async fn list_grants(
    State(app): State<App>,
    scope: Scope<ReadWallet>,
    pages: Pages,
) -> Result<Json<List<CreditGrantView>>> {
    // First, so that a month that has begun has its grant; and then, so that what is left is of grants that are listed.
    Wallet::now(&app, &scope).await?;
    let page = credit_grant::list(&app.table, &scope, pages.slice()?).await?;
    let wallet = Wallet::now(&app, &scope).await?;
    Ok(Json(pages.list(page, |grant| CreditGrantView::of(grant, &wallet))?))
}

/// Which usage is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UsageQuery {
    /// A moment of the first day; 30 days before `to` if absent.
    from: Option<Time>,
    /// The first moment after the last day; now if absent. At most 400 days after `from`.
    to: Option<Time>,
    /// Over which spans; `day` if absent.
    #[param(inline)]
    interval: Option<Interval>,
    /// By what credits are told apart; all together if absent.
    #[param(inline)]
    group_by: Option<GroupBy>,
    /// `csv` for a spreadsheet; as `accept: text/csv`.
    #[param(inline)]
    format: Option<Format>,
}

const COLUMNS: Columns<CreditsUsed> = Columns {
    file: "usage",
    names: &["at", "group", "credits", "correction"],
    row: |used| {
        vec![
            Cell::plain(&used.at),
            used.group.clone().map_or(Cell::Nothing, Cell::Text),
            Cell::plain(&used.credits),
            Cell::plain(&used.correction),
        ]
    },
};

/// Credits by time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct UsageReply {
    /// By time, then by group; spans and groups without credits are left out.
    data: Vec<CreditsUsed>,
}

/// Shows what credits were spent on
///
/// Days and months are those of the organization's zone; whole days count. What our servers have sold and not settled yet is
/// among it within seconds of the call. An event that turns out to be a repeat, hours later even, is taken off the day on
/// which it was sold. As CSV all of it is one file.
#[utoipa::path(get, path = "/v1/usage", operation_id = "get_usage", tag = "Wallet", params(UsageQuery),
    responses((status = 200, description = "The credits.",
        content((UsageReply = "application/json"), (String = "text/csv")))))]
async fn usage(
    State(app): State<App>,
    scope: Scope<ReadWallet>,
    headers: HeaderMap,
    Query(query): Query<UsageQuery>,
) -> Result<Response> {
    let format = Format::of(query.format, &headers);
    let to = query.to.unwrap_or_else(|| app.now());
    let question = Question {
        from: query.from.unwrap_or_else(|| to.plus_millis(-SHOWN)),
        to,
        interval: query.interval.unwrap_or(Interval::Day),
        group_by: query.group_by,
    };
    let data = usage::usage(&app, &scope, question).await?;
    Ok(match format {
        Format::Json => Json(UsageReply { data }).into_response(),
        Format::Csv => COLUMNS.whole(&data),
    })
}

/// Shows what the organization is entitled to by its plan
#[utoipa::path(get, path = "/v1/entitlements", operation_id = "get_entitlements", tag = "Wallet",
    responses((status = 200, body = EntitlementsView)))]
async fn entitlements(State(app): State<App>, scope: Scope<ReadWallet>) -> Result<Json<EntitlementsView>> {
    let plan = Plan::of(&app.table, scope.org()).await?;
    Ok(Json(EntitlementsView::from(plan)))
}
