//! What is known of an address:   pk MAILBOX#<SHA-256 of it>   sk SUPPRESSION

use app::App;
use commit::{Commit, Reply, again};
use jobs::Owner;
use kernel::{Origin, Permission, Result, Scope, mailbox};
use table::{Key, Record, Table, TableName, Write};
use trail::{Chain, Change, Subject};

use super::{News, Suppression};

impl Record for Suppression {
    const KIND: &'static str = "suppression";
    const TABLE: TableName = TableName::Engagement;

    fn key(&self) -> Key {
        Key::of(format!("MAILBOX#{}", self.address), "SUPPRESSION")
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Suppression {
    /// Reads what is known of an address.
    pub async fn of(table: &Table, address: &str) -> Result<Self> {
        let none = Self::none(&mailbox::known_by(address).unwrap_or_else(|| address.to_lowercase()));
        Ok(table.get(&none.key()).await?.unwrap_or(none))
    }

    /// Takes down what became of a mail to an address; nothing happens if that is no news.
    pub async fn heard(app: &App, address: &str, news: &News) -> Result<()> {
        again(|| async {
            let mut known = Self::of(&app.table, address).await?;
            if !known.hear(news) {
                return Ok(());
            }
            Commit::of(app, &Origin::default())
                .write("suppression", Write::save(&known)?)
                .await
        })
        .await
    }

    /// Lets an address have mail again, and notes it; nothing happens if nothing holds it back. Who may is the caller's to know: whose
    /// address it is, or the owner of mails, who lifts what those brought (409 `suppressed_by_others`).
    pub async fn lift<P: Permission>(
        app: &App,
        scope: &Scope<P>,
        (chain, owner): (Chain, Option<Owner>),
        address: &str,
        reply: &Reply,
    ) -> Result<()> {
        again(|| async {
            let mut known = Self::of(&app.table, address).await?;
            let lifts = match owner {
                None => known.reenable(app.now()),
                Some(owner) => known.reenable_for(owner, app.now())?,
            };
            if !lifts {
                return Ok(());
            }
            let whose = Subject::address(&mailbox::known_by(address).unwrap_or_default());
            let change = Change::by(scope.actor(), "email_suppression.reenabled", "email_suppression", whose);
            Commit::by(app, scope)
                .write("suppression", Write::save(&known)?)
                .note(chain, change)
                .reply(reply.clone())
                .await
        })
        .await
    }
}
