//! Requests that are done once, however often they are sent: keys that clients choose, fingerprints of what they sent,
//! and the replies that they got. Knows nothing of what is done, nor of who asks: whose key it is and what tells one
//! request from another are passed in as text, the secrets as a keyring.
//!
//! A key belongs to an owner and a route. Whoever comes first with it **claims** it for [`LEASE`]; meanwhile others are
//! told that it is being worked on. The transaction that has the effect **stamps** the claim ([`stamp`]), on the condition
//! that it is still this request's, with
//! - the reply, so that whoever comes again gets it, also when the process died right after; or
//! - what was **begun** and is not finished: whoever comes again is told ([`kernel::Origin::resumed`]) and goes on with
//!   that; or
//! - the effect alone, where the reply is not known yet: it is stored afterwards ([`Once::settle`]), and if the process
//!   dies in between, whoever comes again is refused with `already_done`, which names the effect.
//!
//! So nothing is done twice, and a process that was only thought dead comes too late for its effect. What has had no
//! effect frees its key, so that a corrected request may use it.
//!
//! A body may hold a password and a reply an API key. The table alone tells neither, whatever key the client chose: the
//! fingerprint is an HMAC, and the reply is sealed, with keys that are derived from secrets of ours, for this owner, route
//! and key alone. The name of a record is a plain hash, for it must stay the same when the secrets are changed.
//!
//! Known bounds: a request of more than 1 MiB is not taken with a key; of a reply of more than 384 KiB is only known that
//! it was given.

mod layer;
mod once;
mod record;

pub use layer::{REPLAYED, Who, remember};
pub use once::{Answer, Ask, Once, Reply, Stamp, stamp};
pub use record::{LEASE, MEMORY};
