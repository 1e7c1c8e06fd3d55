//! What `template.yaml` has to keep, beyond what the local stack reads of it: times that fit each other, and logs.

use std::fs;
use std::path::Path;

use kernel::Time;
use testing::TestApp;

fn text() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml")).unwrap()
}

#[tokio::test]
async fn a_message_comes_back_only_after_its_function_has_ended() {
    let app = TestApp::start().await;
    let mut looked_at = 0;
    for function in &app.template().functions {
        for source in &function.queues {
            let queue = app
                .template()
                .queues
                .iter()
                .find(|queue| queue.name == source.queue)
                .unwrap();
            // AWS wants six times the timeout, because messages wait in its pollers while a function is throttled. Where
            // concurrency is bounded they poll no more than it can take, and half of that makes a crash shorter.
            let times = if source.max_concurrency.is_some() { 3 } else { 6 };
            let least = times * function.timeout_s + source.batching_window_s;
            assert!(
                queue.visibility_timeout_s >= least,
                "{} hides messages for {} s, and {} may take {} s: at least {least} s",
                queue.id,
                queue.visibility_timeout_s,
                function.id,
                function.timeout_s
            );
            let redrive = queue
                .redrive
                .as_ref()
                .unwrap_or_else(|| panic!("{} has no dead-letter queue", queue.id));
            // Else a message that keeps failing is forgotten before it gets among the dead.
            let tries = queue.visibility_timeout_s * redrive.max_receive_count;
            assert!(
                queue.retention_s > tries,
                "{} keeps messages for less than their {tries} s of tries",
                queue.id
            );
            looked_at += 1;
        }
    }
    assert!(looked_at >= 4, "only {looked_at} queues feed a function");
}

#[tokio::test]
async fn the_gateway_waits_longer_than_any_function_that_answers_it() {
    // AWS's HTTP API gives up after 30 s, whatever a function's timeout is.
    let app = TestApp::start().await;
    for route in &app.template().routes {
        let function = app.template().function(&route.function).unwrap();
        assert!(function.timeout_s < 30, "{} answers {}", function.id, route.path);
    }
}

#[tokio::test]
async fn a_request_counts_as_crashed_only_after_its_function_has_ended() {
    // Twice, because the lease begins by the clock of one machine and is judged by that of another, and a function that is
    // frozen in the middle of a request goes on with it later.
    let app = TestApp::start().await;
    let functions = &app.template().functions;
    let http = functions
        .iter()
        .filter(|function| function.queues.is_empty() && function.schedules.is_empty());
    let mut looked_at = 0;
    for function in http {
        let least = 2 * i64::from(function.timeout_s) * Time::SECOND;
        assert!(
            idempotency::LEASE >= least,
            "a key is leased for {} ms, and {} may take {} s: at least {least} ms",
            idempotency::LEASE,
            function.id,
            function.timeout_s
        );
        looked_at += 1;
    }
    assert!(looked_at >= 10, "only {looked_at} functions serve HTTP");
}

#[tokio::test]
async fn each_function_has_a_log_group_whose_entries_end() {
    let (app, text) = (TestApp::start().await, text());
    for function in &app.template().functions {
        let (id, name) = (&function.id, &function.binary);
        let group = format!(
            "  {id}Logs:\n    Type: AWS::Logs::LogGroup\n    Properties: {{LogGroupName: !Sub \"/${{AWS::StackName}}/{name}\", \
             RetentionInDays: !Ref LogRetentionDays}}\n"
        );
        assert!(text.contains(&group), "{id} has no log group such as\n{group}");
        let (_, entry) = text.split_once(&format!("\n  {id}:\n")).unwrap();
        let (entry, _) = entry.split_once(&format!("  {id}Logs:\n")).unwrap();
        let writes = format!("LoggingConfig: {{LogGroup: !Ref {id}Logs}}\n");
        assert!(entry.contains(&writes), "{id} does not say {writes}");
    }
}

/// A dead consumer's message is seen again before the credits that it tells of are given back.
#[tokio::test]
async fn leases_outlast_what_queues_hide() {
    let app = TestApp::start().await;
    for id in ["EventQueue", "UsageQueue"] {
        let queue = app.template().queues.iter().find(|queue| queue.id == id).unwrap();
        let hidden = i64::from(queue.visibility_timeout_s) * Time::SECOND;
        assert!(hidden + Time::MINUTE <= metering::recovery::GRACE, "{id}");
    }
    // A writer that is about to store a receipt has ended before anybody looks for it, whatever clocks say.
    let mut functions = app.template().functions.iter();
    let writer = functions.find(|function| function.id == "EventWriter").unwrap();
    let ends = metering::receipt::YOUNG + i64::from(writer.timeout_s) * Time::SECOND;
    assert!(ends + Time::MINUTE <= metering::recovery::GRACE);
}

/// The lines of the template's entry `id`, without its first.
fn entry<'a>(text: &'a str, id: &str) -> &'a str {
    let (_, rest) = text
        .split_once(&format!("\n  {id}:\n"))
        .unwrap_or_else(|| panic!("no {id}"));
    let end = rest
        .match_indices("\n  ")
        .map(|(at, _)| at)
        .find(|at| !rest[at + 3..].starts_with([' ', '#']));
    &rest[..end.unwrap_or(rest.len())]
}

#[tokio::test]
async fn whoever_runs_it_is_told_of_dead_letters_and_of_attacks() {
    let (app, text) = (TestApp::start().await, text());
    let alarms = entry(&text, "DeadLettersOfMoney").to_owned() + entry(&text, "OtherDeadLetters");
    let dead: Vec<_> = app
        .template()
        .queues
        .iter()
        .filter_map(|queue| queue.redrive.as_ref())
        .collect();
    assert!(dead.len() >= 10, "only {} queues have one for dead letters", dead.len());
    for redrive in dead {
        let watched = format!("!GetAtt {}.QueueName}}", redrive.dead_letter_queue);
        assert!(
            alarms.contains(&watched),
            "nobody is told of {}",
            redrive.dead_letter_queue
        );
    }
    // What the filters look for are the messages of lines that are tested in `security_logs`.
    for (filter, line) in [
        ("FailedLogins", "a login failed"),
        ("CopiedRefreshTokens", "a spent refresh token came again"),
    ] {
        let pattern = format!("FilterPattern: '\"{line}\"'");
        assert!(
            entry(&text, filter).contains(&pattern),
            "{filter} looks for another line"
        );
    }
}

#[tokio::test]
async fn queues_are_reached_by_tls_and_tables_are_not_deleted_by_mistake() {
    let (app, text) = (TestApp::start().await, text());
    let by_tls = entry(&text, "QueuesByTls").to_owned() + entry(&text, "MailFeedbackFromEvents");
    for queue in &app.template().queues {
        assert!(
            by_tls.contains(&format!("!Ref {}", queue.id)),
            "{} is reached without TLS",
            queue.id
        );
    }
    for table in &app.template().tables {
        assert_eq!(table.create["DeletionProtectionEnabled"], true, "{}", table.id);
        assert!(
            entry(&text, &table.id).contains("DeletionPolicy: Retain"),
            "{}",
            table.id
        );
    }
}

#[test]
fn the_gateways_log_has_no_secret() {
    let text = text();
    let (_, format) = text.split_once("        Format: '").expect("an access log");
    let (format, _) = format.split_once("'\n").unwrap();
    let fields: serde_json::Value = serde_json::from_str(format).expect("a line of JSON");
    // `$context.path` has the token of a payment link, and a query may have anything.
    for (name, variable) in fields.as_object().unwrap() {
        let variable = variable.as_str().unwrap();
        assert!(!variable.contains("path") && !variable.contains("query"), "{name}");
    }
    assert_eq!(fields["route"], "$context.routeKey");
}
