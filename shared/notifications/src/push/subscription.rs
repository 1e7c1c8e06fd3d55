//! Browsers that a person allowed messages to: where their push service listens, and their keys. Pure.

mod store;

use kernel::check::{Check, Input};
use kernel::seal::KeyId;
use kernel::{Error, PushSubscriptionId, Result, Time, UserId};
use outbound::AllowList;
use serde::{Deserialize, Serialize};

use super::encryption::BrowserKeys;

/// A person has so many.
const MOST: usize = 20;
/// The longest address of a push service.
const LONGEST: usize = 2_048;

/// All subscriptions of a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscriptions {
    user: UserId,
    all: Vec<Subscription>,
    #[serde(default)]
    version: u64,
}

/// One browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its id.
    pub id: PushSubscriptionId,
    /// Where messages to it go. Whoever knows it and has our key can send, so it is shown to nobody.
    pub endpoint: String,
    /// The browser's keys.
    pub keys: BrowserKeys,
    /// Which of our keys it was made for.
    signed_by: u8,
    /// When it was made.
    pub created_at: Time,
    /// The number of its person's sessions that counted then.
    #[serde(default)]
    epoch: u32,
}

impl Subscription {
    /// Which of our keys it was made for.
    pub fn signed_by(&self) -> KeyId {
        KeyId(self.signed_by)
    }

    /// The number of its person's sessions that counted when it was made: with another, it counts no more.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }
}

/// A subscription, as a browser's `PushSubscription.toJSON()` has it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewPushSubscription)]
pub struct NewSubscription {
    /// Where its push service listens: an https URL.
    #[schema(
        max_length = 2048,
        example = "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV"
    )]
    pub endpoint: String,
    /// When the browser ends it by itself, in milliseconds; null if never. Not used: the push service tells.
    #[serde(default)]
    #[schema(required = false)]
    pub expiration_time: Option<f64>,
    /// Its keys.
    pub keys: BrowserKeys,
}

impl Input for NewSubscription {
    fn check(&self, check: &mut Check) {
        let fits = (1..=LONGEST).contains(&self.endpoint.len());
        check.that(fits, "endpoint", format!("must have 1 to {LONGEST} characters"));
        check.that(
            self.keys.point().is_some(),
            "keys.p256dh",
            "must be an uncompressed point of P-256 in base64url",
        );
        check.that(
            self.keys.secret().is_some(),
            "keys.auth",
            "must be 16 bytes in base64url",
        );
    }
}

impl NewSubscription {
    /// Wants an address that may be called, as far as can be told without resolving its name.
    fn must_be_callable(&self, allow: &AllowList) -> Result<()> {
        match outbound::check(&self.endpoint, allow) {
            Ok(_) => Ok(()),
            Err(refused) => Err(Error::invalid("endpoint", refused.to_string())),
        }
    }
}

/// A subscription, as it is shown.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PushSubscription)]
pub struct SubscriptionView {
    /// Its id.
    pub id: PushSubscriptionId,
    /// Whose push service it is.
    #[schema(example = "https://push.example.net")]
    pub server: String,
    /// When it was made.
    pub created_at: Time,
}

impl From<&Subscription> for SubscriptionView {
    fn from(subscription: &Subscription) -> Self {
        let url = outbound::Url::parse(&subscription.endpoint);
        Self {
            id: subscription.id,
            server: url.map_or_else(|_| String::new(), |url| url.origin().ascii_serialization()),
            created_at: subscription.created_at,
        }
    }
}

impl Subscriptions {
    fn none(user: UserId) -> Self {
        Self {
            user,
            all: Vec::new(),
            version: 0,
        }
    }

    /// All of them, oldest first.
    pub fn all(&self) -> &[Subscription] {
        &self.all
    }

    /// One of them.
    pub fn find(&self, id: PushSubscriptionId) -> Option<&Subscription> {
        self.all.iter().find(|one| one.id == id)
    }

    /// Those that count, oldest first.
    pub fn of_epoch(&self, epoch: u32) -> impl Iterator<Item = &Subscription> {
        self.all.iter().filter(move |one| one.epoch == epoch)
    }

    /// Adds one, or gives the one of the same address these keys; leaves out those that count no more. 409
    /// `too_many_push_subscriptions`.
    fn add(&mut self, now: Time, new: &NewSubscription, signed_by: KeyId, epoch: u32) -> Result<&Subscription> {
        self.all.retain(|one| one.epoch == epoch);
        let known = self.all.iter().position(|one| one.endpoint == new.endpoint);
        let place = match known {
            Some(place) => place,
            None if self.all.len() >= MOST => {
                let detail = format!("a person has at most {MOST} push subscriptions; delete one first");
                return Err(Error::refused("too_many_push_subscriptions", detail));
            }
            None => {
                self.all.push(Subscription {
                    id: PushSubscriptionId::new(now),
                    endpoint: new.endpoint.clone(),
                    keys: new.keys.clone(),
                    signed_by: signed_by.0,
                    created_at: now,
                    epoch,
                });
                self.all.len() - 1
            }
        };
        let subscription = &mut self.all[place];
        subscription.keys = new.keys.clone();
        subscription.signed_by = signed_by.0;
        Ok(subscription)
    }

    /// Takes one out; says whether it was there.
    fn take_out(&mut self, id: PushSubscriptionId) -> bool {
        let before = self.all.len();
        self.all.retain(|one| one.id != id);
        self.all.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn new(endpoint: &str) -> NewSubscription {
        let json = serde_json::json!({
            "endpoint": endpoint, "expirationTime": null,
            "keys": {
                "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                "auth": "BTBZMqHH6r4Tts7J_aSIgg",
            },
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_same_address_is_one_and_twenty_are_enough() {
        let mut all = Subscriptions::none(UserId::new(NOW));
        let first = all
            .add(NOW, &new("https://push.example.net/0"), KeyId(1), 0)
            .unwrap()
            .id;
        for number in 0..MOST {
            let endpoint = format!("https://push.example.net/{number}");
            all.add(NOW, &new(&endpoint), KeyId(2), 0).unwrap();
        }
        assert_eq!(all.all().len(), MOST);
        assert_eq!((all.all()[0].id, all.all()[0].signed_by()), (first, KeyId(2)));
        let full = all.add(NOW, &new("https://push.example.net/more"), KeyId(2), 0);
        assert!(matches!(
            full,
            Err(Error::Refused {
                code: "too_many_push_subscriptions",
                ..
            })
        ));
        assert!(all.take_out(first) && !all.take_out(first));
        assert!(all.add(NOW, &new("https://push.example.net/more"), KeyId(2), 0).is_ok());
        // Those of before all sessions were ended are left out.
        all.add(NOW, &new("https://push.example.net/1"), KeyId(2), 1).unwrap();
        assert_eq!((all.all().len(), all.of_epoch(0).count()), (1, 0));
    }

    #[test]
    fn addresses_inside_are_refused() {
        let none = AllowList::default();
        for inside in [
            "http://169.254.169.254/x",
            "https://[::ffff:10.0.0.1]/",
            "https://localhost/x",
            "push",
        ] {
            let refused = new(inside).must_be_callable(&none);
            assert!(matches!(refused, Err(Error::Invalid(_))), "{inside}");
        }
        assert!(new("https://push.example.net/x").must_be_callable(&none).is_ok());
    }
}
