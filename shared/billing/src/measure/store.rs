//! Reads what a client used: events of all projects of the organization whose `userId` is the client's `externalId`.

use app::App;
use identity::Project;
use kernel::{Error, OrgId, ProjectId, Result};
use telemetry::metrics::Range;
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
    let used = Used {
        names: span.metrics.iter().map(|metric| metric.event_name.clone()).collect(),
        user: user.to_owned(),
        range: Range {
            from: span.from,
            to: span.until,
        },
    };
    let take = |event: &telemetry::Event| measures.iter_mut().for_each(|measure| measure.take(event));
    usage::each_event(&app.table, project, &used, take).await
}
