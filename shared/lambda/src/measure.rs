//! The line that ends an invocation, which `CloudWatch` takes for metrics too (embedded metric format): what was counted and
//! timed since the line before stands at its root, and `_aws` says of what kind it is.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! At least once: `CloudWatch` may count a line twice, so alarms on counts have a margin.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use app::{Clock, Env, Measure, Measures};
use serde_json::{Map, Value, json};
use tracing::Span;

/// The target of lines that hold metrics: they are written whatever the level of the log is.
pub(crate) const TARGET: &str = "measured";
/// The field that holds them until the line is written.
pub(crate) const FIELD: &str = "emf";
/// Where metrics go, by AWS's own tools.
const NAMESPACE: &str = "POWERTOOLS_METRICS_NAMESPACE";

/// What measures the invocations of a function. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    measures: Measures,
    clock: Clock,
    namespace: Arc<str>,
    service: &'static str,
    is_warm: Arc<AtomicBool>,
}

impl Watch {
    /// That of a function with this environment.
    pub(crate) fn of(env: &Env, service: &'static str) -> Self {
        Self {
            measures: env.measures().clone(),
            clock: env.clock().clone(),
            namespace: env.optional(NAMESPACE).unwrap_or("countinghouse").into(),
            service,
            is_warm: Arc::default(),
        }
    }

    /// What every line of an invocation says.
    pub(crate) fn invocation(&self, lambda: Option<&lambda_runtime::Context>, correlation: Option<&str>) -> Span {
        let cold_start = !self.is_warm.swap(true, Ordering::Relaxed);
        tracing::error_span!(
            "invocation",
            cold_start,
            function_request_id = lambda.map(|lambda| lambda.request_id.as_str()),
            xray_trace_id = lambda.and_then(root),
            correlation_id = correlation,
        )
    }

    /// Notes how long something of this function took.
    pub(crate) fn time(&self, name: &'static str, took: Duration) {
        self.measures.time(name, &[("service", self.service)], took);
    }

    /// What was measured, for the line that ends an invocation; and for more lines, where one cannot hold it all.
    pub(crate) fn ended(&self) -> (String, Vec<String>) {
        let mut lines = lines(&self.namespace, self.clock.now().millis(), self.measures.take());
        let first = if lines.is_empty() {
            String::new()
        } else {
            lines.remove(0)
        };
        (first, lines)
    }
}

/// What every line of an invocation says of Lambda, where the invocation itself is told elsewhere.
pub(crate) fn lambda(context: &lambda_runtime::Context) -> Span {
    tracing::error_span!(
        "lambda",
        function_request_id = context.request_id.as_str(),
        xray_trace_id = root(context),
    )
}

/// Of `Root=1-…;Parent=…;Sampled=1` the root alone, as Powertools has it.
fn root(context: &lambda_runtime::Context) -> Option<&str> {
    let mut parts = context.xray_trace_id.as_deref()?.split(';');
    parts.find_map(|part| part.trim().strip_prefix("Root="))
}

/// Writes the lines beyond the first.
pub(crate) fn write_rest(rest: Vec<String>) {
    for emf in rest {
        tracing::info!(target: TARGET, emf, "measured");
    }
}

/// The members of as few lines as hold these measures: a name stands once in a line, for a metric as for a label.
fn lines(namespace: &str, at_ms: i64, measures: Vec<Measure>) -> Vec<String> {
    let mut lines: Vec<(Map<String, Value>, Vec<Value>)> = Vec::new();
    for measure in measures {
        let place = lines.iter().position(|(members, _)| fits(members, &measure));
        let place = place.unwrap_or_else(|| {
            lines.push((Map::new(), Vec::new()));
            lines.len() - 1
        });
        let (members, directives) = &mut lines[place];
        for (name, value) in &measure.labels {
            members.insert((*name).to_owned(), json!(value));
        }
        let value = match measure.values.as_slice() {
            [one] => json!(one),
            many => json!(many),
        };
        members.insert(measure.name.to_owned(), value);
        let labels: Vec<&str> = measure.labels.iter().map(|(name, _)| *name).collect();
        directives.push(json!({
            "Namespace": namespace,
            "Dimensions": [labels],
            "Metrics": [{"Name": measure.name, "Unit": format!("{:?}", measure.unit)}],
        }));
    }
    let line = |(mut members, directives): (Map<String, Value>, Vec<Value>)| {
        let aws = json!({"Timestamp": at_ms, "CloudWatchMetrics": directives});
        members.insert("_aws".to_owned(), aws);
        Value::Object(members).to_string()
    };
    lines.into_iter().map(line).collect()
}

fn fits(members: &Map<String, Value>, measure: &Measure) -> bool {
    let same = |(name, value): &(&'static str, String)| members.get(*name).is_none_or(|known| known == value.as_str());
    !members.contains_key(measure.name) && measure.labels.iter().all(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use app::Unit;

    fn measure(name: &'static str, unit: Unit, labels: &[(&'static str, &str)], values: &[f64]) -> Measure {
        Measure {
            name,
            unit,
            labels: labels
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            values: values.to_vec(),
        }
    }

    fn read(lines: &[String]) -> Vec<Value> {
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_the_form_that_is_documented() {
        let measures = vec![
            measure(
                "http.server.request.duration",
                Unit::Seconds,
                &[("service", "invoices")],
                &[0.25],
            ),
            measure("invoices", Unit::Count, &[("status", "sent")], &[1.0]),
        ];
        let expected = json!({
            "_aws": {
                "Timestamp": 1_800_000_000_000_i64,
                "CloudWatchMetrics": [
                    {"Namespace": "prod", "Dimensions": [["service"]],
                        "Metrics": [{"Name": "http.server.request.duration", "Unit": "Seconds"}]},
                    {"Namespace": "prod", "Dimensions": [["status"]],
                        "Metrics": [{"Name": "invoices", "Unit": "Count"}]},
                ],
            },
            "service": "invoices",
            "status": "sent",
            "http.server.request.duration": 0.25,
            "invoices": 1.0,
        });
        assert_eq!(read(&lines("prod", 1_800_000_000_000, measures)), [expected]);
    }

    #[test]
    fn what_would_overwrite_something_stands_in_a_line_of_its_own() {
        let failed = |queue| measure("jobs.failed", Unit::Count, &[("queue", queue)], &[2.0]);
        let measures = vec![
            failed("payments"),
            failed("notifications"),
            measure("work", Unit::Seconds, &[("queue", "notifications")], &[0.1, 0.2]),
        ];
        let lines = read(&lines("prod", 0, measures));
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (&lines[0]["queue"], &lines[1]["queue"]),
            (&json!("payments"), &json!("notifications"))
        );
        assert_eq!(lines[1]["work"], json!([0.1, 0.2]));
        for line in &lines {
            for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
                let name = directive["Metrics"][0]["Name"].as_str().unwrap();
                let label = directive["Dimensions"][0][0].as_str().unwrap();
                assert!(
                    line[name].is_number() || line[name].is_array(),
                    "{name} stands at the root"
                );
                assert!(line[label].is_string(), "{label} too");
            }
        }
        assert!(super::lines("prod", 0, Vec::new()).is_empty());
    }
}
