//! Which span something happens in: ids, as W3C Trace Context writes them.

use std::fmt;
use std::str::FromStr;

use tracing::{Dispatch, Span};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

use crate::recorder::Open;

/// A span, by its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace that it belongs to.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
}

/// As a `traceparent` that says that it is sampled.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", hex::encode(self.trace), hex::encode(self.span))
    }
}

/// Reads a `traceparent` of version 00; whatever else it is gives nothing, as the standard wants.
impl FromStr for Context {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = parts.as_slice() else {
            return Err(());
        };
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if *version != "00" || flags.len() != 2 || ![trace, span, flags].into_iter().all(|part| is_hex(part)) {
            return Err(());
        }
        let mut context = Self {
            trace: [0; 16],
            span: [0; 8],
        };
        hex::decode_to_slice(trace, &mut context.trace).map_err(drop)?;
        hex::decode_to_slice(span, &mut context.span).map_err(drop)?;
        let is_none = context.trace == [0; 16] || context.span == [0; 8];
        if is_none { Err(()) } else { Ok(context) }
    }
}

/// The `traceparent` of the recorded span that surrounds what runs now; nothing outside of one.
pub fn current() -> Option<String> {
    of(&Span::current())
}

/// The `traceparent` of a span, or of the recorded one that surrounds it.
pub fn of(span: &Span) -> Option<String> {
    span.with_subscriber(|(id, dispatch)| recorded(id, dispatch))?
        .map(|context| context.to_string())
}

fn recorded(id: &tracing::Id, dispatch: &Dispatch) -> Option<Context> {
    let registry = dispatch.downcast_ref::<Registry>()?;
    let span = registry.span(id)?;
    span.scope()
        .find_map(|span| Some(span.extensions().get::<Open>()?.context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_traceparent_is_none() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(good.parse::<Context>().unwrap().to_string(), good);
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert!(bad.parse::<Context>().is_err(), "{bad}");
        }
    }
}
