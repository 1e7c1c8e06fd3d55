//! What the clock does to invoices: they fall overdue, their clients are reminded, their contracts rest and go on. It may be told twice, late and by
//! several at once.

use app::App;
use commit::{Commit, again};
use kernel::{Error, InvoiceId, OrgId, Origin, Result, Time};
use table::Write;

use super::{Chasing, Invoice, dunning};
use crate::books::Books;
use crate::due::{self, Subject};
use crate::mails::{self, Post};

impl Invoice {
    /// Does what is due to an invoice: it falls overdue, its client is reminded by a mail that is a job of the same transaction,
    /// its contract is suspended or goes on. When it is due next, as its mark says; nothing if it is not, or is not there.
    pub async fn do_due(app: &App, post: &Post, org: OrgId, id: InvoiceId) -> Result<Option<Time>> {
        again(|| async {
            let before = match Self::find(&app.table, org, id).await {
                Ok(invoice) => invoice,
                // A draft that was deleted.
                Err(Error::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let mut books = match Books::open(app, org, before.client).await {
                Ok(books) => books,
                // The organization was deleted: nothing of it is due any more.
                Err(Error::NotFound(_)) => {
                    let mut gone = before;
                    let marks = due::moved(org, Subject::Invoice(id), gone.marked_at.take(), None)?;
                    let commit = Commit::of(app, &Origin::default());
                    commit
                        .write("invoice", Write::replace(&gone)?)
                        .write_all("due mark", marks)
                        .await?;
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            let (now, chasing) = (app.now(), Chasing::from(books.settings()));
            let mut invoice = before.clone();
            invoice.fall_due(now);
            let reminds = invoice.remind(now, &chasing.reminder_days);
            let contract = match invoice.step(now, &chasing) {
                Some(step) => invoice.take_step(app, step).await?,
                None => None,
            };
            let next = invoice.due_at(&chasing);
            if invoice == before && next == before.marked_at {
                return Ok(next);
            }
            let mut commit = Commit::of(app, &Origin::default());
            if reminds {
                invoice.ensure_link();
                commit = commit.due(mails::reminder(now, post, &books, &invoice)?.later())?;
            }
            let turned = contract.as_ref().and_then(dunning::Done::rests);
            if let Some(rests) = turned {
                invoice.ensure_link();
                for job in mails::of_dunning(app, post, &books, &invoice, rests).await? {
                    commit = commit.due(job.later())?;
                }
            }
            let conditions = books.client().conditions(books.settings());
            books.book(Some(before), invoice);
            commit = books.close(commit)?;
            if let Some(contract) = contract {
                commit = contract.book(org, now, &conditions, commit)?;
            }
            commit.await?;
            Ok(next)
        })
        .await
    }
}
