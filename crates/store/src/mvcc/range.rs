//! Reading a range: which keys, in which order, how many.
//!
//! [`select`] needs the index only; [`Selection::finish`] reads the values, after the index's lock is gone, and so does
//! [`Selection::encoding`], for answers that nobody looks into any more.

mod encode;

use std::cmp::Ordering;
use std::io;

use bytes::Bytes;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::{RangeRequest, RangeResponse};
use proto::mvccpb::KeyValue;

use super::history::{Loc, Version};
use super::index::Index;
use super::interval::Interval;
use crate::refused::Refused;
use crate::reply::header;

/// What a range found; values are still to be read.
pub struct Selection {
    rows: Vec<(Bytes, Version)>,
    count: i64,
    more: bool,
    /// Sort by value, then cut, once the values are there.
    by_value: Option<(Order, usize)>,
    keys_only: bool,
    revision: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// Selects at `newest` (or the request's own revision): what a reader sees when the store stands there.
pub fn select(index: &Index, req: &RangeRequest, newest: i64) -> Result<Selection, Refused> {
    let revision = if req.revision > 0 { req.revision } else { newest };
    index.check_readable(revision, newest)?;
    let interval = Interval::new(&req.key, &req.range_end);
    let mut selection = Selection {
        rows: Vec::new(),
        count: 0,
        more: false,
        by_value: None,
        keys_only: req.keys_only,
        revision: newest,
    };
    if req.count_only {
        selection.count = index.scan(&interval, revision).count() as i64;
        return Ok(selection);
    }
    let limit = usize::try_from(req.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let order = sort_order(req);
    let take_max = take_max(req, order, limit);
    let mut matching: usize = 0;
    for (key, version) in index.scan(&interval, revision) {
        selection.count += 1;
        if !within(req, version) {
            continue;
        }
        matching += 1;
        if selection.rows.len() < take_max {
            selection.rows.push((Bytes::copy_from_slice(key), *version));
        }
    }
    selection.more = matching > limit;
    match order {
        Some((SortTarget::Value, order)) => selection.by_value = Some((order, limit)),
        Some((target, order)) => {
            selection.rows.sort_by(|a, b| directed(order, compare(target, a, b)));
            selection.rows.truncate(limit);
        }
        None => {}
    }
    Ok(selection)
}

/// How many are sorted. As in etcd, without an order but with a target only those are that the limit lets through by key,
/// and one more.
fn take_max(req: &RangeRequest, order: Option<(SortTarget, Order)>, limit: usize) -> usize {
    let bounds = [req.min_mod_revision, req.max_mod_revision, req.min_create_revision, req.max_create_revision];
    match order {
        None => limit,
        Some(_) if req.sort_order() == SortOrder::None && bounds == [0; 4] => limit.saturating_add(1),
        Some(_) => usize::MAX,
    }
}

/// None: keys ascending, as the index gives them.
fn sort_order(req: &RangeRequest) -> Option<(SortTarget, Order)> {
    let target = req.sort_target();
    match (req.sort_order(), target) {
        (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => None,
        (SortOrder::None | SortOrder::Ascend, _) => Some((target, Order::Ascending)),
        (SortOrder::Descend, _) => Some((target, Order::Descending)),
    }
}

fn directed(order: Order, ordering: Ordering) -> Ordering {
    if order == Order::Descending { ordering.reverse() } else { ordering }
}

fn compare(target: SortTarget, a: &(Bytes, Version), b: &(Bytes, Version)) -> Ordering {
    match target {
        SortTarget::Key => a.0.cmp(&b.0),
        SortTarget::Version => a.1.version.cmp(&b.1.version),
        SortTarget::Create => a.1.create.cmp(&b.1.create),
        SortTarget::Mod => a.1.main.cmp(&b.1.main),
        SortTarget::Value => Ordering::Equal,
    }
}

fn within(req: &RangeRequest, version: &Version) -> bool {
    let inside = |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    inside(version.main, req.min_mod_revision, req.max_mod_revision)
        && inside(version.create, req.min_create_revision, req.max_create_revision)
}

impl Selection {
    /// The store's revision when it was made.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Reads the values; `read` is not asked for keys-only selections unless they sort by value.
    pub fn finish(self, read: impl Fn(Loc) -> io::Result<Bytes>) -> io::Result<RangeResponse> {
        self.finish_all(|locs| locs.iter().map(|loc| read(*loc)).collect())
    }

    /// As [`Selection::finish`], with all values read at once.
    pub fn finish_all(self, read: impl Fn(&[Loc]) -> io::Result<Vec<Bytes>>) -> io::Result<RangeResponse> {
        let need_values = !self.keys_only || self.by_value.is_some();
        let values = match need_values {
            true => read(&self.rows.iter().map(|(_, version)| version.loc).collect::<Vec<_>>())?,
            false => Vec::new(),
        };
        let mut values = values.into_iter();
        let row = |(key, version): (Bytes, Version)| key_value(key, &version, values.next().unwrap_or_default());
        let mut kvs: Vec<KeyValue> = self.rows.into_iter().map(row).collect();
        if let Some((order, limit)) = self.by_value {
            kvs.sort_by(|a, b| directed(order, a.value.cmp(&b.value)));
            kvs.truncate(limit);
            if self.keys_only {
                kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
            }
        }
        Ok(RangeResponse { header: header(self.revision), kvs, more: self.more, count: self.count })
    }
}

pub fn key_value(key: Bytes, version: &Version, value: Bytes) -> KeyValue {
    KeyValue {
        key,
        create_revision: version.create,
        mod_revision: version.main,
        version: version.version,
        value,
        lease: version.lease,
    }
}
