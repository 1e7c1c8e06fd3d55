//! Where chains end, as this process knows it: who wrote the last entry of a chain need not read it to write the next one.
//!
//! Nothing rests on it: an entry is created where none is yet, so one that follows an old head is refused. That costs a
//! transaction, and a read does not; so a process trusts what it knows only while nobody else writes to the chain: after
//! its own entry followed its own entry.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kernel::{Result, Time};
use table::Table;

use crate::chain::Head;
use crate::entry::{Chain, Change, Entry};
use crate::store;

/// The ends of so many chains are known; then all are forgotten. About 250 bytes each.
const MOST: usize = 2_048;

/// The ends of chains.
#[derive(Debug, Default)]
pub struct Heads(Mutex<HashMap<Chain, Known>>);

#[derive(Debug)]
struct Known {
    head: Head,
    /// Whether nobody else has written between this process's last two entries.
    alone: bool,
}

impl Heads {
    /// The entry that tells of a change, after the last one of its chain. It is yet to be written, by `Write::create` in
    /// the transaction of the change; then tell what became of it.
    pub async fn entry(&self, table: &Table, chain: Chain, change: &Change, now: Time) -> Result<Entry> {
        let head = match self.trusted(chain) {
            Some(head) => head,
            None => store::head(table, chain).await?,
        };
        Ok(Entry::after(&head, chain, change, now))
    }

    /// The entry was written.
    pub fn written(&self, entry: &Entry) {
        let mut known = self.lock();
        let before = known.get(&entry.chain);
        let alone = before.is_some_and(|before| before.head.hash == entry.prev_hash);
        if before.is_none() && known.len() >= MOST {
            known.clear();
        }
        let head = Head::of(entry);
        known.insert(entry.chain, Known { head, alone });
    }

    /// Somebody else may have written to the chain.
    pub fn lost(&self, chain: Chain) {
        self.lock().remove(&chain);
    }

    fn trusted(&self, chain: Chain) -> Option<Head> {
        let known = self.lock();
        known
            .get(&chain)
            .filter(|known| known.alone)
            .map(|known| known.head.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Chain, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{OrgId, UserId};

    const CHAIN: Chain = Chain::Org(OrgId::from_bits(1));

    fn after(head: &Head, number: u32) -> Entry {
        let change = Change::by(UserId::from_bits(2), "note.written", "note", number);
        Entry::after(head, CHAIN, &change, Time::from_millis(1))
    }

    #[test]
    fn a_head_is_trusted_while_nobody_else_writes() {
        let heads = Heads::default();
        let first = after(&Head::genesis(), 1);
        heads.written(&first);
        assert_eq!(heads.trusted(CHAIN), None);
        let second = after(&Head::of(&first), 2);
        heads.written(&second);
        assert_eq!(heads.trusted(CHAIN), Some(Head::of(&second)));
        // Somebody else writes the third one; ours, the fourth, is refused once and follows the third then.
        heads.lost(CHAIN);
        assert_eq!(heads.trusted(CHAIN), None);
        let third = after(&Head::of(&second), 3);
        let fourth = after(&Head::of(&third), 4);
        heads.written(&fourth);
        assert_eq!(heads.trusted(CHAIN), None);
        // And the next one shows another's entry again.
        let sixth = after(&Head::of(&after(&Head::of(&fourth), 5)), 6);
        heads.written(&sixth);
        assert_eq!(heads.trusted(CHAIN), None);
    }

    #[test]
    fn not_endlessly_many_are_known() {
        let heads = Heads::default();
        for org in 0..=MOST as u128 {
            let mut entry = after(&Head::genesis(), 1);
            entry.chain = Chain::Org(OrgId::from_bits(org));
            heads.written(&entry);
        }
        assert_eq!(heads.lock().len(), 1);
    }
}
