//! What rules are estimated to cost, for declared sizes.

use std::sync::Arc;

use crate::cost::REQUEST_BYTES_MAX;
use crate::types::{Field, ListKind, Object};
use crate::{Decl, Env, Program, Type};

/// As many items as a request has room for.
fn most(min_bytes: u64) -> u64 {
    (REQUEST_BYTES_MAX - 2) / (min_bytes + 1)
}

fn list(items: Decl, max: Option<u64>) -> Decl {
    let max = max.unwrap_or(most(items.min_bytes));
    Decl::list(Arc::new(items), ListKind::Atomic, max)
}

fn text(max: u64) -> Decl {
    Decl::sized(Type::String, max)
}

fn number() -> Decl {
    Decl::scalar(Type::Int)
}

#[track_caller]
fn estimate(of: Decl, source: &str, wanted: u64) {
    let env = Env::new().declared("self", Arc::new(of));
    let (_, found) = Program::estimated(&env, source).unwrap();
    assert_eq!(found, wanted, "{source}");
}

#[test]
fn a_walk_costs_what_its_list_may_hold() {
    estimate(list(number(), Some(10)), "self.all(x, true)", 32);
    estimate(list(number(), None), "self.all(x, true)", 4_718_591);
    estimate(list(text(2), None), "self.all(x, true)", 3_145_727);
    estimate(list(text(50), Some(10)), "self.all(x, x.contains('ab'))", 2 + 10 * (3 + 1 + 5));
    estimate(list(list(number(), Some(3)), Some(10)), "self.all(x, x.all(y, true))", 2 + 10 * (3 + 2 + 9));
    let map = Decl::map(Arc::new(text(7)), 10);
    estimate(map, "self.all(k, self[k] == 'a')", 2 + 10 * (3 + 4));
}

#[test]
fn sizes_follow_what_is_made() {
    estimate(list(number(), Some(10)), "self.map(x, x * 2).all(y, true)", 12 + 10 * (1 + 10 + 2 + 1) + 1 + 30);
    estimate(list(number(), Some(10)), "self.filter(x, x > 1).size() == 1", 12 + 10 * (2 + 13) + 2);
    estimate(text(100), "self.lowerAscii().contains('a')", 1 + 10 + 10);
    estimate(text(100), "self.startsWith('abcdefghijk')", 1 + 2);
    estimate(text(100), "(self + 'abcdefghij').matches('a')", 1 + 11 + 12);
    estimate(text(100), "self.split(',').all(x, true)", 1 + 20 + 300 + 1);
    estimate(text(100), "self == 'abcdefghij' ? true : self.size() > 2", 1 + 1 + 3);
    estimate(text(100), "1 in [1, 2, 3]", 10 + 3);
}

#[test]
fn fields_are_followed() {
    let field = |name: &str, decl: Decl| Field { name: name.into(), json: name.into(), decl: Arc::new(decl) };
    let object = || {
        let inner = Decl::object(Object::new("inner", vec![field("name", text(20))]), 2);
        Decl::object(Object::new("o", vec![field("items", list(inner, Some(5))), field("n", number())]), 2)
    };
    estimate(object(), "has(self.n)", 1);
    estimate(object(), "self.n == 5", 2);
    estimate(object(), "self.items[0].name.lowerAscii() == 'x'", 2 + 1 + 1 + 2 + 1);
    estimate(object(), "self.items.exists(i, i.name.contains('a'))", 2 + 1 + 5 * (1 + 1 + 1 + 1 + 2 + 2));
}

#[test]
fn what_nothing_bounds_is_endless() {
    let env = Env::new().with("self", Type::Dyn);
    let (_, found) = Program::estimated(&env, "self.all(x, self.all(y, x == y))").unwrap();
    assert_eq!(found, u64::MAX);
}
