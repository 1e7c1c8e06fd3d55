//! What the template is given: every string of a document, finished.

use billing::{Line, LineKind, TaxExempt, Totals};
use kernel::{Address, Minor, Money};
use locale::Words;
use serde_json::{Value, json};

use crate::document::{Content, Document, Entered, Entry, Kind, Mark, Party};
use crate::{cii, shown};

/// What the picture of the seller is called.
pub(crate) const LOGO: &str = "logo";

/// All of it.
pub(crate) fn data(document: &Document, has_code: bool, has_xml: bool) -> Value {
    let words = document.locale.words();
    let kind = kind(document.kind, words);
    let number = document.number.map(|number| number.to_string()).unwrap_or_default();
    let seller = party(document, &document.seller, false);
    let link = document.payment_link.as_ref().filter(|_| has_code);
    let mark = document.mark.map(|mark| match mark {
        Mark::Draft => words.draft,
        Mark::Cancelled => words.cancelled,
    });
    let notes = document.notes.as_deref().filter(|notes| !notes.trim().is_empty());
    let notes_head = if document.kind == Kind::CreditNote {
        words.reason
    } else {
        words.notes
    };
    let to = if document.kind == Kind::Invoice {
        words.bill_to
    } else {
        words.to
    };
    let tax_id = document.seller.tax_id.as_ref();
    let foot = match tax_id {
        Some(id) => format!("{} · {}: {}", document.seller.name, words.tax_id, id),
        None => document.seller.name.clone(),
    };
    let (lang, region) = (document.locale.language().code(), document.locale.region());
    json!({
        "title": format!("{kind} {number}").trim(),
        "dated": {"year": document.dated.year(), "month": document.dated.month(), "day": document.dated.day()},
        "paper": paper(document.seller.address.as_ref()),
        "color": document.color.on_white(),
        "lang": lang,
        "region": region,
        "kind": kind,
        "number": number,
        "mark": mark,
        "logo": document.logo.as_ref().map(|_| LOGO),
        "xml": has_xml.then_some(cii::FILE),
        "seller": seller,
        "buyer": party(document, &document.buyer, true),
        "facts": facts(document, &number),
        "table": table(document),
        "sums": sums(document),
        "wordings": wordings(document),
        "link": link.map(|link| json!({"to": link, "shown": shown::line(link)})),
        "notes": notes.map(|notes| written(document, notes)),
        "notesHead": notes_head,
        "foot": shown::line(&foot),
        "words": {"billTo": to, "page": words.page, "payOnline": words.pay_online, "payHint": words.pay_hint},
    })
}

fn kind(kind: Kind, words: &Words) -> &'static str {
    match kind {
        Kind::Invoice => words.invoice,
        Kind::CreditNote => words.credit_note,
        Kind::Statement => words.statement,
    }
}

/// Where letters are that long, paper is too.
fn paper(seller: Option<&Address>) -> &'static str {
    match seller.map(|address| address.country.as_str()) {
        Some("US" | "CA" | "MX" | "PH") => "us-letter",
        _ => "a4",
    }
}

/// Which shapes ideographs have where somebody is; else those of the document.
fn shapes(address: Option<&Address>) -> Option<(&'static str, Option<&'static str>)> {
    match address?.country.as_str() {
        "JP" => Some(("ja", None)),
        "KR" => Some(("ko", None)),
        "CN" | "SG" => Some(("zh", Some("CN"))),
        "TW" | "HK" | "MO" => Some(("zh", Some("TW"))),
        _ => None,
    }
}

/// What a text is written in, as far as that changes how it looks: which way it runs, which shapes its letters have. By its
/// first letter; ideographs by where somebody is, the buyer before the seller.
fn language(document: &Document, text: &str, address: Option<&Address>) -> Value {
    let own = (document.locale.language().code(), document.locale.region());
    let (lang, region) = match text.chars().find(|c| c.is_alphabetic()).map(u32::from) {
        Some(0x590..=0x5ff | 0xfb1d..=0xfb4f) => ("he", None),
        Some(0x600..=0x8ff | 0xfb50..=0xfdff | 0xfe70..=0xfeff) => ("ar", None),
        Some(0x2e80..) => {
            let parties = [
                address,
                document.buyer.address.as_ref(),
                document.seller.address.as_ref(),
            ];
            parties.into_iter().find_map(shapes).unwrap_or(own)
        }
        _ => own,
    };
    json!({"lang": lang, "region": region})
}

/// Lines of a text, and what they are written in.
fn written(document: &Document, text: &str) -> Value {
    let mut data = language(document, text, None);
    data["lines"] = json!(shown::lines(text));
    data
}

fn party(document: &Document, party: &Party, is_buyer: bool) -> Value {
    let mut lines: Vec<String> = Vec::new();
    if let Some(address) = &party.address {
        lines.extend(
            [Some(&address.line1), address.line2.as_ref()]
                .into_iter()
                .flatten()
                .cloned(),
        );
        let city = match address.country.as_str() {
            "US" | "CA" | "AU" | "GB" | "IN" | "IE" | "NZ" => format!("{} {}", address.city, address.postal_code),
            _ => format!("{} {}", address.postal_code, address.city),
        };
        lines.push(city);
        // A letter that stays in its country does not say it.
        let [seller, buyer] =
            [&document.seller, &document.buyer].map(|party| party.address.as_ref().map(|address| &address.country));
        if seller != buyer {
            lines.push(document.locale.country(&address.country).to_owned());
        }
    }
    lines.extend(party.email.clone());
    let words = document.locale.words();
    if is_buyer {
        lines.extend(party.tax_id.as_ref().map(|id| format!("{}: {id}", words.tax_id)));
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|line| shown::line(line))
        .filter(|line| !line.is_empty())
        .collect();
    let mut data = language(document, &party.name, party.address.as_ref());
    data["name"] = json!(shown::line(&party.name));
    data["lines"] = json!(lines);
    data
}

fn facts(document: &Document, number: &str) -> Vec<Value> {
    let (words, locale) = (document.locale.words(), &document.locale);
    let preceding = document
        .preceding
        .as_ref()
        .map(|preceding| preceding.number.to_string());
    [
        (
            words.number,
            Some(number.to_owned()).filter(|number| !number.is_empty()),
        ),
        (words.date, Some(locale.day(document.dated))),
        (words.due_date, document.due_date.map(|day| locale.day(day))),
        (words.for_invoice, preceding),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| json!({"name": name, "value": value})))
    .collect()
}

/// The columns, of which one takes what room the others leave, and the rows.
fn table(document: &Document) -> Value {
    let words = document.locale.words();
    let amount = format!("{} ({})", words.amount, document.currency);
    match &document.content {
        Content::Lines { lines, .. } => json!({
            "wide": 0,
            "heads": [words.description, words.quantity, words.unit_price, words.tax, amount],
            "rows": lines.iter().map(|line| row(document, line)).collect::<Vec<_>>(),
        }),
        Content::Account { opening, entries, .. } => json!({
            "wide": 1,
            "heads": [words.date, words.description, amount, words.balance],
            "rows": account(document, *opening, entries),
        }),
    }
}

fn row(document: &Document, line: &Line) -> Value {
    let locale = &document.locale;
    // What a discount or a part of a period has of them says nothing.
    let is_counted = line.unit_price.is_some() || line.kind == LineKind::Usage || line.kind == LineKind::Correction;
    let quantity = if is_counted {
        locale.number(line.quantity.fraction(), 0)
    } else {
        String::new()
    };
    let exponent = u32::from(document.currency.exponent());
    let price = line.unit_price.map(|price| {
        let mut price = price.fraction();
        price.places += exponent;
        locale.number(price, exponent)
    });
    let detail = line.period.map(|period| {
        let (first, last) = (locale.day(period.first), locale.day(period.last()));
        if first == last {
            first
        } else {
            format!("{first} – {last}")
        }
    });
    json!([
        {"description": written(document, &line.description), "detail": detail},
        quantity,
        price.unwrap_or_default(),
        locale.percent(line.tax_rate.fraction()),
        locale.amount(line.amount, document.currency),
    ])
}

fn account(document: &Document, opening: Minor, entries: &[Entry]) -> Vec<Value> {
    let (words, locale) = (document.locale.words(), &document.locale);
    let mut balance = opening;
    let before = json!([
        "",
        {"description": written(document, words.opening_balance), "detail": null},
        "",
        locale.amount(opening, document.currency),
    ]);
    let row = |entry: &Entry| {
        balance += entry.amount;
        let kind = match entry.what {
            Entered::Invoice => words.invoice,
            Entered::CreditNote => words.credit_note,
            Entered::Payment => words.payment,
        };
        json!([
            locale.day(entry.day),
            {"description": written(document, &format!("{kind} {}", entry.reference)), "detail": null},
            locale.amount(entry.amount, document.currency),
            locale.amount(balance, document.currency),
        ])
    };
    std::iter::once(before).chain(entries.iter().map(row)).collect()
}

fn sums(document: &Document) -> Vec<Value> {
    let words = document.locale.words();
    let money = |minor| document.locale.money(Money::new(minor, document.currency));
    let sum = |name: String, minor: Minor, strong: bool| json!({"name": name, "value": money(minor), "strong": strong});
    let plain = |name: &str, minor| sum(name.to_owned(), minor, false);
    match &document.content {
        Content::Lines {
            totals, prepaid, due, ..
        } => {
            let mut sums = vec![plain(words.subtotal, totals.subtotal)];
            sums.extend(
                taxes(document, totals)
                    .into_iter()
                    .map(|(name, amount)| sum(name, amount, false)),
            );
            if document.kind == Kind::CreditNote {
                sums.push(sum(words.credited.to_owned(), totals.total, true));
                return sums;
            }
            sums.push(plain(words.total, totals.total));
            if *prepaid != Minor::ZERO {
                sums.push(plain(words.paid, -*prepaid));
            }
            sums.push(sum(words.amount_due.to_owned(), *due, true));
            sums
        }
        Content::Account { closing, .. } => vec![sum(words.closing_balance.to_owned(), *closing, true)],
    }
}

/// The tax for each rate; none where the buyer is not taxed.
fn taxes(document: &Document, totals: &Totals) -> Vec<(String, Minor)> {
    let (words, locale) = (document.locale.words(), &document.locale);
    if document.exempt != TaxExempt::None {
        return Vec::new();
    }
    let name = |tax: &billing::tax::Tax| {
        let base = locale.money(Money::new(tax.base, document.currency));
        let rate = locale.percent(tax.rate.fraction());
        words.tax_on.replace("{rate}", &rate).replace("{base}", &base)
    };
    totals.taxes.iter().map(|tax| (name(tax), tax.amount)).collect()
}

fn wordings(document: &Document) -> Vec<&'static str> {
    let words = document.locale.words();
    match document.exempt {
        TaxExempt::None => Vec::new(),
        TaxExempt::Exempt => vec![words.exempt],
        TaxExempt::ReverseCharge => vec![words.reverse_charge],
    }
}
