//! /v1/auth/google: logging in with an account of Google, or of the provider that the deployment names instead.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gate::{Route, routes};
use identity::Google;
use identity::account::Door;
use identity::factor::second_step::LoggedIn;
use identity::oidc::{self, Answer, LIFETIME_SECONDS};
use lambda::{App, Json, Problem, Query, Result};
use serde::Deserialize;

use crate::{Auth, On};

pub(crate) fn begins() -> Vec<Route<Auth>> {
    routes![begin]
}

pub(crate) fn finishes() -> Vec<Route<Auth>> {
    routes![finish]
}

/// Sends the browser to the provider to log in
///
/// A page to be opened by a browser, not called by a program. The cookie that it sets ties the login to this browser.
#[utoipa::path(get, path = "/v1/auth/google", operation_id = "begin_google_login", tag = "Auth",
    responses((status = 302, description = "To the provider.", headers( ("location" = String, description = "The provider's page."), ("set-cookie" = String, description = "Good for 10 minutes.")))))]
async fn begin(State(app): State<App>, State(google): State<Google>) -> Result<Response> {
    let begun = oidc::begin(&app, &google).await?;
    let cookie = Cookie::of(&google).set(&begun.browser, LIFETIME_SECONDS);
    let headers = [(header::LOCATION, begun.location), (header::SET_COOKIE, cookie)];
    Ok((StatusCode::FOUND, headers).into_response())
}

/// With what the provider sends the browser back. Providers add parameters of their own, so unknown ones are no error.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Return {
    /// Which login it is.
    state: String,
    /// What is worth an account.
    code: Option<String>,
    /// Why there is none.
    error: Option<String>,
    /// Which provider says so (RFC 9207).
    iss: Option<String>,
}

/// Logs in who comes back from the provider; registers who comes for the first time
///
/// Who has a factor is answered with a challenge, as by logging in with a password.
#[utoipa::path(get, path = "/v1/auth/google/callback", operation_id = "finish_google_login", tag = "Auth",
    params(Return), responses((status = 200, body = LoggedIn), Problem))]
async fn finish(
    State(app): State<App>,
    State(door): State<Door>,
    State(google): State<Google>,
    On(device): On,
    headers: HeaderMap,
    Query(back): Query<Return>,
) -> Result<Response> {
    let answer = Answer {
        state: &back.state,
        code: back.code.as_deref(),
        error: back.error.as_deref(),
        issuer: back.iss.as_deref(),
    };
    let cookie = Cookie::of(&google);
    let browser = cookie.read(&headers);
    let entered = oidc::finish(&app, &door, &google, answer, browser, device).await?;
    let gone = [(header::SET_COOKIE, cookie.set("", 0))];
    Ok((gone, Json(entered)).into_response())
}

/// The cookie that ties a login to a browser.
struct Cookie {
    name: &'static str,
    attributes: &'static str,
}

impl Cookie {
    fn of(google: &Google) -> Self {
        if google.is_secure() {
            // The prefix keeps other hosts of the same domain from setting it (RFC 6265bis).
            Self {
                name: "__Host-google-login",
                attributes: "Path=/; Secure; HttpOnly; SameSite=Lax",
            }
        } else {
            Self {
                name: "google-login",
                attributes: "Path=/v1/auth/google; HttpOnly; SameSite=Lax",
            }
        }
    }

    fn set(&self, value: &str, seconds: i64) -> String {
        format!("{}={value}; Max-Age={seconds}; {}", self.name, self.attributes)
    }

    fn read<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let texts = headers.get_all(header::COOKIE).iter();
        let mut cookies = texts
            .filter_map(|text| text.to_str().ok())
            .flat_map(|text| text.split(';'));
        cookies.find_map(|cookie| cookie.trim().strip_prefix(self.name)?.strip_prefix('='))
    }
}
