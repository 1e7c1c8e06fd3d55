//! `cargo local audit verify`: whether an export of the audit trail is whole. Reads a file, asks nobody.

use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use trail::{Verifier, Whole};

/// DynamoDB stores an item of 400 KB at most; JSON escapes a byte by six at most.
const LONGEST_LINE: u64 = 4 * 1024 * 1024;

/// What is said about a whole export.
#[derive(Debug)]
pub struct Verdict(Whole);

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Whole { chain, head, at, noted } = &self.0;
        writeln!(f, "whole: {} entries of {chain}, exported at {at}", head.seq)?;
        write!(f, "head:  {}", head.hash)?;
        match noted {
            Some(place) => write!(
                f,
                "\nnoted: the head of entry {place}; nothing up to there has changed since"
            ),
            None => write!(
                f,
                "\nnoted: none; note this head down to know later that nothing before it has changed"
            ),
        }
    }
}

/// Verifies an export. `noted` is the hash of a head from an earlier time, which must be among the entries. An error
/// names the first line that is wrong.
pub fn verify(file: &Path, noted: Option<&str>) -> Result<Verdict> {
    let open = File::open(file).with_context(|| format!("open {}", file.display()))?;
    let mut reader = BufReader::new(open);
    let mut verifier = Verifier::new(noted);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line);
        if read.with_context(|| format!("read {}", file.display()))? == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        // What is not UTF-8 is no line of an export, nor is what stands for it here.
        verifier
            .read(&String::from_utf8_lossy(text))
            .with_context(|| file.display().to_string())?;
    }
    let whole = verifier.end().with_context(|| file.display().to_string())?;
    ensure!(whole.head.seq > 0 || noted.is_none(), "the chain has no entry yet");
    Ok(Verdict(whole))
}
