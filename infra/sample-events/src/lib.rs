//! Events as web servers make them, always the same ones: about 100 names, 30 users, 480 bytes of JSON each. A hundred
//! of them compress to about 4.4 KB, as a hundred made of the lines of a real access log do.

use jiff::Timestamp;
use serde_json::{Value, json};

/// How far apart two events are.
const APART_MS: u64 = 173;

/// Makes batch number `number` of so many events; the first event of the first batch occurred at `newest_ms`, each
/// other one before it.
pub fn batch(number: u64, events: u64, with_ids: bool, newest_ms: i64) -> Value {
    (number * events..(number + 1) * events)
        .map(|number| event(number, with_ids, newest_ms))
        .collect()
}

fn event(number: u64, with_ids: bool, newest_ms: i64) -> Value {
    let pick = |salt: u64, bound: u64| mix(number, salt) % bound;
    let at_ms = newest_ms - i64::try_from(number * APART_MS).unwrap_or_default();
    let version = pick(7, 9) + 40;
    let mut event = json!({
        "type": if pick(1, 40) == 0 { "ERROR" } else { "REQUEST" },
        "name": format!("GET /presentations/{}/images/slide-{}.png", pick(2, 9), pick(3, 12)),
        "userId": format!("198.51.100.{}", pick(4, 30)),
        "occurredAt": format!("{:.3}", Timestamp::from_millisecond(at_ms).unwrap_or_default()),
        "metadata": {
            "status": 200,
            "bytes": pick(5, 200_000),
            "durationMs": pick(8, 1_000),
            "requestId": format!("{:016x}", mix(number, 9)),
            "referrer": format!("https://example.com/blog/{}/", pick(6, 15)),
            "userAgent": format!("Mozilla/5.0 (Windows NT 6.1; WOW64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"),
        },
    });
    if with_ids {
        event["id"] = format!("{:016x}", mix(number, 10)).into();
    }
    event
}

/// Mixes two numbers into one that looks random (the finalizer of `SplitMix64`).
fn mix(number: u64, salt: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_always_the_same_and_never_alike() {
        assert_eq!(
            batch(3, 5, true, 1_800_000_000_000),
            batch(3, 5, true, 1_800_000_000_000)
        );
        assert_ne!(
            batch(3, 5, true, 1_800_000_000_000)[0],
            batch(4, 5, true, 1_800_000_000_000)[0]
        );
        assert!(batch(0, 1, false, 1_800_000_000_000)[0]["id"].is_null());
    }
}
