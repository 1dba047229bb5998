//! Addresses of stacks. Each stack's network is sixteen addresses out of the configured pool, so that a node keeps its address
//! through stops and starts, and the engine's own few default networks are left alone.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

const BITS: u32 = 28;
const SIZE: u32 = 1 << (32 - BITS);
// The first of a pool: the network that leads outside, for as many nodes as are built at once.
const OUTSIDE_BITS: u32 = 24;

/// Sixteen addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Subnet(u32);

impl Subnet {
    /// The engine's own address in it.
    pub(super) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.0 + 1)
    }

    /// The node's address in it.
    pub(super) fn node(self) -> Ipv4Addr {
        Ipv4Addr::from(self.0 + 2)
    }

    /// The name of its bridge: by its start, rules of a firewall find all of ours.
    pub(super) fn bridge(self) -> String {
        format!("gr-{:08x}", self.0)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{BITS}", Ipv4Addr::from(self.0))
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl TryFrom<String> for Subnet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match parse(&text) {
            Some((base, BITS)) => Ok(Self(base)),
            _ => Err(format!("{text:?} is no network of a stack")),
        }
    }
}

/// Where the networks of stacks are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pool {
    base: u32,
    bits: u32,
}

impl Pool {
    /// How many stacks have room in it.
    pub(super) fn stacks(self) -> u32 {
        (1 << (BITS - self.bits)) - self.reserved()
    }

    /// The network that leads outside.
    pub(super) fn outside(self) -> String {
        format!("{}/{OUTSIDE_BITS}", Ipv4Addr::from(self.base))
    }

    /// The network of this number, counted on from the start again where there are fewer.
    pub(super) fn stack(self, number: u32) -> Subnet {
        Subnet(self.base + (self.reserved() + number % self.stacks()) * SIZE)
    }

    fn reserved(self) -> u32 {
        let _ = self.base;
        1 << (BITS - OUTSIDE_BITS)
    }
}

impl FromStr for Pool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parse(text) {
            Some((base, bits)) if (8..OUTSIDE_BITS).contains(&bits) => Ok(Self { base, bits }),
            _ => Err(format!(
                "`{text}` is no pool of networks: it must look like 10.213.0.0/16, with /8 to /23, and start where such a network starts"
            )),
        }
    }
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let (address, bits) = text.split_once('/')?;
    let base = u32::from(address.parse::<Ipv4Addr>().ok()?);
    let bits: u32 = bits.parse().ok().filter(|bits| (1..=32).contains(bits))?;
    (base.trailing_zeros() >= 32 - bits).then_some((base, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_get_networks_of_their_own_behind_the_one_that_leads_outside() {
        let pool: Pool = "10.213.0.0/23".parse().unwrap();
        assert_eq!(pool.outside(), "10.213.0.0/24");
        assert_eq!(pool.stacks(), 16);
        assert_eq!(pool.stack(0).to_string(), "10.213.1.0/28");
        assert_eq!(pool.stack(15).to_string(), "10.213.1.240/28");
        assert_eq!(pool.stack(16), pool.stack(0));
        let one = pool.stack(3);
        assert_eq!(one.gateway().to_string(), "10.213.1.49");
        assert_eq!(one.node().to_string(), "10.213.1.50");
        assert_eq!(one.bridge(), "gr-0ad50130");
        assert_eq!(Subnet::try_from(one.to_string()), Ok(one));
    }

    #[test]
    fn what_is_no_pool_is_refused() {
        for text in [
            "",
            "10.213.0.0",
            "10.213.0.0/24",
            "10.213.1.0/16",
            "10.0.0.0/4",
            "x/16",
            "10.213.0.0/99",
        ] {
            assert!(text.parse::<Pool>().is_err(), "{text}");
        }
    }
}
