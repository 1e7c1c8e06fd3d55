//! Reads what a client used: events of all projects of the organization whose `userId` is the client's `externalId`.

use std::collections::BTreeMap;

use app::App;
use identity::Project;
use kernel::{Error, OrgId, ProjectId, Result};
use telemetry::usage::{self, Used};

use super::Measure;
use crate::subscription::{Usage, Wanted};

/// The units of each metric of each span that is wanted, as events are known now. A client without an external id used
/// nothing.
pub(crate) async fn usage(app: &App, org: OrgId, external_id: Option<&str>, wanted: &[Wanted]) -> Result<Usage> {
    let is_wanted = wanted.iter().any(|span| !span.metrics.is_empty());
    let projects = match external_id {
        Some(_) if is_wanted => Project::ever(&app.table, org).await?,
        _ => Vec::new(),
    };
    let mut found = Usage::new();
    for span in wanted {
        let mut measures: Vec<Measure> = span.metrics.iter().cloned().map(Measure::new).collect();
        for project in &projects {
            measure(app, *project, external_id.unwrap_or_default(), span, &mut measures).await?;
        }
        let units = measures.iter().map(Measure::units).collect::<Result<_, _>>();
        let units = units.map_err(|too_much| Error::from(anyhow::anyhow!(too_much)))?;
        found.insert(span.span, units);
    }
    Ok(found)
}

async fn measure(app: &App, project: ProjectId, user: &str, span: &Wanted, measures: &mut [Measure]) -> Result<()> {
    let mut by_name: BTreeMap<&str, Vec<&mut Measure>> = BTreeMap::new();
    for (metric, measure) in span.metrics.iter().zip(measures) {
        by_name.entry(metric.event_name.as_str()).or_default().push(measure);
    }
    for (name, mut measures) in by_name {
        let used = Used {
            name: name.to_owned(),
            user: user.to_owned(),
            range: usage::between(span.from, span.until),
        };
        let take = |event: &telemetry::Event| {
            for measure in &mut measures {
                measure.take(event.payload.as_deref());
            }
        };
        usage::each_event(&app.table, project, &used, take).await?;
    }
    Ok(())
}
