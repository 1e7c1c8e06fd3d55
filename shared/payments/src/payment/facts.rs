//! What is told of payments: each with the payment as its GET shows it.

use outbox::Shown;

use super::{Payment, PaymentStatus, PaymentView};

outbox::facts! {
    /// The money came, and counts.
    pub PaymentSucceeded(Shown<PaymentView>) "payment.succeeded";
    /// Nobody paid.
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
    let status = |payment: &Payment| payment.status();
    let was_received = before.is_some_and(|before| before.paid_at.is_some());
    let came = after.paid_at.is_some() && !was_received;
    let applied = after
        .online
        .as_ref()
        .is_some_and(|online| online.applied > kernel::Minor::ZERO);
    let refunded = |payment: &Payment| payment.online.as_ref().map(super::Online::refunded).unwrap_or_default();
    let disputes = |payment: &Payment| {
        payment
            .online
            .as_ref()
            .map(|online| online.disputes.clone())
            .unwrap_or_default()
    };
    let failed = status(after) == PaymentStatus::Failed && before.is_none_or(|b| status(b) != PaymentStatus::Failed);
    let happened = [
        (News::Succeeded, came && applied),
        (News::Unapplied, came && !applied),
        (News::Failed, failed),
        (
            News::Refunded,
            refunded(after) != before.map(refunded).unwrap_or_default(),
        ),
        (
            News::Disputed,
            disputes(after) != before.map(disputes).unwrap_or_default(),
        ),
    ];
    happened
        .into_iter()
        .filter_map(|(news, so)| so.then_some(news))
        .collect()
}
