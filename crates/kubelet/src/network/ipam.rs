//! Addresses of pods: which are taken, which is next. Pure; each pod's record on disk says what it holds.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Error;

/// The addresses of one node. Goes round, so that an address rests as long as possible before it is used again.
#[derive(Clone, Debug)]
pub struct Ipam {
    range: Ipv4Net,
    taken: BTreeMap<Ipv4Addr, String>,
    last: Ipv4Addr,
}

impl Ipam {
    pub fn new(range: Ipv4Net) -> Self {
        Self { range, taken: BTreeMap::new(), last: Self::gateway_of(range) }
    }

    fn gateway_of(range: Ipv4Net) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(range.network()) + 1)
    }

    pub fn range(&self) -> Ipv4Net {
        self.range
    }

    /// The bridge's own address: the first of the range.
    pub fn gateway(&self) -> Ipv4Addr {
        Self::gateway_of(self.range)
    }

    /// The next free address, held by `owner` from now on. An owner that holds one gets the same again.
    pub fn take(&mut self, owner: &str) -> Result<Ipv4Addr, Error> {
        if let Some((address, _)) = self.taken.iter().find(|(_, holder)| *holder == owner) {
            return Ok(*address);
        }
        let (first, last) = (u32::from(self.gateway()) + 1, u32::from(self.range.broadcast()).saturating_sub(1));
        let after = u32::from(self.last).saturating_add(1).max(first);
        let candidates = (after..=last).chain(first..after.min(last + 1)).map(Ipv4Addr::from);
        let free = candidates.into_iter().find(|address| !self.taken.contains_key(address));
        let address = free.ok_or(Error::Exhausted(self.range))?;
        self.last = address;
        self.taken.insert(address, owner.to_owned());
        Ok(address)
    }

    /// Notes what a pod that runs already holds.
    pub fn adopt(&mut self, owner: &str, address: Ipv4Addr) -> Result<(), Error> {
        if !self.range.contains(&address) {
            return Err(Error::Foreign(address, self.range));
        }
        self.taken.insert(address, owner.to_owned());
        self.last = self.last.max(address);
        Ok(())
    }

    pub fn release(&mut self, owner: &str) {
        self.taken.retain(|_, holder| holder != owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small() -> Ipam {
        Ipam::new("10.0.0.0/29".parse().unwrap())
    }

    #[test]
    fn gateway_network_and_broadcast_are_never_given() {
        let mut ipam = small();
        let given: Vec<String> = (0..5).map(|n| ipam.take(&n.to_string()).unwrap().to_string()).collect();
        assert_eq!(given, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert!(matches!(ipam.take("more"), Err(Error::Exhausted(_))));
    }

    #[test]
    fn a_released_address_rests_until_the_round_is_over() {
        let mut ipam = small();
        ipam.take("a").unwrap();
        ipam.release("a");
        assert_eq!(ipam.take("b").unwrap().to_string(), "10.0.0.3");
        assert_eq!(ipam.take("b").unwrap().to_string(), "10.0.0.3");
    }

    proptest! {
        #[test]
        fn no_two_owners_hold_one_address(steps in prop::collection::vec((0u8..12, any::<bool>()), 0..200)) {
            let mut ipam = small();
            let mut held = BTreeMap::new();
            for (owner, take) in steps {
                let owner = owner.to_string();
                if take {
                    if let Ok(address) = ipam.take(&owner) {
                        held.insert(owner, address);
                    } else {
                        prop_assert_eq!(held.len(), 5);
                    }
                } else {
                    ipam.release(&owner);
                    held.remove(&owner);
                }
                let unique: std::collections::BTreeSet<_> = held.values().collect();
                prop_assert_eq!(unique.len(), held.len());
            }
        }
    }
}
