//! A question about the cluster domain (or an address) to its answer. Pure.
//!
//! What the cluster is not asked about, or does not know in the reverse zones, is [`Answer::Elsewhere`]: the caller
//! forwards it.

use std::net::IpAddr;
use std::str::FromStr;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::zone::{Entry, Found, Srv, Zone};

/// The version of the specification that the names follow, answered to `dns-version` as TXT.
const SCHEMA_VERSION: &str = "1.1.0";
/// The most SRV targets whose addresses come along as additional records.
const ADDITIONAL_MAX: usize = 32;

/// The cluster domain and how long answers may be kept.
#[derive(Debug, Clone)]
pub struct Authority {
    /// `cluster.local.`
    pub domain: Name,
    /// Lower case, no trailing dot: `cluster.local`.
    domain_text: String,
    /// Seconds that an answer, also a negative one, may be kept.
    pub ttl_seconds: u32,
}

/// What to answer.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "made once a question, and taken apart at once")]
pub enum Answer {
    Records {
        answers: Vec<Record>,
        additionals: Vec<Record>,
    },
    /// An ExternalName outside the cluster domain: the alias, and the name whose records the caller adds.
    Alias {
        record: Record,
        target: Name,
    },
    /// The name exists, without records of this type.
    NoData,
    NoName,
    /// Not ours to answer.
    Elsewhere,
    /// Ours, but the zone is not complete: asked again, the answer may be another one.
    NotYet,
}

impl Authority {
    /// `domain` as in `--cluster-domain`: `cluster.local`, with or without a trailing dot.
    pub fn new(domain: &str, ttl_seconds: u32) -> Result<Self, hickory_proto::ProtoError> {
        let domain_text = domain.trim_end_matches('.').to_ascii_lowercase();
        let domain = Name::from_str(&format!("{domain_text}."))?;
        Ok(Self { domain, domain_text, ttl_seconds })
    }

    /// Answers a question from the zone.
    pub fn answer(&self, zone: &Zone, name: &Name, kind: RecordType) -> Answer {
        let text = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        if let Some(relative) = self.relative(&text) {
            return if zone.is_complete() { self.answer_ours(zone, name, relative, kind) } else { Answer::NotYet };
        }
        match reverse_address(&text) {
            Some(_) if !zone.is_complete() => Answer::NotYet,
            Some(address) => self.answer_reverse(zone, name, &address, kind),
            None => Answer::Elsewhere,
        }
    }

    /// The SOA record that goes with negative answers.
    pub fn soa(&self, zone: &Zone) -> Record {
        let sub = |label: &str| self.absolute(label).unwrap_or_else(|| self.domain.clone());
        let ttl = i32::try_from(self.ttl_seconds).unwrap_or(i32::MAX);
        let soa = SOA::new(
            sub("ns.dns"),
            sub("hostmaster"),
            zone.serial(),
            7200,
            1800,
            86400,
            self.ttl_seconds.min(ttl.unsigned_abs()),
        );
        Record::from_rdata(self.domain.clone(), self.ttl_seconds, RData::SOA(soa))
    }

    fn relative<'t>(&self, text: &'t str) -> Option<&'t str> {
        let rest = text.strip_suffix(self.domain_text.as_str())?;
        if rest.is_empty() { Some(rest) } else { rest.strip_suffix('.') }
    }

    fn absolute(&self, relative: &str) -> Option<Name> {
        Name::from_str(&format!("{relative}.{}.", self.domain_text)).ok()
    }

    fn answer_ours(&self, zone: &Zone, name: &Name, relative: &str, kind: RecordType) -> Answer {
        if relative.is_empty() {
            return self.answer_apex(zone, kind);
        }
        if relative == "dns-version" {
            let text = RData::TXT(TXT::new(vec![SCHEMA_VERSION.to_owned()]));
            return if kind == RecordType::TXT { self.records(name, [text]) } else { Answer::NoData };
        }
        match zone.find(relative) {
            Found::Entry(entry) => match &entry.alias {
                Some(target) => self.answer_alias(zone, name, target, kind),
                None => self.answer_entry(zone, name, entry, kind),
            },
            Found::Address(address) => self.records(name, address_data(&[address], kind)),
            Found::Parent => Answer::NoData,
            Found::Nothing => Answer::NoName,
        }
    }

    fn answer_apex(&self, zone: &Zone, kind: RecordType) -> Answer {
        match kind {
            RecordType::SOA => Answer::Records { answers: vec![self.soa(zone)], additionals: Vec::new() },
            RecordType::NS => match self.absolute("ns.dns") {
                Some(server) => self.records(&self.domain, [RData::NS(NS(server))]),
                None => Answer::NoData,
            },
            _ => Answer::NoData,
        }
    }

    fn answer_entry(&self, zone: &Zone, name: &Name, entry: &Entry, kind: RecordType) -> Answer {
        match kind {
            RecordType::SRV => self.answer_srv(zone, name, &entry.services),
            kind => self.records(name, address_data(&entry.addresses, kind)),
        }
    }

    fn answer_srv(&self, zone: &Zone, name: &Name, services: &[Srv]) -> Answer {
        let weight = 100 / u16::try_from(services.len().clamp(1, 100)).unwrap_or(100);
        let mut answers = Vec::with_capacity(services.len());
        let mut additionals: Vec<Record> = Vec::new();
        for srv in services {
            let Some(target) = self.absolute(&srv.target) else { continue };
            let known = additionals.iter().any(|record| record.name == target);
            answers.push(self.record(name, RData::SRV(SRV::new(0, weight, srv.port, target.clone()))));
            if let (false, Found::Entry(entry)) = (known, zone.find(&srv.target)) {
                let room = ADDITIONAL_MAX.saturating_sub(additionals.len());
                let data = entry.addresses.iter().take(room).map(|address| RData::from(*address));
                additionals.extend(data.map(|data| self.record(&target, data)));
            }
        }
        if answers.is_empty() { Answer::NoData } else { Answer::Records { answers, additionals } }
    }

    /// An alias inside the domain is followed here, one step; one outside is the caller's.
    fn answer_alias(&self, zone: &Zone, name: &Name, target: &str, kind: RecordType) -> Answer {
        let Ok(target_name) = Name::from_str(&format!("{target}.")) else { return Answer::NoData };
        let alias = self.record(name, RData::CNAME(CNAME(target_name.clone())));
        if kind == RecordType::CNAME {
            return Answer::Records { answers: vec![alias], additionals: Vec::new() };
        }
        let Some(relative) = self.relative(target) else {
            return Answer::Alias { record: alias, target: target_name };
        };
        let mut answers = vec![alias];
        if let Found::Entry(entry) = zone.find(relative)
            && let Answer::Records { answers: more, .. } = self.answer_entry(zone, &target_name, entry, kind)
        {
            answers.extend(more);
        }
        Answer::Records { answers, additionals: Vec::new() }
    }

    fn answer_reverse(&self, zone: &Zone, name: &Name, address: &IpAddr, kind: RecordType) -> Answer {
        let Some(target) = zone.find_address(address).and_then(|relative| self.absolute(relative)) else {
            return Answer::Elsewhere;
        };
        if kind == RecordType::PTR { self.records(name, [RData::PTR(PTR(target))]) } else { Answer::NoData }
    }

    fn records(&self, name: &Name, data: impl IntoIterator<Item = RData>) -> Answer {
        let answers: Vec<Record> = data.into_iter().map(|data| self.record(name, data)).collect();
        if answers.is_empty() { Answer::NoData } else { Answer::Records { answers, additionals: Vec::new() } }
    }

    fn record(&self, name: &Name, data: RData) -> Record {
        Record::from_rdata(name.clone(), self.ttl_seconds, data)
    }
}

fn address_data(addresses: &[IpAddr], kind: RecordType) -> Vec<RData> {
    addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(v4), RecordType::A | RecordType::ANY) => Some(RData::A(A(*v4))),
            (IpAddr::V6(v6), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(*v6))),
            _ => None,
        })
        .collect()
}

/// The address that a name of the reverse zones spells: `1.0.96.10.in-addr.arpa` is 10.96.0.1.
fn reverse_address(text: &str) -> Option<IpAddr> {
    if let Some(octets) = text.strip_suffix(".in-addr.arpa") {
        let forward: Vec<&str> = octets.rsplit('.').collect();
        return forward.join(".").parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let nibbles: Vec<&str> = text.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    if nibbles.len() != 32 || nibbles.iter().any(|nibble| nibble.len() != 1) {
        return None;
    }
    let groups: Vec<String> = nibbles.chunks(4).map(|group| group.concat()).collect();
    groups.join(":").parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests;
