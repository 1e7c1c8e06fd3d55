//! Least privilege, checked: what a request needs, and whether the caller's statements grant it.
//!
//! Each function's process signs with its logical id as access key. The signature itself is not verified: this
//! finds what a template forgot to grant, it does not keep anybody out of a developer's machine.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::template::{
    ACCOUNT, Effect, Function, Statement, Template, mail_arn, parameter_arn, queue_arn, queue_name, table_arn,
};

/// One thing a request needs to be allowed: an action on any of some resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// `service:Action`.
    pub action: String,
    /// ARNs of which one must be granted; mostly one.
    pub resources: Vec<String>,
    /// The partition key of the one item that it is about; none if it is about others.
    pub leading_key: Option<String>,
}

/// The statements of every function.
#[derive(Debug, Default)]
pub struct Policies(HashMap<String, Vec<Statement>>);

impl Policies {
    /// Collects the statements of a template's functions, each with what tables forbid everybody.
    pub fn of(template: &Template) -> Self {
        let denials: Vec<_> = template.tables.iter().flat_map(|table| table.denials.clone()).collect();
        let of = |function: &Function| [function.policy.clone(), denials.clone()].concat();
        let functions = template.functions.iter();
        Self(functions.map(|function| (function.id.clone(), of(function))).collect())
    }

    /// Tells whether an access key is a function's.
    pub fn knows(&self, caller: &str) -> bool {
        self.0.contains_key(caller)
    }

    /// Checks that `caller` may do all of it; says in AWS's words what it may not.
    pub fn check(&self, caller: &str, needs: &[Need]) -> Result<(), String> {
        let Some(statements) = self.0.get(caller) else {
            return Ok(());
        };
        match needs.iter().find(|need| !allowed(statements, need)) {
            None => Ok(()),
            Some(need) => Err(format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/{caller} is not authorized to perform: {} on resource: {} \
                 because no identity-based policy allows the {} action",
                need.action,
                need.resources.first().map_or("*", String::as_str),
                need.action,
            )),
        }
    }
}

fn allowed(statements: &[Statement], need: &Need) -> bool {
    let covers = |statement: &Statement, resource: &str| {
        statement
            .actions
            .iter()
            .any(|action| matches(&action.to_lowercase(), &need.action.to_lowercase()))
            && statement.resources.iter().any(|pattern| matches(pattern, resource))
            && (statement.leading_keys.is_empty()
                || need
                    .leading_key
                    .as_ref()
                    .is_some_and(|key| statement.leading_keys.iter().any(|pattern| matches(pattern, key))))
    };
    need.resources.iter().any(|resource| {
        let mut hits = statements
            .iter()
            .filter(|statement| covers(statement, resource))
            .peekable();
        hits.peek().is_some() && hits.all(|statement| statement.effect == Effect::Allow)
    })
}

/// Matches a pattern in which `*` stands for any text and `?` for any character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            p = at + 1;
            t = from + 1;
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Finds the access key in an `Authorization` header of signature version 4.
pub(super) fn caller(authorization: &str) -> &str {
    let credential = authorization.split_once("Credential=").map_or("", |(_, rest)| rest);
    credential.split('/').next().unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableRequest<'a> {
    #[serde(borrow)]
    table_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    index_name: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "keys")]
    request_items: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    transact_items: Vec<HashMap<Cow<'a, str>, TableItem<'a>>>,
    #[serde(borrow)]
    key: Option<ItemKey<'a>>,
}

/// The key of one item; of it, what policies can be bounded to.
#[derive(Deserialize)]
struct ItemKey<'a> {
    #[serde(borrow)]
    pk: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(rename = "S", borrow)]
    text: Option<Cow<'a, str>>,
}

/// Reads the keys of a map and skips its values.
fn keys<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Cow<'a, str>>, D::Error> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<Cow<'de, str>>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("a map")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut keys = Vec::new();
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    deserializer.deserialize_map(Keys)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableItem<'a> {
    #[serde(borrow)]
    table_name: Cow<'a, str>,
}

fn need(action: impl Into<String>, resource: String) -> Need {
    Need {
        action: action.into(),
        resources: vec![resource],
        leading_key: None,
    }
}

/// A table may be named by its ARN as well.
fn arn_of_table(name: &str) -> String {
    if name.starts_with("arn:") {
        name.to_owned()
    } else {
        table_arn(name)
    }
}

/// Lists what a `DynamoDB` request needs; a transaction needs the right of each of its items.
pub(super) fn dynamodb_needs(operation: &str, body: &[u8]) -> Result<Vec<Need>, String> {
    let request: TableRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let action = format!("dynamodb:{operation}");
    match operation {
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = request.request_items.iter();
            Ok(tables.map(|table| need(action.clone(), arn_of_table(table))).collect())
        }
        "TransactGetItems" | "TransactWriteItems" => {
            let items = request.transact_items.iter().flatten();
            items
                .map(|(kind, item)| Ok(need(item_action(kind)?, arn_of_table(&item.table_name))))
                .collect()
        }
        "ListTables" => Ok(vec![need(action, "*".to_owned())]),
        _ => {
            let table = arn_of_table(&request.table_name.ok_or("the request names no table")?);
            let resource = match request.index_name {
                Some(index) => format!("{table}/index/{index}"),
                None => table,
            };
            let pk = request.key.and_then(|key| key.pk?.text);
            Ok(vec![Need {
                leading_key: pk.map(Cow::into_owned),
                ..need(action, resource)
            }])
        }
    }
}

fn item_action(kind: &str) -> Result<&'static str, String> {
    Ok(match kind {
        "Get" => "dynamodb:GetItem",
        "Put" => "dynamodb:PutItem",
        "Update" => "dynamodb:UpdateItem",
        "Delete" => "dynamodb:DeleteItem",
        "ConditionCheck" => "dynamodb:ConditionCheckItem",
        other => return Err(format!("a transaction has no {other}")),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueRequest {
    queue_url: Option<String>,
    queue_name: Option<String>,
    source_arn: Option<String>,
}

/// Lists what an SQS request needs; batches need the right of the single operation.
pub(super) fn sqs_needs(operation: &str, body: &[u8]) -> Result<Vec<Need>, String> {
    let request: QueueRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let named = request
        .queue_url
        .as_deref()
        .and_then(queue_name)
        .or(request.queue_name.as_deref());
    let resource = match (named, request.source_arn) {
        (Some(name), _) => queue_arn(name),
        (None, Some(arn)) => arn,
        (None, None) => "*".to_owned(),
    };
    Ok(vec![need(
        format!("sqs:{}", operation.trim_end_matches("Batch")),
        resource,
    )])
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ParameterRequest {
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
}

/// Lists what an SSM request needs.
pub(super) fn ssm_needs(operation: &str, body: &[u8]) -> Result<Vec<Need>, String> {
    let request: ParameterRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let names = request.names.iter().chain(&request.name);
    Ok(names
        .map(|name| need(format!("ssm:{operation}"), parameter_arn(name)))
        .collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MailRequest {
    from_email_address: Option<String>,
    content: MailContent,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MailContent {
    template: Option<NamedTemplate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NamedTemplate {
    template_name: Option<String>,
}

/// Lists what a mail needs: the right to send as its sender's address, or as the address's domain, and to use its
/// template.
pub(super) fn ses_needs(body: &[u8]) -> Result<Vec<Need>, String> {
    let request: MailRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let from = request.from_email_address.unwrap_or_default();
    let address = from
        .rsplit_once('<')
        .map_or(from.as_str(), |(_, address)| address.trim_end_matches('>'));
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let identity = |name: &str| mail_arn(&format!("identity/{name}"));
    let mut needs = vec![Need {
        action: "ses:SendEmail".into(),
        resources: vec![identity(address), identity(domain)],
        leading_key: None,
    }];
    if let Some(name) = request.content.template.and_then(|template| template.template_name) {
        needs.push(need("ses:SendEmail", mail_arn(&format!("template/{name}"))));
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_match(pattern: &str, text: &str, expected: bool) {
        assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
    }

    #[test]
    fn patterns_match_as_in_iam() {
        check_match("dynamodb:*Item", "dynamodb:PutItem", true);
        check_match("dynamodb:*Item", "dynamodb:Query", false);
        check_match("*", "", true);
        check_match("a?c*", "abcd", true);
        check_match("a*b*c", "aXbXbYc", true);
        check_match("a*b", "a", false);
        check_match("arn:table/A", "arn:table/AB", false);
    }

    fn check_needs(operation: &str, body: &str, expected: &[(&str, &str)]) {
        let mut needs: Vec<(String, String)> = dynamodb_needs(operation, body.as_bytes())
            .unwrap()
            .into_iter()
            .map(|need| (need.action, need.resources[0].rsplit(':').next().unwrap().to_owned()))
            .collect();
        needs.sort();
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(action, table)| (format!("dynamodb:{action}"), format!("table/{table}")))
            .collect();
        assert_eq!(needs, expected);
    }

    #[test]
    fn requests_name_their_tables_in_many_places() {
        check_needs("GetItem", r#"{"Key":{},"TableName":"A"}"#, &[("GetItem", "A")]);
        check_needs(
            "Query",
            r#"{"TableName":"A","IndexName":"gsi1"}"#,
            &[("Query", "A/index/gsi1")],
        );
        check_needs(
            "BatchWriteItem",
            r#"{"RequestItems":{"A":[{"PutRequest":{}},{}]}}"#,
            &[("BatchWriteItem", "A")],
        );
        check_needs(
            "BatchGetItem",
            r#"{"RequestItems":{"A":{},"B":{}}}"#,
            &[("BatchGetItem", "A"), ("BatchGetItem", "B")],
        );
        let items = r#"{"TransactItems":[{"Put":{"TableName":"A"}},{"ConditionCheck":{"TableName":"B","Key":{}}}]}"#;
        check_needs(
            "TransactWriteItems",
            items,
            &[("ConditionCheckItem", "B"), ("PutItem", "A")],
        );
    }

    fn statement(effect: Effect, action: &str, resource: &str) -> Statement {
        Statement {
            effect,
            actions: vec![action.into()],
            resources: vec![resource.into()],
            leading_keys: vec![],
        }
    }

    #[test]
    fn a_statement_may_be_bounded_to_some_keys() {
        let granted = Statement {
            leading_keys: vec!["LIMIT#*".into()],
            ..statement(Effect::Allow, "dynamodb:UpdateItem", &table_arn("A"))
        };
        let policies = Policies(HashMap::from([("F".to_owned(), vec![granted])]));
        let check = |body: &str| policies.check("F", &dynamodb_needs("UpdateItem", body.as_bytes()).unwrap());
        let of = |pk: &str| format!(r#"{{"TableName":"A","Key":{{"pk":{{"S":"{pk}"}},"sk":{{"S":"X"}}}}}}"#);
        assert_eq!(check(&of("LIMIT#KEY#1")), Ok(()));
        assert!(check(&of("ORG#1")).is_err());
        assert!(check(r#"{"TableName":"A","Key":{"pk":{"N":"1"}}}"#).is_err());
        assert!(check(r#"{"TableName":"A"}"#).is_err());
    }

    #[test]
    fn a_denial_beats_a_grant_and_nothing_is_granted_by_default() {
        let policies = |statements| Policies(HashMap::from([("F".to_owned(), statements)]));
        let needs = [need("dynamodb:PutItem", table_arn("A"))];
        let grant = statement(Effect::Allow, "dynamodb:PutItem", &table_arn("A"));
        assert_eq!(policies(vec![grant.clone()]).check("F", &needs), Ok(()));
        assert!(
            policies(vec![])
                .check("F", &needs)
                .unwrap_err()
                .contains("not authorized to perform: dynamodb:PutItem")
        );
        let denial = statement(Effect::Deny, "*", "*");
        assert!(policies(vec![grant, denial]).check("F", &needs).is_err());
        assert_eq!(policies(vec![]).check("somebody", &needs), Ok(()));
    }

    #[test]
    fn what_a_table_forbids_no_function_may_do() {
        let template = Template::parse(
            r#"
Resources:
  A:
    Type: AWS::DynamoDB::Table
    Properties:
      ResourcePolicy:
        PolicyDocument: {Statement: {Effect: Deny, Principal: "*", Action: "dynamodb:DeleteItem", Resource: "*"}}
  B: {Type: AWS::DynamoDB::Table}
  F:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: f}}
    Properties:
      Policies: [{Statement: {Effect: Allow, Action: "dynamodb:*", Resource: "*"}}]
"#,
            &std::collections::BTreeMap::new(),
        );
        let policies = Policies::of(&template.unwrap());
        let check = |action: &str, table: &str| policies.check("F", &[need(action, table_arn(table))]);
        assert_eq!(check("dynamodb:PutItem", "A"), Ok(()));
        assert_eq!(check("dynamodb:DeleteItem", "B"), Ok(()));
        assert!(check("dynamodb:DeleteItem", "A").is_err());
        assert!(check("dynamodb:DeleteItem", "A/index/gsi1").is_err());
    }

    #[test]
    fn the_caller_is_the_access_key() {
        let header = "AWS4-HMAC-SHA256 Credential=EventWriter/20261121/us-east-1/sqs/aws4_request, SignedHeaders=host";
        assert_eq!(caller(header), "EventWriter");
        assert_eq!(caller(""), "");
    }
}
