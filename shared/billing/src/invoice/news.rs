//! What became of an invoice between two states of it: what is told of a change. Pure.

use super::{Invoice, Status};

/// Something that happened to an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It was drafted.
    Created,
    /// It was sent.
    Sent,
    /// Its client looked at it for the first time.
    Viewed,
    /// A part was paid.
    PartiallyPaid,
    /// Nothing is due any more.
    Paid,
    /// It fell overdue for the first time.
    Overdue,
    /// It was cancelled.
    Cancelled,
}

/// What happened to an invoice that was so and is so now, in the order in which it did.
pub(crate) fn news(before: Option<&Invoice>, after: &Invoice) -> Vec<News> {
    let was = |seen: fn(&Invoice) -> bool| before.is_some_and(seen);
    let paid_before = before.map(|before| before.paid.sum()).unwrap_or_default();
    let became = |status| after.status == status && before.is_none_or(|before| before.status != status);
    let happened = [
        (News::Created, before.is_none()),
        (
            News::Sent,
            after.sent_at.is_some() && !was(|before| before.sent_at.is_some()),
        ),
        (
            News::Viewed,
            after.viewed_at.is_some() && !was(|before| before.viewed_at.is_some()),
        ),
        (
            News::PartiallyPaid,
            after.status.is_open() && after.paid.sum() > paid_before,
        ),
        (News::Paid, became(Status::Paid)),
        (
            News::Overdue,
            after.overdue_at.is_some() && !was(|before| before.overdue_at.is_some()),
        ),
        (News::Cancelled, became(Status::Cancelled)),
    ];
    happened
        .into_iter()
        .filter_map(|(news, so)| so.then_some(news))
        .collect()
}

#[cfg(test)]
mod tests {
    use kernel::{Minor, Zone};

    use super::*;
    use crate::Line;
    use crate::invoice::PaidBy;
    use crate::invoice::tests::{NOW, draft_of, sent};
    use crate::numbering::{DocumentNumber, Series};

    fn send(invoice: &mut Invoice, balance: i64) {
        let number = DocumentNumber::new(Series::Invoices, 2027, 1);
        invoice.send(NOW, &Zone::utc(), number, Minor::new(balance)).unwrap();
    }

    /// What is told of a change of an invoice over 100.
    fn check(invoice: &Invoice, change: impl FnOnce(&mut Invoice), expected: &[News]) {
        let mut after = invoice.clone();
        change(&mut after);
        assert_eq!(news(Some(invoice), &after), expected);
    }

    #[test]
    fn each_state_is_told_once() {
        let draft = draft_of(vec![Line::of_amount(100, "0")]);
        assert_eq!(news(None, &draft), [News::Created]);
        check(&draft, |_| {}, &[]);
        check(&draft, |invoice| send(invoice, 0), &[News::Sent]);
        check(&draft, |invoice| send(invoice, 40), &[News::Sent, News::PartiallyPaid]);
        check(&draft, |invoice| send(invoice, 100), &[News::Sent, News::Paid]);
        let sent = sent(vec![Line::of_amount(100, "0")]);
        check(&sent, |invoice| invoice.view(NOW).unwrap(), &[News::Viewed]);
        let pay = |amount| {
            move |invoice: &mut Invoice| {
                invoice.pay(NOW, Minor::new(amount), PaidBy::Hand).unwrap();
            }
        };
        let cancel = |invoice: &mut Invoice| {
            invoice.cancel(NOW).unwrap();
        };
        check(&sent, pay(1), &[News::PartiallyPaid]);
        check(&sent, pay(100), &[News::Paid]);
        check(&sent, cancel, &[News::Cancelled]);
        let late = sent.overdue_from();
        check(
            &sent,
            |invoice| assert!(invoice.fall_due(late).is_some()),
            &[News::Overdue],
        );
        let mut overdue = sent.clone();
        overdue.fall_due(late);
        check(&overdue, pay(1), &[News::PartiallyPaid]);
        overdue.pay(NOW, Minor::new(1), PaidBy::Hand).unwrap();
        // It is overdue again, but that is no news.
        check(&overdue, |invoice| assert_eq!(invoice.fall_due(late), Some(false)), &[]);
    }
}
