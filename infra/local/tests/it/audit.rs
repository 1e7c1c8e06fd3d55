//! `cargo local audit verify`, on a chain that is written here by hand.

use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};

/// An export of `count` entries, by the rules of `docs/audit-export.md`; and the hash of each entry.
fn export(count: usize) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut hashes) = (Vec::new(), vec!["0".repeat(64)]);
    for seq in 1..=count {
        let before = hashes.last().unwrap();
        let (start, end) = (
            r#"{"action":"note.written","chain":"org_1""#,
            format!(r#""newValue":"né {seq}","prevHash":"{before}","seq":{seq}}}"#),
        );
        let hash = hex::encode(digest(&SHA256, format!("{start},{end}").as_bytes()));
        lines.push(format!(r#"{start},"hash":"{hash}",{end}"#));
        hashes.push(hash);
    }
    let head = hashes.last().unwrap();
    lines.push(format!(
        r#"{{"at":"2026-11-21T12:00:00.000Z","chain":"org_1","count":{count},"hash":"{head}"}}"#
    ));
    (lines, hashes)
}

/// Runs the command on these lines: whether it found them whole, and what it said.
fn verify(lines: &[String], arguments: &[&str]) -> (bool, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.join("\n") + "\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
    let done = command
        .args(["audit", "verify"])
        .arg(file.path())
        .args(arguments)
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn an_export_is_verified_from_the_command_line() {
    let (lines, hashes) = export(4);
    let (whole, said) = verify(&lines, &[]);
    assert!(
        whole && said.contains("whole: 4 entries of org_1") && said.contains(&hashes[4]),
        "{said}"
    );
    let (whole, said) = verify(&lines, &["--head", &hashes[2].to_uppercase()]);
    assert!(whole && said.contains("the head of entry 2"), "{said}");

    for (line, change) in [(2, "né 2"), (4, "\"seq\":4")] {
        let mut changed = lines.clone();
        changed[line - 1] = changed[line - 1].replace(change, "changed");
        let (whole, said) = verify(&changed, &[]);
        assert!(!whole && said.contains(&format!("line {line}: ")), "{said}");
    }
    let (whole, said) = verify(&[&lines[..1], &lines[2..]].concat(), &[]);
    assert!(
        !whole && said.contains("line 2: entry 2 is missing or misplaced"),
        "{said}"
    );
    // Cut off with care, which only a head that was noted shows.
    let (cut, _) = export(3);
    assert!(verify(&cut, &[]).0);
    let (whole, said) = verify(&cut, &["--head", &hashes[4]]);
    assert!(
        !whole && said.contains("line 4: no entry has the hash that was noted"),
        "{said}"
    );
    for bad in ["", "abc", &"g".repeat(64)] {
        assert!(!verify(&lines, &["--head", bad]).0, "{bad}");
    }
}
