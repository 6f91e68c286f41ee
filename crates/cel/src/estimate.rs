//! What an expression may cost at most, from the declared sizes of its variables, without any values.
//!
//! Rules of definitions are refused by these estimates, so they are made as upstream makes them: sizes come from the parts themselves
//! (literals), from declarations that can be reached by fields, items and values, or from the type.

mod call;

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Expr, Fold, Literal, Node, Select};
use crate::check::Checked;
use crate::cost;
use crate::env::Env;
use crate::issue::Issues;
use crate::program::Program;
use crate::types::{Decl, Shape, Type};

/// The least and the most that a size can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    min: u64,
    max: u64,
}

impl Size {
    const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    fn exactly(size: u64) -> Self {
        Self { min: size, max: size }
    }

    fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// The most that it costs to look at each unit.
    fn scaled(self, factor: f64) -> u64 {
        cost::scaled(self.max, factor)
    }
}

/// The sizes of what stands in a list or a map.
#[derive(Debug, Clone, Copy)]
struct Inner {
    list: bool,
    key: Size,
    value: Size,
}

impl Inner {
    fn union(self, other: Self) -> Self {
        Self { list: self.list, key: self.key.union(other.key), value: self.value.union(other.value) }
    }
}

/// What of the declarations a part stands for.
#[derive(Debug, Clone)]
enum Reached {
    Decl(Arc<Decl>),
    /// A map's keys, whose sizes nobody declares.
    Keys,
}

struct Local {
    name: Arc<str>,
    reached: Option<Reached>,
    size: Option<Size>,
    inner: Option<Inner>,
}

struct Estimator<'e> {
    env: &'e Env,
    checked: &'e Checked,
    locals: Vec<Local>,
    reached: HashMap<u32, Reached>,
    sizes: HashMap<u32, Size>,
    inners: HashMap<u32, Inner>,
}

impl Program {
    /// Reads and checks an expression, and says what it may cost at most.
    ///
    /// # Errors
    /// As [`Program::compile`].
    pub fn estimated(env: &Env, source: &str) -> Result<(Self, u64), Issues> {
        let (program, checked) = Self::checked(env, source)?;
        let mut estimator = Estimator {
            env,
            checked: &checked,
            locals: Vec::new(),
            reached: HashMap::new(),
            sizes: HashMap::new(),
            inners: HashMap::new(),
        };
        let most = estimator.cost(program.expr());
        Ok((program, most))
    }
}

impl Estimator<'_> {
    fn cost(&mut self, expr: &Expr) -> u64 {
        match &expr.node {
            Node::Literal(_) => 0,
            Node::Ident(name) => {
                if let Some(reached) = self.root(name) {
                    self.reached.insert(expr.id, reached);
                }
                1
            }
            Node::Select(select) => self.select(select, expr),
            Node::Call(call) => self.call(call, expr),
            Node::List(elements) => {
                let mut sum = cost::LIST;
                let mut value: Option<Size> = None;
                for element in elements {
                    sum = sum.saturating_add(self.cost(&element.value));
                    let size = self.size_or_unknown(&element.value);
                    value = Some(value.map_or(size, |value| value.union(size)));
                }
                let value = value.unwrap_or(Size::exactly(0));
                self.inners.insert(expr.id, Inner { list: true, key: Size::exactly(1), value });
                sum
            }
            Node::Map(entries) => {
                let mut sum = cost::MAP;
                let mut inner: Option<Inner> = None;
                for entry in entries {
                    sum = sum.saturating_add(self.cost(&entry.key)).saturating_add(self.cost(&entry.value));
                    let (key, value) = (self.size_or_unknown(&entry.key), self.size_or_unknown(&entry.value));
                    let one = Inner { list: false, key, value };
                    inner = Some(inner.map_or(one, |inner| inner.union(one)));
                }
                let nothing = Size::exactly(0);
                let empty = Inner { list: false, key: nothing, value: nothing };
                self.inners.insert(expr.id, inner.unwrap_or(empty));
                sum
            }
            Node::Struct(made) => {
                made.fields.iter().fold(cost::STRUCT, |sum, field| sum.saturating_add(self.cost(&field.value)))
            }
            Node::Fold(fold) => self.fold(fold, expr),
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|local| *local.name == *name)
    }

    /// What a name stands for.
    fn root(&self, name: &str) -> Option<Reached> {
        match self.local(name) {
            Some(local) => local.reached.clone(),
            None => self.env.decl(name).cloned().map(Reached::Decl),
        }
    }

    #[inline(never)]
    fn select(&mut self, select: &Select, expr: &Expr) -> u64 {
        let operand = self.cost(&select.operand);
        if select.test {
            return operand;
        }
        if let Some(Reached::Decl(decl)) = self.reached_by(&select.operand)
            && let Shape::Object(object) = &decl.shape
            && let Some(field) = object.field(&select.field)
        {
            self.reached.insert(expr.id, Reached::Decl(field.decl.clone()));
        }
        let step = matches!(self.checked.type_of(&select.operand), Type::Map(..) | Type::Object(_) | Type::Var(_));
        operand.saturating_add(u64::from(step))
    }

    fn reached_by(&self, expr: &Expr) -> Option<Reached> {
        match &expr.node {
            Node::Ident(name) if self.local(name).is_some() => self.root(name),
            _ => self.reached.get(&expr.id).cloned(),
        }
    }

    /// The items of a list, or the values of a map.
    fn values_of(&self, expr: &Expr) -> Option<Reached> {
        match self.reached_by(expr)? {
            Reached::Decl(decl) => match &decl.shape {
                Shape::List(items, _) => Some(Reached::Decl(items.clone())),
                Shape::Map(values) => Some(Reached::Decl(values.clone())),
                _ => None,
            },
            Reached::Keys => None,
        }
    }

    fn keys_of(&self, expr: &Expr) -> Option<Reached> {
        match self.reached_by(expr)? {
            Reached::Decl(decl) => matches!(decl.shape, Shape::Map(_)).then_some(Reached::Keys),
            Reached::Keys => None,
        }
    }

    fn size(&mut self, expr: &Expr) -> Option<Size> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        let own = match &expr.node {
            Node::Literal(Literal::String(text)) => Some(Size::exactly(text.chars().count() as u64)),
            Node::Literal(Literal::Bytes(bytes)) => Some(Size::exactly(bytes.len() as u64)),
            Node::Literal(Literal::Null) => None,
            Node::Literal(_) => Some(Size::exactly(1)),
            Node::List(elements) => Some(Size::exactly(elements.len() as u64)),
            Node::Map(entries) => Some(Size::exactly(entries.len() as u64)),
            _ => None,
        };
        if own.is_some() {
            return own;
        }
        if let Some(reached) = self.reached_by(expr) {
            return Some(reached.size());
        }
        if of_type(self.checked.type_of(expr)) {
            return Some(Size::exactly(1));
        }
        match &expr.node {
            Node::Ident(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Size {
        self.size(expr).unwrap_or(Size::UNKNOWN)
    }

    fn inner(&self, expr: &Expr) -> Option<Inner> {
        if let Some(inner) = self.inners.get(&expr.id) {
            return Some(*inner);
        }
        match &expr.node {
            Node::Ident(name) => self.local(name).and_then(|local| local.inner),
            _ => None,
        }
    }

    #[inline(never)]
    fn fold(&mut self, fold: &Fold, expr: &Expr) -> u64 {
        let mut sum = self.cost(&fold.range).saturating_add(self.cost(&fold.init));
        let depth = self.locals.len();
        let carried = Local {
            name: fold.accu.clone(),
            reached: self.reached_by(&fold.init),
            size: self.size(&fold.init),
            inner: self.inner(&fold.init),
        };
        self.locals.push(carried);
        if fold.is_bind() {
            sum = sum.saturating_add(self.cost(&fold.result));
            let (size, inner) = (self.size(&fold.result), self.inner(&fold.result));
            self.locals.truncate(depth);
            self.sizes.extend(size.map(|size| (expr.id, size)));
            self.inners.extend(inner.map(|inner| (expr.id, inner)));
            return sum;
        }
        self.items(fold);
        let pace = self.cost(&fold.condition).saturating_add(self.cost(&fold.step));
        self.locals.truncate(depth + 1);
        sum = sum.saturating_add(self.cost(&fold.result));
        self.locals.truncate(depth);
        let count = self.size_or_unknown(&fold.range);
        sum = sum.saturating_add(count.max.saturating_mul(pace));
        match fold.init.node {
            Node::Literal(_) => {
                let size = self.size(&fold.init);
                self.sizes.extend(size.map(|size| (expr.id, size)));
            }
            Node::List(_) | Node::Map(_) => {
                self.sizes.insert(expr.id, count);
                let inner = self.inner(&fold.step);
                self.inners.extend(inner.map(|inner| (expr.id, inner)));
            }
            _ => {}
        }
        sum
    }

    /// The names of a walk.
    fn items(&mut self, fold: &Fold) {
        let inner = self.inner(&fold.range);
        let list = match inner {
            Some(inner) => inner.list,
            None => matches!(self.checked.type_of(&fold.range), Type::List(_)),
        };
        let (keys, values) = (self.keys_of(&fold.range), self.values_of(&fold.range));
        let mut push = |name: &Arc<str>, reached, size| {
            self.locals.push(Local { name: name.clone(), reached, size, inner: None });
        };
        match (&fold.second, list) {
            (None, true) => push(&fold.first, values, inner.map(|inner| inner.value)),
            (None, false) => push(&fold.first, keys, inner.map(|inner| inner.key)),
            (Some(second), _) => {
                push(&fold.first, if list { None } else { keys }, inner.map(|inner| inner.key));
                push(second, values, inner.map(|inner| inner.value));
            }
        }
    }
}

impl Reached {
    fn size(&self) -> Size {
        match self {
            Self::Decl(decl) => Size { min: 0, max: decl.max },
            Self::Keys => Size::exactly(0),
        }
    }
}

/// Whether values of the type are all of one size.
fn of_type(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::TypeOf(_) | Type::Uint
    )
}
