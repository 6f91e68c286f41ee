//! The tree of an expression. Macros are gone from it: they are folds over lists and maps by the time it is made.

use std::sync::Arc;

use crate::functions::Function;

/// A part of an expression.
#[derive(Debug, Clone)]
pub struct Expr {
    /// Counts the parts of one expression, from zero.
    pub id: u32,
    /// The byte in the text that stands for this part: an operator, a dot, an opening bracket.
    pub at: u32,
    /// How many parts stand within each other here; bounded, so that what walks the tree may recurse.
    pub depth: u16,
    /// How many parts there are; bounded too, since macros write some of them twice.
    pub size: u32,
    pub node: Node,
}

#[derive(Debug, Clone)]
pub enum Node {
    Literal(Literal),
    Ident(Arc<str>),
    Select(Box<Select>),
    Call(Box<Call>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    Struct(Box<Struct>),
    Fold(Box<Fold>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

#[derive(Debug, Clone)]
pub struct Select {
    pub operand: Expr,
    pub field: Arc<str>,
    /// `has(operand.field)` rather than the field itself.
    pub test: bool,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub name: Arc<str>,
    /// None where no library has a function of that name.
    pub function: Option<&'static Function>,
    /// A call on a value: the value is the first of `args`.
    pub member: bool,
    pub args: Vec<Expr>,
}

#[derive(Debug, Clone)]
pub struct Element {
    pub value: Expr,
    /// `[?value]`: only where the optional has a value.
    pub optional: bool,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

#[derive(Debug, Clone)]
pub struct Struct {
    pub name: Arc<str>,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: Arc<str>,
    pub value: Expr,
    pub optional: bool,
    pub at: u32,
}

/// What a macro becomes: a walk over a list or a map that carries a value along.
#[derive(Debug, Clone)]
pub struct Fold {
    pub range: Expr,
    /// The element of a list or the key of a map; with `second`, the index or the key.
    pub first: Arc<str>,
    pub second: Option<Arc<str>>,
    /// The name of the value that is carried along, and what it is at first.
    pub accu: Arc<str>,
    pub init: Expr,
    /// Whether to go on.
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

impl Fold {
    /// A name for a value (`optMap`, `cel.bind`) rather than a walk.
    pub fn is_bind(&self) -> bool {
        matches!(&self.range.node, Node::List(elements) if elements.is_empty())
            && matches!(self.condition.node, Node::Literal(Literal::Bool(false)))
    }
}

impl Expr {
    /// `a.b.c` as one name, where the expression is nothing but names.
    pub fn qualified(&self) -> Option<String> {
        match &self.node {
            Node::Ident(name) => Some(name.to_string()),
            Node::Select(select) if !select.test => Some(format!("{}.{}", select.operand.qualified()?, select.field)),
            _ => None,
        }
    }

    /// Each part that stands directly in this one.
    pub fn parts(&self) -> Vec<&Expr> {
        match &self.node {
            Node::Literal(_) | Node::Ident(_) => Vec::new(),
            Node::Select(select) => vec![&select.operand],
            Node::Call(call) => call.args.iter().collect(),
            Node::List(elements) => elements.iter().map(|element| &element.value).collect(),
            Node::Map(entries) => entries.iter().flat_map(|entry| [&entry.key, &entry.value]).collect(),
            Node::Struct(made) => made.fields.iter().map(|field| &field.value).collect(),
            Node::Fold(fold) => vec![&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result],
        }
    }

    /// Whether the expression names a variable anywhere that nothing within it binds.
    pub fn names(&self, variable: &str) -> bool {
        match &self.node {
            Node::Ident(name) => **name == *variable,
            Node::Fold(fold) => {
                let hidden = *fold.first == *variable || fold.second.as_deref() == Some(variable);
                let carried = *fold.accu == *variable;
                fold.range.names(variable)
                    || fold.init.names(variable)
                    || !carried
                        && (fold.result.names(variable)
                            || !hidden && (fold.condition.names(variable) || fold.step.names(variable)))
            }
            _ => self.parts().into_iter().any(|part| part.names(variable)),
        }
    }
}
