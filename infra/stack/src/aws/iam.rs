//! Least privilege, checked: what a request needs, and whether the caller's statements grant it.
//!
//! Each function's process signs with its logical id as access key. The signature itself is not verified: this
//! finds what a template forgot to grant, it does not keep anybody out of a developer's machine.

use std::collections::HashMap;

use crate::template::{ACCOUNT, Effect, Function, Statement, Template};

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

impl Need {
    /// Makes the need of an action on one resource.
    pub(super) fn of(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            resources: vec![resource.into()],
            leading_key: None,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::super::dynamodb::needs::needs as dynamodb_needs;
    use super::*;
    use crate::template::table_arn;

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
        let needs = [Need::of("dynamodb:PutItem", table_arn("A"))];
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
        let check = |action: &str, table: &str| policies.check("F", &[Need::of(action, table_arn(table))]);
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
