//! Addresses of mail: what can be one, and how it is written for the mail service.
//!
//! The service takes seven bits: a domain of other letters has a form in them (IDNA 2008), what stands before the `@` has
//! none.

/// The longest address (RFC 5321), in bytes as it is sent.
const LONGEST: usize = 254;
/// The longest part before the `@`.
const LONGEST_LOCAL: usize = 64;
/// The longest part of a domain between dots.
const LONGEST_LABEL: usize = 63;

/// The form of an address that is sent to: its domain in ASCII. Nothing if it is no address.
pub fn ascii(address: &str) -> Option<String> {
    checked(address).ok()
}

/// The form of an address by which it is known again: as [`ascii`], in lower case.
pub fn known_by(address: &str) -> Option<String> {
    ascii(address).map(|address| address.to_ascii_lowercase())
}

/// The form that is sent to, or what is wrong with it: one `@`, a dotted domain, no blanks, at most 254 bytes.
pub(crate) fn checked(address: &str) -> Result<String, &'static str> {
    const NOT_ONE: &str = "must be an email address";
    let (local, domain) = address.rsplit_once('@').ok_or(NOT_ONE)?;
    let is_letter = |c: char| !c.is_ascii() && c.is_alphanumeric();
    if local.chars().any(is_letter) && local.chars().all(|c| is_plain(c) || is_letter(c)) {
        return Err("must have ASCII characters only before the `@`: mail to any other is not delivered");
    }
    let domain = if domain.is_ascii() {
        domain.to_owned()
    } else {
        idna::domain_to_ascii_strict(domain).map_err(|_| NOT_ONE)?
    };
    let address = format!("{local}@{domain}");
    let is_good =
        address.len() <= LONGEST && is_local(local) && domain.contains('.') && domain.split('.').all(is_label);
    if is_good { Ok(address) } else { Err(NOT_ONE) }
}

/// How an address is to be written instead; nothing if it is written so. Domains that look different are one to the mail service,
/// which folds letters such as `ｇ`; people are known by what they write, and must not be others by another letter.
pub(crate) fn folded(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    if domain.is_ascii() {
        return None;
    }
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    let (folded, _) = idna::domain_to_unicode(&ascii);
    (folded != domain.to_lowercase()).then(|| format!("{local}@{folded}"))
}

fn is_local(local: &str) -> bool {
    (1..=LONGEST_LOCAL).contains(&local.len())
        && local.chars().all(is_plain)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
}

fn is_plain(c: char) -> bool {
    c.is_ascii_graphic()
        && !matches!(
            c,
            '@' | '<' | '>' | '(' | ')' | ',' | ';' | ':' | '"' | '\\' | '[' | ']'
        )
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses() {
        for good in ["a@b.co", "first.last+tag@mail.example.com", "o'neil@example.org"] {
            assert_eq!(ascii(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "a",
            "@b.co",
            "a@",
            "a@b",
            "a b@c.de",
            "a@b..co",
            "a@-b.co",
            "a@b.co\n",
            "<a@b.co>",
            ".a@b.co",
            "é@b.co",
            "a@b.co\r\nBcc: x@example.com",
            "a@b\u{2028}.co",
            "a@bücher",
            "a@bü cher.example",
            "a@\u{AD}.co",
        ] {
            assert_eq!(ascii(bad), None, "{bad:?}");
        }
        assert_eq!(ascii(&format!("{}@example.com", "a".repeat(65))), None);
        assert_eq!(ascii(&format!("a@{}.example", "ü".repeat(70))), None);
    }

    #[test]
    fn a_domain_of_other_letters_is_sent_in_ascii() {
        assert_eq!(
            ascii("Ada@Bücher.example").as_deref(),
            Some("Ada@xn--bcher-kva.example")
        );
        assert_eq!(
            known_by("Ada@BÜCHER.example").as_deref(),
            Some("ada@xn--bcher-kva.example")
        );
        assert_eq!(
            known_by("ada@xn--bcher-kva.example").as_deref(),
            Some("ada@xn--bcher-kva.example")
        );
    }

    #[test]
    fn letters_that_stand_for_others_are_written_as_those() {
        for (written, instead) in [
            ("victim@\u{FF47}mail.com", "victim@gmail.com"),
            ("victim@gma\u{2139}l.com", "victim@gmail.com"),
            ("ada@bu\u{308}cher.example", "ada@bücher.example"),
            ("ada@example\u{3002}com", "ada@example.com"),
        ] {
            assert_eq!(folded(written).as_deref(), Some(instead), "{written}");
        }
        for plain in [
            "ada@example.com",
            "Ada@BÜCHER.example",
            "ada@straße.example",
            "ada@xn--bcher-kva.example",
        ] {
            assert_eq!(folded(plain), None, "{plain}");
        }
    }

    #[test]
    fn who_has_other_letters_before_the_at_is_told_so() {
        assert!(checked("zoë@example.com").unwrap_err().contains("before the `@`"));
        assert!(!checked("zoë <x@example.com").unwrap_err().contains("before the `@`"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_sent_is_ascii(text in "\\PC{0,40}|[a-zü.@-]{0,30}") {
            if let Some(sent) = ascii(&text) {
                prop_assert!(sent.is_ascii() && sent.len() <= LONGEST);
                prop_assert_eq!(ascii(&sent), Some(sent.clone()));
            }
        }
    }
}
