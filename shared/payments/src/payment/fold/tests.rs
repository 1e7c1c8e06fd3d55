//! Whatever is seen in whatever order.

use kernel::{Minor, OrgId, PaymentId};
use proptest::prelude::*;
use providers::{Checkout, Customer, Provider, Session};

use super::*;
use crate::payment::{PaymentStatus, Purpose};

const NOW: Time = Time::from_millis(1_800_000_000_000);
const AMOUNT: i64 = 10_000;

fn money(amount: i64) -> Money {
    Money::new(Minor::new(amount), "EUR".parse().unwrap())
}

/// One that somebody can pay.
fn open() -> Online {
    let checkout = Checkout {
        payment: PaymentId::new(NOW),
        money: money(AMOUNT),
        description: "INV-2027-0001".to_owned(),
        customer: Customer {
            id: "cli".to_owned(),
            name: "Ada".to_owned(),
            email: "ada@example.com".to_owned(),
            phone: None,
        },
        return_url: "https://api.example.com/pay/x".to_owned(),
        expires_at: NOW.plus_millis(Time::DAY),
    };
    Online {
        session: Some(Session {
            id: "cs_1".to_owned(),
            url: "https://pay.example.com".to_owned(),
            expires_at: NOW.plus_millis(Time::DAY),
        }),
        stage: Stage::Open,
        ..Online::new(Provider::Stripe, OrgId::from_bits(7), Purpose::Invoice, checkout)
    }
}

fn seen(state: SessionState, charges: Vec<Charge>) -> Seen {
    Seen { state, charges }
}

fn charge(id: &str, state: ChargeState) -> Charge {
    Charge {
        id: id.to_owned(),
        state,
        money: money(AMOUNT),
        why: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
    }
}

#[test]
fn a_failure_is_not_final_and_what_was_received_stays() {
    let mut online = open();
    online.fold(NOW, &seen(SessionState::Ended, vec![]));
    assert_eq!(online.stage, Stage::Failed);
    online.fold(
        NOW,
        &seen(SessionState::Used, vec![charge("a", ChargeState::Succeeded)]),
    );
    assert_eq!(online.stage, Stage::Received);
    for later in [
        seen(SessionState::Ended, vec![]),
        seen(SessionState::Used, vec![charge("a", ChargeState::Failed)]),
        seen(SessionState::Open, vec![charge("b", ChargeState::Processing)]),
    ] {
        assert_eq!(online.fold(NOW, &later), vec![]);
        assert_eq!((online.stage, online.received), (Stage::Received, Some(money(AMOUNT))));
    }
}

#[test]
fn an_attempt_that_fails_ends_nothing_while_the_page_is_open() {
    let mut online = open();
    for _ in 0..2 {
        online.fold(NOW, &seen(SessionState::Open, vec![charge("a", ChargeState::Failed)]));
    }
    assert_eq!((online.stage, online.history.len()), (Stage::Open, 1), "noted once");
    online.fold(NOW, &seen(SessionState::Used, vec![charge("a", ChargeState::Failed)]));
    assert_eq!(online.stage, Stage::Failed);
}

#[test]
fn what_comes_besides_is_told_apart() {
    let mut online = open();
    let both = vec![charge("a", ChargeState::Succeeded), charge("b", ChargeState::Succeeded)];
    let others = online.fold(NOW, &seen(SessionState::Used, both));
    assert_eq!(online.charge.as_deref(), Some("a"));
    assert_eq!(others, vec![charge("b", ChargeState::Succeeded)]);
}

fn states() -> impl Strategy<Value = Seen> {
    let state = prop::sample::select(vec![SessionState::Open, SessionState::Used, SessionState::Ended]);
    let refund = (0_i64..AMOUNT, 0_usize..4).prop_map(|(amount, end)| SeenRefund {
        id: String::new(),
        ours: None,
        state: [
            RefundState::Pending,
            RefundState::Succeeded,
            RefundState::Failed,
            RefundState::Cancelled,
        ][end],
        money: money(amount),
        why: None,
    });
    let dispute = (1_i64..=2 * AMOUNT, 0_usize..4).prop_map(|(amount, end)| Dispute {
        id: String::new(),
        state: [
            DisputeState::Open,
            DisputeState::Won,
            DisputeState::Lost,
            DisputeState::Closed,
        ][end],
        money: money(amount),
    });
    let charge_state = prop::sample::select(vec![
        ChargeState::Processing,
        ChargeState::Succeeded,
        ChargeState::Failed,
    ]);
    let attempt = (
        charge_state,
        prop::collection::vec(refund, 0..3),
        prop::collection::vec(dispute, 0..3),
    );
    let attempt = attempt.prop_map(|(state, refunds, disputes)| Charge {
        refunds: numbered(refunds, |refund, number| refund.id = format!("re_{number}")),
        disputes: numbered(disputes, |dispute, number| dispute.id = format!("dp_{number}")),
        ..charge("", state)
    });
    (state, prop::collection::vec(attempt, 0..3)).prop_map(|(state, charges)| {
        let named = numbered(charges, |charge, number| charge.id = format!("ch_{number}"));
        seen(state, named)
    })
}

/// A provider lists nothing twice.
fn numbered<T>(mut things: Vec<T>, name: impl Fn(&mut T, usize)) -> Vec<T> {
    for (number, thing) in things.iter_mut().enumerate() {
        name(thing, number);
    }
    things
}

proptest! {
    /// Whatever is seen: money that came stays received, no more than came is lost or can go back, what is seen twice
    /// changes nothing the second time, and there is a status for it.
    #[test]
    fn whatever_is_seen_money_is_accounted_for(looks in prop::collection::vec(states(), 1..12)) {
        let mut online = open();
        let mut received = false;
        for look in &looks {
            online.fold(NOW, look);
            prop_assert!(!received || online.stage == Stage::Received);
            received = online.stage == Stage::Received;
            prop_assert_eq!(received, online.received.is_some());
            prop_assert_eq!(received, online.charge.is_some());
            if received {
                let amount = Minor::new(AMOUNT);
                prop_assert!(online.lost() <= amount && online.lost() >= Minor::ZERO);
                prop_assert!(online.refundable() + online.lost() <= amount);
                prop_assert!(online.refundable() >= Minor::ZERO);
            }
            prop_assert_eq!(online.status() == PaymentStatus::Failed, online.stage == Stage::Failed);
            let once = online.clone();
            online.fold(NOW, look);
            let again = (&online.stage, &online.received, &online.refunds.len(), &online.disputes.len());
            prop_assert_eq!(again, (&once.stage, &once.received, &once.refunds.len(), &once.disputes.len()));
        }
    }
}
