//! The names of the cluster domain, as plain data.
//!
//! Every Service owns the names it makes; replacing a Service replaces exactly those. Names are lower case, without
//! the cluster domain and without a trailing dot: `web.default.svc`.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Namespace and name of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    pub namespace: String,
    pub name: String,
}

/// One name's records. Several kinds may stand together, except that an alias stands alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    pub addresses: Vec<IpAddr>,
    pub services: Vec<Srv>,
    /// Where an ExternalName Service points, as written there.
    pub alias: Option<String>,
}

/// A port of a Service: what an SRV record says, but for priority and weight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    pub port: u16,
    /// A name of the cluster domain.
    pub target: String,
}

/// What one Service contributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceRecords {
    pub names: BTreeMap<String, Entry>,
    /// Addresses whose PTR record is the name beside them.
    pub reverse: Vec<(IpAddr, String)>,
}

/// What the zone knows of a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Entry(&'a Entry),
    /// An address spelled in the name itself (`10-244-0-7.default.pod`).
    Address(IpAddr),
    /// The name exists only as a parent of others.
    Parent,
    Nothing,
}

/// All names of the cluster domain.
#[derive(Debug, Default)]
pub struct Zone {
    services: HashMap<ServiceKey, ServiceRecords>,
    names: HashMap<String, Entry>,
    /// How many names lie below each parent.
    parents: HashMap<String, usize>,
    reverse: HashMap<IpAddr, Vec<(ServiceKey, String)>>,
    /// Everything that the API holds is in; before, that a name is not here means nothing.
    complete: bool,
    /// Rises with each change; the serial of the SOA record.
    serial: u32,
}

impl Zone {
    /// From now on the zone can be answered from.
    pub fn set_complete(&mut self) {
        self.complete = true;
    }

    /// Whether everything is in that the API holds.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Puts a Service's records in place of those it had. Returns whether anything changed.
    pub fn replace(&mut self, key: ServiceKey, records: ServiceRecords) -> bool {
        if self.services.get(&key) == Some(&records) {
            return false;
        }
        self.take(&key);
        for (name, entry) in &records.names {
            for parent in parents(name) {
                *self.parents.entry(parent.to_owned()).or_default() += 1;
            }
            self.names.insert(name.clone(), entry.clone());
        }
        for (address, name) in &records.reverse {
            self.reverse.entry(*address).or_default().push((key.clone(), name.clone()));
        }
        self.services.insert(key, records);
        self.serial = self.serial.wrapping_add(1);
        true
    }

    /// Forgets a Service. Returns whether it was known.
    pub fn remove(&mut self, key: &ServiceKey) -> bool {
        let known = self.take(key);
        if known {
            self.serial = self.serial.wrapping_add(1);
        }
        known
    }

    /// The records of a name (lower case, relative to the cluster domain; empty for the domain itself).
    pub fn find(&self, name: &str) -> Found<'_> {
        if let Some(entry) = self.names.get(name) {
            return Found::Entry(entry);
        }
        if let Some(address) = pod_address(name) {
            return Found::Address(address);
        }
        if name.is_empty() || matches!(name, "svc" | "pod") || self.parents.contains_key(name) {
            return Found::Parent;
        }
        Found::Nothing
    }

    /// The name an address belongs to, where a Service says so.
    pub fn find_address(&self, address: &IpAddr) -> Option<&str> {
        let owners = self.reverse.get(address)?;
        owners.first().map(|(_, name)| name.as_str())
    }

    fn take(&mut self, key: &ServiceKey) -> bool {
        let Some(records) = self.services.remove(key) else { return false };
        for name in records.names.keys() {
            self.names.remove(name);
            for parent in parents(name) {
                release(&mut self.parents, parent);
            }
        }
        for (address, _) in &records.reverse {
            if let Some(owners) = self.reverse.get_mut(address) {
                owners.retain(|(owner, _)| owner != key);
                if owners.is_empty() {
                    self.reverse.remove(address);
                }
            }
        }
        true
    }
}

fn release(counts: &mut HashMap<String, usize>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}

/// `a.b.c` lies below `b.c` and `c`.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.split_once('.').map(|(_, rest)| rest), |rest| {
        rest.split_once('.').map(|(_, above)| above)
    })
}

/// `10-244-0-7.default.pod` spells 10.244.0.7, whatever pod has it.
fn pod_address(name: &str) -> Option<IpAddr> {
    let mut labels = name.split('.');
    let (address, namespace, kind) = (labels.next()?, labels.next()?, labels.next()?);
    if kind != "pod" || namespace.is_empty() || labels.next().is_some() {
        return None;
    }
    address
        .replace('-', ".")
        .parse::<Ipv4Addr>()
        .map(IpAddr::V4)
        .or_else(|_| address.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ServiceKey {
        ServiceKey { namespace: "default".into(), name: name.into() }
    }

    fn records(name: &str, address: &str) -> ServiceRecords {
        let address: IpAddr = address.parse().unwrap();
        let name = format!("{name}.default.svc");
        let entry = Entry { addresses: vec![address], ..Entry::default() };
        ServiceRecords { names: BTreeMap::from([(name.clone(), entry)]), reverse: vec![(address, name)] }
    }

    #[test]
    fn replacing_a_service_replaces_only_its_own_names() {
        let mut zone = Zone::default();
        zone.replace(key("web"), records("web", "10.96.0.1"));
        zone.replace(key("db"), records("db", "10.96.0.2"));
        assert!(zone.replace(key("web"), records("web", "10.96.0.3")));
        assert!(
            matches!(zone.find("web.default.svc"), Found::Entry(e) if e.addresses == ["10.96.0.3".parse::<IpAddr>().unwrap()])
        );
        assert!(matches!(zone.find("db.default.svc"), Found::Entry(_)));
        assert_eq!(zone.find_address(&"10.96.0.1".parse().unwrap()), None);
        assert_eq!(zone.find_address(&"10.96.0.3".parse().unwrap()), Some("web.default.svc"));
    }

    #[test]
    fn an_equal_service_is_no_change() {
        let mut zone = Zone::default();
        assert!(zone.replace(key("web"), records("web", "10.96.0.1")));
        let serial = zone.serial();
        assert!(!zone.replace(key("web"), records("web", "10.96.0.1")));
        assert_eq!(zone.serial(), serial);
    }

    #[test]
    fn a_parent_exists_as_long_as_a_name_below_it() {
        let mut zone = Zone::default();
        zone.replace(key("web"), records("web", "10.96.0.1"));
        zone.replace(key("db"), records("db", "10.96.0.2"));
        assert_eq!(zone.find("default.svc"), Found::Parent);
        zone.remove(&key("web"));
        assert_eq!(zone.find("default.svc"), Found::Parent);
        zone.remove(&key("db"));
        assert_eq!(zone.find("default.svc"), Found::Nothing);
        assert_eq!(zone.find("web.default.svc"), Found::Nothing);
        assert_eq!(zone.find(""), Found::Parent);
    }

    #[test]
    fn a_pods_name_spells_its_address() {
        let zone = Zone::default();
        assert_eq!(zone.find("10-244-0-7.default.pod"), Found::Address("10.244.0.7".parse().unwrap()));
        assert_eq!(zone.find("fd00--7.default.pod"), Found::Address("fd00::7".parse().unwrap()));
        for not in ["10-244-0.default.pod", "10-244-0-7.pod", "x.10-244-0-7.default.pod", "10-244-0-7.default.svc"] {
            assert_eq!(zone.find(not), Found::Nothing, "{not}");
        }
    }
}
