//! What platform admins look at: how much there is of everything, and the events of all tenants, each search of which is
//! noted.

use kernel::Time;
use serde_json::{Value, json};
use testing::{Person, Tenant, TestApp};

async fn given(app: &TestApp, tenant: &Tenant, names: &[&str]) {
    let events: Value = names.iter().map(|name| json!({"type": "A", "name": name})).collect();
    tenant.ingest(events).await;
    let sent = app.take_messages().await;
    assert_eq!(app.deliver(&sent).await, Vec::<usize>::new());
}

/// The names and organizations of what a search finds.
async fn found(manager: &Person, query: &str) -> Vec<(String, String)> {
    let all = manager.client.all(format!("/v1/admin/events?{query}")).await;
    let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    all.iter()
        .map(|event| (text(event, "name"), text(event, "orgId")))
        .collect()
}

#[tokio::test]
async fn everything_is_counted_when_it_is_asked_for() {
    let app = TestApp::start().await;
    let (manager, [acme, rival]) = (app.manager().await, app.tenants().await);
    let stats = async || manager.client.get("/v1/admin/stats").await.expect(200).json;
    let before = stats().await;
    given(&app, &acme, &["a", "b"]).await;
    given(&app, &rival, &["c"]).await;
    let gone = app.person().await;
    manager
        .client
        .delete(format!("/v1/users/{}", gone.id))
        .await
        .expect(204);
    app.project(&acme).await;
    let rivals = format!("/v1/projects/{}", rival.project);
    rival.client.delete(rivals).await.expect(204);

    let after = stats().await;
    let count = |stats: &Value, place: &str| stats.pointer(place).and_then(Value::as_u64).unwrap();
    let more = |place: &str| count(&after, place) - count(&before, place);
    assert_eq!((more("/people/total"), more("/people/deactivated")), (1, 1));
    assert_eq!((more("/orgs/total"), more("/projects/total")), (0, 0));
    assert!(count(&after, "/orgs/total") >= 2);
    // Of projects that were deleted nothing is counted.
    assert_eq!((more("/events/today"), more("/events/yesterday")), (2, 0));
    for part in ["people", "orgs", "projects", "events"] {
        assert_eq!(after[part]["complete"], true, "{part}");
    }
    let end = format!("/v1/orgs/{}", rival.org);
    rival.client.delete(end).await.expect(204);
    assert_eq!(count(&stats().await, "/orgs/total"), count(&after, "/orgs/total") - 1);
}

#[tokio::test]
async fn the_events_of_all_tenants_are_found_project_by_project_and_each_search_is_noted() {
    let app = TestApp::start().await;
    let (manager, [acme, rival]) = (app.manager().await, app.tenants().await);
    given(&app, &acme, &["a", "b", "c"]).await;
    app.advance(1_000);
    let second = app.project(&acme).await;
    given(&app, &second, &["d"]).await;
    given(&app, &rival, &["e", "b"]).await;

    for limit in [1, 2, 100] {
        let all = found(&manager, &format!("limit={limit}")).await;
        assert_eq!(all.len(), 6, "{all:?}");
        assert_eq!(all[0], ("d".to_owned(), acme.org.clone()), "the newest project first");
    }
    let both = found(&manager, "name=b&limit=1").await;
    assert_eq!(both.iter().filter(|(_, org)| *org == acme.org).count(), 1);
    assert_eq!(both.len(), 2);
    assert_eq!(found(&manager, &format!("orgId={}&limit=1", acme.org)).await.len(), 4);
    assert_eq!(
        found(&manager, &format!("projectId={}&limit=1", acme.project))
            .await
            .len(),
        3
    );
    let elsewhere = format!("projectId={}&orgId={}", acme.project, rival.org);
    assert_eq!(found(&manager, &elsewhere).await.len(), 0);
    let absent = format!("/v1/admin/events?projectId={}", kernel::ProjectId::new(app.now()));
    manager.client.get(absent).await.problem(404, "not_found");
    let wrong = "/v1/admin/events?from=2027-01-02T00:00:00Z&to=2027-01-01T00:00:00Z";
    assert_eq!(manager.client.get(wrong).await.status, 422);

    // An organization sees who looked at its events; what was looked for everywhere stands with who did.
    let searches = |trail: Vec<Value>| {
        let searches = trail.into_iter().filter(|entry| entry["action"] == "events.searched");
        searches.collect::<Vec<_>>()
    };
    let ours = searches(acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await);
    assert_eq!(ours.len(), 4 + 3, "one for each page");
    assert!(ours.iter().all(|entry| entry["actorUserId"] == manager.id.as_str()));
    let own = manager.client.all(format!("/v1/audit?userId={}", manager.id)).await;
    assert_eq!(
        searches(own).len(),
        6 + 3 + 1 + 2 + 1,
        "and what no organization is searched for"
    );
}

#[tokio::test]
async fn a_search_of_what_an_organization_has_not_stands_with_who_searches() {
    let app = TestApp::start().await;
    let (manager, [acme, rival]) = (app.manager().await, app.tenants().await);
    let absent = kernel::OrgId::new(app.now());
    assert_eq!(found(&manager, &format!("orgId={absent}")).await.len(), 0);
    let mixed = format!("orgId={}&projectId={}", acme.org, rival.project);
    assert_eq!(found(&manager, &mixed).await.len(), 0);
    let targets = |trail: &[Value]| -> Vec<String> {
        let searches = trail.iter().filter(|entry| entry["action"] == "events.searched");
        searches
            .map(|entry| entry["targetId"].as_str().unwrap().to_owned())
            .collect()
    };
    for tenant in [&acme, &rival] {
        let trail = tenant.client.all(format!("/v1/orgs/{}/audit", tenant.org)).await;
        assert_eq!(targets(&trail), [] as [String; 0]);
    }
    let own = manager.client.all(format!("/v1/audit?userId={}", manager.id)).await;
    assert_eq!(targets(&own), [rival.project.clone(), absent.to_string()]);
}

#[tokio::test]
async fn a_page_reads_a_bounded_part_however_many_projects_it_looks_through() {
    let app = TestApp::start().await;
    let (manager, acme) = (app.manager().await, app.tenant().await);
    for _ in 0..6 {
        app.advance(1_000);
        let project = app.project(&acme).await;
        // Each day that has events is a page of entries to be read.
        let days = (0..6).map(|day| app.now().plus_millis(-day * Time::DAY));
        let events: Value = days
            .map(|at| json!({"type": "A", "name": "a", "occurredAt": at}))
            .collect();
        project.ingest(events).await;
    }
    let sent = app.take_messages().await;
    assert_eq!(app.deliver(&sent).await, Vec::<usize>::new());
    app.advance(1_000);
    let from = app.now().plus_millis(-6 * Time::DAY);
    let query = format!("from={from}&orgId={}&limit=100", acme.org);
    let nothing = format!("/v1/admin/events?{query}&name=b");
    let first = manager.client.get(nothing).await.expect(200).json;
    assert_eq!(first["data"], json!([]));
    assert_ne!(first["nextCursor"], Value::Null, "36 pages are more than one reads");
    assert_eq!(found(&manager, &format!("{query}&name=b")).await.len(), 0);
    assert_eq!(found(&manager, &query).await.len(), 36);
}
