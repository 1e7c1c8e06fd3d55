//! Claiming a key, stamping the claim, storing the reply.

use std::sync::Arc;

use anyhow::anyhow;
use aws_lc_rs::digest::{SHA256, digest};
use kernel::origin::{Claim, Progress, Stored};
use kernel::seal::{Keyring, Purpose};
use kernel::{Error, Result, Time};
use serde::Serialize;
use table::{Table, Write, WriteError};

use crate::record::{LEASE, MEMORY, Seen, Verdict, key};

const REPLIES: Purpose = Purpose::named("idempotent-replies");
const FINGERPRINTS: Purpose = Purpose::named("idempotency-fingerprints");

/// A request that is to be done once.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// In whose name space its key lies.
    pub owner: &'a str,
    /// What it asks for: keys of different routes have nothing to do with each other.
    pub route: &'a str,
    /// The key that its client chose.
    pub key: &'a str,
    /// What else must be the same for it to be the same request: who asks, the whole address, the body.
    pub parts: &'a [&'a [u8]],
}

impl Ask<'_> {
    /// What is derived for it alone.
    fn context(&self) -> String {
        [self.owner, self.route, self.key].join("\n")
    }

    fn name(&self) -> String {
        hex::encode(digest(&SHA256, format!("name\n{}", self.context()).as_bytes()))
    }

    /// The parts, each with its length in front, so that no other parts are written alike.
    fn bytes(&self) -> Vec<u8> {
        let framed = self
            .parts
            .iter()
            .flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat());
        framed.collect()
    }
}

/// A reply as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its HTTP status, from 200 to 299.
    pub status: u16,
    /// What its body is; nothing without a body.
    pub content_type: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// 200 with JSON.
    pub fn ok(view: &impl Serialize) -> Result<Self> {
        Self::json(200, view)
    }

    /// 201 with JSON.
    pub fn created(view: &impl Serialize) -> Result<Self> {
        Self::json(201, view)
    }

    /// A reply with JSON.
    pub fn json(status: u16, view: &impl Serialize) -> Result<Self> {
        Ok(Self {
            status,
            content_type: Some("application/json".to_owned()),
            body: serde_json::to_vec(view).map_err(anyhow::Error::new)?,
        })
    }

    /// 204.
    pub fn no_content() -> Self {
        Self {
            status: 204,
            content_type: None,
            body: Vec::new(),
        }
    }
}

/// What a transaction says of the request that it belongs to.
#[derive(Clone, Debug)]
pub enum Stamp {
    /// It began this, which is to be resumed by whoever comes again.
    Begun(String),
    /// It did this, and the reply follows.
    Effect(String),
    /// It did all, and this is replied.
    Reply(Reply),
}

impl Stamp {
    /// What is to be noted of the request once the stamp was stored.
    pub fn stored(self) -> Stored {
        match self {
            Self::Begun(what) => Stored::Begun(what),
            Self::Effect(what) => Stored::Effect(what),
            Self::Reply(_) => Stored::Reply,
        }
    }
}

/// The write that stamps a claim in the transaction of the effect. Its condition does not hold if somebody else has the
/// key by now. Once it was stored, the claim's [`Progress::step`] must be told.
pub fn stamp(claim: &Claim, now: Time, stamp: &Stamp) -> Result<Write> {
    let mut seen = Seen::of(claim);
    match stamp {
        Stamp::Begun(what) => seen.begun = Some(what.clone()),
        Stamp::Effect(what) => seen.effect = Some(what.clone()),
        Stamp::Reply(reply) => {
            seen.status = Some(reply.status);
            seen.content_type.clone_from(&reply.content_type);
            seen.reply = claim.keys.seal(REPLIES, &claim.context, &reply.body);
            seen.until = now.plus_millis(MEMORY);
        }
    }
    Write::replace(&seen)
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Answer {
    /// It is to be done, under this claim.
    Do(Claim),
    /// It was done: this was the reply.
    Replay(Reply),
}

/// Does requests once. Cheap to make and to clone.
#[derive(Clone, Debug)]
pub struct Once {
    table: Table,
    keys: Arc<Keyring>,
}

impl Once {
    /// With records in this table, under these secrets.
    pub fn new(table: Table, keys: Arc<Keyring>) -> Self {
        Self { table, keys }
    }

    /// Claims a request's key, or says what it was answered before. `InFlight` while somebody works on it, `KeyReused` if
    /// it came with another request, `Refused` with `already_done` if it was done and nobody knows its reply.
    pub async fn claim(&self, now: Time, ask: &Ask<'_>) -> Result<Answer> {
        let (context, bytes) = (ask.context(), ask.bytes());
        let mut claim = Claim {
            owner: ask.owner.to_owned(),
            name: ask.name(),
            fingerprint: self.keys.mac(FINGERPRINTS, &context, &bytes).to_vec(),
            keys: self.keys.clone(),
            context,
            until: now.plus_millis(LEASE),
            resumed: None,
            progress: Progress::new(0, Stored::Nothing),
        };
        if self.store(&claim, Stored::Nothing).await? {
            return Ok(Answer::Do(claim));
        }
        let before = self.table.get::<Seen>(&key(&claim.owner, &claim.name)).await?;
        let before = before.ok_or_else(in_flight)?;
        let is_same = self
            .keys
            .verify(FINGERPRINTS, &claim.context, &bytes, &before.fingerprint);
        let begun = match before.judge(now, is_same) {
            Verdict::Replay(status) => return self.replay(&claim, before, status).map(Answer::Replay),
            Verdict::InFlight => return Err(in_flight()),
            Verdict::Reused => return Err(Error::KeyReused),
            Verdict::Done(effect) => return Err(already_done(&effect)),
            Verdict::Free(begun) => begun,
        };
        let stored = begun.clone().map_or(Stored::Nothing, Stored::Begun);
        (claim.resumed, claim.progress) = (begun, Progress::new(before.version, stored.clone()));
        if self.store(&claim, stored).await? {
            Ok(Answer::Do(claim))
        } else {
            Err(in_flight())
        }
    }

    /// Stores the record of a claim; says whether it was as this request knows it.
    async fn store(&self, claim: &Claim, stored: Stored) -> Result<bool> {
        let mut seen = Seen::of(claim);
        match &stored {
            Stored::Begun(what) => seen.begun = Some(what.clone()),
            Stored::Effect(what) => seen.effect = Some(what.clone()),
            Stored::Nothing | Stored::Reply => {}
        }
        self.write(claim, Write::save(&seen)?, stored).await
    }

    async fn write(&self, claim: &Claim, write: Write, stored: Stored) -> Result<bool> {
        match self.table.write([write]).await {
            Ok(()) => {
                claim.progress.step(stored);
                Ok(true)
            }
            Err(WriteError::Condition(_)) => Ok(false),
            Err(WriteError::Other(error)) => Err(error),
        }
    }

    fn replay(&self, claim: &Claim, before: Seen, status: u16) -> Result<Reply> {
        let body = self.keys.open(REPLIES, &claim.context, &before.reply);
        Ok(Reply {
            status,
            content_type: before.content_type,
            body: body.ok_or_else(|| anyhow!("a remembered reply is damaged, or its secret is gone"))?,
        })
    }

    /// Ends a claim. A success is remembered with its reply, unless its transaction did that. After anything else the key
    /// is free, so that a corrected request may use it; what was begun is resumed, and what was done is told, by whoever
    /// comes next. Whoever took over after the lease keeps the key.
    pub async fn settle(&self, now: Time, claim: &Claim, reply: Option<&Reply>) -> Result<()> {
        let last = claim.progress.last();
        let write = match (reply, &last.stored) {
            (_, Stored::Reply) => return Ok(()),
            (Some(reply), _) => stamp(claim, now, &Stamp::Reply(reply.clone()))?,
            (None, Stored::Nothing) => Write::delete(&Seen::of(claim)),
            (None, stored) => {
                let ended = Claim {
                    until: now,
                    ..claim.clone()
                };
                self.store(&ended, stored.clone()).await?;
                return Ok(());
            }
        };
        self.write(claim, write, Stored::Reply).await?;
        Ok(())
    }
}

/// Somebody works on it; or its key has just become free.
fn in_flight() -> Error {
    Error::InFlight { retry_after_seconds: 1 }
}

fn already_done(effect: &str) -> Error {
    let detail = format!("this request was carried out before, but its reply was lost; see {effect}");
    Error::refused("already_done", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask<'a>(key: &'a str, parts: &'a [&'a [u8]]) -> Ask<'a> {
        Ask {
            owner: "ORG#org_1",
            route: "/v1/projects",
            key,
            parts,
        }
    }

    #[test]
    fn a_key_belongs_to_its_owner_and_its_route() {
        let other_owner = Ask {
            owner: "ORG#org_2",
            ..ask("1", &[])
        };
        let other_route = Ask {
            route: "/v1/alerts",
            ..ask("1", &[])
        };
        let names = [ask("1", &[]), ask("2", &[]), other_owner, other_route].map(|ask| ask.name());
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }

    proptest! {
        #[test]
        fn other_parts_are_never_the_same_request(one: Vec<Vec<u8>>, other: Vec<Vec<u8>>) {
            let slices = |parts: &'_ [Vec<u8>]| parts.iter().map(Vec::as_slice).map(<[u8]>::to_vec).collect::<Vec<_>>();
            let bytes = |parts: &[Vec<u8>]| {
                let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                ask("1", &parts).bytes()
            };
            prop_assert_eq!(slices(&one) == slices(&other), bytes(&one) == bytes(&other));
        }
    }
}
