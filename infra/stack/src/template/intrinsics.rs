//! The template language: YAML short tags, `Ref`, `Fn::Sub`, `Fn::GetAtt` and the few others in use.
//!
//! Everything becomes JSON with the long forms first, so that `!Ref X` and `{"Ref": "X"}` are one case.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

use super::property::{is, number, only, texts};

/// The account that everything local belongs to.
pub const ACCOUNT: &str = "000000000000";
/// The region that everything local lies in.
pub const REGION: &str = "us-east-1";

/// Parses YAML with anchors, merge keys and short tags into JSON with the long forms.
pub(super) fn document(text: &str) -> Result<Value> {
    let mut yaml: Yaml = serde_yaml_ng::from_str(text)?;
    yaml.apply_merge()?;
    to_json(yaml)
}

fn to_json(yaml: Yaml) -> Result<Value> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(flag) => flag.into(),
        Yaml::Number(number) => serde_json::to_value(number)?,
        Yaml::String(text) => text.into(),
        Yaml::Sequence(list) => list.into_iter().map(to_json).collect::<Result<Vec<_>>>()?.into(),
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let key = match key {
                    Yaml::String(text) => text,
                    Yaml::Number(number) => number.to_string(),
                    other => bail!("a key must be text: {other:?}"),
                };
                map.insert(key, to_json(value)?);
            }
            map.into()
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = match tag.trim_start_matches('!') {
                "Ref" => "Ref".to_owned(),
                "Condition" => "Condition".to_owned(),
                other => format!("Fn::{other}"),
            };
            json!({ name: to_json(tagged.value)? })
        }
    })
}

/// Checks a parameter's value against what the template says of it; patterns are left to AWS.
fn check(parameter: &Value, value: &str) -> Result<()> {
    let least: Option<usize> = number(parameter, "MinLength")?;
    let most: Option<usize> = number(parameter, "MaxLength")?;
    let length = value.chars().count();
    if least.is_some_and(|least| length < least) || most.is_some_and(|most| length > most) {
        bail!(
            "its length is not between {} and {}",
            least.unwrap_or(0),
            most.unwrap_or(4096)
        );
    }
    let allowed = parameter.get("AllowedValues").map(texts);
    if let Some(allowed) = allowed.filter(|allowed| !allowed.iter().any(|one| one == value)) {
        bail!("it is none of {}", allowed.join(", "));
    }
    if parameter["Type"] == "Number" {
        let given: f64 = value.parse().context("it is no number")?;
        let bound = |name: &str| parameter.get(name).and_then(|bound| text_of(bound).parse::<f64>().ok());
        if bound("MinValue").is_some_and(|least| given < least) || bound("MaxValue").is_some_and(|most| given > most) {
            bail!("it is out of its bounds");
        }
    }
    Ok(())
}

/// What names in a template stand for: its parameters and resources.
pub(super) struct Scope<'a> {
    parameters: BTreeMap<String, Value>,
    resources: &'a Map<String, Value>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(document: &'a Value, given: &BTreeMap<String, String>) -> Result<Self> {
        let declared = document["Parameters"].as_object().cloned().unwrap_or_default();
        for name in given.keys() {
            if !declared.contains_key(name) {
                bail!("a value is given for the parameter {name}, which the template does not have");
            }
        }
        let mut parameters = BTreeMap::new();
        for (name, parameter) in declared {
            let known = [
                "Default",
                "Type",
                "AllowedValues",
                "MaxLength",
                "MaxValue",
                "MinLength",
                "MinValue",
            ];
            let elsewhere = ["AllowedPattern", "ConstraintDescription", "Description", "NoEcho"];
            only(&format!("the parameter {name}"), &parameter, &[&known, &elsewhere])?;
            is(
                &format!("the parameter {name}"),
                &parameter,
                "Type",
                &["String", "Number", "CommaDelimitedList"],
            )?;
            let value = match (given.get(&name), parameter.get("Default")) {
                (Some(given), _) => given.clone(),
                (None, Some(Value::String(default))) => default.clone(),
                (None, Some(default)) => default.to_string(),
                (None, None) => bail!("the parameter {name} has neither a value nor a default"),
            };
            check(&parameter, &value).with_context(|| format!("the parameter {name} is {value:?}"))?;
            let is_list = parameter["Type"] == "CommaDelimitedList";
            let value = if is_list {
                value
                    .split(',')
                    .map(|part| Value::from(part.trim()))
                    .collect::<Vec<_>>()
                    .into()
            } else {
                value.into()
            };
            parameters.insert(name, value);
        }
        let resources = document["Resources"].as_object().context("no Resources")?;

        Ok(Self { parameters, resources })
    }

    pub(super) fn parameter_texts(&self) -> BTreeMap<String, String> {
        self.parameters
            .iter()
            .map(|(name, value)| (name.clone(), text_of(value)))
            .collect()
    }

    /// Replaces every intrinsic function in `value` by what it yields.
    pub(super) fn resolve(&self, value: &Value) -> Result<Value> {
        match value {
            Value::Array(list) => Ok(list
                .iter()
                .map(|one| self.resolve(one))
                .collect::<Result<Vec<_>>>()?
                .into()),
            Value::Object(map) => {
                if map.len() == 1
                    && let Some((name, argument)) = map.iter().next()
                    && (name == "Ref" || name.starts_with("Fn::"))
                {
                    return self
                        .call(name, argument)
                        .with_context(|| format!("in {name} {argument}"));
                }
                let resolved = map.iter().map(|(key, one)| Ok((key.clone(), self.resolve(one)?)));
                Ok(resolved.collect::<Result<Map<_, _>>>()?.into())
            }
            other => Ok(other.clone()),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Value> {
        match name {
            "Ref" => self.reference(argument.as_str().context("Ref takes a name")?),
            "Fn::GetAtt" => {
                let (id, attribute) = match argument {
                    Value::String(text) => text.split_once('.').context("GetAtt takes NAME.ATTRIBUTE")?,
                    Value::Array(parts) if parts.len() == 2 => (
                        parts[0].as_str().context("not text")?,
                        parts[1].as_str().context("not text")?,
                    ),
                    _ => bail!("GetAtt takes NAME.ATTRIBUTE"),
                };
                self.attribute(id, attribute).map(Value::from)
            }
            "Fn::Sub" => self.substitute(argument).map(Value::from),
            "Fn::Join" => {
                let argument = self.resolve(argument)?;
                let separator = argument[0].as_str().context("Join takes a separator and a list")?;
                let parts = argument[1].as_array().context("Join takes a separator and a list")?;
                Ok(parts.iter().map(text_of).collect::<Vec<_>>().join(separator).into())
            }
            "Fn::Split" => {
                let argument = self.resolve(argument)?;
                let separator = argument[0].as_str().context("Split takes a separator and a text")?;
                let text = argument[1].as_str().context("Split takes a separator and a text")?;
                Ok(text.split(separator).map(Value::from).collect::<Vec<_>>().into())
            }
            "Fn::Select" => {
                let argument = self.resolve(argument)?;
                let index: usize = text_of(&argument[0])
                    .parse()
                    .context("Select takes an index and a list")?;
                argument[1].get(index).cloned().context("Select is out of range")
            }
            _ => bail!("the local stack does not know this function of the template language"),
        }
    }

    fn reference(&self, name: &str) -> Result<Value> {
        if let Some(value) = self.parameters.get(name) {
            return Ok(value.clone());
        }
        let value = match name {
            "AWS::AccountId" => ACCOUNT.into(),
            "AWS::Region" => REGION.into(),
            "AWS::Partition" => "aws".into(),
            "AWS::URLSuffix" => "amazonaws.com".into(),
            "AWS::StackName" => "local".into(),
            _ => match self.kind(name)? {
                "AWS::SQS::Queue" => queue_url(&self.name(name, "QueueName")),
                "AWS::DynamoDB::Table" => self.name(name, "TableName"),
                "AWS::Logs::LogGroup" => self.name(name, "LogGroupName"),
                "AWS::S3::Bucket" => self.bucket_name(name),
                "AWS::SES::ConfigurationSet" => self.name(name, "Name"),
                _ => name.to_owned(),
            },
        };

        Ok(value.into())
    }

    fn attribute(&self, id: &str, attribute: &str) -> Result<String> {
        match (self.kind(id)?, attribute) {
            ("AWS::DynamoDB::Table", "Arn") => Ok(table_arn(&self.name(id, "TableName"))),
            ("AWS::SQS::Queue", "Arn") => Ok(queue_arn(&self.name(id, "QueueName"))),
            ("AWS::SQS::Queue", "QueueName") => Ok(self.name(id, "QueueName")),
            ("AWS::SQS::Queue", "QueueUrl") => Ok(queue_url(&self.name(id, "QueueName"))),
            ("AWS::Logs::LogGroup", "Arn") => Ok(log_group_arn(&self.name(id, "LogGroupName"))),
            ("AWS::Events::Rule", "Arn") => Ok(rule_arn(&self.name(id, "Name"))),
            ("AWS::S3::Bucket", "Arn") => Ok(bucket_arn(&self.bucket_name(id))),
            ("AWS::Serverless::Function", "Arn") => Ok(function_arn(id)),
            (kind, _) => bail!("{kind} has no attribute {attribute} locally"),
        }
    }

    fn substitute(&self, argument: &Value) -> Result<String> {
        let (text, own) = match argument {
            Value::String(text) => (text.as_str(), Map::new()),
            Value::Array(parts) => {
                let own = parts.get(1).and_then(Value::as_object).cloned().unwrap_or_default();
                (parts.first().and_then(Value::as_str).context("Sub takes a text")?, own)
            }
            _ => bail!("Sub takes a text"),
        };
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            out.push_str(&rest[..start]);
            let end = rest[start..].find('}').context("`${` without `}`")? + start;
            let name = &rest[start + 2..end];
            if let Some(literal) = name.strip_prefix('!') {
                out.extend(["${", literal, "}"]);
            } else if let Some(value) = own.get(name) {
                out.push_str(&text_of(&self.resolve(value)?));
            } else if let Some((id, attribute)) = name.split_once('.') {
                out.push_str(&self.attribute(id, attribute)?);
            } else {
                out.push_str(&text_of(&self.reference(name)?));
            }
            rest = &rest[end + 1..];
        }
        out.push_str(rest);

        Ok(out)
    }

    fn kind(&self, id: &str) -> Result<&'a str> {
        let resource = self
            .resources
            .get(id)
            .with_context(|| format!("{id} is neither a parameter nor a resource"))?;
        resource["Type"].as_str().with_context(|| format!("{id} has no Type"))
    }

    /// Names a bucket: as the template does, else as AWS would without the random end; capitals are not allowed.
    pub(super) fn bucket_name(&self, id: &str) -> String {
        let given = self.name(id, "BucketName");
        if given == id {
            format!("local-{}", id.to_lowercase())
        } else {
            given
        }
    }

    fn name(&self, id: &str, property: &str) -> String {
        let given = self.resources[id]
            .get("Properties")
            .and_then(|properties| properties.get(property));
        given
            .and_then(|name| self.resolve(name).ok())
            .map_or_else(|| id.to_owned(), |name| text_of(&name))
    }
}

pub(crate) fn queue_url(name: &str) -> String {
    format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}")
}

pub(crate) fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

pub(crate) fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")
}

/// The ARN of an identity that sends mails: an address or a domain.
pub(crate) fn sender_arn(identity: &str) -> String {
    format!("arn:aws:ses:{REGION}:{ACCOUNT}:identity/{identity}")
}

pub(crate) fn configuration_set_arn(name: &str) -> String {
    format!("arn:aws:ses:{REGION}:{ACCOUNT}:configuration-set/{name}")
}

fn rule_arn(name: &str) -> String {
    format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}")
}

pub(crate) fn bucket_arn(name: &str) -> String {
    format!("arn:aws:s3:::{name}")
}

fn log_group_arn(name: &str) -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*")
}

pub(crate) fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

pub(crate) fn parameter_arn(name: &str) -> String {
    let slash = if name.starts_with('/') { "" } else { "/" };
    format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{slash}{name}")
}

/// Writes a scalar as `CloudFormation` would in a text; lists are joined by commas.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
