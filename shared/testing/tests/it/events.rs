//! /v1/events: search, newest first, page by page.

use std::collections::HashSet;

use serde_json::json;
use testing::{START, Tenant, TestApp};

async fn all(tenant: &Tenant, query: &str) -> Vec<serde_json::Value> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    for _ in 0..200 {
        let path = format!("/v1/events?projectId={}{query}{cursor}", tenant.project);
        let page = tenant.client.get(path).await.expect(200);
        events.extend(page.data().iter().cloned());
        match page.json["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
    panic!("the list does not end");
}

#[tokio::test]
async fn events_are_found_newest_first_page_by_page() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    // Chunks that overlap in time: every request spans all of it.
    for chunk in 0..8_i64 {
        let event = |n: i64| {
            let at = START.plus_millis(-(n * 8 + chunk) * 1_000_000).to_string();
            json!({"type": "A", "name": format!("n{}", n % 4), "userId": format!("u{chunk}"), "occurredAt": at,
                "payload": {"n": n}, "metadata": ["m"]})
        };
        acme.ingest((0..12).map(event).collect()).await;
    }
    app.settle().await;
    let from = format!("&from={}", START.plus_millis(-100_000_000));
    let found = all(&acme, &format!("{from}&limit=7")).await;
    assert_eq!(found.len(), 96);
    let times: Vec<&str> = found
        .iter()
        .map(|event| event["occurredAt"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b));
    assert_eq!(
        found
            .iter()
            .map(|event| event["id"].as_str().unwrap())
            .collect::<HashSet<_>>()
            .len(),
        96
    );

    assert_eq!(all(&acme, &format!("{from}&name=n1")).await.len(), 24);
    assert_eq!(all(&acme, &format!("{from}&userId=u3&limit=5")).await.len(), 12);
    assert_eq!(all(&acme, &format!("{from}&type=B")).await.len(), 0);
    let recent = format!("&from={}&to={}", START.plus_millis(-8_000_000), START.plus_millis(1));
    assert_eq!(all(&acme, &recent).await.len(), 9);
}

#[tokio::test]
async fn an_event_is_found_by_its_id() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let event = json!({"id": "mine", "type": "A", "name": "a", "payload": {"deep": [1, 2]}, "userId": "u"});
    acme.ingest(json!([event])).await;
    app.settle().await;
    let found = all(&acme, "").await.remove(0);
    assert_eq!(found["clientId"], "mine");
    let id = found["id"].as_str().unwrap();
    let path = format!("/v1/events/{id}");
    let one = acme.client.get(&path).await.expect(200);
    assert_eq!(one.json, found);
    assert_eq!(one.json["payload"], json!({"deep": [1, 2]}));
    acme.client
        .get(format!("{path}?projectId={}", acme.project))
        .await
        .expect(200);
    rival.client.get(&path).await.problem(404, "not_found");
    rival
        .client
        .get(format!("{path}?projectId={}", acme.project))
        .await
        .problem(404, "not_found");
    rival
        .owner
        .client
        .within(&acme.org)
        .get(&path)
        .await
        .problem(404, "not_found");
    acme.client.get("/v1/events/7").await.problem(400, "malformed_id");
    app.client().get(&path).await.expect(401);
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_search_only() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for tenant in [&acme, &rival] {
        tenant
            .ingest(json!([{"type": "A", "name": "a"}, {"type": "A", "name": "a"}]))
            .await;
    }
    app.settle().await;
    let path = |tenant: &Tenant| format!("/v1/events?projectId={}&limit=1", tenant.project);
    let cursor = acme.client.get(path(&acme)).await.expect(200).text("nextCursor");
    acme.client
        .get(format!("{}&cursor={cursor}", path(&acme)))
        .await
        .expect(200);
    acme.client
        .get(format!("{}&cursor={cursor}&type=A", path(&acme)))
        .await
        .problem(400, "bad_cursor");
    acme.client
        .get(format!("{}&cursor=x{cursor}", path(&acme)))
        .await
        .problem(400, "bad_cursor");
    rival
        .client
        .get(format!("{}&cursor={cursor}", path(&rival)))
        .await
        .problem(400, "bad_cursor");
}

#[tokio::test]
async fn searches_that_make_no_sense_are_refused() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let ask = async |query: &str| acme.client.get(format!("/v1/events?{query}")).await;
    ask("").await.problem(400, "missing_field");
    ask(&format!("projectId={}&limit=0", acme.project))
        .await
        .problem(400, "bad_limit");
    ask(&format!("projectId={}&limit=many", acme.project))
        .await
        .problem(400, "wrong_type");
    ask(&format!(
        "projectId={}&to=2001-01-01T00:00:00Z&from={START}",
        acme.project
    ))
    .await
    .problem(422, "invalid");
    ask(&format!("projectId={}", rival.project))
        .await
        .problem(404, "not_found");
}
