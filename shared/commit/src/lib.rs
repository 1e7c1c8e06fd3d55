//! The one way to change something: what is written, what the audit trail says of it, and what the request is answered,
//! together or not at all.
//!
//! A [`Commit`] is made by a scope, so it knows who acts, for which request, and what that rests on: in its transaction the
//! actor is still who the guard saw, in an organization that was not deleted. Its writes have names, and a failure says
//! which of them did not hold. What is stored for later is told to its queue after the commit; a crash in between is what
//! the sweeper is for. It knows the bounds of a transaction, and names what is too large before it sends anything.
//!
//! ```ignore
//! again(|| async {
//!     let project = Project::load(&app.table, scope, id).await?.renamed(&name, app.now())?;
//!     Commit::by(app, scope)
//!         .write("project", Write::replace(&project)?)
//!         .note(Chain::Org(project.org), Change::by(scope.actor(), "project.renamed", "project", project.id))
//!         .reply(Reply::ok(&ProjectView::from(&project))?)
//!         .await?;
//!     Ok(project)
//! })
//! .await
//! ```
//!
//! [`again`] is the one loop that tries again what somebody else was faster with. A commit tries again by itself only
//! what is its own: that another entry came first into the audit trail.
//!
//! Known bounds: all audited deeds of a tenant pass through the end of one chain, some 50 a second on AWS. So what the
//! system does by itself is no entry, unless a person stands behind it.

mod again;
mod commit;
mod not_done;

pub use again::{again, again_patiently};
pub use commit::Commit;
pub use idempotency::Reply;
pub use not_done::{NotDone, TooLarge};
