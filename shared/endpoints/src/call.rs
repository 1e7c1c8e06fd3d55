//! One call of an endpoint, and what came of it.

use std::time::{Duration, Instant};

use kernel::{Result, Time};
use outbound::header::{HeaderMap, HeaderName, HeaderValue};
use outbound::{Client, Failure, Request, StatusCode};
use serde::Serialize;

use crate::endpoint::Known;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const TRACE: HeaderName = HeaderName::from_static("traceparent");

/// What is told.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What it is known by: the same each time that it is told.
    pub id: &'a str,
    /// What is posted.
    pub body: &'a str,
    /// The trace in which that happens.
    pub trace: Option<&'a str>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What the endpoint answered, if it did.
    pub(crate) status: Option<StatusCode>,
    /// Why that is a failure, in one word; nothing if it is none.
    pub(crate) error: Option<&'static str>,
    /// How long it asks us to wait.
    pub(crate) after: Option<Duration>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        self.error.is_none()
    }

    /// Whether the endpoint says that it is no more.
    pub(crate) fn is_gone(&self) -> bool {
        self.status == Some(StatusCode::GONE)
    }

    fn heard(status: StatusCode, headers: &HeaderMap, now: Time) -> Self {
        let error = match status {
            status if status.is_success() => None,
            StatusCode::GONE => Some("gone"),
            status if status.is_redirection() => Some("redirect"),
            _ => Some("status"),
        };
        Self {
            status: Some(status),
            error,
            after: outbound::retry_after(headers, now.millis()),
            took: Duration::ZERO,
        }
    }

    fn unheard(failure: &Failure) -> Self {
        let error = match failure {
            Failure::Refused(_) => "refused",
            Failure::TimedOut(_) => "timeout",
            Failure::Unreachable(_) => "unreachable",
            Failure::Broken(_) | Failure::TooLarge(..) => "broken_off",
        };
        Self {
            status: None,
            error: Some(error),
            after: None,
            took: Duration::ZERO,
        }
    }
}

/// A call by the Standard Webhooks: a message, and its signatures as they stand in the header `webhook-signature`. An error if
/// one of them cannot stand in a header.
pub fn request(url: &str, message: Message<'_>, signatures: String, now: Time, within: Duration) -> Result<Request> {
    let no_header = |_| anyhow::anyhow!("an id or a signature that is no header");
    let mut signature = HeaderValue::try_from(signatures).map_err(no_header)?;
    signature.set_sensitive(true);
    let request = Request::post(url, "application/json", message.body.to_owned())
        .header(ID, HeaderValue::try_from(message.id).map_err(no_header)?)
        .header(TIMESTAMP, HeaderValue::from(now.seconds()))
        .header(SIGNATURE, signature)
        .timeout(within);
    let trace = message.trace.and_then(|trace| HeaderValue::try_from(trace).ok());
    Ok(match trace {
        Some(trace) => request.header(TRACE, trace),
        None => request,
    })
}

/// Calls an endpoint. Any 2xx is success, redirects are not followed, and of what is answered no more is read than the status
/// and the headers.
pub(crate) async fn make(
    client: &Client,
    known: &Known,
    message: Message<'_>,
    now: Time,
    within: Duration,
) -> Result<Answer> {
    let signatures = known.secrets.sign(message.id, now, message.body)?;
    let mut request = request(&known.endpoint.settings.url, message, signatures, now, within)?;
    for (name, value) in known.secrets.headers() {
        // They were looked at when they were set.
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            value.set_sensitive(true);
            request = request.header(name, value);
        }
    }
    let started = Instant::now();
    let answer = match client.head(request).await {
        Ok((status, headers)) => Answer::heard(status, &headers, now),
        Err(failure) => Answer::unheard(&failure),
    };
    Ok(Answer {
        took: started.elapsed(),
        ..answer
    })
}

/// What came of trying an endpoint; never what it answered.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookTrial)]
pub struct Trial {
    /// Whether it answered 2xx.
    pub delivered: bool,
    /// What it answered; null if it did not.
    #[schema(required, example = 204)]
    pub status_code: Option<u16>,
    /// How long that took.
    pub duration_ms: u64,
    /// Why it failed, in one word; null if it did not.
    #[schema(required, example = "timeout")]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, retry_after: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert("retry-after", HeaderValue::from_str(text).unwrap());
        }
        Answer::heard(StatusCode::from_u16(status).unwrap(), &headers, Time::from_millis(0))
    }

    #[test]
    fn any_2xx_is_success_and_nothing_else() {
        for good in [200, 201, 202, 204, 299] {
            assert!(of(good, None).is_success(), "{good}");
        }
        for (bad, word) in [
            (301, "redirect"),
            (304, "redirect"),
            (400, "status"),
            (410, "gone"),
            (429, "status"),
            (500, "status"),
        ] {
            assert_eq!(of(bad, None).error, Some(word), "{bad}");
        }
        assert!(of(410, None).is_gone() && !of(404, None).is_gone());
        assert_eq!(of(503, Some("120")).after, Some(Duration::from_mins(2)));
    }
}
