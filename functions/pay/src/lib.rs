//! /pay/{token}: the page of an invoice for whoever has its link: what is due, and the way to a provider where it is paid.
//! No login, no script, nothing from elsewhere.
//!
//! Whatever it is sent, it shows no more than that one invoice, and opens no other payment than of it. That it was looked at
//! is noted, but not for programs that look ahead: HEAD, and what browsers fetch beforehand.

mod page;
mod topup;
mod words;

use axum::extract::{FromRef, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use billing::invoice::Shared;
use gate::{Gate, Routes, Serve, routes};
use kernel::link::Token;
use kernel::policy::ReadBilling;
use kernel::{Error, OrgId, Origin, PaymentId, Scope};
use lambda::{App, Env, Function, Nonce, Path, Query, Result, Start, read_body};
use locale::Locale;
use payments::sync::{self, Hint};
use payments::{Asked, By, Payment, Till, What, account};
use providers::Provider;
use serde::Deserialize;
use table::Slice;

use page::{Absent, Around, Page, Said};

/// The function.
pub const FUNCTION: Function = gate::function::<Pay>("pay");

/// So many payments are shown of an invoice.
const SHOWN: u16 = 50;
/// The longest form: a word for a provider.
const LONGEST: usize = 1_024;

#[derive(Clone, FromRef)]
struct Pay {
    app: App,
    gate: Gate,
    till: Till,
    policy: FormPolicy,
}

/// Where forms may lead. Browsers hold a redirect to it that follows a form, too; and where a provider leads from its own page
/// is not known beforehand. So it says by which protocol: TLS, or none where this stack itself has none.
#[derive(Clone, Copy, Debug)]
struct FormPolicy(&'static str);

impl Start for Pay {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        let is_local = env.variable("PUBLIC_URL")?.starts_with("http://");
        Ok(Self {
            gate: Gate::of(env, &app)?,
            till: Till::of(env, &app)?,
            policy: FormPolicy(if is_local {
                "'self' https: http:"
            } else {
                "'self' https:"
            }),
            app,
        })
    }
}

impl Serve for Pay {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new().visitors(routes![show, pay])
    }
}

/// What somebody comes back with. Providers add what they like.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Back {
    /// The payment that they come back from.
    #[param(value_type = Option<String>)]
    payment: Option<String>,
}

/// Shows an invoice, or a top-up of a wallet, to whoever has its link
///
/// The page that clients are mailed: what is due, until when and for what, what was paid, where its files are, and the ways
/// to pay it. In the client's language. It is there for as long as the invoice is, paid or cancelled. With `payment`, it says
/// what became of that one.
#[utoipa::path(get, path = "/pay/{token}", operation_id = "show_payment_page", tag = "Payment pages",
    params(("token" = String, Path, description = "The end of the link."), Back),
    responses((status = 200, description = "The page.", content_type = "text/html"),
        (status = 404, description = "The link leads nowhere.", content_type = "text/html")))]
async fn show(
    State(state): State<Pay>,
    method: Method,
    headers: HeaderMap,
    origin: Origin,
    Path(token): Path<String>,
    Query(back): Query<Back>,
) -> Result<Response> {
    let app = &state.app;
    if let Some(topup) = topup::find(app, &token).await? {
        return Ok(state.topup(&headers, topup, back.payment.as_deref()).await?);
    }
    let Some(mut shared) = find(app, &token).await? else {
        return Ok(absent(&headers)?);
    };
    if method == Method::GET && !is_ahead(&headers) {
        // What is not noted now is noted with the next look; the page is not kept back for it.
        if let Err(error) = shared.seen(app, &origin).await {
            note(&error, "that an invoice was looked at was not noted");
        }
    }
    let (org, invoice) = (shared.invoice.org, shared.invoice.id);
    let is_its = |payment: &Payment| payment.invoice == Some(invoice);
    let payment = state.came_back(org, back.payment.as_deref(), is_its).await?;
    if payment.is_some() {
        // What was seen of the payment may have changed the invoice.
        shared = match find(app, &token).await? {
            Some(shared) => shared,
            None => return Ok(absent(&headers)?),
        };
    }
    let said = payment.as_ref().map_or(Said::Nothing, Said::Of);
    Ok(state.page(StatusCode::OK, &shared, said).await?)
}

/// Leads to a provider's page, to pay an invoice
///
/// What the form of the page sends: `provider=stripe`. Opens a session for all that is due, or finds the one that is open.
/// 409 where it cannot be paid so, and 503 where the provider does not answer; both are the page, which says so.
#[utoipa::path(post, path = "/pay/{token}", operation_id = "open_payment_page", tag = "Payment pages",
    params(("token" = String, Path, description = "The end of the link.")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "`provider=stripe`"),
    responses((status = 303, description = "It is paid at `location`.", headers(("location" = String))),
        (status = 404, description = "The link leads nowhere.", content_type = "text/html"),
        (status = 409, description = "The page, which says why not.", content_type = "text/html"),
        (status = 503, content((String = "text/html"), (kernel::ProblemDetails = "application/problem+json")),
            description = "The page, which says why not; or that we are busy.")))]
async fn pay(
    State(state): State<Pay>,
    headers: HeaderMap,
    origin: Origin,
    Path(token): Path<String>,
    request: Request,
) -> Result<Response> {
    if let Some(topup) = topup::find(&state.app, &token).await? {
        let provider = chosen(request).await?;
        return Ok(state.pay_topup(&headers, &origin, topup, provider).await?);
    }
    let Some(shared) = find(&state.app, &token).await? else {
        return Ok(absent(&headers)?);
    };
    let asked = Asked {
        org: shared.invoice.org,
        what: What::Invoice(shared.invoice.id, None),
        provider: chosen(request).await?,
    };
    if !shared.invoice.status.is_open() {
        // It was paid or cancelled meanwhile: the page says so.
        return Ok(to(&format!("/pay/{token}")));
    }
    match state.open(&origin, asked).await? {
        Opened::At(url) => Ok(to(&url)),
        Opened::Not(status) => Ok(state.page(status, &shared, Said::Unavailable).await?),
    }
}

/// What became of opening a provider's page.
enum Opened {
    /// It is there.
    At(String),
    /// It cannot be now: our page says so, with this status.
    Not(StatusCode),
}

impl Pay {
    /// Opens a provider's page to pay something.
    async fn open(&self, origin: &Origin, asked: Asked) -> kernel::Result<Opened> {
        match payments::pay(&self.app, &self.till, By::Payer(origin), asked).await {
            Ok(started) => Ok(Opened::At(started.url)),
            Err(error @ Error::Internal(_)) => Err(error),
            Err(error) => {
                note(&error, "nothing can be paid so now");
                Ok(Opened::Not(match error {
                    Error::Away(_) | Error::Busy => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::CONFLICT,
                }))
            }
        }
    }

    /// The payment that somebody comes back from, as its provider shows it now, or as it was stored if that does not answer.
    /// Nothing if it is none of what the link leads to.
    async fn came_back(
        &self,
        org: OrgId,
        payment: Option<&str>,
        is_its: impl Fn(&Payment) -> bool,
    ) -> kernel::Result<Option<Payment>> {
        let Some(id) = payment.and_then(|payment| payment.parse::<PaymentId>().ok()) else {
            return Ok(None);
        };
        let app = &self.app;
        let stored = match Payment::load(&app.table, &Scope::<ReadBilling>::system(org), id).await {
            Ok(payment) if is_its(&payment) => payment,
            Ok(_) | Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        match sync::look(app, &self.till, org, id, &Hint::default()).await {
            Ok(payment) => Ok(Some(payment)),
            Err(error) => {
                note(&error, "a payment was not looked at");
                Ok(Some(stored))
            }
        }
    }

    async fn page(&self, status: StatusCode, shared: &Shared, said: Said<'_>) -> kernel::Result<Response> {
        let scope = Scope::<ReadBilling>::system(shared.invoice.org);
        let slice = Slice {
            limit: SHOWN,
            after: None,
        };
        let mut payments = Payment::list_of(&self.app.table, &scope, shared.invoice.id, slice)
            .await?
            .records;
        payments.reverse();
        let providers = if shared.invoice.status.is_open() {
            account::configured(&self.app.table, &scope, &self.till).await?
        } else {
            Vec::new()
        };
        let nonce = Nonce::new();
        let around = Around {
            payments: &payments,
            providers: &providers,
            said,
            now: self.app.now(),
        };
        let html = Page::of(shared, around, &nonce).html()?;
        Ok(answer(status, self.policy, &nonce, html))
    }
}

/// What a link leads to.
async fn find(app: &App, token: &str) -> kernel::Result<Option<Shared>> {
    let Some(token) = Token::parse(token) else {
        return Ok(None);
    };
    match Shared::by_token(&app.table, &token).await {
        Ok(shared) => Ok(Some(shared)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The provider that a form says.
async fn chosen(request: Request) -> kernel::Result<Provider> {
    #[derive(Deserialize)]
    struct Form {
        provider: Provider,
    }
    let body = read_body(request.into_body(), LONGEST).await?;
    let form: std::result::Result<Form, _> = serde_urlencoded::from_bytes(&body);
    let form =
        form.map_err(|_| Error::malformed_field("malformed_form", "provider", "must be stripe, razorpay or cashfree"))?;
    Ok(form.provider)
}

/// Whether a browser only looks ahead (`Sec-Purpose`, and what it was called before).
fn is_ahead(headers: &HeaderMap) -> bool {
    let mut purposes = ["sec-purpose", "purpose", "x-moz"]
        .into_iter()
        .filter_map(|name| headers.get(name));
    purposes.any(|purpose| purpose.to_str().is_ok_and(|purpose| purpose.contains("prefetch")))
}

fn note(error: &Error, what: &str) {
    tracing::warn!(error = %error, "{what}");
}

/// Leads elsewhere, by GET.
fn to(url: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, url.to_owned())]).into_response()
}

/// The language that a browser asks for first.
fn wished(headers: &HeaderMap) -> Locale {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|tags| tags.to_str().ok());
    Locale::of(accepted.and_then(|tags| tags.split([',', ';']).next()).map(str::trim))
}

fn absent(headers: &HeaderMap) -> kernel::Result<Response> {
    let nonce = Nonce::new();
    let html = Absent::of(&wished(headers), &nonce).html()?;
    Ok(answer(StatusCode::NOT_FOUND, FormPolicy("'none'"), &nonce, html))
}

/// Answers with a page that shows no pictures but those that are in it.
fn answer(status: StatusCode, FormPolicy(forms): FormPolicy, nonce: &Nonce, html: String) -> Response {
    lambda::page(status, nonce, &format!("img-src data:; form-action {forms}"), html)
}
