//! How long a server wants to be left alone.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// What a reply's `Retry-After` says: seconds, or a date (RFC 9110, 10.2.3), which is looked at from `now`, in
/// milliseconds since the epoch; nothing if it says neither.
pub fn retry_after(headers: &HeaderMap, now: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
    let left = until.saturating_sub(now);
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    /// Sunday, 6 November 1994, 08:49:37, as RFC 9110 writes it.
    const NOW: i64 = 784_111_777_000;

    fn check(text: &str, seconds: Option<u64>) {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::try_from(text).unwrap())]);
        assert_eq!(retry_after(&headers, NOW), seconds.map(Duration::from_secs), "{text}");
    }

    #[test]
    fn patience_is_asked_for_in_seconds_or_by_a_date() {
        check("120", Some(120));
        check("Sun, 06 Nov 1994 08:51:37 GMT", Some(120));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
        assert_eq!(retry_after(&HeaderMap::new(), NOW), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~]{0,40}|[0-9]{0,30}") {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::try_from(text).unwrap())]);
            let _ = retry_after(&headers, NOW);
        }
    }
}
