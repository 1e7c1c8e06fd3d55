//! Signatures and what events are about.

use outbound::header::{HeaderMap, HeaderName, HeaderValue};
use payment_double::{Account, Act, RefundEnd, Verdict};
use proptest::prelude::*;

use super::*;
use crate::{DisputeState, Event, Rejected};

const STRIPE: &str = r#"{"id":"evt_test_1","type":"checkout.session.completed","note":"Zo\u00eb \/ 170.00"}"#;
const STAMP: i64 = 1_798_761_600;
const STRIPE_V1: &str = "a2cb3bd612bf5e2ea9114df7d27fe98d32dfb9ba4013fabd954ecfd16b4202de";
const RAZORPAY: &str = r#"{"entity":"event","event":"payment.captured","payload":{"payment":{"entity":{"id":"pay_1","amount":17000,"currency":"INR","notes":[],"description":"a\/b \u20b9"}}}}"#;
const RAZORPAY_SIGNATURE: &str = "398ed6ad797526d55ac5baaa2d38ffc5de50b983fd3dfc9446a3a0c74aa654c2";
const CASHFREE: &str = r#"{"data":{"order":{"order_id":"pay_x","order_amount":170.00,"order_currency":"INR"},"payment":{"cf_payment_id":1453002795,"payment_status":"SUCCESS","payment_amount":170.00}},"type":"PAYMENT_SUCCESS_WEBHOOK"}"#;
const CASHFREE_SIGNATURE: &str = "cEwf4Wr4z5OAfSmjMGP5EXc0BheU406vAnjOBL+mmnw=";

fn headers(given: &[(&str, &str)]) -> HeaderMap {
    given
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn verify(provider: Provider, given: &[(&str, &str)], body: &str) -> Result<Event, Rejected> {
    let now = Time::from_millis(STAMP * 1_000);
    Providers::verify(&[account(provider)], &headers(given), body.as_bytes(), now)
}

fn stripe(signature: &str, body: &str) -> Result<Event, Rejected> {
    verify(Provider::Stripe, &[("stripe-signature", signature)], body)
}

fn razorpay(signature: &str, body: &str) -> Result<Event, Rejected> {
    verify(Provider::Razorpay, &[("x-razorpay-signature", signature)], body)
}

fn cashfree(signature: &str, stamp: &str, body: &str) -> Result<Event, Rejected> {
    let given = [("x-webhook-signature", signature), ("x-webhook-timestamp", stamp)];
    verify(Provider::Cashfree, &given, body)
}

#[test]
fn stripes_vector_is_taken_and_what_is_like_it_is_not() {
    let good = format!("t={STAMP},v1={STRIPE_V1}");
    let event = stripe(&good, STRIPE).unwrap();
    assert_eq!(
        (event.id.as_deref(), event.kind.as_str()),
        (Some("evt_test_1"), "checkout.session.completed")
    );
    assert_eq!(STRIPE.len(), 83);
    for (signature, body) in [
        (format!("t={STAMP},v1={}", "00".repeat(32)), STRIPE),
        (format!("t={STAMP},v0={STRIPE_V1}"), STRIPE),
        (format!("t={STAMP},v1={}", &STRIPE_V1[2..]), STRIPE),
        (format!("t={},v1={STRIPE_V1}", STAMP + 1), STRIPE),
        (format!("t=0{STAMP},v1={STRIPE_V1}"), STRIPE),
        (format!("v1={STRIPE_V1}"), STRIPE),
        (format!("t={STAMP}"), STRIPE),
        (format!("t=-1,v1={STRIPE_V1}"), STRIPE),
        (String::new(), STRIPE),
        (good.clone(), &STRIPE.replace("\\u00eb", "ë")),
        (good.clone(), &format!("{STRIPE}\n")),
        (good.clone(), ""),
    ] {
        assert!(stripe(&signature, body).is_err(), "{signature} {body}");
    }
    assert_eq!(
        verify(Provider::Stripe, &[], STRIPE),
        Err(Rejected::Header("stripe-signature"))
    );
    // With the decoded secret, wrongly.
    let decoded = crate::signature::of(b"countinghouse", format!("{STAMP}.{STRIPE}").as_bytes());
    let decoded = hex::encode(decoded);
    assert!(
        decoded.starts_with("5e4f053a") && decoded.ends_with("791b0f"),
        "{decoded}"
    );
    assert_eq!(
        stripe(&format!("t={STAMP},v1={decoded}"), STRIPE),
        Err(Rejected::Signature)
    );
}

#[test]
fn any_of_stripes_signatures_may_match_and_others_are_ignored() {
    let zero = "00".repeat(32);
    for signature in [
        format!("t={STAMP},v1={zero},v1={STRIPE_V1},v0=nonsense,v9"),
        format!("t={STAMP}, v1={STRIPE_V1}, v1={zero}"),
        format!("v2={zero},v1=xyz,v1={STRIPE_V1},t={STAMP}"),
    ] {
        assert!(stripe(&signature, STRIPE).is_ok(), "{signature}");
    }
}

#[test]
fn stripes_stamp_is_good_for_five_minutes_and_may_be_of_the_future() {
    let given = headers(&[("stripe-signature", &format!("t={STAMP},v1={STRIPE_V1}"))]);
    for (ahead, expected) in [
        (300, true),
        (301, false),
        (0, true),
        (-300, true),
        (-10_000_000, true),
        (i64::MAX / 1_000 - STAMP, false),
    ] {
        let now = Time::from_millis((STAMP + ahead) * 1_000);
        let found = Providers::verify(&[account(Provider::Stripe)], &given, STRIPE.as_bytes(), now);
        assert_eq!(found.is_ok(), expected, "{ahead} {found:?}");
        assert!(expected || found == Err(Rejected::Old));
    }
}

#[test]
fn stripes_thin_events_are_refused_and_unknown_types_taken() {
    let signed = |body: &str| {
        let signature = crate::signature::of(b"whsec_Y291bnRpbmdob3VzZQ", format!("{STAMP}.{body}").as_bytes());
        stripe(&format!("t={STAMP},v1={}", hex::encode(signature)), body)
    };
    let thin = r#"{"id":"evt_1","object":"v2.core.event","type":"v1.billing.meter.error_report_triggered"}"#;
    assert!(matches!(signed(thin), Err(Rejected::Body(why)) if why.contains("thin")));
    let unknown = signed(r#"{"id":"evt_1","object":"event","type":"some.thing","data":{"object":{"id":"x_1"}}}"#);
    assert_eq!(unknown.unwrap().about, crate::About::default());
    for odd in [
        r#"{"type":"a"}"#,
        r#"{"type":"a","data":7}"#,
        r#"{"type":"charge.dispute.created","data":{"object":{"id":7,"amount":"x","metadata":[1]}}}"#,
    ] {
        assert!(signed(odd).is_ok(), "{odd}");
    }
    for body in ["", "{", "[]", "{}", r#"{"type":7.5e300}"#, r#"{"type":null}"#] {
        let found = signed(body);
        assert!(found.is_err() || body.contains("7.5"), "{body} {found:?}");
    }
}

#[test]
fn razorpays_vector_is_taken_and_what_is_like_it_is_not() {
    let event = razorpay(RAZORPAY_SIGNATURE, RAZORPAY).unwrap();
    assert_eq!(
        (event.kind.as_str(), event.about.charge.as_deref()),
        ("payment.captured", Some("pay_1"))
    );
    assert_eq!(event.about.payment, None);
    let bytes = hex::decode(RAZORPAY_SIGNATURE).unwrap();
    let by_key = hex::encode(crate::signature::of(b"rzp_key_secret", RAZORPAY.as_bytes()));
    let in_base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    for (signature, body) in [
        (by_key.as_str(), RAZORPAY),
        (&in_base64, RAZORPAY),
        (&RAZORPAY_SIGNATURE[..62], RAZORPAY),
        ("", RAZORPAY),
        (RAZORPAY_SIGNATURE, &RAZORPAY.replace("\\/", "/")),
        (RAZORPAY_SIGNATURE, &RAZORPAY.replace("\\u20b9", "₹")),
    ] {
        assert!(razorpay(signature, body).is_err(), "{signature}");
    }
    assert_eq!(
        verify(Provider::Razorpay, &[], RAZORPAY),
        Err(Rejected::Header("x-razorpay-signature"))
    );
    // The event's id stands outside the signature.
    let given = [
        ("x-razorpay-signature", RAZORPAY_SIGNATURE),
        ("x-razorpay-event-id", "evt_7"),
    ];
    assert_eq!(
        verify(Provider::Razorpay, &given, RAZORPAY).unwrap().id.as_deref(),
        Some("evt_7")
    );
}

/// What a browser brings back from Razorpay's page is signed by the key's secret, another one.
#[test]
fn razorpays_callback_vector_is_made_by_the_key() {
    let made = crate::signature::of(b"rzp_key_secret", b"order_A1|pay_B2");
    assert_eq!(
        hex::encode(made),
        "3a882308c87ede8fe662f602117630a32ed9f347e5fe1d2adf84ff2ec7038b24"
    );
}

#[test]
fn cashfrees_vector_is_taken_and_what_is_like_it_is_not() {
    let stamp = "1746427759733";
    // A stamp that is long past is fine: nobody says whether a retry keeps it.
    let event = cashfree(CASHFREE_SIGNATURE, stamp, CASHFREE).unwrap();
    assert_eq!(event.about.charge.as_deref(), Some("1453002795"));
    assert_eq!(event.about.order.as_deref(), Some("pay_x"));
    for (signature, stamp, body) in [
        ("JDXFMaU1DmWA2cMSoR89eMOzoFPL8WmOT/GG565AJpo=", stamp, CASHFREE),
        ("kOS9/l1nthcfu1+Uoq4aiiiWEPsgFbtIj1djVDtq9vQ=", stamp, CASHFREE),
        (CASHFREE_SIGNATURE, stamp, &CASHFREE.replace("170.00", "170")),
        (CASHFREE_SIGNATURE, "1746427759734", CASHFREE),
        (CASHFREE_SIGNATURE, "", CASHFREE),
        (CASHFREE_SIGNATURE, "1746427759733.", CASHFREE),
        ("", stamp, CASHFREE),
        ("nonsense", stamp, CASHFREE),
    ] {
        assert!(cashfree(signature, stamp, body).is_err(), "{signature} {stamp}");
    }
    let alone = [("x-webhook-signature", CASHFREE_SIGNATURE)];
    assert_eq!(
        verify(Provider::Cashfree, &alone, CASHFREE),
        Err(Rejected::Header("x-webhook-timestamp"))
    );
    // The re-serialized body is what the last wrong vector signs.
    let wrong = crate::signature::of(
        b"cf_client_secret",
        format!("{stamp}{}", CASHFREE.replace("170.00", "170")).as_bytes(),
    );
    let wrong = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, wrong);
    assert_eq!(wrong, "kOS9/l1nthcfu1+Uoq4aiiiWEPsgFbtIj1djVDtq9vQ=");
}

#[test]
fn two_credentials_are_good_while_they_rotate() {
    let other = |provider| match provider {
        Provider::Stripe => Credentials::Stripe {
            secret_key: "sk_new".to_owned(),
            webhook_secret: "whsec_new".to_owned(),
        },
        Provider::Razorpay => Credentials::Razorpay {
            key_id: "rzp_new".to_owned(),
            key_secret: "new".to_owned(),
            webhook_secret: "new".to_owned(),
        },
        Provider::Cashfree => Credentials::Cashfree {
            client_id: "new".to_owned(),
            client_secret: "new".to_owned(),
        },
    };
    let stamp = ("x-webhook-timestamp", "1746427759733");
    let stripe = format!("t={STAMP},v1={STRIPE_V1}");
    for (provider, given, body) in [
        (Provider::Stripe, vec![("stripe-signature", stripe.as_str())], STRIPE),
        (
            Provider::Razorpay,
            vec![("x-razorpay-signature", RAZORPAY_SIGNATURE)],
            RAZORPAY,
        ),
        (
            Provider::Cashfree,
            vec![("x-webhook-signature", CASHFREE_SIGNATURE), stamp],
            CASHFREE,
        ),
    ] {
        let now = Time::from_millis(STAMP * 1_000);
        let by = |accounts: &[Credentials]| Providers::verify(accounts, &headers(&given), body.as_bytes(), now);
        assert!(by(&[other(provider), account(provider)]).is_ok(), "{provider}");
        assert!(by(&[account(provider), other(provider)]).is_ok(), "{provider}");
        assert_eq!(by(&[other(provider)]), Err(Rejected::Signature), "{provider}");
        assert_eq!(by(&[]), Err(Rejected::Signature), "{provider}");
    }
    // An account without a secret takes nothing, not even what is signed with nothing.
    let nothing = Credentials::Razorpay {
        key_id: String::new(),
        key_secret: String::new(),
        webhook_secret: String::new(),
    };
    let signature = hex::encode(crate::signature::of(b"", RAZORPAY.as_bytes()));
    let given = headers(&[("x-razorpay-signature", &signature)]);
    let found = Providers::verify(&[nothing], &given, RAZORPAY.as_bytes(), Time::default());
    assert_eq!(found, Err(Rejected::Signature));
}

/// What an event is about: our payment (whether it says so), the session, the charge, the order.
#[track_caller]
fn check_about(provider: Provider, body: &str, expected: (bool, Option<&str>, Option<&str>, Option<&str>)) {
    let secret = account(provider).webhook_secret().to_owned();
    let by = |parts: &[&str]| crate::signature::of(secret.as_bytes(), parts.concat().as_bytes());
    let stamp = STAMP.to_string();
    let event = match provider {
        Provider::Stripe => stripe(&format!("t={stamp},v1={}", hex::encode(by(&[&stamp, ".", body]))), body),
        Provider::Razorpay => razorpay(&hex::encode(by(&[body])), body),
        Provider::Cashfree => {
            let signature = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, by(&[&stamp, body]));
            cashfree(&signature, &stamp, body)
        }
    };
    let about = event.unwrap().about;
    let ours = about.payment.map(|payment| payment.to_string());
    assert!(ours.as_deref().is_none_or(|ours| ours == OURS), "{body}");
    let text = Option::<String>::as_deref;
    let found = (
        ours.is_some(),
        text(&about.session),
        text(&about.charge),
        text(&about.order),
    );
    assert_eq!(found, expected, "{body}");
}

const OURS: &str = "pay_01jhndz9g0000000000000000a";

#[test]
fn events_say_what_they_are_about_in_many_ways() {
    let check = |provider, body: &str, expected| check_about(provider, &body.replace("OURS", OURS), expected);
    let stripe = |body, expected| check(Provider::Stripe, body, expected);
    stripe(
        r#"{"type":"checkout.session.expired","data":{"object":{"id":"cs_1","object":"checkout.session","client_reference_id":"OURS","payment_intent":null,"metadata":{}}}}"#,
        (true, Some("cs_1"), None, None),
    );
    stripe(
        r#"{"type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","object":"payment_intent","metadata":{"payment":"OURS"}}}}"#,
        (true, None, Some("pi_1"), None),
    );
    stripe(
        r#"{"type":"charge.refunded","data":{"object":{"id":"ch_1","object":"charge","payment_intent":"pi_1","metadata":{"payment":"of another system"}}}}"#,
        (false, None, Some("pi_1"), None),
    );
    stripe(
        r#"{"type":"refund.failed","data":{"object":{"id":"re_1","object":"refund","payment_intent":{"id":"pi_1"},"metadata":null}}}"#,
        (false, None, Some("pi_1"), None),
    );
    let razorpay = |body, expected| check(Provider::Razorpay, body, expected);
    // As the sample of UPI has it: the order without its prefix.
    razorpay(
        r#"{"event":"payment_link.paid","payload":{"payment_link":{"entity":{"id":"plink_1","reference_id":"OURS","notes":[]}},"order":{"entity":{"id":"A1"}},"payment":{"entity":{"id":"pay_1","order_id":"order_A1"}}}}"#,
        (true, Some("plink_1"), Some("pay_1"), Some("order_A1")),
    );
    razorpay(
        r#"{"event":"order.paid","payload":{"order":{"entity":{"id":"A1","receipt":"OURS"}}}}"#,
        (true, None, None, Some("order_A1")),
    );
    razorpay(
        r#"{"event":"refund.created","payload":{"refund":{"entity":{"id":"rfnd_1","payment_id":"pay_1","status":"processed","notes":{"payment":"OURS"}}}}}"#,
        (true, None, Some("pay_1"), None),
    );
    razorpay(
        r#"{"event":"payment.dispute.action_required","payload":{"dispute":{"entity":{"id":"disp_1","payment_id":"pay_1","amount":100,"currency":"INR"}}}}"#,
        (false, None, Some("pay_1"), None),
    );
    razorpay(
        r#"{"event":"something.new","payload":{"payment":7}}"#,
        (false, None, None, None),
    );
    let cashfree = |body, expected| check(Provider::Cashfree, body, expected);
    cashfree(
        r#"{"type":"PAYMENT_LINK_EVENT","data":{"cf_link_id":1576977,"link_id":"OURS","link_amount":"200.12","link_notes":{"a":"b"},"order":{"order_id":"CFPay_1"}}}"#,
        (true, Some(OURS), None, Some("CFPay_1")),
    );
    cashfree(
        r#"{"type":"REFUND_STATUS_WEBHOOK","data":{"refund":{"cf_refund_id":11,"cf_payment_id":"7","refund_id":"ref_1","order_id":"CFPay_1"}}}"#,
        (false, None, Some("7"), Some("CFPay_1")),
    );
    cashfree(
        r#"{"type":"AUTO_REFUND_STATUS_WEBHOOK","data":{"auto_refund":{"cf_refund_id":11,"cf_payment_id":7}}}"#,
        (false, None, Some("7"), None),
    );
    cashfree(
        r#"{"type":"PAYMENT_USER_DROPPED_WEBHOOK","data":{"order":{"order_id":"CFPay_1","order_amount":1.00,"order_tags":{"link_id":"OURS"}},"payment":{"cf_payment_id":"7"}}}"#,
        (true, Some(OURS), Some("7"), Some("CFPay_1")),
    );
    cashfree(
        r#"{"type":"DISPUTE_UPDATED","data":{"dispute":{"dispute_id":"1","dispute_amount":3},"order_details":{"order_id":"CFPay_1","cf_payment_id":7}}}"#,
        (false, None, Some("7"), Some("CFPay_1")),
    );
}

/// Every event that the double sends in the life of a payment is good, and says which payment it is about: by our id, or
/// by the charge or the order, which another event or a look has named.
#[tokio::test]
async fn every_event_of_a_life_leads_to_its_payment() {
    let world = World::start().await;
    for provider in Provider::ALL {
        let key = match provider {
            Provider::Stripe => "sk_test_secret",
            Provider::Razorpay => "rzp_test_key",
            Provider::Cashfree => "cf_client",
        };
        let secret = account(provider).webhook_secret().to_owned();
        world.double.flow(payment_double::Flow::Held);
        world.double.register(Account {
            provider: there(provider),
            key: key.to_owned(),
            webhook_url: "http://127.0.0.1:1".to_owned(),
            webhook_secret: secret,
        });
        let checkout = checkout();
        let session = world.open(provider, &checkout).await;
        world.act(&session, &Act::Fail);
        world.pay(&session);
        let sought = sought(&checkout, &session);
        let seen = world.providers.look(&account(provider), &sought).await.unwrap();
        let charge = seen.charges.last().unwrap().id.clone();
        let refunding = refunding(&checkout, &session, &charge, 1_000);
        let made = world.providers.refund(&account(provider), &refunding).await.unwrap();
        let end = RefundEnd::Failed;
        world.act(&session, &Act::Refund { refund: made.id, end });
        world.act(&session, &Act::Dispute { units: None });
        let verdict = Verdict::Lost;
        world.act(&session, &Act::Decide { verdict });
        check_told(&world, provider, &checkout).await;
    }
}

async fn check_told(world: &World, provider: Provider, checkout: &Checkout) {
    let mut disputes = Vec::new();
    let mut kinds = Vec::new();
    for told in world.double.webhooks().as_array().unwrap() {
        if told["provider"] != provider.name() {
            continue;
        }
        let (body, given) = world.double.signed(told["id"].as_str().unwrap()).unwrap();
        let given: Vec<(&str, &str)> = given
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let now = Time::from_millis(NOW);
        let event = Providers::verify(&[account(provider)], &headers(&given), body.as_bytes(), now).unwrap();
        assert_eq!(event.kind, told["kind"].as_str().unwrap());
        let about = &event.about;
        assert!(about.payment.is_none_or(|payment| payment == checkout.payment));
        let whose = world.providers.whose(&account(provider), about).await.unwrap();
        assert_eq!(whose, Some(checkout.payment), "{event:?}");
        // Asked without our name, too.
        let unnamed = crate::About {
            payment: None,
            ..about.clone()
        };
        if about.session.is_none() {
            let whose = world.providers.whose(&account(provider), &unnamed).await.unwrap();
            assert_eq!(whose, Some(checkout.payment), "{event:?}");
        }
        disputes.extend(event.dispute.map(|dispute| (dispute.state, dispute.money)));
        kinds.push(event.kind);
    }
    assert!(kinds.len() >= 6, "{kinds:?}");
    assert!(
        disputes.contains(&(DisputeState::Open, checkout.money)),
        "{provider} {disputes:?}"
    );
    assert_eq!(
        disputes.last(),
        Some(&(DisputeState::Lost, checkout.money)),
        "{provider}"
    );
}

/// Bodies that look like events, to be damaged.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![Just(STRIPE), Just(RAZORPAY), Just(CASHFREE)];
    let damaged = (whole, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, place, byte)| {
        let mut bytes = text.as_bytes().to_vec();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        bytes
    });
    let odd = r#"\{"(type|event|data|payload|object|id)":(null|[0-9]{1,20}|"[a-z_.]{0,9}"|\[\]|\{"(object|payment|order|dispute|refund)":(\{"(entity|order_id|amount|notes|metadata)":[0-9.e]{1,9}\}|7)\}),"(type|event)":"(charge.dispute.created|payment.captured|x)"\}"#;
    prop_oneof![
        damaged,
        odd.prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..256),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_signed_or_not(body in body(), signature in "[ -~]{0,80}|t=[0-9]{0,20},v1=[0-9a-f]{0,70}") {
        for provider in Provider::ALL {
            let given = headers(&[
                ("stripe-signature", &signature),
                ("x-razorpay-signature", &signature),
                ("x-webhook-signature", &signature),
                ("x-webhook-timestamp", "1746427759733"),
            ]);
            let account = account(provider);
            let now = Time::from_millis(STAMP * 1_000);
            prop_assert!(Providers::verify(std::slice::from_ref(&account), &given, &body, now).is_err());
            // Signed well, it is taken if it is an event at all.
            let secret = account.webhook_secret().as_bytes();
            let by = |parts: &[&[u8]]| crate::signature::of(secret, &parts.concat());
            let stamp = STAMP.to_string();
            let stripe = format!("t={stamp},v1={}", hex::encode(by(&[stamp.as_bytes(), b".", &body])));
            let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, by(&[b"1746427759733", &body]));
            let good = headers(&[
                ("stripe-signature", &stripe),
                ("x-razorpay-signature", &hex::encode(by(&[&body]))),
                ("x-webhook-signature", &base64),
                ("x-webhook-timestamp", "1746427759733"),
            ]);
            let found = Providers::verify(&[account], &good, &body, now);
            prop_assert!(matches!(found, Ok(_) | Err(Rejected::Body(_))), "{found:?}");
        }
    }
}
