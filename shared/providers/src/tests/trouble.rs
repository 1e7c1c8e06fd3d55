//! Repeats, errors that are kept, answers that are lost: one session, one refund.

use payment_double::{Fault, FaultKind, Operation};

use super::*;

const PROVIDERS: [Provider; 3] = Provider::ALL;

fn fault(on: Operation, kind: FaultKind, done: bool) -> Fault {
    Fault {
        provider: None,
        on: Some(on),
        kind,
        done,
        times: 1,
    }
}

/// All ways in which a call goes wrong so that nobody knows.
const TROUBLE: [(FaultKind, bool); 6] = [
    (FaultKind::Error, true),
    (FaultKind::Error, false),
    (FaultKind::Lost, true),
    (FaultKind::Lost, false),
    (FaultKind::Busy, false),
    (FaultKind::Conflict, false),
];

#[tokio::test]
async fn opening_twice_opens_one() {
    let world = World::start().await;
    for provider in PROVIDERS {
        let checkout = checkout();
        let one = world.open(provider, &checkout).await;
        let other = world.open(provider, &checkout).await;
        assert_eq!(one, other, "{provider}");
        assert_eq!(
            world.double.count(&checkout.payment.to_string()).sessions,
            1,
            "{provider}"
        );
    }
    let posts = world.posts("/stripe/v1/checkout/sessions");
    assert!(
        posts.len() == 2 && posts[0] == posts[1] && posts[0].1.is_some(),
        "{posts:?}"
    );
}

#[tokio::test]
async fn a_session_is_opened_once_whatever_goes_wrong() {
    let world = World::start().await;
    for provider in PROVIDERS {
        for (kind, done) in TROUBLE {
            let checkout = checkout();
            world.double.misbehave(fault(Operation::Open, kind, done));
            let first = world.providers.open(&account(provider), &checkout).await;
            let session = if let Ok(session) = first {
                session
            } else {
                let failure = first.unwrap_err();
                assert!(
                    matches!(failure, Failure::Unanswered(_)),
                    "{provider} {kind:?} {done} {failure:?}"
                );
                world.open(provider, &checkout).await
            };
            assert_eq!(
                session,
                world.open(provider, &checkout).await,
                "{provider} {kind:?} {done}"
            );
            assert_eq!(world.double.count(&checkout.payment.to_string()).sessions, 1);
        }
    }
}

/// S18.
#[tokio::test]
async fn money_goes_back_once_whatever_goes_wrong() {
    let world = World::start().await;
    for provider in PROVIDERS {
        for (kind, done) in TROUBLE {
            let checkout = checkout();
            let session = world.open(provider, &checkout).await;
            world.pay(&session);
            let seen = world
                .providers
                .look(&account(provider), &sought(&checkout, &session))
                .await
                .unwrap();
            let refunding = refunding(&checkout, &session, &seen.charges[0].id, 2_000);
            world.double.misbehave(fault(Operation::Refund, kind, done));
            let mut made = world.providers.refund(&account(provider), &refunding).await;
            if done {
                assert!(made.is_ok(), "{provider} {kind:?}: it is looked for");
            } else {
                assert!(
                    matches!(made, Err(Failure::Unanswered(_))),
                    "{provider} {kind:?} {made:?}"
                );
                made = world.providers.refund(&account(provider), &refunding).await;
            }
            assert_eq!(made.unwrap().ours, Some(refunding.refund), "{provider} {kind:?} {done}");
            assert_eq!(world.double.count(&checkout.payment.to_string()).refunds, 1);
            let key = refunding.refund.to_string();
            let mut posts = world.posts("refund");
            posts.retain(|(_, of, _)| of.as_ref().is_some_and(|of| of.starts_with(&key)));
            assert!(
                !posts.is_empty() && posts.iter().all(|(.., body)| *body == posts[0].2),
                "{posts:?}"
            );
            // Another key only where Stripe has kept that it did nothing, and says so again.
            let is_kept = provider == Provider::Stripe && kind == FaultKind::Error && !done;
            let others = posts.iter().filter(|(_, of, _)| *of != Some(key.clone()));
            assert_eq!(
                others.count(),
                usize::from(is_kept),
                "{provider} {kind:?} {done} {posts:?}"
            );
        }
    }
}

/// Stripe's own word decides over what the status says.
#[tokio::test]
async fn stripe_is_asked_again_at_once_if_it_says_so() {
    let world = World::start().await;
    let one = checkout();
    world.double.misbehave(fault(Operation::Open, FaultKind::Retry, false));
    world.open(Provider::Stripe, &one).await;
    let posts = world.posts("/v1/checkout/sessions");
    assert!(posts.len() == 2 && posts[0] == posts[1], "{posts:?}");

    let other = checkout();
    for _ in 0..2 {
        world.double.misbehave(fault(Operation::Open, FaultKind::Retry, false));
    }
    let failure = world
        .providers
        .open(&account(Provider::Stripe), &other)
        .await
        .unwrap_err();
    assert!(matches!(failure, Failure::Unanswered(_)), "{failure:?}");
    assert_eq!(world.posts("/v1/checkout/sessions").len(), 4);

    world.double.misbehave(fault(Operation::Open, FaultKind::Never, false));
    let failure = world
        .providers
        .open(&account(Provider::Stripe), &other)
        .await
        .unwrap_err();
    assert_eq!(refused(&failure), "api_error");
    assert_eq!(world.posts("/v1/checkout/sessions").len(), 5);
}

#[tokio::test]
async fn two_at_once_give_back_once() {
    let world = World::start().await;
    for provider in PROVIDERS {
        let checkout = checkout();
        let session = world.open(provider, &checkout).await;
        world.pay(&session);
        let seen = world
            .providers
            .look(&account(provider), &sought(&checkout, &session))
            .await
            .unwrap();
        let refunding = refunding(&checkout, &session, &seen.charges[0].id, 2_000);
        let account = account(provider);
        let again = || world.providers.refund(&account, &refunding);
        let (one, other) = tokio::join!(again(), again());
        assert_eq!(one.unwrap().id, other.unwrap().id, "{provider}");
        assert_eq!(
            world.double.count(&checkout.payment.to_string()).refunds,
            1,
            "{provider}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_charged_is_not_asked_for() {
    let world = World::start().await;
    for (provider, minor, currency) in [
        (Provider::Stripe, 49, "EUR"),
        (Provider::Razorpay, 99, "INR"),
        (Provider::Cashfree, 99_999, "KWD"),
    ] {
        let mut checkout = checkout();
        checkout.money = Money::new(Minor::new(minor), currency.parse().unwrap());
        let failure = world.providers.open(&account(provider), &checkout).await.unwrap_err();
        assert_eq!(refused(&failure), "amount_not_chargeable");
    }
    let mut checkout = checkout();
    checkout.customer.phone = None;
    let failure = world
        .providers
        .open(&account(Provider::Cashfree), &checkout)
        .await
        .unwrap_err();
    assert_eq!(refused(&failure), "phone_required");
    assert_eq!(world.double.calls(), serde_json::json!([]));
}

/// In each provider's scale, as the double checks.
#[tokio::test]
async fn every_scale_is_taken() {
    let world = World::start().await;
    for (minor, currency) in [
        (1_700, "JPY"),
        (1_700, "ISK"),
        (1_700, "UGX"),
        (170_000, "MGA"),
        (99_990, "KWD"),
        (17_000, "EUR"),
    ] {
        for provider in PROVIDERS {
            let mut checkout = checkout();
            checkout.money = Money::new(Minor::new(minor), currency.parse().unwrap());
            let session = world.open(provider, &checkout).await;
            world.pay(&session);
            let seen = world
                .providers
                .look(&account(provider), &sought(&checkout, &session))
                .await
                .unwrap();
            assert_eq!(seen.charges[0].money, checkout.money, "{provider} {currency}");
        }
    }
}

#[tokio::test]
async fn who_is_not_known_is_told_so_without_the_secret() {
    let world = World::start().await;
    let strangers = [
        Credentials::Stripe {
            secret_key: "secret_of_nobody".to_owned(),
            webhook_secret: String::new(),
        },
        Credentials::Razorpay {
            key_id: "nobody".to_owned(),
            key_secret: "secret_of_nobody".to_owned(),
            webhook_secret: String::new(),
        },
        Credentials::Cashfree {
            client_id: String::new(),
            client_secret: "secret_of_nobody".to_owned(),
        },
        // No header holds this.
        Credentials::Cashfree {
            client_id: "id".to_owned(),
            client_secret: "secret_of_nobody\n".to_owned(),
        },
    ];
    for stranger in strangers {
        let failure = world.providers.open(&stranger, &checkout()).await.unwrap_err();
        assert_eq!(refused(&failure), "credentials", "{failure:?}");
        assert!(
            !format!("{failure:?} {stranger:?}").contains("nobody"),
            "{failure:?} {stranger:?}"
        );
        assert!(
            failure.to_string().ends_with("does not accept the credentials"),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_unknown() {
    let world = World::start().await;
    for provider in PROVIDERS {
        let sought = Sought {
            payment: checkout().payment,
            session: "no/such?thing".to_owned(),
            charge: None,
            dispute: None,
        };
        let failure = world.providers.look(&account(provider), &sought).await.unwrap_err();
        assert!(matches!(failure, Failure::Unknown(_)), "{provider} {failure:?}");
        let failure = world.providers.close(&account(provider), &sought).await.unwrap_err();
        assert!(matches!(failure, Failure::Unknown(_)), "{provider} {failure:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_unanswered_and_a_guarded_target_refused() {
    let base = |base: &str| Bases {
        stripe: base.to_owned(),
        razorpay: base.to_owned(),
        cashfree: base.to_owned(),
    };
    for provider in PROVIDERS {
        let gone = Providers::new(Client::new(AllowList::parse("127.0.0.1")), base("http://127.0.0.1:1"));
        let failure = gone.open(&account(provider), &checkout()).await.unwrap_err();
        assert!(matches!(failure, Failure::Unanswered(_)), "{failure:?}");
        let guarded = Providers::new(Client::new(AllowList::default()), base("https://169.254.169.254"));
        let failure = guarded.open(&account(provider), &checkout()).await.unwrap_err();
        assert_eq!(refused(&failure), "target");
    }
}

#[test]
fn cashfree_alone_wants_a_phone_number() {
    let wants: Vec<_> = PROVIDERS
        .into_iter()
        .filter(|provider| provider.needs_phone())
        .collect();
    assert_eq!(wants, [Provider::Cashfree]);
}
