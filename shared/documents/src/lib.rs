//! Documents that people and their programs get: invoices, credit notes and statements as PDF/A-3, and as XML after
//! EN 16931. Pure: bytes out of values, the same bytes out of the same value; no network, no files, no clock.
//!
//! | module | what it is |
//! |---|---|
//! | [`document`] | what a document says, taken from what billing booked |
//! | [`pdf`] | the page: typst over one template, to which every text is data |
//! | [`cii`], [`ubl`] | EN 16931 in its two syntaxes |
//! | [`logo`] | pictures, checked before anything reads them |
//!
//! Words, numbers and days are those of the crate [`locale`]. Every amount is one that [`billing`] computed; nothing is
//! summed or rounded here. Why typst, which fonts and how the mapping to EN 16931 was chosen:
//! docs/decisions/028-invoice-documents.md.
//!
//! # Known bounds
//!
//! - Scripts beyond Latin, Greek, Cyrillic, Arabic, Hebrew, Devanagari and CJK are shown as U+FFFD.
//! - EN 16931 has amounts of two places; those of currencies with more stay exact, and break its rules about places.
//! - What the organization or the client never said is not in the XML, which is not complete then.

#[cfg(test)]
extern crate self as documents;

pub mod cii;
pub mod document;
mod einvoice;
mod fonts;
pub mod logo;
mod page;
pub mod pdf;
#[cfg(test)]
#[path = "../examples/samples/set.rs"]
mod samples;
mod shown;
pub mod ubl;
mod world;
mod xml;
mod xmp;

pub use document::{Document, Kind, Mark, Party, Seller};
