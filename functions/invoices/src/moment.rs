//! Bounds of a span, as queries say them: a moment, or a day of the organization's zone.

use identity::Org;
use kernel::policy::ReadBilling;
use kernel::{Day, Error, Result, Scope, Time, Zone};
use lambda::App;
use serde::{Deserialize, Deserializer, de};

/// A moment, or a day.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    At(Time),
    On(Day),
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = || text.parse().map(Self::At);
        let wrong = |_| de::Error::custom("must be a time such as 2027-01-31T08:00:00Z, or a date such as 2027-01-31");
        text.parse().map(Self::On).or_else(|_| at()).map_err(wrong)
    }
}

impl Moment {
    /// When a span begins that begins with it.
    pub(crate) fn start(self, zone: &Zone) -> Time {
        match self {
            Self::At(time) => time,
            Self::On(day) => zone.start_of(day),
        }
    }

    /// When a span ends that ends with it: before a moment, after a day.
    pub(crate) fn end(self, zone: &Zone) -> Time {
        match self {
            Self::At(time) => time,
            Self::On(day) => zone.start_of(day.plus_days(1)),
        }
    }
}

/// Reads the bounds of a span: from the first moment to before the last. `Invalid` where it has none.
pub(crate) async fn span(
    app: &App,
    scope: &Scope<ReadBilling>,
    from: Option<Moment>,
    to: Option<Moment>,
) -> Result<(Zone, [Option<Time>; 2])> {
    let zone = match (from, to) {
        (None | Some(Moment::At(_)), None | Some(Moment::At(_))) => Zone::utc(),
        _ => zone(app, scope).await?,
    };
    let (start, end) = (from.map(|from| from.start(&zone)), to.map(|to| to.end(&zone)));
    if start.zip(end).is_some_and(|(start, end)| end <= start) {
        return Err(Error::invalid("to", "must be after `from`"));
    }
    Ok((zone, [start, end]))
}

/// Where the days of the scope's organization begin.
pub(crate) async fn zone(app: &App, scope: &Scope<ReadBilling>) -> Result<Zone> {
    Ok(Org::load(&app.table, scope).await?.time_zone)
}
