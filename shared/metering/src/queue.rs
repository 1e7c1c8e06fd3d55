//! The usage queue: receipts of calls that left nothing durable in which they could ride, and leases that are to be given
//! up. Messages may come twice, late and in any order.

use app::{App, Outgoing, Queue};
use kernel::{LeaseId, OrgId, Result};
use serde::{Deserialize, Serialize};

use crate::meter::{Charge, Meter};
use crate::receipt::Receipt;
use crate::{recovery, report};

pub(crate) const USAGE: Queue = Queue("USAGE_QUEUE_URL");

/// What the settler is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Message {
    /// Something was sold.
    Sold(Receipt),
    /// A lease's owner is heard of no more.
    GiveUp {
        /// Whose wallet it is of.
        org: OrgId,
        /// Which.
        lease: LeaseId,
    },
}

impl Message {
    /// As it is sent. One organization's do not hold up another's.
    pub(crate) fn outgoing(&self) -> Outgoing {
        let org = match self {
            Self::Sold(receipt) => receipt.org,
            Self::GiveUp { org, .. } => *org,
        };
        Outgoing {
            group: Some(org.to_string()),
            ..Outgoing::now(serde_json::json!(self).to_string())
        }
    }
}

/// Does what a message says.
pub async fn settle(app: &App, message: &str) -> Result<()> {
    match serde_json::from_str(message) {
        Ok(Message::Sold(receipt)) => report(app, [receipt]).await,
        Ok(Message::GiveUp { org, lease }) => recovery::give_up(app, org, lease).await,
        Err(_) => Err(anyhow::anyhow!("a message that is none of ours").into()),
    }
}

impl Meter {
    /// Pays for one operation that was done and left nothing durable, by a message that is in the queue once this returns.
    pub async fn send(&self, mut charge: Charge) -> Result<()> {
        let Some(receipt) = charge.sell(1) else {
            return Ok(());
        };
        match self.app().queues.send(USAGE, Message::Sold(receipt).outgoing()).await {
            Ok(()) => {
                charge.done();
                Ok(())
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{:#}", anyhow::anyhow!(error)),
                    "what a call cost could not be reported"
                );
                Err(kernel::Error::Busy)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_message_makes_it_panic(text in ".{0,200}") {
            let _ = serde_json::from_str::<Message>(&text);
        }
    }
}
