//! /v1/unsubscribe/{token}: turns mail about one topic off, for whoever has its link (RFC 8058).
//!
//! Programs look at links before people do, so looking changes nothing. What does is the form that this page and mail programs
//! send.

use anyhow::Context as _;
use askama::Template;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use gate::{Route, routes};
use inbox::unsubscribe::Link;
use kernel::{Error, Origin};
use lambda::{Nonce, Path, Result, read_body};
use serde::Deserialize;

use crate::Notices;

/// What a form says that turns mail off, as mail programs send it.
const FIELD: &str = "List-Unsubscribe";
const VALUE: &str = "One-Click";
/// The longest form: that field and its value, in parts with a long boundary.
const LONGEST: usize = 2_048;
/// What is called whom the link's organization is, when that is gone.
const GONE: &str = "this organization";

pub(crate) fn routes() -> Vec<Route<Notices>> {
    routes![ask, stop]
}

#[derive(Template)]
#[template(path = "ask.html")]
struct Ask<'a> {
    title: &'static str,
    nonce: &'a Nonce,
    console: &'a str,
    topic: &'static str,
    organization: &'a str,
}

#[derive(Template)]
#[template(path = "done.html")]
struct Done<'a> {
    title: &'static str,
    nonce: &'a Nonce,
    console: &'a str,
    topic: &'static str,
    organization: &'a str,
}

#[derive(Template)]
#[template(path = "absent.html")]
struct Absent<'a> {
    title: &'static str,
    nonce: &'a Nonce,
    console: &'a str,
}

/// Asks whether mail about a topic is to stop
///
/// The page that mails lead to. Changes nothing.
#[utoipa::path(get, path = "/v1/unsubscribe/{token}", operation_id = "show_unsubscribe_page", tag = "Notifications",
    params(("token" = String, Path, description = "The end of the link.")),
    responses((status = 200, description = "The page.", content_type = "text/html"),
        (status = 404, description = "The link leads nowhere.", content_type = "text/html")))]
async fn ask(State(state): State<Notices>, Path(token): Path<String>) -> Result<Response> {
    let nonce = Nonce::new();
    let Some(link) = state.link(&token)? else {
        return Ok(state.absent(&nonce)?);
    };
    let organization = link.organization(&state.app).await?;
    let page = Ask {
        title: "Stop this mail?",
        nonce: &nonce,
        console: &state.console,
        topic: link.topic.name(),
        organization: organization.as_deref().unwrap_or(GONE),
    };
    Ok(answer(StatusCode::OK, &nonce, &page)?)
}

/// Stops mail about a topic
///
/// For one person in one organization, and nothing else: mail about other topics, and what is no mail, goes on. Mail programs
/// send `List-Unsubscribe=One-Click` (RFC 8058), without a login. Again, it answers the same.
#[utoipa::path(post, path = "/v1/unsubscribe/{token}", operation_id = "unsubscribe", tag = "Notifications",
    params(("token" = String, Path, description = "The end of the link.")),
    request_body(content((String = "application/x-www-form-urlencoded"), (String = "multipart/form-data")),
        description = "`List-Unsubscribe=One-Click`"),
    responses((status = 200, description = "It is stopped: a page that says so.", content_type = "text/html"),
        (status = 404, description = "The link leads nowhere.", content_type = "text/html")))]
async fn stop(
    State(state): State<Notices>,
    origin: Origin,
    Path(token): Path<String>,
    request: Request,
) -> Result<Response> {
    let nonce = Nonce::new();
    let Some(link) = state.link(&token)? else {
        return Ok(state.absent(&nonce)?);
    };
    meant(request).await?;
    link.follow(&state.app, &origin).await?;
    let organization = link.organization(&state.app).await?;
    let page = Done {
        title: "This mail has stopped",
        nonce: &nonce,
        console: &state.console,
        topic: link.topic.name(),
        organization: organization.as_deref().unwrap_or(GONE),
    };
    Ok(answer(StatusCode::OK, &nonce, &page)?)
}

impl Notices {
    fn link(&self, token: &str) -> kernel::Result<Option<Link>> {
        let keys = self.app.keys.as_deref().context("links cannot be read without keys")?;
        Ok(Link::of(keys, token, self.app.now()))
    }

    fn absent(&self, nonce: &Nonce) -> kernel::Result<Response> {
        let page = Absent {
            title: "This link leads nowhere",
            nonce,
            console: &self.console,
        };
        answer(StatusCode::NOT_FOUND, nonce, &page)
    }
}

/// Fails unless a form says that mail is to stop: 422.
async fn meant(request: Request) -> kernel::Result<()> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let in_parts = kind.is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"multipart/form-data"));
    let body = read_body(request.into_body(), LONGEST).await?;
    let says_so = if in_parts { in_a_part(&body) } else { in_a_pair(&body) };
    if says_so {
        return Ok(());
    }
    Err(Error::InvalidAs {
        code: "not_meant",
        field: FIELD,
        problem: format!("must be {VALUE}"),
    })
}

fn in_a_pair(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Form {
        #[serde(rename = "List-Unsubscribe")]
        field: String,
    }
    let form: std::result::Result<Form, _> = serde_urlencoded::from_bytes(body);
    form.is_ok_and(|form| form.field == VALUE)
}

/// Whether one of the parts has that name, and that value after its headers.
fn in_a_part(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let after_name = text
        .split_once(&format!("name=\"{FIELD}\""))
        .or_else(|| text.split_once(&format!("name={FIELD}")));
    let value = after_name.and_then(|(_, rest)| rest.split_once("\r\n\r\n"));
    value.is_some_and(|(_, value)| value.split("\r\n").next() == Some(VALUE))
}

fn answer(status: StatusCode, nonce: &Nonce, page: &impl Template) -> kernel::Result<Response> {
    let html = page.render().context("a page")?;
    Ok(lambda::page(status, nonce, "form-action 'self'", html))
}
