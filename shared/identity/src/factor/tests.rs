//! What is accepted, once, and what is not.

use std::sync::Arc;

use super::*;

const NOW: Time = Time::from_millis(1_700_000_000_000);

fn sealing(ids: &[u8]) -> Sealing {
    let keys: Vec<String> = ids.iter().map(|id| format!("{id}:{id:064x}")).collect();
    Sealing::with(Some(Arc::new(keys.join(",").parse().unwrap())))
}

/// What an app shows at a time.
fn shown(secret: &totp::Secret, at: Time) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret.text()).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    totp.generate(at.seconds().unsigned_abs()).to_string()
}

/// A person's factors with one app, whose code of `NOW` is spent, and its secret.
fn with_app() -> (Factors, totp::Secret) {
    let mut factors = Factors::none(UserId::new(NOW));
    let (id, secret) = factors.add_totp(&sealing(&[1]), "Phone", NOW).unwrap();
    let code = shown(&secret, NOW);
    factors.confirm(&sealing(&[1]), id, Proof::Code(&code), NOW).unwrap();
    (factors, secret)
}

#[test]
fn codes_are_those_of_rfc_6238() {
    for (seconds, code) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ] {
        let (sealing, id) = (sealing(&[1]), FactorId::from_bits(7));
        let mut totp = Totp::sealed(&sealing, id, b"12345678901234567890").unwrap();
        let at = Time::from_millis(seconds * 1_000);
        assert!(totp.accepts(&sealing, id, code, at).unwrap(), "{seconds}");
        assert!(!totp.accepts(&sealing, id, code, at).unwrap(), "{seconds} again");
    }
}

#[test]
fn a_code_is_good_one_step_before_and_after_and_none_is_good_twice() {
    let check = |seconds: i64, good: bool| {
        let (mut factors, secret) = with_app();
        let now = NOW.plus_seconds(600);
        let code = shown(&secret, now.plus_seconds(seconds));
        let accepted = factors.accept(&sealing(&[1]), Proof::Code(&code), None, now).unwrap();
        assert_eq!(accepted, good, "{seconds} s away");
        assert!(!factors.accept(&sealing(&[1]), Proof::Code(&code), None, now).unwrap());
    };
    for (seconds, good) in [(0, true), (-30, true), (30, true), (-60, false), (60, false)] {
        check(seconds, good);
    }
}

#[test]
fn a_later_code_voids_the_earlier_ones_and_blanks_do_not_matter() {
    let (mut factors, secret) = with_app();
    let mut accept = |code: &str| factors.accept(&sealing(&[1]), Proof::Code(code), None, NOW).unwrap();
    assert!(!accept(&shown(&secret, NOW)), "confirming has spent it");
    let next = shown(&secret, NOW.plus_seconds(30));
    assert!(accept(&format!(" {} {}", &next[..3], &next[3..])));
    assert!(!accept(&shown(&secret, NOW.plus_seconds(-30))));
}

#[test]
fn what_is_no_code_is_none() {
    let (mut factors, _) = with_app();
    for bad in ["", "12345", "1234567", "+12345", "abcdef", "12345६", "\u{0}\u{0}"] {
        assert!(
            !factors.accept(&sealing(&[1]), Proof::Code(bad), None, NOW).unwrap(),
            "{bad}"
        );
        assert!(
            !factors
                .accept(&sealing(&[1]), Proof::RecoveryCode(bad), None, NOW)
                .unwrap(),
            "{bad}"
        );
    }
}

#[test]
fn a_factor_counts_once_it_is_confirmed_in_time() {
    let mut factors = Factors::none(UserId::new(NOW));
    let (id, secret) = factors.add_totp(&sealing(&[1]), "Phone", NOW).unwrap();
    let confirm = |factors: &mut Factors, id, seconds| {
        let now = NOW.plus_seconds(seconds);
        factors
            .confirm(&sealing(&[1]), id, Proof::Code(&shown(&secret, now)), now)
            .is_ok()
    };
    let wrong = factors.confirm(&sealing(&[1]), id, Proof::Code("000000"), NOW);
    assert!(matches!(wrong, Err(Error::Invalid(_))) && !factors.any() && factors.methods().is_empty());
    assert!(
        !factors
            .clone()
            .accept(&sealing(&[1]), Proof::Code(&shown(&secret, NOW)), None, NOW)
            .unwrap()
    );
    assert!(!confirm(&mut factors, id, 600) && !confirm(&mut factors, FactorId::new(NOW), 0));
    assert!(confirm(&mut factors, id, 599) && factors.any());
    assert!(!confirm(&mut factors, id, 0), "it does not wait any more");
    assert_eq!(factors.methods(), [Method::Totp]);
}

#[test]
fn one_waits_at_a_time_and_ten_are_the_most() {
    let (mut factors, _) = with_app();
    let (first, _) = factors.add_totp(&sealing(&[1]), "a", NOW).unwrap();
    let (second, _) = factors.add_totp(&sealing(&[1]), "b", NOW).unwrap();
    assert!(factors.remove(first).is_err() && factors.all.len() == 2);
    factors.remove(second).unwrap();
    while factors.all.len() < MOST {
        let (id, secret) = factors.add_totp(&sealing(&[1]), "more", NOW).unwrap();
        factors
            .confirm(&sealing(&[1]), id, Proof::Code(&shown(&secret, NOW)), NOW)
            .unwrap();
    }
    let refused = factors.add_totp(&sealing(&[1]), "eleven", NOW).map(|_| ());
    assert!(matches!(
        refused,
        Err(Error::Refused {
            code: "too_many_factors",
            ..
        })
    ));
}

#[test]
fn a_recovery_code_is_good_once_and_until_there_are_others() {
    let (mut factors, _) = with_app();
    let codes = factors.make_codes();
    assert_eq!(codes.len(), 10);
    let mut accept = |code: &str| {
        factors
            .accept(&sealing(&[1]), Proof::RecoveryCode(code), None, NOW)
            .unwrap()
    };
    let typed = codes[0].replace('-', " ").to_uppercase();
    assert!(accept(&typed) && !accept(&codes[0]));
    assert!(!accept("00000-00000-00000-00000") && accept(&codes[1]));
    assert_eq!((factors.codes_left(), factors.methods().len()), (8, 2));
    let newer = factors.make_codes();
    let mut accept = |code: &str| {
        factors
            .accept(&sealing(&[1]), Proof::RecoveryCode(code), None, NOW)
            .unwrap()
    };
    assert!(!accept(&codes[2]) && accept(&newer[2]));
}

#[test]
fn recovery_codes_go_with_the_last_factor() {
    let (mut factors, _) = with_app();
    let codes = factors.make_codes();
    let (id, secret) = factors.add_totp(&sealing(&[1]), "Tablet", NOW).unwrap();
    factors
        .confirm(&sealing(&[1]), id, Proof::Code(&shown(&secret, NOW)), NOW)
        .unwrap();
    factors.remove(id).unwrap();
    assert_eq!(factors.codes_left(), 10);
    let first = factors.all[0].id;
    factors.remove(first).unwrap();
    assert_eq!(factors.codes_left(), 0);
    assert!(
        !factors
            .accept(&sealing(&[1]), Proof::RecoveryCode(&codes[0]), None, NOW)
            .unwrap()
    );
}

#[test]
fn what_is_stored_has_no_secret_and_is_sealed_anew_when_it_is_used() {
    let (mut factors, secret) = with_app();
    let codes = factors.make_codes();
    let stored = serde_json::to_string(&factors).unwrap();
    let bytes = totp_rs::Secret::try_from_base32(secret.text()).unwrap();
    let plain = serde_json::to_string(bytes.as_bytes()).unwrap();
    let plain = plain.trim_matches(['[', ']']).to_owned();
    for text in codes.iter().chain([&secret.text(), &plain]) {
        assert!(!stored.contains(text), "{text}");
    }
    assert_eq!(format!("{secret:?} {:?}", Proof::Code("123456")), "Secret(…) totp");
    let next = shown(&secret, NOW.plus_seconds(30));
    assert!(
        factors
            .accept(&sealing(&[2, 1]), Proof::Code(&next), None, NOW)
            .unwrap()
    );
    let later = shown(&secret, NOW.plus_seconds(60));
    assert!(
        factors
            .accept(&sealing(&[2]), Proof::Code(&later), None, NOW.plus_seconds(60))
            .unwrap()
    );
    // What was sealed with a key that is gone is a failure of ours, not a wrong code.
    assert!(factors.accept(&sealing(&[3]), Proof::Code(&later), None, NOW).is_err());
}

#[test]
fn the_address_of_an_app_is_read_by_others() {
    let (_, secret) = with_app();
    let uri = secret.uri("Counting: house", "ada:x@example.com").unwrap();
    let read = totp_rs::Totp::from_url(&uri).unwrap();
    assert_eq!(read.issuer(), Some("Counting  house"));
    assert_eq!(read.account_name(), "ada x@example.com");
    assert_eq!(read.secret().to_base32(), secret.text());
    assert_eq!(
        (read.digits(), read.step(), read.algorithm()),
        (6, 30, totp_rs::Algorithm::SHA1)
    );
}

#[test]
fn a_challenge_is_for_its_person_five_minutes_and_until_their_sessions_end() {
    let mut user = crate::User::new(NOW, "ada@example.com", "Ada", kernel::PlatformRole::User);
    let other = crate::User::new(NOW, "eve@example.com", "Eve", kernel::PlatformRole::User);
    let (challenge, token) = challenge::Challenge::new(&user, None, NOW);
    assert!(challenge.is_open(&user, NOW.plus_seconds(299)));
    assert!(!challenge.is_open(&user, NOW.plus_seconds(300)) && !challenge.is_open(&other, NOW));
    assert!(!serde_json::to_string(&challenge).unwrap().contains(&token.reveal()));
    user.end_sessions();
    assert!(!challenge.is_open(&user, NOW));
}
