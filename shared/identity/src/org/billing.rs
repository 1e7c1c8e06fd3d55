//! What an organization's invoices need to know of it, and when they are due. Pure.
//!
//! It lies beside the organization and not in it: that is looked at in each change, and should stay small.

pub mod logo;
pub(crate) mod store;

use kernel::number::{self, Given};
use kernel::{Address, Check, OrgId, Rate};
use serde::{Deserialize, Serialize};

/// A logo that is a `data:` URL has at most so many characters: a picture of 30 KB.
const LONGEST_LOGO: usize = 40_000;
/// Any other URL.
const LONGEST_URL: usize = 2_000;
/// So many reminders are sent.
const MOST_REMINDERS: usize = 10;

/// What an organization's invoices need to know of it, and when they are due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BillingSettings {
    /// Whose they are.
    pub org: OrgId,
    /// Where it is.
    pub address: Option<Address>,
    /// What it taxes where neither an invoice nor a client says otherwise.
    pub tax_rate: Option<Rate>,
    /// Its tax number.
    pub tax_id: Option<String>,
    /// A picture on its invoices: a `data:` URL, or one of https.
    pub logo: Option<String>,
    /// The colour of its invoices, such as `#1f6feb`.
    pub color: Option<String>,
    /// So many days after the one that it is dated an invoice is due.
    pub due_in_days: u16,
    /// So long after a period its usage is waited for.
    pub usage_grace_hours: u16,
    /// So many days after the due one reminders are sent, ascending.
    pub reminder_days: Vec<u16>,
    /// So many days after the due one a subscription's contract is suspended that was not paid; nothing for never.
    #[serde(default)]
    pub suspend_after_days: Option<u16>,
    #[serde(default)]
    version: u64,
}

impl BillingSettings {
    /// Those of an organization that never said any.
    pub fn new(org: OrgId) -> Self {
        Self {
            org,
            address: None,
            tax_rate: None,
            tax_id: None,
            logo: None,
            color: None,
            due_in_days: 14,
            usage_grace_hours: 1,
            reminder_days: vec![3, 10, 20],
            suspend_after_days: None,
            version: 0,
        }
    }

    /// The same, with what a patch changes.
    pub(crate) fn changed(self, patch: BillingPatch) -> kernel::Result<Self> {
        let rate = |given: Given| {
            let mut check = Check::default();
            let rate = number::read(&mut check, "taxRate", &given);
            check.done().map(|()| rate)
        };
        let tax_rate = match patch.tax_rate {
            None => self.tax_rate,
            Some(None) => None,
            Some(Some(given)) => rate(given)?,
        };
        Ok(Self {
            address: patch.address.unwrap_or(self.address),
            tax_rate,
            tax_id: patch.tax_id.unwrap_or(self.tax_id),
            logo: patch.logo.unwrap_or(self.logo),
            color: patch.color.unwrap_or(self.color),
            due_in_days: patch.due_in_days.unwrap_or(self.due_in_days),
            usage_grace_hours: patch.usage_grace_hours.unwrap_or(self.usage_grace_hours),
            reminder_days: patch.reminder_days.unwrap_or(self.reminder_days),
            suspend_after_days: patch.suspend_after_days.unwrap_or(self.suspend_after_days),
            ..self
        })
    }
}

/// What changes an organization's billing settings; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct BillingPatch {
    /// Where it is.
    pub address: Option<Option<Address>>,
    /// What it taxes where nothing else is said.
    pub tax_rate: Option<Option<Given>>,
    /// Its tax number.
    pub tax_id: Option<Option<String>>,
    /// A picture on its invoices.
    pub logo: Option<Option<String>>,
    /// The colour of its invoices.
    pub color: Option<Option<String>>,
    /// So many days later an invoice is due.
    pub due_in_days: Option<u16>,
    /// So long usage is waited for.
    pub usage_grace_hours: Option<u16>,
    /// So many days after the due one reminders are sent.
    pub reminder_days: Option<Vec<u16>>,
    /// So many days after the due one a subscription's contract is suspended that was not paid; null for never.
    pub suspend_after_days: Option<Option<u16>>,
}

impl BillingPatch {
    /// Notes every rule that it breaks.
    pub fn check(&self, check: &mut Check) {
        if let Some(Some(address)) = &self.address {
            address.check(check, "address");
        }
        if let Some(Some(rate)) = &self.tax_rate {
            number::read::<Rate>(check, "taxRate", rate);
        }
        if let Some(Some(id)) = &self.tax_id {
            check.text("taxId", id, 1..=200);
        }
        if let Some(Some(logo)) = &self.logo {
            let problem = "must be an https URL, or a data URL of a PNG, JPEG or SVG picture of at most 30 KB";
            check.that(is_picture(logo), "logo", problem);
        }
        if let Some(Some(color)) = &self.color {
            check.that(is_color(color), "color", "must be a colour such as `#1f6feb`");
        }
        if let Some(days) = self.due_in_days {
            check.range("dueInDays", days, 0..=365);
        }
        if let Some(hours) = self.usage_grace_hours {
            check.range("usageGraceHours", hours, 0..=168);
        }
        if let Some(days) = &self.reminder_days {
            let within = days.len() <= MOST_REMINDERS && days.iter().all(|day| (1..=365).contains(day));
            let ascending = days.is_sorted_by(|one, next| one < next);
            let problem = format!("must be at most {MOST_REMINDERS} numbers from 1 to 365, ascending");
            check.that(within && ascending, "reminderDays", problem);
        }
        if let Some(Some(days)) = self.suspend_after_days {
            check.range("suspendAfterDays", days, 1..=365);
        }
    }
}

fn is_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or_default();
    digits.len() == 6 && digits.chars().all(|c| c.is_ascii_hexdigit())
}

fn is_picture(text: &str) -> bool {
    if let Some(address) = text.strip_prefix("https://") {
        let host = address.split(['/', '?', '#']).next().unwrap_or_default();
        return text.len() <= LONGEST_URL && host.contains('.') && text.chars().all(|c| c.is_ascii_graphic());
    }
    let data = [
        "data:image/png;base64,",
        "data:image/jpeg;base64,",
        "data:image/svg+xml;base64,",
    ]
    .into_iter()
    .find_map(|kind| text.strip_prefix(kind));
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    text.len() <= LONGEST_LOGO && data.is_some_and(|data| !data.is_empty() && data.chars().all(is_base64))
}

#[cfg(test)]
mod tests {
    use kernel::Error;

    use super::*;

    fn broken(patch: &BillingPatch) -> Vec<String> {
        let mut check = Check::default();
        patch.check(&mut check);
        match check.done() {
            Err(Error::Invalid(problems)) => problems.into_iter().map(|problem| problem.field).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn logos_are_pictures_and_colours_are_colours() {
        let logo = |text: &str| {
            broken(&BillingPatch {
                logo: Some(Some(text.to_owned())),
                ..BillingPatch::default()
            })
        };
        for good in [
            "https://cdn.example.com/logo.png?v=1",
            "data:image/png;base64,iVBORw0KGgo=",
            "data:image/svg+xml;base64,PHN2Zz4=",
        ] {
            assert!(logo(good).is_empty(), "{good}");
        }
        let long = format!("data:image/png;base64,{}", "A".repeat(LONGEST_LOGO));
        for bad in [
            "",
            "logo.png",
            "http://a.b/c",
            "https://",
            "https:///x.y",
            "https://a.b/ c",
            "data:text/html;base64,PGI+",
            "data:image/png;base64,",
            "data:image/png;base64,<b>",
            "javascript:alert(1)",
            &long,
        ] {
            assert_eq!(logo(bad), ["logo"], "{bad}");
        }
        assert!(is_color("#1F6feb"));
        for bad in ["", "1f6feb", "#fff", "#1f6fe", "#1f6feg", "#1f6febb", "red"] {
            assert!(!is_color(bad), "{bad}");
        }
    }

    #[test]
    fn days_are_bounded_and_ascend() {
        let days = |days: &[u16]| {
            broken(&BillingPatch {
                reminder_days: Some(days.to_vec()),
                ..BillingPatch::default()
            })
        };
        assert!(days(&[]).is_empty() && days(&[1, 365]).is_empty());
        for bad in [
            &[0][..],
            &[3, 3],
            &[10, 3],
            &[366],
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ] {
            assert_eq!(days(bad), ["reminderDays"], "{bad:?}");
        }
        let patch = BillingPatch {
            due_in_days: Some(366),
            usage_grace_hours: Some(169),
            suspend_after_days: Some(Some(0)),
            ..BillingPatch::default()
        };
        assert_eq!(broken(&patch), ["dueInDays", "usageGraceHours", "suspendAfterDays"]);
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let settings = BillingSettings::new(OrgId::from_bits(1));
        let patch = BillingPatch {
            tax_rate: Some(serde_json::from_str("7.7").ok()),
            tax_id: Some(Some("DE1".to_owned())),
            due_in_days: Some(30),
            ..BillingPatch::default()
        };
        let changed = settings.clone().changed(patch).unwrap();
        assert_eq!(changed.tax_rate.unwrap().to_string(), "7.7");
        assert_eq!((changed.due_in_days, changed.usage_grace_hours), (30, 1));
        let back = BillingPatch {
            tax_rate: Some(None),
            tax_id: Some(None),
            due_in_days: Some(14),
            ..BillingPatch::default()
        };
        assert_eq!(changed.changed(back).unwrap(), settings);
    }
}
