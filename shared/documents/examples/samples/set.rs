//! Documents to look at and to test with: one for each language, kind, script and category of tax, and random ones.

use billing::client::NewClient;
use billing::coupon::NewCoupon;
use billing::invoice::{NewCreditNote, NewInvoice, Source};
use billing::{Client, Coupon, CreditNote, DocumentNumber, Invoice, Period, Rate, Series};
use documents::document::{Entered, Entry};
use documents::logo::Logo;
use documents::{Document, Seller};
use kernel::{Color, Minor, Money, OrgId, Time, Zone};
use serde_json::{Value, json};

/// When all of them were made: 3 January 2027.
pub(crate) const NOW: Time = Time::from_millis(1_798_970_400_000);

const LOGO: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 220 60" width="220" height="60"><defs><linearGradient id="a" x1="0" x2="1"><stop offset="0" stop-color="#0f766e"/><stop offset="1" stop-color="#14b8a6"/></linearGradient></defs><rect width="60" height="60" rx="14" fill="url(#a)"/><path d="M14 44 30 14 46 44h-9l-7-14-7 14z" fill="#fff"/><g fill="#0f766e"><path d="M76 44V16h20v6H83v5h12v6H83v11z"/><circle cx="112" cy="34" r="10"/><path d="M130 44V24h7v3c2-3 5-4 9-3v7c-5-1-9 0-9 5v8z"/><path d="M154 44V12h7v20l8-8h9l-10 9 11 11h-9l-9-9v9z"/></g></svg>"##;

/// A seller with everything.
pub(crate) fn seller() -> Seller {
    Seller {
        name: "Fork & Föhre GmbH".to_owned(),
        address: serde_json::from_value(json!({
            "line1": "Invalidenstraße 42", "postalCode": "10115", "city": "Berlin", "country": "DE"
        }))
        .ok(),
        tax_id: Some("DE123456789".to_owned()),
        logo: Logo::new(LOGO.as_bytes().to_vec()).ok(),
        color: Color::parse("#0f766e"),
    }
}

/// A client of that language, with what else is said of it.
pub(crate) fn client(language: &str, name: &str, address: Value, more: &Value) -> Client {
    let mut body = json!({"name": name, "email": "accounts@example.com", "currency": "EUR", "language": language});
    body["address"] = address;
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    let new: NewClient = serde_json::from_value(body).expect("a client");
    let mut client = Client::new(NOW, OrgId::from_bits(1), new.profile().expect("within the rules"));
    client.id = kernel::ClientId::from_bits(2);
    client
}

/// A draft for a client.
pub(crate) fn draft(
    client: &Client,
    currency: &str,
    lines: &Value,
    notes: Option<&str>,
    coupon: Option<&str>,
) -> Invoice {
    let new: NewInvoice = serde_json::from_value(json!({
        "clientId": client.id, "lineItems": lines, "currency": currency, "dueDate": "2027-01-17", "notes": notes,
    }))
    .expect("an invoice");
    let org: Option<Rate> = "19".parse().ok();
    let exempt = client.profile.tax_exempt;
    let rates = [client.profile.tax_rate, org];
    let mut content = new.content(exempt, rates, Zone::utc()).expect("within the rules");
    content.discount = coupon.map(|coupon| {
        let new: NewCoupon = serde_json::from_str(coupon).expect("a coupon");
        let mut coupon = Coupon::new(NOW, OrgId::from_bits(1), &new).expect("within the rules");
        coupon.redeem(NOW, content.currency).expect("as often as one likes")
    });
    Invoice::draft(NOW, client.org, client.id, Source::Person, content).expect("below the limit")
}

/// The same, sent under a number.
pub(crate) fn sent(mut draft: Invoice, count: u32, balance: i64) -> Invoice {
    let number = DocumentNumber::new(Series::Invoices, 2027, count);
    let sent = draft.send(NOW, &Zone::utc(), number, Minor::new(balance));
    sent.expect("a draft can be sent");
    draft
}

/// What credits these lines of it.
pub(crate) fn credit(invoice: &mut Invoice, count: u32, lines: &Value) -> kernel::Result<CreditNote> {
    let number = DocumentNumber::new(Series::CreditNotes, 2027, count);
    let reason = "Returned: two workshops did not take place";
    let new: NewCreditNote = serde_json::from_value(json!({"lines": lines, "reason": reason})).expect("a credit note");
    invoice.credit(NOW, &Zone::utc(), number, &new)
}

/// Lines as a small company has them.
pub(crate) fn some_lines() -> Value {
    json!([
        {"description": "Team plan, 25 seats", "quantity": 25, "unitPrice": 1_900},
        {"description": "API calls above the plan", "quantity": "1284350", "unitPrice": "0.0125"},
        {"description": "Workshop on site\nwith printed material", "quantity": 1.5, "unitPrice": 96_000},
        {"description": "Handbook “From plan to invoice”", "quantity": 12, "unitPrice": 2_450, "taxRate": 7},
    ])
}

const TEN_PERCENT: &str = r#"{"code":"WELCOME10","percentOff":10,"duration":"once"}"#;
const LINK: &str = "https://pay.example.com/pay/7f3a9c51b2e84d06a1c7e95f";

fn german() -> Value {
    json!({"line1": "Hauptstraße 1", "line2": "Hinterhaus", "postalCode": "80331", "city": "München", "country": "DE"})
}

fn invoice_of(client: &Client, count: u32, lines: &Value, notes: Option<&str>, coupon: Option<&str>) -> Document {
    let currency = client.profile.currency.code();
    let mut invoice = draft(client, currency, lines, notes, coupon);
    if let Some(line) = invoice.lines.first_mut() {
        let day = |text: &str| text.parse().expect("a day");
        line.period = Some(Period {
            first: day("2027-01-01"),
            end: day("2027-02-01"),
        });
    }
    let invoice = sent(invoice, count, 0);
    Document::of_invoice(&invoice, client, &seller()).payable_at(LINK.to_owned())
}

/// One in each language.
fn languages() -> Vec<(String, Document)> {
    let notes = "Thank you for your business.\nPlease quote the number of this document when you pay.";
    [
        (
            "en-US",
            "Wayne & Daughters Inc.",
            json!({"line1": "1007 Mountain Drive", "postalCode": "07001", "city": "Gotham", "country": "US"}),
            "USD",
        ),
        ("de", "Bäckerei Grüßgott oHG", german(), "EUR"),
        (
            "fr",
            "Société Générale des Œufs",
            json!({"line1": "12, rue de l’Église", "postalCode": "75011", "city": "Paris", "country": "FR"}),
            "EUR",
        ),
        (
            "es",
            "Compañía Española de Ñandúes",
            json!({"line1": "Calle Mayor 3", "postalCode": "28013", "city": "Madrid", "country": "ES"}),
            "EUR",
        ),
        (
            "pt-BR",
            "Padaria São João Ltda",
            json!({"line1": "Av. Paulista 1578", "postalCode": "01310-200", "city": "São Paulo", "country": "BR"}),
            "BRL",
        ),
        (
            "hi",
            "भारतीय पुस्तक भंडार प्रा. लि.",
            json!({"line1": "१२, महात्मा गांधी मार्ग", "postalCode": "110001", "city": "नई दिल्ली", "country": "IN"}),
            "INR",
        ),
    ]
    .into_iter()
    .zip(1..)
    .map(|((language, name, address, currency), count)| {
        let client = client(language, name, address, &json!({"currency": currency}));
        let document = invoice_of(&client, count, &some_lines(), Some(notes), Some(TEN_PERCENT));
        (format!("invoice-{}", &language[..2]), document)
    })
    .collect()
}

/// A script; a client that is written in it, and where that is; what it buys; a note.
type Script = (
    &'static str,
    &'static str,
    [&'static str; 4],
    &'static str,
    &'static str,
);

const SCRIPTS: [Script; 8] = [
    (
        "arabic",
        "شركة الخليج للتجارة والتوزيع ذ.م.م",
        ["شارع الملك فهد ٤٢", "11564", "الرياض", "SA"],
        "اشتراك شهري — خمسة وعشرون مقعدًا",
        "شكرًا لتعاملكم معنا.",
    ),
    (
        "hebrew",
        "חברת השקד בע״מ",
        ["רחוב הרצל 12", "6688101", "תל אביב", "IL"],
        "מנוי חודשי",
        "תודה רבה",
    ),
    (
        "japanese",
        "株式会社 骨直茶商店",
        ["丸の内一丁目9番1号", "100-0005", "東京都千代田区", "JP"],
        "月額プラン（25名）",
        "毎度ありがとうございます。",
    ),
    (
        "chinese",
        "北京骨直茶叶股份有限公司",
        ["建国门外大街1号", "100004", "北京市", "CN"],
        "团队套餐，25 个席位",
        "感谢您的惠顾。",
    ),
    (
        "taiwanese",
        "臺灣骨直茶葉股份有限公司",
        ["信義路五段7號", "110", "臺北市", "TW"],
        "團隊方案，25 個席次",
        "感謝您的惠顧。",
    ),
    (
        "korean",
        "주식회사 한빛유통",
        ["세종대로 110", "04524", "서울특별시", "KR"],
        "월간 요금제 (25석)",
        "감사합니다.",
    ),
    (
        "greek",
        "Ελληνική Εταιρεία Α.Ε.",
        ["Οδός Ερμού 5", "10563", "Αθήνα", "GR"],
        "Μηνιαία συνδρομή",
        "Ευχαριστούμε.",
    ),
    (
        "cyrillic",
        "ТОВ «Жовтий Їжак»",
        ["вул. Хрещатик 22", "01001", "Київ", "UA"],
        "Місячна підписка",
        "Дякуємо.",
    ),
];

/// One for each script that is not Latin.
fn scripts() -> Vec<(String, Document)> {
    let made = |((script, name, [line1, postal_code, city, country], line, notes), count): (Script, u32)| {
        let address = json!({"line1": line1, "postalCode": postal_code, "city": city, "country": country});
        let client = client("en", name, address, &json!({}));
        let lines = json!([
            {"description": line, "quantity": 25, "unitPrice": 1_900},
            {"description": "Set-up", "quantity": 1, "unitPrice": 50_000},
        ]);
        let document = invoice_of(&client, count, &lines, Some(notes), None);
        (format!("script-{script}"), document)
    };
    SCRIPTS.into_iter().zip(20..).map(made).collect()
}

/// One for each category of tax, each exponent of a currency, and what else is rare.
fn cases() -> Vec<(String, Document)> {
    let austria = json!({"line1": "Ring 1", "postalCode": "1010", "city": "Wien", "country": "AT"});
    let of = |more: &Value| client("en", "Client & Co", austria.clone(), more);
    let mut found = Vec::new();
    for (name, more) in [
        (
            "reverse-charge",
            json!({"taxExempt": "reverse_charge", "taxId": "ATU12345678"}),
        ),
        (
            "reverse-charge-register",
            json!({"taxExempt": "reverse_charge", "taxId": "FN 12345 x"}),
        ),
        ("exempt", json!({"taxExempt": "exempt"})),
        ("zero", json!({"taxRate": 0})),
        ("jpy", json!({"currency": "JPY"})),
        ("kwd", json!({"currency": "KWD"})),
        ("clf", json!({"currency": "CLF"})),
    ] {
        let lines = json!([
            {"description": "Consulting", "quantity": "3.5", "unitPrice": "12345.5"},
            {"description": "Usage", "quantity": "0.333333", "unitPrice": 1_000},
        ]);
        found.push((
            format!("case-{name}"),
            invoice_of(&of(&more), 40, &lines, None, Some(TEN_PERCENT)),
        ));
    }
    let plain = of(&json!({}));
    let untaxed = of(&json!({"taxRate": 0, "taxId": "ATU12345678"}));
    let mut outside = Document::of_invoice(
        &sent(
            draft(
                &untaxed,
                "EUR",
                &json!([{"description": "a", "quantity": 1, "unitPrice": 100}]),
                None,
                None,
            ),
            50,
            0,
        ),
        &untaxed,
        &Seller {
            tax_id: None,
            ..seller()
        },
    );
    outside.logo = None;
    found.push(("case-outside".to_owned(), outside));
    let prepaid = sent(draft(&plain, "EUR", &some_lines(), None, None), 51, 10_000);
    found.push((
        "case-prepaid".to_owned(),
        Document::of_invoice(&prepaid, &plain, &seller()),
    ));
    let unsent = draft(&plain, "EUR", &some_lines(), None, None);
    found.push((
        "case-draft".to_owned(),
        Document::of_invoice(&unsent, &plain, &seller()),
    ));
    let many: Vec<Value> = (1..=300)
        .map(|place| json!({"description": format!("Position {place} of many"), "quantity": place, "unitPrice": 99}))
        .collect();
    let notes = "All of this was agreed upon in writing. ".repeat(50);
    found.push((
        "case-long".to_owned(),
        invoice_of(&plain, 52, &json!(many), Some(&notes), None),
    ));
    found
}

/// A credit note and a statement.
fn others() -> Vec<(String, Document)> {
    let client = client("de", "Bäckerei Grüßgott oHG", german(), &json!({}));
    let mut invoice = sent(draft(&client, "EUR", &some_lines(), None, Some(TEN_PERCENT)), 60, 0);
    let lines = json!([{"lineIndex": 2, "quantity": 1}, {"lineIndex": 3, "amount": 4_900}]);
    let note = credit(&mut invoice, 1, &lines).expect("below what is left");
    let note = Document::of_credit_note(&note, Some(&invoice), &client, &seller());
    let entry = |day: &str, what, reference: &str, amount| Entry {
        day: day.parse().expect("a day"),
        what,
        reference: reference.to_owned(),
        amount: Minor::new(amount),
    };
    let entries = vec![
        entry("2027-01-03", Entered::Invoice, "INV-2027-0060", 238_061),
        entry("2027-01-12", Entered::CreditNote, "CN-2027-0001", -116_000),
        entry("2027-01-17", Entered::Payment, "Überweisung", -100_000),
    ];
    let opening = Money::new(Minor::new(1_200), client.profile.currency);
    let until = "2027-01-31".parse().expect("a day");
    let statement = Document::of_account(until, opening, entries, &client, &seller());
    vec![("credit-note".to_owned(), note), ("statement".to_owned(), statement)]
}

/// All of them, each with a name.
pub(crate) fn all() -> Vec<(String, Document)> {
    [languages(), scripts(), cases(), others()]
        .into_iter()
        .flatten()
        .collect()
}

/// A random one, the same for the same number: 1 to 12 lines at up to 4 rates, in a currency of each exponent, taxed or
/// not, with or without a discount; each fourth is a credit note.
pub(crate) fn random(seed: u64) -> Document {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let currency = ["EUR", "JPY", "KWD", "CLF"][usize::try_from(seed % 4).unwrap_or(0)];
    let more = match next(4) {
        0 => json!({"taxExempt": "reverse_charge", "taxId": "ATU12345678", "currency": currency}),
        1 => json!({"taxExempt": "exempt", "currency": currency}),
        _ => json!({"currency": currency}),
    };
    let address = json!({"line1": "Ring 1", "postalCode": "1010", "city": "Wien", "country": "AT"});
    let language = ["en", "de", "fr", "es", "pt", "hi"][usize::try_from(next(6)).unwrap_or(0)];
    let client = client(language, "Random", address, &more);
    let lines: Vec<Value> = (0..=next(12))
        .map(|place| {
            let quantity = format!("{}.{:03}", next(2_000), 1 + next(999));
            let price = format!("{}.{:02}", next(100_000), next(100));
            let rate = ["0", "7", "19", "8.5375"][usize::try_from(next(4)).unwrap_or(0)];
            json!({"description": format!("Line {place}"), "quantity": quantity, "unitPrice": price, "taxRate": rate})
        })
        .collect();
    let coupon = (next(2) == 0).then_some(TEN_PERCENT);
    let draft = draft(&client, currency, &json!(lines), None, coupon);
    let balance = i64::try_from(next(3) * 500).unwrap_or(0);
    let count = u32::try_from(seed + 1).unwrap_or(1);
    let mut invoice = sent(draft, count, balance);
    if next(4) == 0 {
        let whole: Vec<Value> = (0..invoice.lines.len())
            .map(|place| json!({"lineIndex": place}))
            .collect();
        if let Ok(note) = credit(&mut invoice, count, &json!(whole)) {
            return Document::of_credit_note(&note, Some(&invoice), &client, &seller());
        }
    }
    Document::of_invoice(&invoice, &client, &seller())
}
