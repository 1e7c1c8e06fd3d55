//! One deed, one transaction: what a commit promises, whatever is written with it.

use commit::{Commit, NotDone, Reply, TooLarge, again};
use idempotency::{Answer, Ask, Once};
use identity::{Member, entrance};
use kernel::policy::ManageMembers;
use kernel::{Actor, Caller, Error, OrgId, OrgRole, Origin, PlatformRole, Scope, SessionId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::{Key, Record, TableName, Write};
use testing::{Person, Tenant, TestApp};
use trail::{Chain, Change};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Thing {
    name: String,
    text: String,
    #[serde(default)]
    version: u64,
}

impl Record for Thing {
    const KIND: &'static str = "thing";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        Key::of("THINGS", &self.name)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn thing(name: &str) -> Thing {
    Thing {
        name: name.to_owned(),
        text: String::new(),
        version: 0,
    }
}

fn create(name: &str) -> Write {
    Write::create(&thing(name)).unwrap()
}

async fn is_there(app: &TestApp, name: &str) -> bool {
    app.table().get::<Thing>(&thing(name).key()).await.unwrap().is_some()
}

fn change() -> Change {
    Change::by(Actor::System, "thing.made", "thing", 1)
}

#[tokio::test]
async fn what_did_not_hold_is_named_and_nothing_is_done() {
    let app = TestApp::start().await;
    let parts = app.app().await;
    let commit = || Commit::of(&parts, &Origin::default());
    commit().write("first", create("a")).await.unwrap();
    let chain = Chain::Org(OrgId::from_bits(1));
    let again = commit()
        .write("new", create("b"))
        .write("old", create("a"))
        .write_all("more", [create("c")])
        .note(chain, change())
        .await;
    let Err(NotDone::Conditions(names)) = again else {
        panic!("{again:?}")
    };
    assert_eq!(names, ["old"]);
    assert!(!is_there(&app, "b").await && !is_there(&app, "c").await);
}

#[tokio::test]
async fn what_no_transaction_takes_is_named_before_anything_is_sent() {
    let app = TestApp::start().await;
    let parts = app.app().await;
    let commit = || Commit::of(&parts, &Origin::default());
    let large = |name: &str, bytes: usize| {
        let text = "x".repeat(bytes);
        Write::create(&Thing { text, ..thing(name) }).unwrap()
    };
    app.take_usage("tests");
    let refused = |done: Result<(), NotDone>| match done {
        Err(NotDone::TooLarge(too_large)) => too_large,
        other => panic!("{other:?}"),
    };
    let item = refused(
        commit()
            .write("small", create("a"))
            .write("letter", large("b", 410_000))
            .await,
    );
    assert!(
        matches!(
            item,
            TooLarge::Item {
                name: "letter",
                bytes: 410_000..,
                ..
            }
        ),
        "{item}"
    );
    let all = (0..11).map(|number| large(&number.to_string(), 400_000));
    let all = refused(commit().write_all("letters", all).await);
    assert!(
        matches!(
            all,
            TooLarge::Transaction {
                name: "letters",
                bytes: 4_400_000..,
                ..
            }
        ),
        "{all}"
    );
    let many = (0..101).map(|number| create(&number.to_string()));
    let many = refused(commit().write_all("many", many).await);
    assert!(matches!(many, TooLarge::Writes { writes: 101, .. }), "{many}");
    let twice = commit().write("one", create("a")).write("other", create("a")).await;
    let Err(NotDone::Other(Error::Internal(twice))) = twice else {
        panic!("{twice:?}")
    };
    assert!(twice.to_string().contains("`one` and `other`"), "{twice}");
    assert!(!is_there(&app, "a").await);
}

#[tokio::test]
async fn writers_of_one_chain_all_get_their_entry() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let chain = Chain::Org(acme.org.parse().unwrap());
    let before = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await.len();
    let parts = app.app().await;
    let note = || again(|| async { Commit::of(&parts, &Origin::default()).note(chain, change()).await });
    // One after the other this process knows the end of the chain; another one writes to it as well.
    for _ in 0..3 {
        note().await.unwrap();
    }
    acme.client
        .post("/v1/projects", json!({"name": "a", "environment": "dev"}))
        .await
        .expect(201);
    for done in futures::future::join_all((0..10).map(|_| note())).await {
        done.unwrap();
    }
    let entries = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    assert_eq!(entries.len(), before + 14);
    let mut sequence: Vec<_> = entries.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    sequence.reverse();
    assert_eq!(sequence, (1..=entries.len() as u64).collect::<Vec<_>>());
}

/// What a member may do who passed the gate just now.
async fn passed(app: &TestApp, acme: &Tenant, who: &Person) -> Scope<ManageMembers> {
    let (org, user): (OrgId, UserId) = (acme.org.parse().unwrap(), who.id.parse().unwrap());
    let membership = entrance::membership(&app.table(), org, user, false).await.unwrap();
    let entrance::Membership { member, anchors, .. } = membership.unwrap();
    let caller = Caller::Member {
        user,
        platform_role: PlatformRole::User,
        session: SessionId::new(app.now()),
        org,
        role: member.role,
        grants: member.resource_roles(),
        anchors,
    };
    Scope::permit(caller).unwrap()
}

#[tokio::test]
async fn who_was_removed_since_they_passed_the_gate_changes_nothing_more() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let [eve, mallory] = [app.member(&acme, "admin").await, app.member(&acme, "viewer").await];
    let members = format!("/v1/orgs/{}/members", acme.org);
    let promote = async |scope: &Scope<ManageMembers>| {
        let user = mallory.id.parse().unwrap();
        Member::set_role(&app.app().await, scope, user, OrgRole::Admin).await
    };

    // Demoted, removed, or in an organization that was deleted: each under way.
    let scope = passed(&app, &acme, &eve).await;
    let eves = format!("{members}/{}", eve.id);
    acme.client.patch(&eves, json!({"role": "viewer"})).await.expect(200);
    assert!(matches!(promote(&scope).await, Err(Error::Denied)));
    acme.client.patch(&eves, json!({"role": "admin"})).await.expect(200);
    let scope = passed(&app, &acme, &eve).await;
    acme.client.delete(&eves).await.expect(204);
    assert!(matches!(promote(&scope).await, Err(Error::Denied)));
    let scope = passed(&app, &acme, &acme.owner).await;
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    assert!(matches!(promote(&scope).await, Err(Error::NotFound("organization"))));
}

#[tokio::test]
async fn a_removed_admin_leaves_no_entry_behind_the_one_that_removed_them() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let members = format!("/v1/orgs/{}/members", acme.org);
    for _ in 0..3 {
        let eve = app.member(&acme, "admin").await;
        let changes = (0..20).map(|number| {
            let role = ["viewer", "admin"][number % 2];
            let client = eve.client.clone();
            let path = format!("{members}/{}", eve.id);
            async move { client.patch(path, json!({"role": role})).await }
        });
        let removed = acme.client.delete(format!("{members}/{}", eve.id));
        let (_, removed) = tokio::join!(futures::future::join_all(changes), removed);
        removed.expect(204);
        let entries = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
        let after = entries.iter().take_while(|entry| entry["action"] != "member.removed");
        assert_eq!(after.filter(|entry| entry["actorUserId"] == eve.id.as_str()).count(), 0);
    }
}

#[tokio::test]
async fn who_changes_themselves_is_one_item_in_the_transaction() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.member(&acme, "owner").await;
    let members = format!("/v1/orgs/{}/members", acme.org);
    let own = format!("{members}/{}", ada.id);
    ada.client.patch(&own, json!({"role": "admin"})).await.expect(200);
    ada.client.delete(&own).await.expect(204);
    ada.client.get(&members).await.problem(404, "not_found");
}

fn ask(key: &str) -> Ask<'_> {
    Ask {
        owner: "ORG#org_1",
        route: "/v1/things",
        key,
        parts: &[b"body"],
    }
}

/// The origin of a request with this key, which is to be done.
async fn claimed(app: &TestApp, key: &str) -> Origin {
    let once = Once::new(app.table(), app.app().await.keys.unwrap());
    match once.claim(app.now(), &ask(key)).await.unwrap() {
        Answer::Do(claim) => Origin {
            claim: Some(claim),
            ..Origin::default()
        },
        Answer::Replay(reply) => panic!("{reply:?}"),
    }
}

#[tokio::test]
async fn what_was_begun_is_resumed_and_not_repeated() {
    let app = TestApp::start().await;
    let parts = app.app().await;
    let once = Once::new(app.table(), app.app().await.keys.unwrap());
    let first = claimed(&app, "pay").await;
    assert_eq!(first.resumed(), None);
    let begun = Commit::of(&parts, &first).write("thing", create("payment"));
    begun.begins("payment pay_1").await.unwrap();
    // Its process dies; whoever comes again waits for the lease, and then goes on with what was begun.
    assert!(matches!(
        once.claim(app.now(), &ask("pay")).await,
        Err(Error::InFlight { .. })
    ));
    app.advance(31_000);
    let second = claimed(&app, "pay").await;
    assert_eq!(second.resumed(), Some("payment pay_1"));
    // That fails as well, without a crash: the next one goes on at once.
    let claim = second.claim.as_ref().unwrap();
    once.settle(app.now(), claim, None).await.unwrap();
    let third = claimed(&app, "pay").await;
    assert_eq!(third.resumed(), Some("payment pay_1"));
    // The first process was not dead, and comes too late.
    let late = Commit::of(&parts, &first).write("thing", create("late")).await;
    assert!(matches!(late, Err(NotDone::Other(Error::InFlight { .. }))), "{late:?}");
    assert!(!is_there(&app, "late").await);
    let view = json!({"id": "pay_1"});
    let done = Commit::of(&parts, &third).write("thing", create("url"));
    done.reply(Reply::created(&view).unwrap()).await.unwrap();
    match once.claim(app.now(), &ask("pay")).await.unwrap() {
        Answer::Replay(reply) => assert_eq!(reply, Reply::created(&view).unwrap()),
        Answer::Do(claim) => panic!("{claim:?}"),
    }
}

#[tokio::test]
async fn an_effect_whose_reply_is_lost_is_told_and_not_repeated() {
    let app = TestApp::start().await;
    let parts = app.app().await;
    let once = Once::new(app.table(), app.app().await.keys.unwrap());
    let chain = Chain::Org(OrgId::from_bits(1));
    let origin = claimed(&app, "one").await;
    Commit::of(&parts, &origin).note(chain, change()).await.unwrap();
    assert!(matches!(
        once.claim(app.now(), &ask("one")).await,
        Err(Error::InFlight { .. })
    ));
    app.advance(31_000);
    let other = Ask {
        parts: &[b"another body"],
        ..ask("one")
    };
    assert!(matches!(once.claim(app.now(), &other).await, Err(Error::KeyReused)));
    let told = once.claim(app.now(), &ask("one")).await;
    let Err(Error::Refused {
        code: "already_done",
        detail,
    }) = told
    else {
        panic!("{told:?}")
    };
    assert!(detail.contains("thing 1"), "{detail}");
    // An effect without an audit entry is marked too; a request that had its effect and failed is told of it at once.
    let origin = claimed(&app, "two").await;
    Commit::of(&parts, &origin).write("payment", create("a")).await.unwrap();
    once.settle(app.now(), origin.claim.as_ref().unwrap(), None)
        .await
        .unwrap();
    let told = once.claim(app.now(), &ask("two")).await;
    assert!(
        matches!(
            told,
            Err(Error::Refused {
                code: "already_done",
                ..
            })
        ),
        "{told:?}"
    );
    // What had no effect frees its key.
    let origin = claimed(&app, "three").await;
    once.settle(app.now(), origin.claim.as_ref().unwrap(), None)
        .await
        .unwrap();
    claimed(&app, "three").await;
}

#[tokio::test]
async fn who_reads_the_table_and_guesses_a_key_opens_nothing() {
    let app = TestApp::start().await;
    let parts = app.app().await;
    let acme = app.tenant().await;
    let once = acme.client.header("idempotency-key", "1");
    let keys = format!("/v1/projects/{}/api-keys", acme.project);
    let made = once.post(&keys, json!({"label": "a"})).await.expect(201);
    // Neither the secret lies there, nor what the guessed key alone derives: the same request of somebody who has the
    // table and another secret is another one, and its reply does not open.
    let stored = app.stored().await;
    let secret = made.text("key");
    assert!(!stored.windows(secret.len()).any(|part| part == secret.as_bytes()));
    let body: [&[u8]; 1] = [b"body"];
    let origin = claimed(&app, "1").await;
    let reply = Reply::created(&json!({"key": secret})).unwrap();
    Commit::of(&parts, &origin)
        .write("a", create("a"))
        .reply(reply)
        .await
        .unwrap();
    let theirs: kernel::seal::Keyring = format!("1:{}", "00".repeat(32)).parse().unwrap();
    let attacker = Once::new(app.table(), std::sync::Arc::new(theirs));
    let guess = attacker
        .claim(
            app.now(),
            &Ask {
                parts: &body,
                ..ask("1")
            },
        )
        .await;
    assert!(matches!(guess, Err(Error::KeyReused)), "{guess:?}");
}

#[tokio::test]
async fn a_key_of_an_api_key_route_is_honoured() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let events = json!({"events": [{"id": "1", "type": "A", "name": "a"}]});
    let once = acme.server.header("idempotency-key", "batch-1");
    let first = once.post("/v1/ingest/events", events.clone()).await.expect(202);
    let again = once.post("/v1/ingest/events", events.clone()).await.expect(202);
    assert_eq!(
        (again.header("idempotent-replayed"), &again.json),
        ("true", &first.json)
    );
    assert_eq!(app.take_messages().await.len(), 1);
    let other = json!({"events": [{"id": "2", "type": "A", "name": "a"}]});
    once.post("/v1/ingest/events", other)
        .await
        .problem(422, "idempotency_key_reused");
    // Another tenant's key is another key; a refusal frees it; a whole batch is taken with one.
    let theirs = rival.server.header("idempotency-key", "batch-1");
    theirs
        .post("/v1/ingest/events", json!({"events": []}))
        .await
        .expect(422);
    let many: Vec<_> = (0..1_000)
        .map(|id| json!({"id": id.to_string(), "type": "A", "name": "a".repeat(500)}))
        .collect();
    theirs
        .post("/v1/ingest/events", json!({"events": many}))
        .await
        .expect(202);
    app.settle().await;
}
