//! The consumer of erasures: of people, for now. Nothing that anybody can call leads here.
//!
//! Each step of one may be done again, so a job that is done twice, or anew after a crash, does nothing the second time.

use anyhow::Result;
use billing::platform::enrolment;
use identity::erasure::{self, ErasePerson};
use jobs::{Outcome, Running, Work};
use kernel::Error;
use lambda::{App, Consumer, Env, Function, Message, Start, each};

/// The function.
pub const FUNCTION: Function = Function::queue::<Eraser>("eraser");

/// Erases.
struct Eraser;

impl Start for Eraser {
    async fn start(_: &Env, _: App) -> Result<Self> {
        Ok(Self)
    }
}

impl Work<ErasePerson> for Eraser {
    async fn work(&self, app: &App, running: &Running<'_, ErasePerson>) -> Outcome {
        let forget = |scope| async move { inbox::forget(&app.table, &scope, running.job.user).await };
        match erasure::erase(app, running, enrolment, forget).await {
            Ok(()) => Outcome::Done,
            // Others have left an organization meanwhile, and nobody owns it any more but who is erased.
            Err(Error::Refused { code, .. }) => Outcome::again(code),
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(job.id = %running.id(), error, "a person was not erased");
                Outcome::again("the person could not be erased")
            }
        }
    }
}

impl Consumer for Eraser {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(
            messages,
            |message| async move { jobs::work(app, self, &message.body).await },
        )
        .await
    }
}
