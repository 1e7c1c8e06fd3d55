//! SSM parameters. Functions read them; who runs the stack may put others in their place.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::iam::Need;
use super::service::{Answer, Call, Service, ServiceError, targets};
use super::usage::Used;
use crate::template::parameter_arn;

/// The parameters of one stack.
#[derive(Debug)]
pub struct Ssm(Mutex<BTreeMap<String, String>>);

#[derive(Deserialize)]
struct One {
    #[serde(rename = "Name")]
    name: String,
}

#[derive(Deserialize)]
struct Many {
    #[serde(rename = "Names")]
    names: Vec<String>,
}

impl Ssm {
    /// Makes parameters of names and values.
    pub fn new(parameters: BTreeMap<String, String>) -> Self {
        Self(Mutex::new(parameters))
    }

    /// Sets a parameter, as `aws ssm put-parameter --overwrite` does. Functions that have read it know the old value.
    pub fn put(&self, name: &str, value: &str) {
        self.known().insert(name.to_owned(), value.to_owned());
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, operation: &str, body: &[u8]) -> Result<Value, ServiceError> {
        let invalid = |error: serde_json::Error| ServiceError::refused("ValidationException", error.to_string());
        match operation {
            "GetParameter" => {
                let one: One = serde_json::from_slice(body).map_err(invalid)?;
                let missing = || ServiceError::refused("ParameterNotFound", format!("no parameter {}", one.name));
                Ok(json!({"Parameter": self.parameter(&one.name).ok_or_else(missing)?}))
            }
            "GetParameters" => {
                let many: Many = serde_json::from_slice(body).map_err(invalid)?;
                if !(1..=10).contains(&many.names.len()) {
                    return Err(ServiceError::refused(
                        "ValidationException",
                        "Names must be between 1 and 10",
                    ));
                }
                let found: Vec<Value> = many.names.iter().filter_map(|name| self.parameter(name)).collect();
                let missing: Vec<&String> = many
                    .names
                    .iter()
                    .filter(|name| !self.known().contains_key(*name))
                    .collect();
                Ok(json!({"Parameters": found, "InvalidParameters": missing}))
            }
            other => Err(ServiceError::not_served(format_args!("SSM {other}"))),
        }
    }

    fn parameter(&self, name: &str) -> Option<Value> {
        let value = self.known().get(name)?.clone();
        Some(json!({
            "Name": name, "Type": "SecureString", "Value": value, "Version": 1, "DataType": "text",
            "ARN": parameter_arn(name),
        }))
    }
}

impl Service for Ssm {
    fn names(&self) -> &'static [&'static str] {
        &["SSM"]
    }

    fn takes(&self, parts: &Parts) -> bool {
        targets(parts, "AmazonSSM.")
    }

    fn needs(&self, call: &Call) -> Result<Vec<Need>, String> {
        needs(&call.operation, &call.body)
    }

    fn answer(&self, call: Call) -> BoxFuture<'_, Result<Answer, ServiceError>> {
        Box::pin(async move { Ok(Answer::json(&self.run(&call.operation, &call.body)?, Used::Request)) })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ParameterRequest {
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
}

/// Lists what an SSM request needs.
fn needs(operation: &str, body: &[u8]) -> Result<Vec<Need>, String> {
    let request: ParameterRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let names = request.names.iter().chain(&request.name);
    Ok(names
        .map(|name| Need::of(format!("ssm:{operation}"), parameter_arn(name)))
        .collect())
}
