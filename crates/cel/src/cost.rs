//! What calls cost when they are made. The units and factors are upstream's: one for a step, a tenth for a character.

use crate::error::Error;
use crate::value::{Value, Work};

/// The most that one expression may cost in admission and in rules of definitions.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// The most that all expressions about one object may cost.
pub const RUNTIME_BUDGET: u64 = 10_000_000;
/// The most that a rule of a definition may be estimated to cost.
pub const ESTIMATED_LIMIT: u64 = 10_000_000;
/// The most that all rules of a definition may be estimated to cost.
pub const ESTIMATED_TOTAL_LIMIT: u64 = 100_000_000;
/// The largest request that estimates reckon with, in bytes.
pub const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;

pub(crate) const CHARACTER: f64 = 0.1;
pub(crate) const REGEX_CHARACTER: f64 = 0.25;
pub(crate) const LIST: u64 = 10;
pub(crate) const MAP: u64 = 30;
pub(crate) const STRUCT: u64 = 40;
/// A question to the authorizer: two in an expression at most.
const CHECK: u64 = 350_000;

/// How the cost of a function is reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// One.
    Step,
    /// Nothing of its own: `&&`, `||`, `?:`.
    Operands,
    /// `startsWith`, `endsWith`.
    Prefix,
    /// `bytes("")`.
    ToBytes,
    /// `string(b"")`.
    ToText,
    Quote,
    In,
    /// Equality.
    Equal,
    /// Order; as equality for texts and bytes.
    Order,
    /// `+`: by the length of texts and bytes.
    Add,
    Matches,
    Contains,
    /// A walk over a list, or over a text for `indexOf`.
    Walk,
    /// `url`.
    Url,
    /// A text of the same length.
    Text,
    Replace,
    Split,
    Join,
    Format,
    Find,
    /// A text that is read.
    Parse,
    /// A text that is read and compared with itself.
    Canonical,
    ContainsIp,
    ContainsCidr,
    /// A question to the authorizer.
    Check,
    /// `sets.contains` and the others: each item with each.
    Sets,
    /// A list of the same length.
    Copy,
    /// Each item with each.
    Distinct,
    /// `_[_]` and its kin.
    Index,
    /// `dyn()`.
    Dyn,
}

pub(crate) fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

impl Cost {
    /// What a call with these arguments cost.
    ///
    /// # Errors
    /// Where the arguments are too large to be looked at.
    pub fn of(self, args: &[Value<'_>], result: &Value<'_>) -> Result<u64, Error> {
        let size = |at: usize| args.get(at).map_or(1, Value::size);
        let text = |at: usize| matches!(args.get(at), Some(Value::String(_) | Value::Bytes(_)));
        let pattern = || scaled(size(0).saturating_add(1), CHARACTER) * scaled(size(1), REGEX_CHARACTER);
        Ok(match self {
            Self::Step | Self::Index | Self::Dyn => 1,
            Self::Operands => 0,
            Self::Prefix | Self::Url | Self::Text | Self::Parse | Self::Quote | Self::Format => {
                scaled(size(0), CHARACTER)
            }
            Self::ToBytes | Self::ToText if text(0) => scaled(size(0), CHARACTER),
            Self::In => size(1),
            Self::Equal => scaled(size(0).min(size(1)), CHARACTER),
            Self::Order if text(0) => scaled(size(0).min(size(1)), CHARACTER),
            Self::Add if text(0) => scaled(size(0).saturating_add(size(1)), CHARACTER),
            Self::ToBytes | Self::ToText | Self::Order | Self::Add => 1,
            Self::Matches | Self::Find => pattern(),
            Self::Contains => scaled(size(0), CHARACTER).saturating_mul(scaled(size(1), CHARACTER)),
            Self::Walk => match args.first() {
                Some(value) => walked(value, &mut Work::default())?,
                None => 0,
            },
            Self::Replace | Self::Split | Self::Canonical => scaled(size(0), 2.0 * CHARACTER),
            Self::Join => scaled(result.size(), 2.0 * CHARACTER),
            Self::ContainsIp | Self::ContainsCidr => {
                let read = if text(1) { scaled(size(1), CHARACTER) } else { 0 };
                let masked = if self == Self::ContainsCidr { scaled(size(0), CHARACTER) + 1 } else { 0 };
                scaled(2 * size(0), CHARACTER) + masked + read
            }
            Self::Check => CHECK,
            Self::Sets => 1 + size(0).saturating_mul(size(1)),
            Self::Copy => LIST + size(0),
            Self::Distinct => LIST + size(0).saturating_mul(size(0)),
        })
    }
}

/// What a walk over all parts of a value costs.
fn walked(value: &Value<'_>, work: &mut Work) -> Result<u64, Error> {
    work.step(1)?;
    let tenth = |size: usize| (size as f64 * CHARACTER) as u64;
    let mut sum = 0_u64;
    match value {
        Value::String(text) => sum = tenth(text.len()),
        Value::Bytes(bytes) => sum = tenth(bytes.len()),
        Value::List(list) => {
            for item in list.iter() {
                sum = sum.saturating_add(walked(&item, work)?);
            }
        }
        Value::Map(map) => {
            for (key, value) in map.entries() {
                let both = walked(&key.value(), work)?.saturating_add(walked(&value, work)?);
                sum = sum.saturating_add(both);
            }
        }
        _ => sum = 1,
    }
    Ok(sum)
}
