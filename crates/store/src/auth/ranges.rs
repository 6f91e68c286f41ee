//! Sets of keys, as sorted spans that do not touch.

/// From a key up to, not including, another; none: without an end.
pub type Span = (Vec<u8>, Option<Vec<u8>>);

/// The span of a request or permission: `range_end` empty is the key alone, one zero byte everything from the key on.
pub fn span(key: &[u8], range_end: &[u8]) -> Span {
    let end = match range_end {
        [] => Some([key, &[0]].concat()),
        [0] => None,
        end => Some(end.to_vec()),
    };
    (key.to_vec(), end)
}

fn is_empty(span: &Span) -> bool {
    span.1.as_ref().is_some_and(|end| *end <= span.0)
}

/// Spans without an end end last.
fn later<'a>(a: &'a Option<Vec<u8>>, b: &'a Option<Vec<u8>>) -> &'a Option<Vec<u8>> {
    match (a, b) {
        (Some(x), Some(y)) => {
            if x >= y {
                a
            } else {
                b
            }
        }
        (None, _) => a,
        _ => b,
    }
}

#[derive(Clone, Debug, Default)]
pub struct Ranges(Vec<Span>);

impl Ranges {
    /// Spans that touch or overlap become one.
    pub fn new(mut spans: Vec<Span>) -> Self {
        spans.retain(|span| !is_empty(span));
        spans.sort();
        let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(last) if last.1.as_ref().is_none_or(|end| *end >= span.0) => {
                    last.1 = later(&last.1, &span.1).clone();
                }
                _ => merged.push(span),
            }
        }
        Self(merged)
    }

    /// Whether every key of the span is in the set. A span without keys is not: nobody is asked for leave for nothing.
    pub fn covers(&self, wanted: &Span) -> bool {
        if is_empty(wanted) {
            return false;
        }
        let after = self.0.partition_point(|span| span.0 <= wanted.0);
        let Some(span) = after.checked_sub(1).map(|at| &self.0[at]) else { return false };
        match (&span.1, &wanted.1) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(end), Some(wanted_end)) => wanted_end <= end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(spans: &[(&str, &str)]) -> Ranges {
        Ranges::new(spans.iter().map(|(key, end)| span(key.as_bytes(), end.as_bytes())).collect())
    }

    #[track_caller]
    fn check(held: &[(&str, &str)], wanted: (&str, &str), expect: bool) {
        let found = ranges(held).covers(&span(wanted.0.as_bytes(), wanted.1.as_bytes()));
        assert_eq!(found, expect, "{wanted:?} within {held:?}");
    }

    #[test]
    fn a_key_is_within_its_own_permission_only() {
        check(&[("a", "")], ("a", ""), true);
        check(&[("a", "")], ("ab", ""), false);
        check(&[("a", "")], ("a", "b"), false);
        check(&[("a", "")], ("a", "\0"), false);
    }

    #[test]
    fn ranges_that_touch_cover_what_spans_them() {
        check(&[("a", "c"), ("c", "e")], ("b", "d"), true);
        check(&[("a", "c"), ("d", "e")], ("b", "d"), false);
        check(&[("a", "d"), ("b", "c"), ("c", "f")], ("a", "f"), true);
        check(&[("a", ""), ("a\0", "c")], ("a", "c"), true);
    }

    #[test]
    fn an_open_end_needs_an_open_permission() {
        check(&[("b", "\0")], ("c", "\0"), true);
        check(&[("b", "\0")], ("a", "\0"), false);
        check(&[("b", "\u{7f}")], ("c", "\0"), false);
        check(&[("a", "c"), ("c", "\0")], ("b", "\0"), true);
        check(&[("\0", "\0")], ("x", "y"), true);
    }

    #[test]
    fn a_range_without_keys_is_within_nothing() {
        check(&[("\0", "\0")], ("b", "a"), false);
        check(&[("b", "a")], ("b", ""), false);
    }
}
