//! The bound on what the HTTP API lets through: a bucket of tokens, as API Gateway has it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::template::Throttle;

/// A bucket that starts full.
#[derive(Debug)]
pub(super) struct Bucket {
    bound: Throttle,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn of(bound: Throttle, now: Instant) -> Self {
        let state = State {
            tokens: f64::from(bound.burst),
            at: now,
        };
        Self {
            bound,
            state: Mutex::new(state),
        }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.saturating_duration_since(state.at).as_secs_f64() * self.bound.rate;
        state.tokens = (state.tokens + gained).min(f64::from(self.bound.burst));
        state.at = now;
        let is_there = state.tokens >= 1.0;
        if is_there {
            state.tokens -= 1.0;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let bucket = Bucket::of(Throttle { rate: 10.0, burst: 3 }, start);
        let passed = |now: Instant| (0..10).filter(|_| bucket.take(now)).count();
        assert_eq!(passed(start), 3);
        assert_eq!(passed(start + Duration::from_millis(200)), 2);
        assert_eq!(passed(start + Duration::from_mins(1)), 3);
    }
}
