//! Whatever is done to an export is found, and in the right line.

use kernel::{Actor, ApiKeyId, OrgId, UserId};
use proptest::prelude::*;

use super::*;
use crate::entry::Entry;
use crate::{Change, Noted, Subject};

const NOW: Time = Time::from_millis(1_700_000_000_000);

/// An export of `length` entries whose values are of many kinds and sizes.
fn export(org: u128, length: usize, texts: &[String]) -> Vec<String> {
    let chain = Chain::Org(OrgId::from_bits(org));
    let mut head = Head::genesis();
    let mut lines = Vec::new();
    for place in 0..length {
        let actor = match place % 3 {
            0 => UserId::from_bits(7).into(),
            1 => Actor::ApiKey(ApiKeyId::from_bits(8)),
            _ => Actor::System,
        };
        let text = texts.get(place).map_or("plain", String::as_str);
        let change = Change::by(actor, "project.updated", "project", text)
            .from(json!({"name": text, "\u{e000}": [place, null, true], "\u{1f600}": {text: -1}}))
            .to(Noted::about(
                Subject::of(place),
                json!({"name": text.repeat(place), "ratio": 0.25}),
                &["name"],
            ));
        let entry = Entry::after(&head, chain, &change, NOW.plus_seconds(1));
        head = Head::of(&entry);
        // What every other one discloses was erased.
        let disclosures = if place % 2 == 0 {
            change.disclosures(&entry)
        } else {
            Vec::new()
        };
        lines.push(entry_line(&EntryView::of(entry, &disclosures).unwrap()).unwrap());
    }
    lines.push(head_line(chain, &head, NOW));
    lines
}

fn verify(lines: &[String], noted: Option<&str>) -> Result<Whole, Flaw> {
    let mut verifier = Verifier::new(noted);
    for line in lines {
        verifier.read(line)?;
    }
    verifier.end()
}

/// The hash that a line names as its own.
fn hash(line: &str) -> String {
    let value: Value = serde_json::from_str(line).unwrap();
    value["hash"].as_str().unwrap().to_owned()
}

#[track_caller]
fn check(lines: &[String], line: usize, what: impl Into<What>) {
    assert_eq!(
        verify(lines, None),
        Err(Flaw {
            line,
            what: what.into()
        })
    );
}

#[test]
fn what_was_done_to_an_export_is_named_with_its_line() {
    let whole = export(1, 5, &[]);
    assert_eq!(verify(&whole, None).unwrap().head.seq, 5);
    let changed = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = whole.clone();
        change(&mut lines);
        lines
    };
    let without = |place: usize| {
        changed(&|lines| {
            lines.remove(place);
        })
    };
    check(&without(0), 1, Broken::Order(1));
    check(&without(2), 3, Broken::Order(3));
    check(&without(4), 5, What::Head);
    check(&without(5), 6, What::NoHead);
    check(&changed(&|lines| lines.swap(1, 3)), 2, Broken::Order(2));
    check(
        &changed(&|lines| lines.insert(2, lines[1].clone())),
        3,
        Broken::Order(3),
    );
    check(
        &changed(&|lines| lines[2] = lines[2].replace("project", "invoice")),
        3,
        Broken::Content(3),
    );
    check(&changed(&|lines| lines[2] = lines[2].replace(':', ": ")), 3, What::Form);
    check(&changed(&|lines| lines.push(String::new())), 7, What::AfterHead);
    check(&changed(&|lines| lines.insert(0, String::new())), 1, What::Form);
    let other = export(2, 5, &[]);
    check(&changed(&|lines| lines[3] = other[3].clone()), 4, Broken::Chain(4));
    check(&changed(&|lines| lines[5] = other[5].clone()), 6, What::Head);
    check(&[], 1, What::NoHead);
}

#[test]
fn a_member_that_stands_twice_or_is_written_otherwise_is_found() {
    let whole = export(1, 1, &[]);
    for (from, to) in [
        (r#"{"action":"#, r#"{"action":"x","action":"#),
        (r#""seq":1"#, r#""seq":1.0"#),
        (r#""seq":1"#, r#""seq":1e0"#),
        ("project", "p\\u0072oject"),
        (r#""newValue""#, r#""extra":0.5,"newValue""#),
    ] {
        let line = whole[0].replacen(from, to, 1);
        assert_ne!(line, whole[0], "{from}");
        check(&[line, whole[1].clone()], 1, What::Form);
    }
}

#[test]
fn an_entry_hashed_anew_is_found_by_the_next_one_and_the_last_by_the_head() {
    let whole = export(1, 3, &[]);
    let anew = |place: usize| {
        let mut value: Value = serde_json::from_str(&whole[place].replace("project", "invoice")).unwrap();
        let fields = value.as_object_mut().unwrap();
        fields.shift_remove("hash");
        let mut hashed = value.clone();
        conceal(&mut hashed).unwrap();
        let digest = sha256(&canonical(&hashed));
        value["hash"] = json!(digest);
        let mut lines = whole.clone();
        lines[place] = canonical(&value);
        lines
    };
    check(&anew(0), 2, Broken::Link(2));
    check(&anew(1), 3, Broken::Link(3));
    check(&anew(2), 4, What::Head);
}

#[test]
fn a_chain_made_anew_is_found_by_a_head_that_was_noted() {
    let (whole, anew) = (export(1, 4, &[]), export(1, 4, &["other".to_owned()]));
    for place in 0..4 {
        let noted = hash(&whole[place]);
        let found = verify(&whole, Some(&noted)).unwrap().noted;
        assert_eq!(found, Some(place as u64 + 1));
        let flaw = Flaw {
            line: 5,
            what: What::Noted,
        };
        assert_eq!(verify(&anew, Some(&noted)), Err(flaw));
        // Cut off with care: a whole but shorter chain, with a head that fits.
        let cut = export(1, place, &[]);
        assert!(verify(&cut, None).is_ok());
        assert_eq!(verify(&cut, Some(&noted)).unwrap_err().what, What::Noted);
    }
    assert_eq!(verify(&export(1, 0, &[]), Some(GENESIS)).unwrap().noted, Some(0));
}

/// What somebody does to the lines of an export.
#[derive(Clone, Debug)]
enum Deed {
    Remove,
    Repeat,
    Move,
    Foreign,
    Byte(u8),
    Cut,
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        Just(Deed::Remove),
        Just(Deed::Repeat),
        Just(Deed::Move),
        Just(Deed::Foreign),
        (32_u8..127).prop_map(Deed::Byte),
        Just(Deed::Cut),
    ]
}

fn done(deed: &Deed, lines: &[String], one: prop::sample::Index, other: prop::sample::Index) -> Vec<String> {
    let (mut lines, place) = (lines.to_vec(), one.index(lines.len()));
    match deed {
        Deed::Remove => drop(lines.remove(place)),
        Deed::Repeat => lines.insert(other.index(lines.len() + 1), lines[place].clone()),
        Deed::Move => {
            let line = lines.remove(place);
            lines.insert(other.index(lines.len() + 1), line);
        }
        Deed::Foreign => lines[place] = export(2, lines.len(), &[]).swap_remove(place),
        Deed::Byte(byte) => {
            let mut bytes = lines[place].clone().into_bytes();
            let index = other.index(bytes.len());
            bytes[index] = *byte;
            lines[place] = String::from_utf8_lossy(&bytes).into_owned();
        }
        Deed::Cut => {
            let half = lines[place].chars().count() / 2;
            lines[place] = lines[place].chars().take(half).collect();
            lines.truncate(place + 1);
        }
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_whole_export_is_whole(length in 0_usize..8, texts in prop::collection::vec("\\PC{0,40}|[\\x00-\\x1f\"\\\\]{0,5}", 8)) {
        let lines = export(1, length, &texts);
        let whole = verify(&lines, None);
        prop_assert!(lines.iter().all(|line| !line.contains('\n')));
        prop_assert_eq!(whole.unwrap().head, Head { seq: length as u64, hash: hash(lines.last().unwrap()) });
    }

    #[test]
    fn whatever_is_done_to_an_export_is_found(
        length in 1_usize..8,
        texts in prop::collection::vec("\\PC{0,10}", 8),
        deed in deeds(),
        one: prop::sample::Index,
        other: prop::sample::Index,
    ) {
        let whole = export(1, length, &texts);
        let lines = done(&deed, &whole, one, other);
        prop_assume!(lines != whole);
        // When it was exported is the one thing that no hash covers.
        let at = |lines: &[String]| lines.last().map(|line| line[..line.len().min(34)].to_owned());
        prop_assume!(lines.len() != whole.len() || lines[..length] != whole[..length] || at(&lines) == at(&whole));
        prop_assert!(verify(&lines, None).is_err(), "{:?} left {:#?}", deed, lines);
    }

    #[test]
    fn no_text_is_an_export(text in "\\PC{0,200}|[\\{\\}\\[\\]\",:a-z0-9]{0,60}") {
        prop_assert!(verify(&[text], None).is_err());
    }
}
