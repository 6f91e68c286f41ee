//! The path of a field that a rule blames: `.spec.names['a.b']`, relative to where the rule stands.

use crate::structural::node::{Additional, Node};

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Field(String),
    /// Between brackets.
    Key(String),
}

/// The steps of a path; none where it is not written as one. Lists have no steps: their items are not told apart.
pub fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return None;
            }
            steps.push(Step::Field(after[..end].to_owned()));
            rest = &after[end..];
            continue;
        }
        let inner = rest.strip_prefix('[')?;
        let quote = inner.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        let (key, after) = quoted(&inner[1..], quote)?;
        steps.push(Step::Key(key));
        rest = after.strip_prefix(']')?;
    }
    Some(steps)
}

/// A key up to its quote, and what follows that.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => key.push(letters.next()?.1),
            _ if letter == quote => return Some((key, &text[at + 1..])),
            _ => key.push(letter),
        }
    }
    None
}

/// Whether a schema has what a path names.
pub fn leads_somewhere(node: &Node, path: &str) -> bool {
    let Some(steps) = steps(path) else { return false };
    let mut here = node;
    for step in &steps {
        let (Step::Field(name) | Step::Key(name)) = step;
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
        let field = |name: &str| Step::Field(name.to_owned());
        let key = |name: &str| Step::Key(name.to_owned());
        assert_eq!(steps(".a.b-c"), Some(vec![field("a"), field("b-c")]));
        assert_eq!(steps(".a['b.c'].d"), Some(vec![field("a"), key("b.c"), field("d")]));
        assert_eq!(steps("[\"x'y\"]"), Some(vec![key("x'y")]));
        assert_eq!(steps(""), Some(vec![]));
        for wrong in ["a", ".", "..a", ".a[0]", ".a[", ".a['b", ".a['b'", ".a['b']c"] {
            assert_eq!(steps(wrong), None, "{wrong}");
        }
    }
}
