//! What a plain (unquoted) YAML word means, by the YAML 1.1 rules of kubectl's parser.
//!
//! `0644` is octal, `yes`, `no`, `on`, `off`, `y` and `n` are booleans, `~` is null, `1_000` is a thousand. As there,
//! base 60 (`22:30`) and dates stay strings. Infinity and NaN have no JSON form and are refused by the caller.

use serde_json::Number;

/// The value of a plain word.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    /// Infinity or not a number.
    NotFinite,
    Text,
}

const NULLS: [&str; 5] = ["", "~", "null", "Null", "NULL"];
const TRUES: [&str; 11] = ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"];
const FALSES: [&str; 11] = ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"];
const NOT_FINITE: [&str; 12] =
    [".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN"];

/// Reads a plain word.
pub fn plain(word: &str) -> Scalar {
    if NULLS.contains(&word) {
        return Scalar::Null;
    }
    if TRUES.contains(&word) {
        return Scalar::Bool(true);
    }
    if FALSES.contains(&word) {
        return Scalar::Bool(false);
    }
    if NOT_FINITE.contains(&word) {
        return Scalar::NotFinite;
    }
    number(word).map_or(Scalar::Text, Scalar::Number)
}

/// Reads a number: decimal, `0x`, `0o`, `0b`, octal by a leading zero, or a decimal fraction.
pub fn number(word: &str) -> Option<Number> {
    if !word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let clean = word.replace('_', "");
    integer(&clean).or_else(|| fraction(&clean))
}

fn integer(word: &str) -> Option<Number> {
    let (negative, digits) = match word.as_bytes().first()? {
        b'-' => (true, &word[1..]),
        b'+' => (false, &word[1..]),
        _ => (false, word),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match () {
        () if lower.starts_with("0x") => (&lower[2..], 16),
        () if lower.starts_with("0o") => (&lower[2..], 8),
        () if lower.starts_with("0b") => (&lower[2..], 2),
        () if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        () => (lower.as_str(), 10),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| (byte as char).is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    match negative {
        false => Some(value.into()),
        true if value <= i64::MIN.unsigned_abs() => Some(value.wrapping_neg().cast_signed().into()),
        true => None,
    }
}

/// A decimal fraction; one without a fractional part becomes an integer, as it does in kubectl's JSON.
fn fraction(word: &str) -> Option<Number> {
    if !is_fraction(word) {
        return None;
    }
    let value: f64 = word.parse().ok().filter(|value: &f64| value.is_finite())?;
    if value.fract() == 0.0 && value.abs() < 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        return Some((value as i64).into());
    }
    Number::from_f64(value)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_fraction(word: &str) -> bool {
    let body = word.strip_prefix(['-', '+']).unwrap_or(word);
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa = match mantissa.split_once('.') {
        None => digits(mantissa),
        Some(("", after)) => digits(after),
        Some((before, after)) => digits(before) && (after.is_empty() || digits(after)),
    };
    mantissa && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

/// Would YAML 1.1 or YAML 1.2 read this word, unquoted, as something other than itself?
pub fn needs_quotes(word: &str) -> bool {
    plain(word) != Scalar::Text || looks_like_number(word) || looks_like_date(word) || matches!(word, "<<" | "=")
}

/// Base 60, a sign or digit that another reader may take for a number: when in doubt, quoted.
fn looks_like_number(word: &str) -> bool {
    let body = word.strip_prefix(['-', '+']).unwrap_or(word);
    let base60 =
        body.contains(':') && body.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'_'));
    let octal = body.strip_prefix("0o").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let fraction = !body.is_empty()
        && body.bytes().any(|byte| byte.is_ascii_digit())
        && body
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'e' | b'E' | b'+' | b'-' | b','));
    let fraction = fraction && body.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    base60 || octal || (fraction && body.parse::<f64>().is_ok()) || body.replace(['_', ','], "").parse::<f64>().is_ok()
}

/// `2020-01-02`, alone or before a time.
fn looks_like_date(word: &str) -> bool {
    let mut parts = word.splitn(3, '-');
    let digits = |part: Option<&str>, min: usize, max: usize| {
        part.is_some_and(|part| (min..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (year, month) = (digits(parts.next(), 4, 4), digits(parts.next(), 1, 2));
    year && month && parts.next().is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_number(word: &str, json: &str) {
        assert_eq!(number(word).map(|number| number.to_string()).as_deref(), Some(json), "{word}");
    }

    #[test]
    fn a_leading_zero_is_octal() {
        for (word, json) in [
            ("0644", "420"),
            ("0o644", "420"),
            ("0x1F", "31"),
            ("0b101", "5"),
            ("-010", "-8"),
            ("0", "0"),
            ("1_000", "1000"),
        ] {
            is_number(word, json);
        }
    }

    #[test]
    fn a_leading_zero_with_a_digit_that_is_not_octal_is_decimal() {
        is_number("089", "89");
    }

    #[test]
    fn fractions_without_a_fraction_are_integers() {
        for (word, json) in
            [("1.0", "1"), ("1e3", "1000"), ("1.", "1"), (".5", "0.5"), ("-2.5e-1", "-0.25"), ("+7", "7")]
        {
            is_number(word, json);
        }
    }

    #[test]
    fn the_largest_integers_are_exact() {
        is_number("18446744073709551615", "18446744073709551615");
        is_number("-9223372036854775808", "-9223372036854775808");
    }

    #[test]
    fn words_of_yaml_1_1_are_booleans_and_nulls() {
        for word in ["yes", "Yes", "on", "y", "TRUE"] {
            assert_eq!(plain(word), Scalar::Bool(true), "{word}");
        }
        for word in ["no", "off", "N", "False"] {
            assert_eq!(plain(word), Scalar::Bool(false), "{word}");
        }
        for word in ["", "~", "null", "NULL"] {
            assert_eq!(plain(word), Scalar::Null, "{word}");
        }
    }

    #[test]
    fn what_only_looks_like_a_number_is_text() {
        for word in [
            "22:30",
            "1.2.3",
            "10m",
            "1Gi",
            "v1",
            "2020-01-01",
            "1e",
            "-",
            "+",
            ".",
            "0x",
            "0xg",
            "yES",
            "nULL",
            "12e03h",
            "--1",
        ] {
            assert_eq!(plain(word), Scalar::Text, "{word}");
        }
    }

    #[test]
    fn infinity_is_known_but_not_a_number() {
        assert_eq!(
            (plain(".inf"), plain("-.INF"), plain(".NaN")),
            (Scalar::NotFinite, Scalar::NotFinite, Scalar::NotFinite)
        );
    }
}
