//! The sample access log that the repository ships: invented, always the same.
//!
//! Addresses are those that RFC 5737 keeps for documentation. `cargo local sample` writes it; a test compares.

use std::fmt::Write as _;

use jiff::Timestamp;

/// How many lines it has.
pub const LINES: u64 = 2000;
/// The time of its last line: 2026-01-15 12:00:00 UTC.
const LAST_S: i64 = 1_768_478_400;
/// The time that it spans: six hours.
const SPAN_S: u64 = 6 * 3600;

const NETWORKS: [&str; 3] = ["192.0.2", "198.51.100", "203.0.113"];
const PAGES: [&str; 14] = [
    "/",
    "/pricing",
    "/docs/getting-started",
    "/docs/api/events",
    "/blog/why-we-count",
    "/blog/six-months-of-numbers",
    "/login",
    "/app/overview",
    "/app/projects",
    "/assets/app.css",
    "/assets/app.js",
    "/images/logo.svg",
    "/api/v2/orders",
    "/api/v2/carts/checkout",
];
const FAILURES: [(&str, &str, u16); 7] = [
    ("GET", "/wp-login.php", 404),
    ("GET", "/favicon-old.ico", 404),
    ("GET", "/docs/api/evnets", 404),
    ("POST", "/api/v2/carts/checkout", 500),
    ("POST", "/api/v2/orders", 422),
    ("GET", "/app/projects", 403),
    ("GET", "/api/v2/orders", 503),
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    "ExampleBot/1.0 (+http://bot.example/about)",
    "shop-client/3.2",
];

/// Writes the log.
pub fn log() -> String {
    lines(LINES)
}

/// Writes a log like it, with so many lines.
pub fn lines(lines: u64) -> String {
    let mut numbers = Numbers(0x00C0_4753);
    let mut times: Vec<i64> = (1..lines).map(|_| LAST_S - signed(busy_second(&mut numbers))).collect();
    times.sort_unstable();
    times.push(LAST_S);
    let mut log = String::new();
    for time in times {
        line(&mut log, &mut numbers, time);
    }
    log
}

/// Picks how many seconds before the end; the later of two picks more often, so that the curve has a shape.
fn busy_second(numbers: &mut Numbers) -> u64 {
    numbers.below(SPAN_S).min(numbers.below(SPAN_S + SPAN_S / 2))
}

fn line(log: &mut String, numbers: &mut Numbers, time: i64) {
    let network = numbers.pick(&NETWORKS);
    // Some addresses are seen often, most seldom.
    let host = 1 + numbers.below(254).min(numbers.below(254));
    let (method, path, status) = if numbers.below(100) < 5 {
        *numbers.pick(&FAILURES)
    } else {
        let path = *numbers.pick(&PAGES);
        let method = if path.starts_with("/api") && numbers.below(3) > 0 {
            "POST"
        } else {
            "GET"
        };
        let status = if path.starts_with("/assets") && numbers.below(4) == 0 {
            304
        } else {
            200
        };
        (method, path, status)
    };
    let query = if numbers.below(8) == 0 {
        format!("?utm_source=letter-{}", numbers.below(9))
    } else {
        String::new()
    };
    let size = if status == 304 {
        "-".to_owned()
    } else {
        (180 + numbers.below(48_000)).to_string()
    };
    let referrer = if numbers.below(3) == 0 {
        "https://www.example.com/"
    } else {
        "-"
    };
    let agent = numbers.pick(&AGENTS);
    let stamp = Timestamp::from_second(time)
        .unwrap_or_default()
        .strftime("%d/%b/%Y:%H:%M:%S +0000");
    let written = writeln!(
        log,
        r#"{network}.{host} - - [{stamp}] "{method} {path}{query} HTTP/1.1" {status} {size} "{referrer}" "{agent}""#
    );
    written.expect("writing to a text does not fail");
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or_default()
}

/// `SplitMix64`: the same numbers on every machine, for ever.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::Line;

    #[test]
    fn the_shipped_log_is_the_one_written_here() {
        assert_eq!(include_str!("../sample/access.log"), log());
    }

    #[test]
    fn every_line_can_be_read_and_one_in_twenty_failed() {
        let log = log();
        let lines: Vec<Line> = log.lines().map(|line| Line::parse(line).unwrap()).collect();
        let failed = lines.iter().filter(|line| line.status >= 400).count();
        assert_eq!(lines.len() as u64, LINES);
        assert!((70..=130).contains(&failed), "{failed}");
        assert_eq!(lines.last().map(|line| line.time_ms), Some(LAST_S * 1000));
    }
}
