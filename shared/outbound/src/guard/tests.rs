//! What the guard lets through, and what it does not, however it is written.

use super::*;
use proptest::prelude::*;

fn refused(url: &str) -> Option<Refused> {
    check(url, &AllowList::default()).err()
}

#[test]
fn the_public_internet_may_be_called() {
    for url in [
        "https://example.com/hook",
        "https://example.com./hook?x=1",
        "https://EXAMPLE.com:8443/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://xn--bcher-kva.example/",
    ] {
        assert_eq!(refused(url), None, "{url}");
    }
}

#[test]
fn every_way_to_write_a_private_address_is_refused() {
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.01",
        "127.0.0.1.",
        "127。0。0。1",
        "１２７.0.0.1",
        "0",
        "10.0.0.1",
        "0xA9.254.169.254",
        "2852039166",
        "169.254.169.254",
        "100.100.100.200",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::8.8.8.8]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2001:0:53aa:64c::]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
        "[fec0::1]",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "intranet",
        "metadata.google.internal",
        "printer.local",
    ] {
        let url = format!("https://{host}/");
        let refusal = refused(&url);
        assert!(matches!(refusal, Some(Refused::NotPublic(_))), "{url}: {refusal:?}");
    }
}

#[test]
fn what_is_no_plain_https_url_is_refused() {
    for (url, expected) in [
        ("", "is not an http or https URL of at most 2048 characters"),
        ("example.com", "is not an http or https URL of at most 2048 characters"),
        (
            "ftp://example.com/",
            "is not an http or https URL of at most 2048 characters",
        ),
        (
            "file:///etc/passwd",
            "is not an http or https URL of at most 2048 characters",
        ),
        (
            "gopher://127.0.0.1:70/",
            "is not an http or https URL of at most 2048 characters",
        ),
        ("https://", "is not an http or https URL of at most 2048 characters"),
        (
            "https://[fe80::1%25eth0]/",
            "is not an http or https URL of at most 2048 characters",
        ),
        (
            "https://1.2.3.4.5/",
            "is not an http or https URL of at most 2048 characters",
        ),
        (
            "https://exa mple.com/",
            "is not an http or https URL of at most 2048 characters",
        ),
        ("http://example.com/", "must be https: example.com"),
        (
            "https://user@example.com/",
            "must not carry a user or password: example.com",
        ),
        (
            "https://:secret@example.com/",
            "must not carry a user or password: example.com",
        ),
        (
            "https://example.com@127.0.0.1/",
            "must not carry a user or password: 127.0.0.1",
        ),
        (
            "https://example.com:22/",
            "must use port 443 or one above 1023: example.com",
        ),
        (
            "https://example.com:0/",
            "must use port 443 or one above 1023: example.com",
        ),
        // A backslash would end the host, as browsers have it.
        (
            "https://127.0.0.1\\@example.com/",
            "is not an http or https URL of at most 2048 characters",
        ),
    ] {
        let refusal = refused(url).map(|refused| refused.to_string());
        assert_eq!(refusal.as_deref(), Some(expected), "{url}");
    }
    assert_eq!(
        refused(&format!("https://example.com/{}", "a".repeat(LONGEST))),
        Some(Refused::NotAUrl)
    );
}

#[test]
fn the_allow_list_opens_what_is_on_it_and_nothing_else() {
    let allow = AllowList::parse("127.0.0.1, Hooks.Test ,fd00::1,");
    for url in [
        "http://127.0.0.1:8080/",
        "http://2130706433:22/",
        "http://hooks.test:80/",
        "https://hooks.test./",
        "http://[fd00:0:0::1]:9/",
    ] {
        assert!(check(url, &allow).is_ok(), "{url}");
    }
    for url in [
        "http://127.0.0.2/",
        "https://127.0.0.2/",
        "http://localhost/",
        "http://a.hooks.test/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fd00::2]/",
        "http://user@127.0.0.1/",
    ] {
        assert!(check(url, &allow).is_err(), "{url}");
    }
    assert_eq!(AllowList::parse(" , "), AllowList::default());
}

#[test]
fn a_name_is_refused_if_any_of_its_addresses_is() {
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    let resolved = |name, texts, allow| check_resolved(name, &addresses(texts), &AllowList::parse(allow));
    assert!(resolved("a.example", &["8.8.8.8", "2606:4700::1"], "").is_ok());
    assert!(resolved("a.example", &["8.8.8.8", "127.0.0.1"], "").is_err());
    assert!(resolved("a.example", &["8.8.8.8", "127.0.0.1"], "127.0.0.1").is_ok());
    assert!(resolved("a.example", &["10.0.0.1"], "a.example").is_ok());
    assert!(resolved("a.example", &["10.0.0.1"], "b.example").is_err());
}

fn v4_written(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let number = u32::from(address);
    let low = number & 0xff_ffff;
    vec![
        address.to_string(),
        format!("{address}."),
        format!("{number}"),
        format!("{number:#x}"),
        format!("0{number:o}"),
        format!("0X{a:x}.{b}.0{c:o}.{d:#x}"),
        format!("{a}.{low}"),
    ]
}

proptest! {
    #[test]
    fn no_writing_of_a_private_v4_address_passes(bits: u32, form in 0_usize..7) {
        let address = Ipv4Addr::from(bits);
        let url = format!("https://{}/", v4_written(address)[form]);
        // The parser takes a leading zero for octal only where it is; each form names the same address.
        let parsed = Url::parse(&url).unwrap();
        prop_assert_eq!(parsed.host_str().map(str::to_owned), Some(address.to_string()));
        prop_assert_eq!(check(&url, &AllowList::default()).is_ok(), is_public(address.into()));
    }

    #[test]
    fn the_standard_library_agrees_on_what_is_not_public(bits: u32) {
        let address = Ipv4Addr::from(bits);
        let special = address.is_private()
            || address.is_loopback()
            || address.is_link_local()
            || address.is_broadcast()
            || address.is_documentation()
            || address.is_multicast()
            || address.is_unspecified();
        prop_assert!(!special || !is_public(address.into()));
    }

    #[test]
    fn no_v6_form_that_carries_a_v4_address_passes(bits: u32) {
        let [a, b, c, d] = bits.to_be_bytes();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        for address in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !high, !low),
        ] {
            prop_assert!(!is_public(address.into()), "{}", address);
            let url = format!("https://[{address}]/");
            prop_assert!(check(&url, &AllowList::default()).is_err());
        }
    }

    #[test]
    fn no_local_v6_address_passes(bits: u128, first in prop_oneof![0xfc00_u16..=0xffff, 0_u16..0x2000, 0x4000_u16..]) {
        let rest = bits & (u128::MAX >> 16);
        let address = Ipv6Addr::from((u128::from(first) << 112) | rest);
        prop_assert!(!is_public(address.into()), "{}", address);
    }

    #[test]
    fn what_passes_is_https_to_a_public_host(url in "(https?|ftp)://([a-z0-9.:@%\\[\\]-]{0,24})(:[0-9]{1,5})?(/.*)?") {
        if let Ok(url) = check(&url, &AllowList::default()) {
            prop_assert_eq!(url.scheme(), "https");
            prop_assert!(url.username().is_empty() && url.password().is_none());
            let host = url.host_str().unwrap();
            match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => prop_assert!(is_public(address)),
                Err(_) => prop_assert!(host.contains('.') && !host.ends_with("localhost")),
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}") {
        let _ = check(&text, &AllowList::parse(&text));
    }
}
