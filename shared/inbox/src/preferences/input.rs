//! Preferences as somebody sends them.

use anyhow::anyhow;
use kernel::{Check, Error, Input, Result, TimeOfDay, Zone};
use notifications::Topic;
use serde::Deserialize;

use super::{Cadence, Preferences, Topics};
use crate::hours::{DigestHours, QuietHours, Weekday};

/// Preferences: all of them, for what is left out is as if it had never been set.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NotificationPreferencesInput)]
pub struct PreferencesInput {
    /// What is wanted of each topic, by each way; `now` where it is left out. Mail about `payments` and `security` cannot be
    /// `off`.
    #[serde(default, deserialize_with = "kernel::check::object")]
    topics: Option<Topics>,
    /// When digests are due; 08:00 UTC on Mondays if it is left out. Hourly ones come on the full hour.
    #[serde(default, deserialize_with = "kernel::check::object")]
    digest: Option<DigestInput>,
    /// When mail and push wait that can; not at all if it is left out.
    #[serde(default, deserialize_with = "kernel::check::object")]
    quiet_hours: Option<QuietInput>,
}

/// When digests are due.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DigestHoursInput)]
pub struct DigestInput {
    /// When daily and weekly ones are, by the clock: one that is left out by a clock change is at the end of the gap, one that
    /// it shows twice once.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", example = "08:00")]
    at: String,
    /// Where that is, as IANA calls it.
    #[schema(example = "Europe/Berlin")]
    timezone: String,
    /// On which day weekly ones are; Monday if it is left out.
    weekday: Option<Weekday>,
}

/// When it is quiet.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QuietHoursInput)]
pub struct QuietInput {
    /// From then on, in the digests' zone.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", example = "22:00")]
    from: String,
    /// Until then: on the day after, if that is earlier.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", example = "07:00")]
    to: String,
}

impl Input for PreferencesInput {
    fn check(&self, check: &mut Check) {
        for topic in Topic::ALL.into_iter().filter(|topic| !topic.is_optional()) {
            let email = self.topics.unwrap_or_default().of(topic).email;
            let field = format!("topics.{topic}.email");
            check.that(email != Cadence::Off, &field, "cannot be off");
        }
        let mut clock = |field: &str, text: &str| {
            if let Err(problem) = text.parse::<TimeOfDay>() {
                check.that(false, field, problem.to_string());
            }
        };
        if let Some(digest) = &self.digest {
            clock("digest.at", &digest.at);
        }
        if let Some(quiet) = &self.quiet_hours {
            clock("quietHours.from", &quiet.from);
            clock("quietHours.to", &quiet.to);
        }
        if let Some(Err(problem)) = self.digest.as_ref().map(|digest| digest.timezone.parse::<Zone>()) {
            check.that(false, "digest.timezone", problem.to_string());
        }
        if let Some(quiet) = &self.quiet_hours {
            check.that(
                quiet.from != quiet.to,
                "quietHours.to",
                "must be another time than `from`",
            );
        }
    }
}

impl PreferencesInput {
    /// Sets preferences to these, which have been checked.
    pub(crate) fn apply(&self, preferences: &mut Preferences) -> Result<()> {
        preferences.topics = self.topics.unwrap_or_default();
        preferences.digest = match &self.digest {
            None => DigestHours::default(),
            Some(digest) => DigestHours {
                at: read(&digest.at)?,
                timezone: read(&digest.timezone)?,
                weekday: digest.weekday.unwrap_or_default(),
            },
        };
        let quiet = self.quiet_hours.as_ref();
        let quiet = quiet.map(|quiet| {
            Ok::<_, Error>(QuietHours {
                from: read(&quiet.from)?,
                to: read(&quiet.to)?,
            })
        });
        preferences.quiet = quiet.transpose()?;
        Ok(())
    }
}

fn read<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| anyhow!("what was not checked").into())
}
