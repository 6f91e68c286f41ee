//! The words of a CEL expression.

/// A word, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub at: usize,
    pub word: Word,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    Name(String),
    /// A number, a text or a text of bytes.
    Literal,
    Sign(&'static str),
    End,
}

/// Longer signs before those they begin with.
const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}", ".", ",",
    "?", ":",
];
/// Words that are no names.
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

pub fn is_identifier(text: &str) -> bool {
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    begins && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !RESERVED.contains(&text)
}

/// The words of a text, the last one its end; or where something stands that is none, and why.
pub fn split(text: &str) -> Result<Vec<Token>, (usize, String)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else { break };
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (word, length) = one(rest).ok_or_else(|| (at, format!("token recognition error at: '{first}'")))?;
        tokens.push(Token { at, word });
        at += length;
    }
    tokens.push(Token { at: text.len(), word: Word::End });
    Ok(tokens)
}

fn one(rest: &str) -> Option<(Word, usize)> {
    if let Some(length) = quoted(rest) {
        return Some((Word::Literal, length));
    }
    if rest.starts_with(|letter: char| letter.is_ascii_digit())
        || rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    {
        return number(rest).map(|length| (Word::Literal, length));
    }
    if rest.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        return Some((Word::Name(rest[..end].to_owned()), end));
    }
    if let Some(escaped) = rest.strip_prefix('`') {
        let end = escaped.find('`')?;
        return Some((Word::Name(escaped[..end].to_owned()), end + 2));
    }
    SIGNS.iter().find(|sign| rest.starts_with(**sign)).map(|sign| (Word::Sign(sign), sign.len()))
}

fn number(rest: &str) -> Option<usize> {
    let digits = |from: usize, hex: bool| {
        rest[from..]
            .bytes()
            .take_while(|byte| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() })
            .count()
    };
    let suffix = |end: usize| end + usize::from(rest[end..].starts_with(['u', 'U']));
    if rest.starts_with("0x") {
        let count = digits(2, true);
        return (count > 0).then(|| suffix(2 + count));
    }
    let mut end = digits(0, false);
    let mut float = false;
    if rest[end..].starts_with('.') && digits(end + 1, false) > 0 {
        end += 1 + digits(end + 1, false);
        float = true;
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        let count = digits(end + 1 + sign, false);
        if count > 0 {
            end += 1 + sign + count;
            float = true;
        }
    }
    Some(if float { end } else { suffix(end) })
}

/// How long the quoted text is with which `rest` begins.
fn quoted(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches(['r', 'R', 'b', 'B']);
    let prefix = rest.len() - body.len();
    if prefix > 2 {
        return None;
    }
    let raw = rest[..prefix].contains(['r', 'R']);
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| body.starts_with(quote))?;
    let mut at = quote.len();
    while at < body.len() {
        if body[at..].starts_with(quote) {
            return Some(prefix + at + quote.len());
        }
        let letter = body[at..].chars().next()?;
        if quote.len() == 1 && matches!(letter, '\n' | '\r') {
            return None;
        }
        at += letter.len_utf8();
        if letter == '\\' && !raw {
            at += body[at..].chars().next()?.len_utf8();
        }
    }
    None
}
