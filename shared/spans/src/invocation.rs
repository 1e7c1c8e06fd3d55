//! What Lambda says of the trace of an invocation: `Root=1-<8>-<24>;Parent=<16>;Sampled=1`, in X-Ray's form.

use std::sync::{Mutex, PoisonError};

use crate::Context;

/// The invocation that runs; a process has one at a time.
static RUNNING: Mutex<Invocation> = Mutex::new(Invocation {
    sampled: false,
    segment: None,
});

/// What is known of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// Whether its spans are recorded: Lambda decides that, never a caller.
    pub(crate) sampled: bool,
    /// Lambda's own span around it.
    pub(crate) segment: Option<Context>,
}

/// Begins an invocation, as Lambda's trace id describes it.
pub fn begin(trace_id: Option<&str>) {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = read(trace_id.unwrap_or_default());
}

pub(crate) fn running() -> Invocation {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(trace_id: &str) -> Invocation {
    let part = |name: &str| {
        let mut parts = trace_id.split(';').filter_map(|part| part.split_once('='));
        parts.find(|(found, _)| *found == name).map(|(_, value)| value)
    };
    let root = part("Root")
        .and_then(|root| root.strip_prefix("1-"))
        .map(|root| root.replacen('-', "", 1));
    let segment = root
        .zip(part("Parent"))
        .map(|(root, parent)| format!("00-{root}-{parent}-00"));
    Invocation {
        sampled: part("Sampled") == Some("1"),
        segment: segment.and_then(|text| text.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_trace_id_says_whether_and_where() {
        let read = |text: &str| {
            let Invocation { sampled, segment } = read(text);
            (sampled, segment.map(|segment| segment.to_string()))
        };
        let segment = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01".to_owned();
        let root = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8";
        assert_eq!(read(&format!("{root};Sampled=1")), (true, Some(segment.clone())));
        assert_eq!(read(&format!("{root};Sampled=0;Lineage=a:1")), (false, Some(segment)));
        assert_eq!(read("Sampled=1"), (true, None));
        assert_eq!(read("Root=1-5759e988-nonsense;Parent=1;Sampled=?"), (false, None));
        assert_eq!(read(""), (false, None));
    }
}
