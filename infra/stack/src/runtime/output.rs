//! Where functions' output goes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// Takes a line that a function printed: the function's name, then the line.
pub type Log = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Writes functions' output to stderr or a file, each line with the function's name.
pub fn log(file: Option<&Path>) -> Result<Log> {
    let Some(path) = file else {
        return Ok(Arc::new(|name, line| eprintln!("{name:>14} | {line}")));
    };
    let file = std::fs::File::create(path).with_context(|| format!("make {}", path.display()))?;
    let file = Mutex::new(std::io::LineWriter::new(file));
    Ok(Arc::new(move |name, line| {
        use std::io::Write as _;
        // Lost output must not stop a function.
        let _ = writeln!(
            file.lock().unwrap_or_else(PoisonError::into_inner),
            "{name:>14} | {line}"
        );
    }))
}
