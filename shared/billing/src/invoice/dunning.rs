//! What becomes of a subscription's contract when an invoice of it is not paid: it rests, and goes on when nothing is due any more
//! of what it rests for. Each invoice does so once.

use app::App;
use commit::Commit;
use identity::org::BillingSettings;
use kernel::policy::ManageBilling;
use kernel::{ContractId, OrgId, Result, Scope, Time};
use serde::{Deserialize, Serialize};
use serde_json::json;
use trail::{Chain, Change};

use super::{Invoice, Source};
use crate::contract::{self, Agreement, ContractView};
use crate::subscription::{Conditions, Subscription};

/// When an organization chases what is overdue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chasing {
    /// So many days after the due one reminders go out, ascending.
    pub(crate) reminder_days: Vec<u16>,
    /// So many days after it the contract is suspended.
    pub(crate) suspend_after_days: Option<u16>,
}

impl From<&BillingSettings> for Chasing {
    fn from(settings: &BillingSettings) -> Self {
        Self {
            reminder_days: settings.reminder_days.clone(),
            suspend_after_days: settings.suspend_after_days,
        }
    }
}

/// How far an invoice was chased beyond reminders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Chased {
    /// It was not.
    #[default]
    No,
    /// This contract rests because of it.
    Suspended(ContractId),
    /// Its contract went on, or did not rest because of it; that is not done again.
    Over,
}

/// What is to be done to the contract of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Suspend,
    Release(ContractId),
}

/// What a step makes of a contract.
pub(super) struct Done {
    before: Agreement,
    after: Agreement,
}

impl Invoice {
    /// When its contract is suspended, or may go on.
    pub(super) fn chased_at(&self, chasing: &Chasing) -> Option<Time> {
        match (self.chased, &self.source) {
            (Chased::No, Source::Subscription { .. }) => {
                let after = chasing.suspend_after_days.filter(|_| self.status.is_open())?;
                // Who was sent it late, for a period that was caught up, has as long to pay it.
                let sent = self.sent_at.map_or(self.due_date, |at| self.zone.day_of(at));
                Some(self.zone.start_of(sent.max(self.due_date).plus_days(after.into())))
            }
            // At once: what there was to wait for has happened.
            (Chased::Suspended(_), _) if !self.status.is_open() => {
                Some(self.paid_at.or(self.cancelled_at).unwrap_or(self.created_at))
            }
            _ => None,
        }
    }

    /// What is due of that.
    pub(super) fn step(&self, now: Time, chasing: &Chasing) -> Option<Step> {
        self.chased_at(chasing).filter(|at| *at <= now)?;
        Some(match self.chased {
            Chased::Suspended(contract) => Step::Release(contract),
            Chased::No | Chased::Over => Step::Suspend,
        })
    }

    /// Does a step to its contract, and takes note of it.
    pub(super) async fn take_step(&mut self, app: &App, step: Step) -> Result<Option<Done>> {
        let (table, scope) = (&app.table, Scope::<ManageBilling>::system(self.org));
        let (id, now) = (self.id, app.now());
        let contract = match (step, &self.source) {
            (Step::Release(contract), _) => contract,
            (Step::Suspend, Source::Subscription { subscription, .. }) => {
                Subscription::load(table, &scope, *subscription).await?.contract
            }
            (Step::Suspend, _) => return Ok(None),
        };
        let before = Agreement::load(table, &scope, contract).await?;
        let mut after = before.clone();
        self.chased = match step {
            Step::Suspend if after.suspend_unpaid(now, id)? => Chased::Suspended(contract),
            Step::Suspend => Chased::Over,
            Step::Release(_) => {
                after.release(now, id)?;
                Chased::Over
            }
        };
        Ok(Some(Done { before, after }))
    }
}

impl Done {
    /// Whether the contract rests now, or goes on; nothing if it does as it did.
    pub(super) fn rests(&self) -> Option<bool> {
        let is = self.after.contract.status;
        (self.before.contract.status != is).then_some(is == contract::Status::Suspended)
    }

    /// Adds what stores, tells and notes it.
    pub(super) fn book<'a>(
        self,
        org: OrgId,
        now: Time,
        conditions: &Conditions,
        mut commit: Commit<'a>,
    ) -> Result<Commit<'a>> {
        let Self { before, after } = self;
        let (was, is) = (before.contract.status, after.contract.status);
        if was != is {
            let action = match is {
                contract::Status::Suspended => "contract.suspended",
                _ => "contract.resumed",
            };
            let scope = Scope::<ManageBilling>::system(org);
            let change = Change::by(scope.actor(), action, contract::NAME, after.contract.id);
            let change = change
                .from(json!(ContractView::from(&before.contract)))
                .to(json!(ContractView::from(&after.contract)));
            commit = commit.note(Chain::Org(org), change);
        }
        after.book(&before, now, conditions, commit)
    }
}
