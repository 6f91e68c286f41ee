//! Texts and bytes in quotes.

use crate::ast::Literal;

/// Why a quoted text is none; empty where it does not end or an escape is none.
type Wrong = String;

/// The text with which `rest` begins, and its length; none where it begins with no quote.
pub fn quoted(rest: &str) -> Option<Result<(Literal, usize), Wrong>> {
    let body = rest.trim_start_matches(['r', 'R', 'b', 'B']);
    let prefix = rest.len() - body.len();
    let raws = rest[..prefix].matches(['r', 'R']).count();
    if prefix > 2 || raws > 1 || prefix - raws > 1 {
        return None;
    }
    let (raw, bytes) = (raws == 1, prefix > raws);
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| body.starts_with(quote))?;
    Some(scan(body, quote, raw, bytes).map(|(literal, length)| (literal, prefix + length)).map_err(|why| {
        if why.is_empty() { format!("Syntax error: token recognition error at: '{rest}'") } else { why }
    }))
}

fn scan(body: &str, quote: &str, raw: bool, bytes: bool) -> Result<(Literal, usize), Wrong> {
    let mut made: Vec<u8> = Vec::new();
    let mut at = quote.len();
    loop {
        let rest = &body[at..];
        if rest.starts_with(quote) {
            at += quote.len();
            break;
        }
        let Some(letter) = rest.chars().next() else { return Err(String::new()) };
        if quote.len() == 1 && matches!(letter, '\n' | '\r') {
            return Err(String::new());
        }
        if letter == '\\' && !raw {
            at += 1 + escape(&rest[1..], bytes, &mut made).ok_or_else(String::new)?;
            continue;
        }
        at += letter.len_utf8();
        // A raw text keeps the backslash and what follows it, the quote too.
        if letter == '\\'
            && let Some(next) = body[at..].chars().next()
        {
            made.push(b'\\');
            made.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
            at += next.len_utf8();
            continue;
        }
        made.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
    if bytes {
        return Ok((Literal::Bytes(made.into()), at));
    }
    let text = String::from_utf8(made).map_err(|_| "invalid unicode code point".to_owned())?;
    Ok((Literal::String(text.into()), at))
}

/// What an escape stands for; its length without the backslash.
fn escape(rest: &str, bytes: bool, made: &mut Vec<u8>) -> Option<usize> {
    let first = rest.chars().next()?;
    let plain = match first {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '\'' | '"' | '`' | '?' => u8::try_from(first).ok()?,
        'x' | 'X' => return code(rest, 1, 2, 16, bytes, made),
        'u' if !bytes => return code(rest, 1, 4, 16, false, made),
        'U' if !bytes => return code(rest, 1, 8, 16, false, made),
        '0'..='3' => return code(rest, 0, 3, 8, bytes, made),
        _ => return None,
    };
    made.push(plain);
    Some(1)
}

fn code(rest: &str, from: usize, digits: usize, radix: u32, bytes: bool, made: &mut Vec<u8>) -> Option<usize> {
    let text = rest.get(from..from + digits)?;
    if !text.bytes().all(|byte| char::from(byte).is_digit(radix)) {
        return None;
    }
    let value = u32::from_str_radix(text, radix).ok()?;
    if bytes {
        made.push(u8::try_from(value).ok()?);
    } else {
        made.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(from + digits)
}
