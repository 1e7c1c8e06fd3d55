//! Blocks of units leased from shared pools and spent in memory: exact at any concurrency, for few writes.
//!
//! A *pool* is a number of units that many processes spend: the calls that a rate limit allows in a window, the credits in
//! a wallet. Asking it for each unit would cost a write a call, so a process *leases* a block, spends it in memory, and
//! never after the lease's end. What pools are, and by which conditional write a lease is taken, is a [`Source`]'s affair;
//! here is what every source needs: how large blocks are ([`Sizing`]), what one process holds ([`Holding`]), one asker at a
//! time for each pool, a bounded memory, all or none over several pools, and units that come back ([`Hold`]).
//!
//! What a lease was spent on is counted cumulatively ([`Report`]): whoever keeps the largest count that was reported is told
//! nothing twice by a duplicate, and nothing wrong by two that change places. What a process knows to be spent in the end it says
//! when it closes the lease ([`Leases::close_over`]); of a lease that nobody closes, the reports are what is known.
//!
//! Never talks to AWS, never reads the clock. Known: what a process holds when it dies, or when it remembers too many
//! pools, is not spent by anybody until the source gives it back.

mod hold;
mod holding;
mod leases;
mod sizing;

pub use hold::Hold;
pub use holding::{Answer, Ask, Closed, Holding, Lease, Pool, Portion, Report, Take};
pub use leases::{Leases, Seen, Source, Taken};
pub use sizing::Sizing;
