//! Renders one invoice again and again, and prints as JSON how many milliseconds the first took and, in the middle, the
//! others. `infra/bench/pdf/run` compares that with `pdfkit`.

#[path = "../samples/set.rs"]
#[expect(dead_code, reason = "of all samples one is rendered")]
mod set;

use std::time::Instant;

use documents::pdf;

/// So many times.
const TIMES: usize = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (_, document) = set::all().into_iter().next().ok_or("no sample")?;
    let mut took = Vec::new();
    let mut bytes = 0;
    for place in 0..TIMES {
        // Each is another one, as in a function that stays warm.
        let mut document = document.clone();
        document.buyer.name = format!("{} {place}", document.buyer.name);
        let begun = Instant::now();
        bytes = pdf::render(&document)?.len();
        took.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    let first = took.remove(0);
    took.sort_by(f64::total_cmp);
    let report = serde_json::json!({"first": first, "warm": took[took.len() / 2], "bytes": bytes});
    std::io::Write::write_all(&mut std::io::stdout(), format!("{report}\n").as_bytes())?;
    Ok(())
}
