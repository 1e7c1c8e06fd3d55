//! The life of a payment at each provider.

use payment_double::{Act, Flow, RefundEnd, Verdict};

use super::*;
use crate::{ChargeState, Closed, Dispute, DisputeState, RefundState, SessionState};

const PROVIDERS: [Provider; 3] = Provider::ALL;

#[tokio::test]
async fn a_payment_is_opened_paid_and_given_back_in_parts() {
    let world = World::start().await;
    for provider in PROVIDERS {
        let checkout = checkout();
        let session = world.open(provider, &checkout).await;
        assert_eq!(session.expires_at, checkout.expires_at, "{provider}");
        let sought = sought(&checkout, &session);
        let look = async || world.providers.look(&account(provider), &sought).await.unwrap();
        let seen = look().await;
        assert_eq!((seen.state, seen.charges), (SessionState::Open, vec![]), "{provider}");

        world.pay(&session);
        let seen = look().await;
        assert_eq!(seen.state, SessionState::Used);
        let [charge] = seen.charges.as_slice() else {
            panic!("{:?}", seen.charges)
        };
        assert_eq!(
            (charge.state, charge.money),
            (ChargeState::Succeeded, checkout.money),
            "{provider}"
        );
        assert!(charge.refunds.is_empty() && charge.disputes.is_empty());

        let [first, next] = [5_000, 12_050].map(|minor| refunding(&checkout, &session, &charge.id, minor));
        for refunding in [&first, &next] {
            let made = world.providers.refund(&account(provider), refunding).await.unwrap();
            assert_eq!(made.ours, Some(refunding.refund), "{provider}");
            assert_eq!((made.state, made.money), (RefundState::Succeeded, refunding.money));
        }
        let seen = look().await;
        let ours: Vec<_> = seen.charges[0].refunds.iter().map(|refund| refund.ours).collect();
        assert_eq!(ours, [Some(first.refund), Some(next.refund)], "{provider}");
        assert_eq!(seen.charges[0].state, ChargeState::Succeeded);

        let more = refunding(&checkout, &session, &charge.id, 1);
        let failure = world.providers.refund(&account(provider), &more).await.unwrap_err();
        assert!(matches!(failure, Failure::Refused { .. }), "{provider} {failure:?}");
        let count = world.double.count(&checkout.payment.to_string());
        assert_eq!(
            (count.charges, count.refunds, count.refunded),
            (1, 2, 17_050),
            "{provider}"
        );
    }
}

#[tokio::test]
async fn a_failed_attempt_closes_nothing() {
    let world = World::start().await;
    for provider in PROVIDERS {
        let checkout = checkout();
        let session = world.open(provider, &checkout).await;
        world.act(&session, &Act::Fail);
        // At Razorpay only its event knows of it.
        let charge = world.double.webhooks().as_array().unwrap().iter().find_map(|told| {
            let body: serde_json::Value = serde_json::from_str(told["body"].as_str()?).ok()?;
            Some(body["payload"]["payment"]["entity"]["id"].as_str()?.to_owned())
        });
        let mut sought = sought(&checkout, &session);
        sought.charge = charge.filter(|_| provider == Provider::Razorpay);
        let seen = world.providers.look(&account(provider), &sought).await.unwrap();
        assert_eq!(seen.state, SessionState::Open, "{provider}");
        assert_eq!(seen.charges[0].state, ChargeState::Failed, "{provider}");
        assert!(
            seen.charges[0].why.as_deref().unwrap().contains("eclined"),
            "{provider}"
        );

        world.pay(&session);
        let seen = world.providers.look(&account(provider), &sought).await.unwrap();
        assert_eq!(seen.state, SessionState::Used, "{provider}");
        let succeeded = seen
            .charges
            .iter()
            .filter(|charge| charge.state == ChargeState::Succeeded);
        assert_eq!(succeeded.count(), 1, "{provider}");
    }
}

#[tokio::test]
async fn what_failed_may_come_all_the_same() {
    let world = World::start().await;
    for provider in [Provider::Razorpay, Provider::Cashfree] {
        let checkout = checkout();
        let session = world.open(provider, &checkout).await;
        world.act(&session, &Act::Fail);
        world.act(&session, &Act::Settle);
        let seen = world
            .providers
            .look(&account(provider), &sought(&checkout, &session))
            .await
            .unwrap();
        assert_eq!(seen.charges[0].state, ChargeState::Succeeded, "{provider}");
    }
}

#[tokio::test]
async fn complete_is_not_paid() {
    let world = World::start().await;
    for (end, expected) in [
        (Act::Settle, ChargeState::Succeeded),
        (Act::Bounce, ChargeState::Failed),
    ] {
        for provider in [Provider::Stripe, Provider::Cashfree] {
            let checkout = checkout();
            let session = world.open(provider, &checkout).await;
            let sought = sought(&checkout, &session);
            world.act(&session, &Act::Delay);
            let seen = world.providers.look(&account(provider), &sought).await.unwrap();
            assert_eq!(seen.charges[0].state, ChargeState::Processing, "{provider}");
            assert_eq!(seen.charges[0].money, checkout.money);
            world.act(&session, &end);
            let seen = world.providers.look(&account(provider), &sought).await.unwrap();
            assert_eq!(seen.charges[0].state, expected, "{provider}");
        }
    }
}

#[tokio::test]
async fn what_is_only_authorized_is_captured() {
    let world = World::start().await;
    let checkout = checkout();
    let session = world.open(Provider::Razorpay, &checkout).await;
    world.act(&session, &Act::Delay);
    let charge = world.double.webhooks()[0]["body"].as_str().map(str::to_owned).unwrap();
    let charge: serde_json::Value = serde_json::from_str(&charge).unwrap();
    let mut sought = sought(&checkout, &session);
    sought.charge = charge["payload"]["payment"]["entity"]["id"].as_str().map(str::to_owned);
    let seen = world
        .providers
        .look(&account(Provider::Razorpay), &sought)
        .await
        .unwrap();
    assert_eq!(
        (seen.state, seen.charges[0].state),
        (SessionState::Used, ChargeState::Succeeded)
    );
    assert_eq!(world.posts("/capture").len(), 1);
}

#[tokio::test]
async fn what_is_authorized_on_a_link_that_has_ended_is_left_to_go_back() {
    let world = World::start().await;
    let checkout = checkout();
    let session = world.open(Provider::Razorpay, &checkout).await;
    let mut sought = sought(&checkout, &session);
    assert_eq!(
        world
            .providers
            .close(&account(Provider::Razorpay), &sought)
            .await
            .unwrap(),
        Closed::Unpaid
    );
    world.act(&session, &Act::Delay);
    let calls = world.double.webhooks();
    let told = calls
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["kind"] == "payment.authorized")
        .unwrap();
    let body: serde_json::Value = serde_json::from_str(told["body"].as_str().unwrap()).unwrap();
    sought.charge = body["payload"]["payment"]["entity"]["id"].as_str().map(str::to_owned);
    let seen = world
        .providers
        .look(&account(Provider::Razorpay), &sought)
        .await
        .unwrap();
    assert_eq!(
        (seen.state, seen.charges[0].state),
        (SessionState::Ended, ChargeState::Processing)
    );
    assert_eq!(world.posts("/capture").len(), 0);
}

#[tokio::test]
async fn a_session_is_closed_only_while_nobody_has_paid() {
    let world = World::start().await;
    for provider in PROVIDERS {
        let (one, other) = (checkout(), checkout());
        let session = world.open(provider, &one).await;
        let sought_one = sought(&one, &session);
        for _ in 0..2 {
            let closed = world.providers.close(&account(provider), &sought_one).await.unwrap();
            assert_eq!(closed, Closed::Unpaid, "{provider}");
        }
        let seen = world.providers.look(&account(provider), &sought_one).await.unwrap();
        assert_eq!(seen.state, SessionState::Ended, "{provider}");

        let session = world.open(provider, &other).await;
        world.pay(&session);
        let closed = world
            .providers
            .close(&account(provider), &sought(&other, &session))
            .await
            .unwrap();
        assert_eq!(closed, Closed::Used, "{provider}");
    }
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    let world = World::start().await;
    let checkout = checkout();
    let mut sessions = Vec::new();
    for provider in PROVIDERS {
        sessions.push((provider, world.open(provider, &checkout).await));
    }
    world.later(4 * HOUR);
    for (provider, session) in sessions {
        let sought = sought(&checkout, &session);
        let seen = world.providers.look(&account(provider), &sought).await.unwrap();
        assert_eq!((seen.state, seen.charges), (SessionState::Ended, vec![]), "{provider}");
        assert_eq!(
            world.providers.close(&account(provider), &sought).await.unwrap(),
            Closed::Unpaid
        );
    }
}

#[tokio::test]
async fn a_lost_dispute_is_seen() {
    let world = World::start().await;
    for provider in PROVIDERS {
        for (verdict, expected) in [
            (Verdict::Lost, DisputeState::Lost),
            (Verdict::Won, DisputeState::Won),
            (Verdict::Closed, DisputeState::Closed),
        ] {
            let checkout = checkout();
            let session = world.open(provider, &checkout).await;
            world.pay(&session);
            world.act(&session, &Act::Dispute { units: Some(7_000) });
            let mut sought = sought(&checkout, &session);
            // Razorpay lists no disputes: the caller has seen its event.
            let told = world.double.webhooks();
            let told = told.as_array().unwrap().iter().rev().find_map(|told| {
                let body: serde_json::Value = serde_json::from_str(told["body"].as_str()?).ok()?;
                Some(body["payload"]["dispute"]["entity"]["id"].as_str()?.to_owned())
            });
            sought.dispute = told.filter(|_| provider == Provider::Razorpay).map(|id| Dispute {
                id,
                state: DisputeState::Open,
                money: rupees(7_000),
            });
            let state = async || {
                let seen = world.providers.look(&account(provider), &sought).await.unwrap();
                assert_eq!(seen.charges[0].disputes.len(), 1, "{provider}");
                assert_eq!(seen.charges[0].disputes[0].money, rupees(7_000));
                seen.charges[0].disputes[0].state
            };
            assert_eq!(state().await, DisputeState::Open, "{provider}");
            world.act(&session, &Act::Decide { verdict });
            assert_eq!(state().await, expected, "{provider}");
        }
    }
}

#[tokio::test]
async fn a_dispute_that_nobody_can_be_asked_for_stands_as_it_was_told() {
    let world = World::start().await;
    let checkout = checkout();
    let session = world.open(Provider::Razorpay, &checkout).await;
    world.pay(&session);
    let mut sought = sought(&checkout, &session);
    let told = Dispute {
        id: "disp_unknown".to_owned(),
        state: DisputeState::Lost,
        money: rupees(7_000),
    };
    sought.dispute = Some(told.clone());
    let look = async |sought: &Sought| {
        world
            .providers
            .look(&account(Provider::Razorpay), sought)
            .await
            .unwrap()
    };
    assert_eq!(look(&sought).await.charges[0].disputes, [told]);
    // Not if its event named another charge.
    sought.charge = Some("pay_another".to_owned());
    assert_eq!(look(&sought).await.charges[0].disputes, []);
}

#[tokio::test]
async fn a_refund_may_wait_and_fail_after_it_seemed_done() {
    let world = World::start().await;
    for provider in PROVIDERS {
        let checkout = checkout();
        let session = world.open(provider, &checkout).await;
        world.pay(&session);
        let sought = sought(&checkout, &session);
        let seen = world.providers.look(&account(provider), &sought).await.unwrap();
        world.double.refunds_end(RefundEnd::Pending);
        let refunding = refunding(&checkout, &session, &seen.charges[0].id, 2_000);
        let made = world.providers.refund(&account(provider), &refunding).await.unwrap();
        assert_eq!(made.state, RefundState::Pending, "{provider}");
        for (end, expected) in [
            (RefundEnd::Succeeded, RefundState::Succeeded),
            (RefundEnd::Failed, RefundState::Failed),
        ] {
            world.act(
                &session,
                &Act::Refund {
                    refund: made.id.clone(),
                    end,
                },
            );
            let seen = world.providers.look(&account(provider), &sought).await.unwrap();
            assert_eq!(seen.charges[0].refunds[0].state, expected, "{provider}");
            // Asked again, it says what became of it and makes no other.
            let again = world.providers.refund(&account(provider), &refunding).await.unwrap();
            assert_eq!((again.id, again.state), (made.id.clone(), expected), "{provider}");
        }
        assert_eq!(world.double.count(&checkout.payment.to_string()).refunds, 0);
    }
}

#[tokio::test]
async fn what_was_paid_is_seen_as_it_is() {
    let world = World::start().await;
    for provider in PROVIDERS {
        let checkout = checkout();
        let session = world.open(provider, &checkout).await;
        let pay = Act::Pay {
            units: Some(1_234),
            currency: Some("USD".to_owned()),
        };
        world.act(&session, &pay);
        let seen = world
            .providers
            .look(&account(provider), &sought(&checkout, &session))
            .await
            .unwrap();
        let paid = Money::new(Minor::new(1_234), "USD".parse().unwrap());
        assert_eq!(
            (seen.charges[0].state, seen.charges[0].money),
            (ChargeState::Succeeded, paid),
            "{provider}"
        );
    }
}

#[tokio::test]
async fn what_was_paid_twice_is_seen_twice() {
    let world = World::start().await;
    for provider in [Provider::Razorpay, Provider::Cashfree] {
        let checkout = checkout();
        let session = world.open(provider, &checkout).await;
        world.pay(&session);
        world.pay(&session);
        let sought = sought(&checkout, &session);
        let seen = world.providers.look(&account(provider), &sought).await.unwrap();
        assert_eq!(seen.charges.len(), 2, "{provider}");
        let refunding = refunding(&checkout, &session, &seen.charges[1].id, 17_050);
        world.providers.refund(&account(provider), &refunding).await.unwrap();
        let count = world.double.count(&checkout.payment.to_string());
        assert_eq!((count.charges, count.refunds), (2, 1), "{provider}");
    }
}

#[tokio::test]
async fn what_was_charged_is_listed() {
    let world = World::start().await;
    let (paid, unpaid) = (checkout(), checkout());
    for provider in PROVIDERS {
        world.open(provider, &unpaid).await;
        let session = world.open(provider, &paid).await;
        world.pay(&session);
        let (from, until) = (Time::from_millis(NOW - HOUR), Time::from_millis(NOW + HOUR));
        let listed = world
            .providers
            .list(&account(provider), from, until, None)
            .await
            .unwrap();
        assert_eq!(listed.next, None);
        if provider == Provider::Cashfree {
            assert_eq!(listed.charges, []);
            continue;
        }
        let [(payment, charge, at)] = listed.charges.as_slice() else {
            panic!("{listed:?}")
        };
        assert_eq!(
            (*payment, charge.money, *at),
            (Some(paid.payment), paid.money, Time::from_millis(NOW))
        );
        let later = world
            .providers
            .list(&account(provider), until, until, None)
            .await
            .unwrap();
        assert_eq!(later.charges, []);
    }
}

#[tokio::test]
async fn what_stripe_could_not_deliver_is_listed() {
    let world = World::start().await;
    world.double.flow(Flow::Held);
    for provider in PROVIDERS {
        let paid = checkout();
        let session = world.open(provider, &paid).await;
        world.pay(&session);
        world.act(&session, &Act::Dispute { units: None });
        let undelivered = async |from: i64| {
            let from = Time::from_millis(from);
            let listed = world.providers.undelivered(&account(provider), from, None).await;
            listed.unwrap()
        };
        let listed = undelivered(NOW - HOUR).await;
        assert_eq!(listed.next, None);
        if provider != Provider::Stripe {
            assert_eq!(listed.events, [], "{provider}");
            continue;
        }
        let kinds: Vec<&str> = listed.events.iter().map(|event| event.kind.as_str()).collect();
        // The newest first; `charge.succeeded` says nothing that the others do not.
        let expected = [
            "charge.dispute.funds_withdrawn",
            "charge.dispute.created",
            "checkout.session.completed",
            "payment_intent.succeeded",
        ];
        assert_eq!(kinds, expected);
        let named = |event: &crate::Event| event.about.payment == Some(paid.payment) || event.about.charge.is_some();
        assert!(listed.events.iter().all(named), "{:?}", listed.events);
        assert_eq!(listed.events.iter().filter(|event| event.dispute.is_some()).count(), 2);
        assert_eq!(undelivered(NOW + HOUR).await.events, []);
        for told in world.double.webhooks().as_array().unwrap() {
            world.double.delivered(told["id"].as_str().unwrap());
        }
        assert_eq!(undelivered(NOW - HOUR).await.events, []);
    }
}
