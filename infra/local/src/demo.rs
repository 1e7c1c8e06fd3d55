//! `cargo local demo`: the main job from registration to numbers and to an invoice, on a stack of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::replay::{self, Summary};
use crate::up::{self, Running};
use stack::clock::{real_ms, rfc3339};

/// How long to wait until the numbers are complete, and until the invoice is mailed.
const PATIENCE: Duration = Duration::from_mins(1);
const HOUR_MS: i64 = 3_600_000;

/// How to demonstrate.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder with `template.yaml`.
    pub folder: PathBuf,
    /// The port; zero takes a free one.
    pub port: u16,
    /// Whether to end after printing instead of staying up.
    pub once: bool,
    /// Which builds of the functions to run.
    pub build: up::Build,
}

/// Runs the demonstration on data that is deleted at the end.
pub async fn run(options: &Options) -> Result<()> {
    let data = tempfile::tempdir().context("make a data folder")?;
    let log = data.path().join("functions.log");
    let stack = up::Options {
        folder: options.folder.clone(),
        port: options.port,
        data: data.path().join("data"),
        fresh: false,
        build: options.build,
        log_file: Some(log.clone()),
        chaos: None,
        parameters: BTreeMap::new(),
        ssm: BTreeMap::new(),
        only: Vec::new(),
    };
    let starting = up::start(&stack);
    let running = tokio::select! {
        running = starting => running?,
        done = up::interrupted() => return done,
    };
    let shown = tokio::select! {
        shown = show(&running, options) => shown,
        done = up::interrupted() => done,
    };
    if shown.is_ok() && !options.once {
        println!("\nIt stays up until Ctrl-C. Functions write to {}", log.display());
        up::interrupted().await?;
    }
    running.stop().await;
    if shown.is_err() {
        let lines = std::fs::read_to_string(&log).unwrap_or_default();
        let last: Vec<&str> = lines.lines().rev().take(20).collect();
        last.iter().rev().for_each(|line| eprintln!("{line}"));
    }
    shown
}

async fn show(running: &Running, options: &Options) -> Result<()> {
    let url = running.url();
    let api = Api::register(&url).await?;
    let organization = api.post("/v1/orgs", None, &json!({"name": "Demo"})).await?;
    let organization = id(&organization)?;
    let project = json!({"name": "Shop", "environment": "prod"});
    let project = api.post("/v1/projects", Some(&organization), &project).await?;
    let project = id(&project)?;
    let path = format!("/v1/projects/{project}/api-keys");
    let key = api.post(&path, Some(&organization), &json!({"label": "demo"})).await?;
    let key = key["key"].as_str().context("the API shows no key")?.to_owned();
    println!("Registered, made an organization, a project and an API key.");

    let started = Instant::now();
    let summary = replay::run(&replay::Options {
        file: options.folder.join("infra/local/sample/access.log"),
        url: url.clone(),
        api_key: key.clone(),
        batch: 100,
        progress: true,
    })
    .await?;
    ensure!(summary.is_complete(), "not every event was accepted: {summary:?}");
    println!(
        "Sent a sample access log: {} events in {:.1} s.",
        summary.accepted,
        started.elapsed().as_secs_f32()
    );

    // The sample spans six hours that end now; whole hours make whole bars.
    let to = (real_ms() / HOUR_MS + 1) * HOUR_MS;
    let range = format!(
        "projectId={project}&from={}&to={}",
        rfc3339(to - 8 * HOUR_MS),
        rfc3339(to)
    );
    let overview = api.wait_for(&organization, &range, &summary).await?;
    let series = api
        .get(
            &format!("/v1/metrics/events/timeseries?{range}&interval=1h"),
            &organization,
        )
        .await?;
    let top = api
        .get(&format!("/v1/metrics/errors/top?{range}&limit=5"), &organization)
        .await?;
    println!(
        "Visible {:.1} s after the first was sent.\n",
        started.elapsed().as_secs_f32()
    );
    print(&overview, &series, &top);
    let sold = api.sell(&organization, summary.accepted).await?;
    println!("\n{sold}");
    print_addresses(running, &sold.link);
    println!("Log in as {} with {PASSWORD:?}; the API key is {key}", api.email);

    Ok(())
}

const PASSWORD: &str = "correct horse battery staple";
/// Where the client of the demonstration gets invoices.
const CLIENT: &str = "ap@globex.example";

/// The API, called as the person of the demonstration.
struct Api {
    client: Client,
    url: String,
    email: String,
    token: String,
}

impl Api {
    async fn register(url: &str) -> Result<Self> {
        let client = Client::builder().timeout(Duration::from_secs(30)).build()?;
        let email = "demo@countinghouse.local".to_owned();
        let body = json!({"email": email, "password": PASSWORD, "name": "Demo"});
        let reply = send(client.post(format!("{url}/v1/auth/register")).json(&body)).await?;
        let token = reply["accessToken"]
            .as_str()
            .context("registering yields no token")?
            .to_owned();
        Ok(Self {
            client,
            url: url.to_owned(),
            email,
            token,
        })
    }

    async fn post(&self, path: &str, organization: Option<&str>, body: &Value) -> Result<Value> {
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        self.send(request, organization)
            .await
            .with_context(|| format!("POST {path}"))
    }

    async fn get(&self, path: &str, organization: &str) -> Result<Value> {
        let request = self.client.get(format!("{}{path}", self.url));
        self.send(request, Some(organization))
            .await
            .with_context(|| format!("GET {path}"))
    }

    async fn send(&self, request: RequestBuilder, organization: Option<&str>) -> Result<Value> {
        let mut request = request.bearer_auth(&self.token);
        if let Some(organization) = organization {
            request = request.header("x-org-id", organization);
        }
        send(request).await
    }

    /// Sends an invoice about so many events to a client, and waits for its mail.
    async fn sell(&self, organization: &str, events: u64) -> Result<Sold> {
        let own = json!({"color": "#1f6feb", "taxRate": 19, "taxId": "DE136695976",
            "address": {"line1": "Chausseestr. 8", "postalCode": "10115", "city": "Berlin", "country": "DE"}});
        let request = self
            .client
            .patch(format!("{}/v1/orgs/{organization}", self.url))
            .json(&own);
        self.send(request, Some(organization))
            .await
            .context("PATCH the organization")?;
        let of = json!({"name": "Globex GmbH", "email": CLIENT, "currency": "EUR", "phone": "+4930123456",
            "address": {"line1": "Torstr. 1", "postalCode": "10119", "city": "Berlin", "country": "DE"}});
        let client = id(&self.post("/v1/clients", Some(organization), &of).await?)?;
        let due = rfc3339(real_ms() + 14 * 24 * HOUR_MS);
        let lines = json!([{"description": "Events", "quantity": events, "unitPrice": "2.5"}]);
        let draft = json!({"clientId": client, "currency": "EUR", "dueDate": due, "lineItems": lines});
        let draft = id(&self.post("/v1/invoices", Some(organization), &draft).await?)?;
        let path = format!("/v1/invoices/{draft}/send");
        let invoice = self.post(&path, Some(organization), &json!({})).await?;
        let until = Instant::now() + PATIENCE;
        loop {
            let mails = self.get(&format!("/_local/emails?to={CLIENT}"), organization).await?;
            let text = mails["data"][0]["text"].as_str().unwrap_or_default();
            if let Some(link) = text.split_whitespace().find(|word| word.contains("/pay/")) {
                let link = link.to_owned();
                return Ok(Sold { invoice, link });
            }
            ensure!(Instant::now() < until, "{invoice} was not mailed: {mails}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks for the overview until every accepted event is in it.
    async fn wait_for(&self, organization: &str, range: &str, summary: &Summary) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let overview = self.get(&format!("/v1/metrics/overview?{range}"), organization).await?;
            if overview["events"].as_u64() == Some(summary.accepted) {
                return Ok(overview);
            }
            if Instant::now() > until {
                bail!(
                    "{} events were accepted, but the overview says {overview}",
                    summary.accepted
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// An invoice that was sent.
struct Sold {
    invoice: Value,
    /// Where its client pays it.
    link: String,
}

impl fmt::Display for Sold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |field: &str| self.invoice[field].as_str().unwrap_or("-");
        let total = self.invoice["total"].as_u64().unwrap_or_default();
        let (number, due) = (text("number"), text("dueDate"));
        let (euros, cents) = (total / 100, total % 100);
        write!(
            f,
            "Mailed {number} over {euros}.{cents:02} EUR to {CLIENT}, with its PDF; due {due}."
        )
    }
}

async fn send(request: RequestBuilder) -> Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    ensure!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{status} without JSON: {text}"))
}

fn id(reply: &Value) -> Result<String> {
    Ok(reply["id"].as_str().context("the reply has no id")?.to_owned())
}

/// What there is to open.
fn print_addresses(running: &Running, link: &str) {
    let url = running.url();
    println!("\nOpen");
    println!("  {link}  the invoice, to pay it");
    if let Some(payments) = running.payments() {
        println!("  {payments}         the payment providers, which are none");
    }
    println!("  {url}/_local/emails    mails");
    println!("  {url}/docs             the API, to try out");
    println!("  {url}/_local/functions  processes  {url}/_local/queues  queues");
}

fn print(overview: &Value, series: &Value, top: &Value) {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let rate = overview["errorRate"].as_f64().unwrap_or_default();
    println!("  events        {:>6}", count(&overview["events"]));
    println!(
        "  errors        {:>6}   ({:.1} %)",
        count(&overview["errors"]),
        rate * 100.0
    );
    println!("  unique users  {:>6}", count(&overview["uniqueUsers"]));
    println!("  last event    {}", overview["lastEventAt"].as_str().unwrap_or("-"));
    let points = series["points"].as_array().cloned().unwrap_or_default();
    let counts: Vec<u64> = points.iter().map(|point| count(&point["count"])).collect();
    println!("  by hour       {}   {counts:?}", sparkline(&counts));
    println!("  top errors");
    for error in top["errors"].as_array().into_iter().flatten() {
        println!(
            "    {:>4}  {}",
            count(&error["count"]),
            error["name"].as_str().unwrap_or("-")
        );
    }
}

/// Draws numbers as bars of eighths.
fn sparkline(counts: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    let bar = |count: &u64| BARS[usize::try_from(count * 7 / most).unwrap_or_default()];
    counts.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_numbers() {
        assert_eq!(sparkline(&[0, 4, 7, 0]), "▁▅█▁");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
    }
}
