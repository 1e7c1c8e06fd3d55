//! A stack to measure on: release builds of a few functions on data that is deleted at the end, with one tenant.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::up::{self, Running};

/// A running stack, and who calls it.
pub(super) struct Bench {
    pub(super) running: Running,
    pub(super) api: reqwest::Client,
    pub(super) access_token: String,
    /// That of the platform's manager.
    manager_token: String,
    pub(super) org: String,
    pub(super) project: String,
    pub(super) key: String,
    _data: TempDir,
}

impl Bench {
    /// Builds and starts these functions, registers someone, makes a project and a key.
    pub(super) async fn start(folder: &Path, functions: &[&str]) -> Result<Self> {
        let data = tempfile::tempdir().context("make a data folder")?;
        let running = up::start(&up::Options {
            folder: folder.to_owned(),
            port: 0,
            data: data.path().join("data"),
            fresh: false,
            // What AWS would run.
            build: up::Build {
                release: true,
                separate: true,
            },
            chaos: None,
            parameters: BTreeMap::new(),
            ssm: BTreeMap::new(),
            log_file: Some(data.path().join("functions.log")),
            only: functions
                .iter()
                .chain(&["admin"])
                .map(|name| (*name).to_owned())
                .collect(),
        })
        .await?;
        let mut bench = Self {
            running,
            api: reqwest::Client::new(),
            access_token: String::new(),
            manager_token: String::new(),
            org: String::new(),
            project: String::new(),
            key: String::new(),
            _data: data,
        };
        let person = json!({"email": "bench@example.com", "password": "correct horse battery", "name": "Bench"});
        bench.access_token = text(&bench.post("/v1/auth/register", &person).await?, "accessToken")?;
        bench.org = text(&bench.post("/v1/orgs", &json!({"name": "Bench"})).await?, "id")?;
        let project = json!({"name": "Bench", "environment": "prod"});
        bench.project = text(&bench.post("/v1/projects", &project).await?, "id")?;
        // As many as it may have: what is measured is not the limit.
        let key = json!({"label": "bench", "rateLimitPerMinute": 1_000_000});
        let path = format!("/v1/projects/{}/api-keys", bench.project);
        bench.key = text(&bench.post(&path, &key).await?, "key")?;
        bench.grant_credits().await?;
        Ok(bench)
    }

    /// What is measured is not the wallet either.
    async fn grant_credits(&mut self) -> Result<()> {
        let path = "/_local/manager";
        let manager = answer(self.api.get(format!("{}{path}", self.running.url())), path).await?;
        let credentials = json!({"email": manager["email"], "password": manager["password"]});
        let path = "/v1/auth/login";
        let login = self
            .api
            .post(format!("{}{path}", self.running.url()))
            .json(&credentials);
        self.manager_token = text(&answer(login, path).await?, "accessToken")?;
        let path = format!("/v1/admin/orgs/{}/credits", self.org);
        let credits = json!({"credits": 1_000_000_000_000_u64, "reason": "bench"});
        let grant = self
            .api
            .post(format!("{}{path}", self.running.url()))
            .bearer_auth(&self.manager_token);
        answer(grant.json(&credits), &path).await?;
        Ok(())
    }

    /// Lets an event cost so many credits, in every process: each has read its prices when this returns, for the time is moved.
    pub(super) async fn set_price(&self, credits: u64) -> Result<()> {
        let path = "/v1/admin/prices";
        let set = self.api.put(format!("{}{path}", self.running.url()));
        let prices = json!({"prices": {"ingest.event": credits}});
        answer(set.bearer_auth(&self.manager_token).json(&prices), path).await?;
        self.post("/_local/clock", &json!({"advanceSeconds": 31})).await?;
        Ok(())
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let mut request = self.api.post(format!("{}{path}", self.running.url())).json(body);
        if !self.access_token.is_empty() {
            request = request.bearer_auth(&self.access_token);
        }
        if !self.org.is_empty() {
            request = request.header("x-org-id", &self.org);
        }
        answer(request, path).await
    }

    /// Asks the API as the tenant's owner.
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        let request = self.api.get(format!("{}{path}", self.running.url()));
        let request = request.bearer_auth(&self.access_token).header("x-org-id", &self.org);
        answer(request, path).await
    }
}

async fn answer(request: reqwest::RequestBuilder, path: &str) -> Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{path}: {status} without JSON"))
}

fn text(reply: &Value, field: &str) -> Result<String> {
    Ok(reply[field]
        .as_str()
        .with_context(|| format!("the reply has no {field}"))?
        .to_owned())
}
