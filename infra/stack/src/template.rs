//! What `template.yaml` says, with every reference resolved for one machine.
//!
//! Pure: reads text, opens no socket, starts nothing. A resource, property, event or function of the template language
//! that the local stack would not honour is an error here, never skipped in silence.

mod bucket;
mod event;
mod expression;
mod function;
mod intrinsics;
mod policy;
mod property;
mod resource;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

pub use bucket::{Bucket, CorsRule, LifecycleRule};
pub use event::{ConfigurationSet, Rule};
pub use expression::Expression;
pub use function::{Function, QueueSource, ScheduleSource};
pub use intrinsics::{ACCOUNT, REGION};
pub use policy::{Condition, Effect, Quantifier, Statement, Test};
pub use resource::{Cors, Queue, Redrive, Table, Throttle};

use intrinsics::Scope;
pub(crate) use intrinsics::{bucket_arn, configuration_set_arn, parameter_arn, queue_arn, sender_arn, table_arn};

/// Yields a queue's name from its URL: the last part of its path.
pub fn queue_name(url: &str) -> Option<&str> {
    url.rsplit_once('/')
        .map(|(_, name)| name)
        .filter(|name| !name.is_empty())
}

/// The template, resolved: what to run and how its parts are wired.
#[derive(Debug, Clone)]
pub struct Template {
    /// Every `AWS::Serverless::Function`, in the order of the file.
    pub functions: Vec<Function>,
    /// Every route of every function, in the order of the file.
    pub routes: Vec<Route>,
    /// Every `AWS::DynamoDB::Table`.
    pub tables: Vec<Table>,
    /// Every `AWS::SQS::Queue`.
    pub queues: Vec<Queue>,
    /// Every `AWS::S3::Bucket`.
    pub buckets: Vec<Bucket>,
    /// Every `AWS::SES::ConfigurationSet`.
    pub configuration_sets: Vec<ConfigurationSet>,
    /// Every `AWS::Events::Rule` that is on.
    pub rules: Vec<Rule>,
    /// What the HTTP API answers browsers of other origins.
    pub cors: Option<Cors>,
    /// How much the HTTP API lets through, where the template says.
    pub throttle: Option<Throttle>,
    /// The parameters as resolved: defaults, overridden by what the caller gave.
    pub parameters: BTreeMap<String, String>,
}

/// One route of the HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Method in upper case, or `ANY`.
    pub method: String,
    /// Path with `{name}` and `{name+}` variables; `$default` catches the rest.
    pub path: String,
    /// Logical id of the function that answers.
    pub function: String,
}

/// Sections of a template that are read, and those that say nothing to run.
const SECTIONS: [&str; 7] = [
    "AWSTemplateFormatVersion",
    "Description",
    "Globals",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
];

/// What a resource may have: the order in which AWS makes resources, and what becomes of them in the end, is AWS's.
const RESOURCE: [&str; 6] = [
    "DeletionPolicy",
    "DependsOn",
    "Metadata",
    "Properties",
    "Type",
    "UpdateReplacePolicy",
];

/// What says which events of a configuration set's mails are told.
const DESTINATION: &str = "AWS::SES::ConfigurationSetEventDestination";

/// Resource types that configure AWS and have nothing to run on one machine.
const WITHOUT_LOCAL_EFFECT: [&str; 8] = [
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::Role",
    "AWS::Logs::MetricFilter",
    "AWS::SNS::Topic",
    "AWS::SNS::Subscription",
    "AWS::SQS::QueuePolicy",
];

impl Template {
    /// Reads the template in `folder` with the parameters that `samconfig.toml` gives the environment `local`,
    /// then `parameters`.
    pub fn load(folder: &Path, parameters: &BTreeMap<String, String>) -> Result<Self> {
        let path = folder.join("template.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mut all = sam_parameters(folder)?;
        all.extend(parameters.clone());
        Self::parse(&text, &all).with_context(|| format!("in {}", path.display()))
    }

    /// Resolves the template in `text`; each parameter needs a value in `parameters` or a default.
    pub fn parse(text: &str, parameters: &BTreeMap<String, String>) -> Result<Self> {
        let document = intrinsics::document(text)?;
        property::only("a template", &document, &[&SECTIONS, &["Transform"]])?;
        property::is("a template", &document, "Transform", &["AWS::Serverless-2016-10-31"])?;
        let scope = Scope::new(&document, parameters)?;
        let globals = document.get("Globals").cloned().unwrap_or_else(|| Map::new().into());
        property::only("Globals", &globals, &[&["Function"]])?;
        let globals = match globals.get("Function") {
            Some(globals) => scope.resolve(globals).context("in Globals")?,
            None => Map::new().into(),
        };
        let mut template = Self {
            functions: Vec::new(),
            routes: Vec::new(),
            tables: Vec::new(),
            queues: Vec::new(),
            buckets: Vec::new(),
            configuration_sets: Vec::new(),
            rules: Vec::new(),
            cors: None,
            throttle: None,
            parameters: scope.parameter_texts(),
        };
        let resources = document["Resources"].as_object().context("no Resources")?;
        let mut destinations = Vec::new();
        for (id, resource) in resources {
            template
                .add(id, resource, &scope, &globals)
                .with_context(|| format!("in resource {id}"))?;
            if resource["Type"] == DESTINATION {
                let read = scope
                    .resolve(&resource["Properties"])
                    .and_then(|it| event::destination(&it));
                destinations.push(read.with_context(|| format!("in resource {id}"))?);
            }
        }
        for (name, told) in destinations {
            let mut sets = template.configuration_sets.iter_mut();
            let set = sets.find(|set| set.name == name);
            let set = set.with_context(|| format!("there is no configuration set {name}"))?;
            set.told.extend(told);
        }
        template.check()?;

        Ok(template)
    }

    /// Finds a function by its logical id (`EventWriter`) or its folder (`event-writer`).
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions
            .iter()
            .find(|function| function.id == name || function.binary == name)
    }

    fn add(&mut self, id: &str, resource: &Value, scope: &Scope, globals: &Value) -> Result<()> {
        let kind = resource["Type"].as_str().context("no Type")?;
        property::only("a resource", resource, &[&RESOURCE])?;
        let raw = resource
            .get("Properties")
            .cloned()
            .unwrap_or_else(|| Value::Object(Map::new()));
        match kind {
            "AWS::Serverless::Function" => {
                let properties = scope.resolve(&raw)?;
                let (function, routes) = function::read(id, resource, properties, globals)?;
                self.functions.push(function);
                self.routes.extend(routes);
            }
            "AWS::Serverless::HttpApi" => (self.cors, self.throttle) = resource::api(&scope.resolve(&raw)?)?,
            "AWS::S3::Bucket" => {
                let bucket = bucket::read(id, scope.bucket_name(id), &scope.resolve(&raw)?)?;
                self.buckets.push(bucket);
            }
            "AWS::Events::Rule" => self.rules.extend(event::rule(id, &scope.resolve(&raw)?)?),
            "AWS::SES::ConfigurationSet" => {
                let set = event::configuration_set(id, &scope.resolve(&raw)?)?;
                self.configuration_sets.push(set);
            }
            // Read once all configuration sets are known.
            DESTINATION => {}
            "AWS::S3::BucketPolicy" => bucket::policy(&scope.resolve(&raw)?)?,
            "AWS::Logs::LogGroup" => resource::log_group(&scope.resolve(&raw)?)?,
            "AWS::DynamoDB::Table" => self.tables.push(resource::table(id, &scope.resolve(&raw)?)?),
            "AWS::SQS::Queue" => self.queues.push(resource::queue(id, &scope.resolve(&raw)?)?),
            other if WITHOUT_LOCAL_EFFECT.contains(&other) => {}
            other => bail!("the local stack does not serve {other}"),
        }

        Ok(())
    }

    fn check(&self) -> Result<()> {
        for function in &self.functions {
            for source in &function.queues {
                if !self.queues.iter().any(|queue| queue.name == source.queue) {
                    bail!(
                        "function {} reads the queue {}, which the template does not have",
                        function.id,
                        source.queue
                    );
                }
            }
        }
        for rule in &self.rules {
            let unknown = |name: &&String| !self.queues.iter().any(|queue| queue.name == **name);
            if let Some(queue) = rule.queues.iter().find(unknown) {
                bail!(
                    "rule {} tells the queue {queue}, which the template does not have",
                    rule.id
                );
            }
        }
        for queue in &self.queues {
            if let Some(redrive) = &queue.redrive
                && !self.queues.iter().any(|other| other.name == redrive.dead_letter_queue)
            {
                bail!(
                    "queue {} redrives to {}, which the template does not have",
                    queue.name,
                    redrive.dead_letter_queue
                );
            }
        }

        Ok(())
    }
}

/// Lists the parameters that the template in `folder` has.
pub fn parameter_names(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join("template.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let document = intrinsics::document(&text).with_context(|| format!("in {}", path.display()))?;
    let names = document["Parameters"].as_object().into_iter().flatten();
    Ok(names.map(|(name, _)| name.clone()).collect())
}

/// Reads the overrides that `samconfig.toml` gives the environment `local`; none if there is no such file.
pub fn sam_parameters(folder: &Path) -> Result<BTreeMap<String, String>> {
    let path = folder.join("samconfig.toml");
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let config: toml::Table = text.parse().with_context(|| format!("parse {}", path.display()))?;
    let overrides = config
        .get("local")
        .and_then(|local| local.get("deploy")?.get("parameters")?.get("parameter_overrides"));
    let Some(overrides) = overrides else {
        return Ok(BTreeMap::new());
    };
    let texts: Vec<String> = match overrides {
        toml::Value::Array(list) => list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        toml::Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        _ => bail!("{}: parameter_overrides must be text or a list", path.display()),
    };

    texts
        .iter()
        .map(|text| {
            let (name, value) = text
                .split_once('=')
                .with_context(|| format!("{text:?} is not NAME=VALUE"))?;
            Ok((name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
