//! Names, literals, brackets, and what follows them: fields, calls and indices.

use std::sync::Arc;

use super::token::Word;
use super::{Outcome, Parser, is_identifier, is_reserved};
use crate::ast::{Element, Entry, Expr, Field, Literal, Node};
use crate::issue::Issue;

impl Parser<'_> {
    pub(super) fn member(&mut self) -> Outcome {
        let mut expr = self.primary()?;
        loop {
            let at = self.at();
            if self.sign(".") {
                expr = self.dot(expr, at)?;
            } else if self.sign("[") {
                let optional = self.sign("?");
                let index = self.expression()?;
                self.expect("]")?;
                expr = self.build.call(at, if optional { "_[?_]" } else { "_[_]" }, vec![expr, index])?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn dot(&mut self, target: Expr, at: u32) -> Outcome {
        let optional = self.sign("?");
        let Some(name) = self.field_name() else {
            let found = if *self.word() == Word::End { "" } else { self.shown() };
            let sign = if optional { ".?" } else { "." };
            return Err(self.here(format!("Syntax error: no viable alternative at input '{sign}{found}'")));
        };
        if optional {
            let field = self.build.make(at, Node::Literal(Literal::String(name)))?;
            return self.build.call(at, "_?._", vec![target, field]);
        }
        let open = self.at();
        if self.is_sign("(") && self.tokens[self.next - 1].word != Word::Escaped {
            self.step();
            let args = self.arguments()?;
            return self.build.method(self.features, open, &name, target, args);
        }
        self.build.select(at, target, name, false)
    }

    /// The name of a field, between backticks or not. Words that may not name variables may name fields.
    fn field_name(&mut self) -> Option<Arc<str>> {
        let shown = self.shown();
        let name = match self.word() {
            Word::Name if shown != "in" && !matches!(shown, "true" | "false" | "null") => shown,
            Word::Escaped => shown.trim_matches('`'),
            _ => return None,
        };
        self.step();
        Some(name.into())
    }

    fn primary(&mut self) -> Outcome {
        let at = self.at();
        let literal = |build: &mut super::Build, literal| build.make(at, Node::Literal(literal));
        match self.word().clone() {
            Word::Literal(found) => {
                self.step();
                literal(&mut self.build, found)
            }
            Word::TooBig => Err(self.here("invalid int literal".to_owned())),
            Word::Sign("-") => {
                self.step();
                let found = match self.word() {
                    Word::TooBig => Literal::Int(i64::MIN),
                    Word::Literal(Literal::Int(value)) => Literal::Int(-value),
                    Word::Literal(Literal::Double(value)) => Literal::Double(-value),
                    _ => return Err(self.no_start(&[])),
                };
                self.step();
                literal(&mut self.build, found)
            }
            Word::Name => {
                let name = self.shown();
                let constant = match name {
                    "true" => Some(Literal::Bool(true)),
                    "false" => Some(Literal::Bool(false)),
                    "null" => Some(Literal::Null),
                    "in" => return Err(self.no_start(&[])),
                    _ => None,
                };
                self.step();
                match constant {
                    Some(constant) => literal(&mut self.build, constant),
                    None => self.named(name.to_owned(), at),
                }
            }
            Word::Sign(".") => {
                self.step();
                let name = self.shown().to_owned();
                if *self.word() != Word::Name {
                    let found = if *self.word() == Word::End { "" } else { self.shown() };
                    return Err(self.here(format!("Syntax error: no viable alternative at input '.{found}'")));
                }
                self.step();
                self.named(name, at)
            }
            Word::Sign("(") => {
                self.step();
                let expr = self.expression()?;
                self.expect(")")?;
                Ok(expr)
            }
            Word::Sign("[") => {
                self.step();
                self.list(at)
            }
            Word::Sign("{") => {
                self.step();
                self.map(at)
            }
            Word::Escaped | Word::Sign(_) | Word::End => Err(self.no_start(&[])),
        }
    }

    /// A name, a call, or a message that is made: `a.b.C{...}`.
    fn named(&mut self, name: String, at: u32) -> Outcome {
        let open = self.at();
        if self.sign("(") {
            let args = self.arguments()?;
            return self.build.function(self.features, open, &name, args);
        }
        if let Some(length) = self.made_type() {
            let mut full = name;
            for _ in 0..length {
                self.step();
                full = format!("{full}.{}", self.shown());
                self.step();
            }
            let open = self.at();
            self.step();
            return self.message(full, open);
        }
        if is_reserved(&name) {
            return Err(Issue::new(at, format!("reserved identifier: {name}")));
        }
        debug_assert!(is_identifier(&name), "the words of a text were told apart");
        self.build.make(at, Node::Ident(name.into()))
    }

    /// Whether `.b.C{` follows: how many names before the brace.
    fn made_type(&self) -> Option<usize> {
        let word = |at: usize| self.tokens.get(at).map(|token| &token.word);
        let mut length = 0;
        let mut at = self.next;
        loop {
            match (word(at), word(at + 1)) {
                (Some(Word::Sign("{")), _) => return Some(length),
                (Some(Word::Sign(".")), Some(Word::Name)) => at += 2,
                _ => return None,
            }
            length += 1;
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, Issue> {
        let mut args = Vec::new();
        if self.sign(")") {
            return Ok(args);
        }
        if *self.word() == Word::End {
            return Err(self.no_start(&[("')'", "'.'")]));
        }
        loop {
            args.push(self.expression()?);
            if !self.sign(",") {
                self.expect(")")?;
                return Ok(args);
            }
        }
    }

    /// Elements of a list up to its end; a comma may follow the last.
    fn list(&mut self, at: u32) -> Outcome {
        let mut elements = Vec::new();
        while !self.sign("]") {
            if *self.word() == Word::End {
                return Err(self.no_start(&[("']'", "'{'"), ("','", "'-'"), ("'?'", "'true'")]));
            }
            let optional = self.sign("?");
            elements.push(Element { value: self.expression()?, optional });
            if !self.sign(",") {
                self.expect("]")?;
                break;
            }
        }
        self.build.make(at, Node::List(elements))
    }

    fn map(&mut self, at: u32) -> Outcome {
        let mut entries = Vec::new();
        while !self.sign("}") {
            if *self.word() == Word::End {
                return Err(self.no_start(&[("'}'", "'('"), ("','", "'-'"), ("'?'", "'true'")]));
            }
            let optional = self.sign("?");
            let key = self.expression()?;
            self.expect(":")?;
            entries.push(Entry { key, value: self.expression()?, optional });
            if !self.sign(",") {
                self.expect("}")?;
                break;
            }
        }
        self.build.make(at, Node::Map(entries))
    }

    fn message(&mut self, name: String, at: u32) -> Outcome {
        let mut fields = Vec::new();
        while !self.sign("}") {
            let optional = self.sign("?");
            let place = self.at();
            let Some(field) = self.field_name() else {
                return Err(self.here(format!("Syntax error: mismatched input '{}' expecting '}}'", self.shown())));
            };
            self.expect(":")?;
            fields.push(Field { name: field, value: self.expression()?, optional, at: place });
            if !self.sign(",") {
                self.expect("}")?;
                break;
            }
        }
        self.build.message(at, name, fields)
    }
}
