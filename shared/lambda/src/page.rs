//! Pages that people see: they load nothing from elsewhere, run nothing, and stand in no frame and no search engine.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// What a page's style is allowed by: another one for each.
#[derive(Debug)]
pub struct Nonce(String);

impl Nonce {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "no two are the same")]
    pub fn new() -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(kernel::id::random())))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Answers with a page whose style has this nonce. `allowed` is what it may besides, as directives of its policy, such as where its
/// forms go.
pub fn page(status: StatusCode, nonce: &Nonce, allowed: &str, html: String) -> Response {
    let policy =
        format!("default-src 'none'; style-src 'nonce-{nonce}'; {allowed}; base-uri 'none'; frame-ancestors 'none'");
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (ROBOTS, "noindex".to_owned()),
    ];
    (status, headers, html).into_response()
}
