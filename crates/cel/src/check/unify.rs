//! Types that are not known yet, and what they turn out to be.

use std::sync::Arc;

use crate::types::Type;

/// What each type variable stands for, so far.
#[derive(Debug, Default)]
pub struct Unify {
    bound: Vec<Option<Type>>,
    /// Variables in the order in which they were bound, to take it back.
    trail: Vec<u32>,
}

/// Types within types that are looked at; deeper ones are taken as dyn.
const DEPTH_MAX: usize = 100;

impl Unify {
    pub fn fresh(&mut self) -> Type {
        let number = u32::try_from(self.bound.len()).unwrap_or(u32::MAX);
        self.bound.push(None);
        Type::Var(number)
    }

    /// A mark to come back to.
    pub fn mark(&self) -> usize {
        self.trail.len()
    }

    /// Forgets what was bound since the mark.
    pub fn undo(&mut self, mark: usize) {
        for number in self.trail.drain(mark..) {
            if let Some(bound) = self.bound.get_mut(number as usize) {
                *bound = None;
            }
        }
    }

    /// A form of a function with variables of its own in place of its first so many.
    pub fn renamed(ty: &Type, base: &[Type]) -> Type {
        match ty {
            Type::Var(number) => base.get(*number as usize).cloned().unwrap_or(Type::Dyn),
            Type::List(of) => Type::list(Self::renamed(of, base)),
            Type::Optional(of) => Type::optional(Self::renamed(of, base)),
            Type::TypeOf(of) => Type::TypeOf(Arc::new(Self::renamed(of, base))),
            Type::Map(keys, values) => Type::map(Self::renamed(keys, base), Self::renamed(values, base)),
            other => other.clone(),
        }
    }

    /// What a type is from outside, as far as it is known.
    pub fn resolved(&self, ty: &Type) -> Type {
        let mut found = ty;
        while let Type::Var(number) = found {
            match self.bound.get(*number as usize) {
                Some(Some(next)) => found = next,
                _ => break,
            }
        }
        found.clone()
    }

    /// What a type is; what is not known is dyn.
    pub fn known(&self, ty: &Type) -> Type {
        self.within(ty, 0)
    }

    fn within(&self, ty: &Type, depth: usize) -> Type {
        if depth > DEPTH_MAX {
            return Type::Dyn;
        }
        let next = depth + 1;
        match self.resolved(ty) {
            Type::Var(_) => Type::Dyn,
            Type::List(of) => Type::list(self.within(&of, next)),
            Type::Optional(of) => Type::optional(self.within(&of, next)),
            Type::TypeOf(of) => Type::TypeOf(Arc::new(self.within(&of, next))),
            Type::Map(keys, values) => Type::map(self.within(&keys, next), self.within(&values, next)),
            other => other,
        }
    }

    /// Whether a value of the type `found` may stand where `wanted` is; says what variables are by the way.
    pub fn assign(&mut self, wanted: &Type, found: &Type) -> bool {
        let mark = self.mark();
        let fits = self.fits(wanted, found, 0);
        if !fits {
            self.undo(mark);
        }
        fits
    }

    fn fits(&mut self, wanted: &Type, found: &Type, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return true;
        }
        let next = depth + 1;
        match (self.resolved(wanted), self.resolved(found)) {
            (Type::Var(a), Type::Var(b)) if a == b => true,
            (Type::Var(number), other) | (other, Type::Var(number)) => self.bind(number, &other),
            (Type::Dyn | Type::Error, _) | (_, Type::Dyn | Type::Error) | (Type::TypeOf(_), Type::TypeOf(_)) => true,
            // What has no value may stand for these, and they for it.
            (Type::Null, Type::Object(_) | Type::Duration | Type::Timestamp)
            | (Type::Object(_) | Type::Duration | Type::Timestamp, Type::Null) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.fits(&a, &b, next),
            (Type::Map(a, c), Type::Map(b, d)) => self.fits(&a, &b, next) && self.fits(&c, &d, next),
            (a, b) => a == b,
        }
    }

    fn bind(&mut self, number: u32, to: &Type) -> bool {
        // A type within itself has no end.
        if self.holds(to, number, 0) {
            return false;
        }
        match self.bound.get_mut(number as usize) {
            Some(bound) => {
                *bound = Some(to.clone());
                self.trail.push(number);
                true
            }
            None => false,
        }
    }

    fn holds(&self, ty: &Type, number: u32, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return true;
        }
        let next = depth + 1;
        match self.resolved(ty) {
            Type::Var(found) => found == number,
            Type::List(of) | Type::Optional(of) | Type::TypeOf(of) => self.holds(&of, number, next),
            Type::Map(keys, values) => self.holds(&keys, number, next) || self.holds(&values, number, next),
            _ => false,
        }
    }
}
