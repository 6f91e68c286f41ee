//! Regular expressions as definitions write them: Go's syntax (RE2), compiled at their first use.

use std::sync::OnceLock;

use regex::Regex;

/// A pattern of a schema.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As it is written.
    pub text: Box<str>,
    pub compiled: OnceLock<Option<Box<Regex>>>,
}

impl Pattern {
    /// True where some part of the text matches. A pattern that cannot be read matches everything: its definition was refused.
    pub fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.text).ok().map(Box::new));
        compiled.as_ref().is_none_or(|pattern| pattern.is_match(text))
    }
}

/// Reads a pattern in Go's syntax.
///
/// # Errors
/// What is wrong with it, in the words of the regex crate.
pub fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&translated(pattern))
}

/// The ASCII classes of Go's `\d`, `\s` and `\w`, which the crate knows as classes of Unicode.
fn perl_class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\f\r ]",
        'S' => r"[^\t\n\f\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'b' => r"(?-u:\b)",
        _ => return None,
    })
}

/// The same pattern in the syntax of the regex crate. They differ in: what `\d` and its kin mean, literal braces,
/// operators within classes, and `\Q...\E`.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut class = false;
    // True at the first member of a class, where a bracket is a member.
    let mut first = false;
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        let was_first = std::mem::take(&mut first);
        rest = after;
        match letter {
            '\\' => rest = escaped(after, class, &mut out),
            '[' if !class => {
                class = true;
                first = true;
                out.push('[');
                if let Some(more) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = more;
                }
            }
            ']' if class && was_first => out.push_str(r"\]"),
            ']' if class => {
                class = false;
                out.push(']');
            }
            '[' if after.starts_with(':') && after.contains(":]") => {
                let end = after.find(":]").map_or(0, |at| at + 2);
                out.push('[');
                out.push_str(&after[..end]);
                rest = &after[end..];
            }
            '[' => out.push_str(r"\["),
            '&' | '~' if class => {
                out.push('\\');
                out.push(letter);
            }
            // Two dashes are an operator in a class.
            '-' if class && (was_first || after.starts_with('-') || after.starts_with(']')) => out.push_str(r"\-"),
            '{' if !class && !repeats(after) => out.push_str(r"\{"),
            other => out.push(other),
        }
    }
    out
}

/// What follows a backslash; answers what is left.
fn escaped<'a>(after: &'a str, class: bool, out: &mut String) -> &'a str {
    let Some(letter) = after.chars().next() else {
        out.push('\\');
        return after;
    };
    let rest = &after[letter.len_utf8()..];
    match perl_class(letter).filter(|_| !class || letter != 'b') {
        Some(found) => out.push_str(found),
        None if letter == 'Q' && !class => {
            let (quoted, rest) = rest.split_once(r"\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(quoted));
            return rest;
        }
        None => {
            out.push('\\');
            out.push(letter);
            // Classes of Unicode and letters by number keep their braces.
            if matches!(letter, 'p' | 'P' | 'x')
                && rest.starts_with('{')
                && let Some(end) = rest.find('}')
            {
                out.push_str(&rest[..=end]);
                return &rest[end + 1..];
            }
        }
    }
    rest
}

/// What is wrong with a pattern, in Go's words, which clients read in refusals.
pub fn complaint(pattern: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    let from = |mark: char| pattern.find(mark).map_or(pattern, |at| &pattern[at..]);
    match last {
        "unclosed group" => format!("missing closing ): `{pattern}`"),
        "unopened group" => format!("unexpected ): `{pattern}`"),
        "unclosed character class" => format!("missing closing ]: `{}`", from('[')),
        "repetition operator missing expression" => {
            let operator = pattern.chars().find(|letter| matches!(letter, '*' | '+' | '?')).unwrap_or('{');
            format!("missing argument to repetition operator: `{operator}`")
        }
        "incomplete escape sequence, reached end of pattern prematurely" => {
            "trailing backslash at end of expression: ``".to_owned()
        }
        other if other.starts_with("look-around") => {
            let group = from('(').find("(?").map_or(pattern, |at| &from('(')[at..]);
            let end = if group.starts_with("(?<") { 4 } else { 3 };
            format!("invalid or unsupported Perl syntax: `{}`", group.get(..end).unwrap_or(group))
        }
        other => format!("{other}: `{pattern}`"),
    }
}

/// True where a brace opens a count: `{2}`, `{2,}`, `{2,3}`.
fn repeats(after: &str) -> bool {
    let Some((inner, _)) = after.split_once('}') else { return false };
    let (low, high) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let compiled = compile(pattern).unwrap();
        for text in matching {
            assert!(compiled.is_match(text), "{pattern} should match {text}");
        }
        for text in other {
            assert!(!compiled.is_match(text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        check("^[a-z]+$", &["ab"], &["AB", ""]);
        check(r"^\d+$", &["12"], &["1a", "\u{661}"]);
        check(r"^[\w.-]+$", &["a.b-c_1"], &["a b", "\u{e9}"]);
        check(r"^[^\s]+$", &["ab"], &["a b"]);
        check(r"\bcat\b", &["a cat sat"], &["concat"]);
        check("^[]a]+$", &["]a"], &["b"]);
        check("^[[a]+$", &["[a"], &["b"]);
        check("^[a&&b]+$", &["a&b"], &["c"]);
        check("^[[:alpha:]-]+$", &["a-b"], &["1"]);
        check("^{a}$", &["{a}"], &["a"]);
        check("^a{2,3}$", &["aa", "aaa"], &["a"]);
        check("^a{,2}$", &["a{,2}"], &["aa"]);
        check(r"^\Qa.b\E$", &["a.b"], &["axb"]);
        check("(?i)^abd$", &["ABD"], &["abe"]);
        check(r"^\p{Lu}+$", &["ABC"], &["abd"]);
        check(r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)$", &["a-b"], &["-a"]);
        check(r"^[+-]?[0-9]+$", &["+1", "-1", "1"], &["a"]);
    }

    #[test]
    fn what_is_no_pattern_is_an_error() {
        for pattern in ["(", "[a", "*a", "a)", r"(?=a)"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_complaint_is_told_in_go_s_words() {
        let told = ["(", "a)", "x[a", "*a", "a(?!b)", "(?<=a)b", r"\"]
            .map(|pattern| complaint(pattern, &compile(pattern).unwrap_err()));
        assert_eq!(
            told,
            [
                "missing closing ): `(`",
                "unexpected ): `a)`",
                "missing closing ]: `[a`",
                "missing argument to repetition operator: `*`",
                "invalid or unsupported Perl syntax: `(?!`",
                "invalid or unsupported Perl syntax: `(?<=`",
                "trailing backslash at end of expression: ``",
            ]
        );
    }
}
