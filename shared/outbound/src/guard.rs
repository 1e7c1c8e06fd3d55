//! What may be called. Pure: resolves nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use reqwest::Url;

/// The longest URL.
const LONGEST: usize = 2_048;
/// Names that stand for this machine or its network; names below them as well.
const LOCAL_NAMES: [&str; 5] = ["localhost", "local", "internal", "home.arpa", "localdomain"];

/// Hosts and addresses that may be called although the guard would refuse them: by plain HTTP and on any port too.
/// Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Arc<[String]>);

impl AllowList {
    /// Reads a list with commas: `127.0.0.1,hooks.test`. IPv6 addresses stand without brackets.
    pub fn parse(text: &str) -> Self {
        let entries = text.split(',').map(normal).filter(|entry| !entry.is_empty());
        Self(entries.collect())
    }

    pub(crate) fn has_name(&self, name: &str) -> bool {
        let name = normal(name);
        self.0.contains(&name)
    }

    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.0.iter().any(|entry| entry.parse() == Ok(address))
    }
}

/// A name in lower case, without blanks around it and the dot of the root after it.
fn normal(name: &str) -> String {
    let name = name.trim();
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Why a target may not be called. The text names it, for whoever chose it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no URL that can be called.
    #[error("is not an http or https URL of at most {LONGEST} characters")]
    NotAUrl,
    /// It has a user or a password in it.
    #[error("must not carry a user or password: {0}")]
    Credentials(String),
    /// It is plain HTTP.
    #[error("must be https: {0}")]
    NotHttps(String),
    /// Its port is one of another service.
    #[error("must use port 443 or one above 1023: {0}")]
    Port(String),
    /// It is an address that is not on the public internet, or a name that stands for one.
    #[error("is not on the public internet: {0}")]
    NotPublic(String),
}

/// Whether a URL may be called, as far as that can be told without resolving its name.
pub fn check(url: &str, allow: &AllowList) -> Result<Url, Refused> {
    if url.len() > LONGEST {
        return Err(Refused::NotAUrl);
    }
    // The parser mends what browsers mend: line breaks are dropped, `\` is a `/`, and one `/` is as good as two. What is
    // called would then be another address than the one that is shown.
    let plain = |c: char| c > ' ' && c != '\\' && c != '\u{7F}';
    let (_, rest) = url.split_once(':').ok_or(Refused::NotAUrl)?;
    if !rest.starts_with("//") || !url.chars().all(plain) {
        return Err(Refused::NotAUrl);
    }
    let url = Url::parse(url).map_err(|_| Refused::NotAUrl)?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(Refused::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refused::NotAUrl);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::Credentials(host.to_owned()));
    }
    // The parser has read every way to write an address (decimal, octal, hexadecimal, shortened) and wrote it plainly.
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let allowed = match address {
        Some(address) => allow.has_address(address),
        None => allow.has_name(host),
    };
    if allowed {
        return Ok(url);
    }
    if url.scheme() != "https" {
        return Err(Refused::NotHttps(host.to_owned()));
    }
    if !matches!(url.port_or_known_default(), Some(443 | 1_024..)) {
        return Err(Refused::Port(host.to_owned()));
    }
    let public = match address {
        Some(address) => is_public(address),
        None => is_public_name(host),
    };
    if public {
        Ok(url)
    } else {
        Err(Refused::NotPublic(host.to_owned()))
    }
}

/// Whether every address that `name` resolved to may be called.
pub(crate) fn check_resolved(name: &str, addresses: &[IpAddr], allow: &AllowList) -> Result<(), Refused> {
    let fine = |address: &IpAddr| is_public(*address) || allow.has_address(*address);
    if allow.has_name(name) || addresses.iter().all(fine) {
        return Ok(());
    }
    // Which address it is may be known inside only.
    Err(Refused::NotPublic(name.to_owned()))
}

fn is_public_name(name: &str) -> bool {
    let name = normal(name);
    let is_below = |local: &str| name.strip_suffix(local).is_some_and(|rest| rest.ends_with('.'));
    // A name without a dot is looked up in this machine's own domain.
    name.contains('.') && !LOCAL_NAMES.iter().any(|local| is_below(local))
}

/// Whether an address is on the public internet, by the IANA special-purpose registries (RFC 6890 and its updates).
/// IPv6 forms that carry an IPv4 address (mapped, NAT64, 6to4, Teredo) are refused whatever they carry.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224..=255, ..]      // this network, private, loopback, multicast, reserved and broadcast
            | [100, 64..=127, ..]           // carrier-grade NAT
            | [169, 254, ..]                // link-local, and the clouds' metadata
            | [172, 16..=31, ..]            // private
            | [192, 0, 0 | 2, _]            // protocol assignments, documentation
            | [192, 31, 196, _]             // AS112
            | [192, 52, 193, _]             // AMT
            | [192, 88, 99, _]              // 6to4 relays
            | [192, 168, ..]                // private
            | [192, 175, 48, _]             // AS112
            | [198, 18 | 19, ..]            // benchmarks
            | [198, 51, 100, _]             // documentation
            | [203, 0, 113, _] // documentation
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Protocol assignments with Teredo, documentation twice, 6to4, AS112.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] | [0x2002, ..] | [0x2620, 0x004f, 0x8000, ..] => {
            false
        }
        // Only 2000::/3 is assigned; all else is loopback, mapped, NAT64, local, multicast or nothing yet.
        [first, ..] => first >> 13 == 1,
    }
}

#[cfg(test)]
mod tests;
