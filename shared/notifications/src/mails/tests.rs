//! Every mail with tame and with hostile values, and how mails are stored.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const LINK: &str = "https://console.example.com/page#token=a&b";

fn render(letter: Letter) -> Rendered {
    Mail::to("ada@example.com", letter)
        .render(&"Countinghouse".into())
        .unwrap()
}

/// One of each mail; each text is `text`, each link [`LINK`].
fn each_saying(text: &str) -> Vec<Letter> {
    let say = |letter: Letter| {
        let mut stored = serde_json::to_value(letter).unwrap();
        for (name, value) in stored["variables"].as_object_mut().unwrap() {
            match name.as_str() {
                "link" => *value = LINK.into(),
                "role" | "changedAt" | "firedAt" | "resolvedAt" | "included" | "left" | "credits" | "payments"
                | "isPaid" | "gone" | "topic" | "more" => {}
                "news" => {
                    for one in value.as_array_mut().unwrap() {
                        (one["title"], one["text"]) = (text.into(), text.into());
                    }
                }
                _ => *value = text.into(),
            }
        }
        serde_json::from_value(stored).unwrap()
    };
    samples().into_iter().map(say).collect()
}

fn kind(letter: &Letter) -> String {
    serde_json::to_value(letter).unwrap()["template"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Where a mail is to lead: one that only tells that something is well again leads nowhere.
fn leads_to(letter: &Letter) -> BTreeSet<String> {
    let stored = serde_json::to_value(letter).unwrap();
    let link = stored["variables"]["link"].as_str();
    assert!(link.is_some() || kind(letter) == "contract-resumed", "{}", kind(letter));
    link.map(str::to_owned).into_iter().collect()
}

/// Where the links of a document lead.
fn links(html: &str) -> BTreeSet<String> {
    let parts = html.split("href=\"").skip(1);
    parts
        .map(|part| part.split('"').next().unwrap().replace("&#38;", "&"))
        .collect()
}

/// What marks up a document: if values add none of it, they are text.
fn markup(html: &str) -> [usize; 4] {
    ['<', '>', '"', '\''].map(|mark| html.matches(mark).count())
}

/// Mails that say `text` look, apart from it, like those that say `Ada`.
#[track_caller]
fn check_it_stays_text(text: &str) {
    for (letter, tame) in each_saying(text).into_iter().zip(each_saying("Ada")) {
        let expected = leads_to(&letter);
        let (name, mail, tame) = (kind(&letter), render(letter), render(tame));
        assert_eq!(markup(&mail.html), markup(&tame.html), "{name}: {}", mail.html);
        assert_eq!(links(&mail.html), expected, "{name}");
        assert_eq!(
            mail.text.lines().count(),
            tame.text.lines().count(),
            "{name}: {}",
            mail.text
        );
        assert!(!mail.subject.chars().any(char::is_control), "{name}: {}", mail.subject);
        assert!(mail.headers.is_empty());
    }
}

#[test]
fn what_people_wrote_stays_text() {
    for text in [
        "<script>alert(1)</script>",
        "Tom & <b>Jerry</b> \"O'Neil\"",
        "\" onmouseover=\"alert(1)",
        "{{ link }} {% if true %} {# note #}",
        "https://evil.example/unlock?now",
        "Ada\r\nBcc: eve@example.com\r\n\r\nA text of mine",
        "Ada\u{2028}Reason: \u{2029}\0\u{85}",
        "Subject: x\nPreview: y\nReason: z\n\nw",
        "Зоя 李雷 👩🏽‍💻 e\u{301} \u{202e}gnp",
        "&lt;b&gt; &#60;",
        "-- ",
        "",
    ] {
        check_it_stays_text(text);
    }
}

proptest! {
    #[test]
    fn no_text_breaks_out(text in "\\PC{0,30}|[\\x00-\\x7f]{0,30}|[\\n\\r<>\"'&{}%#:/ -]{0,30}") {
        check_it_stays_text(&text);
    }
}

/// Such mails anybody can have sent to anybody: so no word of their subject is the sender's, and none greets by a name that
/// they chose.
#[test]
fn what_goes_to_strangers_has_a_fixed_subject_and_greets_nobody_by_name() {
    let ours = ["verify-email", "reset-password", "invitation"];
    for letter in each_saying("pay at evil.example") {
        let name = kind(&letter);
        if !ours.contains(&name.as_str()) {
            continue;
        }
        let mail = render(letter);
        assert!(!mail.subject.contains("evil"), "{name}: {}", mail.subject);
        let said = mail.text.matches("evil.example").count();
        assert!(
            !name.starts_with("verify") && !name.starts_with("reset") || said == 0,
            "{name}: {}",
            mail.text
        );
    }
}

#[test]
fn html_is_escaped_and_text_is_not() {
    let all = each_saying("Tom & <b>Jerry</b> \"O'Neil\"");
    let invitation = all.into_iter().find(|letter| kind(letter) == "invitation");
    let mail = render(invitation.expect("an invitation"));
    assert_eq!(mail.subject, "You are invited to an organization");
    assert!(
        mail.text
            .contains("\n“Tom & <b>Jerry</b> \"O'Neil\"” invites you to join")
    );
    let escaped = "Tom &#38; &#60;b&#62;Jerry&#60;/b&#62; &#34;O&#39;Neil&#34;";
    assert!(
        mail.html.contains(&format!("<p>“{escaped}” invites you")),
        "{}",
        mail.html
    );
}

#[test]
fn text_and_html_lead_to_the_same_page() {
    for letter in each_saying("Ada") {
        let expected = leads_to(&letter);
        let (name, mail) = (kind(&letter), render(letter));
        let of_text = mail.text.lines().filter(|line| line.contains("://"));
        assert!(of_text.eq(&expected), "{name}: {}", mail.text);
        // A button, and the same as a plain link.
        assert_eq!(mail.html.matches("href=").count(), 2 * expected.len(), "{name}");
        assert_eq!(links(&mail.html), expected, "{name}");
    }
}

#[test]
fn every_mail_has_its_files_and_every_file_its_mail() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mails");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let layout = ["letter.txt", "mail.html", "mail.txt", "parts.html"];
    let is_part = |name: &str| matches!(name.rsplit_once('.'), Some((_, "html" | "txt")));
    let is_mail = |name: &String| is_part(name) && !layout.contains(&name.as_str());
    let found: BTreeSet<String> = files.filter(is_mail).collect();
    let kinds = samples().iter().map(kind).collect::<Vec<_>>();
    let expected = kinds
        .iter()
        .flat_map(|kind| [format!("{kind}.html"), format!("{kind}.txt")]);
    assert_eq!(found, expected.collect());
}

#[test]
fn a_whole_mail_is_as_it_was_looked_at() {
    let letter = samples()
        .into_iter()
        .find(|letter| kind(letter) == "invitation")
        .unwrap();
    let mail = render(letter);
    let how = "look at it: `cargo run --example mails -- target/mails`; if it is right, copy it to src/mails/snapshot";
    assert_eq!(mail.html, include_str!("snapshot/invitation.html"), "{how}");
    let text = format!("{}\n\n{}", mail.subject, mail.text);
    assert_eq!(text, include_str!("snapshot/invitation.txt"), "{how}");
}

#[test]
fn the_layout_knows_the_dark_mode_the_product_and_the_reason() {
    for letter in samples() {
        let mail = Mail::to("ada@example.com", letter)
            .render(&"Tom & Co\n.".into())
            .unwrap();
        for part in [
            "prefers-color-scheme: dark",
            "name=\"color-scheme\"",
            "Tom &#38; Co .</p>",
        ] {
            assert!(mail.html.contains(part), "{part}");
        }
        let (_, footer) = mail.text.split_once("\n\n-- \n").unwrap();
        assert!(
            footer.starts_with("You get this mail because") && footer.contains("Tom & Co ."),
            "{footer}"
        );
        assert!(footer.ends_with('\n') && footer.lines().count() == 1, "{footer}");
    }
}

#[test]
fn optional_mail_says_where_to_unsubscribe() {
    let url = "https://api.example.com/v1/unsubscribe/abc?a&b";
    let letter = samples().pop().unwrap();
    let mail = Mail::to("ada@example.com", letter).unsubscribe_at(url.to_owned().try_into().unwrap());
    let stored = serde_json::to_value(&mail).unwrap();
    assert_eq!(serde_json::from_value::<Mail>(stored).unwrap(), mail);
    let mail = mail.render(&"Countinghouse".into()).unwrap();
    let expected = [
        ("List-Unsubscribe", format!("<{url}>")),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()),
    ];
    assert_eq!(mail.headers, expected);
    assert!(links(&mail.html).contains(url));
    assert!(mail.text.ends_with(&format!("\nUnsubscribe: {url}\n")), "{}", mail.text);
}

#[test]
fn a_mail_becomes_news_of_a_digest() {
    let letter = samples().into_iter().find(|letter| kind(letter) == "alert-resolved");
    let mail = Mail::to("ada@example.com", letter.unwrap()).about(Topic::Alerts);
    let at = Time::from_millis(1_800_000_000_000);
    let news = mail.news(&"Countinghouse".into(), at).unwrap();
    assert!(news.title.to_string().starts_with("Resolved in Shop: "), "{news:?}");
    assert!(!news.text.to_string().is_empty() && news.at == at);
    assert_eq!(
        News::of(&"a".repeat(999), "", at).title.to_string().len(),
        LONGEST_TITLE
    );
    assert!(mail.is_optional() && !mail.about(Topic::Payments).is_optional());
}

#[test]
fn no_unsubscribe_address_adds_a_header() {
    let long = format!("https://example.com/{}", "a".repeat(LONGEST_UNSUBSCRIBE));
    for bad in [
        "",
        "ftp://example.com/a",
        "http://example.com/a",
        "https://example.com/a b",
        "https://example.com/\r\nBcc: eve@example.com",
        "https://example.com/>, <mailto:eve@example.com",
        "https://example.com/ü",
        &long,
    ] {
        assert_eq!(Unsubscribe::try_from(bad.to_owned()), Err(NoUnsubscribe), "{bad}");
    }
    assert!(Unsubscribe::try_from("http://localhost:3000/u/1".to_owned()).is_ok());
}

#[test]
fn an_empty_wallet_says_what_it_means_and_another_does_not() {
    let text = |left: u64| {
        let letter = Letter::WalletExhausted {
            name: "Ada".into(),
            organization: "Acme".into(),
            included: 1_234_567,
            left,
            link: LINK.into(),
        };
        let mail = render(letter);
        assert_eq!(
            mail.text.contains("are refused until"),
            mail.html.contains("are refused until")
        );
        assert!(mail.text.contains("1,234,567 a month") && mail.html.contains(">1,234,567<"));
        mail.text
    };
    assert!(text(0).contains("are refused until credits are added, or the next month begins."));
    assert!(text(999).contains("Its calls go on") && text(999).contains("Left:      999,"));
    assert!(text(1_000).contains("Left:      1,000,"));
}

#[test]
fn a_paid_invoice_asks_for_nothing() {
    let mail = |is_paid| {
        render(Letter::InvoiceSent {
            name: "Acme".into(),
            organization: "Analytical Engines".into(),
            number: "INV-2027-0001".into(),
            total: "EUR 119.00".into(),
            due: "EUR 0.00".into(),
            due_date: "2027-01-29".into(),
            is_paid,
            link: None,
        })
    };
    for part in [mail(true).text, mail(true).html] {
        assert!(part.contains("It is paid already") && !part.contains("Please pay"));
    }
    for part in [mail(false).text, mail(false).html] {
        assert!(part.contains("Please pay it until 2027-01-29") && part.contains("119.00"));
    }
}

/// As the first version stored them: a mail that waited while this one was deployed.
#[test]
fn mails_that_wait_are_read() {
    let at = "2027-01-15T08:00:00.000Z";
    let alert = json!({"rule": "r", "project": "p", "value": "0.07", "link": "l"});
    let with = |name: &str| {
        let mut variables = alert.clone();
        variables[name] = at.into();
        variables
    };
    let credits = json!({"name": "Ada", "organization": "o", "included": 100_000, "left": 5, "link": "l"});
    let due = json!({"name": "n", "organization": "o", "number": "INV-2027-0001", "due": "EUR 1.00", "dueDate": "2027-01-29"});
    let mut sent = due.clone();
    (sent["total"], sent["isPaid"]) = ("EUR 1.00".into(), false.into());
    let stored: [(&str, Value); 13] = [
        ("verify-email", json!({"name": "Ada", "link": "l"})),
        ("reset-password", json!({"name": "Ada", "link": "l"})),
        ("password-changed", json!({"name": "Ada", "changedAt": at, "link": "l"})),
        (
            "invitation",
            json!({"inviter": "Ada", "organization": "o", "role": "accountant", "link": "l"}),
        ),
        ("alert-fired", with("firedAt")),
        ("alert-resolved", with("resolvedAt")),
        ("wallet-low", credits.clone()),
        ("wallet-exhausted", credits),
        (
            "topup-failed",
            json!({"name": "Ada", "organization": "o", "credits": 5, "amount": "USD 1.00", "link": "l"}),
        ),
        (
            "payment-unapplied",
            json!({"name": "Ada", "organization": "o", "amount": "EUR 1.00", "provider": "Stripe", "reason": "r", "link": "l"}),
        ),
        (
            "payments-drifted",
            json!({"name": "Ada", "organization": "o", "provider": "Stripe", "payments": 2, "link": "l"}),
        ),
        ("invoice-sent", sent),
        ("invoice-reminder", due),
    ];
    for (template, variables) in stored {
        let stored = json!({"to": "ada@example.com", "template": template, "variables": variables});
        let mail: Mail = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(
            (mail.to.as_str(), kind(&mail.letter).as_str()),
            ("ada@example.com", template)
        );
        assert_eq!(serde_json::to_value(&mail).unwrap(), stored);
    }
}
