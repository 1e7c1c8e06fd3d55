//! How large the blocks of a pool are.

use kernel::Time;

/// A block that lasts less than this is followed by one eight times as large, less than that by one twice as large, one that
/// lasts longer than the last by a half.
const AT_ONCE: i64 = 250;
const QUICK: i64 = 2 * Time::SECOND;
const SLOW: i64 = 10 * Time::SECOND;

/// The bounds of a pool's blocks. Between them a block is as large as the last ones were used up quickly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// A process begins with so many units: few, so that one that idles keeps little from the others.
    pub first: u64,
    /// It never leases more at once, but for a call that wants more.
    pub largest: u64,
    /// Nor more than one in so many of the units that were left when it last looked, so that the last ones are not
    /// held by somebody who does not need them. From twice so many down it is one by one.
    pub share: u64,
    /// How many units a pool has that nothing is known of yet. Without it, the first lease is of no more units than
    /// are wanted.
    pub whole: Option<u64>,
}

impl Sizing {
    /// How many units to lease when so many are left: at least 1.
    pub fn block(&self, left: Option<u64>, size: u64) -> u64 {
        let Some(left) = left.or(self.whole) else { return 1 };
        let size = size.max(self.first).min(self.largest);
        size.min(left / self.share.max(1)).max(1)
    }

    /// How many to lease after a block of `size` that lasted so long.
    pub(crate) fn next(&self, size: u64, lasted_ms: i64) -> u64 {
        let size = match lasted_ms {
            // Doubling nothing must come to something.
            ..AT_ONCE => size.saturating_mul(8).max(2),
            AT_ONCE..QUICK => size.saturating_mul(2).max(2),
            QUICK..=SLOW => size,
            _ => size / 2,
        };
        size.max(self.first).min(self.largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A wallet's: at most 1 % of what is left.
    const WALLET: Sizing = Sizing {
        first: 1,
        largest: 10_000,
        share: 100,
        whole: None,
    };

    proptest! {
        #[test]
        fn a_block_is_a_small_share_of_what_is_left(left in 1_u64.., size: u64) {
            let units = WALLET.block(Some(left), size);
            prop_assert!(units == 1 || units <= left / 100);
            prop_assert!((1..=10_000).contains(&units));
        }

        #[test]
        fn the_last_units_go_one_by_one(left in 0..200_u64, size: u64) {
            prop_assert_eq!(WALLET.block(Some(left), size), 1);
        }

        #[test]
        fn of_what_nobody_knows_one_is_leased(size: u64) {
            prop_assert_eq!(WALLET.block(None, size), 1);
        }

        #[test]
        fn sizes_stay_in_their_bounds(size: u64, lasted: i64, first in 0..100_u64, largest in 100..1_000_u64) {
            let sizing = Sizing { first, largest, ..WALLET };
            prop_assert!((first..=largest).contains(&sizing.next(size, lasted)));
        }
    }

    fn check_sizes(lasted_ms: i64, expected: [u64; 4]) {
        let mut size = 100;
        let sizes = [(); 4].map(|()| {
            size = WALLET.next(size, lasted_ms);
            size
        });
        assert_eq!(sizes, expected);
    }

    #[test]
    fn blocks_follow_the_rate() {
        check_sizes(249, [800, 6_400, 10_000, 10_000]);
        check_sizes(500, [200, 400, 800, 1_600]);
        check_sizes(5_000, [100; 4]);
        check_sizes(20_000, [50, 25, 12, 6]);
        assert_eq!(WALLET.next(0, 0), 2);
        assert_eq!(WALLET.next(1, 60_000), 1);
    }
}
