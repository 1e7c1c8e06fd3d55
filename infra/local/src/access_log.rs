//! Lines of access logs in the Combined Log Format, as Apache and nginx write them.
//!
//! `address identity user [time] "request" status bytes "referrer" "user agent"`
//! <https://httpd.apache.org/docs/2.4/logs.html#combined>

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use jiff::fmt::strtime;

/// One request, as its line tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// Who asked: an IP address or a host name.
    pub address: &'a str,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// What was asked: method, target and protocol, or whatever else a client sent.
    pub request: Cow<'a, str>,
    /// The status of the reply.
    pub status: u16,
    /// Bytes of the reply's body; none if the log has `-`.
    pub bytes: Option<u64>,
    /// The page that led there, as the client says.
    pub referrer: Option<Cow<'a, str>>,
    /// The client's program, as it says.
    pub user_agent: Option<Cow<'a, str>>,
}

/// What a line lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no access log line: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

impl<'a> Line<'a> {
    /// Reads a line. A last field without its closing quote is taken as it is: logs get cut.
    pub fn parse(line: &'a str) -> Result<Self, Malformed> {
        let line = line.strip_prefix('\u{FEFF}').unwrap_or(line);
        let (who, time_ms, rest) = at_time(line)?;
        let address = address(who).ok_or(Malformed("no address"))?;
        let (request, rest) = quoted(rest);
        let rest = rest.ok_or(Malformed("the request does not end"))?;
        let mut fields = rest.trim_start().splitn(3, ' ');
        let status = fields
            .next()
            .and_then(|text| text.parse().ok())
            .ok_or(Malformed("no status"))?;
        if !(100..=999).contains(&status) {
            return Err(Malformed("the status is none"));
        }
        let bytes = match fields.next().map(str::trim) {
            None | Some("" | "-") => None,
            Some(text) => Some(text.parse().map_err(|_| Malformed("the number of bytes is none"))?),
        };
        let (referrer, rest) = optional(fields.next());
        let (user_agent, _) = optional(rest);

        Ok(Self {
            address,
            time_ms,
            request,
            status,
            bytes,
            referrer,
            user_agent,
        })
    }

    /// Names the request: method, blank, path without its query. What is no HTTP request names itself.
    pub fn name(&self) -> Cow<'_, str> {
        let mut parts = self.request.split(' ');
        match (parts.next(), parts.next()) {
            (Some(method), Some(target)) if !method.is_empty() && !target.is_empty() => {
                let path = target.split('?').next().unwrap_or(target);
                format!("{method} {path}").into()
            }
            _ if self.request.trim().is_empty() => "-".into(),
            _ => Cow::Borrowed(self.request.trim()),
        }
    }
}

/// Splits a line at its time, into what stands before it, the time, and what follows the quote after it. A client chooses its user,
/// blanks and brackets included, but servers escape quotes; so the first time that a quote follows is the line's own.
fn at_time(line: &str) -> Result<(&str, i64, &str), Malformed> {
    for (end, mark) in line.match_indices("] \"") {
        let Some(start) = line[..end].rfind('[') else { continue };
        if let Some(time) = parse_time(&line[start + 1..end]) {
            return Ok((&line[..start], time, &line[end + mark.len()..]));
        }
    }
    let time = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let (time, rest) = time.ok_or(Malformed("no time"))?;
    let is_time = parse_time(time).is_some() && !rest.starts_with(" \"");
    Err(Malformed(if is_time { "no request" } else { "the time is none" }))
}

/// Who asked, of `address identity user`: without its port, the first of several that proxies note, and after the virtual host
/// that some logs begin with. Nothing if that cannot be told.
fn address(who: &str) -> Option<&str> {
    let mut fields = who.split(' ');
    let first = fields.next()?;
    if let Some(first) = first.strip_suffix(',') {
        return ip(first);
    }
    if let Some(address) = ip(first) {
        return Some(address);
    }
    let second = fields.next()?;
    if let Some(address) = ip(second) {
        return Some(address);
    }
    let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = !first.is_empty() && first.chars().all(host);
    // Four fields and more: either a virtual host stands in front, or a user has a blank in it.
    let is_clear = second == "-" || fields.filter(|field| !field.is_empty()).count() < 2;
    (first == "unix:" || is_host && is_clear).then_some(first)
}

/// An IP address as it is written, without its port.
fn ip(text: &str) -> Option<&str> {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let inside = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    let bare = match (inside, text.rsplit_once(':')) {
        (Some((address, "")), _) => address,
        (Some((address, port)), _) => port.strip_prefix(':').filter(|port| is_port(port)).map(|_| address)?,
        (None, Some((address, port))) if address.contains('.') && is_port(port) => address,
        _ => text,
    };
    bare.parse::<IpAddr>().is_ok().then_some(bare)
}

/// Reads `17/May/2015:10:05:03 +0000`.
fn parse_time(text: &str) -> Option<i64> {
    let time = strtime::parse("%d/%b/%Y:%H:%M:%S %z", text).ok()?;
    Some(time.to_timestamp().ok()?.as_millisecond())
}

/// Reads up to the closing quote; the rest is none if there is no closing quote.
fn quoted(text: &str) -> (Cow<'_, str>, Option<&str>) {
    let mut escaped = false;
    let mut has_escapes = false;
    let mut end = None;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => {
                escaped = true;
                has_escapes = true;
            }
            b'"' => {
                end = Some(index);
                break;
            }
            _ => {}
        }
    }
    let field = &text[..end.unwrap_or(text.len())];
    let field = if has_escapes {
        unescape(field).into()
    } else {
        Cow::Borrowed(field)
    };
    (field, end.map(|end| &text[end + 1..]))
}

/// Takes back `\"` and `\\`; other escapes (`\x16`) stay readable as they are.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(&next) if c == '\\' && (next == '"' || next == '\\') => {
                out.push(next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// Reads a quoted field that may be `-` or missing.
fn optional(text: Option<&str>) -> (Option<Cow<'_, str>>, Option<&str>) {
    let Some(text) = text.and_then(|text| text.trim_start().strip_prefix('"')) else {
        return (None, None);
    };
    let (field, rest) = quoted(text);
    (Some(field).filter(|field| field != "-" && !field.is_empty()), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = r#"192.0.2.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a/b?c=d HTTP/1.0" 404 2326 "http://example.com/" "Some \"agent\" 1.0""#;

    #[test]
    fn a_line_tells_everything() {
        let line = Line::parse(LINE).unwrap();
        assert_eq!(line.address, "192.0.2.1");
        assert_eq!(line.time_ms, 971_211_336_000);
        assert_eq!(line.request, "GET /a/b?c=d HTTP/1.0");
        assert_eq!(line.name(), "GET /a/b");
        assert_eq!((line.status, line.bytes), (404, Some(2326)));
        assert_eq!(line.referrer.as_deref(), Some("http://example.com/"));
        assert_eq!(line.user_agent.as_deref(), Some(r#"Some "agent" 1.0"#));
    }

    #[test]
    fn a_cut_user_agent_is_taken_as_it_is() {
        let line = Line::parse(&LINE[..LINE.len() - 5]).unwrap();
        assert_eq!(line.user_agent.as_deref(), Some(r#"Some "agent" "#.trim_end()));
    }

    fn check_name(request: &str, expected: &str) {
        let text = format!(r#"h - - [10/Oct/2000:13:55:36 -0700] "{request}" 400 - "-" "-""#);
        let line = Line::parse(&text).unwrap();
        assert_eq!(line.name(), expected);
        assert_eq!(
            (line.bytes, line.referrer.is_none(), line.user_agent.is_none()),
            (None, true, true)
        );
    }

    #[test]
    fn what_is_no_request_names_itself() {
        check_name("GET /", "GET /");
        check_name("-", "-");
        check_name("", "-");
        check_name(r"\x16\x03\x01", r"\x16\x03\x01");
        check_name("GET /a b HTTP/1.1", "GET /a");
        check_name(r#"GET /a\" HTTP/1.1"#, "GET /a\"");
    }

    const REST: &str = r#"[10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 5 "-" "-""#;

    #[test]
    fn whoever_asked_is_one_person_however_they_are_written() {
        for who in [
            "192.0.2.1 - frank",
            "\u{FEFF}192.0.2.1 - -",
            "192.0.2.1:61264 - -",
            "192.0.2.1, 198.51.100.2 - -",
            "shop.example.com:443 192.0.2.1 - -",
            "shop.example.com 192.0.2.1:61264 - -",
            "192.0.2.1 - [x",
            "192.0.2.1 - [10/Oct/2000:13:55:36",
            "192.0.2.1 - Frank Miller",
            r#"192.0.2.1 - [10/Oct/1999:13:55:36 -0700] \"GET"#,
        ] {
            let text = format!("{who} {REST}");
            let line = Line::parse(&text).unwrap_or_else(|error| panic!("{who}: {error}"));
            assert_eq!((line.address, line.time_ms), ("192.0.2.1", 971_211_336_000), "{who}");
            assert_eq!(line.name(), "GET /a", "{who}");
        }
        for (who, address) in [
            ("2001:db8::1 - -", "2001:db8::1"),
            ("[2001:db8::1]:443 - -", "2001:db8::1"),
            ("client.example.net - Frank Miller", "client.example.net"),
            ("client.example.net joe frank", "client.example.net"),
            ("unix: - -", "unix:"),
        ] {
            assert_eq!(Line::parse(&format!("{who} {REST}")).unwrap().address, address, "{who}");
        }
        for who in [
            "shop.example.com client.example.net - -",
            "shop.example.com:443 client.example.net - -",
            "{\"ip\": 1 -",
            "a, b - -",
        ] {
            check_malformed(&format!("{who} {REST}"), "no address");
        }
    }

    fn check_malformed(line: &str, expected: &str) {
        assert_eq!(
            Line::parse(line),
            Err(Malformed(Box::leak(expected.to_owned().into_boxed_str()))),
            "{line}"
        );
    }

    #[test]
    fn what_is_no_line_says_why() {
        check_malformed("", "no time");
        check_malformed(
            r#" - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 1"#,
            "no address",
        );
        check_malformed("192.0.2.1 - - nothing", "no time");
        check_malformed(r#"h - - [now] "GET / HTTP/1.1" 200 1"#, "the time is none");
        check_malformed("h - - [10/Oct/2000:13:55:36 -0700]", "no request");
        check_malformed(
            r#"h - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1 200 1"#,
            "the request does not end",
        );
        check_malformed(
            r#"h - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" ok 1"#,
            "no status",
        );
        check_malformed(
            r#"h - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 many"#,
            "the number of bytes is none",
        );
    }

    /// What is read of a line that may be none can be shown.
    fn check_damaged(text: &str) {
        match Line::parse(text) {
            Ok(line) => assert!(!line.name().is_empty() && (100..=999).contains(&line.status)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(line in ".*") {
            check_damaged(&line);
        }

        #[test]
        fn no_damage_to_a_line_makes_it_panic(
            edits in prop::collection::vec((any::<prop::sample::Index>(), "\\PC?|[\"\\\\ \\[\\]]", 0..4_usize), 1..6),
        ) {
            let mut line: Vec<char> = r#"198.51.100.7 - ada [21/Nov/2026:10:05:03 +0100] "GET /a?b=c HTTP/1.1" 200 512 "https://e.com/\"x\"" "Mozilla/5.0""#.chars().collect();
            for (place, text, cut) in edits {
                let place = place.index(line.len() + 1);
                let end = (place + cut).min(line.len());
                line.splice(place..end, text.chars());
            }
            check_damaged(&line.into_iter().collect::<String>());
        }

        #[test]
        fn what_was_written_is_read(
            path in "/[a-z0-9/._%+-]{0,40}", query in "(\\?[a-z=&]{0,20})?", status in 100_u16..600,
            bytes in proptest::option::of(0_u64..1_000_000_000), agent in "[ -~]{1,60}", seconds in 0_i64..4_000_000_000,
        ) {
            let time = jiff::Timestamp::from_second(seconds).unwrap().strftime("%d/%b/%Y:%H:%M:%S +0000");
            let size = bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
            let escaped = agent.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!(r#"198.51.100.7 - - [{time}] "GET {path}{query} HTTP/1.1" {status} {size} "-" "{escaped}""#);
            let line = Line::parse(&text).unwrap();
            prop_assert_eq!(line.time_ms, seconds * 1000);
            prop_assert_eq!(line.name(), format!("GET {path}"));
            prop_assert_eq!((line.status, line.bytes), (status, bytes));
            prop_assert_eq!(line.user_agent.as_deref(), Some(agent.as_str()).filter(|agent| *agent != "-"));
        }
    }
}
