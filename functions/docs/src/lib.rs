//! /docs: the API described as OpenAPI 3.1, and a page to read and try it. All assets are served from here.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gate::{Routes, Serve, routes};
use kernel::error::OutOfCredits;
use lambda::{App, Function, Path, Problem, ProblemDetails};
use outbox::Kind;
use serde_json::{Map, Value, json};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_swagger_ui::{Config, serve};

/// What the page may load: its own files; the page's own style is inline.
const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The description changes with the next deployment only.
const FOR_AN_HOUR: &str = "public, max-age=3600";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Countinghouse",
        description = "The back office of a SaaS. People log in (`Authorization: Bearer <access token>`) and name their \
            organization in `x-org-id`; servers send events with an API key in `x-api-key`. Errors are problem \
            documents (RFC 9457) whose `code` is stable.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ProblemDetails, OutOfCredits))
)]
struct Base;

/// The function.
pub const FUNCTION: Function = gate::function::<Docs>("docs");

struct Docs;

impl Serve for Docs {
    type State = App;

    fn routes() -> Routes<App> {
        Routes::new().open(routes![page, description, asset])
    }
}

/// Every function: those of the list, and this one, which describes them and so cannot stand in it.
pub fn all() -> impl Iterator<Item = Function> {
    functions::ALL.iter().copied().chain([FUNCTION])
}

/// The description of every route of every function.
pub fn openapi() -> OpenApi {
    let mut api = Base::openapi();
    let mut headers = BTreeMap::new();
    for mut routes in all().filter_map(|function| function.describe()) {
        // `merge` forgets them.
        headers.extend(
            routes
                .components
                .iter_mut()
                .flat_map(|parts| std::mem::take(&mut parts.headers)),
        );
        api.merge(routes);
    }
    let components = api.components.get_or_insert_default();
    components.headers = headers;
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let key = ApiKeyValue::with_description("x-api-key", "An API key of a project: ch_live_… or ch_test_…");
    components.add_security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(key)));
    api
}

/// The description with the events that webhook subscriptions are told of, which utoipa has no place for.
pub fn described() -> Value {
    let mut api = json!(openapi());
    for (name, schema) in endpoints::events::kinds().flat_map(endpoints::events::schemas) {
        let known = &mut api["components"]["schemas"];
        if known.get(&name).is_none() {
            known[name] = schema;
        }
    }
    let events = endpoints::events::kinds().map(|kind| (kind.name.to_owned(), event(kind)));
    api["webhooks"] = events.collect::<Map<_, _>>().into();
    api
}

fn event(kind: &Kind) -> Value {
    let header = |name: &str, about: &str| json!({"name": name, "in": "header", "required": true, "description": about, "schema": {"type": "string"}});
    json!({"post": {
        "tags": ["Webhooks"],
        "summary": kind.about.trim().trim_end_matches('.'),
        "description": "Sent to webhook subscriptions that name it, signed as the Standard Webhooks have it.",
        "parameters": [
            header("webhook-id", "What the event is known by: the same at every attempt and replay."),
            header("webhook-timestamp", "When this attempt was made, in seconds since 1970."),
            header("webhook-signature", "The signatures `v1,…` and `v1a,…` over `{id}.{timestamp}.{body}`, with blanks in between.")
        ],
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": endpoints::events::schema(kind),
            "example": endpoints::events::example(kind)
        }}},
        "responses": {
            "2XX": {"description": "It was taken."},
            "410": {"description": "The endpoint is no more: the subscription is disabled."}
        }
    }})
}

/// Shows the interactive page
#[utoipa::path(get, path = "/docs", operation_id = "show_docs", tag = "Docs",
    responses((status = 200, description = "The page.", content_type = "text/html")))]
async fn page() -> lambda::Result<Response> {
    let html = file("index.html")?;
    // The page stands at /docs, its files below it.
    let html = String::from_utf8_lossy(&html.bytes)
        .replace("\"./", "\"/docs/")
        .replace("href=\"index.css", "href=\"/docs/index.css");
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::CACHE_CONTROL, FOR_AN_HOUR),
    ];
    Ok((headers, html).into_response())
}

/// Answers with the OpenAPI 3.1 description
#[utoipa::path(get, path = "/docs/json", operation_id = "get_openapi", tag = "Docs",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object,
        headers(("etag" = String, description = "Names this version of it."))),
        (status = 304, description = "It is as `if-none-match` says.")))]
async fn description(headers: HeaderMap) -> Response {
    // The functions do not change while this one runs.
    static DESCRIPTION: LazyLock<(Bytes, String)> = LazyLock::new(|| {
        let bytes: Bytes = serde_json::to_vec(&described()).unwrap_or_default().into();
        let tag = format!("\"{}\"", hex::encode(&digest(&SHA256, &bytes).as_ref()[..16]));
        (bytes, tag)
    });
    let (bytes, tag) = &*DESCRIPTION;
    let about = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, FOR_AN_HOUR)];
    if knows(&headers, tag) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, "application/json")], bytes.clone()).into_response()
}

/// Whether a request says that its sender has what this tag names (RFC 9110, section 13.1.2).
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tags.any(|given| {
        let given = given.trim();
        given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag
    })
}

/// Answers with a file of the page
#[utoipa::path(get, path = "/docs/{file}", operation_id = "get_docs_file", tag = "Docs",
    params(("file" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The file.", content_type = "application/octet-stream"), Problem))]
async fn asset(Path(name): Path<String>) -> lambda::Result<Response> {
    let file = file(&name)?;
    let headers: [(HeaderName, String); 2] = [
        (header::CONTENT_TYPE, file.content_type),
        (header::CACHE_CONTROL, "public, max-age=86400".to_owned()),
    ];
    Ok((StatusCode::OK, headers, file.bytes.into_owned()).into_response())
}

fn file(name: &str) -> kernel::Result<utoipa_swagger_ui::SwaggerFile<'static>> {
    let config = Arc::new(
        Config::from("/docs/json")
            .try_it_out_enabled(true)
            .persist_authorization(false),
    );
    match serve(name, config) {
        Ok(Some(file)) => Ok(file),
        Ok(None) | Err(_) => Err(kernel::Error::NotFound("file")),
    }
}
