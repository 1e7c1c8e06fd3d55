//! How a line of the log is written: one JSON object, flat, with the keys that Powertools for AWS Lambda has, so that what reads
//! its lines reads ours. Fields of spans stand beside those of the event; metrics are members of the line.

use std::fmt;

use app::{Clock, Env};
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::measure::FIELD;

/// What every line of a process says of its function.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    clock: Clock,
    same: Map<String, Value>,
}

impl Lines {
    /// Lines of the function of this name.
    pub(crate) fn of(env: &Env, service: &str) -> Self {
        let variable = |name: &str| env.optional(name).map(|value| json!(value));
        let memory = env.optional("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
        let memory = memory.and_then(|memory| memory.parse::<u32>().ok());
        let members = [
            ("service", Some(json!(service))),
            ("function_name", variable("AWS_LAMBDA_FUNCTION_NAME")),
            ("function_version", variable("AWS_LAMBDA_FUNCTION_VERSION")),
            ("function_memory_size", memory.map(|memory| json!(memory))),
        ];
        let members = members.into_iter();
        let same = members.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Self {
            clock: env.clock().clone(),
            same: same.collect(),
        }
    }

    /// The members of a line, but those of its spans.
    fn line(&self, level: &str, mut fields: Map<String, Value>) -> Map<String, Value> {
        let mut line = self.same.clone();
        line.insert("timestamp".to_owned(), json!(self.clock.now().to_string()));
        line.insert("level".to_owned(), json!(level));
        let metrics = fields.remove(FIELD);
        line.append(&mut fields);
        let metrics = metrics.as_ref().and_then(Value::as_str).unwrap_or_default();
        if let Ok(Value::Object(mut metrics)) = serde_json::from_str(metrics) {
            line.append(&mut metrics);
        }
        line
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Map::new();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let known = extensions
                .get::<FormattedFields<N>>()
                .map(|known| known.fields.as_str());
            if let Ok(Value::Object(mut known)) = serde_json::from_str(known.unwrap_or_default()) {
                line.append(&mut known);
            }
        }
        line.append(&mut self.line(event.metadata().level().as_str(), fields.0));
        writeln!(to, "{}", Value::Object(line))
    }
}

/// The fields of an event, by their names.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        // A raw identifier is called as if it were none.
        let name = field.name().trim_start_matches("r#");
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use kernel::Time;
    use lambda_runtime::Context;
    use tracing_subscriber::fmt::format::JsonFields;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::measure::{self, Watch};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn env() -> Env {
        let variables = [
            ("AWS_LAMBDA_FUNCTION_NAME", "Invoices"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("POWERTOOLS_METRICS_NAMESPACE", "prod"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Env::of(
            BTreeMap::from(variables),
            Clock::at(Time::from_millis(1_800_000_000_000)),
        )
    }

    /// What is logged while `log` runs, line by line.
    fn logged(env: &Env, log: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let to = sink.clone();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Lines::of(env, "invoices"))
            .fmt_fields(JsonFields::new())
            .with_writer(move || to.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The keys that Powertools' logger has where a handler's context is injected:
    /// <https://docs.aws.amazon.com/powertools/python/latest/core/logger/#standard-structured-keys>
    const POWERTOOLS: [&str; 12] = [
        "cold_start",
        "correlation_id",
        "function_memory_size",
        "function_name",
        "function_request_id",
        "function_version",
        "level",
        "message",
        "service",
        "timestamp",
        "xray_trace_id",
        "_aws",
    ];

    #[test]
    fn the_line_that_ends_an_invocation_has_the_documented_keys_flat() {
        let (env, mut lambda) = (env(), Context::default());
        lambda.request_id = "5d2b".to_owned();
        lambda.xray_trace_id = Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53;Sampled=1".to_owned());
        let watch = Watch::of(&env, "invoices");
        let lines = logged(&env, || {
            for _ in 0..2 {
                let span = watch.invocation(Some(&lambda), Some("req-1"));
                let _in = span.enter();
                env.measures().count("invoices", &[("status", "sent")]);
                let (emf, rest) = watch.ended();
                tracing::info!(target: measure::TARGET, { http.route = "/v1/invoices", emf }, "answered");
                measure::write_rest(rest);
            }
        });
        assert_eq!(lines.len(), 2);
        let line = lines[0].as_object().unwrap();
        let mut keys: Vec<&str> = line.keys().map(String::as_str).collect();
        keys.sort_unstable();
        let mut expected = [POWERTOOLS.as_slice(), &["http.route", "invoices", "status"]].concat();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        for (name, value) in [
            ("cold_start", json!(true)),
            ("correlation_id", json!("req-1")),
            ("function_memory_size", json!(256)),
            ("function_name", json!("Invoices")),
            ("function_request_id", json!("5d2b")),
            ("function_version", json!("$LATEST")),
            ("level", json!("INFO")),
            ("message", json!("answered")),
            ("service", json!("invoices")),
            ("timestamp", json!("2027-01-15T08:00:00.000Z")),
            ("xray_trace_id", json!("1-5759e988-bd862e3fe1be46a994272793")),
            ("invoices", json!(1.0)),
            ("status", json!("sent")),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Namespace"], "prod");
        assert_eq!(lines[1]["cold_start"], false);
    }

    #[test]
    fn every_line_of_an_invocation_says_which_it_is_and_only_its_end_has_metrics() {
        let env = env();
        let watch = Watch::of(&env, "invoices");
        let lines = logged(&env, || {
            watch.invocation(None, Some("req-2")).in_scope(|| {
                tracing::info_span!("job", job.id = "job_1").in_scope(|| tracing::warn!(took = 3_u64, "a job is dead"));
            });
        });
        let line = lines[0].as_object().unwrap();
        assert_eq!(
            (&line["correlation_id"], &line["job.id"]),
            (&json!("req-2"), &json!("job_1"))
        );
        assert_eq!((&line["level"], &line["took"]), (&json!("WARN"), &json!(3)));
        assert!(!line.contains_key("_aws") && !line.contains_key("xray_trace_id"));
    }
}
