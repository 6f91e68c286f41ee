//! What an expression may name, and what it may use beyond the language.

use std::sync::Arc;

use crate::parse::Features;
use crate::types::{Decl, Type};

/// The variables of an expression with their types.
#[derive(Debug, Clone, Default)]
pub struct Env {
    variables: Vec<Variable>,
    pub(crate) features: Features,
    pub(crate) messages: Vec<(Arc<str>, Type)>,
    pub(crate) open_messages: Option<&'static str>,
}

#[derive(Debug, Clone)]
struct Variable {
    name: Arc<str>,
    ty: Type,
    decl: Option<Arc<Decl>>,
}

impl Env {
    pub fn new() -> Self {
        Self::default()
    }

    /// The environment with one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, ty: Type) -> Self {
        self.variables.push(Variable { name: name.into(), ty, decl: None });
        self
    }

    /// The environment with a variable whose size is known, too.
    #[must_use]
    pub fn declared(mut self, name: &str, decl: Arc<Decl>) -> Self {
        self.variables.push(Variable { name: name.into(), ty: decl.ty.clone(), decl: Some(decl) });
        self
    }

    /// The environment with `cel.bind`.
    #[must_use]
    pub fn with_bind(mut self) -> Self {
        self.features.bind = true;
        self
    }

    /// The environment with messages that an expression may make: one by its name, with its fields.
    #[must_use]
    pub fn with_message(mut self, name: &str, ty: Type) -> Self {
        self.messages.push((name.into(), ty));
        self
    }

    /// The environment with messages that begin with `root` (`Object`, `Object.spec`), with any fields.
    #[must_use]
    pub fn with_open_messages(mut self, root: &'static str) -> Self {
        self.open_messages = Some(root);
        self
    }

    /// The type of a variable; of two with one name, the later one counts.
    pub(crate) fn variable(&self, name: &str) -> Option<&Type> {
        self.find(name).map(|variable| &variable.ty)
    }

    pub(crate) fn decl(&self, name: &str) -> Option<&Arc<Decl>> {
        self.find(name).and_then(|variable| variable.decl.as_ref())
    }

    fn find(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().rev().find(|variable| *variable.name == *name)
    }
}
