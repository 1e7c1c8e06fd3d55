//! One message to one browser, by its push service (RFC 8030).

use std::time::Duration;

use anyhow::Result;
use inbox::push::{Fate, fate};
use jobs::{Outcome, Running, Work};
use kernel::Time;
use lambda::{App, Env};
use notifications::push::{PushKeys, PushNotice, Subscription, Subscriptions};
use outbound::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderName, HeaderValue};
use outbound::{Client, Request, StatusCode, Url};

/// How long a push service may take in all; well within the job's lease.
const TIMEOUT: Duration = Duration::from_secs(15);
/// It keeps a message so long for a browser that is not there.
const KEPT_SECONDS: u32 = 86_400;
const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
/// Of messages with the same one, a push service keeps the newest for a browser that is not there.
const TOPIC: HeaderName = HeaderName::from_static("topic");
/// A key of ours that this process does not have may be there for the next one: after so long.
const KEY_TAKES: Duration = Duration::from_hours(1);
/// Whoever names push services is told no more, as with webhooks.
const NO_ANSWER: &str = "the push service gave no answer";

/// Sends to browsers.
#[derive(Debug)]
pub(crate) struct Pusher {
    client: Client,
    keys: PushKeys,
    /// Whom push services turn to: a `mailto:` or `https:` URL.
    contact: String,
}

impl Pusher {
    pub(crate) async fn of(env: &Env, client: Client) -> Result<Self> {
        let contact = env.optional("PUSH_CONTACT").filter(|contact| !contact.is_empty());
        let contact = match contact {
            Some(contact) => contact.to_owned(),
            None => format!("mailto:{}", env.variable("MAIL_FROM")?),
        };
        let keys = PushKeys::of(env).await?;
        Ok(Self { client, keys, contact })
    }

    /// The call; nothing if this process does not have the key that the subscription was made for.
    fn request(&self, now: Time, to: &Subscription, notice: &PushNotice) -> kernel::Result<Option<Request>> {
        let Some(signer) = self.keys.signer(to.signed_by())? else {
            return Ok(None);
        };
        let url = Url::parse(&to.endpoint).map_err(anyhow::Error::new)?;
        let authorization = signer.authorization(now, &url.origin().ascii_serialization(), &self.contact)?;
        let mut authorization = HeaderValue::try_from(authorization).map_err(anyhow::Error::new)?;
        authorization.set_sensitive(true);
        let body = to.keys.encrypt(&notice.message.payload())?;
        let request = Request::post(to.endpoint.as_str(), "application/octet-stream", body)
            .header(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"))
            .header(TTL, HeaderValue::from(KEPT_SECONDS))
            .header(URGENCY, HeaderValue::from_static(notice.message.urgency().name()))
            .header(AUTHORIZATION, authorization)
            .timeout(TIMEOUT);
        Ok(Some(request))
    }

    async fn push(&self, app: &App, running: &Running<'_, PushNotice>) -> kernel::Result<Outcome> {
        let notice = &running.job;
        let subscriptions = Subscriptions::of(&app.table, notice.user).await?;
        let Some(subscription) = subscriptions.find(notice.subscription) else {
            let why = "the browser is not subscribed any more".to_owned();
            return Ok(Outcome::Canceled { why });
        };
        let forget = || Subscriptions::forget(app, running.origin(), notice.user, notice.subscription);
        let is_one_of_many = match fate(app, notice, subscription).await? {
            Fate::Sent { is_one_of_many } => is_one_of_many,
            Fate::Not(why) => return Ok(Outcome::Canceled { why: why.to_owned() }),
            Fate::Void(why) => {
                forget().await?;
                return Ok(Outcome::Canceled { why: why.to_owned() });
            }
        };
        let Some(mut request) = self.request(app.now(), subscription, notice)? else {
            // It is ours to mend: the browser stays subscribed.
            tracing::error!(job.id = %running.id(), "a browser subscribed to a key that is not there");
            return Ok(Outcome::Again {
                why: "the key that the browser subscribed to is not there".to_owned(),
                after: Some(KEY_TAKES),
            });
        };
        if is_one_of_many {
            let topic = HeaderValue::try_from(notice.topic()).map_err(anyhow::Error::new)?;
            request = request.header(TOPIC, topic);
        }
        let (status, headers) = match self.client.head(request).await {
            Ok(answer) => answer,
            Err(refused @ outbound::Failure::Refused(_)) => return Ok(Outcome::dead(refused.to_string())),
            Err(failure) => {
                tracing::info!(job.id = %running.id(), error = %failure, "a push service gave no answer");
                return Ok(Outcome::again(NO_ANSWER));
            }
        };
        running.answered(status.as_u16());
        let why = format!("the push service answered {}", status.as_u16());
        Ok(match status {
            status if status.is_success() => Outcome::Done,
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                forget().await?;
                let why = format!("{why}: the subscription is no more, and forgotten");
                Outcome::Canceled { why }
            }
            status if is_busy(status) => Outcome::Again {
                why,
                after: outbound::retry_after(&headers, app.now().millis()),
            },
            // It takes no such message, or none of ours: another time it would not either.
            _ => Outcome::dead(why),
        })
    }
}

/// Whether another time may do.
fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

impl Work<PushNotice> for Pusher {
    async fn work(&self, app: &App, running: &Running<'_, PushNotice>) -> Outcome {
        match self.push(app, running).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::warn!(job.id = %running.id(), error, "a message to a browser could not be sent");
                Outcome::again("it could not be sent")
            }
        }
    }
}
