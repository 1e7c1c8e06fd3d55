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

/// What every caller used, by access key: a function's logical id.
#[derive(Debug, Clone, Default)]
pub struct UsageLedger(Arc<Mutex<BTreeMap<String, Usage>>>);

impl UsageLedger {
    /// Tells what was used since the last time, and begins again.
    pub fn take(&self) -> BTreeMap<String, Usage> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn dynamodb(&self, caller: &str, operation: &str, units: f64) {
        let reads = matches!(
            operation,
            "GetItem" | "Query" | "Scan" | "BatchGetItem" | "TransactGetItems"
        );
        self.note(caller, |usage| {
            usage.dynamodb_requests += 1;
            *if reads {
                &mut usage.read_units
            } else {
                &mut usage.write_units
            } += units;
        });
    }

    pub(super) fn sqs(&self, caller: &str, body_bytes: usize) {
        let parts = body_bytes.div_ceil(SQS_PART_BYTES).max(1);
        self.note(caller, |usage| usage.sqs_requests += parts as u64);
    }

    pub(super) fn other(&self, caller: &str) {
        self.note(caller, |usage| usage.other_requests += 1);
    }

    fn note(&self, caller: &str, change: impl FnOnce(&mut Usage)) {
        let mut ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = ledger.get_mut(caller) {
            change(usage);
        } else {
            change(ledger.entry(caller.to_owned()).or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_counted_by_caller_and_kind() {
        let ledger = UsageLedger::default();
        ledger.dynamodb("Ingest", "GetItem", 0.5);
        ledger.dynamodb("Ingest", "TransactWriteItems", 4.0);
        ledger.sqs("Ingest", 64 * 1024 + 1);
        ledger.other("Auth");
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
