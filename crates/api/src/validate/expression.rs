//! CEL expressions in objects: whether they can be compiled, and come to what is asked of them.

use cel::{Env, Program, Type, request};

use super::check::Errors;
use super::{FieldError, Path};

pub use cel::is_identifier;

/// What expressions about a request may name beyond it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// Whether there is an object of parameters.
    pub has_params: bool,
    /// Variables that were told before, with what they come to.
    pub variables: Option<&'a [(&'a str, Type)]>,
    /// Whether an expression may make patches and configurations.
    pub mutates: bool,
}

impl Scope<'_> {
    fn environment(&self) -> Env {
        let mut env = request::environment(self.has_params);
        if let Some(variables) = self.variables {
            env = env.with("variables", request::variables(variables));
        }
        if self.mutates { request::with_mutations(env) } else { env }
    }
}

/// What keeps a text from being an expression, as clients read it.
fn compiled(env: &Env, text: &str) -> Result<Program, String> {
    Program::compile(env, text).map_err(|issues| format!("compilation failed: {issues}"))
}

/// An expression about a request that is true or false.
pub fn condition(errors: &mut Errors, path: Path<'_>, text: &str, scope: Scope<'_>) {
    typed(errors, path, text, scope, &[Type::Bool]);
}

/// An expression about a request that comes to one of these types.
pub fn typed(errors: &mut Errors, path: Path<'_>, text: &str, scope: Scope<'_>, wanted: &[Type]) {
    let Some(found) = any(errors, path, text, scope) else { return };
    if !wanted.contains(&found) {
        let names: Vec<String> = wanted.iter().map(Type::to_string).collect();
        let why = match names.as_slice() {
            [one] => format!("must evaluate to {one}"),
            all => format!("must evaluate to one of [{}]", all.join(" ")),
        };
        errors.push(FieldError::invalid(path, text, why));
    }
}

/// An expression about a request; what it comes to, where it is one.
pub fn any(errors: &mut Errors, path: Path<'_>, text: &str, scope: Scope<'_>) -> Option<Type> {
    match compiled(&scope.environment(), text) {
        Ok(program) => Some(program.output().clone()),
        Err(why) => {
            errors.push(FieldError::invalid(path, text, why));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn wrong(text: &str, scope: Scope<'_>) -> Vec<String> {
        let mut errors = Errors::new();
        condition(&mut errors, Path::root("x"), text, scope);
        errors.into_iter().map(|error| error.detail).collect()
    }

    #[test]
    fn conditions_are_compiled_and_come_to_true_or_false() {
        for text in [
            "object.spec.x > 0",
            "request.userInfo.groups.exists(g, g == 'a')",
            "authorizer.requestResource.check('get').allowed()",
            "namespaceObject.metadata.labels['a'] == 'b'",
            "has(object.metadata) && oldObject == null",
        ] {
            assert!(wrong(text, Scope::default()).is_empty(), "{text}: {:?}", wrong(text, Scope::default()));
        }
        for text in ["object.spec.x", "1", "'a'"] {
            assert_eq!(wrong(text, Scope::default()), ["must evaluate to bool"], "{text}");
        }
        let told = wrong("request.nope == 1", Scope::default());
        assert!(told[0].contains("undefined field 'nope'"), "{told:?}");
        let told = wrong("params.x == 1", Scope::default());
        assert!(told[0].contains("undeclared reference to 'params'"), "{told:?}");
        assert!(wrong("params.x == 1", Scope { has_params: true, ..Scope::default() }).is_empty());
    }

    #[test]
    fn variables_have_the_types_of_their_expressions() {
        let known = [("a", Type::Int), ("b", Type::Bool)];
        let scope = Scope { variables: Some(&known), ..Scope::default() };
        assert!(wrong("variables.b && variables.a > 1", scope).is_empty());
        assert_eq!(wrong("variables.a", scope), ["must evaluate to bool"]);
        assert!(wrong("variables.c", scope)[0].contains("undefined field 'c'"));
    }
}
