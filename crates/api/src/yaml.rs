//! YAML as kubectl and servers read it: one document as a JSON tree, plain words by the rules of YAML 1.1 ([`scalar`]).
//!
//! Anchors, aliases and merge keys count; what aliases unfold to is bounded. A key that is given twice is told, and the last
//! one counts.

pub mod scalar;

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Value};

use scalar::Scalar;

/// Values that the aliases of one text may unfold to.
const ALIASED_MAX: usize = 100_000;
/// Levels of lists and maps within each other.
const DEPTH_MAX: usize = 100;

/// Why a text could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error converting YAML to JSON: yaml: line {line}: {reason}")]
pub struct Error {
    /// From 1.
    pub line: usize,
    pub reason: String,
}

/// What a text says.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// Null for an empty text.
    pub value: Value,
    /// A complaint for each key that is given twice.
    pub repeated: Vec<String>,
}

/// Reads the first document of a text.
pub fn read(text: &str) -> Result<Read, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { parser: Parser::new_from_str(text), ..Reader::new() };
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => return Ok(Read { value: Value::Null, repeated: reader.repeated }),
            event => {
                let value = reader.value(event, span, 0)?;
                return Ok(Read { value, repeated: reader.repeated });
            }
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Value, usize)>,
    aliased: usize,
    repeated: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new() -> Self {
        Self { parser: Parser::new_from_str(""), anchors: HashMap::new(), aliased: 0, repeated: Vec::new() }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Error> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(Error { line: error.marker().line(), reason: error.info().to_owned() }),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, Error> {
        let line = span.start.line();
        if depth > DEPTH_MAX {
            return Err(Error { line, reason: format!("nested deeper than {DEPTH_MAX} levels") });
        }
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.alias(anchor, line),
            Event::Scalar(text, style, anchor, tag) => {
                let core = tag.as_deref().filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
                (anchor, word(&text, style, core, line)?)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.map(depth)?),
            other => return Err(Error { line, reason: format!("did not find expected node content ({other:?})") }),
        };
        if anchor > 0 {
            let size = size(&value);
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<Value, Error> {
        let Some((value, size)) = self.anchors.get(&anchor) else {
            return Err(Error { line, reason: "this alias points to a value that contains it".to_owned() });
        };
        self.aliased = self.aliased.saturating_add(*size);
        if self.aliased > ALIASED_MAX {
            return Err(Error { line, reason: format!("aliases unfold to more than {ALIASED_MAX} values") });
        }
        Ok(value.clone())
    }

    fn list(&mut self, depth: usize) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                (event, span) => items.push(self.value(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Error> {
        let (mut map, mut merged) = (Map::new(), Map::new());
        loop {
            let (event, span) = self.next()?;
            let line = span.start.line();
            let merges = match &event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => text == "<<" && *style == ScalarStyle::Plain,
                _ => false,
            };
            let written = match &event {
                Event::Scalar(text, ..) => text.to_string(),
                _ => String::new(),
            };
            let key = self.value(event, span, depth + 1)?;
            let key = key_text(&key, &written)
                .ok_or_else(|| Error { line, reason: "a key must be a word, not a list or a map".to_owned() })?;
            let (event, span) = self.next()?;
            let value = self.value(event, span, depth + 1)?;
            if merges {
                merge(&mut merged, value).map_err(|()| Error {
                    line,
                    reason: "map merge requires map or sequence of maps as the value".to_owned(),
                })?;
            } else if map.insert(key.clone(), value).is_some() {
                self.repeated.push(format!("line {line}: key {key:?} already set in map"));
            }
        }
        // What a map says itself counts for more than what is merged into it.
        for (key, value) in merged {
            map.entry(key).or_insert(value);
        }
        Ok(Value::Object(map))
    }
}

/// The entries of a map, or of several where earlier ones win.
fn merge(into: &mut Map<String, Value>, from: Value) -> Result<(), ()> {
    match from {
        Value::Object(map) => {
            for (key, value) in map {
                into.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(maps) if maps.iter().all(Value::is_object) => {
            maps.into_iter().try_for_each(|map| merge(into, map))
        }
        _ => Err(()),
    }
}

/// How many values a tree holds, itself included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum::<usize>(),
        Value::Object(map) => map.values().map(size).sum(),
        _ => 0,
    }
}

/// A key as JSON has it: numbers and booleans become their text.
fn key_text(key: &Value, written: &str) -> Option<String> {
    match key {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null if !written.is_empty() => Some("null".to_owned()),
        _ => None,
    }
}

fn word(text: &str, style: ScalarStyle, core: Option<&str>, line: usize) -> Result<Value, Error> {
    let plain = match (core, style) {
        (Some("int" | "float" | "bool" | "null"), _) | (None, ScalarStyle::Plain) => scalar::plain(text),
        _ => Scalar::Text,
    };
    match plain {
        Scalar::Null => Ok(Value::Null),
        Scalar::Bool(flag) => Ok(Value::Bool(flag)),
        Scalar::Number(number) => Ok(Value::Number(number)),
        Scalar::NotFinite => Err(Error { line, reason: format!("{text} has no JSON form; quote it") }),
        Scalar::Text => Ok(Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn is(text: &str, value: &Value) {
        assert_eq!(read(text).map(|read| read.value).as_ref(), Ok(value), "{text}");
    }

    #[test]
    fn texts_become_json() {
        is("a: 1\nb: [x, 'yes', yes]\nc:\n  d: 0644\n", &json!({"a": 1, "b": ["x", "yes", true], "c": {"d": 420}}));
        is(
            "a: &x {k: 1, l: 2}\nb: *x\nc: {<<: *x, k: 3}\n",
            &json!({
                "a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 2}, "c": {"k": 3, "l": 2}
            }),
        );
        is("1: a\ntrue: b\n", &json!({"1": "a", "true": "b"}));
        is("", &Value::Null);
    }

    #[test]
    fn a_key_given_twice_is_told_and_the_last_one_counts() {
        let found = read("a: 1\nb: 2\na: 3\n").expect("readable");
        assert_eq!(found.value, json!({"a": 3, "b": 2}));
        assert_eq!(found.repeated, ["line 3: key \"a\" already set in map"]);
    }

    #[test]
    fn what_would_unfold_or_nest_without_end_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(read(&bomb).is_err());
        assert!(read(&"[".repeat(5000)).is_err());
        assert!(read("a: .inf\n").is_err());
        assert!(read("{").is_err());
    }
}
