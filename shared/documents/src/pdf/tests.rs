//! Pages that are made whatever is written on them, the same for the same document, with every amount.

use billing::Line;
use kernel::Color as Accent;
use proptest::prelude::*;
use serde_json::json;
use typst::layout::{Frame, FrameItem};

use super::*;

use crate::document::{Kind, Seller};
use crate::logo::Logo;
use crate::samples;

/// The texts of each page, in the order in which they are laid out, with plain blanks.
fn pages(document: &Document) -> Vec<String> {
    fn collect(frame: &Frame, found: &mut String) {
        for (_, item) in frame.items() {
            match item {
                FrameItem::Group(group) => collect(&group.frame, found),
                FrameItem::Text(item) => {
                    found.push_str(&item.text);
                    found.push('\n');
                }
                _ => {}
            }
        }
    }
    let laid_out = lay_out(document, None).unwrap();
    let text = |frame: &Frame| {
        let mut found = String::new();
        collect(frame, &mut found);
        found.replace(['\u{a0}', '\u{202f}'], " ").replace('\u{200b}', "")
    };
    laid_out.pages().iter().map(|page| text(&page.frame)).collect()
}

fn text(document: &Document) -> String {
    pages(document).join("\n")
}

/// A document with a text in every place that a customer fills.
fn with(evil: &str) -> Document {
    let mut document = samples::random(0);
    evil.clone_into(&mut document.buyer.name);
    document.buyer.tax_id = Some(evil.to_owned());
    evil.clone_into(&mut document.seller.name);
    document.notes = Some(evil.to_owned());
    if let Some(address) = &mut document.buyer.address {
        evil.clone_into(&mut address.line1);
        evil.clone_into(&mut address.city);
    }
    if let Content::Lines { lines, .. } = &mut document.content {
        evil.clone_into(&mut lines[0].description);
    }
    document.logo = None;
    document
}

#[test]
fn every_sample_is_made() {
    for (name, document) in samples::all() {
        let pdf = render(&document).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert!(pdf.starts_with(b"%PDF-1.7") && pdf.ends_with(b"%%EOF"), "{name}");
    }
}

#[test]
fn the_same_document_is_the_same_file() {
    for (name, document) in samples::all().into_iter().filter(|(name, _)| name != "case-long") {
        assert!(render(&document) == render(&document), "{name}");
    }
}

#[test]
fn markup_is_text() {
    for evil in [
        "#panic(\"x\")",
        "$ x^2 $ *bold* _it_ `raw` @ref <label>",
        "\\ // comment /* */ = head",
        "#import \"@preview/a:1.0.0\"",
        "#image(\"/etc/passwd\") #read(\"data.json\")",
        "<script>alert(1)</script> &amp;",
        "{\"a\": [1]} \" ' --- ...",
        "https://a.b ~ - + / 1. 2)",
    ] {
        let shown = text(&with(evil)).replace('\n', "");
        let plain: String = evil.chars().filter(|c| !c.is_whitespace()).collect();
        let shown: String = shown.chars().filter(|c| !c.is_whitespace()).collect();
        assert!(shown.matches(&plain).count() >= 5, "{evil}: {shown}");
    }
}

#[test]
fn what_is_no_text_breaks_nothing() {
    for evil in [
        "\u{0}\u{1}\u{7f}\u{9f}",
        "\u{202e}gnp.exe\u{2066}",
        &"x".repeat(500),
        &"شركة".repeat(100),
        &"骨".repeat(400),
        "e\u{301}\u{302}\u{303}\u{304}\u{305} 骨\u{301} ☃\u{fe0f} 👨‍👩‍👧 \u{1f1e9}\u{1f1ea}",
        "\u{e000}\u{f8ff}\u{10ffff}\u{fdd0}\u{ffff}",
        "ก็ ខ្មែរ தமிழ் \u{11fdd} ﷽",
        "\u{600}\u{601}\u{6dd} ك\u{64b}\u{651}",
        "क्\u{200d}ष ि\u{93c} ि",
        "",
        " ",
        "\n\n\n",
    ] {
        let made = render(&with(evil));
        assert!(made.is_ok(), "{evil:?}: {:?}", made.err());
    }
}

#[test]
fn long_words_stay_on_the_page() {
    fn furthest(frame: &Frame, at: f64) -> f64 {
        let place = |(point, item): &(typst::layout::Point, FrameItem)| match item {
            FrameItem::Group(group) => furthest(&group.frame, at + point.x.to_pt()),
            FrameItem::Text(item) => at + point.x.to_pt() + item.width().to_pt(),
            _ => 0.0,
        };
        frame.items().map(place).fold(0.0, f64::max)
    }
    for word in [
        "W".repeat(400),
        format!("{}@example.com", "long".repeat(20)),
        "ж".repeat(300),
    ] {
        let pages = lay_out(&with(&word), None).unwrap();
        for page in pages.pages() {
            assert!(furthest(&page.frame, 0.0) < page.frame.width().to_pt(), "{word}");
        }
    }
}

#[test]
fn three_hundred_lines_and_long_notes_are_pages_with_numbers() {
    let (_, document) = samples::all()
        .into_iter()
        .find(|(name, _)| name == "case-long")
        .unwrap();
    let pages = pages(&document);
    assert!(pages.len() > 5);
    for (place, page) in pages.iter().enumerate() {
        assert!(
            page.contains(&format!("Page {} of {}", place + 1, pages.len())),
            "{page}"
        );
        assert!(place == 0 || page.contains("Invoice INV-2027-0052"), "{page}");
    }
    let all = pages.join("\n");
    for line in 1..=300 {
        assert!(all.contains(&format!("Position {line} of many\n")));
    }
    let words: Vec<&str> = all.split_whitespace().collect();
    assert_eq!(words.join(" ").matches("All of this").count(), 50);
    // The head of the table is on each page that has lines.
    assert!(pages[1].contains("Unit price"));
}

#[test]
fn every_amount_of_a_random_document_is_on_its_page() {
    for seed in 0..48 {
        let document = samples::random(seed);
        let Content::Lines { lines, totals, due, .. } = &document.content else {
            panic!("no lines")
        };
        let found = text(&document);
        let plain = |text: String| text.replace(['\u{a0}', '\u{202f}'], " ");
        let shows = |wanted: String| assert!(found.contains(&plain(wanted.clone())), "{seed}: {wanted} in {found}");
        for line in lines {
            shows(document.locale.amount(line.amount, document.currency));
        }
        for amount in [totals.subtotal, totals.total, *due] {
            let is_shown = document.kind == Kind::Invoice || amount != *due;
            if is_shown {
                shows(document.locale.money(kernel::Money::new(amount, document.currency)));
            }
        }
        let is_taxed = document.exempt == billing::TaxExempt::None;
        for tax in totals.taxes.iter().filter(|_| is_taxed) {
            shows(document.locale.money(kernel::Money::new(tax.amount, document.currency)));
        }
    }
}

#[test]
fn what_a_document_is_shows() {
    let shown = |wanted: &str| text(&samples::all().into_iter().find(|(name, _)| name == wanted).unwrap().1);
    assert!(shown("case-draft").contains("DRAFT"));
    assert!(!shown("invoice-de").contains("ENTWURF"));
    assert!(shown("case-reverse-charge").contains("Reverse charge: the recipient is liable for the VAT"));
    assert!(shown("case-prepaid").contains("Paid from balance"));
    assert!(shown("credit-note").contains("INV-2027-0060"));
    assert!(shown("statement").contains("Endsaldo"));
    assert!(shown("invoice-fr").contains("Payer en ligne"));
    let link = "https://pay.example.com/pay/7f3a9c51b2e84d06a1c7e95f";
    assert!(shown("invoice-es").replace('\n', "").contains(link));
}

#[test]
fn a_picture_that_cannot_be_read_is_left_out() {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08".to_vec();
    bytes.extend([0; 20]);
    let mut document = samples::random(0);
    document.logo = Some(Logo::new(bytes).unwrap());
    assert!(attempt(&document).is_err());
    assert!(render(&document).is_ok());
}

#[test]
fn a_light_colour_is_darkened_until_it_can_be_read() {
    assert_eq!(Accent::parse("#1f6feb").unwrap().on_white(), "#1f6feb");
    assert_eq!(Accent::parse("#ffff00").unwrap().on_white(), "#7a7a00");
    assert_eq!(Accent::parse("#ffffff").unwrap().on_white(), "#757575");
    for wrong in ["1f6feb", "#1f6fe", "#1f6febb", "#+f6feb", "#ggg000", ""] {
        assert_eq!(Accent::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn without_anything_but_a_name_there_is_a_page_all_the_same() {
    let client = samples::client("xx", "A", json!(null), &json!({}));
    let draft = samples::draft(
        &client,
        "EUR",
        &json!([{"description": "a", "quantity": 1, "unitPrice": 0}]),
        None,
        None,
    );
    let mut document = Document::of_invoice(&draft, &client, &Seller::default());
    render(&document).unwrap();
    if let Content::Lines { lines, .. } = &mut document.content {
        *lines = Vec::<Line>::new();
    }
    render(&document).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_text_can_be_shown(text in prop::collection::vec(any::<char>(), 0..120)) {
        let text: String = text.into_iter().collect();
        let made = render(&with(&text));
        prop_assert!(made.is_ok(), "{:?}: {:?}", text, made.err());
    }
}
