//! What a process remembers from one request to the next: one thing of each type, made when it is first asked for.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

type Things = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// What a process remembers. Clones share it; another process knows nothing of it, so nothing may rest on it.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Things>>);

impl Memory {
    /// The thing of this type.
    pub fn of<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut things = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let thing = things
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::new(T::default()));
        let thing = thing.clone().downcast();
        thing.expect("a thing lies under its own type")
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Default)]
    struct Count(AtomicU32);

    #[test]
    fn clones_remember_the_same_and_others_do_not() {
        let memory = Memory::default();
        memory.clone().of::<Count>().0.store(7, Ordering::Relaxed);
        assert_eq!(memory.of::<Count>().0.load(Ordering::Relaxed), 7);
        assert_eq!(Memory::default().of::<Count>().0.load(Ordering::Relaxed), 0);
    }
}
