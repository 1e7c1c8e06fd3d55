//! From which network somebody calls: what one customer of a provider has.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the /64 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address as the gateway saw it; a v4-mapped one stands for the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_network(address: &str, expected: &str) {
        assert_eq!(Network::of(address.parse().unwrap()).to_string(), expected);
    }

    #[test]
    fn a_customer_of_ipv6_has_one_network() {
        check_network("192.0.2.1", "192.0.2.1");
        check_network("::ffff:192.0.2.1", "192.0.2.1");
        check_network("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
        check_network("2001:db8:1:2:ffff::", "2001:db8:1:2::/64");
        check_network("2001:db8:1:3::1", "2001:db8:1:3::/64");
    }
}
