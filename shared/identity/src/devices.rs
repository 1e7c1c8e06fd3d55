//! From where a person has logged in: networks, and the programs that they said they were. Pure.
//!
//! Kept as hashes, the twenty newest, for two questions: whether a login comes from elsewhere than ever before, and whether
//! whoever tries to log in is rather the person than a stranger.

mod store;

use aws_lc_rs::digest::{SHA256, digest};
use kernel::{Network, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::session::Device;

/// So many are remembered.
const MOST: usize = 20;

/// What is known of a person's devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Devices {
    user: UserId,
    seen: Vec<Seen>,
    #[serde(default)]
    version: u64,
}

/// A device.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    network: String,
    agent: String,
    /// When it was seen first.
    at: Time,
}

/// A device, as its person sees it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceView {
    /// The SHA-256 of its network.
    network: String,
    /// The SHA-256 of what it says that it is.
    agent: String,
    /// When it was seen first.
    first_seen_at: Time,
}

impl Devices {
    /// What is known of them, oldest first.
    pub(crate) fn views(self) -> Vec<DeviceView> {
        let view = |seen: Seen| DeviceView {
            network: seen.network,
            agent: seen.agent,
            first_seen_at: seen.at,
        };
        self.seen.into_iter().map(view).collect()
    }

    /// None yet.
    pub(crate) fn none(user: UserId) -> Self {
        Self {
            user,
            seen: Vec::new(),
            version: 0,
        }
    }

    /// The network of a device, if the person has logged in from it.
    pub(crate) fn known_network(&self, device: &Device) -> Option<Network> {
        let network = network(device)?;
        let hash = hash(&network.to_string());
        self.seen.iter().any(|seen| seen.network == hash).then_some(network)
    }

    /// Whether the person has logged in from this network with this program, or has never logged in at all.
    pub(crate) fn knows(&self, device: &Device) -> bool {
        let (network, agent) = names(device);
        self.seen.is_empty()
            || self
                .seen
                .iter()
                .any(|seen| (&seen.network, &seen.agent) == (&network, &agent))
    }

    /// Remembers a device; says whether that is a change.
    pub(crate) fn remember(&mut self, device: &Device, now: Time) -> bool {
        if !self.seen.is_empty() && self.knows(device) {
            return false;
        }
        let (network, agent) = names(device);
        self.seen.push(Seen {
            network,
            agent,
            at: now,
        });
        let over = self.seen.len().saturating_sub(MOST);
        self.seen.drain(..over);
        true
    }
}

fn network(device: &Device) -> Option<Network> {
    device.ip_address.map(Network::of)
}

fn names(device: &Device) -> (String, String) {
    let network = network(device).map(|network| network.to_string()).unwrap_or_default();
    (hash(&network), hash(device.user_agent.as_deref().unwrap_or_default()))
}

/// 128 bits are enough to tell twenty apart.
fn hash(text: &str) -> String {
    hex::encode(&digest(&SHA256, text.as_bytes()).as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_700_000_000_000);

    fn device(address: &str, agent: &str) -> Device {
        Device {
            ip_address: address.parse().ok(),
            user_agent: Some(agent.to_owned()),
        }
    }

    #[test]
    fn a_device_is_new_until_it_is_remembered() {
        let mut devices = Devices::none(UserId::new(NOW));
        let home = device("2001:db8:1:2::1", "Firefox");
        assert!(devices.knows(&home) && devices.known_network(&home).is_none());
        assert!(devices.remember(&home, NOW) && !devices.remember(&home, NOW));
        // Another address of the same customer, and another program there.
        assert!(devices.knows(&device("2001:db8:1:2::9", "Firefox")));
        let other = device("2001:db8:1:2::9", "curl");
        assert!(!devices.knows(&other) && devices.known_network(&other).is_some());
        let away = device("192.0.2.1", "Firefox");
        assert!(!devices.knows(&away) && devices.known_network(&away).is_none());
        assert!(!serde_json::to_string(&devices).unwrap().contains("Firefox"));
    }

    #[test]
    fn the_newest_twenty_are_remembered() {
        let mut devices = Devices::none(UserId::new(NOW));
        for number in 0..50 {
            assert!(devices.remember(&device("192.0.2.1", &number.to_string()), NOW));
        }
        assert_eq!(devices.seen.len(), MOST);
        assert!(devices.knows(&device("192.0.2.1", "49")) && !devices.knows(&device("192.0.2.1", "29")));
    }
}
