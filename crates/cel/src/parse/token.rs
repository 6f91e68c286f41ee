//! The words of an expression.

use crate::ast::Literal;
use crate::issue::Issue;

use super::text;

/// A word, and where it stands.
#[derive(Debug, Clone)]
pub struct Token {
    pub at: u32,
    pub end: u32,
    pub word: Word,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    Name,
    /// A name between backticks, for fields only.
    Escaped,
    Literal(Literal),
    /// A whole number that only fits with a minus before it.
    TooBig,
    Sign(&'static str),
    End,
}

/// Longer signs before those that they begin with.
const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}", ".", ",",
    "?", ":",
];
/// Words that are no names of variables.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Whether a word may not be a variable's name.
pub fn is_reserved(text: &str) -> bool {
    RESERVED.contains(&text)
}

/// A word that CEL takes for a variable's name.
pub fn is_identifier(text: &str) -> bool {
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    begins && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !is_reserved(text)
}

/// The words of a text, the last one its end, and what in it belongs to no word.
pub fn split(source: &str) -> (Vec<Token>, Vec<Issue>) {
    let mut tokens = Vec::new();
    let mut issues = Vec::new();
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        let Some(first) = rest.chars().next() else { break };
        if matches!(first, ' ' | '\t' | '\n' | '\r' | '\u{c}') {
            at += 1;
            continue;
        }
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        match one(rest) {
            Ok((word, length)) => {
                tokens.push(Token { at: position(at), end: position(at + length), word });
                at += length;
            }
            Err(wrong) => {
                issues.push(Issue::new(position(at), wrong.text));
                at += wrong.length;
            }
        }
    }
    let end = position(source.len());
    tokens.push(Token { at: end, end, word: Word::End });
    (tokens, issues)
}

/// Why no word begins here, and how much is passed over.
struct Wrong {
    text: String,
    length: usize,
}

/// Texts are much shorter than this could not hold (`SOURCE_MAX`).
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn unknown(rest: &str) -> Wrong {
    // What stands after half a sign is shown with it.
    let shown: String = rest.chars().take(if rest.starts_with(['=', '&', '|']) { 2 } else { 1 }).collect();
    Wrong { text: format!("Syntax error: token recognition error at: '{shown}'"), length: shown.len() }
}

fn one(rest: &str) -> Result<(Word, usize), Wrong> {
    if let Some(found) = text::quoted(rest) {
        let (literal, length) = found.map_err(|text| Wrong { text, length: rest.len() })?;
        return Ok((Word::Literal(literal), length));
    }
    let digit = |text: &str| text.starts_with(|letter: char| letter.is_ascii_digit());
    if digit(rest) || rest.strip_prefix('.').is_some_and(digit) {
        return number(rest);
    }
    if rest.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        return Ok((Word::Name, end));
    }
    if let Some(escaped) = rest.strip_prefix('`') {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-' | '/' | ' ');
        let end = escaped.find(|letter| !allowed(letter)).unwrap_or(escaped.len());
        return if end > 0 && escaped[end..].starts_with('`') {
            Ok((Word::Escaped, end + 2))
        } else {
            Err(unknown(rest))
        };
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(sign) => Ok((Word::Sign(sign), sign.len())),
        None => Err(unknown(rest)),
    }
}

fn number(rest: &str) -> Result<(Word, usize), Wrong> {
    let invalid = |what: &str, length: usize| Wrong { text: format!("invalid {what} literal"), length };
    let count = |from: usize, hex: bool| {
        let digit = |byte: &u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
        rest.bytes().skip(from).take_while(digit).count()
    };
    let hex = rest.starts_with("0x") && count(2, true) > 0;
    let from = if hex { 2 } else { 0 };
    let mut end = from + count(from, hex);
    let mut float = false;
    if !hex {
        if rest[end..].starts_with('.') && count(end + 1, false) > 0 {
            end += 1 + count(end + 1, false);
            float = true;
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let digits = count(end + 1 + sign, false);
            if digits > 0 {
                end += 1 + sign + digits;
                float = true;
            }
        }
    }
    let text = &rest[..end];
    if float {
        let value: f64 = text.parse().unwrap_or(f64::INFINITY);
        if value.is_infinite() {
            return Err(invalid("double", end));
        }
        return Ok((Word::Literal(Literal::Double(value)), end));
    }
    let value = u64::from_str_radix(&text[from..], if hex { 16 } else { 10 }).ok();
    if rest[end..].starts_with(['u', 'U']) {
        let value = value.ok_or_else(|| invalid("uint", end + 1))?;
        return Ok((Word::Literal(Literal::Uint(value)), end + 1));
    }
    match value {
        Some(value) if value <= i64::MAX as u64 => Ok((Word::Literal(Literal::Int(value as i64)), end)),
        Some(value) if value == i64::MIN.unsigned_abs() => Ok((Word::TooBig, end)),
        _ => Err(invalid("int", end)),
    }
}
