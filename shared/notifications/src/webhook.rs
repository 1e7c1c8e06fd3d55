//! Signatures of webhooks: symmetric scheme `v1` of the Standard Webhooks specification
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use anyhow::anyhow;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::{Error, Result, Time};

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// The specification wants 24 to 64 bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// Makes a secret: `whsec_` and 32 random bytes in base64.
pub fn new_secret() -> String {
    format!("{PREFIX}{}", STANDARD.encode(kernel::id::random::<32>()))
}

/// So much of a URL's end is shown.
const TAIL: usize = 3;
/// What follows a host must have so many characters for its end to be shown: less would tell too much of it.
const LONG: usize = 16;
/// Stands for what is not shown. No URL that was parsed has it.
const HIDDEN: char = '…';

/// What is shown of a webhook's URL: its origin, and the end of the rest. Services such as Slack have their secret in the path, so
/// whoever knows the whole can post there.
pub fn shown(url: &str) -> String {
    let begin = url.find("://").map_or(0, |place| place + 3);
    let host = url[begin..].find(['/', '?', '#']).unwrap_or(url.len() - begin);
    let (origin, rest) = url.split_at(begin + host);
    if matches!(rest, "" | "/") || rest.starts_with(&format!("/{HIDDEN}")) {
        return url.to_owned();
    }
    let length = rest.chars().count();
    let tail: String = rest.chars().skip(length - TAIL.min(length)).collect();
    let tail = if length < LONG { "" } else { tail.as_str() };
    format!("{origin}/{HIDDEN}{tail}")
}

/// Whether somebody sends back what they were shown of a URL, as it is or as URLs are written.
pub fn is_shown(text: &str, url: &str) -> bool {
    let shown = shown(url);
    shown != url && text.replace("%E2%80%A6", "…") == shown
}

/// The key in a secret. An error does not show the secret.
pub(crate) fn key(secret: &str) -> Result<Vec<u8>> {
    let key = secret.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
    key.filter(|key| LENGTHS.contains(&key.len())).ok_or_else(|| {
        Error::Internal(anyhow!(
            "a webhook's secret is not `whsec_` and 24 to 64 bytes of base64"
        ))
    })
}

/// The value of the header `webhook-signature`: signs the id, the second it is sent at, and the body.
pub fn sign(secret: &str, id: &str, sent_at: Time, body: &str) -> Result<String> {
    let key = hmac::Key::new(HMAC_SHA256, &key(secret)?);
    let signed = format!("{id}.{}.{body}", sent_at.seconds());
    Ok(format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_does() {
        // The example of the specification's reference libraries.
        let signature = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Time::from_millis(1_614_265_330_000),
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn of_a_url_no_secret_is_shown() {
        let slack = "https://hooks.slack.com/services/T000/B000/SECRETTOKEN";
        for (url, expected) in [
            (slack, "https://hooks.slack.com/…KEN"),
            (
                "https://a.example:8443/x?key=0123456789abcdef#y",
                "https://a.example:8443/…f#y",
            ),
            ("https://a.example?key=0123456789abcdef", "https://a.example/…def"),
            ("https://a.example/hook", "https://a.example/…"),
            ("https://a.example/", "https://a.example/"),
            ("https://a.example", "https://a.example"),
            (
                "https://[2001:db8::1]/services/0123456789",
                "https://[2001:db8::1]/…789",
            ),
            ("", ""),
        ] {
            assert_eq!(shown(url), expected, "{url}");
            assert_eq!(shown(&shown(url)), expected, "shown twice");
        }
        assert!(
            is_shown("https://hooks.slack.com/…KEN", slack) && is_shown("https://hooks.slack.com/%E2%80%A6KEN", slack)
        );
        assert!(!is_shown("https://hooks.slack.com/…KEX", slack) && !is_shown(slack, slack));
        assert!(!is_shown("https://a.example/", "https://a.example/"));
    }

    #[test]
    fn only_good_secrets_sign() {
        let now = Time::from_millis(0);
        assert!(sign(&new_secret(), "job", now, "{}").is_ok());
        for bad in [
            "",
            "whsec_",
            "whsec_AAAA",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_!",
        ] {
            let error = sign(bad, "job", now, "{}").unwrap_err();
            assert!(matches!(error, Error::Internal(_)), "{bad}");
        }
    }
}
