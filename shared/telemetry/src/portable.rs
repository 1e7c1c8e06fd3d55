//! JSON that passes through us as it was sent must be readable for whoever gets it: what RFC 8259 leaves open, common parsers
//! do not take. Pure.

use kernel::{Error, Result};

/// A member's value is nested at most so deep. The strictest common parser takes that much.
const DEEPEST: usize = 64;

/// Refuses an event, in any format, of which a member is nested deeper than 64 levels, or has half of a surrogate pair in a text
/// (RFC 8259, section 8.2; RFC 7493, section 2.1); 422 names the member. `event` must be JSON.
pub(crate) fn check(event: &str) -> Result<()> {
    let (mut rest, mut depth, mut member, mut is_name) = (event, 0_usize, "body", false);
    while let Some(place) = rest.find(['"', '[', ']', '{', '}', ',']) {
        let (mark, after) = (rest.as_bytes()[place], &rest[place + 1..]);
        rest = after;
        match mark {
            b'"' => {
                let (text, after) = after.split_at(end_of_text(after));
                rest = after.get(1..).unwrap_or_default();
                if depth == 1 && is_name {
                    (member, is_name) = (text, false);
                }
                if has_half_a_pair(text) {
                    return Err(Error::invalid(member, "must not contain half of a surrogate pair"));
                }
            }
            b',' => is_name |= depth == 1,
            b'[' | b'{' => {
                depth += 1;
                is_name = depth == 1;
                if depth > DEEPEST + 1 {
                    let problem = format!("must not be nested deeper than {DEEPEST} levels");
                    return Err(Error::invalid(member, problem));
                }
            }
            _ => depth = depth.saturating_sub(1),
        }
    }
    Ok(())
}

/// Where the text that begins here ends, at its closing quote.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(text.len())
}

/// Whether an escape of a text is half of a pair whose other half does not follow.
fn has_half_a_pair(text: &str) -> bool {
    let (mut rest, mut high) = (text, false);
    while let Some(place) = rest.find('\\') {
        if high && place > 0 {
            return true;
        }
        let unit = rest
            .get(place + 2..place + 6)
            .filter(|_| rest.as_bytes().get(place + 1) == Some(&b'u'));
        let unit = unit.and_then(|unit| u16::from_str_radix(unit, 16).ok());
        let low = unit.is_some_and(|unit| (0xDC00..0xE000).contains(&unit));
        if low != high {
            return true;
        }
        high = unit.is_some_and(|unit| (0xD800..0xDC00).contains(&unit));
        rest = rest
            .get(place + if unit.is_some() { 6 } else { 2 }..)
            .unwrap_or_default();
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_of_pairs_are_found() {
        for bad in [
            r"\ud83d",
            r"a\ud83d b",
            r"\ud83d\ud83d",
            r"\ude00",
            r"\ud83d\n",
            r"\ud83dx\ude00",
            r"\\\uD83D",
            r"\ud83d\u0041",
        ] {
            assert!(has_half_a_pair(bad), "{bad}");
        }
        for good in [
            "",
            "a",
            r"\ud83d\ude00",
            r"\uD83D\uDE00\n",
            r"\\ud83d",
            r"\u00e9",
            r#"\"\\"#,
            "😀",
        ] {
            assert!(!has_half_a_pair(good), "{good}");
        }
    }

    proptest! {
        /// What is refused for its texts is what a parser that makes texts of them cannot read, and nothing else.
        #[test]
        fn it_agrees_with_a_parser(
            texts in prop::collection::vec(r#"([a-z]|\\u[dD][89abcdefAB][0-9a-f]{2}|\\ud83d\\ude00|\\u00e9|\\n|\\\\|\\"|[{}\[\],:]){0,6}"#, 1..5),
        ) {
            let members: Vec<String> = texts.iter().map(|text| format!(r#""m{text}":[{{"k{text}":"{text}"}}]"#)).collect();
            let event = format!("{{{}}}", members.join(","));
            prop_assert_eq!(check(&event).is_ok(), serde_json::from_str::<serde_json::Value>(&event).is_ok(), "{}", event);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}|[\\[\\]{}\",:u\\\\d83é]{0,60}") {
            let _ = check(&text);
        }
    }
}
