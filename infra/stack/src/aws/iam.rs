//! Least privilege, checked: what a request needs, and whether the caller's statements grant it.
//!
//! Each function's process signs with its logical id as access key. The signature itself is not verified: this
//! finds what a template forgot to grant, it does not keep anybody out of a developer's machine.
//! Statements are decided on as IAM does, also where that surprises: a condition for all values of a key holds of a
//! request that does not have the key, such as a scan.

use std::collections::HashMap;

use crate::template::{ACCOUNT, Condition, Effect, Function, Quantifier, Statement, Template, Test};

/// One thing a request needs to be allowed: an action on any of some resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// `service:Action`.
    pub action: String,
    /// ARNs of which one must be granted; mostly one.
    pub resources: Vec<String>,
    /// What conditions may ask for, `dynamodb:LeadingKeys`, and its values.
    pub context: Vec<(&'static str, Vec<String>)>,
}

impl Need {
    /// Makes the need of an action on one resource.
    pub(super) fn of(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            resources: vec![resource.into()],
            context: Vec::new(),
        }
    }

    /// Adds what conditions may ask for; nothing, if there is no value.
    pub(super) fn with(mut self, key: &'static str, values: Vec<String>) -> Self {
        if !values.is_empty() {
            self.context.push((key, values));
        }
        self
    }

    fn values(&self, key: &str) -> Option<&[String]> {
        let (_, values) = self.context.iter().find(|(known, _)| *known == key)?;
        Some(values)
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
        for need in needs {
            let because = match decide(statements, need) {
                Decision::Allowed => continue,
                Decision::Denied => "with an explicit deny in an identity-based policy".to_owned(),
                Decision::NotAllowed => {
                    format!("because no identity-based policy allows the {} action", need.action)
                }
            };
            return Err(format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/{caller} is not authorized to perform: {} on resource: {} {because}",
                need.action,
                need.resources.first().map_or("*", String::as_str),
            ));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Allowed,
    NotAllowed,
    Denied,
}

fn decide(statements: &[Statement], need: &Need) -> Decision {
    let about = |resource: &str, effect: Effect| {
        let mut own = statements.iter().filter(|statement| statement.effect == effect);
        own.any(|statement| covers(statement, need, resource))
    };
    let is_denied = |resource: &String| about(resource, Effect::Deny);
    let mut resources = need.resources.iter();
    if resources.any(|resource| about(resource, Effect::Allow) && !is_denied(resource)) {
        Decision::Allowed
    } else if need.resources.iter().any(is_denied) {
        Decision::Denied
    } else {
        Decision::NotAllowed
    }
}

fn covers(statement: &Statement, need: &Need, resource: &str) -> bool {
    let wanted = need.action.to_lowercase();
    let mut actions = statement.actions.iter();
    actions.any(|action| matches(&action.to_lowercase(), &wanted))
        && statement.resources.iter().any(|pattern| matches(pattern, resource))
        && statement
            .conditions
            .iter()
            .all(|condition| holds(condition, need.values(&condition.key)))
}

/// Tells whether a condition holds of a key's values, if the request has the key.
fn holds(condition: &Condition, values: Option<&[String]>) -> bool {
    let (wildcards, negated) = match condition.test {
        Test::Null => return (condition.values[0] == "true") == values.is_none(),
        Test::Like { wildcards, negated } => (wildcards, negated),
    };
    let like = |pattern: &String, value: &String| {
        if wildcards {
            matches(pattern, value)
        } else {
            pattern == value
        }
    };
    let stands = |value: &String| condition.values.iter().any(|pattern| like(pattern, value)) != negated;
    match (condition.quantifier, values) {
        (Quantifier::One, None) => negated,
        (Quantifier::Any, None) => false,
        (Quantifier::All, None) => true,
        (Quantifier::One | Quantifier::Any, Some(values)) => values.iter().any(stands),
        (Quantifier::All, Some(values)) => values.iter().all(stands),
    }
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
            conditions: vec![],
        }
    }

    fn check_condition(quantifier: Quantifier, test: Test, patterns: &[&str], expected: [bool; 4]) {
        let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
        let condition = Condition {
            test,
            quantifier,
            key: "dynamodb:LeadingKeys".into(),
            values: texts(patterns),
        };
        let found = [
            holds(&condition, None),
            holds(&condition, Some(&texts(&["LIMIT#1"]))),
            holds(&condition, Some(&texts(&["ORG#1"]))),
            holds(&condition, Some(&texts(&["LIMIT#1", "ORG#1"]))),
        ];
        assert_eq!(found, expected, "{quantifier:?} {test:?} {patterns:?}");
    }

    #[test]
    fn conditions_hold_as_in_iam() {
        use Quantifier::{All, Any, One};
        let like = |wildcards, negated| Test::Like { wildcards, negated };
        // Of no key at all, of one that is like it, of one that is not, of one of each.
        check_condition(One, like(true, false), &["LIMIT#*"], [false, true, false, true]);
        check_condition(One, like(true, true), &["LIMIT#*"], [true, false, true, true]);
        check_condition(One, like(false, false), &["LIMIT#*"], [false, false, false, false]);
        check_condition(One, like(false, true), &["ORG#1"], [true, true, false, true]);
        check_condition(Any, like(true, false), &["LIMIT#*"], [false, true, false, true]);
        check_condition(Any, like(true, true), &["LIMIT#*"], [false, false, true, true]);
        check_condition(All, like(true, false), &["LIMIT#*"], [true, true, false, false]);
        check_condition(All, like(true, false), &["LIMIT#*", "ORG#?"], [true, true, true, true]);
        check_condition(All, like(true, true), &["LIMIT#*"], [true, false, true, false]);
        check_condition(One, Test::Null, &["false"], [false, true, true, true]);
        check_condition(One, Test::Null, &["true"], [true, false, false, false]);
    }

    #[test]
    fn a_statement_may_be_bounded_to_some_keys() {
        let like = Condition {
            test: Test::Like {
                wildcards: true,
                negated: false,
            },
            quantifier: Quantifier::One,
            key: "dynamodb:LeadingKeys".into(),
            values: vec!["AUDIT#*".into()],
        };
        let grant = statement(Effect::Allow, "dynamodb:*", &table_arn("A"));
        let denial = Statement {
            conditions: vec![like],
            ..statement(Effect::Deny, "dynamodb:DeleteItem", &table_arn("A"))
        };
        let policies = Policies(HashMap::from([("F".to_owned(), vec![grant, denial])]));
        let check = |action: &str, key: &str| {
            let need = Need::of(action, table_arn("A")).with("dynamodb:LeadingKeys", vec![key.to_owned()]);
            policies.check("F", &[need])
        };
        assert_eq!(check("dynamodb:DeleteItem", "ORG#1"), Ok(()));
        assert_eq!(check("dynamodb:PutItem", "AUDIT#1"), Ok(()));
        assert!(check("dynamodb:DeleteItem", "AUDIT#1").is_err());
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
        let denied = policies(vec![grant, denial]).check("F", &needs).unwrap_err();
        assert!(denied.contains("with an explicit deny"), "{denied}");
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
