//! Writes documents of every kind and language into a folder: to look at, and for the validators of others.
//!
//! `cargo run --example samples -- FOLDER`

mod set;

use std::path::PathBuf;

use documents::{cii, pdf, ubl};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("say a folder")?);
    std::fs::create_dir_all(&folder)?;
    let random = (0..60).map(|seed| (format!("random-{seed}"), set::random(seed)));
    for (name, document) in set::all().into_iter().chain(random) {
        std::fs::write(folder.join(format!("{name}.pdf")), pdf::render(&document)?)?;
        for (syntax, xml) in [("cii", cii::write(&document)), ("ubl", ubl::write(&document))] {
            if let Some(xml) = xml {
                std::fs::write(folder.join(format!("{name}.{syntax}.xml")), xml)?;
            }
        }
    }
    Ok(())
}
