//! The one loop that tries again.

use kernel::{Error, Result};

use crate::NotDone;

/// So often is something tried that somebody else was faster with.
const TRIES: u32 = 8;
/// So often if many may change the same thing at once, and each has to come through: with pauses, 12 s at most.
const PATIENT_TRIES: u32 = 24;

/// Does `attempt`, which reads, decides and commits, again for as long as a condition of its commit does not hold: somebody
/// else has changed something since it was read. After eight tries, with pauses that grow from 5 to 640 ms, `Busy`.
///
/// Not an async closure: the compiler cannot tell yet whether the future of one may change threads.
pub fn again<T, F>(attempt: impl Fn() -> F) -> impl Future<Output = Result<T>>
where
    F: Future<Output = Result<T, NotDone>>,
{
    tries(TRIES, attempt)
}

/// Does `attempt` as [`again`] does, up to 24 times: for what many do to one thing at the same moment.
pub fn again_patiently<T, F>(attempt: impl Fn() -> F) -> impl Future<Output = Result<T>>
where
    F: Future<Output = Result<T, NotDone>>,
{
    tries(PATIENT_TRIES, attempt)
}

async fn tries<T, F>(most: u32, attempt: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T, NotDone>>,
{
    for number in 0..most {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(NotDone::Conditions(names)) => {
                tracing::debug!(?names, number, "somebody else was faster");
                table::pause(number).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// How often an attempt was made that succeeds the `success`th time, and what came of it.
    async fn check(success: u32, failure: impl Fn() -> NotDone) -> (u32, Result<u32>) {
        let tries = Cell::new(0);
        let done = again(|| async {
            tries.set(tries.get() + 1);
            if tries.get() == success { Ok(7) } else { Err(failure()) }
        });
        let done = done.await;
        (tries.get(), done)
    }

    fn lost() -> NotDone {
        NotDone::Conditions(vec!["thing"])
    }

    #[tokio::test(start_paused = true)]
    async fn what_lost_a_race_is_tried_again_and_not_endlessly() {
        assert!(matches!(check(1, lost).await, (1, Ok(7))));
        assert!(matches!(check(8, lost).await, (8, Ok(7))));
        assert!(matches!(check(9, lost).await, (8, Err(Error::Busy))));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_too() {
        let tries = Cell::new(0);
        let done: Result<()> = again_patiently(|| async {
            tries.set(tries.get() + 1);
            Err(lost())
        })
        .await;
        assert!(matches!((tries.get(), done), (24, Err(Error::Busy))));
    }

    #[tokio::test(start_paused = true)]
    async fn anything_else_is_not() {
        let denied = || NotDone::Other(Error::Denied);
        assert!(matches!(check(2, denied).await, (1, Err(Error::Denied))));
    }
}
