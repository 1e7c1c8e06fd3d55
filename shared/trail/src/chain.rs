//! Whether a chain is whole. Pure, so that anyone can do it offline.

use crate::entry::{Entry, EntryView, GENESIS};

/// The last entry of a chain. Who notes it down can tell later that the end was not cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are.
    pub seq: u64,
    /// The hash of the last one; zeros if there is none.
    pub hash: String,
}

impl Head {
    /// The head of a chain that has no entry yet.
    pub fn genesis() -> Self {
        Self {
            seq: 0,
            hash: GENESIS.to_owned(),
        }
    }

    /// The head of a chain whose last entry is shown so.
    pub fn shown(last: &EntryView) -> Self {
        Self {
            seq: last.seq,
            hash: last.hash.clone(),
        }
    }

    /// The head of a chain whose last entry this is.
    pub fn of(last: &Entry) -> Self {
        Self {
            seq: last.seq,
            hash: last.hash.clone(),
        }
    }
}

/// Where a chain is broken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Another entry is expected here: one was removed, added or moved.
    #[error("entry {0} is missing or misplaced")]
    Order(u64),
    /// The entry stands in another chain.
    #[error("entry {0} is of another chain")]
    Chain(u64),
    /// The entry does not follow the one before it.
    #[error("entry {0} does not follow the one before it")]
    Link(u64),
    /// The entry is not what was hashed.
    #[error("entry {0} was changed")]
    Content(u64),
}

/// What ties an entry to its chain.
pub(crate) struct Link<'a> {
    pub(crate) chain: &'a str,
    pub(crate) seq: u64,
    pub(crate) prev_hash: &'a str,
    pub(crate) hash: &'a str,
    /// What `hash` must be.
    pub(crate) digest: &'a str,
}

/// A walk along a chain, from its first entry.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The last entry it came to.
    pub(crate) head: Head,
    /// The name of the chain, from its first entry.
    pub(crate) chain: Option<String>,
}

impl Walk {
    pub(crate) fn begin() -> Self {
        Self {
            head: Head::genesis(),
            chain: None,
        }
    }

    /// Goes on to the next entry, if it is that.
    pub(crate) fn step(&mut self, next: &Link<'_>) -> Result<(), Broken> {
        let expected = self.head.seq + 1;
        if self.chain.get_or_insert_with(|| next.chain.to_owned()) != next.chain {
            return Err(Broken::Chain(expected));
        }
        if next.seq != expected {
            return Err(Broken::Order(expected));
        }
        if next.prev_hash != self.head.hash {
            return Err(Broken::Link(expected));
        }
        if next.digest != next.hash {
            return Err(Broken::Content(expected));
        }
        self.head = Head {
            seq: expected,
            hash: next.hash.to_owned(),
        };
        Ok(())
    }
}

/// Checks a whole chain, oldest first: returns its head, or where it is broken first.
pub fn verify<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Head, Broken> {
    let mut walk = Walk::begin();
    for entry in entries {
        walk.step(&Link {
            chain: &entry.chain.name(),
            seq: entry.seq,
            prev_hash: &entry.prev_hash,
            hash: &entry.hash,
            digest: &entry.digest(),
        })?;
    }
    Ok(walk.head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, Change};
    use kernel::{ApiKeyId, OrgId, Time, UserId};
    use proptest::prelude::*;
    use serde_json::json;

    fn chain(length: usize) -> Vec<Entry> {
        let now = Time::from_millis(1_700_000_000_000);
        let (org, user) = (OrgId::new(now), UserId::new(now));
        let mut entries: Vec<Entry> = Vec::new();
        for place in 0..length {
            let change = Change::by(user, "project.updated", "project", place).to(json!({"name": place}));
            let time = now.plus_seconds(i64::try_from(place).unwrap());
            let head = entries.last().map_or_else(Head::genesis, Head::of);
            entries.push(Entry::after(&head, Chain::Org(org), &change, time));
        }
        entries
    }

    fn change(entry: &mut Entry, field: usize) {
        let other = UserId::from_bits(7);
        match field {
            0 => entry.id = kernel::AuditId::from_bits(7),
            1 => entry.actor_user_id = Some(other),
            2 => entry.target_type.push('x'),
            3 => entry.target_id.push('x'),
            4 => entry.action.push('x'),
            5 => entry.old_value = Some("1".to_owned()),
            6 => entry.new_value = None,
            7 => entry.created_at = entry.created_at.plus_millis(1),
            8 => entry.chain = Chain::User(other),
            9 => entry.seq += 1,
            10 => entry.actor_api_key_id = Some(ApiKeyId::from_bits(7)),
            11 => entry.prev_hash.replace_range(0..1, "x"),
            _ => entry.hash.replace_range(0..1, "x"),
        }
    }

    proptest! {
        #[test]
        fn a_whole_chain_ends_in_its_head(length in 0_usize..12) {
            let entries = chain(length);
            let head = verify(&entries).unwrap();
            prop_assert_eq!(head.seq, length as u64);
            prop_assert_eq!(head.hash, entries.last().map_or(GENESIS, |last| &last.hash).to_owned());
        }

        #[test]
        fn a_changed_entry_is_found(length in 1_usize..12, place: prop::sample::Index, field in 0_usize..13) {
            let mut entries = chain(length);
            change(&mut entries[place.index(length)], field);
            prop_assert!(verify(&entries).is_err());
        }

        #[test]
        fn a_changed_entry_is_found_even_if_hashed_anew(length in 2_usize..12, place: prop::sample::Index) {
            let (mut entries, head) = (chain(length), verify(&chain(length)).unwrap());
            let changed = &mut entries[place.index(length)];
            changed.action.push('x');
            changed.hash = changed.digest();
            prop_assert_ne!(verify(&entries), Ok(head));
        }

        #[test]
        fn a_removed_entry_is_found(length in 1_usize..12, place: prop::sample::Index) {
            let mut entries = chain(length);
            let head = verify(&entries).unwrap();
            entries.remove(place.index(length));
            // The last one leaves a whole but shorter chain: its head is not the one that was noted down.
            prop_assert_ne!(verify(&entries), Ok(head));
        }

        #[test]
        fn reordered_entries_are_found(length in 2_usize..12, one: prop::sample::Index, other: prop::sample::Index) {
            let (one, other) = (one.index(length), other.index(length));
            prop_assume!(one != other);
            let mut entries = chain(length);
            entries.swap(one, other);
            prop_assert!(verify(&entries).is_err());
        }
    }
}
