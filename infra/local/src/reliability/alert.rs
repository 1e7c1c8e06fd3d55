//! An alert of one tenant, which must fire once and resolve once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::check::{self, Check};
use super::receiver::Receiver;
use super::tenant::Tenant;
use crate::up::Running;

/// How long a change of status may take, in real time; the test clock goes faster.
const PATIENCE: Duration = Duration::from_mins(2);
/// How far the clock is moved at once: to the next check, and the next attempt of a notice.
const STEP_SECONDS: u32 = 30;
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// What makes the alert: the stream's events of five minutes, told to the receiver; no second time within a day.
pub(super) fn settings(project: &str, url: &str) -> Value {
    json!({
        "projectId": project, "name": "stream", "metricType": "event_count", "eventType": "STREAM", "condition": ">",
        "threshold": 0, "window": "5m", "channel": "webhook", "target": url, "coolDownMinutes": 1440,
    })
}

/// Moves the clock on until each tenant's alert has fired and is resolved: the stream has ended.
pub(super) async fn pass(running: &Running, tenants: &mut [Tenant<'_>]) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    for tenant in tenants {
        while !is_over(&tenant.incidents().await?) {
            ensure!(
                Instant::now() < until,
                "{}: the alert does not fire and resolve",
                tenant.name()
            );
            step(running, tenant).await?;
        }
    }
    Ok(())
}

fn is_over(incidents: &[Value]) -> bool {
    incidents.iter().any(|incident| incident["status"] == "resolved")
}

/// Moves the clock, and lets what is due then come to an end. The tenant logs in again before its token expires.
async fn step(running: &Running, tenant: &mut Tenant<'_>) -> Result<()> {
    running.stack().clock.advance(STEP_SECONDS).context("move the clock")?;
    let until = Instant::now() + LONGEST_PAUSE;
    tokio::time::sleep(PAUSE).await;
    while Instant::now() < until && check::waiting(running)? > 0 {
        tokio::time::sleep(PAUSE).await;
    }
    tenant.log_in().await
}

/// Moves the clock on until every notice was sent, once nothing goes wrong any more.
pub(super) async fn send_notices(running: &Running, tenants: &mut [Tenant<'_>], receiver: &Receiver) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    for tenant in tenants {
        while tenant.unsent_notices().await? > 0 || receiver.messages(tenant.name()).len() < 2 {
            if Instant::now() > until {
                // The comparison tells what is missing.
                return Ok(());
            }
            step(running, tenant).await?;
        }
    }
    Ok(())
}

/// Compares the messages that the receiver got with one firing and one resolution, and with the incidents.
pub(super) async fn compare(tenant: &Tenant<'_>, receiver: &Receiver) -> Result<[Check; 2]> {
    let once = ["alert.fired", "alert.resolved"].map(|event| (event.to_owned(), 1));
    let messages = receiver.messages(tenant.name());
    let incidents = tenant.incidents().await?.len() as u64;
    Ok([
        Check::of(
            format!("{}: messages of its alert, by event", tenant.name()),
            &BTreeMap::from(once),
            &messages,
        ),
        Check::number(format!("{}: incidents of its alert", tenant.name()), 1, incidents),
    ])
}
