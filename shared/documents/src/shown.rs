//! Texts that customers wrote, as a page can show them: every character that a font has, as it is.
//!
//! PDF/A has no place for a character without a glyph, so such a one becomes U+FFFD. What would turn other text around,
//! and what is no text, is left out.

use unicode_segmentation::UnicodeSegmentation;

use crate::fonts::FONTS;

/// In a word without a place to break it, one is made after so many characters.
const WORD: usize = 20;
/// A place where a line may end.
const BREAK: char = '\u{200b}';
const UNKNOWN: char = '\u{fffd}';

/// One line of text.
pub(crate) fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut since_break = 0;
    for cluster in text.graphemes(true) {
        let cluster = cluster_of(cluster);
        let may_break = cluster
            .chars()
            .any(|c| c.is_whitespace() || c == '-' || is_ideograph(c));
        since_break = if may_break { 0 } else { since_break + 1 };
        if since_break > WORD {
            shown.push(BREAK);
            since_break = 1;
        }
        shown.push_str(&cluster);
    }
    shown.trim().to_owned()
}

/// Lines of text; empty ones at the end are left out.
pub(crate) fn lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let mut lines: Vec<String> = text.split(['\n', '\r', '\u{2028}', '\u{2029}']).map(line).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// What is read as one character.
fn cluster_of(cluster: &str) -> String {
    let chars: Vec<char> = cluster.chars().filter_map(kept).collect();
    if FONTS.can_show(chars.iter().copied()) {
        return chars.into_iter().collect();
    }
    // No font has all of it: what it is built on stays, if there is one for that.
    let known = |c: &char| FONTS.can_show(std::iter::once(*c));
    chars.into_iter().find(known).unwrap_or(UNKNOWN).into()
}

/// The character, or a blank for what stands for one; nothing for what cannot be seen or turns what is around it:
/// directions and their ends, marks of variants, tags, fillers, noncharacters.
fn kept(c: char) -> Option<char> {
    match c {
        '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' => Some(' '),
        // Joiners decide how letters of Arabic and Devanagari look.
        '\u{200c}' | '\u{200d}' => Some(c),
        c if c.is_control() => None,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => None,
        _ => Some(c),
    }
}

/// Whether a line may end beside it.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xff00..=0xffef | 0x20000..=0x3ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_shown_stays_as_it_is() {
        for text in [
            "#let x = $1$ *a* _b_ `c` @d <e> \\f",
            "Ünïcode – Ωμέγα – Жук",
            "股份有限公司",
            "شركة",
            "दुकान",
            "ঌ".trim_matches('ঌ'),
        ] {
            assert_eq!(line(text), text);
        }
        assert_eq!(line("a\tb\u{0}\u{7}c\u{202e}d\u{200f}"), "a bcd");
        assert_eq!(line("🎉 ok"), "\u{fffd} ok");
        assert_eq!(lines("a\r\n\nb\n\n"), ["a", "", "b"]);
    }

    #[test]
    fn long_words_can_be_broken() {
        let shown = line(&"x".repeat(100));
        assert_eq!(shown.matches(BREAK).count(), 4);
        assert_eq!(line("a sentence of short words has no such place").find(BREAK), None);
    }
}
