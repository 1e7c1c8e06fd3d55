//! The rules of the house, checked over the files of the workspace.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lambda_events::eventbridge::EventBridgeEvent;
use lambda::Kind;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use serde_json::Value;
use stack::template::{Bucket, Effect};
use testing::{Setup, Tenant, TestApp};

use crate::invoices::{client_of, invoice, sent};
use crate::pay::link_of;

const LONGEST_FUNCTION: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in a folder, in order; without hidden ones.
fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Every Rust file, by its path from the root.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["functions", "shared", "infra"] {
        walk(&root().join(folder), &mut found);
    }
    found.sort();
    let relative = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let sources: Vec<_> = found.iter().map(|path| (relative(path), read(path))).collect();
    assert!(sources.len() > 80);
    sources
}

/// Fails with everything that breaks a rule, not with the first only.
#[track_caller]
fn nothing(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// `EventWriter` → `event-writer`.
fn kebab(id: &str) -> String {
    let mut name = String::new();
    for (place, letter) in id.chars().enumerate() {
        if letter.is_ascii_uppercase() && place > 0 {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[tokio::test]
async fn a_function_is_called_the_same_everywhere() {
    let app = TestApp::start().await;
    let functions = &app.template().functions;
    for function in functions {
        let name = kebab(&function.id);
        assert_eq!(function.binary, name, "the binary of {}", function.id);
        // SAM would build it with other features of its dependencies from its own folder.
        assert_eq!(function.code_uri, ".", "the CodeUri of {}", function.id);
        let manifest = read(format!("functions/{name}/Cargo.toml"));
        assert!(
            manifest.contains(&format!("[package]\nname = \"{name}\"\n")),
            "the package of {}",
            function.id
        );
    }
    let mut known: Vec<String> = functions.iter().map(|function| function.binary.clone()).collect();
    known.sort();
    assert_eq!(
        names("functions"),
        known,
        "a folder without a function, or a function without a folder"
    );
    let samples: Vec<String> = known.iter().map(|name| format!("{name}.json")).collect();
    assert_eq!(names("events"), samples, "each function has one sample event");
}

#[tokio::test]
async fn no_function_may_do_everything() {
    let app = TestApp::start().await;
    for function in &app.template().functions {
        for statement in &function.policy {
            assert_eq!(
                statement.effect,
                Effect::Allow,
                "{} needs no Deny if it is granted little",
                function.id
            );
            assert!(
                !statement.actions.is_empty() && !statement.resources.is_empty(),
                "{}",
                function.id
            );
            for text in &statement.actions {
                assert!(!text.contains(['*', '?']), "{} is granted {text}", function.id);
            }
            for text in &statement.resources {
                // Keys in a bucket have no names beforehand; what they begin with, or at least the bucket, has.
                let fixed = text.strip_suffix('*').unwrap_or(text);
                let in_bucket = |bucket: &Bucket| fixed.starts_with(&format!("{}/", bucket.arn()));
                assert!(
                    !fixed.contains(['*', '?']) && (fixed == text || app.template().buckets.iter().any(in_bucket)),
                    "{} is granted {text}",
                    function.id
                );
            }
        }
    }
}

/// A sample with what stands for its `${…}`.
fn sample(name: &str, tenant: &Tenant, invoice: &str, link: &str, token: &str) -> String {
    let text = read(format!("events/{name}.json"))
        .replace("${ACCESS_TOKEN}", token)
        .replace("${ORG_ID}", &tenant.org)
        .replace("${PROJECT_ID}", &tenant.project)
        .replace("${INVOICE_ID}", invoice)
        .replace("${LINK_TOKEN}", link)
        .replace("${API_KEY}", &tenant.key);
    assert!(
        !text.contains("${"),
        "events/{name}.json: say what stands for its ${{…}}"
    );
    text
}

#[tokio::test]
async fn every_function_takes_its_sample_event() {
    // What events/provider-webhooks.json is signed with.
    let setup = Setup::default()
        .parameter("StripeSecretKey", "sk_sample")
        .parameter("StripeWebhookSecret", "whsec_sample");
    let app = TestApp::start_as(setup).await;
    let acme = app.tenant().await;
    let manager = app.manager().await;
    let client = client_of(&app, &acme, serde_json::json!({})).await;
    let invoice = sent(&acme.client, invoice(&client, &[(100, "0")])).await;
    let invoice = invoice["id"].as_str().unwrap();
    let link = link_of(&app, &acme, invoice).await;
    let mut taken = 0;
    for function in &app.template().functions {
        let name = &function.binary;
        // The platform's own routes want a manager, who is no member of any organization.
        let platform = matches!(name.as_str(), "admin" | "audit" | "users");
        let token = if platform {
            &manager.access_token
        } else {
            &acme.owner.access_token
        };
        let text = sample(name, &acme, invoice, &link, token);
        if !function.schedules.is_empty() {
            let _: EventBridgeEvent<Value> = serde_json::from_str(&text).unwrap();
        } else if function.queues.is_empty() {
            takes_request(&app, name, &text).await;
            taken += 1;
        }
    }
    assert!(taken >= 10);
    app.settle().await;
}

/// Sends an event of the HTTP API as the gateway would; wants success.
async fn takes_request(app: &TestApp, function: &str, text: &str) {
    let event: ApiGatewayV2httpRequest = serde_json::from_str(text).unwrap();
    lambda_http::request::from_str(text).unwrap_or_else(|error| panic!("events/{function}.json: {error}"));
    let context = &event.request_context.http;
    let path = event.raw_path.unwrap();
    assert_eq!(context.path.as_ref(), Some(&path), "events/{function}.json");
    let route = app
        .route_of(context.method.as_str(), &path)
        .expect("a route of the template");
    let key = format!("{} {}", route.method, route.path);
    assert_eq!(
        kebab(&route.function),
        function,
        "events/{function}.json is not for its function"
    );
    assert_eq!(event.route_key, Some(key.clone()), "events/{function}.json");
    assert_eq!(event.request_context.route_key, Some(key), "events/{function}.json");

    let mut client = app.client();
    for (name, value) in &event.headers {
        client = client.header(name.as_str(), value.to_str().unwrap());
    }
    let target = match event.raw_query_string.as_deref() {
        None | Some("") => path,
        Some(query) => format!("{path}?{query}"),
    };
    let reply = client
        .send(
            context.method.clone(),
            &target,
            event.body.unwrap_or_default().into_bytes(),
        )
        .await;
    assert!(
        reply.status.is_success(),
        "events/{function}.json: {} {}",
        reply.status,
        reply.json
    );
}

#[tokio::test]
async fn the_event_writer_takes_its_sample_event_and_counts_it_once() {
    let app = TestApp::start().await;
    let event: aws_lambda_events::sqs::SqsEvent = serde_json::from_str(&read("events/event-writer.json")).unwrap();
    let bodies: Vec<String> = event.records.into_iter().map(|record| record.body.unwrap()).collect();
    assert_eq!(bodies.len(), 1);
    for _ in 0..2 {
        assert_eq!(app.deliver(&bodies).await, Vec::<usize>::new());
    }
    // It is what ingest sends today: the same members, if not the same values.
    let acme = app.tenant().await;
    acme.ingest(serde_json::json!([{"type": "A", "name": "a"}])).await;
    let members = |text: &str| -> Vec<String> {
        let message: Value = serde_json::from_str(text).unwrap();
        message.as_object().unwrap().keys().cloned().collect()
    };
    let sent = app.take_messages().await.remove(0);
    assert_eq!(members(&bodies[0]), members(&sent));
}

#[tokio::test]
async fn the_relay_takes_its_sample_event() {
    let app = TestApp::start().await;
    let event: aws_lambda_events::sqs::SqsEvent = serde_json::from_str(&read("events/outbox-relay.json")).unwrap();
    let bodies: Vec<String> = event.records.into_iter().map(|record| record.body.unwrap()).collect();
    // It names a fact that is not there, so there is nobody to be told.
    assert_eq!(app.deliver_from("OutboxQueue", &bodies).await, Vec::<usize>::new());
    let named = outbox::FactRef::parse(&bodies[0]).unwrap();
    assert_eq!(serde_json::to_string(&named).unwrap(), bodies[0]);
}

#[tokio::test]
async fn who_does_jobs_takes_its_sample_event() {
    let app = TestApp::start().await;
    for (worker, queue) in [
        ("notifier", "MailQueue"),
        ("webhook-deliverer", "WebhookQueue"),
        ("document-worker", "DocumentQueue"),
        ("eraser", "ErasureQueue"),
    ] {
        let event: aws_lambda_events::sqs::SqsEvent =
            serde_json::from_str(&read(format!("events/{worker}.json"))).unwrap();
        let bodies: Vec<String> = event.records.into_iter().map(|record| record.body.unwrap()).collect();
        // It names a job that is not there, so there is nothing to do.
        assert_eq!(app.deliver_from(queue, &bodies).await, Vec::<usize>::new());
        let named = jobs::JobRef::parse(&bodies[0]).unwrap();
        assert_eq!(serde_json::to_string(&named).unwrap(), bodies[0]);
    }
}

#[tokio::test]
async fn the_alert_evaluator_takes_its_sample_event() {
    let app = TestApp::start().await;
    let event: aws_lambda_events::sqs::SqsEvent = serde_json::from_str(&read("events/alert-evaluator.json")).unwrap();
    let bodies: Vec<String> = event.records.into_iter().map(|record| record.body.unwrap()).collect();
    // It names an alert that is not there, so there is nothing to look at.
    assert_eq!(app.deliver_from("AlertQueue", &bodies).await, Vec::<usize>::new());
    let named = alerting::due::Batch::from_text(&bodies[0]).unwrap();
    assert_eq!(serde_json::to_string(&named).unwrap(), bodies[0]);
}

#[test]
fn every_file_says_what_it_is() {
    let sources = sources();
    let silent = sources.iter().filter(|(_, text)| !text.starts_with("//! "));
    nothing(
        "files that do not open with `//!`",
        &silent.map(|(path, _)| path.clone()).collect::<Vec<_>>(),
    );
}

/// The functions of a file as rustfmt lays them out: each one's line, its first line of text, and how many lines it has.
fn functions(text: &str) -> Vec<(usize, &str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let head = code.split('(').next().unwrap_or_default();
        let is_function = head.split_whitespace().any(|word| word == "fn") && !code.starts_with("//");
        if !is_function || code.ends_with([';', '}']) {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        if let Some(length) = lines[place..].iter().position(|line| *line == end) {
            found.push((place + 1, code, length + 1));
        }
    }
    found
}

#[test]
fn no_function_is_longer_than_70_lines() {
    let (mut long, mut seen) = (Vec::new(), 0);
    for (path, text) in sources() {
        for (line, head, length) in functions(&text) {
            seen += 1;
            if length > LONGEST_FUNCTION {
                long.push(format!("{path}:{line} has {length} lines: {head}"));
            }
        }
    }
    assert!(seen > 800, "only {seen} functions were found");
    nothing("functions that are too long", &long);
}

#[test]
fn nothing_is_left_undone_or_silenced() {
    // Put together here, so that this file does not hold them.
    let refused = ["todo!", "unimplemented!", "dbg!", "#[ignore", "#[allow", "#![allow"].map(|word| {
        let (start, rest) = word.split_at(3);
        [start, rest].concat()
    });
    let mut found = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !path.ends_with("it/tidy.rs")) {
        for (place, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if !code.starts_with("//") && refused.iter().any(|word| code.contains(word.as_str())) {
                found.push(format!("{path}:{}: {code}", place + 1));
            }
        }
    }
    nothing("left undone or silenced without a reason", &found);
}

/// The part of a file that ships: without its tests.
fn shipped<'a>(path: &str, text: &'a str) -> &'a str {
    let is_test = path.starts_with("shared/testing/") || path.contains("/tests/") || path.ends_with("/tests.rs");
    if is_test {
        ""
    } else {
        text.split("#[cfg(test)]").next().unwrap_or_default()
    }
}

#[test]
fn nothing_that_ships_unwraps_or_prints() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        for (place, line) in shipped(&path, &text).lines().enumerate() {
            let code = line.trim_start();
            let prints = ["println!", "eprintln!", "print!"]
                .iter()
                .any(|word| code.contains(word));
            // The commands of the local stack talk to a person.
            let may_print = path.starts_with("infra/local/") || path == "infra/stack/src/runtime/output.rs";
            if !code.starts_with("//") && (code.contains(".unwrap()") || (prints && !may_print)) {
                found.push(format!("{path}:{}: {code}", place + 1));
            }
        }
    }
    nothing("`unwrap` or printing in what ships", &found);
}

/// Files that round what is no money, and what it is.
const ROUNDS: [(&str, &str); 1] = [(
    "shared/telemetry/src/hll.rs",
    "an estimate of how many users there were",
)];

/// Money is rounded by `kernel::money::nearest`, on integers: what decimals and floats offer rounds halves to even, or
/// away from zero, or towards it, by name and version.
#[test]
fn money_is_rounded_in_one_place() {
    let refused = [".round(", ".round_", "::round", "RoundingStrategy", ".trunc(", ".ceil("];
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for (path, text) in sources() {
        let ships = path.starts_with("shared/") || path.starts_with("functions/");
        for (place, line) in shipped(&path, &text).lines().enumerate() {
            let code = line.trim_start();
            if !ships || code.starts_with("//") || !refused.iter().any(|word| code.contains(word)) {
                continue;
            }
            if ROUNDS.iter().any(|(file, _)| *file == path) {
                seen.insert(path.clone());
            } else {
                found.push(format!("{path}:{}: {code}", place + 1));
            }
        }
    }
    nothing("rounding beside `kernel::money::nearest`", &found);
    assert_eq!(seen.len(), ROUNDS.len(), "exceptions that are none any more");
}

#[test]
fn only_pages_bind_cursors() {
    let mut found = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("functions/")) {
        let named = shipped(&path, &text).lines().any(|line| line.contains("cursors."));
        found.extend(named.then_some(path));
    }
    nothing("cursors that a handler binds itself, not `lambda::Pages`", &found);
}

/// Store functions that open without a scope, and why that is no hole.
const WITHOUT_SCOPE: &[(&str, &str)] = &[
    (
        "shared/notifications/src/push/subscription/store.rs of",
        "reads the browsers of whom a notice is for, as a job says",
    ),
    (
        "shared/notifications/src/push/subscription/store.rs forget",
        "forgets a browser that its push service does not know any more",
    ),
    (
        "shared/notifications/src/push/subscription/store.rs erase",
        "forgets the browsers of somebody who is erased, as a job says",
    ),
    (
        "shared/notifications/src/suppression/store.rs of",
        "reads whether an address gets mail, which is nobody's in particular",
    ),
    (
        "shared/notifications/src/suppression/store.rs heard",
        "takes down what the mail service tells of an address",
    ),
    (
        "shared/jobs/src/record/store.rs forget",
        "erases what is due for somebody who is erased, as a job says",
    ),
    (
        "shared/trail/src/store.rs erase",
        "erases of all tenants what is disclosed of one, as a job says that is to be erased",
    ),
    (
        "shared/outbox/src/store.rs find",
        "opens what a message of our own queue names",
    ),
    (
        "shared/alerting/src/alert/store.rs page",
        "finds alerts of all tenants for the schedule, and reads their ids alone",
    ),
    (
        "shared/jobs/src/record/store.rs find",
        "opens what a message of our own queue names",
    ),
    ("shared/jobs/src/record/store.rs save", "stores a job that was found so"),
    (
        "shared/metering/src/price/store.rs load",
        "reads what is the same for everybody",
    ),
    (
        "shared/jobs/src/record/store.rs due",
        "finds jobs of all tenants, of which only the names leave the schedule",
    ),
    (
        "shared/metering/src/topup/store.rs load",
        "is for who takes the money of a top-up, another organization than the one that gets the credits",
    ),
    (
        "shared/metering/src/topup/store.rs by_token",
        "opens what a link leads to, whose token proves it",
    ),
    (
        "shared/metering/src/topup/store.rs load",
        "reads what one organization buys of another, by the id that the latter's payment has",
    ),
    (
        "shared/identity/src/user/store.rs active",
        "reads whom a message is for, as a job says",
    ),
    (
        "shared/identity/src/org/store.rs maker",
        "reads who made an organization that was loaded with a scope",
    ),
    (
        "shared/metering/src/plan/store.rs of",
        "reads the name of a plan, which its organization's calls are limited by",
    ),
    (
        "shared/identity/src/project/store.rs ever",
        "reads ids alone, for what is charged for by the system",
    ),
    (
        "shared/identity/src/member/store.rs view",
        "shows a member that was loaded with a scope",
    ),
];

#[test]
fn only_a_scope_opens_a_store() {
    let mut open = BTreeSet::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path.ends_with("/store.rs")) {
        for (place, _) in text.match_indices("pub async fn ") {
            let rest = &text[place + "pub async fn ".len()..];
            let signature = rest.split('{').next().unwrap_or_default();
            let name = signature.split(['(', '<']).next().unwrap_or_default();
            if !signature.contains("Scope<") {
                open.insert(format!("{path} {name}"));
            }
        }
    }
    let known: BTreeSet<String> = WITHOUT_SCOPE.iter().map(|(name, _)| (*name).to_owned()).collect();
    let unknown: Vec<String> = open.difference(&known).cloned().collect();
    nothing("store functions without a `Scope`", &unknown);
    let gone: Vec<String> = known.difference(&open).cloned().collect();
    nothing("exceptions that are none any more", &gone);
}

/// The packages of ours that a package depends on, for more than its tests.
fn dependencies(folder: &str, ours: &BTreeSet<String>) -> BTreeSet<String> {
    let manifest = read(format!("{folder}/Cargo.toml"));
    let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap_or_default();
    let section = rest.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| ours.contains(*name)).map(str::to_owned).collect()
}

/// What a package of `shared` may use; nothing for those that may use anything.
fn may_use(package: &str) -> Option<Vec<&'static str>> {
    match package {
        "kernel" => Some(vec![]),
        "outbound" => Some(vec!["spans"]),
        "lease" | "locale" | "spans" | "table" => Some(vec!["kernel"]),
        // Of these, `idempotency` is what is done once: it knows nothing of what is done.
        "idempotency" | "trail" => Some(vec!["kernel", "table"]),
        "app" => Some(vec!["kernel", "spans", "table"]),
        "telemetry" => Some(vec!["app", "kernel", "metering", "table"]),
        "breaker" => Some(vec!["app", "kernel", "table"]),
        "jobs" | "lambda" | "outbox" => Some(vec!["app", "kernel", "spans", "table"]),
        "objects" => Some(vec!["app", "kernel"]),
        "providers" => Some(vec!["kernel", "outbound"]),
        "notifications" => Some(vec!["app", "commit", "jobs", "kernel", "outbound", "table", "trail"]),
        "commit" => Some(vec!["app", "idempotency", "jobs", "kernel", "outbox", "table", "trail"]),
        "identity" => {
            let wanted = [
                "app",
                "commit",
                "jobs",
                "kernel",
                "notifications",
                "outbound",
                "table",
                "trail",
            ];
            Some(wanted.to_vec())
        }
        // The world in which sources of leases are tried.
        "lease-world" => Some(vec!["kernel", "lease"]),
        "limits" => Some(vec!["kernel", "lease", "table"]),
        // The list of functions, and what sees everything.
        "functions" | "testing" => None,
        other => Some(capability_may_use(other)),
    }
}

/// What the wings may use.
fn capability_may_use(package: &str) -> Vec<&'static str> {
    match package {
        // Alerts look at metrics, belong to projects, are limited by plans and send notices.
        "alerting" => vec![
            "app",
            "commit",
            "identity",
            "kernel",
            "metering",
            "notifications",
            "outbound",
            "outbox",
            "table",
            "telemetry",
            "trail",
        ],
        // An invoice is an organization's: its zone, its address, its tax.
        "billing" => vec![
            "app",
            "commit",
            "identity",
            "jobs",
            "kernel",
            "metering",
            "notifications",
            "outbox",
            "table",
            "telemetry",
            "trail",
        ],
        // A payment is booked on an invoice; its organization is asked by its own account.
        "payments" => vec![
            "app",
            "billing",
            "breaker",
            "commit",
            "identity",
            "jobs",
            "kernel",
            "metering",
            "notifications",
            "outbound",
            "outbox",
            "providers",
            "table",
            "trail",
        ],
        // A wallet is an organization's, its days are those of its zone, and its owners are mailed.
        "metering" => vec![
            "app",
            "commit",
            "identity",
            "kernel",
            "lease",
            "notifications",
            "outbox",
            "table",
            "trail",
        ],
        "gate" => vec!["idempotency", "identity", "kernel", "lambda", "limits", "metering"],
        other => outlet_may_use(other),
    }
}

/// What makes documents, and what tells others, may use.
fn outlet_may_use(package: &str) -> Vec<&'static str> {
    match package {
        // Endpoints are told of alerts and of what money does; they are filtered by projects and clients.
        "endpoints" => vec![
            "alerting",
            "app",
            "billing",
            "breaker",
            "commit",
            "identity",
            "jobs",
            "kernel",
            "metering",
            "notifications",
            "outbound",
            "outbox",
            "payments",
            "table",
            "trail",
        ],
        // What people are told, whoever has cause to tell them.
        "inbox" => vec![
            "app",
            "commit",
            "identity",
            "jobs",
            "kernel",
            "notifications",
            "outbox",
            "table",
            "trail",
        ],
        // What documents are made of, and where their files lie.
        "archive" => vec![
            "app",
            "billing",
            "documents",
            "identity",
            "kernel",
            "objects",
            "payments",
            "table",
        ],
        // A document says what was booked; it reads nothing itself.
        "documents" => vec!["billing", "kernel", "locale"],
        other => panic!("say on what shared/{other} may depend"),
    }
}

#[test]
fn arrows_run_one_way() {
    let functions: BTreeSet<String> = names("functions").into_iter().collect();
    let mut ours: BTreeSet<String> = functions.iter().cloned().chain(names("shared")).collect();
    let infra = ["dev", "local", "payment-double", "sample-events", "stack"];
    ours.extend(infra.map(str::to_owned));
    let mut broken = Vec::new();
    for package in names("shared") {
        let Some(allowed) = may_use(&package) else { continue };
        for found in dependencies(&format!("shared/{package}"), &ours) {
            if !allowed.contains(&found.as_str()) {
                broken.push(format!("shared/{package} → {found}"));
            }
        }
    }
    for function in &functions {
        for found in dependencies(&format!("functions/{function}"), &ours) {
            // `docs` describes the others.
            let sideways = functions.contains(&found) || (found == "functions" && function != "docs");
            if sideways || found == "testing" || infra.contains(&found.as_str()) {
                broken.push(format!("functions/{function} → {found}"));
            }
        }
    }
    // `cargo local audit verify` checks with what the functions hash with.
    for (package, allowed) in [
        ("dev", ["docs", "lambda"].as_slice()),
        // And which organization is the platform's, it says by the id that they know.
        (
            "local",
            &["kernel", "payment-double", "sample-events", "stack", "trail"],
        ),
        // What it answers is made from what providers document, apart from the code that it is there to try.
        ("payment-double", &[]),
        ("sample-events", &[]),
        ("stack", &[]),
    ] {
        let found = dependencies(&format!("infra/{package}"), &ours).into_iter();
        let wrong = found.filter(|found| !allowed.contains(&found.as_str()));
        broken.extend(wrong.map(|found| format!("infra/{package} → {found}")));
    }
    nothing("arrows that run the wrong way", &broken);
}

/// Cargo overlooks an error in the table of dependencies; `cargo lambda`, which deploys, does not.
#[test]
fn the_manifest_is_toml_for_others_than_cargo() {
    toml::from_str::<toml::Table>(&read("Cargo.toml")).unwrap();
}

#[test]
fn each_function_is_a_thin_binary() {
    for function in docs::all() {
        let name = function.name();
        let package = name.replace('-', "_");
        assert_eq!(
            read(format!("functions/{name}/src/main.rs")),
            format!(
                "//! The Lambda `{name}`.\n\nfn main() -> anyhow::Result<()> {{\n    lambda::run({package}::FUNCTION)\n}}\n"
            ),
            "functions/{name}/src/main.rs runs what lib.rs exports, no more"
        );
    }
}

#[tokio::test]
async fn the_list_of_functions_is_that_of_the_template() {
    let app = TestApp::start().await;
    for function in &app.template().functions {
        let named: Vec<_> = docs::all().filter(|known| known.name() == function.binary).collect();
        let [known] = named.as_slice() else {
            panic!(
                "{} stands {} times in the list of functions",
                function.binary,
                named.len()
            );
        };
        let kind = match (function.queues.is_empty(), function.schedules.is_empty()) {
            (true, true) => Kind::Http,
            (false, true) => Kind::Queue,
            (true, false) => Kind::Schedule,
            (false, false) => panic!("{} has a queue and a schedule", function.id),
        };
        assert_eq!(known.kind(), kind, "{}", function.id);
    }
    assert_eq!(docs::all().count(), app.template().functions.len());
}

/// Nothing but its own folder, `events/`, `template.yaml` and the list of functions knows a function.
#[test]
fn a_function_is_named_in_few_places() {
    let workspace = read("Cargo.toml");
    for function in docs::all()
        .map(|function| function.name())
        .filter(|name| *name != "docs")
    {
        assert!(
            !workspace.contains(&format!("\"functions/{function}\"")),
            "Cargo.toml names functions/{function}; shared/functions/Cargo.toml is enough"
        );
        let package = function.replace('-', "_");
        for (path, text) in sources() {
            let own = path.starts_with(&format!("functions/{function}/")) || path == "shared/functions/src/lib.rs";
            // `provider_webhooks` is another one than `webhooks`.
            let starts = [' ', '(', '\n'].map(|before| format!("{before}{package}::FUNCTION"));
            let uses = [[format!("use {package}::")].as_slice(), &starts].concat();
            assert!(
                own || !uses.iter().any(|one| text.contains(one)),
                "{path} uses the package {function}"
            );
        }
    }
}

/// Built from the workspace, dependencies have the same features as in tests and measurements, and as SAM gives them.
#[test]
fn functions_and_no_tools_are_built_to_be_deployed() {
    let workflow = read(".github/workflows/deploy.yml");
    let build = "cargo lambda build --release --arm64 --workspace $(printf -- '--bin %s ' $(ls functions))\n";
    assert!(workflow.contains(build), "deploy.yml builds something else");
}

/// What handlers take is named by a type, so that what is missing does not compile.
#[test]
fn handlers_take_parts_of_their_state() {
    let extension = ["Extension", "("].concat();
    let found = sources()
        .into_iter()
        .filter(|(path, text)| path.starts_with("functions/") && text.contains(&extension));
    nothing(
        "what a forgotten layer would make fail at run time",
        &found.map(|(path, _)| path).collect::<Vec<_>>(),
    );
}

/// What was replaced, and by what.
const GONE: [(&str, &str); 4] = [
    (
        "task_local",
        "what a request is and claims travels in its `Scope`, as `Origin`",
    ),
    (
        "AWS::SES::Template",
        "mails are templates of ours, in shared/notifications",
    ),
    ("TemplateContent", "SES gets mails that are rendered"),
    ("trail::commit", "`Commit::note` writes the entry with its cause"),
];

#[test]
fn what_was_replaced_does_not_come_back() {
    let texts = sources().into_iter().filter(|(path, _)| !path.ends_with("it/tidy.rs"));
    let mut found = Vec::new();
    for (path, text) in texts.chain([("template.yaml".to_owned(), read("template.yaml"))]) {
        let here = GONE.iter().filter(|(word, _)| text.contains(word));
        found.extend(here.map(|(word, instead)| format!("{path} has `{word}`: {instead}")));
    }
    nothing("what is not done so any more", &found);
}

/// Loops that try again and are not `again`, and why.
const TRIES: &[(&str, &str)] = &[
    (
        "shared/billing/src/run/deeds.rs catch_up",
        "bills one period after the other, each by `again_patiently`",
    ),
    (
        "shared/commit/src/again.rs tries",
        "is the one that reads, decides and commits",
    ),
    (
        "shared/commit/src/commit.rs append",
        "makes the entry of the audit trail anew where its chain grew, for a change that holds as it is",
    ),
    (
        "shared/jobs/src/record/store.rs load",
        "only reads: an index may not have a job whose state changes just now",
    ),
    (
        "shared/lease/src/leases.rs take_one",
        "asks the pool, then takes of what it gave; in memory, and any `Source` commits as it will",
    ),
    (
        "shared/metering/src/meter.rs close_over",
        "closes leases for as long as its process lives",
    ),
    (
        "shared/metering/src/meter.rs hold",
        "asks for another lease where one counts too many kinds of sales",
    ),
    (
        "shared/metering/src/receipt/store.rs largest",
        "only reads: asks for one kind of sales after the other",
    ),
    (
        "shared/metering/src/usage.rs usage",
        "only reads: again where a lease was settled between two reads",
    ),
    (
        "shared/metering/src/wallet/store.rs view",
        "only reads: again where a lease was settled between two reads",
    ),
    (
        "shared/table/src/lib.rs get_many",
        "asks for the rest of a batch that DynamoDB answered in part",
    ),
    (
        "shared/metering/src/meter.rs close_over",
        "looks each second, for as long as its process lives",
    ),
    (
        "shared/metering/src/meter.rs hold",
        "takes another lease where one counts too many kinds of sales",
    ),
    (
        "shared/metering/src/wallet/store.rs view",
        "only reads: again where a lease was settled between two reads",
    ),
    ("shared/table/src/batch.rs put_batch", "sends the rest of a batch"),
    ("shared/table/src/write.rs put", "sends the same write again"),
    (
        "shared/table/src/write.rs transaction",
        "sends the same transaction again",
    ),
    (
        "shared/telemetry/src/metrics.rs load",
        "only reads: again where a fold came between two reads",
    ),
    (
        "shared/telemetry/src/writer.rs commit",
        "drops, try by try, those chunks of a batch that were written before, and knows what it has learned of ids",
    ),
    ("shared/telemetry/src/writer.rs write_until", "takes a batch in parts"),
    (
        "shared/billing/src/recurring/clock.rs do_due",
        "makes one occurrence after another",
    ),
];

/// The name of the function in whose text a place lies.
fn function_at(text: &str, place: usize) -> &str {
    let heads = text[..place].rmatch_indices("fn ");
    let name = |at: usize| text[at + 3..].split(['(', '<']).next().unwrap_or_default();
    let word = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    heads.map(|(at, _)| name(at)).find(word).unwrap_or_default()
}

/// The loops of a file that wait, and neither turn pages nor go through shards, by the functions that they are in.
fn waiting_loops(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let (here, code) = (start, line.trim());
        start += line.len();
        let counts = code.starts_with("for ") && code.contains(" in 0..");
        // One that takes what a stream or a queue still gives ends by itself.
        let waits = code.starts_with("while ") && !code.starts_with("while let Some(");
        if !(counts || waits || code.starts_with("loop {")) || !code.ends_with('{') {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = text[here..].find(&format!("\n{indent}}}\n"));
        let body = &text[here..end.map_or(text.len(), |end| here + end)];
        let goes_through = body.contains(".next;") || code.to_lowercase().contains("shards {");
        if body.contains(".await") && !goes_through {
            found.push(function_at(text, here));
        }
    }
    found
}

#[test]
fn only_again_tries_again() {
    let mut found = BTreeSet::new();
    for (path, text) in sources() {
        if path.starts_with("shared/") || path.starts_with("functions/") {
            let here = waiting_loops(shipped(&path, &text)).into_iter();
            found.extend(here.map(|function| format!("{path} {function}")));
        }
    }
    let known: BTreeSet<String> = TRIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let unknown: Vec<String> = found.difference(&known).cloned().collect();
    nothing("loops that try again and are not `again`", &unknown);
    let gone: Vec<String> = known.difference(&found).cloned().collect();
    nothing("exceptions that are none any more", &gone);
}

/// A function is built from what it is given, so that a test can give it something else.
#[test]
fn only_the_app_looks_at_the_environment() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        let ships = (path.starts_with("shared/") || path.starts_with("functions/")) && path != "shared/app/src/env.rs";
        if ships && shipped(&path, &text).contains("env::var") {
            found.push(path);
        }
    }
    nothing("looks at the environment of the process", &found);
}

/// One sender, one way to ask SSM.
#[test]
fn only_the_app_sends_to_queues() {
    let mut found = Vec::new();
    for folder in ["functions", "shared"] {
        for package in names(folder) {
            let manifest = read(format!("{folder}/{package}/Cargo.toml"));
            if !["app", "testing"].contains(&package.as_str()) && manifest.contains("aws-sdk-sqs") {
                found.push(format!("{folder}/{package}"));
            }
        }
    }
    nothing("has a client of SQS of its own", &found);
}

/// What a text quotes or links to that looks like a file of the repository.
fn mentioned(text: &str) -> Vec<String> {
    let quoted = text
        .split("```")
        .step_by(2)
        .flat_map(|prose| prose.split('`').skip(1).step_by(2));
    let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let starts: Vec<String> = names(".")
        .into_iter()
        .chain([".ci".to_owned(), ".github".to_owned()])
        .collect();
    let kinds = [".toml", ".yaml", ".yml", ".md", ".json", ".sh"];
    let is_file = |path: &&str| {
        let first = path.split('/').next().unwrap_or_default();
        let plain = !path.contains([' ', '<', '{', '*', '#', ':', '…']) && !path.starts_with('/');
        plain && (starts.iter().any(|start| start == first) || kinds.iter().any(|end| path.ends_with(end)))
    };
    quoted.chain(linked).filter(is_file).map(str::to_owned).collect()
}

#[test]
fn documents_mention_only_files_that_exist() {
    let mut absent = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md"] {
        let mentioned = mentioned(&read(document));
        assert!(mentioned.len() > 2, "{document} mentions {mentioned:?}");
        let gone = mentioned.into_iter().filter(|path| !root().join(path).exists());
        absent.extend(gone.map(|path| format!("{document}: {path}")));
    }
    for decision in names(DECISIONS) {
        let mentioned = mentioned(&read(format!("{DECISIONS}/{decision}")));
        // They also link to each other.
        let exists = |path: &String| root().join(path).exists() || root().join(DECISIONS).join(path).exists();
        let gone = mentioned.into_iter().filter(|path| !exists(path));
        absent.extend(gone.map(|path| format!("{decision}: {path}")));
    }
    nothing("files that do not exist", &absent);
}

/// The names in the text that look like `file::test`.
fn tests_named(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let named = quoted.filter_map(|code| code.split_once("::"));
    named
        .filter(|(file, test)| {
            [file, test].iter().all(|part| {
                !part.is_empty()
                    && part
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            })
        })
        .collect()
}

#[test]
fn what_is_said_of_security_is_shown_by_tests_that_exist() {
    let text = read("docs/security.md");
    let named = tests_named(&text);
    assert!(named.len() > 100, "only {} tests are named", named.len());
    let sources = sources();
    let exists = |file: &str, test: &str| {
        let declared = format!("fn {test}(");
        sources.iter().any(|(path, source)| {
            let stands = path.ends_with(&format!("/{file}.rs")) || path.contains(&format!("/{file}/"));
            stands && source.contains(&declared)
        })
    };
    let absent = named.iter().filter(|(file, test)| !exists(file, test));
    let absent: Vec<_> = absent.map(|(file, test)| format!("{file}::{test}")).collect();
    nothing("docs/security.md names tests that do not exist", &absent);
}

const DECISIONS: &str = "docs/decisions";
/// The map stays one that is read at a sitting; reasons are decisions.
const LONGEST_MAP: usize = 150;

#[test]
fn the_map_is_short_and_links_every_decision() {
    let map = read("ARCHITECTURE.md");
    let lines = map.lines().count();
    assert!(
        lines <= LONGEST_MAP,
        "ARCHITECTURE.md has {lines} lines: what gives reasons belongs to {DECISIONS}"
    );
    let (mut broken, mut numbers) = (Vec::new(), BTreeSet::new());
    for decision in names(DECISIONS) {
        let number = decision.split('-').next().unwrap_or_default().to_owned();
        let text = read(format!("{DECISIONS}/{decision}"));
        let title = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "))
            .unwrap_or_default();
        let link = format!("- [{number}]({DECISIONS}/{decision}) {title}\n");
        if number.len() != 3 || number.parse::<u16>().is_err() || title.is_empty() {
            broken.push(format!("{decision} is no NNN-title.md with a title"));
        } else if !map.contains(&link) {
            broken.push(format!("ARCHITECTURE.md does not have the line {link:?}"));
        }
        if !numbers.insert(number) {
            broken.push(format!("{decision} has a number that another one has"));
        }
    }
    nothing("decisions", &broken);
}
