//! The golden path over the real function processes of the repository's own `template.yaml`: from registration to exact
//! numbers, while processes are killed with -9, the log is sent twice, and the whole stack dies and comes back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local::access_log::Line;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

const LOCAL: &str = env!("CARGO_BIN_EXE_local");
const PATIENCE: Duration = Duration::from_mins(1);
/// So many processes are killed in a replay: enough to hit requests and batches, few enough that a client's bounded
/// retries come through.
const KILLS: usize = 8;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A running `cargo local up`.
pub(crate) struct Up {
    child: Child,
    pub(crate) url: String,
    pub(crate) http: Client,
}

impl Up {
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(data, &[]).await
    }

    /// Starts it with more arguments.
    pub(crate) async fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_in(data, arguments, &[]).await
    }

    /// Starts it with more arguments, and variables of the environment.
    pub(crate) async fn start_in(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(LOCAL)
            .args(["up", "--separate", "--port", "0", "--data"])
            .arg(data)
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(root())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("cargo local up starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let listens = lines.find_map(|line| line.ok()?.strip_prefix("Countinghouse listens on ").map(str::to_owned));
        let url = listens.expect("it says where it listens");
        // Nobody reads on, so the pipe must not fill.
        std::thread::spawn(move || lines.for_each(drop));
        let up = Self {
            child,
            url,
            http: Client::new(),
        };
        up.until("it is ready", async || {
            up.http
                .get(format!("{}/ready", up.url))
                .send()
                .await
                .ok()?
                .status()
                .is_success()
                .then_some(())
        })
        .await;
        up
    }

    /// Asks again until there is an answer.
    pub(crate) async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        let answer = self.within(PATIENCE, ask).await;
        answer.unwrap_or_else(|| panic!("waited in vain until {what}"))
    }

    /// Asks again until there is an answer, for so long at most.
    pub(crate) async fn within<T>(&self, patience: Duration, ask: impl AsyncFn() -> Option<T>) -> Option<T> {
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Some(answer) = ask().await {
                return Some(answer);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = request.send().await.expect("the stack answers");
        (reply.status(), reply.json().await.unwrap_or(Value::Null))
    }

    /// Kills every process of these functions with -9. Returns how many.
    pub(crate) async fn kill(&self, functions: &[&str]) -> usize {
        let (_, running) = self.call(Method::GET, "/_local/functions", &[], None).await;
        let mut killed = 0;
        for process in running["data"].as_array().expect("processes") {
            if functions.iter().any(|name| process["name"] == *name) {
                let pid = process["pid"].as_u64().expect("a pid").to_string();
                killed += usize::from(
                    Command::new("kill")
                        .args(["-9", &pid])
                        .status()
                        .expect("kill runs")
                        .success(),
                );
            }
        }
        killed
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the log itself says.
#[derive(Debug, PartialEq, Eq)]
struct Truth {
    events: u64,
    errors: u64,
    minutes: BTreeMap<i64, u64>,
    top: BTreeMap<String, u64>,
}

fn log() -> PathBuf {
    root().join("infra/local/sample/access.log")
}

/// Counts the log's lines by themselves; minutes from the last line backwards, in milliseconds.
fn truth(shift_ms: i64) -> Truth {
    let text = std::fs::read_to_string(log()).expect("the sample");
    let mut truth = Truth {
        events: 0,
        errors: 0,
        minutes: BTreeMap::new(),
        top: BTreeMap::new(),
    };
    for line in text.lines() {
        let line = Line::parse(line).expect("the sample's lines are good");
        truth.events += 1;
        *truth
            .minutes
            .entry((line.time_ms + shift_ms).div_euclid(60_000) * 60_000)
            .or_default() += 1;
        if line.status >= 400 {
            truth.errors += 1;
            let target = line
                .request
                .rsplit_once(' ')
                .map_or(&*line.request, |(target, _)| target);
            *truth
                .top
                .entry(target.split('?').next().unwrap_or(target).to_owned())
                .or_default() += 1;
        }
    }
    truth
}

pub(crate) struct Tenant {
    pub(crate) token: String,
    pub(crate) org: String,
    pub(crate) project: String,
    pub(crate) key: String,
}

impl Tenant {
    pub(crate) async fn register(up: &Up) -> Self {
        let body = json!({"email": "ada@example.com", "password": "a long enough one", "name": "Ada"});
        let (status, person) = up.call(Method::POST, "/v1/auth/register", &[], Some(body)).await;
        assert_eq!(status, 201, "{person}");
        let token = format!("Bearer {}", person["accessToken"].as_str().expect("a token"));
        let post = async |path: String, org: &str, body: Value| {
            let headers = [("authorization", token.as_str()), ("x-org-id", org)];
            let (status, made) = up.call(Method::POST, &path, &headers, Some(body)).await;
            assert_eq!(status, 201, "{made}");
            made
        };
        let text = |value: &Value, field: &str| value[field].as_str().expect("a text").to_owned();
        let org = text(&post("/v1/orgs".to_owned(), "", json!({"name": "Acme"})).await, "id");
        let project = json!({"name": "Shop", "environment": "prod"});
        let project = text(&post("/v1/projects".to_owned(), &org, project).await, "id");
        let keys = format!("/v1/projects/{project}/api-keys");
        let key = text(&post(keys, &org, json!({"label": "server"})).await, "key");
        Self {
            token,
            org,
            project,
            key,
        }
    }

    /// With a new access token: one ends after fifteen minutes of the clock.
    pub(crate) async fn again(self, up: &Up) -> Self {
        let credentials = json!({"email": "ada@example.com", "password": "a long enough one"});
        let (status, login) = up.call(Method::POST, "/v1/auth/login", &[], Some(credentials)).await;
        assert_eq!(status, 200, "{login}");
        let token = format!("Bearer {}", login["accessToken"].as_str().expect("a token"));
        Self { token, ..self }
    }

    pub(crate) async fn get(&self, up: &Up, path: &str) -> Value {
        let headers = [("authorization", self.token.as_str()), ("x-org-id", &self.org)];
        let (status, reply) = up.call(Method::GET, path, &headers, None).await;
        assert_eq!(status, 200, "{reply}");
        reply
    }

    fn range(&self) -> String {
        let now = stack::clock::real_ms();
        let (from, to) = (
            stack::clock::rfc3339(now - 24 * 3_600_000),
            stack::clock::rfc3339(now + 60_000),
        );
        format!("projectId={}&from={from}&to={to}", self.project)
    }

    /// Replays the log, killing these functions' processes meanwhile. Returns how many processes were killed.
    async fn replay(&self, up: &Up, kill: &[&str]) -> usize {
        let mut replay = Command::new(LOCAL);
        replay
            .arg("replay")
            .arg(log())
            .args(["--url", &up.url, "--api-key", &self.key, "--batch", "20"]);
        let mut replay = replay
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("cargo local replay starts");
        let mut killed = 0;
        while replay.try_wait().expect("its state").is_none() {
            if killed < KILLS {
                killed += up.kill(kill).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let done = replay.wait_with_output().expect("its output");
        let summary: Value = serde_json::from_slice(&done.stdout).expect("a summary");
        assert_eq!(summary, json!({"sent": 2000, "accepted": 2000, "rejected": 0}));
        assert!(done.status.success());
        killed
    }

    /// How long it takes from 202 until an event is visible, in milliseconds, the shortest first.
    async fn times_to_be_visible(&self, up: &Up) -> Vec<u128> {
        let mut times = Vec::new();
        for number in 0..40 {
            let name = format!("probe-{number}");
            let (headers, body) = (
                [("x-api-key", self.key.as_str())],
                json!({"type": "CUSTOM", "name": name}),
            );
            let (status, _) = up.call(Method::POST, "/v1/ingest/event", &headers, Some(body)).await;
            assert_eq!(status, 202);
            let accepted = Instant::now();
            let path = format!("/v1/metrics/events/timeseries?projectId={}&name={name}", self.project);
            up.until("an event is visible", async || {
                let series = self.get(up, &path).await;
                let count: u64 = series["points"]
                    .as_array()?
                    .iter()
                    .filter_map(|point| point["count"].as_u64())
                    .sum();
                (count == 1).then_some(())
            })
            .await;
            times.push(accepted.elapsed().as_millis());
        }
        times.sort_unstable();
        times
    }

    /// Waits until no message is left, then compares every number with the log.
    async fn compare(&self, up: &Up) {
        up.until("the queues are empty", async || {
            let (_, queues) = up.call(Method::GET, "/_local/queues", &[], None).await;
            let busy = queues["data"]
                .as_array()?
                .iter()
                .any(|queue| queue["visible"] != 0 || queue["inFlight"] != 0);
            (!busy).then_some(())
        })
        .await;
        let range = self.range();
        let overview = self.get(up, &format!("/v1/metrics/overview?{range}")).await;
        let last: jiff::Timestamp = overview["lastEventAt"]
            .as_str()
            .expect("a time")
            .parse()
            .expect("a time");
        let text = std::fs::read_to_string(log()).expect("the sample");
        let newest = text
            .lines()
            .filter_map(|line| Some(Line::parse(line).ok()?.time_ms))
            .max()
            .expect("a line");
        let truth = truth(last.as_millisecond() - newest);
        assert_eq!(
            (&overview["events"], &overview["errors"]),
            (&json!(truth.events), &json!(truth.errors))
        );

        let series = self
            .get(up, &format!("/v1/metrics/events/timeseries?{range}&interval=1m"))
            .await;
        let minute = |point: &Value| {
            let at: jiff::Timestamp = point["at"].as_str()?.parse().ok()?;
            Some((at.as_millisecond(), point["count"].as_u64().filter(|count| *count > 0)?))
        };
        let minutes: BTreeMap<i64, u64> = series["points"]
            .as_array()
            .expect("points")
            .iter()
            .filter_map(minute)
            .collect();
        assert_eq!(minutes, truth.minutes);
        let top = self.get(up, &format!("/v1/metrics/errors/top?{range}&limit=100")).await;
        let error = |error: &Value| Some((error["name"].as_str()?.to_owned(), error["count"].as_u64()?));
        let top: BTreeMap<String, u64> = top["errors"]
            .as_array()
            .expect("errors")
            .iter()
            .filter_map(error)
            .collect();
        assert_eq!(top, truth.top);
    }
}

#[tokio::test]
async fn every_event_counts_once_whoever_is_killed() {
    let data = tempfile::tempdir().expect("a folder");
    let mut up = Up::start(data.path()).await;
    let tenant = Tenant::register(&up).await;
    let killed = tenant.replay(&up, &["ingest", "event-writer"]).await;
    assert!(killed > 0, "nothing was killed");
    tenant.compare(&up).await;

    // The same log again, at another moment, counts nothing twice.
    tenant.replay(&up, &[]).await;
    tenant.compare(&up).await;

    // The whole stack dies and comes back.
    up.child.kill().expect("kill -9");
    up.child.wait().expect("it dies");
    up = Up::start(data.path()).await;
    // It listens on another port, and a token is for the address that it was given at.
    let tenant = tenant.again(&up).await;
    tenant.compare(&up).await;

    // It stops cleanly when it is asked to.
    let pid = up.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill runs")
            .success()
    );
    assert!(up.child.wait().expect("it stops").success());
}

#[tokio::test]
async fn an_accepted_event_is_soon_visible() {
    let data = tempfile::tempdir().expect("a folder");
    let up = Up::start(data.path()).await;
    let tenant = Tenant::register(&up).await;
    let times = tenant.times_to_be_visible(&up).await;
    // Printed, not asserted: machines differ.
    println!(
        "202 to visible: median {} ms, p95 {} ms",
        times[times.len() / 2],
        times[times.len() * 95 / 100]
    );
}
