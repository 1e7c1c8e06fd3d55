//! Field rules of inputs: every broken rule is named at once, with the path of its field.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Error, FieldProblem, Result, mailbox};

/// A body that a route takes: what deserializes it refuses unknown fields, `check` says which rules it breaks.
pub trait Input {
    /// Notes every rule that this input breaks.
    fn check(&self, check: &mut Check);
}

/// For a field of a PATCH: absent leaves the value as it is, and null is a value like any other, which only a field
/// that may be empty can be read from. Use with `#[serde(default, deserialize_with = "kernel::check::given")]`.
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// For a field that holds an object or null: an array, which serde would take for a struct field by field, is refused.
/// Use with `#[serde(default, deserialize_with = "kernel::check::object")]`.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Object(PhantomData))
}

/// As [`object`], for a field of a PATCH: tells absent from null.
pub fn given_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    object(deserializer).map(Some)
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

/// Collects the broken rules of one input.
#[derive(Debug, Default)]
pub struct Check {
    problems: Vec<FieldProblem>,
}

impl Check {
    /// Checks a whole input: `Invalid` with every broken rule, or nothing.
    pub fn run(input: &impl Input) -> Result<()> {
        let mut check = Self::default();
        input.check(&mut check);
        check.done()
    }

    /// Ends the check: `Invalid` with every rule that was noted as broken, or nothing.
    pub fn done(self) -> Result<()> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.problems))
        }
    }

    /// Notes `problem` about `field` unless `holds`.
    pub fn that(&mut self, holds: bool, field: &str, problem: impl Into<String>) {
        if !holds {
            self.problems.push(FieldProblem {
                field: field.to_owned(),
                problem: problem.into(),
            });
        }
    }

    /// Wants that many characters, not only blanks, none a control character but line breaks and tabs.
    pub fn text(&mut self, field: &str, value: &str, length: RangeInclusive<usize>) {
        let characters = value.chars().count();
        let (least, most) = (*length.start(), *length.end());
        self.that(
            length.contains(&characters),
            field,
            format!("must have {least} to {most} characters"),
        );
        self.that(
            least == 0 || characters == 0 || value.chars().any(shows),
            field,
            "must not be blank",
        );
        let clean = value
            .chars()
            .all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
        self.that(clean, field, "must not contain control characters");
    }

    /// Wants a name that others are shown: [`Check::text`] of one line in which nothing turns the direction of what follows it.
    pub fn name(&mut self, field: &str, value: &str, length: RangeInclusive<usize>) {
        self.text(field, value, length);
        self.that(!value.contains(['\r', '\n']), field, "must be one line");
        let turns = |c| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        self.that(
            !value.contains(turns),
            field,
            "must not contain controls of the direction of text",
        );
    }

    /// Wants a name that mails of ours carry to others: [`Check::name`] that is no address of a page, for such mails must not
    /// lead where whoever chose the name wants.
    pub fn mailed_name(&mut self, field: &str, value: &str, length: RangeInclusive<usize>) {
        self.name(field, value, length);
        let lower = value.to_lowercase();
        self.that(
            !lower.contains("://") && !lower.contains("www."),
            field,
            "must not contain `://` or `www.`: it stands in mails to others",
        );
    }

    /// Wants a number within bounds.
    pub fn range<N: PartialOrd + Copy + std::fmt::Display>(
        &mut self,
        field: &str,
        value: N,
        bounds: RangeInclusive<N>,
    ) {
        let (least, most) = bounds.into_inner();
        let within = least <= value && value <= most;
        self.that(within, field, format!("must be from {least} to {most}"));
    }

    /// Wants something that can be an email address and that mail can be sent to: [`crate::mailbox`].
    pub fn email(&mut self, field: &str, value: &str) {
        if let Err(problem) = mailbox::checked(value) {
            self.that(false, field, problem);
        } else if let Some(instead) = mailbox::folded(value) {
            self.that(false, field, format!("must be written as {instead}"));
        }
    }
}

/// Whether something of it can be seen: it is no blank, and none of the characters that are by default not shown
/// (`Default_Ignorable_Code_Point` of Unicode 17's `DerivedCoreProperties`, and the blank of Braille).
fn shows(c: char) -> bool {
    let hidden = matches!(
        c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
    );
    !hidden && !c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the check says of a name.
    fn of_name(value: &str) -> Vec<String> {
        let mut check = Check::default();
        check.name("name", value, 1..=100);
        match check.done() {
            Err(Error::Invalid(problems)) => problems.into_iter().map(|problem| problem.problem).collect(),
            other => {
                other.unwrap();
                Vec::new()
            }
        }
    }

    #[test]
    fn names_can_be_seen_and_turn_nothing_round() {
        for hidden in [
            '\u{200B}',
            '\u{FEFF}',
            '\u{AD}',
            '\u{3164}',
            '\u{2800}',
            '\u{A0}',
            '\u{2060}',
            '\u{E0041}',
        ] {
            assert_eq!(
                of_name(&format!("{hidden}{hidden}")),
                ["must not be blank"],
                "{hidden:?}"
            );
            assert!(of_name(&format!("a{hidden}b")).is_empty(), "{hidden:?}");
        }
        for control in ('\u{202A}'..='\u{202E}').chain('\u{2066}'..='\u{2069}') {
            let problems = of_name(&format!("invoice{control}fdp.exe"));
            assert_eq!(
                problems,
                ["must not contain controls of the direction of text"],
                "{control:?}"
            );
        }
        for broken in ["a\r\nBcc: x@example.com", "a\nb", "a\rb"] {
            assert_eq!(of_name(broken), ["must be one line"], "{broken:?}");
        }
        for good in ["שלום", "مرحبا", "\u{200F}a", "👩\u{200D}🔬", "東京"] {
            assert!(of_name(good).is_empty(), "{good}");
        }
    }

    #[derive(Deserialize)]
    struct Patch {
        #[serde(default, deserialize_with = "given")]
        name: Option<String>,
        #[serde(default, deserialize_with = "given")]
        note: Option<Option<String>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        x: Option<u8>,
    }

    #[derive(Deserialize)]
    struct Outer {
        #[serde(default, deserialize_with = "object")]
        plain: Option<Inner>,
        #[serde(default, deserialize_with = "given_object")]
        patch: Option<Option<Inner>>,
    }

    #[test]
    fn an_array_is_no_object() {
        let outer: Outer = serde_json::from_str(r#"{"plain":{"x":1},"patch":null}"#).unwrap();
        assert_eq!((outer.plain, outer.patch), (Some(Inner { x: Some(1) }), Some(None)));
        let outer: Outer = serde_json::from_str("{}").unwrap();
        assert_eq!((outer.plain, outer.patch), (None, None));
        for bad in [r#"{"plain":[null]}"#, r#"{"patch":[null]}"#, r#"{"plain":"x"}"#] {
            assert!(serde_json::from_str::<Outer>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_patch_tells_null_from_absent() {
        let patch: Patch = serde_json::from_str("{}").unwrap();
        assert!(patch.name.is_none() && patch.note.is_none());
        let patch: Patch = serde_json::from_str(r#"{"note":null}"#).unwrap();
        assert_eq!(patch.note, Some(None));
        assert!(serde_json::from_str::<Patch>(r#"{"name":null}"#).is_err());
    }

    struct Named(&'static str);
    impl Input for Named {
        fn check(&self, check: &mut Check) {
            check.text("name", self.0, 1..=3);
        }
    }

    #[test]
    fn every_broken_rule_is_named() {
        assert!(Check::run(&Named("abc")).is_ok());
        for bad in ["", "abcd", "  ", "a\u{0}"] {
            assert!(
                matches!(Check::run(&Named(bad)), Err(Error::Invalid(problems)) if problems[0].field == "name"),
                "{bad:?}"
            );
        }
    }
}
