//! What the clock does to recurring invoices: on each of their days they make an invoice. It may be told twice, late and by
//! several at once.

use app::App;
use commit::{Commit, NotDone, again_patiently};
use kernel::{Error, OrgId, Origin, RecurringInvoiceId, Result, Time};
use table::Write;

use super::Recurring;
use crate::books::Books;
use crate::due::{self, Subject};
use crate::numbering::turn;

/// So many occurrences are made at once; what is left is due still.
const AT_ONCE: usize = 25;

impl Recurring {
    /// Makes the invoices of the days that have come, each in a transaction of its own, and at most 25 of them: the rest is
    /// due still. It may be told twice, late and by several at once. When it is due next, as its mark says; nothing if
    /// it is not, or is not there.
    pub async fn do_due(app: &App, org: OrgId, id: RecurringInvoiceId) -> Result<Option<Time>> {
        let _turn = turn(app, org).await;
        let mut next = None;
        for _ in 0..AT_ONCE {
            next = again_patiently(|| Self::do_next(app, org, id)).await?;
            if next.is_none_or(|at| at > app.now()) {
                break;
            }
        }
        Ok(next)
    }

    /// Makes the invoice of the next day, if that has come.
    async fn do_next(app: &App, org: OrgId, id: RecurringInvoiceId) -> Result<Option<Time>, NotDone> {
        let mut recurring = match Self::find(&app.table, org, id).await {
            Ok(recurring) => recurring,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut books = match Books::open(app, org, recurring.client).await {
            Ok(books) => books,
            // The organization was deleted: nothing of it is due any more.
            Err(Error::NotFound(_)) => {
                let marks = due::moved(org, Subject::Recurring(id), recurring.marked_at.take(), None)?;
                let commit = Commit::of(app, &Origin::default());
                commit
                    .write("recurring invoice", Write::replace(&recurring)?)
                    .write_all("due mark", marks)
                    .await?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(deleted_at) = books.client().deleted_at {
            // What was due before is made.
            recurring.cancel(deleted_at).ok();
        }
        let (exempt, rates, _) = books.terms();
        match recurring.recur(app.now(), exempt, rates) {
            Some((source, content)) if recurring.auto_send => drop(books.issue(source, content).await?),
            Some((source, content)) => {
                let draft = books.draft(source, content)?;
                books.book(None, draft);
            }
            None if recurring.next_at() == recurring.marked_at => return Ok(recurring.marked_at),
            None => {}
        }
        let marks = recurring.mark()?;
        let commit = Commit::of(app, &Origin::default())
            .write("recurring invoice", Write::replace(&recurring)?)
            .write_all("due mark", marks);
        books.close(commit)?.await?;
        Ok(recurring.marked_at)
    }
}
