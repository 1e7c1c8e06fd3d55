//! Why nothing was changed.

use kernel::Error;

/// Why a commit changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The conditions of the writes with these names do not hold: somebody else was faster.
    #[error("the conditions of {0:?} do not hold")]
    Conditions(Vec<&'static str>),
    /// It is larger than a transaction may be.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Something else.
    #[error(transparent)]
    Other(#[from] Error),
}

impl NotDone {
    /// Whether the condition of the write with this name did not hold.
    pub fn failed(&self, name: &str) -> bool {
        matches!(self, Self::Conditions(names) if names.contains(&name))
    }

    /// The same, unless the condition of the write with this name did not hold: then that means this.
    #[must_use]
    pub fn if_failed(self, name: &str, meaning: impl FnOnce() -> Error) -> Self {
        if self.failed(name) {
            Self::Other(meaning())
        } else {
            self
        }
    }
}

impl From<NotDone> for Error {
    fn from(not_done: NotDone) -> Self {
        match not_done {
            NotDone::Conditions(_) => Self::Stale,
            // Whoever makes a commit bounds what goes into it.
            NotDone::TooLarge(too_large) => Self::Internal(too_large.into()),
            NotDone::Other(error) => error,
        }
    }
}

/// What of a commit is larger than DynamoDB takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// It has more writes than a transaction may have.
    #[error("{writes} writes do not fit a transaction of {most}")]
    Writes {
        /// How many.
        writes: usize,
        /// How many it may have.
        most: usize,
    },
    /// The item of one write.
    #[error("the item of `{name}` has {bytes} bytes, and {most} is the most")]
    Item {
        /// Which write.
        name: &'static str,
        /// How many bytes.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
    /// All of it together.
    #[error("a transaction of {bytes} bytes, of which `{name}` has {largest}, and {most} is the most")]
    Transaction {
        /// The name of the largest write.
        name: &'static str,
        /// How many bytes that has.
        largest: usize,
        /// How many bytes all writes have.
        bytes: usize,
        /// How many they may have.
        most: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_means_what_its_caller_says() {
        let not_done = || NotDone::Conditions(vec!["member", "org"]);
        let taken = || Error::refused("already_member", "");
        assert!(not_done().failed("org") && !not_done().failed("user"));
        assert!(matches!(
            not_done().if_failed("member", taken),
            NotDone::Other(Error::Refused {
                code: "already_member",
                ..
            })
        ));
        assert!(not_done().if_failed("user", taken).failed("member"));
        assert!(matches!(Error::from(not_done()), Error::Stale));
    }
}
