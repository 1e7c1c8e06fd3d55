//! The consumer of mails that are to be sent.
//!
//! A message only names a job; the job's record says whether there is anything to do. A worker that dies between sending
//! and noting it leaves a job that is sent again when its lease is over, with the same id, by which the receiver knows it.
//! What an address does not get any more is not sent: its job says why.

mod mail;

use std::time::Duration;

use anyhow::Result;
use inbox::digest::{Digest, Digests};
use inbox::mail::{Fate, Fates};
use jobs::{Job, JobRef, Outcome, Running, Work};
use kernel::Error;
use lambda::{App, Consumer, Env, Function, Message, Start, each};
use notifications::{Mail, MailNotice, Suppression};
use objects::Bucket;

use mail::{Attached, Mailer, Sender};

/// The function.
pub const FUNCTION: Function = Function::queue::<Notifier>("notifier");

/// Names the bucket of files that go with mails.
const BUCKET: &str = "DOCUMENT_BUCKET";
/// A file that is not there yet is looked for again after so long.
const FILE_TAKES: Duration = Duration::from_secs(3);

/// Sends mails, and makes those that were waited for.
struct Notifier {
    mailer: Mailer,
    bucket: Bucket,
    fates: Fates,
    digests: Digests,
}

/// What is known of a file.
enum File {
    /// There is none, or none any more to be waited for.
    None,
    /// It is there.
    There(Attached),
    /// It may be there soon.
    NotYet,
}

impl Start for Notifier {
    async fn start(env: &Env, app: App) -> Result<Self> {
        let mut config = aws_sdk_sesv2::config::Builder::from(&env.aws_config()?);
        config.set_endpoint_url(env.aws_endpoint("SESV2"));
        Ok(Self {
            mailer: Mailer::new(config, Sender::of(env)?),
            bucket: Bucket::of(env, BUCKET)?,
            fates: Fates::of(env)?,
            digests: Digests::of(env, &app)?,
        })
    }
}

impl Work<MailNotice> for Notifier {
    async fn work(&self, app: &App, running: &Running<'_, MailNotice>) -> Outcome {
        let MailNotice { owner, mail, .. } = &running.job;
        match Suppression::of(&app.table, &mail.to).await {
            Ok(known) => {
                if let Some(why) = known.silences(*owner, mail.is_optional()) {
                    return Outcome::Canceled { why: why.to_owned() };
                }
            }
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::warn!(job.id = %running.id(), error, "whether an address gets mail was not read");
                return Outcome::again("whether the address gets mail could not be read");
            }
        }
        let mail = match self.fates.fate(app, running).await {
            Ok(Fate::Sent(mail)) => mail,
            Ok(Fate::Later(after)) => return Outcome::NotNow { after },
            Ok(Fate::Not(why)) => return Outcome::Canceled { why: why.to_owned() },
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::warn!(job.id = %running.id(), error, "nobody knows whether a mail is wanted");
                return Outcome::again("what its recipient wants could not be read");
            }
        };
        let file = match self.file(app, &mail).await {
            Ok(File::None) => None,
            Ok(File::There(file)) => Some(file),
            Ok(File::NotYet) => return Outcome::NotNow { after: FILE_TAKES },
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::warn!(job.id = %running.id(), error, "a mail's file was not read");
                return Outcome::again("the file that goes with it could not be read");
            }
        };
        self.mailer.send(running.id(), *owner, &mail, file).await
    }
}

impl Notifier {
    async fn work_on(&self, app: &App, message: &str) -> kernel::Result<()> {
        match JobRef::parse(message)?.kind.as_str() {
            MailNotice::KIND => jobs::work::<MailNotice>(app, self, message).await,
            Digest::KIND => jobs::work::<Digest>(app, &self.digests, message).await,
            kind => Err(Error::Internal(anyhow::anyhow!("nobody who mails does jobs {kind}"))),
        }
    }

    /// The file that goes with a mail. One that is not there in time is gone without: what the mail says leads to it.
    async fn file(&self, app: &App, mail: &Mail) -> kernel::Result<File> {
        let Some(attachment) = &mail.attachment else {
            return Ok(File::None);
        };
        Ok(match self.bucket.get(&attachment.key).await? {
            Some(bytes) => File::There(Attached {
                name: attachment.file_name.clone(),
                bytes,
            }),
            None if app.now() < attachment.waits_until => File::NotYet,
            None => {
                tracing::error!(file.key = attachment.key, "a mail goes without its file");
                File::None
            }
        })
    }
}

impl Consumer for Notifier {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(
            messages,
            |message| async move { self.work_on(app, &message.body).await },
        )
        .await
    }
}
