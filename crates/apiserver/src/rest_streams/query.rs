//! The query of a request as upstream reads options from it.

use crate::status::{Failure, Result};

/// The pairs of a query, in their order.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the text after `?`. What is no UTF-8 is replaced.
    pub fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// Every value of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a name; upstream overlooks the others.
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The first value as a text; empty where there is none.
    pub fn text(&self, name: &str) -> String {
        self.first(name).unwrap_or_default().to_owned()
    }

    /// True for every value but `0` and `false`, also for the empty one.
    pub fn flag(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A whole number. Refused: a value that is none.
    pub fn number(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.first(name) else { return Ok(None) };
        match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(error) => Err(Failure::bad_request(format!("{name}: \"{value}\" is no whole number: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_upstream_reads_them() {
        let query =
            Query::parse("command=sh&command=-c&command=a%20b+c&stdin=&tty=False&stderr=0&stdout=1&n=-5&x=five");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c", "a b c"]);
        let flags = ["stdin", "tty", "stderr", "stdout", "none"].map(|name| query.flag(name));
        assert_eq!(flags, [true, false, false, true, false]);
        assert_eq!(query.number("n").expect("a number"), Some(-5));
        assert_eq!(query.number("none").expect("nothing"), None);
        assert_eq!(query.number("x").expect_err("a word").code(), 400);
    }
}
