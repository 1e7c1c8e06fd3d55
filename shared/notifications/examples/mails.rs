//! Writes one of each mail into a folder, to look at in a browser: `cargo run --example mails -- target/mails`, then
//! open `index.html` there. A browser's tools show them in the dark mode too.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use notifications::Mail;
use notifications::mails::samples;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.context("name a folder")?;
    fs::create_dir_all(&folder)?;
    let mut index = String::from("<!doctype html><meta charset=utf-8><title>Mails</title>\n");
    for letter in samples() {
        let stored = serde_json::to_value(&letter)?;
        let name = stored["template"].as_str().context("a kind")?;
        let mail = Mail::to("ada@example.com", letter).render(&"Countinghouse".into())?;
        fs::write(folder.join(format!("{name}.html")), mail.html)?;
        fs::write(
            folder.join(format!("{name}.txt")),
            format!("{}\n\n{}", mail.subject, mail.text),
        )?;
        writeln!(index, "<h2>{name}</h2>")?;
        for width in [360, 800] {
            writeln!(index, "<iframe src={name}.html width={width} height=720></iframe>")?;
        }
    }
    fs::write(folder.join("index.html"), index)?;
    Ok(())
}
