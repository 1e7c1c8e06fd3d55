//! What AWS would bill each caller for: capacity units of `DynamoDB` as its replies tell them, and requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// SQS bills each 64 KiB of a request's body as one request.
const SQS_PART_BYTES: usize = 64 * 1024;

/// What one caller used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Write request units, indexes included.
    pub write_units: f64,
    /// Read request units.
    pub read_units: f64,
    /// Requests to `DynamoDB`.
    pub dynamodb_requests: u64,
    /// Requests to SQS, as billed: each 64 KiB is one.
    pub sqs_requests: u64,
    /// Requests to all other services.
    pub other_requests: u64,
}

impl Usage {
    /// Yields the capacity units, of reads and of writes together.
    pub fn units(&self) -> f64 {
        self.write_units + self.read_units
    }
}

/// What one request used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Used {
    /// Read units of `DynamoDB`.
    ReadUnits(f64),
    /// Write units of `DynamoDB`.
    WriteUnits(f64),
    /// A request to SQS with a body of so many bytes.
    QueueBytes(usize),
    /// A request to another service.
    Request,
}

/// What every caller used, by access key: a function's logical id.
#[derive(Debug, Clone, Default)]
pub struct UsageLedger(Arc<Mutex<BTreeMap<String, Usage>>>);

impl UsageLedger {
    /// Tells what was used since the last time, and begins again.
    pub fn take(&self) -> BTreeMap<String, Usage> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes one request.
    pub(super) fn note(&self, caller: &str, used: Used) {
        let mut ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = ledger.get_mut(caller) {
            usage.add(used);
        } else {
            ledger.entry(caller.to_owned()).or_default().add(used);
        }
    }
}

impl Usage {
    fn add(&mut self, used: Used) {
        match used {
            Used::ReadUnits(units) => {
                self.dynamodb_requests += 1;
                self.read_units += units;
            }
            Used::WriteUnits(units) => {
                self.dynamodb_requests += 1;
                self.write_units += units;
            }
            Used::QueueBytes(bytes) => self.sqs_requests += bytes.div_ceil(SQS_PART_BYTES).max(1) as u64,
            Used::Request => self.other_requests += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_counted_by_caller_and_kind() {
        let ledger = UsageLedger::default();
        ledger.note("Ingest", Used::ReadUnits(0.5));
        ledger.note("Ingest", Used::WriteUnits(4.0));
        ledger.note("Ingest", Used::QueueBytes(64 * 1024 + 1));
        ledger.note("Auth", Used::Request);
        let taken = ledger.take();
        let ingest = Usage {
            write_units: 4.0,
            read_units: 0.5,
            dynamodb_requests: 2,
            sqs_requests: 2,
            other_requests: 0,
        };
        assert_eq!(taken["Ingest"], ingest);
        assert_eq!(taken["Auth"].other_requests, 1);
        assert!(ledger.take().is_empty());
    }
}
