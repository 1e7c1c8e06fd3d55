//! What functions say of themselves in lines of the embedded metric format, summed up as Prometheus reads it. A metric has the
//! labels that its dimensions say, and those members of its line besides that begin with the same word
//! (`http.route` for `http.server.request.duration`): what would cost too much as a dimension is free here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use crate::runtime::Log;

/// The upper bounds of what is counted in seconds.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// So many series are kept; what comes after is lost.
const MOST_SERIES: usize = 10_000;

/// By name, then by labels. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<String, Family>>>);

/// The series of one metric.
#[derive(Debug)]
struct Family {
    name: String,
    kind: Kind,
    series: BTreeMap<String, Series>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Grows with what is counted.
    Counter,
    /// Counts times by how long they are.
    Histogram,
    /// Is what was said last.
    Gauge,
}

#[derive(Clone, Debug, Default)]
struct Series {
    sum: f64,
    count: u64,
    buckets: [u64; BOUNDS.len()],
}

impl Metrics {
    /// A log that is heard here too.
    pub fn hear(&self, log: Log) -> Log {
        let metrics = self.clone();
        Arc::new(move |name, line| {
            metrics.take(line);
            log(name, line);
        })
    }

    /// Takes what a line measures, if it does.
    fn take(&self, line: &str) {
        if !line.contains("\"_aws\"") {
            return;
        }
        let Ok(Value::Object(line)) = serde_json::from_str(line) else {
            return;
        };
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten();
        for directive in directives {
            let dimensions = directive["Dimensions"].as_array().into_iter().flatten();
            let dimensions: BTreeSet<&str> = dimensions
                .flat_map(|set| set.as_array().into_iter().flatten())
                .filter_map(Value::as_str)
                .collect();
            for metric in directive["Metrics"].as_array().into_iter().flatten() {
                let name = metric["Name"].as_str().unwrap_or_default();
                let labels = labels(&line, name, &dimensions);
                self.add(name, metric["Unit"].as_str().unwrap_or("None"), labels, &line[name]);
            }
        }
    }

    fn add(&self, name: &str, unit: &str, labels: String, values: &Value) {
        let (kind, suffix) = match unit {
            "Count" => (Kind::Counter, "_total"),
            "Seconds" => (Kind::Histogram, "_seconds"),
            _ => (Kind::Gauge, ""),
        };
        let called = format!("{}{suffix}", plain(name));
        let mut families = self.lock();
        let series: usize = families.values().map(|family| family.series.len()).sum();
        let family = families.entry(called).or_insert_with(|| Family {
            name: name.to_owned(),
            kind,
            series: BTreeMap::new(),
        });
        if series >= MOST_SERIES && !family.series.contains_key(&labels) {
            return;
        }
        let series = family.series.entry(labels).or_default();
        let many = values.as_array().map_or(std::slice::from_ref(values), Vec::as_slice);
        for value in many.iter().filter_map(Value::as_f64) {
            series.add(kind, value);
        }
    }

    /// All that was heard, in Prometheus' text form, and the gauges that are given: their name, what they are, and
    /// what each of a label has.
    pub fn text(&self, gauges: &[(&str, &str, &str, BTreeMap<String, f64>)]) -> String {
        let mut text = String::new();
        for (called, family) in self.lock().iter() {
            family.write(called, &mut text);
        }
        for (name, help, label, values) in gauges {
            // Writing to a text does not fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (value, number) in values {
                let _ = writeln!(text, "{name}{{{label}=\"{}\"}} {number}", escaped(value));
            }
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Family>> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    fn add(&mut self, kind: Kind, value: f64) {
        if kind == Kind::Gauge {
            self.sum = value;
            return;
        }
        self.sum += value;
        self.count += 1;
        for (bound, bucket) in BOUNDS.iter().zip(&mut self.buckets) {
            *bucket += u64::from(value <= *bound);
        }
    }
}

impl Family {
    fn write(&self, called: &str, text: &mut String) {
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            Kind::Gauge => "gauge",
        };
        // Writing to a text does not fail.
        let _ = writeln!(
            text,
            "# HELP {called} The metric {}.\n# TYPE {called} {kind}",
            self.name
        );
        for (labels, series) in &self.series {
            if self.kind != Kind::Histogram {
                let _ = writeln!(text, "{called}{} {}", within(labels), series.sum);
                continue;
            }
            let comma = if labels.is_empty() { "" } else { "," };
            for (bound, count) in BOUNDS.iter().zip(series.buckets) {
                let _ = writeln!(text, "{called}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(text, "{called}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", series.count);
            let _ = writeln!(text, "{called}_sum{} {}", within(labels), series.sum);
            let _ = writeln!(text, "{called}_count{} {}", within(labels), series.count);
        }
    }
}

fn within(labels: &str) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    }
}

/// The labels of a metric in a line: `a="1",b="2"`.
fn labels(line: &Map<String, Value>, metric: &str, dimensions: &BTreeSet<&str>) -> String {
    let family = metric.split('.').next().unwrap_or_default();
    let related = |name: &str| name != metric && name.split_once('.').is_some_and(|(first, _)| first == family);
    let mut pairs = Vec::new();
    for (name, value) in line {
        if !dimensions.contains(name.as_str()) && !related(name) {
            continue;
        }
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        pairs.push(format!("{}=\"{}\"", plain(name), escaped(&value)));
    }
    // In one order, whatever that of the line is.
    pairs.sort();
    pairs.join(",")
}

/// A name as Prometheus takes it.
fn plain(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    name.chars().map(letter).collect()
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(route: &str, took: f64) -> String {
        let metric = |name: &str, unit: &str, dimension: &str| json!({"Namespace": "prod", "Dimensions": [[dimension]], "Metrics": [{"Name": name, "Unit": unit}]});
        let line = json!({
            "message": "answered",
            "org.id": "org_1",
            "service": "shop",
            "http.route": route,
            "http.response.status_code": 200,
            "http.server.request.duration": took,
            "jobs.failed": 2.0,
            "queue": "mails",
            "_aws": {"Timestamp": 0, "CloudWatchMetrics": [
                metric("http.server.request.duration", "Seconds", "service"),
                metric("jobs.failed", "Count", "queue"),
            ]},
        });
        line.to_string()
    }

    #[test]
    fn lines_are_summed_up_with_the_labels_that_are_related() {
        let metrics = Metrics::default();
        let heard = Arc::new(Mutex::new(0));
        let count = Arc::clone(&heard);
        let log = metrics.hear(Arc::new(move |_, _| *count.lock().unwrap() += 1));
        for text in [
            &line("/a", 0.02),
            &line("/a", 3.0),
            &line("/\"b\"", 0.5),
            "no JSON",
            "{\"_aws\": 7}",
        ] {
            log("shop", text);
        }
        assert_eq!(*heard.lock().unwrap(), 5, "every line is logged");
        let depth = BTreeMap::from([("mails".to_owned(), 3.0)]);
        let text = metrics.text(&[("queue_depth", "How many messages wait.", "queue_name", depth)]);
        let labels = "http_response_status_code=\"200\",http_route=\"/a\",service=\"shop\"";
        for expected in [
            "# TYPE http_server_request_duration_seconds histogram".to_owned(),
            format!("http_server_request_duration_seconds_bucket{{{labels},le=\"0.025\"}} 1"),
            format!("http_server_request_duration_seconds_bucket{{{labels},le=\"2.5\"}} 1"),
            format!("http_server_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            format!("http_server_request_duration_seconds_sum{{{labels}}} 3.02"),
            "# TYPE jobs_failed_total counter".to_owned(),
            "jobs_failed_total{queue=\"mails\"} 6".to_owned(),
            "queue_depth{queue_name=\"mails\"} 3".to_owned(),
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} in\n{text}");
        }
        assert!(
            text.contains("http_route=\"/\\\"b\\\"\"") && !text.contains("org_1"),
            "{text}"
        );
    }

    /// Judged by Prometheus' own tool, where there is one.
    #[test]
    fn prometheus_takes_it() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let metrics = Metrics::default();
        metrics.take(&line("/a", 0.02));
        let depth = BTreeMap::from([("mails".to_owned(), 3.0)]);
        let text = metrics.text(&[("queue_depth", "How many messages wait.", "queue_name", depth)]);
        let tool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut tool) = tool else {
            return;
        };
        tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let judged = tool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&[judged.stdout, judged.stderr].concat()).into_owned();
        assert!(judged.status.success() && said.is_empty(), "{said}");
    }
}
