//! What becomes of a message to a browser that is about to be sent, by what its reader wants and may read then.

use app::App;
use identity::{Member, User};
use jobs::Owner;
use kernel::policy::ReadMembers;
use kernel::{Result, Scope};
use notifications::push::{PushNotice, Subscription};

use crate::preferences::{Cadence, Preferences};

/// What becomes of a message to a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is sent.
    Sent {
        /// Whether it is one of several that come at once, of which the newest is enough.
        is_one_of_many: bool,
    },
    /// It is not sent, and why.
    Not(&'static str),
    /// Nor is any other to this browser.
    Void(&'static str),
}

/// What becomes of a message: nobody is sent what they may not read any more, or do not want.
pub async fn fate(app: &App, notice: &PushNotice, to: &Subscription) -> Result<Fate> {
    let Some(reader) = User::active(&app.table, notice.user).await? else {
        return Ok(Fate::Not("its reader may not log in"));
    };
    if to.epoch() != reader.epoch() {
        return Ok(Fate::Void(
            "the browser was subscribed before its reader's sessions were ended",
        ));
    }
    let Owner::Org(org) = notice.owner else {
        return Ok(Fate::Sent { is_one_of_many: false });
    };
    let members = Scope::<ReadMembers>::system(org);
    if !Member::is_active(&app.table, &members, reader.id).await? {
        return Ok(Fate::Not("its reader has left the organization"));
    }
    let preferences = Preferences::find(&app.table, org, reader.id).await?;
    Ok(match preferences.topics.of(notice.message.topic).push {
        Cadence::Off => Fate::Not("its reader wants no messages about this"),
        Cadence::Now => Fate::Sent { is_one_of_many: false },
        Cadence::Hourly | Cadence::Daily | Cadence::Weekly => Fate::Sent { is_one_of_many: true },
    })
}
