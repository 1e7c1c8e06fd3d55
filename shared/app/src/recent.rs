//! A small memory of what was read a moment ago, bounded in age and in size.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kernel::Time;

/// What is older is read again.
const AGE: i64 = 30 * Time::SECOND;

/// Remembers values for 30 seconds, at most so many.
#[derive(Debug)]
pub struct Recent<K, V> {
    most: usize,
    entries: Mutex<HashMap<K, (Time, V)>>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// One that holds at most so many, and nothing yet.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            entries: Mutex::new(HashMap::new()),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, (Time, V)>> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was put under a key, if that is less than 30 seconds ago.
    pub fn get(&self, key: &K, now: Time) -> Option<V> {
        let entries = self.entries();
        let (at, value) = entries.get(key)?;
        is_fresh(*at, now).then(|| value.clone())
    }

    /// Remembers a value that was read now.
    pub fn put(&self, key: K, value: V, now: Time) {
        let mut entries = self.entries();
        if entries.len() >= self.most {
            entries.retain(|_, (at, _)| is_fresh(*at, now));
        }
        if entries.len() >= self.most {
            entries.clear();
        }
        entries.insert(key, (now, value));
    }
}

fn is_fresh(at: Time, now: Time) -> bool {
    (0..AGE).contains(&(now.millis() - at.millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_after_30_seconds() {
        let (recent, now) = (Recent::new(10), Time::from_millis(1_000_000));
        recent.put("a", 1, now);
        assert_eq!(recent.get(&"a", now.plus_millis(29_999)), Some(1));
        assert_eq!(recent.get(&"a", now.plus_millis(30_000)), None);
        assert_eq!(recent.get(&"a", now.plus_millis(-1)), None);
    }

    #[test]
    fn never_holds_more_than_it_may() {
        let (recent, now) = (Recent::new(3), Time::from_millis(0));
        for key in 0..100 {
            recent.put(key, key, now);
            assert!(recent.entries().len() <= 3);
            assert_eq!(recent.get(&key, now), Some(key));
        }
    }
}
