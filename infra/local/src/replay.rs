//! `cargo local replay`: sends an access log as events.
//!
//! Twice over the file: once for its latest time, which becomes now, and once to send it. An event's id comes from
//! its line and the line's number, so that sending a log again counts nothing twice. What a broken connection, a
//! 429 or a 5xx left unanswered is sent again with the same ids.

mod delivery;

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use aws_lc_rs::digest::{SHA256, digest};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::access_log::Line;
use delivery::{Delivered, Delivery};
use stack::clock::{real_ms, rfc3339};

/// The longest line that is read; what is longer is malformed.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// The longest name of an event; a longer path is cut.
const MAX_NAME_CHARS: usize = 1_000;
/// The longest user of an event; a longer host is cut.
const MAX_USER_CHARS: usize = 200;
/// The longest text in an event's metadata: two of them, each character escaped, are far below an event's 64 KiB.
const MAX_TEXT_CHARS: usize = 4_000;
/// A batch is sent when its events have this size as JSON: the API takes 1 MiB.
const MAX_BATCH_BYTES: usize = 900 * 1024;
/// How many batches are under way at once.
const BATCHES_AT_ONCE: usize = 4;
/// How many malformed lines are shown.
const SHOWN: u64 = 10;

/// What to replay, and where to.
#[derive(Debug, Clone)]
pub struct Options {
    /// The access log.
    pub file: PathBuf,
    /// The API's address, without `/v1`.
    pub url: String,
    /// The API key of the project that gets the events.
    pub api_key: String,
    /// How many events go into one request, 1 to 1,000.
    pub batch: usize,
    /// Whether to show a progress bar on stderr.
    pub progress: bool,
}

/// How it went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Events sent, each counted once.
    pub sent: u64,
    /// Events that the API took.
    pub accepted: u64,
    /// Lines that could not be read, and events that the API refused or never answered.
    pub rejected: u64,
}

impl Summary {
    /// Tells whether every line was accepted.
    pub fn is_complete(&self) -> bool {
        self.rejected == 0 && self.accepted == self.sent
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    id: String,
    r#type: &'static str,
    name: String,
    user_id: String,
    occurred_at: String,
    metadata: Metadata,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

/// Sends the log. Yields how it went; ends early where the API refuses the key. An error means that it could not even begin.
pub async fn run(options: &Options) -> Result<Summary> {
    let survey = survey(&options.file)?;
    let shift_ms = real_ms() - survey.latest_ms.unwrap_or_default();
    let bar = progress(options.progress, survey.lines);
    let delivery = Delivery::new(&options.url, &options.api_key)?;
    let mut summary = Summary::default();
    let mut under_way = FuturesUnordered::new();
    let mut batches = Batches::new(options, shift_ms)?;
    let mut hopeless = false;
    loop {
        while !hopeless
            && under_way.len() < BATCHES_AT_ONCE
            && let Some(batch) = batches.next(&bar)?
        {
            summary.sent += batch.len() as u64;
            under_way.push(delivery.send(batch));
        }
        let Some(delivered) = under_way.next().await else { break };
        let delivered: Delivered = delivered.inspect_err(|_| bar.abandon())?;
        hopeless |= delivered.hopeless;
        summary.accepted += delivered.accepted;
        summary.rejected += delivered.rejected;
        bar.inc(delivered.accepted + delivered.rejected);
        for reason in delivered.reasons {
            bar.suspend(|| eprintln!("{reason}"));
        }
    }
    summary.rejected += batches.malformed;
    if hopeless {
        bar.abandon();
    } else {
        bar.finish();
    }

    Ok(summary)
}

/// Yields the ids that the events of a log are sent with.
pub fn ids(file: &Path) -> Result<Vec<String>> {
    let mut lines = Lines::open(file)?;
    let mut ids = Vec::new();
    while let Some(text) = lines.next()? {
        if Line::parse(&text).is_ok() {
            ids.push(id(&text, lines.number));
        }
    }
    Ok(ids)
}

fn id(text: &str, number: u64) -> String {
    let sum = digest(&SHA256, format!("{number} {text}").as_bytes());
    hex::encode(&sum.as_ref()[..16])
}

fn progress(shown: bool, lines: u64) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left");
    ProgressBar::new(lines).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Survey {
    lines: u64,
    latest_ms: Option<i64>,
}

fn survey(file: &Path) -> Result<Survey> {
    let mut lines = Lines::open(file)?;
    let mut survey = Survey {
        lines: 0,
        latest_ms: None,
    };
    while let Some(line) = lines.next()? {
        survey.lines += 1;
        if let Ok(line) = Line::parse(&line) {
            survey.latest_ms = survey.latest_ms.max(Some(line.time_ms));
        }
    }
    Ok(survey)
}

/// The lines of a file, one in memory at a time.
struct Lines {
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    fn open(file: &Path) -> Result<Self> {
        let file = File::open(file).with_context(|| format!("open {}", file.display()))?;
        Ok(Self {
            reader: BufReader::with_capacity(256 * 1024, file),
            number: 0,
        })
    }

    /// Reads the next line that is not empty; what is no UTF-8 in it is replaced.
    fn next(&mut self) -> Result<Option<String>> {
        loop {
            let mut bytes = Vec::new();
            if self
                .reader
                .by_ref()
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut bytes)?
                == 0
            {
                return Ok(None);
            }
            if !bytes.ends_with(b"\n") {
                self.reader.skip_until(b'\n')?;
            }
            self.number += 1;
            let line = String::from_utf8_lossy(&bytes);
            let line = line.trim_end_matches(['\n', '\r']);
            if !line.is_empty() {
                return Ok(Some(line.to_owned()));
            }
        }
    }
}

/// The events of a log, in batches.
struct Batches {
    lines: Lines,
    shift_ms: i64,
    size: usize,
    malformed: u64,
    left_over: Option<Event>,
}

impl Batches {
    fn new(options: &Options, shift_ms: i64) -> Result<Self> {
        let lines = Lines::open(&options.file)?;
        Ok(Self {
            lines,
            shift_ms,
            size: options.batch,
            malformed: 0,
            left_over: None,
        })
    }

    fn next(&mut self, bar: &ProgressBar) -> Result<Option<Vec<Event>>> {
        let mut batch: Vec<Event> = Vec::new();
        let mut bytes = 0;
        while batch.len() < self.size {
            let event = match self.left_over.take() {
                Some(event) => event,
                None => match self.lines.next()? {
                    Some(text) => match Line::parse(&text) {
                        Ok(line) => event(&line, &text, self.lines.number, self.shift_ms),
                        Err(malformed) => {
                            self.malformed += 1;
                            bar.inc(1);
                            if self.malformed <= SHOWN {
                                bar.suspend(|| eprintln!("line {}: {malformed}", self.lines.number));
                            }
                            continue;
                        }
                    },
                    None => break,
                },
            };
            bytes += event.rough_bytes();
            if bytes > MAX_BATCH_BYTES && !batch.is_empty() {
                self.left_over = Some(event);
                break;
            }
            batch.push(event);
        }

        Ok((!batch.is_empty()).then_some(batch))
    }
}

impl Event {
    /// Bounds its size as JSON: every byte of text may need an escape of two.
    fn rough_bytes(&self) -> usize {
        let texts = [&self.metadata.referrer, &self.metadata.user_agent];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        300 + 2 * (self.name.len() + self.user_id.len() + texts)
    }
}

fn event(line: &Line, text: &str, number: u64, shift_ms: i64) -> Event {
    let owned = |field: &Option<std::borrow::Cow<str>>| field.as_ref().map(|text| taken(text, MAX_TEXT_CHARS));
    Event {
        id: id(text, number),
        r#type: if line.status >= 400 { "ERROR" } else { "REQUEST" },
        name: taken(&line.name(), MAX_NAME_CHARS),
        user_id: taken(line.address, MAX_USER_CHARS),
        occurred_at: rfc3339(line.time_ms + shift_ms),
        metadata: Metadata {
            status: line.status,
            bytes: line.bytes,
            referrer: owned(&line.referrer),
            user_agent: owned(&line.user_agent),
        },
    }
}

/// A text as the API takes it: cut, its control characters replaced; `-` if nothing of it can be seen.
fn taken(text: &str, most: usize) -> String {
    let seen = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let taken: String = text.chars().take(most).map(seen).collect();
    let mut check = kernel::Check::default();
    check.text("text", &taken, 1..=most);
    check.done().map_or_else(|_| "-".to_owned(), |()| taken)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn batches(text: &[u8], size: usize) -> (Vec<Vec<Event>>, u64) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let options = Options {
            file: file.path().to_owned(),
            url: String::new(),
            api_key: String::new(),
            batch: size,
            progress: false,
        };
        let mut batches = Batches::new(&options, 1000).unwrap();
        let mut all = Vec::new();
        while let Some(batch) = batches.next(&ProgressBar::hidden()).unwrap() {
            all.push(batch);
        }
        (all, batches.malformed)
    }

    const LINE: &str = "192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] \"GET /a?b HTTP/1.0\" 404 5 \"-\" \"x\"\n";

    #[test]
    fn no_event_is_made_that_is_refused() {
        let host = "h".repeat(300);
        let hard = format!(
            "{host} - - [10/Oct/2000:13:55:36 +0000] \"GET /{}\u{1}\u{202E} HTTP/1.0\" 200 5 \"\u{7}{}\" \"{}\"\n",
            "é".repeat(1_500),
            "\u{1}".repeat(9_000),
            "\u{200B}"
        );
        let blank = "192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] \"\u{200B}\" 200 5 \"-\" \"-\"\n";
        let control = "192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] \"GET /\u{0} HTTP/1.0\" 200 5 \"-\" \"-\"\n";
        let (all, malformed) = batches(format!("{hard}{blank}{control}").as_bytes(), 9);
        assert_eq!((malformed, all[0].len()), (0, 3));
        let body = serde_json::to_vec(&serde_json::json!({"events": all[0]})).unwrap();
        let arrived = kernel::Time::from_millis(971_186_136_000 + 1_000);
        let (good, bad) = telemetry::batch::read_many(&body, telemetry::batch::Format::Plain, arrived).unwrap();
        assert_eq!((good.len(), bad), (3, Vec::new()));
        assert_eq!((good[0].1.name.chars().count(), good[1].1.name.as_str()), (1_000, "-"));
    }

    #[test]
    fn lines_become_events_in_batches() {
        let (all, malformed) = batches(format!("{LINE}nonsense\n\n{LINE}{LINE}").as_bytes(), 2);
        assert_eq!(malformed, 1);
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        let event = &all[0][0];
        assert_eq!(
            (event.r#type, event.name.as_str(), event.user_id.as_str()),
            ("ERROR", "GET /a", "192.0.2.1")
        );
        assert_eq!(event.occurred_at, "2000-10-10T13:55:37.000Z");
    }

    #[test]
    fn equal_lines_have_ids_of_their_own_and_keep_them() {
        let text = format!("{LINE}{LINE}");
        let ids = || {
            batches(text.as_bytes(), 10).0[0]
                .iter()
                .map(|event| event.id.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(), ids());
        assert_ne!(ids()[0], ids()[1]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_is_malformed() {
        let mut text = vec![b'x'; 3 * 1024 * 1024];
        text.push(b'\n');
        text.extend(LINE.as_bytes());
        let (all, malformed) = batches(&text, 10);
        assert_eq!((all[0].len(), malformed), (1, 1));
    }

    #[test]
    fn a_batch_stays_below_what_the_api_takes() {
        let agent = "y".repeat(30_000);
        let line = LINE.replace("\"x\"", &format!("\"{agent}\""));
        let (all, _) = batches(line.repeat(300).as_bytes(), 300);
        assert!(all.len() > 1);
        for batch in all {
            assert!(serde_json::to_vec(&batch).unwrap().len() < 1024 * 1024);
        }
    }
}
