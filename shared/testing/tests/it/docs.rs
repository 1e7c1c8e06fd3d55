//! /docs: the description of the API, and the page that shows it without any other host.

use std::collections::BTreeMap;

use serde_json::Value;
use testing::TestApp;

#[tokio::test]
async fn the_description_is_open_and_says_what_it_is() {
    let app = TestApp::start().await;
    let reply = app.client().get("/docs/json").await.expect(200);
    assert_eq!(reply.header("content-type"), "application/json");
    let version = reply.json["openapi"].as_str().unwrap();
    assert!(version.starts_with("3.1."), "{version}");
    assert_eq!(reply.json["info"]["title"], "Countinghouse");
    for scheme in ["bearer", "apiKey"] {
        assert!(
            reply.json["components"]["securitySchemes"][scheme].is_object(),
            "{scheme}"
        );
    }
    assert_eq!(
        reply.json["components"]["securitySchemes"]["apiKey"]["name"],
        "x-api-key"
    );
}

#[tokio::test]
async fn the_description_is_sent_once_to_who_keeps_it() {
    let app = TestApp::start().await;
    let reply = app.client().get("/docs/json").await.expect(200);
    assert_eq!(reply.header("cache-control"), "public, max-age=3600");
    let tag = reply.header("etag").to_owned();
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let client = app.client().header("if-none-match", &known);
        let same = client.get("/docs/json").await.expect(304);
        assert_eq!((same.bytes.len(), same.header("etag")), (0, tag.as_str()), "{known}");
        assert_eq!(same.header("cache-control"), "public, max-age=3600");
    }
    let client = app.client().header("if-none-match", "\"another\"");
    assert_eq!(client.get("/docs/json").await.expect(200).bytes, reply.bytes);
}

/// Every `$ref` in a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_reference_in_the_description_leads_somewhere() {
    let app = TestApp::start().await;
    let description = app.client().get("/docs/json").await.expect(200).json;
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference
            .strip_prefix('#')
            .unwrap_or_else(|| panic!("{reference} leads outside"));
        assert!(description.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn the_page_loads_from_here_alone() {
    let app = TestApp::start().await;
    let page = app.client().get("/docs").await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'self';") && !policy.contains("http"),
        "{policy}"
    );
    let html = String::from_utf8(page.bytes).unwrap();
    let attributes = html.split(['"', '\'']).collect::<Vec<_>>();
    let links: Vec<&str> = attributes
        .windows(2)
        .filter(|pair| pair[0].ends_with("src=") || pair[0].ends_with("href="))
        .map(|pair| pair[1])
        .collect();
    assert!(links.len() >= 4, "{links:?}");
    for link in links {
        assert!(link.starts_with("/docs/"), "{link} is not ours");
        let file = app.client().get(link).await.expect(200);
        assert!(!file.bytes.is_empty(), "{link}");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn other_files_are_absent() {
    let app = TestApp::start().await;
    for name in [
        "nothing.js",
        "..%2f..%2fCargo.toml",
        "%2e%2e%2fCargo.toml",
        ".git",
        "%00",
    ] {
        app.client()
            .get(format!("/docs/{name}"))
            .await
            .problem(404, "not_found");
    }
    app.client().get("/docs/a/b").await.problem(404, "not_found");
}

/// A header is there or not; it has no `null`.
#[tokio::test]
async fn no_header_of_a_guard_is_said_to_be_null() {
    let app = TestApp::start().await;
    let api = app.client().get("/docs/json").await.expect(200).json;
    let mut found = 0;
    for operation in api["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
    {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if ["x-org-id", "Idempotency-Key"]
                .iter()
                .any(|name| parameter["name"] == *name)
            {
                found += 1;
                assert!(!parameter["schema"].to_string().contains("\"null\""), "{parameter}");
            }
        }
    }
    assert!(found > 100, "{found}");
}

/// The descriptions of all functions are one document, in which a name means one thing.
#[test]
fn no_two_schemas_have_one_name() {
    let mut schemas: BTreeMap<String, (&str, serde_json::Value)> = BTreeMap::new();
    for function in docs::all() {
        let Some(components) = function.describe().and_then(|description| description.components) else {
            continue;
        };
        for (name, schema) in components.schemas {
            let schema = serde_json::to_value(schema).unwrap();
            let (other, known) = schemas
                .entry(name.clone())
                .or_insert_with(|| (function.name(), schema.clone()));
            assert_eq!(*known, schema, "{name} of {other} and of {}", function.name());
        }
    }
    assert!(schemas.len() > 40, "{} schemas", schemas.len());
}
