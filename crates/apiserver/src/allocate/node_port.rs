//! Node ports: one object holds which are taken; every change of it is conditional on its version.

use std::time::Duration;

use bytes::Bytes;
use proto::core::v1::{RangeAllocation, Service};

use super::bitmap::Bitmap;
use crate::server::Server;
use crate::status::{Failure, Result, cause};
use crate::storage::{Record, Written};

/// Where upstream keeps it.
const KEY: &str = "/registry/ranges/servicenodeports";
const TRIES_MAX: u32 = 64;
/// After the nth lost race up to n times this is waited,
const SPREAD: Duration = Duration::from_millis(4);
/// up to so many times.
const SPREAD_MAX: u32 = 16;
/// So many low ports (a sixteenth, within these bounds) are left to those who ask for a certain one.
const RESERVED_MIN: usize = 16;
const RESERVED_MAX: usize = 128;

/// `30000-32767`, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl std::str::FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is no range of ports such as 30000-32767");
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let (first, last) = (first.trim().parse().map_err(|_| wrong())?, last.trim().parse().map_err(|_| wrong())?);
        if first == 0 || first > last { Err(wrong()) } else { Ok(Self { first, last }) }
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}-{}", self.first, self.last)
    }
}

impl PortRange {
    fn len(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    fn offset(self, port: u16) -> Option<usize> {
        (self.first..=self.last).contains(&port).then(|| usize::from(port - self.first))
    }

    fn reserved(self) -> usize {
        (self.len() / 16).clamp(RESERVED_MIN, RESERVED_MAX).min(self.len() / 2)
    }
}

/// Takes ports: certain ones, or any where none is named.
pub async fn take(
    server: &Server,
    range: PortRange,
    wanted: &[Option<u16>],
    service: &Service,
    dry_run: bool,
) -> Result<Vec<u16>> {
    let mut taken = Vec::new();
    change(server, range, dry_run, |map| {
        taken.clear();
        for wanted in wanted {
            taken.push(take_one(range, map, *wanted).map_err(|why| refuse(service, *wanted, &why))?);
        }
        Ok(())
    })
    .await?;
    Ok(taken)
}

/// Frees ports.
pub async fn free(server: &Server, range: PortRange, ports: &[u16]) -> Result<()> {
    change(server, range, false, |map| {
        ports.iter().filter_map(|port| range.offset(*port)).for_each(|at| map.free(at));
        Ok(())
    })
    .await
}

/// Marks ports as taken that services have, and frees `leaked` ones.
pub async fn correct(server: &Server, range: PortRange, used: &[u16], leaked: &[u16]) -> Result<Vec<u16>> {
    let mut taken = Vec::new();
    change(server, range, false, |map| {
        for at in leaked.iter().filter_map(|port| range.offset(*port)) {
            map.free(at);
        }
        for at in used.iter().filter_map(|port| range.offset(*port)) {
            map.take(at);
        }
        taken = map.taken().map(|at| range.first + at as u16).collect();
        Ok(())
    })
    .await?;
    Ok(taken)
}

fn take_one(range: PortRange, map: &mut Bitmap, wanted: Option<u16>) -> std::result::Result<u16, String> {
    match wanted {
        Some(port) => {
            let outside = || format!("provided port is not in the valid range. The range of valid ports is {range}");
            let at = range.offset(port).ok_or_else(outside)?;
            if map.take(at) { Ok(port) } else { Err("provided port is already allocated".to_owned()) }
        }
        None => {
            let from = rand::random_range(0..range.len());
            let full = || format!("no port of {range} is free; widen --service-node-port-range or delete Services");
            map.take_any(from, range.reserved()).map(|at| range.first + at as u16).ok_or_else(full)
        }
    }
}

fn refuse(service: &Service, wanted: Option<u16>, why: &str) -> Failure {
    let Some(port) = wanted else { return Failure::internal(format!("failed to allocate a nodePort: {why}")) };
    // Where the service asks for it twice, the second time is wrong.
    let at = service.spec.ports.iter().rposition(|other| other.node_port == i32::from(port)).unwrap_or(0);
    let causes =
        vec![cause("FieldValueInvalid", format!("spec.ports[{at}].nodePort"), format!("Invalid value: {port}: {why}"))];
    Failure::invalid("", "Service", &service.metadata.name, causes)
}

/// Reads, changes and writes the object until nobody was faster.
async fn change(
    server: &Server,
    range: PortRange,
    dry_run: bool,
    mut edit: impl FnMut(&mut Bitmap) -> Result<()>,
) -> Result<()> {
    let (mut record, _) = server.store.get(KEY).await?;
    for attempt in 0..TRIES_MAX {
        let before = record.as_ref().map(|record| read(range, record)).transpose()?;
        let mut map = before.clone().unwrap_or_else(|| Bitmap::new(range.len()));
        edit(&mut map)?;
        if dry_run || before.as_ref() == Some(&map) {
            return Ok(());
        }
        let value = write(range, &map);
        let written = match &record {
            Some(record) => server.store.replace(KEY, record.rev, value).await?,
            None => server.store.create_common(KEY, value).await?,
        };
        match written {
            Written::Done(_) => return Ok(()),
            Written::Conflict(found) => record = found,
        }
        // All Services of all apiservers share one object: who lost waits a random while, longer each time, so that of
        // many that come at once each has its turn.
        let longest = SPREAD * attempt.clamp(1, SPREAD_MAX);
        tokio::time::sleep(longest.mul_f64(rand::random())).await;
    }
    Err(Failure::unavailable("node ports are contended, try again"))
}

fn read(range: PortRange, record: &Record) -> Result<Bitmap> {
    let stored: RangeAllocation = proto::envelope::decode_kind(&record.value).map_err(Failure::internal)?;
    let was: PortRange = stored.range.parse().unwrap_or(range);
    let old = Bitmap::decode(was.len(), &stored.data);
    if was == range {
        return Ok(old);
    }
    // The flag was changed: what is taken stays taken where it is inside the new range.
    let mut map = Bitmap::new(range.len());
    for at in old.taken().filter_map(|at| range.offset(was.first + at as u16)) {
        map.take(at);
    }
    Ok(map)
}

fn write(range: PortRange, map: &Bitmap) -> Bytes {
    let stored = RangeAllocation { range: range.to_string(), data: map.encode(), ..Default::default() };
    proto::envelope::encode_kind(&stored).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: PortRange = PortRange { first: 30000, last: 32767 };

    #[test]
    fn ranges_are_read() {
        assert_eq!("30000-32767".parse(), Ok(RANGE));
        assert!("32767-30000".parse::<PortRange>().is_err());
        assert!("http".parse::<PortRange>().is_err());
    }

    #[test]
    fn a_port_is_given_once() {
        let mut map = Bitmap::new(RANGE.len());
        assert_eq!(take_one(RANGE, &mut map, Some(30080)), Ok(30080));
        assert!(take_one(RANGE, &mut map, Some(30080)).is_err_and(|why| why.contains("already allocated")));
        assert!(take_one(RANGE, &mut map, Some(80)).is_err_and(|why| why.contains("30000-32767")));
        let any = take_one(RANGE, &mut map, None).expect("thousands are free");
        assert!(any >= 30000 + 128);
    }
}
