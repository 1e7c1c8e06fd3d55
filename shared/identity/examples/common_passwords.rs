//! Makes the filter of common passwords out of a list, one a line: `cargo run -p identity --example common_passwords --
//! 10_million_password_list_top_1M.txt shared/identity/src/password/common.bin`. The same list makes the same bytes.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, anyhow};
use identity::password::{SHORTEST, common, folded};
use xorf::{BinaryFuse16, DmaSerializable};

fn main() -> anyhow::Result<()> {
    let mut paths = std::env::args_os().skip(1);
    let list = paths.next().context("name the list")?;
    let filter = paths.next().context("name the file of the filter")?;
    let list = fs::read(list)?;
    let passwords = list
        .split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok());
    let passwords = passwords.map(|line| folded(line.trim_end_matches('\r')));
    // Shorter ones are refused for that.
    let long = passwords.filter(|password| password.chars().count() >= SHORTEST);
    let keys: BTreeSet<u64> = long.map(|password| common::key(&password)).collect();
    let keys: Vec<u64> = keys.into_iter().collect();
    let made = BinaryFuse16::try_from(&keys).map_err(|error| anyhow!(error))?;
    let mut bytes = vec![0; BinaryFuse16::DESCRIPTOR_LEN];
    made.dma_copy_descriptor_to(&mut bytes);
    bytes.extend_from_slice(made.dma_fingerprints());
    fs::write(filter, bytes)?;
    Ok(())
}
