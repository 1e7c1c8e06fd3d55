//! What is told of subscriptions: what became of one between two states of it.

use commit::Commit;
use kernel::Result;
use outbox::{Shown, facts};

use super::{Status, Subscription, SubscriptionView};

facts! {
    /// A subscription was made.
    SubscriptionCreated(Shown<SubscriptionView>) "subscription.created";
    /// A subscription began.
    SubscriptionActivated(Shown<SubscriptionView>) "subscription.activated";
    /// A subscription rests.
    SubscriptionPaused(Shown<SubscriptionView>) "subscription.paused";
    /// A subscription goes on.
    SubscriptionResumed(Shown<SubscriptionView>) "subscription.resumed";
    /// Its plan was changed, or will be, or when it ends.
    SubscriptionChanged(Shown<SubscriptionView>) "subscription.changed";
    /// A person ended a subscription.
    SubscriptionCanceled(Shown<SubscriptionView>) "subscription.canceled";
    /// A subscription's time is over.
    SubscriptionExpired(Shown<SubscriptionView>) "subscription.expired";
}

/// Something that happened to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Created,
    Activated,
    Paused,
    Resumed,
    Changed,
    Canceled,
    Expired,
}

/// What happened to a subscription that was so and is so now, in the order in which it did.
fn news(before: Option<&Subscription>, after: &Subscription) -> Vec<News> {
    let Some(before) = before else {
        let begun = after.begun.map(|_| News::Activated);
        return [News::Created].into_iter().chain(begun).collect();
    };
    let plan = |one: &Subscription| {
        let scheduled = one.scheduled.as_ref().map(|change| (change.on, change.terms.plan));
        (one.terms.plan, scheduled, one.cancel_on)
    };
    let became = |status| before.status != status && after.status == status;
    let has_begun = before.begun.is_none() && after.begun.is_some();
    let is_over = after.status.is_over();
    let happened = [
        (News::Activated, has_begun),
        (News::Paused, became(Status::Paused)),
        (News::Resumed, became(Status::Active) && !has_begun),
        (News::Changed, plan(before) != plan(after) && !is_over),
        (News::Canceled, became(Status::Canceled)),
        (News::Expired, became(Status::Expired)),
    ];
    happened
        .into_iter()
        .filter_map(|(news, so)| so.then_some(news))
        .collect()
}

/// Adds to a commit what is told of a subscription that was so, if it was, and is so now.
pub(super) fn tell<'a>(
    mut commit: Commit<'a>,
    before: Option<&Subscription>,
    after: &mut Subscription,
) -> Result<Commit<'a>> {
    for news in news(before, after) {
        after.told += 1;
        let told = Shown::of(after.org, &after.id, after.told, SubscriptionView::from(&*after));
        commit = match news {
            News::Created => commit.tell(&SubscriptionCreated(told)),
            News::Activated => commit.tell(&SubscriptionActivated(told)),
            News::Paused => commit.tell(&SubscriptionPaused(told)),
            News::Resumed => commit.tell(&SubscriptionResumed(told)),
            News::Changed => commit.tell(&SubscriptionChanged(told)),
            News::Canceled => commit.tell(&SubscriptionCanceled(told)),
            News::Expired => commit.tell(&SubscriptionExpired(told)),
        }?;
    }
    Ok(commit)
}

#[cfg(test)]
mod tests {
    use kernel::{ClientId, ContractId, OrgId, Time, Zone};

    use super::*;
    use crate::number::Quantity;
    use crate::plan::{NewPlan, Plan, Terms};
    use crate::subscription::{Conditions, NewSubscription, PausedBy, When};
    use crate::tax::Taxation;

    const NOW: Time = Time::from_millis(1_799_000_000_000);

    fn terms(amount: u32) -> Terms {
        let prices = format!(r#"[{{"kind":"flat","amount":{amount}}}]"#);
        let json = format!(r#"{{"name":"a","interval":"monthly","currency":"EUR","prices":{prices}}}"#);
        let new: NewPlan = serde_json::from_str(&json).unwrap();
        Plan::new(NOW, OrgId::from_bits(1), &new).unwrap().terms
    }

    fn sold(is_active: bool) -> Subscription {
        let new = NewSubscription {
            org: OrgId::from_bits(1),
            contract: ContractId::from_bits(1),
            client: ClientId::from_bits(1),
            terms: terms(3_000),
            quantity: Quantity::whole(1),
            zone: Zone::utc(),
            start_at: None,
            may_try: false,
            discount: None,
            contract_ends_at: None,
        };
        Subscription::new(NOW, new, is_active)
    }

    /// What is told of a deed.
    fn check(before: &Subscription, deed: impl Fn(&mut Subscription), expected: &[News]) -> Subscription {
        let mut after = before.clone();
        deed(&mut after);
        assert_eq!(news(Some(before), &after), expected);
        after
    }

    #[test]
    fn what_is_told_is_what_has_become_of_it() {
        let (waiting, active) = (sold(false), sold(true));
        assert_eq!(news(None, &waiting), [News::Created]);
        assert_eq!(news(None, &active), [News::Created, News::Activated]);
        check(&active, |_| {}, &[]);
        check(&waiting, |one| one.resume(NOW, true).unwrap(), &[News::Activated]);
        let paused = check(
            &active,
            |one| one.pause(NOW, PausedBy::Person).unwrap(),
            &[News::Paused],
        );
        check(&paused, |one| one.resume(NOW, true).unwrap(), &[News::Resumed]);
        let change = |when| {
            move |one: &mut Subscription| {
                let changed = one.change_plan(NOW, &terms(5_000), when, &Conditions::default());
                changed.map(|_| ()).unwrap();
            }
        };
        check(&active, change(When::Now), &[News::Changed]);
        check(&active, change(When::PeriodEnd), &[News::Changed]);
        let cancel = |when| {
            move |one: &mut Subscription| {
                let cancelled = one.cancel(NOW, when, Taxation::default());
                cancelled.map(|_| ()).unwrap();
            }
        };
        let waits = check(&active, cancel(When::PeriodEnd), &[News::Changed]);
        check(&waits, |one| one.uncancel(NOW).unwrap(), &[News::Changed]);
        check(&waits, cancel(When::Now), &[News::Canceled]);
        check(&paused, |one| one.status = Status::Expired, &[News::Expired]);
    }
}
