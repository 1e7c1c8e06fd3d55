//! Counts what DynamoDB bills: capacity units and requests. Off unless a test or a benchmark asks for it.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};

/// What some calls cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// How many requests.
    pub requests: u64,
    /// Read and write request units together, as the replies tell them.
    pub units: f64,
}

/// Adds up what the calls of one table handle and its clones cost.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Cost>>);

impl Meter {
    /// Tells what the calls since the last time cost, and begins again.
    pub fn take(&self) -> Cost {
        self.0
            .lock()
            .map(|mut cost| std::mem::take(&mut *cost))
            .unwrap_or_default()
    }

    fn add(&self, units: f64) {
        if let Ok(mut cost) = self.0.lock() {
            cost.requests += 1;
            cost.units += units;
        }
    }
}

/// What to ask DynamoDB for: its figures, if there is a meter.
pub(crate) fn wanted(meter: Option<&Meter>) -> Option<ReturnConsumedCapacity> {
    meter.map(|_| ReturnConsumedCapacity::Total)
}

/// Notes what one reply tells.
pub(crate) fn note<'a>(meter: Option<&Meter>, capacities: impl IntoIterator<Item = &'a ConsumedCapacity>) {
    if let Some(meter) = meter {
        meter.add(
            capacities
                .into_iter()
                .filter_map(ConsumedCapacity::capacity_units)
                .sum(),
        );
    }
}

/// Notes a write whose condition did not hold: DynamoDB bills it, here the least there is, and tells no figures.
pub(crate) fn note_refusal(meter: Option<&Meter>) {
    if let Some(meter) = meter {
        meter.add(1.0);
    }
}
