//! The grammar of CEL: from a text to a tree.
//!
//! Refusals are worded as upstream's parser words them where clients of Kubernetes see them. Nothing here recurses deeper than
//! [`DEPTH_MAX`], and no tree is deeper than [`TREE_DEPTH_MAX`], whatever the text is.

mod build;
mod macros;
mod member;
mod text;
mod token;

use crate::ast::{Expr, Literal};
use crate::issue::{Issue, Issues};

use build::Build;
use token::{Token, Word};

pub(crate) use macros::ACCU;
pub use token::{is_identifier, is_reserved};

/// The longest text that is looked at, in characters; upstream's.
const SOURCE_MAX: usize = 100_000;
/// Expressions within expressions; upstream's.
const DEPTH_MAX: u16 = 250;
/// Parts within parts of a tree, macros written out.
pub(crate) const TREE_DEPTH_MAX: u16 = 400;
/// Parts of a tree, macros written out.
const TREE_SIZE_MAX: u32 = 200_000;
/// What an expression may begin with.
const STARTS: &[&str] = &[
    "'['",
    "'{'",
    "'('",
    "'.'",
    "'-'",
    "'!'",
    "'true'",
    "'false'",
    "'null'",
    "NUM_FLOAT",
    "NUM_INT",
    "NUM_UINT",
    "STRING",
    "BYTES",
    "IDENTIFIER",
];
/// Operators from the weakest to the strongest, without `?:` and the unary ones.
const LEVELS: [&[&str]; 5] =
    [&["||"], &["&&"], &["<", "<=", ">=", ">", "==", "!=", "in"], &["+", "-"], &["*", "/", "%"]];

/// Which macros an expression may use beyond those that all may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// `cel.bind`, which selectors of devices have.
    pub bind: bool,
}

/// Reads an expression.
///
/// # Errors
/// Where the text does not follow the grammar, a macro is used in a wrong way, or it is too long or too deep.
pub fn parse(source: &str, features: Features) -> Result<Expr, Issues> {
    let fail = |all| Issues { source: source.to_owned(), all };
    let size = source.chars().count();
    if size > SOURCE_MAX {
        let why = format!("expression code point size exceeds limit: size: {size}, limit {SOURCE_MAX}");
        return Err(Issues { source: String::new(), all: vec![Issue::new(0, why)] });
    }
    let (tokens, mut issues) = token::split(source);
    let mut parser = Parser { source, tokens, next: 0, depth: 0, build: Build::default(), features };
    match parser.whole() {
        Ok(expr) if issues.is_empty() => Ok(expr),
        Ok(_) => Err(fail(issues)),
        Err(issue) => {
            issues.push(issue);
            Err(fail(issues))
        }
    }
}

struct Parser<'s> {
    source: &'s str,
    tokens: Vec<Token>,
    next: usize,
    depth: u16,
    build: Build,
    features: Features,
}

type Outcome = Result<Expr, Issue>;

impl<'s> Parser<'s> {
    fn whole(&mut self) -> Outcome {
        let expr = self.expression()?;
        if *self.word() == Word::End {
            return Ok(expr);
        }
        let last = matches!(self.tokens.get(self.next + 1), Some(token) if token.word == Word::End);
        let what = if last { "extraneous" } else { "mismatched" };
        Err(self.here(format!("Syntax error: {what} input '{}' expecting <EOF>", self.shown())))
    }

    fn word(&self) -> &Word {
        &self.tokens[self.next].word
    }

    fn at(&self) -> u32 {
        self.tokens[self.next].at
    }

    /// Goes on, never beyond the end.
    fn step(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    /// The next word as it is written.
    fn shown(&self) -> &'s str {
        let token = &self.tokens[self.next];
        match token.word {
            Word::End => "<EOF>",
            _ => self.source.get(token.at as usize..token.end as usize).unwrap_or_default(),
        }
    }

    fn here(&self, text: String) -> Issue {
        Issue::new(self.at(), text)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.word(), Word::Sign(found) if *found == sign)
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.step();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Issue> {
        if self.sign(sign) {
            return Ok(());
        }
        // What closes a bracket may be thought there at the end of the text.
        let text = match sign {
            ")" | "]" | "}" if *self.word() == Word::End => format!("missing '{sign}' at '<EOF>'"),
            _ => format!("mismatched input '{}' expecting '{sign}'", self.shown()),
        };
        Err(self.here(format!("Syntax error: {text}")))
    }

    /// A refusal of a word where an expression, or one of `others`, should begin.
    fn no_start(&self, others: &[(&'static str, &'static str)]) -> Issue {
        let mut expected = STARTS.to_vec();
        for (other, before) in others {
            let at = expected.iter().position(|start| start == before).unwrap_or(expected.len());
            expected.insert(at, other);
        }
        self.here(format!("Syntax error: mismatched input '{}' expecting {{{}}}", self.shown(), expected.join(", ")))
    }

    fn expression(&mut self) -> Outcome {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.here(format!("expression recursion limit exceeded: {DEPTH_MAX}")));
        }
        let mut expr = self.level(0)?;
        let at = self.at();
        if self.sign("?") {
            let yes = self.level(0)?;
            self.expect(":")?;
            let no = self.expression()?;
            expr = self.build.call(at, "_?_:_", vec![expr, yes, no])?;
        }
        self.depth -= 1;
        Ok(expr)
    }

    /// Binary operators of a level and stronger ones, from left to right.
    fn level(&mut self, level: usize) -> Outcome {
        let first = self.unary()?;
        self.climb(first, level)
    }

    fn climb(&mut self, mut left: Expr, level: usize) -> Outcome {
        while let Some((found, sign)) = self.operator().filter(|(found, _)| *found >= level) {
            if found < 2 {
                left = self.chain(left, found, sign)?;
                continue;
            }
            let at = self.at();
            self.step();
            let right = self.unary()?;
            let right = self.climb(right, found + 1)?;
            let name = if sign == "in" { "@in".to_owned() } else { format!("_{sign}_") };
            left = self.build.call(at, &name, vec![left, right])?;
        }
        Ok(left)
    }

    /// The operator that stands next, and how strong it is.
    fn operator(&self) -> Option<(usize, &'static str)> {
        let sign = match self.word() {
            Word::Sign(sign) => *sign,
            Word::Name if self.shown() == "in" => "in",
            _ => return None,
        };
        LEVELS.iter().position(|signs| signs.contains(&sign)).map(|level| (level, sign))
    }

    /// `a && b && c`: balanced, so that long conditions are not deep.
    fn chain(&mut self, first: Expr, level: usize, sign: &'static str) -> Outcome {
        let (mut terms, mut signs) = (vec![first], Vec::new());
        while self.is_sign(sign) {
            signs.push(self.at());
            self.step();
            let term = self.unary()?;
            terms.push(self.climb(term, level + 1)?);
        }
        self.build.balanced(&format!("_{sign}_"), terms, &signs)
    }

    fn unary(&mut self) -> Outcome {
        let at = self.at();
        let sign = if self.is_sign("!") { "!" } else { "-" };
        let mut count = 0_usize;
        while self.is_sign(sign) {
            // A minus right before a number is the number's.
            let number = self.tokens.get(self.next + 1).map(|token| &token.word);
            if sign == "-" && matches!(number, Some(Word::TooBig | Word::Literal(Literal::Int(_) | Literal::Double(_))))
            {
                break;
            }
            self.step();
            count += 1;
        }
        let member = self.member()?;
        // Two of a kind cancel each other out.
        match (count % 2, sign) {
            (0, _) => Ok(member),
            (_, "!") => self.build.call(at, "!_", vec![member]),
            _ => self.build.call(at, "-_", vec![member]),
        }
    }
}
