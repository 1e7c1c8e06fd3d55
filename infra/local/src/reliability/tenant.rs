//! One tenant: what it does under cruelty, what it was told, and what is there afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::alert;
use super::caller::{Call, Caller};
use super::check::Check;
use super::receiver::Receiver;
use crate::access_log::Line;
use crate::replay::{self, Summary};
use stack::clock::{real_ms, rfc3339};

const PASSWORD: &str = "correct horse battery staple";
/// Events of one batch without ids, and the pause between two batches.
const STREAM_BATCH: u64 = 5;
const STREAM_PAUSE: Duration = Duration::from_millis(60);
/// So many projects are made meanwhile, each with an idempotency key.
const PROJECTS: usize = 12;
const REFRESH_PAUSE: Duration = Duration::from_millis(150);
/// Pages of a list that are read at most.
const MOST_PAGES: usize = 10_000;

/// A registered tenant.
pub(super) struct Tenant<'a> {
    caller: &'a Caller,
    name: String,
    token: String,
    refresh_token: String,
    org: String,
    /// The project that gets the log, and that which gets the stream; their keys.
    log: (String, String),
    stream: (String, String),
    /// Its alert on the stream.
    alert: String,
}

/// What a tenant was told.
pub(super) struct Told {
    log: Summary,
    /// The batches of the stream by name: acknowledged, or not.
    stream: BTreeMap<String, bool>,
    projects: Vec<String>,
    /// Refreshes that were answered with 200, and those that were refused.
    refreshed: u64,
    refused: u64,
    refresh_token: String,
}

fn text(reply: &Value, field: &str) -> Result<String> {
    let text = reply[field].as_str();
    Ok(text.with_context(|| format!("no {field} in {reply}"))?.to_owned())
}

fn was_done(status: StatusCode, reply: &Value) -> bool {
    status == StatusCode::CONFLICT && reply["code"] == "already_done"
}

impl<'a> Tenant<'a> {
    /// Registers a person, an organization, two projects with a key for each, and an alert.
    pub(super) async fn register(caller: &'a Caller, receiver: &Receiver, number: usize) -> Result<Self> {
        let name = format!("tenant-{number}");
        let email = format!("{name}@countinghouse.local");
        let mut call = Call {
            body: Some(json!({"email": email, "password": PASSWORD, "name": name})),
            ..Call::default()
        };
        let (status, mut signed_in) = caller.call(Method::POST, "/v1/auth/register", &call).await?;
        if was_done(status, &signed_in) {
            call.body = Some(json!({"email": email, "password": PASSWORD}));
            signed_in = caller.call(Method::POST, "/v1/auth/login", &call).await?.1;
        }
        let token = text(&signed_in, "accessToken")?;
        let mut tenant = Self {
            caller,
            token,
            refresh_token: text(&signed_in, "refreshToken")?,
            org: String::new(),
            log: Default::default(),
            stream: Default::default(),
            alert: String::new(),
            name,
        };
        tenant.org = tenant.make("/v1/orgs", &json!({"name": tenant.name})).await?;
        tenant.log = tenant.project("log").await?;
        tenant.stream = tenant.project("stream").await?;
        let settings = alert::settings(&tenant.stream.0, &receiver.url(&tenant.name));
        tenant.alert = tenant.make("/v1/alerts", &settings).await?;
        Ok(tenant)
    }

    fn call(&self, body: Option<Value>) -> Call<'_> {
        Call {
            token: Some(&self.token),
            org: Some(&self.org).filter(|org| !org.is_empty()).map(String::as_str),
            body,
        }
    }

    /// Makes something that has a name; where the reply was lost, finds it. Yields its id.
    async fn make(&self, path: &str, body: &Value) -> Result<String> {
        let (status, reply) = self
            .caller
            .call(Method::POST, path, &self.call(Some(body.clone())))
            .await?;
        if status == StatusCode::CREATED {
            return text(&reply, "id");
        }
        ensure!(was_done(status, &reply), "POST {path}: {status}: {reply}");
        let all = self.all(path, "").await?;
        let own = all.iter().find(|one| one["name"] == body["name"]);
        text(own.with_context(|| format!("{reply}, but it is not there"))?, "id")
    }

    async fn project(&self, name: &str) -> Result<(String, String)> {
        let project = self
            .make("/v1/projects", &json!({"name": name, "environment": "prod"}))
            .await?;
        let path = format!("/v1/projects/{project}/api-keys");
        loop {
            let call = self.call(Some(json!({"label": name})));
            let (status, reply) = self.caller.call(Method::POST, &path, &call).await?;
            // A key whose reply was lost was never seen; another one is made.
            if !was_done(status, &reply) {
                return Ok((project, text(&reply, "key")?));
            }
        }
    }

    /// Gets a new access token.
    pub(super) async fn log_in(&mut self) -> Result<()> {
        let call = Call {
            body: Some(json!({"email": format!("{}@countinghouse.local", self.name), "password": PASSWORD})),
            ..Call::default()
        };
        let (_, signed_in) = self.caller.call(Method::POST, "/v1/auth/login", &call).await?;
        self.token = text(&signed_in, "accessToken")?;
        Ok(())
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Reads the incidents of its alert.
    pub(super) async fn incidents(&self) -> Result<Vec<Value>> {
        self.all(&format!("/v1/alerts/{}/incidents", self.alert), "").await
    }

    /// Counts the notices that are not sent yet, or will never be.
    pub(super) async fn unsent_notices(&self) -> Result<usize> {
        let notices = self
            .all("/v1/notification-jobs", &format!("&alertId={}", self.alert))
            .await?;
        Ok(notices.iter().filter(|notice| notice["status"] != "sent").count())
    }

    async fn all(&self, path: &str, query: &str) -> Result<Vec<Value>> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let page = self
                .caller
                .get(&format!("{path}?limit=100{query}{cursor}"), self.call(None))
                .await?;
            found.extend(page["data"].as_array().context("a list has data")?.iter().cloned());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(found),
            }
        }
        bail!("{path} does not end")
    }

    /// Does everything at once, until the log is sent.
    pub(super) async fn work(&self, log: &Path) -> Result<Told> {
        let done = AtomicBool::new(false);
        let sending = async {
            let options = replay::Options {
                file: log.to_owned(),
                url: self.caller.url.clone(),
                api_key: self.log.1.clone(),
                batch: 20,
                progress: false,
            };
            let sent = replay::run(&options);
            let made = self.make_projects();
            let both = tokio::try_join!(sent, made);
            done.store(true, Ordering::Relaxed);
            both
        };
        let (both, stream, session) = tokio::join!(sending, self.stream(&done), self.stay_logged_in(&done));
        let ((log, projects), (refresh_token, refreshed, refused)) = (both?, session?);
        Ok(Told {
            log,
            stream: stream?,
            projects,
            refreshed,
            refused,
            refresh_token,
        })
    }

    /// Sends batches without ids, each once: what stays unanswered may be there or not.
    async fn stream(&self, done: &AtomicBool) -> Result<BTreeMap<String, bool>> {
        let mut batches = BTreeMap::new();
        while !done.load(Ordering::Relaxed) {
            let name = format!("batch-{}", batches.len());
            let events: Vec<Value> = (0..STREAM_BATCH)
                .map(|_| json!({"type": "STREAM", "name": name}))
                .collect();
            let request = self.caller.http.post(format!("{}/v1/ingest/events", self.caller.url));
            let request = request
                .header("x-api-key", &self.stream.1)
                .json(&json!({"events": events}));
            let accepted = match request.send().await {
                Ok(response) if response.status() == StatusCode::ACCEPTED => {
                    let reply = response.json::<Value>().await;
                    reply.is_ok_and(|reply| reply["accepted"] == STREAM_BATCH)
                }
                Ok(_) | Err(_) => false,
            };
            batches.insert(name, accepted);
            tokio::time::sleep(STREAM_PAUSE).await;
        }
        Ok(batches)
    }

    async fn make_projects(&self) -> Result<Vec<String>> {
        let mut made = Vec::new();
        for number in 0..PROJECTS {
            let name = format!("project-{number}");
            self.make("/v1/projects", &json!({"name": name, "environment": "dev"}))
                .await?;
            made.push(name);
        }
        Ok(made)
    }

    /// Refreshes the session over and over, with each token once or until it is answered. Yields the last token, and
    /// how many refreshes were answered and refused.
    async fn stay_logged_in(&self, done: &AtomicBool) -> Result<(String, u64, u64)> {
        let (mut token, mut refreshed) = (self.refresh_token.clone(), 0);
        while !done.load(Ordering::Relaxed) {
            match self.refresh(&token).await? {
                Some(next) => token = next,
                None => return Ok((token, refreshed, 1)),
            }
            refreshed += 1;
            tokio::time::sleep(REFRESH_PAUSE).await;
        }
        Ok((token, refreshed, 0))
    }

    /// Spends a refresh token for the next; none if it is refused.
    async fn refresh(&self, token: &str) -> Result<Option<String>> {
        let call = Call {
            body: Some(json!({"refreshToken": token})),
            ..Call::default()
        };
        let (status, reply) = self.caller.call(Method::POST, "/v1/auth/refresh", &call).await?;
        if status.is_success() {
            return text(&reply, "refreshToken").map(Some);
        }
        tracing::error!("a refresh was refused: {status}: {reply}");
        Ok(None)
    }

    /// Compares everything with what was told.
    pub(super) async fn compare(&self, told: &Told, log: &Path) -> Result<Vec<Check>> {
        let mut checks = self.compare_log(told, log).await?;
        checks.push(self.compare_stream(told).await?);
        checks.push(self.compare_projects(told).await?);
        checks.extend(self.compare_wallet().await?);
        checks.push(self.audit_trail().await?);
        let alive = told.refused == 0 && self.refresh(&told.refresh_token).await?.is_some();
        checks.push(Check::number(
            format!("{}: refreshes, and the session lives", self.name),
            told.refreshed + told.refused + 1,
            told.refreshed + u64::from(alive),
        ));
        Ok(checks)
    }

    fn range(project: &str) -> String {
        let now = real_ms();
        let (from, to) = (rfc3339(now - 24 * 3_600_000), rfc3339(now + 60_000));
        format!("projectId={project}&from={from}&to={to}")
    }

    async fn compare_log(&self, told: &Told, log: &Path) -> Result<Vec<Check>> {
        let range = Self::range(&self.log.0);
        let overview = self
            .caller
            .get(&format!("/v1/metrics/overview?{range}"), self.call(None))
            .await?;
        let last = overview["lastEventAt"].as_str().context("a last event")?;
        let truth = Truth::of(log, last.parse::<Timestamp>()?.as_millisecond())?;
        let series = format!("/v1/metrics/events/timeseries?{range}&interval=1m");
        let series = self.caller.get(&series, self.call(None)).await?;
        let minute = |point: &Value| {
            let at: Timestamp = point["at"].as_str()?.parse().ok()?;
            Some((at.as_millisecond(), point["count"].as_u64().filter(|count| *count > 0)?))
        };
        let top = self
            .caller
            .get(&format!("/v1/metrics/errors/top?{range}&limit=100"), self.call(None))
            .await?;
        let error = |error: &Value| Some((error["name"].as_str()?.to_owned(), error["count"].as_u64()?));
        let found = self.all("/v1/events", &format!("&{range}")).await?;
        let ids = tally(
            found
                .iter()
                .filter_map(|event| event["clientId"].as_str().map(str::to_owned)),
        );
        let sent = tally(replay::ids(log)?);
        let number = |field: &str| overview[field].as_u64().unwrap_or_default();
        let (minutes, errors) = (list(&series, "points", minute), list(&top, "errors", error));
        let name = |what: &str| format!("{}: {what}", self.name);
        Ok(vec![
            Check::number(name("events of the log acknowledged"), truth.events, told.log.accepted),
            Check::number(name("events of the log counted"), told.log.accepted, number("events")),
            Check::number(name("errors counted"), truth.top.values().sum(), number("errors")),
            Check::of(name("events minute by minute"), &truth.minutes, &minutes),
            Check::of(name("errors by name"), &truth.top, &errors),
            Check::of(name("events found by search, by id"), &sent, &ids),
        ])
    }

    async fn compare_stream(&self, told: &Told) -> Result<Check> {
        let range = Self::range(&self.stream.0);
        let found = self.all("/v1/events", &format!("&{range}")).await?;
        let found = tally(
            found
                .iter()
                .filter_map(|event| event["name"].as_str().map(str::to_owned)),
        );
        let overview = self
            .caller
            .get(&format!("/v1/metrics/overview?{range}"), self.call(None))
            .await?;
        let counted = overview["events"].as_u64().unwrap_or_default();
        ensure!(
            counted == found.values().sum::<u64>(),
            "{counted} events of the stream are counted, {} found",
            found.values().sum::<u64>()
        );
        // What was not acknowledged may be there, but whole and once.
        let may_be_absent = |name: &str, accepted: bool| !accepted && !found.contains_key(name);
        let expected = told
            .stream
            .iter()
            .filter(|(name, accepted)| !may_be_absent(name, **accepted));
        let expected = expected.map(|(name, _)| (name.clone(), STREAM_BATCH)).collect();
        let unanswered = told.stream.values().filter(|accepted| !**accepted).count();
        let name = format!("{}: events without ids, {unanswered} batches unanswered", self.name);
        Ok(Check::of(name, &expected, &found))
    }

    /// Each event that counts costs one credit, whatever was sent how often and whoever was killed.
    async fn compare_wallet(&self) -> Result<[Check; 2]> {
        let mut counted = BTreeMap::new();
        for (project, _) in [&self.log, &self.stream] {
            let path = format!("/v1/metrics/overview?{}", Self::range(project));
            let overview = self.caller.get(&path, self.call(None)).await?;
            counted.insert(project.clone(), overview["events"].as_u64().context("a count")?);
        }
        let now = real_ms();
        let (from, to) = (rfc3339(now - 24 * 3_600_000), rfc3339(now + 60_000));
        let path = format!("/v1/usage?from={from}&to={to}&interval=month&groupBy=project");
        let usage = self.caller.get(&path, self.call(None)).await?;
        let row = |row: &Value| Some((row["group"].as_str()?.to_owned(), row["credits"].as_u64()?));
        let used = list(&usage, "data", row);
        let wallet = self.caller.get("/v1/wallet", self.call(None)).await?;
        let field = |name: &str| wallet[name].as_u64().unwrap_or_default();
        let parts = ["balance", "leased", "spent", "expired"].map(field);
        ensure!(
            parts.iter().sum::<u64>() == field("granted"),
            "a wallet does not add up: {wallet}"
        );
        let name = |what: &str| format!("{}: {what}", self.name);
        let spent = field("spent") + field("debt");
        Ok([
            Check::number(name("credits spent"), counted.values().sum(), spent),
            Check::of(name("credits used, by project"), &counted, &used),
        ])
    }

    async fn compare_projects(&self, told: &Told) -> Result<Check> {
        let found = self.all("/v1/projects", "").await?;
        let found = tally(
            found
                .iter()
                .filter_map(|project| project["name"].as_str().map(str::to_owned)),
        );
        let told = told
            .projects
            .iter()
            .cloned()
            .chain(["log", "stream"].map(str::to_owned));
        Ok(Check::of(format!("{}: projects", self.name), &tally(told), &found))
    }

    /// Follows the audit trail from its last entry to its first.
    async fn audit_trail(&self) -> Result<Check> {
        let mut entries = self.all(&format!("/v1/orgs/{}/audit", self.org), "").await?;
        entries.reverse();
        let mut before = "0".repeat(64);
        let mut whole = 0;
        for (place, entry) in entries.iter().enumerate() {
            if entry["seq"] != place + 1 || entry["prevHash"] != before {
                break;
            }
            before = text(entry, "hash")?;
            whole += 1;
        }
        let name = format!("{}: entries of the audit trail in one chain", self.name);
        Ok(Check::number(name, entries.len() as u64, whole))
    }
}

fn list<K: Ord>(reply: &Value, field: &str, read: impl Fn(&Value) -> Option<(K, u64)>) -> BTreeMap<K, u64> {
    reply[field].as_array().into_iter().flatten().filter_map(read).collect()
}

fn tally(names: impl IntoIterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// What the log itself says.
struct Truth {
    events: u64,
    minutes: BTreeMap<i64, u64>,
    /// Errors by name.
    top: BTreeMap<String, u64>,
}

impl Truth {
    /// Counts the lines of a log whose last one occurred at `last_ms`.
    fn of(log: &Path, last_ms: i64) -> Result<Self> {
        let log = std::fs::read_to_string(log)?;
        let lines: Vec<Line> = log.lines().map(Line::parse).collect::<Result<_, _>>()?;
        let newest = lines.iter().map(|line| line.time_ms).max().unwrap_or_default();
        let mut truth = Self {
            events: lines.len() as u64,
            minutes: BTreeMap::new(),
            top: BTreeMap::new(),
        };
        for line in &lines {
            let minute = (line.time_ms + last_ms - newest).div_euclid(60_000) * 60_000;
            *truth.minutes.entry(minute).or_default() += 1;
            if line.status >= 400 {
                *truth.top.entry(line.name().into_owned()).or_default() += 1;
            }
        }
        Ok(truth)
    }
}
