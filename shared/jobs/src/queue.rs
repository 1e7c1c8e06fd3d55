//! The queues of jobs: how often a job is tried, for how long a worker has it, how long it is kept.

use std::time::Duration;

/// Every queue of jobs: what `sweeper` looks after. How many workers each has stands in template.yaml.
pub static ALL: &[&Queue] = &[
    &NOTIFICATIONS,
    &INTEGRATIONS,
    &DELIVERIES,
    &PUSHES,
    &PAYMENTS,
    &DOCUMENTS,
    &ERASURES,
];

/// Mails.
pub static NOTIFICATIONS: Queue = Queue {
    name: "notifications",
    told: app::Queue("MAIL_QUEUE_URL"),
    retry: NOTICES,
    // Twice the timeout of `notifier`.
    lease: Duration::from_mins(1),
    kept: QUARTER,
    shards: 4,
    most_waiting: 2_000,
};

/// Calls of others' servers.
pub static INTEGRATIONS: Queue = Queue {
    name: "integrations",
    told: app::Queue("WEBHOOK_QUEUE_URL"),
    retry: NOTICES,
    // Twice the timeout of `webhook-deliverer`.
    lease: Duration::from_mins(1),
    kept: QUARTER,
    shards: 4,
    most_waiting: 2_000,
};

/// Calls of endpoints that subscribe to events: by the workers of [`INTEGRATIONS`], with more patience.
pub static DELIVERIES: Queue = Queue {
    name: "deliveries",
    told: INTEGRATIONS.told,
    retry: Retry::Listed(&[
        Duration::from_secs(5),
        Duration::from_mins(5),
        Duration::from_mins(30),
        Duration::from_hours(2),
        Duration::from_hours(5),
        Duration::from_hours(10),
        Duration::from_hours(10),
    ]),
    lease: INTEGRATIONS.lease,
    // As long as the event itself.
    kept: Duration::from_hours(30 * 24),
    shards: 4,
    most_waiting: 2_000,
};

/// Messages to browsers: by the workers of [`INTEGRATIONS`], for push services are servers of others too.
pub static PUSHES: Queue = Queue {
    name: "pushes",
    told: INTEGRATIONS.told,
    retry: NOTICES,
    lease: INTEGRATIONS.lease,
    kept: QUARTER,
    shards: 4,
    most_waiting: 2_000,
};

/// Asking payment providers, and looking at what came of it.
pub static PAYMENTS: Queue = Queue {
    name: "payments",
    told: app::Queue("PAYMENT_QUEUE_URL"),
    retry: Retry::Doubling {
        base: Duration::from_secs(15),
        attempts: 5,
    },
    // Twice the timeout of `payment-worker`.
    lease: Duration::from_mins(2),
    kept: QUARTER,
    shards: 4,
    most_waiting: 2_000,
};

/// Files of invoices and credit notes that were sent.
pub static DOCUMENTS: Queue = Queue {
    name: "invoices",
    told: app::Queue("DOCUMENT_QUEUE_URL"),
    retry: Retry::Doubling {
        base: Duration::from_secs(10),
        attempts: 3,
    },
    // Twice the timeout of `document-worker`.
    lease: Duration::from_mins(2),
    kept: QUARTER,
    shards: 4,
    most_waiting: 2_000,
};

/// What is to be erased.
pub static ERASURES: Queue = Queue {
    name: "erasures",
    told: app::Queue("ERASURE_QUEUE_URL"),
    // Twelve hours in all: whatever is down comes up again, and nothing is erased by halves.
    retry: Retry::Doubling {
        base: Duration::from_mins(5),
        attempts: 8,
    },
    // Twice the timeout of `eraser`.
    lease: Duration::from_mins(2),
    kept: QUARTER,
    shards: 1,
    most_waiting: 100,
};

const NOTICES: Retry = Retry::Doubling {
    base: Duration::from_secs(5),
    attempts: 3,
};
/// 90 days.
const QUARTER: Duration = Duration::from_hours(90 * 24);

/// A server that asks for patience is given so much of it.
const MOST_PATIENCE: Duration = Duration::from_hours(24);
/// A pause doubles no more often.
const MOST_DOUBLINGS: u32 = 16;

/// A queue of jobs.
#[derive(Debug)]
pub struct Queue {
    /// What people know it by, and the name of its jobs' partitions: never changed.
    pub name: &'static str,
    /// Where its workers are told of jobs.
    pub told: app::Queue,
    /// When a job whose attempt failed is tried again.
    pub retry: Retry,
    /// How long a worker has a job for itself, unless it renews that: longer than the timeout of its function, so that
    /// one who holds a job that another one takes over is surely dead.
    pub lease: Duration,
    /// How long a job that is over is kept.
    pub kept: Duration,
    /// Over how many partitions of the index its due jobs are spread, each of which takes 1,000 writes a second: four for
    /// each job. May grow, never shrink.
    pub shards: u8,
    /// The sweeper tells of no more jobs when so many messages wait.
    pub most_waiting: u64,
}

impl Queue {
    /// The queue with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|queue| queue.name == name)
    }

    /// Whether people may end its jobs before they are done: not what settles money, and not what erases.
    pub fn is_cancelable(&self) -> bool {
        ![PAYMENTS.name, ERASURES.name].contains(&self.name)
    }

    /// The partition of a job among the queue's, by the bits of its id.
    pub(crate) fn shard(&self, id: u128) -> u8 {
        u8::try_from(id % u128::from(self.shards.max(1))).unwrap_or(0)
    }
}

/// When a job whose attempt failed is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After a pause that doubles, and up to half of it more.
    Doubling {
        /// The pause after the first attempt.
        base: Duration,
        /// How often it is tried in all.
        attempts: u32,
    },
    /// After each of these pauses, and up to a fifth of it more: so it is tried once more than there are pauses.
    Listed(&'static [Duration]),
}

impl Retry {
    /// How often a job is tried in all.
    pub fn attempts(self) -> u32 {
        match self {
            Self::Doubling { attempts, .. } => attempts,
            Self::Listed(pauses) => u32::try_from(pauses.len()).unwrap_or(u32::MAX).saturating_add(1),
        }
    }

    /// The pause after so many attempts that failed; nothing if that was the last. `random` makes its part that is left
    /// to chance, so that what failed together is not tried together.
    pub fn pause(self, attempts: u32, random: u8) -> Option<Duration> {
        let (pause, spread) = match self {
            Self::Doubling { attempts: most, .. } if attempts >= most => return None,
            Self::Doubling { base, .. } => {
                let pause = base.saturating_mul(2_u32.pow(attempts.saturating_sub(1).min(MOST_DOUBLINGS)));
                (pause, pause / 2)
            }
            Self::Listed(pauses) => {
                let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
                let pause = *pauses.get(place)?;
                (pause, pause / 5)
            }
        };
        Some(pause + spread * u32::from(random) / u32::from(u8::MAX))
    }

    /// The later of the pause and what the server that failed asked for, of which it gets a day at most.
    pub(crate) fn pause_or(self, attempts: u32, random: u8, asked: Option<Duration>) -> Option<Duration> {
        let asked = asked.unwrap_or_default().min(MOST_PATIENCE);
        Some(self.pause(attempts, random)?.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DOUBLING: Retry = Retry::Doubling {
        base: Duration::from_secs(5),
        attempts: 3,
    };
    const LISTED: Retry = Retry::Listed(&[Duration::from_secs(5), Duration::from_mins(5)]);

    /// The least and the most that a pause may be, in milliseconds.
    fn check(retry: Retry, attempts: u32, least: u64, most: u64) {
        let pauses = [0, u8::MAX].map(|random| retry.pause(attempts, random));
        let expected = [least, most].map(|millis| Some(Duration::from_millis(millis)));
        assert_eq!(pauses, expected, "{retry:?} after {attempts}");
    }

    #[test]
    fn pauses_double_or_stand_in_a_list() {
        check(DOUBLING, 1, 5_000, 7_500);
        check(DOUBLING, 2, 10_000, 15_000);
        assert_eq!(DOUBLING.pause(3, 0), None);
        check(LISTED, 1, 5_000, 6_000);
        check(LISTED, 2, 300_000, 360_000);
        assert_eq!(LISTED.pause(3, 0), None);
    }

    #[test]
    fn the_later_of_schedule_and_server_counts_for_a_day_at_most() {
        let pause = |asked| DOUBLING.pause_or(1, 0, asked).unwrap().as_secs();
        assert_eq!(pause(None), 5);
        assert_eq!(pause(Some(Duration::from_secs(3))), 5);
        assert_eq!(pause(Some(Duration::from_hours(1))), 3_600);
        assert_eq!(pause(Some(Duration::from_hours(48))), 24 * 3_600);
        assert_eq!(DOUBLING.pause_or(3, 0, Some(Duration::from_secs(3))), None);
    }

    proptest! {
        #[test]
        fn chance_adds_and_never_takes_away(attempts: u32, random: u8) {
            for retry in [DOUBLING, LISTED] {
                let least = retry.pause(attempts, 0);
                let pause = retry.pause(attempts, random);
                prop_assert_eq!(least.is_some(), pause.is_some());
                if let (Some(least), Some(pause)) = (least, pause) {
                    prop_assert!(least <= pause && pause <= least * 3 / 2);
                }
            }
        }
    }
}
