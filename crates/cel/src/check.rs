//! The type checker: the type of each part of an expression, or what is wrong with it.
//!
//! Types that are not known yet are variables; each call that is looked at may say what one of them is. What is wrong is told once:
//! the part gets a type that goes with everything, and the rest is still looked at.

mod call;
mod unify;

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Expr, Fold, Literal, Node, Select, Struct};
use crate::env::Env;
use crate::eval::TYPES;
use crate::functions::Overload;
use crate::issue::Issue;
use crate::types::Type;

use unify::Unify;

/// An expression whose types are known.
#[derive(Debug)]
pub struct Checked {
    /// The type of each part, by its number; dyn where it does not matter.
    pub types: HashMap<u32, Type>,
    /// The forms that each call may turn out to be.
    pub calls: HashMap<u32, Vec<&'static Overload>>,
}

impl Checked {
    pub fn type_of(&self, expr: &Expr) -> &Type {
        self.types.get(&expr.id).unwrap_or(&Type::Dyn)
    }
}

/// Checks an expression.
pub fn check(env: &Env, expr: &Expr) -> Result<Checked, Vec<Issue>> {
    let mut checker = Checker {
        env,
        locals: Vec::new(),
        unify: Unify::default(),
        types: HashMap::new(),
        calls: HashMap::new(),
        issues: Vec::new(),
    };
    checker.expr(expr);
    if !checker.issues.is_empty() {
        checker.issues.sort_by_key(|issue| issue.at);
        checker.issues.dedup();
        return Err(checker.issues);
    }
    let Checker { unify, types, calls, .. } = checker;
    let types = types.into_iter().map(|(id, ty)| (id, unify.known(&ty))).collect();
    Ok(Checked { types, calls })
}

struct Checker<'e> {
    env: &'e Env,
    locals: Vec<(Arc<str>, Type)>,
    unify: Unify,
    types: HashMap<u32, Type>,
    calls: HashMap<u32, Vec<&'static Overload>>,
    issues: Vec<Issue>,
}

/// The most mistakes that are told.
const ISSUES_MAX: usize = 100;

impl Checker<'_> {
    fn wrong(&mut self, at: u32, text: impl Into<String>) -> Type {
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(Issue::new(at, text));
        }
        Type::Error
    }

    fn undeclared(&mut self, at: u32, name: &str) -> Type {
        self.wrong(at, format!("undeclared reference to '{name}' (in container '')"))
    }

    fn expr(&mut self, expr: &Expr) -> Type {
        let ty = match &expr.node {
            Node::Literal(literal) => of_literal(literal),
            Node::Ident(name) => self.ident(name, expr.at),
            Node::Select(select) => self.select(select, expr.at),
            Node::Call(call) => self.call(call, expr),
            Node::List(elements) => {
                let elements = elements.iter().map(|element| (&element.value, element.optional)).collect();
                Type::list(self.alike(elements))
            }
            Node::Map(entries) => {
                let keys = self.alike(entries.iter().map(|entry| (&entry.key, false)).collect());
                let keys = self.key(keys, expr.at);
                let values = self.alike(entries.iter().map(|entry| (&entry.value, entry.optional)).collect());
                Type::map(keys, values)
            }
            Node::Struct(made) => self.made(made, expr.at),
            Node::Fold(fold) => self.fold(fold),
        };
        self.types.insert(expr.id, ty.clone());
        ty
    }

    fn ident(&mut self, name: &str, at: u32) -> Type {
        if let Some((_, ty)) = self.locals.iter().rev().find(|(known, _)| **known == *name) {
            return ty.clone();
        }
        if let Some(ty) = self.env.variable(name) {
            return ty.clone();
        }
        match type_named(name) {
            Some(ty) => ty,
            None => self.undeclared(at, name),
        }
    }

    fn is_variable(&self, name: &str) -> bool {
        self.locals.iter().any(|(known, _)| **known == *name) || self.env.variable(name).is_some()
    }

    #[inline(never)]
    fn select(&mut self, select: &Select, at: u32) -> Type {
        if let Some(full) = select.operand.qualified().filter(|_| !select.test) {
            let root = full.split('.').next().unwrap_or_default();
            let full = format!("{full}.{}", select.field);
            // A variable's name may have a dot in it.
            if !self.locals.iter().any(|(known, _)| **known == *root)
                && let Some(ty) = self.env.variable(&full)
            {
                return ty.clone();
            }
            if !self.is_variable(root)
                && let Some(ty) = type_named(&full)
            {
                return ty;
            }
        }
        let operand = self.expr(&select.operand);
        let found = self.field(&operand, &select.field, at);
        if select.test { Type::Bool } else { found }
    }

    /// The type of a field of a value; of an optional, optional.
    fn field(&mut self, operand: &Type, name: &str, at: u32) -> Type {
        match self.unify.resolved(operand) {
            Type::Error => Type::Error,
            Type::Dyn => Type::Dyn,
            unknown @ Type::Var(_) => {
                self.unify.assign(&unknown, &Type::Dyn);
                Type::Dyn
            }
            Type::Optional(inner) => {
                let found = self.field(&inner, name, at);
                Type::optional(found)
            }
            Type::Map(_, values) => (*values).clone(),
            Type::Object(object) => match object.type_of(name) {
                Some(ty) => ty,
                None => self.wrong(at, format!("undefined field '{name}'")),
            },
            other => {
                let shown = self.unify.known(&other);
                self.wrong(at, format!("type '{shown}' does not support field selection"))
            }
        }
    }

    /// The one type that all parts of a list, or all keys or values of a map, have.
    fn alike(&mut self, parts: Vec<(&Expr, bool)>) -> Type {
        let mut common: Option<Type> = None;
        for (part, optional) in parts {
            let mut ty = self.expr(part);
            if optional {
                ty = match self.unify.resolved(&ty) {
                    Type::Optional(inner) => (*inner).clone(),
                    Type::Dyn | Type::Error => Type::Dyn,
                    other => {
                        let (wanted, found) = (Type::optional(other.clone()), self.unify.known(&other));
                        let wanted = self.unify.known(&wanted);
                        self.wrong(part.at, format!("expected type '{wanted}' but found '{found}'"))
                    }
                };
            }
            common = Some(match common {
                None => ty,
                Some(before) if self.unify.assign(&before, &ty) => {
                    if self.unify.resolved(&ty).is_dyn() {
                        ty
                    } else {
                        before
                    }
                }
                Some(before) => {
                    let (wanted, found) = (self.unify.known(&before), self.unify.known(&ty));
                    self.wrong(part.at, format!("expected type '{wanted}' but found '{found}'"));
                    before
                }
            });
        }
        common.unwrap_or_else(|| self.unify.fresh())
    }

    fn key(&mut self, keys: Type, at: u32) -> Type {
        match self.unify.resolved(&keys) {
            Type::List(_) | Type::Map(..) | Type::Object(_) | Type::Optional(_) | Type::TypeOf(_) | Type::Opaque(_) => {
                let shown = self.unify.known(&keys);
                self.wrong(at, format!("unsupported map key type: {shown}"))
            }
            _ => keys,
        }
    }

    #[inline(never)]
    fn made(&mut self, made: &Struct, at: u32) -> Type {
        let known = self.env.messages.iter().find(|(name, _)| *name == made.name).map(|(_, ty)| ty.clone());
        let open = self.env.open_messages.is_some_and(|root| {
            let rest = made.name.strip_prefix(root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let ty = match known {
            Some(ty) => ty,
            None if open => Type::Object(Arc::new(crate::types::Object::open(made.name.clone()))),
            None => self.undeclared(at, &made.name),
        };
        for field in &made.fields {
            let mut found = self.expr(&field.value);
            if field.optional
                && let Type::Optional(inner) = self.unify.resolved(&found)
            {
                found = (*inner).clone();
            }
            let wanted = self.field(&ty, &field.name, field.at);
            if !self.unify.assign(&wanted, &found) {
                let (wanted, found) = (self.unify.known(&wanted), self.unify.known(&found));
                let name = &field.name;
                self.wrong(
                    field.at,
                    format!("expected type of field '{name}' is '{wanted}' but provided type is '{found}'"),
                );
            }
        }
        ty
    }

    #[inline(never)]
    fn fold(&mut self, fold: &Fold) -> Type {
        let range = self.expr(&fold.range);
        let init = self.expr(&fold.init);
        let (first, second) = self.items(&range, fold.second.is_some(), fold.range.at);
        let depth = self.locals.len();
        self.locals.push((fold.accu.clone(), init.clone()));
        self.locals.push((fold.first.clone(), first));
        if let Some(name) = &fold.second {
            self.locals.push((name.clone(), second));
        }
        let condition = self.expr(&fold.condition);
        self.expect(&Type::Bool, &condition, fold.condition.at);
        let step = self.expr(&fold.step);
        self.expect(&init, &step, fold.step.at);
        self.locals.truncate(depth + 1);
        let result = self.expr(&fold.result);
        self.locals.truncate(depth);
        result
    }

    /// What the names of a walk stand for.
    fn items(&mut self, range: &Type, two: bool, at: u32) -> (Type, Type) {
        match self.unify.resolved(range) {
            Type::List(item) if two => (Type::Int, (*item).clone()),
            Type::List(item) => ((*item).clone(), Type::Dyn),
            Type::Map(keys, values) => ((*keys).clone(), (*values).clone()),
            Type::Dyn => (Type::Dyn, Type::Dyn),
            Type::Error => (Type::Error, Type::Error),
            unknown @ Type::Var(_) => {
                self.unify.assign(&unknown, &Type::Dyn);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let shown = self.unify.known(&other);
                let why = "cannot be range of a comprehension (must be list, map, or dynamic)";
                self.wrong(at, format!("expression of type '{shown}' {why}"));
                (Type::Error, Type::Error)
            }
        }
    }

    fn expect(&mut self, wanted: &Type, found: &Type, at: u32) {
        if !self.unify.assign(wanted, found) {
            let (wanted, found) = (self.unify.known(wanted), self.unify.known(found));
            self.wrong(at, format!("expected type '{wanted}' but found '{found}'"));
        }
    }
}

fn of_literal(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

fn type_named(name: &str) -> Option<Type> {
    let known = TYPES.iter().find(|known| **known == name)?;
    Some(Type::TypeOf(Arc::new(match *known {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        "type" | "optional_type" => Type::Dyn,
        other => Type::Opaque(other),
    })))
}
