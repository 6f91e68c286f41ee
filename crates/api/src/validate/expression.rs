//! CEL expressions in objects: whether they are expressions at all, name only what is there, and could be true or false.
//!
//! What the names' fields are is not judged here: that takes the types of the objects they stand for.

mod grammar;
mod tokens;

use super::check::Errors;
use super::{FieldError, Path};

pub use grammar::{Kind, parse};

/// What expressions about a request may name.
const REQUEST_NAMES: &[&str] = &["object", "oldObject", "request", "namespaceObject", "authorizer"];
/// Types and namespaces of functions that every expression may name.
const COMMON_NAMES: &[&str] = &[
    "int",
    "uint",
    "double",
    "bool",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "dyn",
    "google",
    "optional",
    "cel",
    "math",
    "strings",
    "sets",
    "base64",
    "kubernetes",
    "net",
    "lists",
    "Object",
    "JSONPatch",
    "jsonpatch",
];

/// A word that CEL takes for a name.
pub fn is_identifier(text: &str) -> bool {
    tokens::is_identifier(text)
}

/// What expressions about a request may name beyond it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// Whether there is an object of parameters.
    pub has_params: bool,
    /// Variables that were told before.
    pub variables: Option<&'a [&'a str]>,
}

impl Scope<'_> {
    fn check(&self, text: &str) -> Result<Kind, String> {
        let mut names = REQUEST_NAMES.to_vec();
        names.extend(self.has_params.then_some("params"));
        names.extend(self.variables.map(|_| "variables"));
        let kind = checked(text, &names)?;
        let Some(variables) = self.variables else { return Ok(kind) };
        let parsed = parse(text).map_err(|wrong| wrong.message(text))?;
        let unknown = parsed
            .chains
            .iter()
            .filter(|(root, _)| root == "variables")
            .find_map(|(_, steps)| steps.first().filter(|(name, _)| !variables.contains(&name.as_str())));
        match unknown {
            Some((name, at)) => Err(message(text, *at, &format!("undefined field '{name}'"))),
            None => Ok(kind),
        }
    }
}

/// An expression about a request that is true or false.
pub fn condition(errors: &mut Errors, path: Path<'_>, text: &str, scope: Scope<'_>) {
    match scope.check(text) {
        Err(why) => errors.push(FieldError::invalid(path, text, why)),
        Ok(Kind::Other) => errors.push(FieldError::invalid(path, text, "must evaluate to bool")),
        Ok(_) => {}
    }
}

/// An expression about a request.
pub fn any(errors: &mut Errors, path: Path<'_>, text: &str, scope: Scope<'_>) {
    if let Err(why) = scope.check(text) {
        errors.push(FieldError::invalid(path, text, why));
    }
}

/// What an expression makes that may name `names`; or what is wrong with it, as clients read it.
pub fn checked(text: &str, names: &[&str]) -> Result<Kind, String> {
    let parsed = parse(text).map_err(|wrong| wrong.message(text))?;
    match parsed.free.iter().find(|(name, _)| !names.contains(&name.as_str()) && !COMMON_NAMES.contains(&name.as_str()))
    {
        Some((name, at)) => {
            let why = format!("undeclared reference to '{name}' (in container '')");
            Err(grammar::Wrong { at: *at, why }.message(text))
        }
        None => Ok(parsed.kind),
    }
}

/// What is wrong at a place of an expression, as clients read it.
pub fn message(text: &str, at: usize, why: &str) -> String {
    grammar::Wrong { at, why: why.to_owned() }.message(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_follow_the_grammar() {
        for text in [
            "true",
            "self.x > 0 && !has(self.y)",
            "self.items.all(item, item.name != 'a' && item.n in [1, 2u, 3.5e2])",
            "self.m['a'].exists(k, k == \"b\\n\") ? 1 : -2",
            "{'a': 1, 'b': [self]}.a == 1 // why",
            "self.?a.orValue(r'\\d') == b'x'",
            "google.protobuf.Timestamp{seconds: 1} == self",
        ] {
            assert_eq!(checked(text, &["self"]).err(), None, "{text}");
        }
        for text in ["", "self.", "1 +", "(1", "[1,", "self x", "'a", "a ? b", "1.2.3", "self.all(", "=", "&&"] {
            assert!(checked(text, &["self", "x", "a", "b"]).is_err(), "{text}");
        }
    }

    #[test]
    fn an_expression_names_only_what_is_there() {
        assert!(checked("nope == 1", &["self"]).is_err_and(|why| why.contains("undeclared reference to 'nope'")));
        assert!(checked("self.map(nope, nope + 1)", &["self"]).is_ok());
        assert!(checked("self.map(x, nope + 1)", &["self"]).is_err());
    }

    #[test]
    fn what_can_be_no_condition_is_known() {
        for (text, kind) in [
            ("1", Kind::Other),
            ("'a' + 'b'", Kind::Other),
            ("1 == 2", Kind::Bool),
            ("!self.x", Kind::Bool),
            ("(self.a || self.b)", Kind::Bool),
            ("self.a", Kind::Unknown),
        ] {
            assert_eq!(checked(text, &["self"]), Ok(kind), "{text}");
        }
    }

    #[test]
    fn deep_expressions_end() {
        assert!(checked(&"(".repeat(100_000), &[]).is_err());
        assert!(checked(&"!".repeat(100_000), &[]).is_err());
    }
}
