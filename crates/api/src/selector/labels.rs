//! Label selectors: `a=b,c!=d,e in (f,g),h notin (i),j,!k,n>1`, and LabelSelector objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::Error;
use crate::name;

/// Every requirement must hold; none: everything is selected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

/// One condition on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: BTreeSet<String>,
}

/// What a requirement asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// The value is the one given.
    Equals,
    /// The value is another one, or there is none.
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    /// The value is a larger whole number.
    GreaterThan,
    /// The value is a smaller whole number.
    LessThan,
}

type Labels = BTreeMap<String, String>;

impl Selector {
    pub fn everything() -> Self {
        Self::default()
    }

    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Reads a selector text; an empty one selects everything.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let tokens = tokens(text)?;
        let mut reader = Reader { tokens: &tokens, at: 0 };
        let mut requirements = reader.requirements()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Selects objects that have all these labels.
    pub fn from_map(labels: &Labels) -> Self {
        let equals = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: BTreeSet::from([value.clone()]),
        };
        Self { requirements: labels.iter().map(equals).collect(), nothing: false }
    }

    /// Reads a LabelSelector: absent selects nothing, empty everything.
    pub fn from_selector(selector: Option<&LabelSelector>) -> Result<Self, Error> {
        let Some(selector) = selector else { return Ok(Self::nothing()) };
        let mut all = Self::from_map(&selector.match_labels);
        for expression in &selector.match_expressions {
            all.requirements.push(Requirement::from_expression(expression)?);
        }
        Ok(all)
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl Requirement {
    /// A requirement whose key and values have been looked at.
    pub fn new(key: &str, operator: Operator, values: BTreeSet<String>) -> Result<Self, Error> {
        if let Some(why) = name::qualified_name(key).into_iter().next() {
            return Err(Error::Invalid { what: "key", value: key.to_owned(), why });
        }
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return Err(Error::Values("for 'in', 'notin' operators, values set can't be empty"));
            }
            Operator::Equals | Operator::NotEquals if values.len() != 1 => {
                return Err(Error::Values("exact-match compatibility requires one single value"));
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return Err(Error::Values("values set must be empty for exists and does not exist"));
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    return Err(Error::Values("for 'Gt', 'Lt' operators, exactly one value is required"));
                }
                if values.iter().any(|value| value.parse::<i64>().is_err()) {
                    return Err(Error::Values("for 'Gt', 'Lt' operators, the value must be an integer"));
                }
            }
            _ => {}
        }
        for value in &values {
            if let Some(why) = name::label_value(value).into_iter().next() {
                return Err(Error::Invalid { what: "values", value: value.clone(), why });
            }
        }
        Ok(Self { key: key.to_owned(), operator, values })
    }

    fn from_expression(expression: &LabelSelectorRequirement) -> Result<Self, Error> {
        let operator = match expression.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => return Err(Error::Operator { key: other.to_owned() }),
        };
        Self::new(&expression.key, operator, expression.values.iter().cloned().collect())
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let number = |text: &String| text.parse::<i64>().ok();
        let limit = || self.values.first().and_then(number);
        match self.operator {
            Operator::Equals | Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotEquals | Operator::NotIn => !value.is_some_and(|value| self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => {
                matches!((value.and_then(number), limit()), (Some(value), Some(limit)) if value > limit)
            }
            Operator::LessThan => {
                matches!((value.and_then(number), limit()), (Some(value), Some(limit)) if value < limit)
            }
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values = || self.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match self.operator {
            Operator::Equals => write!(f, "{key}={}", values()),
            Operator::NotEquals => write!(f, "{key}!={}", values()),
            Operator::In => write!(f, "{key} in ({})", values()),
            Operator::NotIn => write!(f, "{key} notin ({})", values()),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{}", values()),
            Operator::LessThan => write!(f, "{key}<{}", values()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    /// One of `= == != ! > < , ( )`.
    Sign(&'static str),
}

fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    const SIGNS: [&str; 9] = ["==", "!=", "=", "!", ">", "<", ",", "(", ")"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            rest = rest[sign.len()..].trim_start();
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || "=!,()<>".contains(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(Error::Malformed(text.to_owned()));
        }
        tokens.push(Token::Word(rest[..end].to_owned()));
        rest = rest[end..].trim_start();
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<&Token> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(found)) if *found == sign);
        if found {
            self.at += 1;
        }
        found
    }

    fn malformed(&self, expected: &str) -> Error {
        let found = match self.tokens.get(self.at.saturating_sub(1)) {
            Some(Token::Word(word)) => word.clone(),
            Some(Token::Sign(sign)) => (*sign).to_owned(),
            None => String::new(),
        };
        Error::Malformed(format!("found '{found}', expected: {expected}"))
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, Error> {
        let mut requirements = Vec::new();
        if self.tokens.is_empty() {
            return Ok(requirements);
        }
        loop {
            requirements.push(self.requirement()?);
            if self.at >= self.tokens.len() {
                return Ok(requirements);
            }
            if !self.sign(",") {
                self.at += 1;
                return Err(self.malformed("',' or the end of the selector"));
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let absent = self.sign("!");
        let key = match self.next() {
            Some(Token::Word(word)) => word.clone(),
            _ => return Err(self.malformed("!, identifier, or 'end of string'")),
        };
        if absent {
            return Requirement::new(&key, Operator::DoesNotExist, BTreeSet::new());
        }
        let operator = match self.tokens.get(self.at) {
            None | Some(Token::Sign(",")) => return Requirement::new(&key, Operator::Exists, BTreeSet::new()),
            Some(Token::Sign("=" | "==")) => Operator::Equals,
            Some(Token::Sign("!=")) => Operator::NotEquals,
            Some(Token::Sign(">")) => Operator::GreaterThan,
            Some(Token::Sign("<")) => Operator::LessThan,
            Some(Token::Word(word)) if word == "in" => Operator::In,
            Some(Token::Word(word)) if word == "notin" => Operator::NotIn,
            Some(_) => {
                self.at += 1;
                return Err(self.malformed("in, notin, =, ==, !=, gt, lt"));
            }
        };
        self.at += 1;
        let values = if matches!(operator, Operator::In | Operator::NotIn) { self.set()? } else { self.value() };
        Requirement::new(&key, operator, values)
    }

    /// The one value after a sign; nothing there means the empty value.
    fn value(&mut self) -> BTreeSet<String> {
        let value = match self.tokens.get(self.at) {
            Some(Token::Word(word)) => {
                self.at += 1;
                word.clone()
            }
            _ => String::new(),
        };
        BTreeSet::from([value])
    }

    fn set(&mut self) -> Result<BTreeSet<String>, Error> {
        if !self.sign("(") {
            self.at += 1;
            return Err(self.malformed("'('"));
        }
        let mut values = BTreeSet::new();
        if self.sign(")") {
            return Ok(BTreeSet::from([String::new()]));
        }
        loop {
            values.extend(self.value());
            if self.sign(")") {
                return Ok(values);
            }
            if !self.sign(",") {
                self.at += 1;
                return Err(self.malformed("',' or ')'"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[track_caller]
    fn check(selector: &str, pairs: &[(&str, &str)], expect: bool) {
        let selector = Selector::parse(selector).expect("a selector");
        assert_eq!(selector.matches(&labels(pairs)), expect, "{selector}");
    }

    #[test]
    fn equality_and_sets() {
        check("", &[], true);
        check("a=b", &[("a", "b")], true);
        check("a==b,c", &[("a", "b")], false);
        check("a!=b", &[], true);
        check("a in (b, c)", &[("a", "c")], true);
        check("a notin (b,c)", &[("a", "c")], false);
        check("!a", &[("a", "")], false);
        check("n>1,n<10", &[("n", "5")], true);
        check("n>1", &[("n", "x")], false);
        check("a=", &[("a", "")], true);
    }

    #[test]
    fn malformed_selectors_are_refused() {
        for text in ["a=b=c", "a in b", "a in (b", ",", "a b", "=b", "!", "a,,b", "x>y", "a in (b))", "a/b/c=1"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_reads_back_as_itself() {
        for text in ["a=b", "a!=b", "a in (b,c)", "a notin (b)", "a", "!a", "a>1", "a=b,c"] {
            assert_eq!(Selector::parse(text).map(|selector| selector.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn an_absent_label_selector_selects_nothing() {
        let nothing = Selector::from_selector(None).expect("a selector");
        assert!(!nothing.matches(&Labels::new()));
        let everything = Selector::from_selector(Some(&LabelSelector::default())).expect("a selector");
        assert!(everything.matches(&Labels::new()));
    }
}
