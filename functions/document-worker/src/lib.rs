//! The consumer of files that are to be made: of each invoice once it was sent, so that its mail finds it.
//!
//! A file that is there is not made again, so a job that is done twice does nothing the second time. What cannot be made is
//! mailed without, and is tried again when somebody asks for it.

use anyhow::Result;
use archive::Archive;
use billing::file::InvoiceFile;
use jobs::{Outcome, Running, Work};
use kernel::policy::ReadBilling;
use kernel::{Error, Scope};
use lambda::{App, Consumer, Env, Function, Message, Start, each};

/// The function.
pub const FUNCTION: Function = Function::queue::<DocumentWorker>("document-worker");

/// Makes files.
struct DocumentWorker(Archive);

impl Start for DocumentWorker {
    async fn start(env: &Env, _: App) -> Result<Self> {
        Ok(Self(Archive::of(env)?))
    }
}

impl DocumentWorker {
    async fn make(&self, app: &App, job: &InvoiceFile) -> kernel::Result<()> {
        let scope = Scope::<ReadBilling>::system(job.org);
        let document = self.0.invoice(app, &scope, job.invoice).await?;
        if document.mark.is_some() {
            // Cancelled meanwhile: whoever wants to see it asks for it.
            return Ok(());
        }
        self.0.keep(job.org, &job.invoice.to_string(), &document).await
    }
}

impl Work<InvoiceFile> for DocumentWorker {
    async fn work(&self, app: &App, running: &Running<'_, InvoiceFile>) -> Outcome {
        match self.make(app, &running.job).await {
            Ok(()) => Outcome::Done,
            Err(Error::NotFound(what)) => Outcome::dead(format!("there is no such {what} any more")),
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(job.id = %running.id(), error, "a file was not made");
                Outcome::again("the file could not be made")
            }
        }
    }
}

impl Consumer for DocumentWorker {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(
            messages,
            |message| async move { jobs::work(app, self, &message.body).await },
        )
        .await
    }
}
