//! Objects in a bucket of S3: whether one is there, putting one there, and links by which somebody else gets it for a while.
//!
//! Knows nothing of what is in them, nor who may have them: whoever makes a key or a link does.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use app::Env;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use kernel::Result;

/// A bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    name: String,
}

/// A link to an object, as whoever follows it sees that.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// What it is called when it is saved: letters, digits, `-`, `_` and full stops.
    pub file_name: &'a str,
    /// How long it is good.
    pub lasts: Duration,
}

impl Bucket {
    /// The bucket that a variable names.
    pub fn of(env: &Env, variable: &str) -> anyhow::Result<Self> {
        let config = env.aws_config()?;
        let endpoint = env.aws_endpoint("S3");
        let mut s3 = aws_sdk_s3::config::Builder::from(&config);
        // Where it is not AWS's own, names of buckets are no names of hosts.
        s3.set_force_path_style(endpoint.as_ref().map(|_| true));
        s3.set_endpoint_url(endpoint);
        Ok(Self(Arc::new(Inner {
            client: Client::from_conf(s3.build()),
            name: env.variable(variable)?.to_owned(),
        })))
    }

    /// Whether an object is there.
    pub async fn has(&self, key: &str) -> Result<bool> {
        let reply = self.0.client.head_object().bucket(&self.0.name).key(key).send().await;
        let Err(error) = reply else { return Ok(true) };
        // Whoever may not list a bucket is told 403 of what is not in it.
        match status(&error) {
            Some(403 | 404) => Ok(false),
            _ => Err(anyhow!("{}", DisplayErrorContext(&error))
                .context(format!("asking for {key}"))
                .into()),
        }
    }

    /// Reads an object; nothing if it is not there.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let reply = self.0.client.get_object().bucket(&self.0.name).key(key).send().await;
        let object = match reply {
            Ok(object) => object,
            // Whoever may not list a bucket is told 403 of what is not in it.
            Err(error) if matches!(status(&error), Some(403 | 404)) => return Ok(None),
            Err(error) => {
                return Err(anyhow!("{}", DisplayErrorContext(&error))
                    .context(format!("reading {key}"))
                    .into());
            }
        };
        let bytes = object.body.collect().await.with_context(|| format!("reading {key}"))?;
        Ok(Some(bytes.to_vec()))
    }

    /// Puts an object there, over one that is.
    pub async fn put(&self, key: &str, content_type: &str, bytes: Vec<u8>) -> Result<()> {
        let put = self.0.client.put_object().bucket(&self.0.name).key(key);
        let sent = put
            .content_type(content_type)
            .body(ByteStream::from(bytes))
            .send()
            .await;
        let done = sent.map_err(|error| anyhow!("{}", DisplayErrorContext(&error)));
        done.with_context(|| format!("storing {key}"))?;
        Ok(())
    }

    /// Signs a link to an object. Whoever has it gets the object, and needs nothing else.
    pub async fn link(&self, key: &str, link: Link<'_>) -> Result<String> {
        let disposition = format!("inline; filename=\"{}\"", link.file_name);
        let get = self.0.client.get_object().bucket(&self.0.name).key(key);
        let config = PresigningConfig::expires_in(link.lasts).map_err(anyhow::Error::new)?;
        let signed = get.response_content_disposition(disposition).presigned(config).await;
        let signed = signed.map_err(|error| anyhow!("{}", DisplayErrorContext(&error)))?;
        Ok(signed.uri().to_owned())
    }
}

/// What S3 answered, if it did.
fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}
