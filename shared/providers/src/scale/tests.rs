//! Amounts at each provider, and back.

use proptest::prelude::*;

use super::*;

fn of(minor: i64, code: &str) -> Money {
    Money::new(Minor::new(minor), code.parse().unwrap())
}

/// At Stripe, Razorpay and Cashfree (in hundredths); nothing where it cannot be charged.
#[track_caller]
fn check(minor: i64, code: &str, expected: [Option<i64>; 3]) {
    for (provider, expected) in Provider::ALL.into_iter().zip(expected) {
        let found = charged(provider, of(minor, code));
        assert_eq!(
            found.as_ref().ok().copied(),
            expected,
            "{provider} {minor} {code}: {found:?}"
        );
        if let Some(units) = expected {
            assert_eq!(
                money(provider, units, code.parse().unwrap()),
                Some(of(minor, code)),
                "{provider} {code}"
            );
        }
    }
}

#[test]
fn amounts_are_written_as_each_provider_wants_them() {
    check(17_000, "EUR", [Some(17_000), Some(17_000), Some(17_000)]);
    check(17_000, "INR", [Some(17_000), Some(17_000), Some(17_000)]);
    check(1_700, "JPY", [Some(1_700), Some(1_700), Some(170_000)]);
    check(1_700, "ISK", [Some(170_000), Some(1_700), Some(170_000)]);
    check(1_700, "UGX", [Some(170_000), Some(1_700), Some(170_000)]);
    // ISO gives the ariary two places; Stripe none.
    check(170_000, "MGA", [Some(1_700), Some(170_000), Some(170_000)]);
    check(170_050, "MGA", [None, Some(170_050), Some(170_050)]);
    check(99_990, "KWD", [Some(99_990), Some(99_990), Some(9_999)]);
    check(99_999, "KWD", [None, None, None]);
    check(10_000, "CLF", [None, None, Some(100)]);
    check(12_345, "CLF", [None, None, None]);
    // Three places by ISO, and not among those that Stripe names.
    check(10_000, "IQD", [None, Some(10_000), Some(1_000)]);
    check(20_000, "HUF", [Some(20_000), Some(20_000), Some(20_000)]);
    check(10_000, "TWD", [Some(10_000), Some(10_000), Some(10_000)]);
}

#[test]
fn what_is_too_little_is_refused_and_said() {
    check(49, "EUR", [None, Some(49), Some(49)]);
    check(50, "EUR", [Some(50), Some(50), Some(50)]);
    check(49, "JPY", [None, Some(49), Some(4_900)]);
    check(99, "INR", [Some(99), None, Some(99)]);
    for minor in [0, -1, i64::MIN] {
        check(minor, "EUR", [None, None, None]);
    }
    let said = |provider, minor, code| charged(provider, of(minor, code)).unwrap_err().to_string();
    assert_eq!(
        said(Provider::Stripe, 49, "EUR"),
        "Stripe charges no less than EUR 0.50"
    );
    assert_eq!(
        said(Provider::Razorpay, 99, "INR"),
        "Razorpay charges no less than INR 1.00"
    );
    assert_eq!(said(Provider::Stripe, 5, "CLF"), "Stripe does not charge CLF");
    assert_eq!(
        said(Provider::Stripe, 170_050, "MGA"),
        "Stripe counts MGA with 0 decimal places and cannot charge MGA 1,700.50 exactly"
    );
    assert_eq!(
        said(Provider::Razorpay, 99_999, "KWD"),
        "Razorpay wants amounts in KWD whose third decimal place is 0, so not KWD 99.999"
    );
    // What is given back may be less than what is charged.
    assert_eq!(units(Provider::Stripe, of(1, "EUR")), Ok(1));
}

#[test]
fn what_a_provider_cannot_mean_is_no_amount() {
    assert_eq!(money(Provider::Stripe, 12_345, "ISK".parse().unwrap()), None);
    assert_eq!(money(Provider::Stripe, 1, "CLF".parse().unwrap()), None);
    assert_eq!(money(Provider::Cashfree, 12_345, "JPY".parse().unwrap()), None);
    assert_eq!(money(Provider::Cashfree, i64::MAX, "KWD".parse().unwrap()), None);
}

proptest! {
    #[test]
    fn what_is_charged_is_read_back_the_same(minor in 1..Minor::LIMIT, place in 0_usize..165) {
        let currency = Currency::all().nth(place).unwrap();
        let amount = Money::new(Minor::new(minor), currency);
        for provider in Provider::ALL {
            if let Ok(units) = charged(provider, amount) {
                prop_assert_eq!(money(provider, units, currency), Some(amount));
            }
        }
    }
}
