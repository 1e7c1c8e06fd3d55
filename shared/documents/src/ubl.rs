//! EN 16931 as an Invoice or a `CreditNote` of UBL 2.1.

use billing::Line;
use kernel::Minor;

use crate::document::{Document, Kind, Party};
use crate::einvoice::{Category, EMAIL, SPECIFICATION, Terms, UNIT};
use crate::xml::Xml;

const AGGREGATES: (&str, &str) = (
    "xmlns:cac",
    "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
);
const BASICS: (&str, &str) = (
    "xmlns:cbc",
    "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
);

/// What an invoice and a credit note call their parts.
struct Names {
    root: &'static str,
    namespace: &'static str,
    type_code: &'static str,
    line: &'static str,
    quantity: &'static str,
}

const INVOICE: Names = Names {
    root: "Invoice",
    namespace: "urn:oasis:names:specification:ubl:schema:xsd:Invoice-2",
    type_code: "cbc:InvoiceTypeCode",
    line: "cac:InvoiceLine",
    quantity: "cbc:InvoicedQuantity",
};

const CREDIT_NOTE: Names = Names {
    root: "CreditNote",
    namespace: "urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2",
    type_code: "cbc:CreditNoteTypeCode",
    line: "cac:CreditNoteLine",
    quantity: "cbc:CreditedQuantity",
};

/// Writes it; nothing for a draft and for a statement.
pub fn write(document: &Document) -> Option<String> {
    let terms = Terms::of(document)?;
    let names = if document.kind == Kind::CreditNote {
        &CREDIT_NOTE
    } else {
        &INVOICE
    };
    let namespaces = [("xmlns", names.namespace), AGGREGATES, BASICS];
    Some(Xml::document(names.root, &namespaces, |xml| {
        head(xml, names, &terms);
        xml.within("cac:AccountingSupplierParty", |xml| {
            xml.within("cac:Party", |xml| seller(xml, &document.seller));
        });
        xml.within("cac:AccountingCustomerParty", |xml| {
            xml.within("cac:Party", |xml| buyer(xml, &terms));
        });
        if let Some(note) = terms.payment_terms() {
            xml.within("cac:PaymentTerms", |xml| xml.text("cbc:Note", note));
        }
        tax_total(xml, &terms);
        monetary_total(xml, &terms);
        for (place, item) in terms.lines.iter().enumerate() {
            xml.within(names.line, |xml| line(xml, names, &terms, place, item));
        }
    }))
}

fn head(xml: &mut Xml, names: &Names, terms: &Terms<'_>) {
    let document = terms.document;
    xml.text("cbc:CustomizationID", SPECIFICATION);
    xml.text("cbc:ID", &terms.number);
    xml.text("cbc:IssueDate", &document.dated.to_string());
    if let Some(due) = document.due_date.filter(|_| document.kind == Kind::Invoice) {
        xml.text("cbc:DueDate", &due.to_string());
    }
    xml.text(names.type_code, terms.type_code());
    xml.maybe("cbc:Note", document.notes.as_deref());
    xml.text("cbc:DocumentCurrencyCode", document.currency.code());
    if let Some(preceding) = &document.preceding {
        xml.within("cac:BillingReference", |xml| {
            xml.within("cac:InvoiceDocumentReference", |xml| {
                xml.text("cbc:ID", &preceding.number.to_string());
                xml.maybe(
                    "cbc:IssueDate",
                    preceding.issued_on.map(|day| day.to_string()).as_deref(),
                );
            });
        });
    }
}

/// A party. `taxes` are its numbers, each with the scheme that it is one of.
fn party(xml: &mut Xml, party: &Party, id: Option<&str>, taxes: &[(&str, &str)], company: Option<&str>) {
    if let Some(email) = &party.email {
        xml.with("cbc:EndpointID", &[("schemeID", EMAIL)], email);
    }
    if let Some(id) = id {
        xml.within("cac:PartyIdentification", |xml| xml.text("cbc:ID", id));
    }
    if let Some(address) = &party.address {
        xml.within("cac:PostalAddress", |xml| {
            xml.text("cbc:StreetName", &address.line1);
            xml.maybe("cbc:AdditionalStreetName", address.line2.as_deref());
            xml.text("cbc:CityName", &address.city);
            xml.text("cbc:PostalZone", &address.postal_code);
            xml.within("cac:Country", |xml| {
                xml.text("cbc:IdentificationCode", &address.country);
            });
        });
    }
    for (id, scheme) in taxes {
        xml.within("cac:PartyTaxScheme", |xml| {
            xml.text("cbc:CompanyID", id);
            xml.within("cac:TaxScheme", |xml| xml.text("cbc:ID", scheme));
        });
    }
    xml.within("cac:PartyLegalEntity", |xml| {
        xml.text("cbc:RegistrationName", &party.name);
        xml.maybe("cbc:CompanyID", company);
    });
}

fn seller(xml: &mut Xml, seller: &Party) {
    let vat = Terms::vat_id(seller);
    let scheme = if vat.is_some() { "VAT" } else { "FC" };
    let taxes: Vec<(&str, &str)> = seller.tax_id.iter().map(|id| (id.as_str(), scheme)).collect();
    let id = Some(seller.id.as_str()).filter(|_| vat.is_none());
    party(xml, seller, id, &taxes, None);
}

fn buyer(xml: &mut Xml, terms: &Terms<'_>) {
    let buyer = &terms.document.buyer;
    let taxes: Vec<(&str, &str)> = terms.buyer_vat_id().map(|id| (id, "VAT")).into_iter().collect();
    let company = buyer.tax_id.as_deref().filter(|_| Terms::vat_id(buyer).is_none());
    party(xml, buyer, Some(&buyer.id), &taxes, company);
}

fn money(xml: &mut Xml, name: &str, terms: &Terms<'_>, minor: Minor) {
    xml.with(
        name,
        &[("currencyID", terms.document.currency.code())],
        &terms.amount(minor),
    );
}

fn tax_total(xml: &mut Xml, terms: &Terms<'_>) {
    xml.within("cac:TaxTotal", |xml| {
        money(xml, "cbc:TaxAmount", terms, terms.totals.tax_amount);
        for tax in &terms.totals.taxes {
            let category = terms.category(tax.rate);
            xml.within("cac:TaxSubtotal", |xml| {
                money(xml, "cbc:TaxableAmount", terms, tax.base);
                money(xml, "cbc:TaxAmount", terms, tax.amount);
                xml.within("cac:TaxCategory", |xml| {
                    self::category(xml, category, tax.rate);
                    xml.maybe("cbc:TaxExemptionReasonCode", category.reason_code());
                    xml.maybe("cbc:TaxExemptionReason", terms.reason(category));
                    scheme(xml);
                });
            });
        }
    });
}

fn category(xml: &mut Xml, category: Category, rate: billing::Rate) {
    xml.text("cbc:ID", category.code());
    xml.maybe("cbc:Percent", Terms::rate(category, rate).as_deref());
}

fn scheme(xml: &mut Xml) {
    xml.within("cac:TaxScheme", |xml| xml.text("cbc:ID", "VAT"));
}

fn monetary_total(xml: &mut Xml, terms: &Terms<'_>) {
    xml.within("cac:LegalMonetaryTotal", |xml| {
        money(xml, "cbc:LineExtensionAmount", terms, terms.totals.subtotal);
        money(xml, "cbc:TaxExclusiveAmount", terms, terms.totals.subtotal);
        money(xml, "cbc:TaxInclusiveAmount", terms, terms.totals.total);
        if terms.prepaid != Minor::ZERO {
            money(xml, "cbc:PrepaidAmount", terms, terms.prepaid);
        }
        money(xml, "cbc:PayableAmount", terms, terms.due);
    });
}

fn line(xml: &mut Xml, names: &Names, terms: &Terms<'_>, place: usize, line: &Line) {
    let price = terms.price(line);
    let unit = [("unitCode", UNIT)];
    xml.text("cbc:ID", &(place + 1).to_string());
    xml.with(names.quantity, &unit, &price.quantity);
    money(xml, "cbc:LineExtensionAmount", terms, line.amount);
    if let Some(period) = line.period {
        xml.within("cac:InvoicePeriod", |xml| {
            xml.text("cbc:StartDate", &period.first.to_string());
            xml.text("cbc:EndDate", &period.last().to_string());
        });
    }
    xml.within("cac:Item", |xml| {
        xml.text("cbc:Name", &line.description);
        xml.within("cac:ClassifiedTaxCategory", |xml| {
            category(xml, terms.category(line.tax_rate), line.tax_rate);
            scheme(xml);
        });
    });
    xml.within("cac:Price", |xml| {
        xml.with(
            "cbc:PriceAmount",
            &[("currencyID", terms.document.currency.code())],
            &price.amount,
        );
        xml.with("cbc:BaseQuantity", &unit, price.base.as_deref().unwrap_or_default());
    });
}
