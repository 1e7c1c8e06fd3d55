//! Tells members of what has happened, as each of them wants it.

use anyhow::Context;
use app::App;
use commit::{Commit, again};
use futures::future::try_join_all;
use identity::member::MemberView;
use identity::{Member, Org};
use jobs::{Later, Owner};
use kernel::policy::{ReadMembers, ReadOrg};
use kernel::{Error, Result, Scope, UserId};
use notifications::mails;
use notifications::push::{self, PushMessage};
use outbox::{Heard, Told};
use table::Write;

use crate::digest::{Digest, Waiting};
use crate::item::Item;
use crate::mail::told_once;
use crate::mark::{Mark, id_of};
use crate::news::{self, News};
use crate::preferences::{Preferences, Way, When};

/// The page of the console that shows what one was told.
const PAGE: &str = "/notifications";
/// So many members are told at a time.
const AT_A_TIME: usize = 16;

/// Hears facts and tells members of an organization what they should know, each of them once for each fact.
#[derive(Clone, Copy, Debug)]
pub struct Listener;

impl outbox::Listener for Listener {
    fn name(&self) -> &'static str {
        "inboxes"
    }

    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(tell(app, fact))
    }
}

async fn tell(app: &App, fact: &Told) -> Result<()> {
    let Some(news) = news::of(fact).context("what a fact says")? else {
        return Ok(());
    };
    match Org::load(&app.table, &Scope::<ReadOrg>::system(fact.org)).await {
        Ok(_) => {}
        // It was deleted meanwhile.
        Err(Error::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    }
    let scope = Scope::<ReadMembers>::system(fact.org);
    let members = Member::in_roles(&app.table, &scope, news.roles).await?;
    let users: Vec<UserId> = members.iter().map(|member| member.user_id).collect();
    let preferences = Preferences::many(&app.table, fact.org, &users).await?;
    let pairs: Vec<_> = members.iter().zip(&preferences).collect();
    for some in pairs.chunks(AT_A_TIME) {
        let mut told = Vec::with_capacity(some.len());
        for (member, wants) in some {
            told.push(tell_one(app, fact, &news, member, wants));
        }
        try_join_all(told).await?;
    }
    Ok(())
}

/// Tells one member: what follows from it is written together, with the mark that they were told.
async fn tell_one(app: &App, fact: &Told, news: &News, member: &MemberView, wants: &Preferences) -> Result<()> {
    let (org, user, now) = (fact.org, member.user_id, app.now());
    let cause = fact.id.to_string();
    let seen_at = match wants.when(news.topic, Way::Inbox, now) {
        When::Now | When::After(_) => Some(fact.at),
        When::Digest(due) => Some(due),
        When::Never => None,
    };
    let item = seen_at.map(|at| {
        let id = id_of(&cause, org, user, at);
        Item::new(id, org, user, news.topic, &news.title, &news.body)
    });
    // What is mailed to them by itself comes to their digest with that mail.
    let is_mailed = news.mailed.has(member.role, &member.email);
    let digest = match wants.when(news.topic, Way::Email, now) {
        When::Digest(due) if !is_mailed => Some(due),
        _ => None,
    };
    let pushes = pushes(app, fact, news, user, wants).await?;
    if item.is_none() && digest.is_none() && pushes.is_empty() {
        return Ok(());
    }
    let mark = Mark::of(org, user, &cause, now);
    again(|| async {
        let mut commit = Commit::of(app, &fact.origin).write("mark", Write::create(&mark)?);
        if let Some(item) = &item {
            commit = commit.write("item", Write::put(item)?);
        }
        if let Some(due) = digest {
            let mut waiting = Waiting::find(&app.table, org, user, news.topic).await?;
            let said = mails::News::of(&news.title, &news.body, fact.at);
            let due = waiting.add(now, due, said);
            commit = commit.write("digest", Write::save(&waiting)?);
            if let Some(due) = due {
                commit = commit.later(&Digest::of(&waiting, due), due)?;
            }
        }
        for push in &pushes {
            commit = commit.due(push)?;
        }
        told_once(commit.await)
    })
    .await
}

/// What tells a member's browsers, one by one also where they want a digest: at its hour.
async fn pushes(app: &App, fact: &Told, news: &News, user: UserId, wants: &Preferences) -> Result<Vec<Later>> {
    let now = app.now();
    let due = match wants.when(news.topic, Way::Push, now) {
        When::Now => now,
        When::After(due) | When::Digest(due) => due,
        When::Never => return Ok(Vec::new()),
    };
    let message = PushMessage {
        title: news.title.clone(),
        body: news.body.clone(),
        topic: news.topic,
        url: Some(PAGE.to_owned()),
    };
    let cause = (Owner::Org(fact.org), fact.id.to_string(), fact.at);
    push::jobs_for(&app.table, now, due, cause, user, &message).await
}
