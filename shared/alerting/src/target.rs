//! Where notices go, and what webhooks are signed with. Pure.

use std::fmt;

use identity::project::AlertDefaults;
use kernel::{Check, Result};
use notifications::Channel;
use outbound::AllowList;

/// The longest target.
const LONGEST: usize = 2_000;

/// Wants a target that notices can be sent to by this channel: an email address, or a URL that the guard of outgoing
/// calls lets through. The guard looks again at every call, for what a name resolves to may change. A URL is kept as it was
/// parsed, so what is shown is what is called.
pub fn check(check: &mut Check, allow: &AllowList, field: &str, channel: Channel, target: &mut String) {
    if target.len() > LONGEST {
        check.that(false, field, format!("must have at most {LONGEST} bytes"));
        return;
    }
    match channel {
        Channel::Email => check.email(field, target),
        Channel::Webhook => match outbound::check(target, allow) {
            Ok(url) => *target = url.into(),
            Err(refused) => check.that(
                false,
                field,
                format!("{refused}; webhooks go to public https addresses only"),
            ),
        },
    }
}

/// Wants a target in a project's defaults that notices can be sent to; 422 names it.
pub fn check_defaults(defaults: Option<&mut AlertDefaults>, allow: &AllowList) -> Result<()> {
    let mut found = Check::default();
    if let Some(defaults) = defaults
        && let (Some(channel), Some(target)) = (defaults.channel, &mut defaults.target)
    {
        check(&mut found, allow, "alertDefaults.target", channel, target);
    }
    found.done()
}

/// What calls of a webhook are signed with. Stored sealed, shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new() -> Self {
        Self(notifications::webhook::new_secret())
    }

    /// The secret's text, for the one reply that shows it.
    pub fn reveal(self) -> String {
        self.0
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(whsec_…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Error;

    fn problem(channel: Channel, target: &str, allow: &str) -> Option<String> {
        let mut found = Check::default();
        check(
            &mut found,
            &AllowList::parse(allow),
            "target",
            channel,
            &mut target.to_owned(),
        );
        match found.done() {
            Ok(()) => None,
            Err(Error::Invalid(problems)) => Some(problems[0].problem.clone()),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_webhook_goes_to_public_addresses_and_the_refusal_says_so() {
        for good in ["https://hooks.example.com/alerts?x=1", "https://93.184.215.14:8443/"] {
            assert_eq!(problem(Channel::Webhook, good, ""), None, "{good}");
        }
        for bad in [
            "https://169.254.169.254/latest/meta-data",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://[::ffff:10.0.0.1]/",
            "https://localhost/",
            "https://vault.internal/",
            "http://hooks.example.com/",
            "ftp://hooks.example.com/",
            "a@example.com",
            "",
        ] {
            let problem = problem(Channel::Webhook, bad, "").unwrap_or_else(|| panic!("{bad} is taken"));
            assert!(problem.contains("public"), "{bad}: {problem}");
        }
        for bad in [
            "https://exa\nmple.com/h",
            "https://example.com/\th",
            "https:example.com/h",
            "https:\\\\example.com\\h",
        ] {
            let problem = problem(Channel::Webhook, bad, "").unwrap_or_else(|| panic!("{bad} is taken"));
            assert!(problem.contains("URL"), "{bad}: {problem}");
        }
        let named = problem(Channel::Webhook, "https://169.254.169.254/", "").unwrap();
        assert!(named.contains("169.254.169.254"), "{named}");
        assert_eq!(problem(Channel::Webhook, "http://127.0.0.1:9/hook", "127.0.0.1"), None);
    }

    #[test]
    fn a_webhook_is_kept_as_it_is_called() {
        let mut target = "HTTPS://Hooks.Example.COM:443/a/../b c".replace(' ', "%20");
        check(
            &mut Check::default(),
            &AllowList::default(),
            "target",
            Channel::Webhook,
            &mut target,
        );
        assert_eq!(target, "https://hooks.example.com/b%20c");
    }

    #[test]
    fn a_mail_goes_to_an_address() {
        assert_eq!(problem(Channel::Email, "oncall@example.com", ""), None);
        for bad in ["", "nobody", "a@example.com, b@example.com", "https://example.com/"] {
            assert!(problem(Channel::Email, bad, "").is_some(), "{bad}");
        }
        let long = format!("https://example.com/{}", "x".repeat(LONGEST));
        assert!(problem(Channel::Webhook, &long, "").is_some());
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new();
        assert!(!format!("{secret:?}").contains(&secret.text()[6..]));
    }
}
