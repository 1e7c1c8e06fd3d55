//! What was written, read by a reader of its own, and measured by the rules of EN 16931 that are about amounts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use roxmltree::{Document as Xml, Node};
use rust_decimal::{Decimal, RoundingStrategy};

use crate::document::{Content, Document, Kind};
use crate::{cii, samples, ubl};

/// A line: how many, at what price for how many of them, and what it comes to; its category and rate.
struct Line {
    quantity: Decimal,
    price: Decimal,
    base: Decimal,
    amount: Decimal,
    taxed: (String, Decimal),
}

/// Amounts by their business terms.
struct Read {
    number: String,
    lines: Vec<Line>,
    /// Category and rate; base (BT-116) and tax (BT-117).
    taxes: BTreeMap<(String, Decimal), (Decimal, Decimal)>,
    line_total: Decimal,
    net: Decimal,
    tax: Decimal,
    gross: Decimal,
    prepaid: Decimal,
    due: Decimal,
}

fn all<'a, 'input>(node: Node<'a, 'input>, name: &'static str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.descendants().filter(move |node| node.tag_name().name() == name)
}

/// The text at the end of a path of names.
fn text<'a>(node: Node<'a, '_>, path: &[&str]) -> Option<&'a str> {
    let end = path.iter().try_fold(node, |node, name| {
        node.children().find(|child| child.tag_name().name() == *name)
    })?;
    end.text()
}

fn number(node: Node<'_, '_>, path: &[&str]) -> Decimal {
    let text = text(node, path).unwrap_or_else(|| panic!("{path:?} is missing"));
    text.parse().unwrap_or_else(|_| panic!("{path:?} is {text}"))
}

fn number_or(node: Node<'_, '_>, path: &[&str], otherwise: Decimal) -> Decimal {
    text(node, path).map_or(otherwise, |text| text.parse().unwrap())
}

fn read_cii(xml: &str) -> Read {
    let xml = Xml::parse(xml).unwrap();
    let root = xml.root_element();
    let settlement = all(root, "ApplicableHeaderTradeSettlement").next().unwrap();
    let taxed = |tax: Node<'_, '_>| {
        let category = text(tax, &["CategoryCode"]).unwrap().to_owned();
        (category, number_or(tax, &["RateApplicablePercent"], Decimal::ZERO))
    };
    let lines = all(root, "IncludedSupplyChainTradeLineItem").map(|line| Line {
        quantity: number(line, &["SpecifiedLineTradeDelivery", "BilledQuantity"]),
        price: number(
            line,
            &[
                "SpecifiedLineTradeAgreement",
                "NetPriceProductTradePrice",
                "ChargeAmount",
            ],
        ),
        base: number_or(
            line,
            &[
                "SpecifiedLineTradeAgreement",
                "NetPriceProductTradePrice",
                "BasisQuantity",
            ],
            Decimal::ONE,
        ),
        amount: number(
            line,
            &[
                "SpecifiedLineTradeSettlement",
                "SpecifiedTradeSettlementLineMonetarySummation",
                "LineTotalAmount",
            ],
        ),
        taxed: taxed(all(line, "ApplicableTradeTax").next().unwrap()),
    });
    let taxes = settlement
        .children()
        .filter(|child| child.tag_name().name() == "ApplicableTradeTax");
    let taxes = taxes.map(|tax| {
        (
            taxed(tax),
            (number(tax, &["BasisAmount"]), number(tax, &["CalculatedAmount"])),
        )
    });
    let sums = all(settlement, "SpecifiedTradeSettlementHeaderMonetarySummation")
        .next()
        .unwrap();
    Read {
        number: text(root, &["ExchangedDocument", "ID"]).unwrap().to_owned(),
        lines: lines.collect(),
        taxes: taxes.collect(),
        line_total: number(sums, &["LineTotalAmount"]),
        net: number(sums, &["TaxBasisTotalAmount"]),
        tax: number(sums, &["TaxTotalAmount"]),
        gross: number(sums, &["GrandTotalAmount"]),
        prepaid: number_or(sums, &["TotalPrepaidAmount"], Decimal::ZERO),
        due: number(sums, &["DuePayableAmount"]),
    }
}

fn read_ubl(xml: &str) -> Read {
    let xml = Xml::parse(xml).unwrap();
    let root = xml.root_element();
    let (line, quantity) = match root.tag_name().name() {
        "CreditNote" => ("CreditNoteLine", "CreditedQuantity"),
        _ => ("InvoiceLine", "InvoicedQuantity"),
    };
    let taxed = |category: Node<'_, '_>| {
        let code = text(category, &["ID"]).unwrap().to_owned();
        (code, number_or(category, &["Percent"], Decimal::ZERO))
    };
    let lines = all(root, line).map(|line| Line {
        quantity: number(line, &[quantity]),
        price: number(line, &["Price", "PriceAmount"]),
        base: number_or(line, &["Price", "BaseQuantity"], Decimal::ONE),
        amount: number(line, &["LineExtensionAmount"]),
        taxed: taxed(all(line, "ClassifiedTaxCategory").next().unwrap()),
    });
    let taxes = all(root, "TaxSubtotal").map(|tax| {
        let category = all(tax, "TaxCategory").next().unwrap();
        (
            taxed(category),
            (number(tax, &["TaxableAmount"]), number(tax, &["TaxAmount"])),
        )
    });
    let sums = all(root, "LegalMonetaryTotal").next().unwrap();
    Read {
        number: text(root, &["ID"]).unwrap().to_owned(),
        lines: lines.collect(),
        taxes: taxes.collect(),
        line_total: number(sums, &["LineExtensionAmount"]),
        net: number(sums, &["TaxExclusiveAmount"]),
        tax: number(root, &["TaxTotal", "TaxAmount"]),
        gross: number(sums, &["TaxInclusiveAmount"]),
        prepaid: number_or(sums, &["PrepaidAmount"], Decimal::ZERO),
        due: number(sums, &["PayableAmount"]),
    }
}

/// Half away from zero, at the places of the currency.
fn rounded(amount: Decimal, places: u32) -> Decimal {
    amount.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero)
}

#[track_caller]
fn keeps_the_rules(document: &Document, read: &Read) {
    let places = u32::from(document.currency.exponent());
    let unit = Decimal::new(1, places);
    for line in &read.lines {
        assert_eq!(
            rounded(line.quantity * line.price / line.base, places),
            line.amount,
            "the price of a line"
        );
        assert!(line.price >= Decimal::ZERO, "BR-27");
    }
    let sum: Decimal = read.lines.iter().map(|line| line.amount).sum();
    assert_eq!(read.line_total, sum, "BR-CO-10");
    // There are neither allowances nor charges: BR-CO-11, BR-CO-12.
    assert_eq!(read.net, read.line_total, "BR-CO-13");
    assert_eq!(
        read.tax,
        read.taxes.values().map(|(_, tax)| *tax).sum::<Decimal>(),
        "BR-CO-14"
    );
    assert_eq!(read.gross, read.net + read.tax, "BR-CO-15");
    assert_eq!(read.due, read.gross - read.prepaid, "BR-CO-16");
    for ((category, rate), (base, tax)) in &read.taxes {
        let off = (rounded(base * rate / Decimal::ONE_HUNDRED, places) - tax).abs();
        // What is credited in parts has the tax of all parts together.
        let most = if document.kind == Kind::CreditNote {
            unit
        } else {
            Decimal::ZERO
        };
        assert!(off <= most, "BR-CO-17: {rate} % of {base} is no {tax}");
        let taxed = (category.clone(), *rate);
        let sum: Decimal = read
            .lines
            .iter()
            .filter(|line| line.taxed == taxed)
            .map(|line| line.amount)
            .sum();
        assert_eq!(*base, sum, "BR-{category}-08");
    }
}

/// Every amount is what billing booked, to the unit.
#[track_caller]
fn is_what_was_booked(document: &Document, read: &Read) {
    let Content::Lines {
        lines,
        totals,
        prepaid,
        due,
    } = &document.content
    else {
        panic!("no lines")
    };
    let amount = |minor: kernel::Minor| Decimal::new(minor.get(), u32::from(document.currency.exponent()));
    assert_eq!(read.number, document.number.unwrap().to_string());
    let amounts: Vec<Decimal> = lines.iter().map(|line| amount(line.amount)).collect();
    assert_eq!(read.lines.iter().map(|line| line.amount).collect::<Vec<_>>(), amounts);
    assert_eq!(read.taxes.len(), totals.taxes.len());
    for tax in &totals.taxes {
        let found = read
            .taxes
            .iter()
            .find(|((_, rate), _)| *rate == tax.rate.to_string().parse::<Decimal>().unwrap());
        assert_eq!(found.unwrap().1, &(amount(tax.base), amount(tax.amount)));
    }
    let sums = [read.net, read.tax, read.gross, read.prepaid, read.due];
    assert_eq!(
        sums,
        [totals.subtotal, totals.tax_amount, totals.total, *prepaid, *due].map(amount)
    );
}

fn check(document: &Document) {
    for read in [
        read_cii(&cii::write(document).unwrap()),
        read_ubl(&ubl::write(document).unwrap()),
    ] {
        keeps_the_rules(document, &read);
        is_what_was_booked(document, &read);
    }
}

#[test]
fn every_sample_keeps_the_rules() {
    let mut checked = 0;
    for (_, document) in samples::all() {
        if cii::write(&document).is_some() {
            check(&document);
            checked += 1;
        }
    }
    assert!(checked > 20);
}

#[test]
fn a_draft_and_a_statement_have_no_xml() {
    for (name, document) in samples::all() {
        let has = [cii::write(&document), ubl::write(&document)].map(|xml| xml.is_some());
        let expected = !matches!(name.as_str(), "case-draft" | "statement");
        assert_eq!(has, [expected; 2], "{name}");
    }
}

#[test]
fn texts_are_escaped_and_what_xml_has_no_character_for_is_left_out() {
    let mut document = samples::random(0);
    "<b>&amp;\"'\u{0}\u{b}\u{fffe}]]> ok".clone_into(&mut document.buyer.name);
    document.notes = Some(" \u{1} \n".to_owned());
    let xml = cii::write(&document).unwrap();
    let read = Xml::parse(&xml).unwrap();
    let buyer = all(read.root_element(), "BuyerTradeParty").next().unwrap();
    assert_eq!(text(buyer, &["Name"]), Some("<b>&amp;\"']]> ok"));
    assert!(!xml.contains("IncludedNote"), "a note of blanks");
    Xml::parse(&ubl::write(&document).unwrap()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_random_document_keeps_the_rules(seed in 0_u64..1_000_000) {
        check(&samples::random(seed));
    }
}
