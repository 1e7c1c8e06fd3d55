//! What is done to each kind of thing that is due.

use app::App;
use commit::{Commit, NotDone, again_patiently};
use kernel::policy::ManageBilling;
use kernel::{Error, OrgId, Origin, Result, Scope, SubscriptionId, Time};
use table::Write;

use crate::books::Books;
use crate::contract::{self, Contract};
use crate::due::{Mark, Subject};
use crate::invoice::Invoice;
use crate::mails::Post;
use crate::measure;
use crate::numbering::turn;
use crate::platform;
use crate::recurring::Recurring;
use crate::subscription::{self, Subscription};

/// So many periods of a subscription are caught up at once; the next run goes on.
const MOST_PERIODS: usize = 24;

/// Does what is due of one thing by now.
pub(super) async fn work(app: &App, post: &Post, mark: Mark) -> Result<()> {
    let org = mark.org;
    match mark.subject {
        Subject::Enrolment(id) => platform::enroll(app, id).await,
        Subject::Contract(id) => contract::expire(app, org, id).await.map(|_| ()),
        Subject::Invoice(id) => Invoice::do_due(app, post, org, id).await.map(|_| ()),
        Subject::Recurring(id) => Recurring::do_due(app, org, id).await.map(|_| ()),
        Subject::Subscription(id) => catch_up(app, org, id).await,
    }
}

/// Bills the periods whose time has come, one after the other.
async fn catch_up(app: &App, org: OrgId, id: SubscriptionId) -> Result<()> {
    let mut periods = 0;
    while periods < MOST_PERIODS && bill(app, org, id).await? {
        periods += 1;
    }
    Ok(())
}

/// When something is marked as due, and what wants it to be as it was read; nothing if it is not there.
pub(super) async fn standing(app: &App, mark: Mark) -> Result<Option<(Option<Time>, Write)>> {
    let (table, scope) = (&app.table, Scope::<ManageBilling>::system(mark.org));
    let found = match mark.subject {
        // Done once and for all.
        Subject::Enrolment(_) => return Ok(None),
        Subject::Contract(id) => Contract::load(table, &scope, id)
            .await
            .map(|one| (one.due_at(), Write::check(&one))),
        Subject::Subscription(id) => Subscription::load(table, &scope, id)
            .await
            .map(|one| (one.marked_at, Write::check(&one))),
        Subject::Invoice(id) => Invoice::find(table, mark.org, id)
            .await
            .map(|one| (one.marked_at, Write::check(&one))),
        Subject::Recurring(id) => Recurring::find(table, mark.org, id)
            .await
            .map(|one| (one.marked_at, Write::check(&one))),
    };
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bills the next period of a subscription, if its time has come: its invoice, the subscription, the facts and the sums are
/// one transaction. Whether there may be another one.
async fn bill(app: &App, org: OrgId, id: SubscriptionId) -> Result<bool> {
    let _turn = turn(app, org).await;
    again_patiently(|| async {
        let now = app.now();
        let before = Subscription::load(&app.table, &Scope::<ManageBilling>::system(org), id).await?;
        let mut books = Books::open(app, org, before.client).await?;
        let conditions = books.client().conditions(books.settings());
        let mut after = before.clone();
        let work = before.work(&conditions).filter(|work| work.ready_at <= now);
        if let Some(work) = &work {
            let external_id = books.client().profile.external_id.as_deref();
            let usage = measure::usage(app, org, external_id, &before.wanted(work), work.is_closing).await?;
            if let Some(content) = after
                .bill(work, &usage, &conditions)
                .map_err(|error| Error::from(anyhow::anyhow!(error)))?
            {
                books.issue(before.source(work), content).await?;
            }
        }
        let commit = books.close(Commit::of(app, &Origin::default()))?;
        subscription::book(now, [(Some(before), after)], &conditions, commit)?.await?;
        Ok::<_, NotDone>(work.is_some())
    })
    .await
}
