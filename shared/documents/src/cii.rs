//! EN 16931 as a Cross Industry Invoice of UN/CEFACT, by the profile EN 16931 of Factur-X 1.0.

use billing::Line;
use billing::tax::Tax;
use kernel::{Day, Minor};

use crate::document::{Document, Party};
use crate::einvoice::{Category, EMAIL, SPECIFICATION, Terms, UNIT};
use crate::xml::{self, Xml};

/// What it is called in a PDF.
pub const FILE: &str = "factur-x.xml";

const NAMESPACES: [(&str, &str); 4] = [
    (
        "xmlns:rsm",
        "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    ),
    (
        "xmlns:ram",
        "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    ),
    (
        "xmlns:udt",
        "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
    ),
    ("xmlns:qdt", "urn:un:unece:uncefact:data:standard:QualifiedDataType:100"),
];

/// Writes it; nothing for a draft and for a statement.
pub fn write(document: &Document) -> Option<String> {
    let terms = Terms::of(document)?;
    Some(Xml::document("rsm:CrossIndustryInvoice", &NAMESPACES, |xml| {
        xml.within("rsm:ExchangedDocumentContext", |xml| {
            xml.within("ram:GuidelineSpecifiedDocumentContextParameter", |xml| {
                xml.text("ram:ID", SPECIFICATION);
            });
        });
        xml.within("rsm:ExchangedDocument", |xml| {
            xml.text("ram:ID", &terms.number);
            xml.text("ram:TypeCode", terms.type_code());
            xml.within("ram:IssueDateTime", |xml| day(xml, "udt", document.dated));
            let notes = xml::allowed(document.notes.as_deref().unwrap_or_default());
            if !notes.is_empty() {
                xml.within("ram:IncludedNote", |xml| xml.text("ram:Content", &notes));
            }
        });
        xml.within("rsm:SupplyChainTradeTransaction", |xml| {
            for (place, item) in terms.lines.iter().enumerate() {
                xml.within("ram:IncludedSupplyChainTradeLineItem", |xml| {
                    line(xml, &terms, place, item);
                });
            }
            xml.within("ram:ApplicableHeaderTradeAgreement", |xml| {
                xml.within("ram:SellerTradeParty", |xml| seller(xml, &document.seller));
                xml.within("ram:BuyerTradeParty", |xml| buyer(xml, &terms));
            });
            xml.within("ram:ApplicableHeaderTradeDelivery", |_| {});
            xml.within("ram:ApplicableHeaderTradeSettlement", |xml| settlement(xml, &terms));
        });
    }))
}

/// A day in the form 102 of UNTDID 2379: `20270131`.
fn day(xml: &mut Xml, prefix: &str, day: Day) {
    let digits = day.to_string().replace('-', "");
    xml.with(&format!("{prefix}:DateTimeString"), &[("format", "102")], &digits);
}

fn line(xml: &mut Xml, terms: &Terms<'_>, place: usize, line: &Line) {
    let price = terms.price(line);
    let unit = [("unitCode", UNIT)];
    xml.within("ram:AssociatedDocumentLineDocument", |xml| {
        xml.text("ram:LineID", &(place + 1).to_string());
    });
    xml.within("ram:SpecifiedTradeProduct", |xml| {
        xml.text("ram:Name", &line.description);
    });
    xml.within("ram:SpecifiedLineTradeAgreement", |xml| {
        xml.within("ram:NetPriceProductTradePrice", |xml| {
            xml.text("ram:ChargeAmount", &price.amount);
            xml.with("ram:BasisQuantity", &unit, price.base.as_deref().unwrap_or_default());
        });
    });
    xml.within("ram:SpecifiedLineTradeDelivery", |xml| {
        xml.with("ram:BilledQuantity", &unit, &price.quantity);
    });
    xml.within("ram:SpecifiedLineTradeSettlement", |xml| {
        let category = terms.category(line.tax_rate);
        xml.within("ram:ApplicableTradeTax", |xml| {
            xml.text("ram:TypeCode", "VAT");
            xml.text("ram:CategoryCode", category.code());
            let rate = Terms::rate(category, line.tax_rate);
            xml.maybe("ram:RateApplicablePercent", rate.as_deref());
        });
        if let Some(period) = line.period {
            xml.within("ram:BillingSpecifiedPeriod", |xml| {
                xml.within("ram:StartDateTime", |xml| day(xml, "udt", period.first));
                xml.within("ram:EndDateTime", |xml| day(xml, "udt", period.last()));
            });
        }
        xml.within("ram:SpecifiedTradeSettlementLineMonetarySummation", |xml| {
            xml.text("ram:LineTotalAmount", &terms.amount(line.amount));
        });
    });
}

fn seller(xml: &mut Xml, seller: &Party) {
    let vat = Terms::vat_id(seller);
    if vat.is_none() {
        xml.text("ram:ID", &seller.id);
    }
    xml.text("ram:Name", &seller.name);
    address(xml, seller);
    if let Some(id) = seller.tax_id.as_deref() {
        let scheme = if vat.is_some() { "VA" } else { "FC" };
        xml.within("ram:SpecifiedTaxRegistration", |xml| {
            xml.with("ram:ID", &[("schemeID", scheme)], id);
        });
    }
}

fn buyer(xml: &mut Xml, terms: &Terms<'_>) {
    let buyer = &terms.document.buyer;
    let vat = terms.buyer_vat_id();
    xml.text("ram:ID", &buyer.id);
    xml.text("ram:Name", &buyer.name);
    if let Some(id) = buyer.tax_id.as_deref().filter(|_| Terms::vat_id(buyer).is_none()) {
        xml.within("ram:SpecifiedLegalOrganization", |xml| xml.text("ram:ID", id));
    }
    address(xml, buyer);
    if let Some(email) = &buyer.email {
        xml.within("ram:URIUniversalCommunication", |xml| {
            xml.with("ram:URIID", &[("schemeID", EMAIL)], email);
        });
    }
    if let Some(id) = vat {
        xml.within("ram:SpecifiedTaxRegistration", |xml| {
            xml.with("ram:ID", &[("schemeID", "VA")], id);
        });
    }
}

fn address(xml: &mut Xml, party: &Party) {
    let Some(address) = &party.address else { return };
    xml.within("ram:PostalTradeAddress", |xml| {
        xml.text("ram:PostcodeCode", &address.postal_code);
        xml.text("ram:LineOne", &address.line1);
        xml.maybe("ram:LineTwo", address.line2.as_deref());
        xml.text("ram:CityName", &address.city);
        xml.text("ram:CountryID", &address.country);
    });
}

fn settlement(xml: &mut Xml, terms: &Terms<'_>) {
    let document = terms.document;
    let code = document.currency.code();
    xml.text("ram:InvoiceCurrencyCode", code);
    for tax in &terms.totals.taxes {
        xml.within("ram:ApplicableTradeTax", |xml| breakdown(xml, terms, tax));
    }
    let due = document.due_date;
    let description = terms.payment_terms();
    if due.is_some() || description.is_some() {
        xml.within("ram:SpecifiedTradePaymentTerms", |xml| {
            xml.maybe("ram:Description", description);
            if let Some(due) = due {
                xml.within("ram:DueDateDateTime", |xml| day(xml, "udt", due));
            }
        });
    }
    let totals = terms.totals;
    xml.within("ram:SpecifiedTradeSettlementHeaderMonetarySummation", |xml| {
        xml.text("ram:LineTotalAmount", &terms.amount(totals.subtotal));
        xml.text("ram:TaxBasisTotalAmount", &terms.amount(totals.subtotal));
        xml.with(
            "ram:TaxTotalAmount",
            &[("currencyID", code)],
            &terms.amount(totals.tax_amount),
        );
        xml.text("ram:GrandTotalAmount", &terms.amount(totals.total));
        if terms.prepaid != Minor::ZERO {
            xml.text("ram:TotalPrepaidAmount", &terms.amount(terms.prepaid));
        }
        xml.text("ram:DuePayableAmount", &terms.amount(terms.due));
    });
    if let Some(preceding) = &document.preceding {
        xml.within("ram:InvoiceReferencedDocument", |xml| {
            xml.text("ram:IssuerAssignedID", &preceding.number.to_string());
            if let Some(dated) = preceding.issued_on {
                xml.within("ram:FormattedIssueDateTime", |xml| day(xml, "qdt", dated));
            }
        });
    }
}

fn breakdown(xml: &mut Xml, terms: &Terms<'_>, tax: &Tax) {
    let category: Category = terms.category(tax.rate);
    xml.text("ram:CalculatedAmount", &terms.amount(tax.amount));
    xml.text("ram:TypeCode", "VAT");
    xml.maybe("ram:ExemptionReason", terms.reason(category));
    xml.text("ram:BasisAmount", &terms.amount(tax.base));
    xml.text("ram:CategoryCode", category.code());
    xml.maybe("ram:ExemptionReasonCode", category.reason_code());
    xml.maybe("ram:RateApplicablePercent", Terms::rate(category, tax.rate).as_deref());
}
