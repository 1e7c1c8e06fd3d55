//! A chain as a file that anyone can verify offline: one line an entry, oldest first, and one for the head. Pure.
//!
//! A line is the canonical JSON (RFC 8785) of what lists show, so what is hashed are the line's own bytes without the
//! member `hash`, with digests where it discloses personal data. The last line is the head: how many entries there are and the hash of the last one.
//! `docs/audit-export.md` tells it to those who write a verifier of their own.

use kernel::Time;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::chain::{Broken, Head, Link, Walk};
use crate::disclosure::conceal;
use crate::entry::{Chain, EntryView, GENESIS, canonical, sha256};

/// The widest whole number of an entry.
const WIDEST: u64 = (1 << 53) - 1;
/// So deep are the objects and lists of a line.
const DEEPEST: usize = 64;

/// Writes an entry as a line, without its line break.
pub fn entry_line(entry: &EntryView) -> kernel::Result<String> {
    let view = serde_json::to_value(entry).map_err(anyhow::Error::new)?;
    Ok(canonical(&view))
}

/// Writes the head of a chain at `now` as a line, without its line break.
pub fn head_line(chain: Chain, head: &Head, now: Time) -> String {
    canonical(&json!({"at": now, "chain": chain.name(), "count": head.seq, "hash": head.hash}))
}

/// What is wrong with an export, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Flaw {
    /// The line, from 1; one past the last if something is missing at the end.
    pub line: usize,
    /// What is wrong with it.
    pub what: What,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// No entry or head was written so: it was damaged or written anew.
    #[error("not the canonical JSON of an entry or a head")]
    Form,
    /// The chain is broken here.
    #[error("{0}")]
    Chain(#[from] Broken),
    /// The head says something else than the entries before it.
    #[error("the head does not fit the entries before it: entries are missing, or it was changed")]
    Head,
    /// The head is the last line.
    #[error("something follows the head")]
    AfterHead,
    /// The last line is no head.
    #[error("the head is missing: the end of the export was cut off")]
    NoHead,
    /// No entry has the hash that was noted.
    #[error("no entry has the hash that was noted: entries are missing, or the chain was made anew")]
    Noted,
}

/// A whole export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Whose chain it is: the id of an organization or person.
    pub chain: String,
    /// Its last entry.
    pub head: Head,
    /// When it was exported, as the head says; the one thing that no hash covers.
    pub at: Time,
    /// The place of the entry whose hash was noted.
    pub noted: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadLine {
    at: Time,
    chain: String,
    count: u64,
    hash: String,
}

/// Verifies an export line by line, in constant memory.
#[derive(Debug)]
pub struct Verifier {
    walk: Walk,
    line: usize,
    /// The hash to look for, and where it was found.
    noted: Option<(String, Option<u64>)>,
    end: Option<Time>,
}

impl Verifier {
    /// Begins with an empty export. `noted` is the hash of a head that was noted down earlier, which must be among the
    /// entries; without one, nobody can tell that a chain was made anew or its end cut off with care.
    pub fn new(noted: Option<&str>) -> Self {
        let found = |hash: &str| (hash == GENESIS).then_some(0);
        Self {
            walk: Walk::begin(),
            line: 0,
            noted: noted.map(|hash| (hash.to_owned(), found(hash))),
            end: None,
        }
    }

    /// Reads the next line, without its line break.
    pub fn read(&mut self, line: &str) -> Result<(), Flaw> {
        self.line += 1;
        self.take(line).map_err(|what| Flaw { line: self.line, what })
    }

    fn take(&mut self, line: &str) -> Result<(), What> {
        if self.end.is_some() {
            return Err(What::AfterHead);
        }
        let mut value: Value = serde_json::from_str(line).map_err(|_| What::Form)?;
        if !is_plain(&value, 0) || canonical(&value) != line {
            return Err(What::Form);
        }
        if value.get("count").is_some() {
            return self.take_head(value);
        }
        let hash = value.as_object_mut().and_then(|fields| fields.shift_remove("hash"));
        conceal(&mut value).ok_or(What::Form)?;
        let text = |name: &str| value[name].as_str().ok_or(What::Form);
        let link = Link {
            chain: text("chain")?,
            seq: value["seq"].as_u64().ok_or(What::Form)?,
            prev_hash: text("prevHash")?,
            hash: hash.as_ref().and_then(Value::as_str).ok_or(What::Form)?,
            digest: &sha256(&canonical(&value)),
        };
        self.walk.step(&link)?;
        if let Some((noted, place)) = &mut self.noted
            && noted == link.hash
        {
            *place = Some(link.seq);
        }
        Ok(())
    }

    fn take_head(&mut self, value: Value) -> Result<(), What> {
        let at = value["at"].clone();
        let head: HeadLine = serde_json::from_value(value).map_err(|_| What::Form)?;
        // There is one way in which a time is written.
        if json!(head.at) != at {
            return Err(What::Form);
        }
        let chain = self.walk.chain.get_or_insert_with(|| head.chain.clone());
        if (head.count, &head.hash, &head.chain) != (self.walk.head.seq, &self.walk.head.hash, chain) {
            return Err(What::Head);
        }
        self.end = Some(head.at);
        Ok(())
    }

    /// Ends: the export is whole, or its end is missing.
    pub fn end(self) -> Result<Whole, Flaw> {
        let Some(at) = self.end else {
            return Err(Flaw {
                line: self.line + 1,
                what: What::NoHead,
            });
        };
        if let Some((_, None)) = self.noted {
            return Err(Flaw {
                line: self.line,
                what: What::Noted,
            });
        }
        Ok(Whole {
            chain: self.walk.chain.unwrap_or_default(),
            head: self.walk.head,
            at,
            noted: self.noted.and_then(|(_, place)| place),
        })
    }
}

/// Whether every parser reads it alike: no fractions, for JSON writes the same one in several ways; no whole numbers that
/// a double does not hold (RFC 8785); no deeper than parsers go.
fn is_plain(value: &Value, depth: usize) -> bool {
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|number| number.unsigned_abs() <= WIDEST),
        Value::Array(items) => depth < DEEPEST && items.iter().all(|item| is_plain(item, depth + 1)),
        Value::Object(members) => depth < DEEPEST && members.values().all(|member| is_plain(member, depth + 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
