//! The grammar of CEL: a descent that makes nothing but what is asked of it, the kind and the free names.

use super::tokens::{Token, Word, is_identifier, split};

/// Expressions within expressions; more would be a threat to the stack.
const DEPTH_MAX: usize = 100;
/// Calls that bind their first argument, a name, in those that follow.
const BINDING: &[&str] = &[
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "map",
    "filter",
    "bind",
    "optMap",
    "optFlatMap",
    "sortBy",
    "transformList",
    "transformMap",
    "transformMapEntry",
];

/// What an expression makes, as far as its form tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    /// A number, a text, a list or a map.
    Other,
    Unknown,
}

/// An expression that follows the grammar.
#[derive(Debug)]
pub struct Parsed {
    pub kind: Kind,
    /// Names that the expression takes from outside, and where.
    pub free: Vec<(String, usize)>,
    /// Names from outside with the fields that are taken of them, each with the place of its dot.
    pub chains: Vec<Chain>,
}

pub type Chain = (String, Vec<(String, usize)>);

/// Where a text stops to be an expression, and why.
#[derive(Debug)]
pub struct Wrong {
    pub at: usize,
    pub why: String,
}

impl Wrong {
    /// As clients read it: the line, and what is wrong where in it.
    pub fn message(&self, text: &str) -> String {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        let shown = text.split('\n').nth(line).unwrap_or_default();
        let why = &self.why;
        let dots = ".".repeat(column);
        format!("compilation failed: ERROR: <input>:{}:{}: {why}\n | {shown}\n | {dots}^", line + 1, column + 1)
    }
}

/// Reads an expression.
pub fn parse(text: &str) -> Result<Parsed, Wrong> {
    let tokens = split(text).map_err(|(at, why)| Wrong { at, why: format!("Syntax error: {why}") })?;
    let mut parser = Parser { tokens, next: 0, depth: 0, free: Vec::new(), bound: Vec::new(), chains: Vec::new() };
    let kind = parser.expression()?;
    if parser.peek() != &Word::End {
        return Err(parser.unexpected());
    }
    Ok(Parsed { kind, free: parser.free, chains: parser.chains })
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    free: Vec<(String, usize)>,
    bound: Vec<String>,
    chains: Vec<Chain>,
}

type Outcome = Result<Kind, Wrong>;

impl Parser {
    fn peek(&self) -> &Word {
        &self.tokens[self.next].word
    }

    /// Goes on, never beyond the end.
    fn step(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    fn unexpected(&self) -> Wrong {
        let found = match self.peek() {
            Word::End => "<EOF>".to_owned(),
            Word::Name(name) => name.clone(),
            Word::Sign(sign) => (*sign).to_owned(),
            Word::Literal => "literal".to_owned(),
        };
        Wrong { at: self.tokens[self.next].at, why: format!("Syntax error: mismatched input '{found}'") }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Word::Sign(found) if *found == sign);
        if found {
            self.step();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Wrong> {
        if self.sign(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn name(&mut self) -> Result<String, Wrong> {
        match self.peek() {
            Word::Name(name) => {
                let name = name.clone();
                self.step();
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn expression(&mut self) -> Outcome {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let at = self.tokens[self.next].at;
            return Err(Wrong { at, why: format!("expression recursion limit exceeded: {DEPTH_MAX}") });
        }
        let mut kind = self.level(0)?;
        if self.sign("?") {
            self.level(0)?;
            self.expect(":")?;
            self.expression()?;
            kind = Kind::Unknown;
        }
        self.depth -= 1;
        Ok(kind)
    }

    /// Operators from the weakest to the strongest, and what each makes.
    fn level(&mut self, level: usize) -> Outcome {
        const LEVELS: [(&[&str], Kind); 5] = [
            (&["||"], Kind::Bool),
            (&["&&"], Kind::Bool),
            (&["<", "<=", ">=", ">", "==", "!="], Kind::Bool),
            (&["+", "-"], Kind::Other),
            (&["*", "/", "%"], Kind::Other),
        ];
        let Some((signs, made)) = LEVELS.get(level) else { return self.unary() };
        let mut kind = self.level(level + 1)?;
        loop {
            let is_in = level == 2 && matches!(self.peek(), Word::Name(name) if name == "in");
            if is_in {
                self.step();
            } else if !signs.iter().any(|sign| self.sign(sign)) {
                return Ok(kind);
            }
            self.level(level + 1)?;
            kind = *made;
        }
    }

    fn unary(&mut self) -> Outcome {
        let mut kind = None;
        while self.sign("!") {
            kind = Some(Kind::Bool);
        }
        while kind.is_none_or(|kind| kind == Kind::Other) && self.sign("-") {
            kind = Some(Kind::Other);
        }
        let member = self.member()?;
        Ok(kind.unwrap_or(member))
    }

    fn member(&mut self) -> Outcome {
        let known = self.free.len();
        let mut kind = self.primary()?;
        // A plain name from outside, whose fields can be followed.
        let plain = kind == Kind::Unknown && self.free.len() == known + 1;
        let mut chain: Option<Chain> =
            if plain { self.free.last().map(|(name, _)| (name.clone(), Vec::new())) } else { None };
        loop {
            let at = self.tokens[self.next].at;
            if self.sign(".") {
                let optional = self.sign("?");
                let name = self.name()?;
                let call = self.sign("(");
                match &mut chain {
                    Some((_, steps)) if !call && !optional => steps.push((name.clone(), at)),
                    _ => self.chains.extend(chain.take()),
                }
                if call {
                    self.arguments(&name)?;
                }
                kind = Kind::Unknown;
                continue;
            }
            self.chains.extend(chain.take());
            if self.sign("[") {
                self.sign("?");
                self.expression()?;
                self.expect("]")?;
            } else if kind == Kind::Unknown && matches!(self.peek(), Word::Sign("{")) {
                self.step();
                self.entries("}", true)?;
            } else {
                return Ok(kind);
            }
            kind = Kind::Unknown;
        }
    }

    fn primary(&mut self) -> Outcome {
        let at = self.tokens[self.next].at;
        match self.peek().clone() {
            Word::Literal => {
                self.step();
                Ok(Kind::Other)
            }
            Word::Name(name) => {
                self.step();
                self.named(name, at)
            }
            Word::Sign("(") => {
                self.step();
                let kind = self.expression()?;
                self.expect(")")?;
                Ok(kind)
            }
            Word::Sign("[") => {
                self.step();
                self.entries("]", false)?;
                Ok(Kind::Other)
            }
            Word::Sign("{") => {
                self.step();
                self.entries("}", true)?;
                Ok(Kind::Other)
            }
            Word::Sign(".") => {
                self.step();
                let name = self.name()?;
                self.named(name, at)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn named(&mut self, name: String, at: usize) -> Outcome {
        match name.as_str() {
            "true" | "false" => return Ok(Kind::Bool),
            "null" => return Ok(Kind::Other),
            _ if self.sign("(") => {
                self.arguments(&name)?;
                return Ok(if name == "has" { Kind::Bool } else { Kind::Unknown });
            }
            _ if !is_identifier(&name) => {
                return Err(Wrong { at, why: format!("Syntax error: mismatched input '{name}'") });
            }
            _ => {}
        }
        if !self.bound.contains(&name) {
            self.free.push((name, at));
        }
        Ok(Kind::Unknown)
    }

    /// Arguments of a call, up to its end. A macro's first name, or first two, stand for what the others are asked about.
    fn arguments(&mut self, function: &str) -> Result<(), Wrong> {
        let before = self.bound.len();
        if BINDING.contains(&function) {
            while let (Word::Name(name), Some(Word::Sign(","))) =
                (self.peek().clone(), self.tokens.get(self.next + 1).map(|token| &token.word))
            {
                self.bound.push(name);
                self.step();
                self.step();
            }
        }
        if !self.sign(")") {
            loop {
                self.expression()?;
                if !self.sign(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        self.bound.truncate(before);
        Ok(())
    }

    /// Elements of a list, or of a map or message with their keys; a comma may follow the last.
    fn entries(&mut self, end: &str, keyed: bool) -> Result<(), Wrong> {
        while !self.sign(end) {
            self.sign("?");
            if keyed {
                let field = matches!(self.peek(), Word::Name(_))
                    && matches!(self.tokens.get(self.next + 1).map(|token| &token.word), Some(Word::Sign(":")));
                if field {
                    self.step()
                } else {
                    self.expression().map(drop)?
                }
                self.expect(":")?;
            }
            self.expression()?;
            if !self.sign(",") {
                return self.expect(end);
            }
        }
        Ok(())
    }
}
