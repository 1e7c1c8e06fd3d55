//! Counts the cost ledger. Prints it as figures, one JSON object a line; with `--write` writes `docs/cost.md` too.

use serde_json::json;
use testing::ledger;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let entries = ledger::measure().await;
    if std::env::args().any(|argument| argument == "--write") {
        let path = ledger::path();
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::write(&path, ledger::document(&entries))?;
        eprintln!("wrote {}", path.display());
    }
    for entry in &entries {
        let name = format!("cost.usdPerMillion.{}", entry.name);
        println!(
            "{}",
            json!({"name": name, "value": entry.dollars_a_million(), "unit": "USD"})
        );
    }
    Ok(())
}
