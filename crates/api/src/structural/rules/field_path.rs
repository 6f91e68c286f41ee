//! The path of a field that a rule blames: `.spec.names['a.b']`, relative to where the rule stands.

use crate::structural::node::{Additional, Node};

/// The names of a path; none where it is not written as one. Lists have no names: their items are not told apart.
pub fn steps(path: &str) -> Option<Vec<String>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return None;
            }
            steps.push(after[..end].to_owned());
            rest = &after[end..];
            continue;
        }
        let (key, after) = quoted(rest.strip_prefix("['")?)?;
        steps.push(key);
        rest = after.strip_prefix(']')?;
    }
    Some(steps)
}

/// A key up to its quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => key.push(match letters.next()?.1 {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                plain @ ('\'' | '\\') => plain,
                _ => return None,
            }),
            '\'' => return Some((key, &text[at + 1..])),
            _ => key.push(letter),
        }
    }
    None
}

/// Whether a schema has what a path names.
pub fn leads_somewhere(node: &Node, path: &str) -> bool {
    let Some(steps) = steps(path) else { return false };
    let mut here = node;
    for name in &steps {
        let next = match &here.additional {
            Additional::Of(values) => Some(&**values),
            _ => here.property(name),
        };
        match next {
            Some(next) => here = next,
            None => return false,
        }
    }
    !steps.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_steps() {
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(steps(".a.b-c"), some(&["a", "b-c"]));
        assert_eq!(steps(".a['b.c'].d"), some(&["a", "b.c", "d"]));
        assert_eq!(steps("['x\\'y']"), some(&["x'y"]));
        assert_eq!(steps(""), some(&[]));
        for wrong in ["a", ".", "..a", ".a[0]", ".a[", ".a['b", ".a['b'", ".a['b']c", ".a[\"b\"]", ".a['\\x']"] {
            assert_eq!(steps(wrong), None, "{wrong}");
        }
    }
}
