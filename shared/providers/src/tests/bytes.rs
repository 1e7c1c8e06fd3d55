//! What is sent, byte by byte, and answers of servers that say little or odd things.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::{Charge, ChargeState, Seen, SessionState};

/// A server that answers each path with what is given for it, else 404; and remembers what it was sent.
struct Server {
    base: String,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: &'static [(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut part = [0; 4_096];
                    match stream.read(&mut part).await {
                        Ok(length) if length > 0 => request.extend_from_slice(&part[..length]),
                        _ => break,
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                seen.lock().unwrap().push(request);
                let answer = answers.iter().find(|(known, _)| *known == path);
                let (status, body) = answer.map_or(("404 Not Found", "{}"), |(_, body)| ("200 OK", *body));
                let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        Self { base, sent }
    }

    fn providers(&self) -> Providers {
        let bases = Bases {
            stripe: self.base.clone(),
            razorpay: self.base.clone(),
            cashfree: self.base.clone(),
        };
        Providers::new(Client::new(AllowList::parse("127.0.0.1")), bases)
    }

    /// The last call of a method: its head in lower case, and its body.
    fn last(&self, method: &str) -> (String, String) {
        let sent = self.sent.lock().unwrap();
        let call = sent.iter().rev().find(|call| call.starts_with(method)).unwrap();
        let (head, body) = call.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0_usize)
}

fn fixed() -> Checkout {
    let mut checkout = checkout();
    checkout.payment = "pay_01jhndz9g0000000000000000a".parse().unwrap();
    checkout.expires_at = checkout.payment.time().plus_seconds(2 * 3_600);
    checkout
}

#[tokio::test]
async fn stripe_is_sent_a_form() {
    let server = Server::start(&[(
        "/v1/checkout/sessions",
        r#"{"id":"cs_1","url":"https://c/1","expires_at":1}"#,
    )])
    .await;
    let checkout = fixed();
    server
        .providers()
        .open(&account(Provider::Stripe), &checkout)
        .await
        .unwrap();
    let (head, body) = server.last("POST");
    for line in [
        "post /v1/checkout/sessions http/1.1",
        "stripe-version: 2026-07-29.dahlia",
        "authorization: bearer sk_test_secret",
        "idempotency-key: pay_01jhndz9g0000000000000000a",
        "content-type: application/x-www-form-urlencoded",
    ] {
        assert!(head.lines().any(|found| found == line), "{line}\n{head}");
    }
    let expected = "mode=payment&client_reference_id=pay_01jhndz9g0000000000000000a\
        &success_url=https%3A%2F%2Fpay.example.com%2Fpay%2Ftoken%3Fa%3Db%26c%3Dd\
        &cancel_url=https%3A%2F%2Fpay.example.com%2Fpay%2Ftoken%3Fa%3Db%26c%3Dd\
        &expires_at=EXPIRES&adaptive_pricing%5Benabled%5D=false&line_items%5B0%5D%5Bquantity%5D=1\
        &line_items%5B0%5D%5Bprice_data%5D%5Bcurrency%5D=inr&line_items%5B0%5D%5Bprice_data%5D%5Bunit_amount%5D=17050\
        &line_items%5B0%5D%5Bprice_data%5D%5Bproduct_data%5D%5Bname%5D=Invoice+INV-2027-0001+%26+what+is+%22in%22+it\
        &metadata%5Bpayment%5D=pay_01jhndz9g0000000000000000a\
        &payment_intent_data%5Bmetadata%5D%5Bpayment%5D=pay_01jhndz9g0000000000000000a&customer_email=zoe%40example.com";
    let expected = expected.replace("EXPIRES", &checkout.expires_at.seconds().to_string());
    assert_eq!(body, expected);
}

/// Stripe takes sessions of half an hour to a day only, counted from when it makes them.
#[tokio::test]
async fn a_time_that_stripe_does_not_take_is_moved_the_same_way_always() {
    let server = Server::start(&[("/v1/checkout/sessions", r#"{"id":"cs_1","url":"https://c/1"}"#)]).await;
    let mut checkout = fixed();
    let made = checkout.payment.time();
    for (asked, minutes) in [(0, 40), (60, 60), (24 * 60, 24 * 60 - 5), (90 * 24 * 60, 24 * 60 - 5)] {
        checkout.expires_at = made.plus_millis(asked * Time::MINUTE);
        server
            .providers()
            .open(&account(Provider::Stripe), &checkout)
            .await
            .unwrap();
        let sent = made.plus_millis(minutes * Time::MINUTE).seconds();
        assert!(
            server.last("POST").1.contains(&format!("&expires_at={sent}&")),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn razorpay_is_sent_json_with_whole_paise() {
    let server = Server::start(&[(
        "/v1/payment_links",
        r#"{"id":"plink_1","short_url":"https://rzp.io/1"}"#,
    )])
    .await;
    let checkout = fixed();
    server
        .providers()
        .open(&account(Provider::Razorpay), &checkout)
        .await
        .unwrap();
    let (_, body) = server.last("POST");
    let expected = r#"{"amount":17050,"currency":"INR","accept_partial":false,"reference_id":"pay_01jhndz9g0000000000000000a","description":"Invoice INV-2027-0001 & what is \"in\" it","customer":{"name":"Zoë","email":"zoe@example.com","contact":"+919876543210"},"notify":{"sms":false,"email":false},"reminder_enable":false,"notes":{"payment":"pay_01jhndz9g0000000000000000a"},"expire_by":EXPIRES,"callback_url":"https://pay.example.com/pay/token?a=b&c=d","callback_method":"get"}"#;
    assert_eq!(
        body,
        expected.replace("EXPIRES", &checkout.expires_at.seconds().to_string())
    );
    // The word as it is, which the head in lower case does not show.
    let sent = server.sent.lock().unwrap();
    assert!(
        sent.iter()
            .all(|call| call.contains("Basic cnpwX3Rlc3Rfa2V5OnJ6cF9rZXlfc2VjcmV0"))
    );
}

#[tokio::test]
async fn cashfree_is_sent_decimals() {
    let server = Server::start(&[("/links", r#"{"link_id":"pay_1","link_url":"https://c/1"}"#)]).await;
    let mut checkout = fixed();
    for (minor, written) in [
        (17_000, "170.00"),
        (17_050, "170.50"),
        (5, "0.05"),
        (9_007_199_254_740_993, "90071992547409.93"),
    ] {
        checkout.money = rupees(minor);
        server
            .providers()
            .open(&account(Provider::Cashfree), &checkout)
            .await
            .unwrap();
        let (head, body) = server.last("POST");
        assert!(head.contains("\r\nx-api-version: 2025-01-01\r\n") && head.contains("\r\nx-client-id: cf_client\r\n"));
        let expected = r#"{"link_id":"pay_01jhndz9g0000000000000000a","link_amount":AMOUNT,"link_currency":"INR","link_purpose":"Invoice INV-2027-0001 & what is \"in\" it","customer_details":{"customer_phone":"+919876543210","customer_email":"zoe@example.com","customer_name":"Zoë"},"link_partial_payments":false,"link_notify":{"send_sms":false,"send_email":false},"link_auto_reminders":false,"link_expiry_time":"EXPIRES+00:00","link_meta":{"return_url":"https://pay.example.com/pay/token?a=b&c=d"},"link_notes":{"payment":"pay_01jhndz9g0000000000000000a"}}"#;
        let expires = &checkout.expires_at.to_string()[..19];
        assert_eq!(body, expected.replace("AMOUNT", written).replace("EXPIRES", expires));
    }
}

async fn seen(provider: Provider, answers: &'static [(&'static str, &'static str)]) -> Seen {
    let server = Server::start(answers).await;
    let sought = Sought {
        payment: fixed().payment,
        session: "s_1".to_owned(),
        charge: Some("pay_9".to_owned()).filter(|_| provider == Provider::Razorpay),
        dispute: None,
    };
    server.providers().look(&account(provider), &sought).await.unwrap()
}

fn charge(id: &str, state: ChargeState, minor: i64) -> Charge {
    Charge {
        id: id.to_owned(),
        state,
        money: rupees(minor),
        why: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
    }
}

/// Of what else could be asked for there is nothing.
#[tokio::test]
async fn a_server_that_knows_the_main_calls_alone_is_enough() {
    let found = seen(
        Provider::Stripe,
        &[(
            "/v1/checkout/sessions/s_1",
            r#"{"id":"s_1","status":"complete","payment_status":"paid","amount_total":17050,"currency":"inr","payment_intent":{"id":"pi_1"}}"#,
        )],
    );
    let expected = |id: &str| Seen {
        state: SessionState::Used,
        charges: vec![charge(id, ChargeState::Succeeded, 17_050)],
    };
    assert_eq!(found.await, expected("pi_1"));
    let found = seen(
        Provider::Razorpay,
        &[(
            "/v1/payment_links/s_1",
            r#"{"id":"s_1","status":"paid","amount":17050,"currency":"INR","payments":[{"payment_id":"pay_1","amount":17050,"status":"captured"}]}"#,
        )],
    );
    assert_eq!(found.await, expected("pay_1"));
    let found = seen(
        Provider::Cashfree,
        &[(
            "/links/s_1",
            r#"{"cf_link_id":1576977,"link_status":"PAID","link_currency":"INR","link_amount_paid":"170.50"}"#,
        )],
    );
    assert_eq!(found.await, expected("1576977"));
    let found = seen(
        Provider::Cashfree,
        &[
            ("/links/s_1", r#"{"link_id":"s_1","link_status":"PAID"}"#),
            (
                "/orders/s_1",
                r#"{"order_id":"s_1","order_amount":170.5,"order_currency":"INR"}"#,
            ),
            (
                "/orders/s_1/payments",
                r#"[{"cf_payment_id":7,"payment_status":"SUCCESS","payment_amount":171}]"#,
            ),
        ],
    );
    // The order's amount counts: a fee came on top.
    assert_eq!(found.await, expected("7"));
}

#[tokio::test]
async fn what_is_not_money_is_not_taken_for_it() {
    // Complete, and its method is slow.
    let found = seen(
        Provider::Stripe,
        &[(
            "/v1/checkout/sessions/s_1",
            r#"{"status":"complete","payment_status":"unpaid","amount_total":17050,"currency":"inr","payment_intent":"pi_1"}"#,
        )],
    );
    assert_eq!(found.await.charges, [charge("pi_1", ChargeState::Processing, 17_050)]);
    // An intent that succeeded under a session that does not say so.
    let found = seen(
        Provider::Stripe,
        &[
            (
                "/v1/checkout/sessions/s_1",
                r#"{"status":"open","payment_status":"unpaid","payment_intent":"pi_1"}"#,
            ),
            (
                "/v1/payment_intents/pi_1",
                r#"{"status":"succeeded","amount":17050,"currency":"inr"}"#,
            ),
        ],
    );
    assert_eq!(found.await.charges, [charge("pi_1", ChargeState::Processing, 17_050)]);
    // Somebody is at it.
    let found = seen(
        Provider::Stripe,
        &[
            (
                "/v1/checkout/sessions/s_1",
                r#"{"status":"open","payment_status":"unpaid","payment_intent":"pi_1"}"#,
            ),
            (
                "/v1/payment_intents/pi_1",
                r#"{"status":"requires_action","amount":17050,"currency":"inr"}"#,
            ),
        ],
    );
    let found = found.await;
    assert_eq!((found.state, found.charges), (SessionState::Open, vec![]));
    // Never captured, and gone back by itself: a second success on one order, say.
    let found = seen(
        Provider::Razorpay,
        &[
            (
                "/v1/payment_links/s_1",
                r#"{"status":"created","amount":17050,"currency":"INR","payments":null}"#,
            ),
            (
                "/v1/payments/pay_9",
                r#"{"id":"pay_9","status":"refunded","captured":false,"amount":17050,"currency":"INR","notes":[]}"#,
            ),
        ],
    );
    let found = found.await;
    assert_eq!(
        (found.state, found.charges),
        (SessionState::Open, vec![charge("pay_9", ChargeState::Failed, 17_050)])
    );
}

#[tokio::test]
async fn answers_that_nobody_can_read_are_no_answers() {
    const ODD: &[(&str, &str)] = &[
        ("/v1/checkout/sessions/s_1", "<html>sk_test_secret"),
        ("/v1/payment_links/s_1", "[1]"),
        ("/links/s_1", ""),
    ];
    let server = Server::start(ODD).await;
    for provider in Provider::ALL {
        let sought = Sought {
            payment: fixed().payment,
            session: "s_1".to_owned(),
            charge: None,
            dispute: None,
        };
        let failure = server.providers().look(&account(provider), &sought).await.unwrap_err();
        assert!(matches!(failure, Failure::Unanswered(_)), "{failure:?}");
        assert!(!failure.to_string().contains("secret"));
    }
    let server = Server::start(&[(
        "/v1/checkout/sessions/s_1",
        r#"{"status":"complete","payment_status":"paid","amount_total":12345,"currency":"isk","payment_intent":"pi_1"}"#,
    )])
    .await;
    let sought = Sought {
        payment: fixed().payment,
        session: "s_1".to_owned(),
        charge: None,
        dispute: None,
    };
    let failure = server
        .providers()
        .look(&account(Provider::Stripe), &sought)
        .await
        .unwrap_err();
    assert_eq!(refused(&failure), "unreadable_amount");
}

/// What nobody knows stays so, whatever the look at it says.
#[tokio::test]
async fn a_look_that_finds_nothing_makes_no_refusal_of_what_is_unanswered() {
    // Each answers what it is asked to do with something unreadable, and knows nothing else.
    let server = Server::start(&[
        ("/v1/checkout/sessions", "?"),
        ("/v1/payment_links", "?"),
        ("/links", "?"),
        ("/v1/refunds", "?"),
        ("/v1/payments/pi_1/refund", "?"),
    ])
    .await;
    let checkout = fixed();
    let session = Session {
        id: "s_1".to_owned(),
        url: String::new(),
        expires_at: checkout.expires_at,
    };
    for provider in Provider::ALL {
        let failure = server
            .providers()
            .open(&account(provider), &checkout)
            .await
            .unwrap_err();
        assert!(matches!(failure, Failure::Unanswered(_)), "{provider} {failure:?}");
    }
    for provider in [Provider::Stripe, Provider::Razorpay] {
        let refunding = refunding(&checkout, &session, "pi_1", 100);
        let failure = server
            .providers()
            .refund(&account(provider), &refunding)
            .await
            .unwrap_err();
        assert!(matches!(failure, Failure::Unanswered(_)), "{provider} {failure:?}");
    }
}
