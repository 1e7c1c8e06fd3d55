//! The page: PDF/A-3 out of a document. An invoice and a credit note carry their XML in it, as Factur-X has it.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};
use typst::diag::SourceDiagnostic;
use typst::foundations::Smart;
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards};

use crate::document::{Content, Document};
use crate::world::Files;
use crate::{cii, page, xmp};

/// What is remembered of so many documents before is kept: the template and the fonts stay warm, the memory bounded.
const KEPT: usize = 4;
/// A QR code holds a link of at most so many bytes and is still easily read.
const LONGEST_LINK: usize = 500;

/// Says that a document could not be made. What a customer wrote never is the reason; the text is for a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no page could be made: {0}")]
pub struct NotMade(String);

/// Makes the page.
pub fn render(document: &Document) -> Result<Vec<u8>, NotMade> {
    let rendered = attempt(document);
    // Whether a picture can be read shows when it is; a document without one is better than none.
    if rendered.is_err() && document.logo.is_some() {
        let plain = Document {
            logo: None,
            ..document.clone()
        };
        return attempt(&plain);
    }
    rendered
}

fn attempt(document: &Document) -> Result<Vec<u8>, NotMade> {
    let xml = e_invoice(document);
    let has_xml = xml.is_some();
    let options = options(document)?;
    let pdf = lay_out(document, xml).and_then(|pages| typst_pdf::pdf(&pages, &options).map_err(|it| not_made(&it)));
    comemo::evict(KEPT);
    let pdf = pdf?;
    if !has_xml {
        return Ok(pdf);
    }
    xmp::with_factur_x(&pdf).ok_or_else(|| NotMade("its metadata are nowhere".to_owned()))
}

/// The pages, before they are a file.
fn lay_out(document: &Document, xml: Option<String>) -> Result<PagedDocument, NotMade> {
    let link = document.payment_link.as_ref().filter(|link| link.len() <= LONGEST_LINK);
    let code = link.and_then(|link| qr(link));
    let data = page::data(document, code.is_some(), xml.is_some());
    let logo = document.logo.as_ref();
    let files = [
        Some(("data.json", data.to_string().into_bytes())),
        code.map(|code| ("qr.svg", code.into_bytes())),
        logo.map(|logo| (page::LOGO, logo.bytes().to_vec())),
        xml.map(|xml| (cii::FILE, xml.into_bytes())),
    ];
    let files = Files::new(files.into_iter().flatten());
    typst::compile::<PagedDocument>(&files)
        .output
        .map_err(|it| not_made(&it))
}

fn not_made(problems: &[SourceDiagnostic]) -> NotMade {
    let problems = problems.iter().map(|problem| problem.message.to_string());
    NotMade(problems.collect::<Vec<_>>().join("; "))
}

/// The XML that a page carries: of what has a number and counts.
fn e_invoice(document: &Document) -> Option<String> {
    let counts = document.number.is_some() && document.mark.is_none();
    (counts && matches!(document.content, Content::Lines { .. })).then(|| cii::write(document))?
}

fn options(document: &Document) -> Result<PdfOptions, NotMade> {
    let standards = PdfStandards::new(&[PdfStandard::A_3b]);
    let standards = standards.map_err(|problem| NotMade(problem.message().to_string()))?;
    let number = document.number.map(|number| number.to_string()).unwrap_or_default();
    let ident = format!("{} {number} {}", document.seller.id, document.dated);
    Ok(PdfOptions {
        ident: Smart::Custom(ident),
        creator: Smart::Custom(Some("Countinghouse".to_owned())),
        standards,
        ..PdfOptions::default()
    })
}

/// A QR code of a link, as an SVG picture; nothing if it is too long for one.
fn qr(link: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, EcLevel::M).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (place, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let written = write!(path, "M{} {}h1v1h-1z", place % width, place / width);
            written.expect("writing to a text does not fail");
        }
    }
    Some(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {width}" width="{width}" height="{width}"><path d="{path}" fill="#000" shape-rendering="crispEdges"/></svg>"##
    ))
}

#[cfg(test)]
mod tests;
