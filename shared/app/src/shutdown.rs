//! The end of a process that is asked to end: nothing new is begun, what is held is given back, what is under way gets a
//! moment. Knows no signal; who receives one calls [`Shutdown::begin`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;

/// How long giving back may take in all. Lambda kills a process 500 ms after it asked it to end.
const MOST: Duration = Duration::from_millis(400);

type Hook = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether this process is to end, and what it does then. Cheap to clone.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<Inner>);

#[derive(Default)]
struct Inner {
    begun: watch::Sender<bool>,
    /// How many things are under way.
    busy: watch::Sender<usize>,
    hooks: Mutex<Vec<Hook>>,
}

/// Something that is under way until this is dropped.
#[derive(Debug)]
pub struct Busy(Shutdown);

impl Shutdown {
    /// Whether the process is to end: begin nothing new.
    pub fn is_begun(&self) -> bool {
        *self.0.begun.borrow()
    }

    /// Returns once the process is to end.
    pub async fn begun(&self) {
        // Its sender lives as long as `self`.
        let _ = self.0.begun.subscribe().wait_for(|begun| *begun).await;
    }

    /// Does this when the process is to end, beside whatever else is done then: gives back what is held.
    pub fn then(&self, give_back: impl Future<Output = ()> + Send + 'static) {
        self.hooks().push(Box::pin(give_back));
    }

    /// Whether anything is to be done at the end.
    pub fn is_wanted(&self) -> bool {
        !self.hooks().is_empty()
    }

    /// Says that something is under way, which the end waits for.
    pub fn busy(&self) -> Busy {
        self.0.busy.send_modify(|count| *count += 1);
        Busy(self.clone())
    }

    /// Whether anything is under way.
    pub fn is_busy(&self) -> bool {
        *self.0.busy.borrow() > 0
    }

    /// Begins the end: gives back what is held and waits for what is under way, 400 ms at most.
    pub async fn begin(&self) {
        self.0.begun.send_replace(true);
        let hooks = std::mem::take(&mut *self.hooks());
        let mut busy = self.0.busy.subscribe();
        let quiet = async {
            let _ = busy.wait_for(|count| *count == 0).await.map(drop);
        };
        let all = async { tokio::join!(join_all(hooks), quiet) };
        if tokio::time::timeout(MOST, all).await.is_err() {
            tracing::warn!("the process ends before all of its work does");
        }
    }

    fn hooks(&self) -> std::sync::MutexGuard<'_, Vec<Hook>> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.busy.send_modify(|count| *count -= 1);
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("is_begun", &self.is_begun())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_given_back_once() {
        let (shutdown, given) = (Shutdown::default(), Arc::new(AtomicU32::new(0)));
        assert!(!shutdown.is_wanted() && !shutdown.is_begun());
        for _ in 0..2 {
            let given = Arc::clone(&given);
            shutdown.then(async move {
                given.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert!(shutdown.is_wanted());
        let waiting = shutdown.clone();
        tokio::join!(shutdown.begin(), waiting.begun());
        shutdown.begin().await;
        assert!(shutdown.is_begun());
        assert_eq!(given.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_is_under_way_but_not_for_ever() {
        let shutdown = Shutdown::default();
        let (busy, began) = (shutdown.busy(), tokio::time::Instant::now());
        assert!(shutdown.is_busy());
        let work = async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(busy);
        };
        tokio::join!(shutdown.begin(), work);
        assert_eq!(began.elapsed().as_millis(), 100);
        let _stuck = shutdown.busy();
        shutdown.then(std::future::pending());
        shutdown.begin().await;
        assert_eq!(began.elapsed().as_millis(), 500);
    }
}
