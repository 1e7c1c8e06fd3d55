//! Anchors: stored things that must still be as a guard saw them when what it let in is written.

use kernel::origin::{Anchor, Still};

use crate::record::{Key, Record};

/// Holds as long as nobody changes this record.
pub fn unchanged<R: Record>(record: &R) -> Anchor {
    anchor(record, Still::Version(record.version()))
}

/// Holds as long as this record, which is a `what`, is there and has no such attribute.
pub fn without<R: Record>(record: &R, attribute: &'static str, what: &'static str) -> Anchor {
    anchor(record, Still::Without { attribute, what })
}

fn anchor<R: Record>(record: &R, still: Still) -> Anchor {
    let Key { pk, sk } = record.key();
    Anchor {
        table: R::TABLE.variable(),
        pk,
        sk,
        still,
    }
}
