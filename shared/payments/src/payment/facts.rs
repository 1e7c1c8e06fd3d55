//! What is told of payments: each with the payment as its GET shows it.

use kernel::Minor;
use outbox::Shown;

use super::{Online, Payment, PaymentStatus, PaymentView};

outbox::facts! {
    /// The money came, and counts.
    pub PaymentSucceeded(Shown<PaymentView>) "payment.succeeded";
    /// Somebody tried to pay in vain, or its provider would not take it. A page that gave way or ran out is none.
    pub PaymentFailed(Shown<PaymentView>) "payment.failed";
    /// Money went back, or did not after all.
    pub PaymentRefunded(Shown<PaymentView>) "payment.refunded";
    /// Its payer contests it, or that was decided.
    pub PaymentDisputed(Shown<PaymentView>) "payment.disputed";
    /// The money came and fits nothing.
    pub PaymentUnapplied(Shown<PaymentView>) "payment.unapplied";
}

/// Something that happened to a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Succeeded,
    Failed,
    Refunded,
    Disputed,
    Unapplied,
}

/// What happened to a payment by a provider that was so and is so now.
pub(crate) fn news(before: Option<&Payment>, after: &Payment) -> Vec<News> {
    let (was, is) = (before.and_then(|before| before.online.as_ref()), after.online.as_ref());
    let came = after.paid_at.is_some() && before.is_none_or(|before| before.paid_at.is_none());
    let applied = is.is_some_and(|online| online.applied > Minor::ZERO);
    let failed = |payment: &Payment| payment.status() == PaymentStatus::Failed;
    let lapsed = is.is_some_and(|online| online.lapsed);
    let refunded = |online: Option<&Online>| online.map(Online::refunded).unwrap_or_default();
    let happened = [
        (News::Succeeded, came && applied),
        (News::Unapplied, came && !applied),
        (News::Failed, failed(after) && !lapsed && !before.is_some_and(failed)),
        (News::Refunded, refunded(is) != refunded(was)),
        (
            News::Disputed,
            is.is_some_and(|online| online.disputes != was.map(|was| was.disputes.as_slice()).unwrap_or_default()),
        ),
    ];
    happened
        .into_iter()
        .filter_map(|(news, so)| so.then_some(news))
        .collect()
}
