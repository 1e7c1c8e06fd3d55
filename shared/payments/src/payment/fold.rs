//! Folding what a provider says into a payment. Whatever is said in whatever order, and however often, the end is the
//! same: money that came does not leave but by a refund or a lost dispute, and a failure is not final.

use kernel::{Money, RefundId, Time};
use providers::{Charge, ChargeState, Dispute, DisputeState, RefundState, Seen, SeenRefund, SessionState};

use super::online::{Online, Refund, Stage, say};

impl Online {
    /// Takes over what the provider says of its session. What comes back are charges that succeeded besides this
    /// payment's own: the session was paid more than once.
    pub fn fold(&mut self, now: Time, seen: &Seen) -> Vec<Charge> {
        let Some(mine) = self.own(seen) else {
            self.idle(now, seen);
            return Vec::new();
        };
        let mine = mine.clone();
        match mine.state {
            ChargeState::Succeeded => self.receive(now, &mine),
            // What was said before the money came says nothing after it.
            _ if self.stage == Stage::Received => {}
            ChargeState::Processing => self.process(now),
            ChargeState::Failed => self.fail_attempt(now, seen, &mine),
        }
        for refund in &mine.refunds {
            self.fold_refund(now, refund);
        }
        for dispute in &mine.disputes {
            self.fold_dispute(now, dispute);
        }
        let others = seen
            .charges
            .iter()
            .filter(|charge| charge.state == ChargeState::Succeeded && charge.id != mine.id);
        others.cloned().collect()
    }

    /// The charge that is this payment's: the one that it was before, else one that succeeded, else the latest.
    fn own<'a>(&self, seen: &'a Seen) -> Option<&'a Charge> {
        let charges = &seen.charges;
        if let Some(id) = &self.charge {
            return charges.iter().find(|charge| charge.id == *id);
        }
        let in_state = |state| charges.iter().rev().find(|charge| charge.state == state);
        let succeeded = charges.iter().find(|charge| charge.state == ChargeState::Succeeded);
        succeeded
            .or_else(|| in_state(ChargeState::Processing))
            .or_else(|| in_state(ChargeState::Failed))
    }

    /// Nobody has tried to pay.
    fn idle(&mut self, now: Time, seen: &Seen) {
        match (self.stage, seen.state) {
            (Stage::Received, _) | (_, SessionState::Open) => {}
            (_, SessionState::Used) => self.process(now),
            // Attempts that failed are not listed by all.
            (_, SessionState::Ended) if self.tried => self.fail(now, "nobody paid in time; the session has ended"),
            (_, SessionState::Ended) => self.lapse(now, "nobody paid in time; the session has ended"),
        }
    }

    fn receive(&mut self, now: Time, charge: &Charge) {
        if self.stage == Stage::Received {
            return;
        }
        self.stage = Stage::Received;
        self.charge = Some(charge.id.clone());
        self.received = Some(charge.money);
        let provider = self.provider.title();
        self.note(now, format!("{provider} received {}", say(charge.money)));
    }

    fn process(&mut self, now: Time) {
        if self.stage == Stage::Processing {
            return;
        }
        self.stage = Stage::Processing;
        self.lapsed = false;
        let provider = self.provider.title();
        self.note(now, format!("the client has paid; {provider} waits for the money"));
    }

    /// An attempt failed: that is the end only if nobody can try again.
    fn fail_attempt(&mut self, now: Time, seen: &Seen, charge: &Charge) {
        let why = charge.why.as_deref().unwrap_or("the provider gives no reason");
        self.tried = true;
        self.note_once(now, format!("an attempt to pay failed ({}): {why}", charge.id));
        if seen.state == SessionState::Open {
            // It may have been on its way.
            if self.stage == Stage::Processing {
                self.stage = Stage::Open;
            }
        } else {
            self.fail(now, "the money did not come");
        }
    }

    /// Ends it unpaid, though nobody tried to pay in vain: nothing is told of that.
    pub(crate) fn lapse(&mut self, now: Time, why: &str) {
        if !matches!(self.stage, Stage::Failed | Stage::Received) {
            self.lapsed = true;
            self.fail(now, why);
        }
    }

    /// Ends it unpaid.
    pub(crate) fn fail(&mut self, now: Time, why: &str) {
        if !matches!(self.stage, Stage::Failed | Stage::Received) {
            self.stage = Stage::Failed;
            self.note(now, why);
        }
    }

    /// Takes over what the provider says of a refund, ours or one that was made there.
    pub(crate) fn fold_refund(&mut self, now: Time, seen: &SeenRefund) {
        let known = self
            .refunds
            .iter_mut()
            .find(|refund| seen.ours == Some(refund.id) || refund.provider_id.as_deref() == Some(seen.id.as_str()));
        let (before, amount) = if let Some(refund) = known {
            let before = refund.state;
            refund.state = seen.state;
            refund.provider_id = Some(seen.id.clone());
            refund.failure.clone_from(&seen.why);
            (Some(before), Money::new(refund.amount, seen.money.currency))
        } else {
            self.refunds.push(Refund {
                id: RefundId::new(now),
                amount: seen.money.minor,
                state: seen.state,
                reason: Some(format!("made at {}", self.provider.title())),
                failure: seen.why.clone(),
                provider_id: Some(seen.id.clone()),
                created_at: now,
            });
            (None, seen.money)
        };
        if before != Some(seen.state) {
            let amount = say(amount);
            let why = seen.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            let text = match seen.state {
                RefundState::Pending => format!("a refund of {amount} is on its way"),
                RefundState::Succeeded => format!("{amount} went back"),
                RefundState::Failed => format!("a refund of {amount} failed{why}"),
                RefundState::Cancelled => format!("a refund of {amount} was called off{why}"),
            };
            self.note(now, text);
        }
    }

    /// Takes over what the provider says of a dispute. What was decided is not open again.
    fn fold_dispute(&mut self, now: Time, seen: &Dispute) {
        let known = self.disputes.iter_mut().find(|dispute| dispute.id == seen.id);
        let changed = match known {
            Some(dispute) if dispute == seen => false,
            Some(dispute) if dispute.state != DisputeState::Open && seen.state == DisputeState::Open => false,
            Some(dispute) => {
                let changed = dispute.state != seen.state;
                *dispute = seen.clone();
                changed
            }
            None => {
                self.disputes.push(seen.clone());
                true
            }
        };
        if changed {
            let amount = say(seen.money);
            let text = match seen.state {
                DisputeState::Open => format!("the payer contests {amount}"),
                DisputeState::Won => format!("the dispute over {amount} was won"),
                DisputeState::Lost => format!("the dispute over {amount} was lost"),
                DisputeState::Closed => format!("the dispute over {amount} came to nothing"),
            };
            self.note(now, text);
        }
    }
}

#[cfg(test)]
mod tests;
