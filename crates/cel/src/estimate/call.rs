//! The most that calls may cost, and the sizes of what they give.

use super::{Estimator, Size};
use crate::ast::{Call, Expr};
use crate::cost::{CHARACTER, Cost, REGEX_CHARACTER, scaled};
use crate::functions::Overload;
use crate::types::Type;

/// A call's own cost, with its arguments' where they are not all looked at, and the size of its result.
struct Found {
    cost: u64,
    size: Option<Size>,
}

impl Found {
    fn of(cost: u64) -> Self {
        Self { cost, size: None }
    }

    fn sized(cost: u64, size: Size) -> Self {
        Self { cost, size: Some(size) }
    }
}

impl Estimator<'_> {
    #[inline(never)]
    pub(super) fn call(&mut self, call: &Call, expr: &Expr) -> u64 {
        let costs: Vec<u64> = call.args.iter().map(|arg| self.cost(arg)).collect();
        let all = costs.iter().fold(0_u64, |sum, cost| sum.saturating_add(*cost));
        let checked = self.checked;
        let Some(overloads) = checked.calls.get(&expr.id) else { return all };
        if overloads.iter().any(|overload| overload.cost == Cost::Dyn) {
            let (size, inner) = (self.size(&call.args[0]), self.inner(&call.args[0]));
            self.sizes.extend(size.map(|size| (expr.id, size)));
            self.inners.extend(inner.map(|inner| (expr.id, inner)));
            return all.saturating_add(1);
        }
        let (mut most, mut size): (u64, Option<Size>) = (0, None);
        for overload in overloads {
            let found = self.one(call, expr, overload);
            most = most.max(found.cost);
            size = match (size, found.size) {
                (Some(a), Some(b)) => Some(a.union(b)),
                (a, b) => a.or(b),
            };
            if overload.cost == Cost::Index {
                size = self.inner(&call.args[0]).map(|inner| inner.value);
                let values = self.values_of(&call.args[0]);
                self.reached.extend(values.map(|reached| (expr.id, reached)));
            }
        }
        let size = size.or_else(|| self.size(expr));
        self.sizes.extend(size.map(|size| (expr.id, size)));
        match (&*call.name, costs.as_slice()) {
            ("_?_:_", [condition, yes, no]) => condition.saturating_add(*yes.max(no)),
            _ => all.saturating_add(most),
        }
    }

    fn one(&mut self, call: &Call, expr: &Expr, overload: &Overload) -> Found {
        let sizes: Vec<Size> = call.args.iter().map(|arg| self.size_or_unknown(arg)).collect();
        let at = |index: usize| sizes.get(index).copied().unwrap_or(Size::UNKNOWN);
        let first = at(0);
        let text = |index: usize| matches!(overload.args.get(index), Some(Type::String | Type::Bytes));
        match overload.cost {
            Cost::Step | Cost::Index | Cost::Dyn => Found::of(1),
            // What is read from a text outside of a call on it counts as a step, as upstream has it.
            Cost::Parse | Cost::Canonical => Found::of(1),
            Cost::Operands => self.operands(call, expr, &sizes),
            Cost::Prefix => Found::of(at(1).scaled(CHARACTER)),
            Cost::ToBytes => {
                let most = Size { min: first.min, max: first.max.saturating_mul(4) };
                Found::sized(first.scaled(CHARACTER), most)
            }
            Cost::ToText => Found::sized(first.scaled(CHARACTER), Size { min: first.min / 4, max: first.max }),
            Cost::Quote => {
                let most = first.max.saturating_mul(2).saturating_add(2);
                Found::sized(first.scaled(CHARACTER), Size { min: first.min.saturating_add(2), max: most })
            }
            Cost::In => Found::of(at(1).max),
            Cost::Equal => Found::of(scaled(first.max.min(at(1).max), CHARACTER)),
            Cost::Order if text(0) => Found::of(scaled(first.max.min(at(1).max), CHARACTER)),
            Cost::Order => Found::of(1),
            Cost::Add => self.add(call, expr, overload, first.plus(at(1))),
            Cost::Matches => Found::of(pattern(first, at(1))),
            Cost::Find => Found::sized(pattern(first, at(1)), Size { min: 0, max: first.max }),
            Cost::Contains => Found::of(first.scaled(CHARACTER).saturating_mul(at(1).scaled(CHARACTER))),
            Cost::Walk => Found::of(self.walk(call, first)),
            Cost::Url | Cost::Format => Found::of(first.scaled(CHARACTER)),
            Cost::Text => Found::sized(first.scaled(CHARACTER), first),
            Cost::Replace => Found::sized(first.scaled(2.0 * CHARACTER), replaced(first, at(1), at(2))),
            Cost::Split => Found::sized(first.scaled(2.0 * CHARACTER), Size { min: 0, max: first.max }),
            Cost::Join => {
                let size = self.joined(call, first, sizes.get(1).copied());
                Found::sized(size.scaled(CHARACTER), size)
            }
            Cost::ContainsIp | Cost::ContainsCidr => {
                // An address has 16 bytes at most.
                let read = if text(1) { at(1).scaled(CHARACTER) } else { 0 };
                let masked = if overload.cost == Cost::ContainsCidr { scaled(16, CHARACTER) + 1 } else { 0 };
                Found::of(read.saturating_add(scaled(32, CHARACTER) + masked))
            }
            Cost::Check => Found::of(350_000),
            Cost::Sets => Found::of(first.max.saturating_mul(at(1).max).saturating_add(1)),
            Cost::Copy => Found::sized(first.max.saturating_add(crate::cost::LIST), first),
            Cost::Distinct => {
                let each = first.max.saturating_mul(first.max).saturating_add(crate::cost::LIST);
                Found::sized(each, first)
            }
        }
    }

    fn operands(&mut self, call: &Call, expr: &Expr, sizes: &[Size]) -> Found {
        match (&*call.name, sizes) {
            ("_?_:_", [_, yes, no]) => {
                if let (Some(a), Some(b)) = (self.inner(&call.args[1]), self.inner(&call.args[2])) {
                    self.inners.insert(expr.id, a.union(b));
                }
                Found::sized(0, yes.union(*no))
            }
            _ => Found::of(0),
        }
    }

    fn add(&mut self, call: &Call, expr: &Expr, overload: &Overload, size: Size) -> Found {
        match overload.result {
            Type::String | Type::Bytes => Found::sized(size.scaled(CHARACTER), size),
            Type::List(_) => {
                if let (Some(a), Some(b)) = (self.inner(&call.args[0]), self.inner(&call.args[1])) {
                    self.inners.insert(expr.id, a.union(b));
                }
                Found::sized(1, size)
            }
            _ => Found::of(1),
        }
    }

    /// The declared size of a list's items.
    fn item_size(&mut self, list: &Expr) -> Size {
        self.values_of(list).map_or(Size::UNKNOWN, |reached| reached.size())
    }

    fn walk(&mut self, call: &Call, size: Size) -> u64 {
        match self.checked.type_of(&call.args[0]) {
            Type::List(item) if matches!(**item, Type::String | Type::Bytes) => {
                let each = self.item_size(&call.args[0]).scaled(CHARACTER).saturating_add(1);
                size.max.saturating_mul(each)
            }
            Type::List(_) => size.max,
            _ => size.scaled(CHARACTER),
        }
    }

    fn joined(&mut self, call: &Call, list: Size, separator: Option<Size>) -> Size {
        let items = match self.checked.type_of(&call.args[0]) {
            Type::List(_) => list.times(self.item_size(&call.args[0])),
            _ => Size::exactly(0),
        };
        let gaps = Size { min: list.min.saturating_sub(1), max: list.max.saturating_sub(1) };
        separator.map_or(items, |separator| items.plus(separator.times(gaps)))
    }
}

fn pattern(text: Size, pattern: Size) -> u64 {
    text.plus(Size::exactly(1)).scaled(CHARACTER).saturating_mul(pattern.scaled(REGEX_CHARACTER))
}

/// The size of a text after a replacement.
fn replaced(text: Size, old: Size, new: Size) -> Size {
    let most = if old.min == 0 {
        text.max.saturating_add(1).saturating_mul(new.max).saturating_add(text.max)
    } else if new.max <= old.min {
        text.max
    } else {
        text.max.div_ceil(old.min).saturating_mul(new.max)
    };
    let least = if old.max == 0 {
        text.min.saturating_add(1).saturating_mul(new.min).saturating_add(text.min)
    } else if old.max <= new.min {
        text.min
    } else {
        text.min.div_ceil(old.max).saturating_mul(new.min)
    };
    Size { min: least, max: most }
}
