//! Exports of the audit trail: whole, bounded, and verified offline by two verifiers that share no code.

use std::path::Path;
use std::process::Command;

use commit::Commit;
use kernel::{Actor, OrgId, Origin, UserId};
use serde_json::{Value, json};
use testing::{Client, Tenant, TestApp};
use trail::{Chain, Change, Subject, Verifier};

fn path(tenant: &Tenant) -> String {
    format!("/v1/orgs/{}/audit/export", tenant.org)
}

/// The pages of an export, each as its text.
async fn pages(client: &Client, first: &str) -> Vec<String> {
    let (mut pages, mut next) = (Vec::new(), Some(first.to_owned()));
    while let Some(path) = next {
        let reply = client.get(&path).await.expect(200);
        assert_eq!(reply.header("content-type"), "application/x-ndjson");
        let link = reply.header("link");
        next = link.split(['<', '>']).nth(1).map(str::to_owned);
        assert!(next.is_none() || link.ends_with(">; rel=\"next\""), "{link}");
        pages.push(String::from_utf8(reply.bytes).unwrap());
        assert!(pages.len() < 100, "the export does not end");
    }
    pages
}

/// What our verifier says: how many entries are whole, or the first line that is wrong.
fn ours(export: &str, noted: Option<&str>) -> Result<u64, usize> {
    let mut verifier = Verifier::new(noted);
    for line in export.strip_suffix('\n').unwrap_or(export).split('\n') {
        verifier.read(line).map_err(|flaw| flaw.line)?;
    }
    verifier.end().map(|whole| whole.head.seq).map_err(|flaw| flaw.line)
}

/// What the verifier in `docs/` says, which knows nothing of our code.
fn theirs(export: &str, noted: Option<&str>) -> Result<u64, usize> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), export).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verify_audit.py");
    let done = Command::new("python3")
        .arg(script)
        .arg(file.path())
        .args(noted)
        .output();
    let done = done.expect("this test runs docs/verify_audit.py: install python3");
    let said = String::from_utf8(done.stdout).unwrap();
    let number = |text: &str| text.split([' ', ':']).find_map(|word| word.parse().ok());
    let number = number(&said).unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&done.stderr)));
    if done.status.success() {
        assert!(said.starts_with("whole:"), "{said}");
        Ok(number)
    } else {
        assert!(said.starts_with("line "), "{said}");
        Err(usize::try_from(number).unwrap())
    }
}

/// Wants the same from both verifiers.
#[track_caller]
fn check(export: &str, noted: Option<&str>, expected: Result<u64, usize>) {
    assert_eq!(ours(export, noted), expected, "ours: {export}");
    assert_eq!(theirs(export, noted), expected, "theirs: {export}");
}

fn hash(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line["hash"].as_str().unwrap().to_owned()
}

/// An organization in which names of all scripts were given.
async fn with_history(app: &TestApp) -> Tenant {
    let tenant = app.tenant().await;
    let org = format!("/v1/orgs/{}", tenant.org);
    for name in [
        "Ærø & Søn",
        "数えの家 🏠",
        "\"quoted\" \\ back\tslash",
        "\u{e000}\u{1f600}\u{2028}é",
    ] {
        tenant.client.patch(&org, json!({"name": name})).await.expect(200);
    }
    tenant
}

#[tokio::test]
async fn two_verifiers_that_share_no_code_find_an_export_whole() {
    let app = TestApp::start().await;
    let acme = with_history(&app).await;
    let one = pages(&acme.client, &path(&acme)).await;
    assert_eq!(one.len(), 1);
    check(&one[0], None, Ok(7));
    // By pages it is the same to the byte.
    let many = pages(&acme.client, &format!("{}?limit=2", path(&acme))).await;
    assert_eq!(
        many.iter().map(|page| page.lines().count()).collect::<Vec<_>>(),
        [2, 2, 2, 2]
    );
    assert_eq!(many.concat(), one[0]);

    // Each line is what the list shows.
    let mut listed = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    listed.reverse();
    let lines: Vec<Value> = one[0].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[..7], listed);
    let head = json!({"at": app.now(), "chain": acme.org, "count": 7, "hash": listed[6]["hash"]});
    assert_eq!(lines[7], head);
}

#[tokio::test]
async fn what_was_done_to_an_export_is_found_by_both() {
    let app = TestApp::start().await;
    let [acme, rival] = [with_history(&app).await, with_history(&app).await];
    let [whole, foreign] = [&acme, &rival].map(|tenant| async { pages(&tenant.client, &path(tenant)).await.concat() });
    let (whole, foreign) = (whole.await, foreign.await);
    let (lines, foreign): (Vec<&str>, Vec<&str>) = (whole.lines().collect(), foreign.lines().collect());
    let check = |deed: &dyn Fn(&mut Vec<String>), line: usize| {
        let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        deed(&mut changed);
        check(&(changed.join("\n") + "\n"), None, Err(line));
    };
    // Removed: the first, one in the middle, the last, the head.
    check(&|lines| drop(lines.remove(0)), 1);
    check(&|lines| drop(lines.remove(3)), 4);
    check(&|lines| drop(lines.remove(6)), 7);
    check(&|lines| drop(lines.remove(7)), 8);
    // Changed: a value, who did it, a hash, the way it is written.
    check(&|lines| lines[4] = lines[4].replace("数えの家", "数えの宿"), 5);
    check(&|lines| lines[4] = lines[4].replace(&acme.owner.id, &rival.owner.id), 5);
    check(
        &|lines| lines[2] = lines[2].replace(&hash(&lines[2]), &hash(&lines[3])),
        3,
    );
    check(&|lines| lines[1] = lines[1].replace(",\"seq\":2", ",\"seq\":2.0"), 2);
    check(
        &|lines| lines[1] = lines[1].replace("{\"action\"", "{\"action\":\"nothing\",\"action\""),
        2,
    );
    check(&|lines| lines[5] = lines[5].replacen(':', ": ", 1), 6);
    check(&|lines| lines[6].truncate(40), 7);
    check(&|lines| lines[7] = lines[7].replace("\"count\":7", "\"count\":6"), 8);
    // Moved, repeated, inserted, taken from another organization.
    check(&|lines| lines.swap(1, 2), 2);
    check(&|lines| lines.insert(3, lines[2].clone()), 4);
    check(&|lines| lines.push(lines[7].clone()), 9);
    check(&|lines| lines.insert(4, String::new()), 5);
    check(&|lines| lines[5] = foreign[5].to_owned(), 6);
    check(&|lines| lines[7] = foreign[7].to_owned(), 8);
}

/// An export of one entry whose new value is this text, with hashes that fit.
fn forged(seq: &str, new_value: &str, head: &str) -> String {
    let hash = |entry: &str| hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, entry.as_bytes()));
    let zeros = "0".repeat(64);
    let front = r#"{"action":"a","actorUserId":null,"chain":"org_1","createdAt":"2026-11-21T12:00:00.000Z","#;
    let rest = format!(
        r#""id":"aud_1","newValue":{new_value},"oldValue":null,"prevHash":"{zeros}","seq":{seq},"targetId":"x","targetType":"x"}}"#
    );
    let named = hash(&format!("{front}{rest}"));
    let entry = format!(r#"{front}"hash":"{named}",{rest}"#);
    format!("{entry}\n{}\n", head.replace("HASH", &named))
}

#[test]
fn both_refuse_what_two_parsers_could_read_differently() {
    let head = r#"{"at":"2026-11-21T12:00:00.000Z","chain":"org_1","count":1,"hash":"HASH"}"#;
    let check_value = |value: &str, expected| check(&forged("1", value, head), None, expected);
    check_value("null", Ok(1));
    check_value("[9007199254740991,-9007199254740991]", Ok(1));
    for wide in [
        "9007199254740992",
        "-9007199254740992",
        "-9223372036854775808",
        "18446744073709551615",
    ] {
        check_value(wide, Err(1));
    }
    check_value("18446744073709551616", Err(1));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    check_value(&nested(63), Ok(1));
    for deep in [64, 127, 200, 5_000] {
        check_value(&nested(deep), Err(1));
    }
    check(&forged("true", "null", head), None, Err(1));
    let check_head = |from: &str, to: &str| check(&forged("1", "null", &head.replace(from, to)), None, Err(2));
    check_head(":1,", ":true,");
    for time in [
        "yesterday",
        "2026-11-21T12:00:00Z",
        "2026-11-21T12:00:00.000+00:00",
        "2026-02-30T12:00:00.000Z",
    ] {
        check_head("2026-11-21T12:00:00.000Z", time);
    }
}

#[tokio::test]
async fn an_end_cut_off_with_care_is_found_by_a_head_that_was_noted() {
    let app = TestApp::start().await;
    let acme = with_history(&app).await;
    let early = pages(&acme.client, &path(&acme)).await.concat();
    let noted = hash(early.lines().last().unwrap());
    let org = format!("/v1/orgs/{}", acme.org);
    acme.client.patch(&org, json!({"name": "Later"})).await.expect(200);
    let later = pages(&acme.client, &path(&acme)).await.concat();
    check(&later, Some(&noted), Ok(8));

    let lines: Vec<&str> = later.lines().collect();
    let head = json!({"at": app.now(), "chain": acme.org, "count": 6, "hash": hash(lines[5])});
    let cut = format!("{}\n{head}\n", lines[..6].join("\n"));
    check(&cut, None, Ok(6));
    check(&cut, Some(&noted), Err(7));
}

#[tokio::test]
async fn pages_are_bounded_in_bytes_however_large_the_entries_are() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let (org, actor): (OrgId, UserId) = (acme.org.parse().unwrap(), acme.owner.id.parse().unwrap());
    for number in 0..14 {
        let large = "é🏠".repeat(25_000);
        let change = Change::by(actor, "note.written", "note", number).to(json!({"text": large}));
        let done = Commit::of(&app.app().await, &Origin::default())
            .note(Chain::Org(org), change)
            .await;
        done.unwrap();
    }
    let pages = pages(&acme.client, &path(&acme)).await;
    assert!(pages.len() > 1, "2 MB came at once");
    assert!(pages.iter().all(|page| page.len() < 1_300_000));
    check(&pages.concat(), None, Ok(17));
}

#[tokio::test]
async fn what_keys_and_the_system_did_stands_in_the_same_chain() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let org: OrgId = acme.org.parse().unwrap();
    let key = acme.key_id.parse().unwrap();
    for actor in [Actor::ApiKey(key), Actor::System] {
        let change = Change::by(actor, "note.written", "note", 1);
        let done = Commit::of(&app.app().await, &Origin::default())
            .note(Chain::Org(org), change)
            .await;
        done.unwrap();
    }
    let shown = acme
        .client
        .get(format!("/v1/orgs/{org}/audit?limit=3"))
        .await
        .expect(200);
    let actors: Vec<_> = shown.json["data"].as_array().unwrap().iter().collect();
    let who = |entry: &Value| (entry["actorUserId"].clone(), entry.get("actorApiKeyId").cloned());
    assert_eq!(who(actors[0]), (Value::Null, None));
    assert_eq!(who(actors[1]), (Value::Null, Some(json!(acme.key_id))));
    assert_eq!(who(actors[2]), (json!(acme.owner.id), None));
    check(&pages(&acme.client, &path(&acme)).await.concat(), None, Ok(5));
}

#[tokio::test]
async fn what_happened_to_a_person_is_exported_for_managers() {
    let app = TestApp::start().await;
    let (manager, ada) = (app.manager().await, app.proved_person().await);
    let role = format!("/v1/users/{}/role", ada.id);
    manager.client.patch(&role, json!({"role": "admin"})).await.expect(200);
    let path = format!("/v1/audit/export?userId={}&limit=1", ada.id);
    let export = pages(&manager.client, &path).await;
    assert_eq!(export.len(), 3);
    check(&export.concat(), None, Ok(3));
    // Nobody with this id: a chain without entries.
    let nobody = format!("/v1/audit/export?userId={}", kernel::UserId::new(app.now()));
    check(&pages(&manager.client, &nobody).await.concat(), None, Ok(0));

    ada.client.get(&path).await.problem(403, "forbidden");
    app.client().get(&path).await.problem(401, "not_authenticated");
    for (query, code) in [
        ("", "missing_field"),
        ("?userId=usr_1", "malformed_id"),
        (&format!("?userId={}&limit=1001", ada.id), "bad_limit"),
        (&format!("?userId={}&cursor=x", ada.id), "bad_cursor"),
    ] {
        manager
            .client
            .get(format!("/v1/audit/export{query}"))
            .await
            .problem(400, code);
    }
}

#[tokio::test]
async fn only_owners_and_admins_of_the_organization_export_its_trail() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for (role, status) in [("admin", 200), ("accountant", 403), ("member", 403), ("viewer", 403)] {
        let person = app.member(&acme, role).await;
        person.client.get(path(&acme)).await.expect(status);
    }
    rival.client.get(path(&acme)).await.problem(404, "not_found");
    app.client().get(path(&acme)).await.problem(401, "not_authenticated");
    for bad in ["limit=0", "limit=1001"] {
        let path = format!("{}?{bad}", path(&acme));
        acme.client.get(path).await.problem(400, "bad_limit");
    }
    let unknown = format!("{}?format=csv", path(&acme));
    acme.client.get(unknown).await.problem(400, "unknown_field");
    // A cursor is good for its own export alone, and a list's cursor is none.
    let reply = acme.client.get(format!("{}?limit=1", path(&acme))).await.expect(200);
    let next = reply.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
    let (_, cursor) = next.split_once("cursor=").unwrap();
    let list = format!("/v1/orgs/{}/audit?limit=1", acme.org);
    let of_list = acme.client.get(list).await.expect(200).text("nextCursor");
    for (tenant, cursor) in [(&rival, cursor), (&acme, &of_list)] {
        let path = format!("{}?cursor={cursor}", path(tenant));
        tenant.client.get(path).await.problem(400, "bad_cursor");
    }
}

#[tokio::test]
async fn what_happened_in_a_deleted_organization_is_exported_for_managers() {
    let app = TestApp::start().await;
    let acme = with_history(&app).await;
    let manager = app.manager().await;
    let by_owner = pages(&acme.client, &path(&acme)).await.concat();
    let noted = hash(by_owner.lines().last().unwrap());
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    let export = format!("/v1/audit/export?orgId={}", acme.org);
    acme.owner.client.get(&export).await.problem(403, "forbidden");
    let whole = pages(&manager.client, &format!("{export}&limit=3")).await.concat();
    check(&whole, Some(&noted), Ok(8));
    // An organization that never was has a chain without entries.
    let nobody = format!("/v1/audit/export?orgId={}", OrgId::new(app.now()));
    check(&pages(&manager.client, &nobody).await.concat(), None, Ok(0));
}

/// A value of an entry, by its line in an export, its side and its name.
fn value(export: &str, line: usize, side: &str, name: &str) -> Value {
    let line: Value = serde_json::from_str(export.lines().nth(line).unwrap()).unwrap();
    line[side][name].clone()
}

#[tokio::test]
async fn personal_data_are_erased_and_the_chain_stays_whole() {
    let app = TestApp::start().await;
    let acme = with_history(&app).await;
    let members = format!("/v1/orgs/{}/members", acme.org);
    for email in ["Ada@example.com", "bob@example.com"] {
        let invitation = json!({"email": email, "role": "viewer"});
        acme.client.post(&members, invitation).await.expect(201);
    }
    app.settle().await;
    let before = pages(&acme.client, &path(&acme)).await.concat();
    check(&before, None, Ok(9));
    assert_eq!(value(&before, 7, "newValue", "email"), "ada@example.com");
    let noted = hash(before.lines().last().unwrap());

    trail::erase(&app.table(), &Subject::address("ada@example.com"))
        .await
        .unwrap();
    let after = pages(&acme.client, &path(&acme)).await.concat();
    check(&after, Some(&noted), Ok(9));
    assert!(!after.contains("ada@example.com") && after.contains("bob@example.com"));
    let digest = value(&after, 7, "newValue", "email");
    assert_eq!(digest["sha256"].as_str().unwrap().len(), 64);
    // The list shows the same, and what is erased is so for ever and again.
    let list = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    assert_eq!(list[1]["newValue"]["email"], digest);
    assert!(list[1].get("disclosed").is_none() && list[0].get("disclosed").is_some());
    trail::erase(&app.table(), &Subject::address("ada@example.com"))
        .await
        .unwrap();
    // Whoever kept an export of before has the same chain.
    check(&before, Some(&noted), Ok(9));
}

#[tokio::test]
async fn what_was_done_to_what_is_disclosed_is_found_by_both() {
    let app = TestApp::start().await;
    let acme = with_history(&app).await;
    let whole = pages(&acme.client, &path(&acme)).await.concat();
    let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[4]["disclosed"]["newValue"]["names"], json!(["name"]));
    let check = |deed: &dyn Fn(&mut Value)| {
        let mut changed = lines.clone();
        deed(&mut changed[4]);
        let changed: Vec<String> = changed.iter().map(sorted).collect();
        check(&(changed.join("\n") + "\n"), None, Err(5));
    };
    let name = lines[4]["newValue"]["name"].clone();
    check(&|entry| entry["newValue"]["name"] = json!("Eve"));
    check(&|entry| entry["disclosed"]["newValue"]["salt"] = json!("00"));
    check(&|entry| entry["disclosed"]["newValue"]["names"] = json!(["name", "name"]));
    for forged in [
        json!(null),
        json!({}),
        json!([]),
        json!("newValue"),
        json!({"newValue": null}),
        json!({"newValue": {}}),
        json!({"newValue": {"names": [], "salt": ""}}),
        json!({"newValue": {"names": "name", "salt": ""}}),
        json!({"newValue": {"names": ["name"], "salt": 1}}),
        json!({"newValue": {"names": ["email"], "salt": ""}}),
        json!({"newValue": {"names": ["name"], "salt": "", "value": name}}),
        json!({"value": {"names": ["name"], "salt": ""}}),
    ] {
        check(&|entry| entry["disclosed"] = forged.clone());
    }
}

/// The canonical JSON of what has plain names.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: std::collections::BTreeMap<_, _> = members.iter().collect();
            let members = members
                .into_iter()
                .map(|(name, value)| format!("{}:{}", json!(name), sorted(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
