//! Special forms that are more than a field: durations and raw JSON.

/// Go's form of a duration: `1h0m30s`, `1.5s`, `100ms`, `0s`.
pub fn duration_text(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if size == 0 {
        return "0s".to_owned();
    }
    if size < 1_000_000_000 {
        let (unit, divisor) = match size {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(size, divisor));
    }
    let seconds = size / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let last = decimal(size % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{last}s"),
        (0, _) => format!("{sign}{minutes}m{last}s"),
        _ => format!("{sign}{hours}h{minutes}m{last}s"),
    }
}

/// size / divisor, with as many fraction digits as it takes. The divisor is a power of ten.
fn decimal(size: u64, divisor: u64) -> String {
    let (whole, rest) = (size / divisor, size % divisor);
    if rest == 0 {
        return whole.to_string();
    }
    let width = divisor.ilog10() as usize;
    format!("{whole}.{rest:0width$}").trim_end_matches('0').to_owned()
}

/// Reads Go's form of a duration; nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        total = total.checked_add(part(number, unit)?)?;
        rest = tail;
    }
    i64::try_from(if sign < 0.0 { -total } else { total }).ok()
}

fn part(number: &str, unit: &str) -> Option<i128> {
    let size: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = &fraction[..fraction.len().min(18)];
    let numerator: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let denominator = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_mul(size)?.checked_add(numerator * size / denominator)
}

/// Appends raw JSON without the space between its tokens; `null` where it is none.
pub fn write_raw(out: &mut Vec<u8>, raw: &[u8]) {
    if is_bare(raw) {
        out.extend_from_slice(raw);
        return;
    }
    if !is_shallow(raw) || serde_json::from_slice::<serde::de::IgnoredAny>(raw).is_err() {
        out.extend_from_slice(b"null");
        return;
    }
    copy(out, raw, true);
}

/// Whether raw JSON is objects of objects and nothing else, without space, in letters that are written as they are. Sets of
/// owned fields are, which every object has: they need not be read like any other JSON.
fn is_bare(raw: &[u8]) -> bool {
    let (mut at, mut depth) = (0, 0);
    loop {
        if raw.get(at) != Some(&b'{') || depth == DEPTH_MAX {
            return false;
        }
        (at, depth) = (at + 1, depth + 1);
        while raw.get(at) == Some(&b'}') {
            (at, depth) = (at + 1, depth - 1);
            match (depth, raw.get(at)) {
                (0, None) => return true,
                (1.., Some(b'}')) => {}
                (1.., Some(b',')) => {
                    at += 1;
                    break;
                }
                _ => return false,
            }
        }
        match bare_key(&raw[at..]) {
            Some(len) => at += len,
            None => return false,
        }
    }
}

/// The length of a key and its colon at the beginning, where its letters are written as they are.
fn bare_key(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    if bytes.first() != Some(&b'"') {
        return None;
    }
    loop {
        at += bytes[at..].iter().position(|byte| MAY_BE_ESCAPED[usize::from(*byte)] || !byte.is_ascii())?;
        match bytes[at..] {
            [b'"', b':', ..] => return Some(at + 2),
            [b'\\', b'"' | b'\\', ..] => at += 2,
            _ => return None,
        }
    }
}

/// How deep raw JSON may nest: what is read as a tree later has serde_json's limit of 128.
const DEPTH_MAX: usize = 100;

/// Whether valid JSON nests no deeper than is bearable.
pub fn is_shallow(raw: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in raw {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

/// Whether a letter that is never written as it is may begin with this byte.
pub static MAY_BE_ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte < 0x20 || matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        byte += 1;
    }
    table
};

/// How many bytes at the beginning are one letter that is never written as it is; none: it is.
pub fn escape_len(bytes: &[u8]) -> usize {
    match bytes {
        [0..=0x1f | b'"' | b'\\' | b'<' | b'>' | b'&', ..] => 1,
        // The separators of lines and paragraphs, which end a line of a script.
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
        _ => 0,
    }
}

/// Writes such a letter, as Go does.
pub fn escape(out: &mut Vec<u8>, letter: &[u8]) {
    match letter {
        [b'"'] => out.extend_from_slice(b"\\\""),
        [b'\\'] => out.extend_from_slice(b"\\\\"),
        [0x08] => out.extend_from_slice(b"\\b"),
        [0x0c] => out.extend_from_slice(b"\\f"),
        b"\n" => out.extend_from_slice(b"\\n"),
        b"\r" => out.extend_from_slice(b"\\r"),
        b"\t" => out.extend_from_slice(b"\\t"),
        [one] => out.extend_from_slice(format!("\\u{one:04x}").as_bytes()),
        [] => {}
        [.., 0xa8] => out.extend_from_slice(b"\\u2028"),
        _ => out.extend_from_slice(b"\\u2029"),
    }
}

/// Copies valid JSON without the space between its tokens.
pub fn compact(out: &mut Vec<u8>, raw: &[u8]) {
    copy(out, raw, false);
}

/// As [`compact`]; with `escapes`, letters in strings are written as [`escape`] does.
fn copy(out: &mut Vec<u8>, raw: &[u8], escapes: bool) {
    let mut in_string = false;
    let mut escaped = false;
    let mut begin = 0;
    for (at, byte) in raw.iter().enumerate() {
        // Quotes and backslashes are the string's own here, and control characters cannot be.
        if escapes && in_string && matches!(byte, b'<' | b'>' | b'&' | 0xe2) {
            let len = escape_len(&raw[at..]);
            if len > 0 {
                out.extend_from_slice(&raw[begin..at]);
                escape(out, &raw[at..at + len]);
                begin = at + len;
            }
        }
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
        } else if *byte == b'"' {
            in_string = true;
        } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            out.extend_from_slice(&raw[begin..at]);
            begin = at + 1;
        }
    }
    out.extend_from_slice(&raw[begin..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken for bare is written as it would be otherwise.
    #[track_caller]
    fn check(raw: &str, bare: bool) {
        assert_eq!(is_bare(raw.as_bytes()), bare, "{raw}");
        if bare {
            assert!(serde_json::from_str::<serde_json::Value>(raw).is_ok(), "{raw}");
            let mut out = Vec::new();
            copy(&mut out, raw.as_bytes(), true);
            assert_eq!(String::from_utf8_lossy(&out), raw);
        }
    }

    #[test]
    fn sets_of_fields_are_bare() {
        check("{}", true);
        check(r#"{"f:a":{},"f:b":{".":{},"k:{\"b\":1,\"c\":\"d\\\\\"}":{}}}"#, true);
    }

    #[test]
    fn all_else_is_read() {
        for raw in [
            "",
            "{",
            "}",
            "{}}",
            "{}{}",
            "{}x",
            "[]",
            "null",
            "{ }",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1}"#,
            r#"{"a":{},}"#,
            r#"{,"a":{}}"#,
            r#"{"a":{}"b":{}}"#,
            r#"{"<":{}}"#,
            "{\"\u{e9}\":{}}",
            r#"{"\n":{}}"#,
            "{\"\n\":{}}",
            r#"{"a"#,
            r#"{"a\"#,
        ] {
            check(raw, false);
        }
        let deep = |levels: usize| format!("{}{{}}{}", r#"{"a":"#.repeat(levels - 1), "}".repeat(levels - 1));
        check(&deep(DEPTH_MAX), true);
        check(&deep(DEPTH_MAX + 1), false);
    }
}
