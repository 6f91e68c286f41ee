//! Expressions that select devices: `device.attributes["driver.example"].model == "a"`.

use std::sync::Arc;

use cel::types::{Field, Object};
use cel::{Decl, Env, Program, Type};

use crate::validate::check::Errors;
use crate::validate::{FieldError, Path};

/// The most that a selector may be estimated to cost.
const COST_MAX: u64 = 1_000_000;
/// Attributes and capacities of a device; names of drivers; values of attributes: the most of them.
const ATTRIBUTES_MAX: u64 = 32;
const DRIVER_CHARACTERS_MAX: u64 = 63;
const VALUE_CHARACTERS_MAX: u64 = 64;

/// What a selector may name.
fn environment() -> Env {
    // By domain, then by name.
    let by_name = |values: Decl| {
        let named = Decl::map(Arc::new(values), ATTRIBUTES_MAX);
        Decl::map(Arc::new(named), ATTRIBUTES_MAX)
    };
    let fields = [
        ("driver", Decl::sized(Type::String, DRIVER_CHARACTERS_MAX)),
        ("attributes", by_name(Decl::sized(Type::Dyn, VALUE_CHARACTERS_MAX))),
        ("capacity", by_name(Decl::scalar(Type::Opaque("kubernetes.Quantity")))),
        ("allowMultipleAllocations", Decl::scalar(Type::Bool)),
    ];
    let fields =
        fields.into_iter().map(|(name, decl)| Field { name: name.into(), json: name.into(), decl: decl.into() });
    let device = Decl::object(Object::new("kubernetes.DRADevice", fields.collect()), 0);
    Env::new().with_bind().declared("device", Arc::new(device))
}

/// A selector comes to true or false, and is not dear.
pub fn check(errors: &mut Errors, path: Path<'_>, text: &str) {
    match Program::estimated(&environment(), text) {
        Err(issues) => errors.push(FieldError::invalid(path, text, format!("compilation failed: {issues}"))),
        Ok((program, _)) if !matches!(program.output(), Type::Bool | Type::Dyn) => {
            errors.push(FieldError::invalid(path, text, "must evaluate to bool or the unknown type"));
        }
        Ok((_, cost)) if cost > COST_MAX => {
            errors.push(FieldError::forbidden(path, "too complex, exceeds cost limit"));
        }
        Ok(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn told(text: &str) -> String {
        let mut errors = Errors::new();
        check(&mut errors, Path::root("x"), text);
        errors.into_iter().map(|error| error.message()).collect()
    }

    #[test]
    fn selectors_are_about_devices() {
        for text in [
            "device.driver == 'a.example'",
            "device.attributes['a.example'].model == 'x'",
            "device.attributes['a.example'].?size.orValue(0) > 3",
            "device.capacity['a.example'].memory.compareTo(quantity('1Gi')) >= 0",
            "cel.bind(a, device.attributes['a.example'], a.x == 1 && a.y == 2)",
            "device.attributes['a.example'].flag",
        ] {
            assert_eq!(told(text), "", "{text}");
        }
        assert!(told("device.nope").contains("undefined field 'nope'"));
        assert!(told("device.driver").contains("must evaluate to bool or the unknown type"));
        let nested = "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, device.attributes.all(d, a + b + c + d != ''))))";
        assert_eq!(told(nested), "Forbidden: too complex, exceeds cost limit");
    }
}
