//! JSONPath templates as kubectl has them: `{.items[*].metadata.name}`, `{range ...}{end}`, filters, slices, unions.
//!
//! Text outside braces is printed as it stands. A missing key prints nothing; an index outside its list is an error.

use anyhow::{Context, bail};
use serde_json::Value;

use super::filter::{self, Filter};

#[derive(Debug, Clone, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Path(Path),
    Range(Path, Vec<Part>),
}

/// Steps from the root, or from the current item.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    from_root: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Any,
    Index(i64),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: i64,
    },
    Union(Vec<Step>),
    Filter(Box<Filter>),
    /// This value and every one below it.
    Deep,
}

impl Template {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        if !text.contains('{') {
            return Self::parse_relaxed(text);
        }
        let mut parser = Parser { rest: text };
        let parts = parser.parts(false).with_context(|| format!("error parsing jsonpath {text}"))?;
        Ok(Self(parts))
    }

    /// A path that may lack its braces and its leading dot.
    pub fn parse_relaxed(text: &str) -> anyhow::Result<Self> {
        let inner = text.trim();
        if inner.is_empty() {
            bail!("a path is missing, for example .metadata.name");
        }
        if inner.contains('{') {
            let mut parser = Parser { rest: inner };
            return Ok(Self(parser.parts(false).with_context(|| format!("error parsing jsonpath {text}"))?));
        }
        let dotted = if inner.starts_with(['.', '[', '$', '@']) { inner.to_owned() } else { format!(".{inner}") };
        let path = parse_path(&dotted).with_context(|| format!("error parsing jsonpath {text}"))?;
        Ok(Self(vec![Part::Path(path)]))
    }

    pub fn render(&self, root: &Value) -> anyhow::Result<String> {
        let mut out = String::new();
        render(&self.0, root, root, &mut out)?;
        Ok(out)
    }

    /// Every value that the template's paths find.
    pub fn values(&self, root: &Value) -> anyhow::Result<Vec<Value>> {
        let mut found = Vec::new();
        for part in &self.0 {
            if let Part::Path(path) | Part::Range(path, _) = part {
                found.extend(path.find(root, root)?.into_iter().cloned());
            }
        }
        Ok(found)
    }
}

fn render(parts: &[Part], root: &Value, current: &Value, out: &mut String) -> anyhow::Result<()> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => {
                let found = path.find(root, current)?;
                out.push_str(&found.into_iter().map(text).collect::<Vec<_>>().join(" "));
            }
            Part::Range(path, body) => {
                for item in path.find(root, current)? {
                    render(body, root, item, out)?;
                }
            }
        }
    }
    Ok(())
}

/// A value as a template prints it: words bare, lists and maps as JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl Path {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        parse_path(text)
    }

    pub fn find<'a>(&self, root: &'a Value, current: &'a Value) -> anyhow::Result<Vec<&'a Value>> {
        let mut found = vec![if self.from_root { root } else { current }];
        for step in &self.steps {
            let mut next = Vec::new();
            for value in found {
                step.walk(root, value, &mut next)?;
            }
            found = next;
        }
        Ok(found)
    }
}

impl Step {
    fn walk<'a>(&self, root: &'a Value, value: &'a Value, found: &mut Vec<&'a Value>) -> anyhow::Result<()> {
        match self {
            Self::Key(key) => found.extend(value.get(key)),
            Self::Any => match value {
                Value::Array(items) => found.extend(items),
                Value::Object(map) => found.extend(map.values()),
                _ => {}
            },
            Self::Index(index) => {
                if let Value::Array(items) = value {
                    let place = if *index < 0 { *index + items.len() as i64 } else { *index };
                    let item = usize::try_from(place).ok().and_then(|place| items.get(place));
                    found.push(item.with_context(|| {
                        format!("array index out of bounds: index {index}, length {}", items.len())
                    })?);
                }
            }
            Self::Slice { from, to, step } => {
                if let Value::Array(items) = value {
                    let len = items.len() as i64;
                    let bound = |at: i64| if at < 0 { (at + len).max(0) } else { at.min(len) };
                    let (from, to) = (bound(from.unwrap_or(0)), bound(to.unwrap_or(len)));
                    let places = (from..to).step_by(usize::try_from(*step).unwrap_or(1).max(1));
                    found.extend(places.filter_map(|place| items.get(usize::try_from(place).ok()?)));
                }
            }
            Self::Union(steps) => {
                for step in steps {
                    step.walk(root, value, found)?;
                }
            }
            Self::Filter(filter) => match value {
                Value::Array(items) => {
                    for item in items {
                        if filter.holds(root, item)? {
                            found.push(item);
                        }
                    }
                }
                Value::Object(_) if filter.holds(root, value)? => found.push(value),
                _ => {}
            },
            Self::Deep => deep(value, found),
        }
        Ok(())
    }
}

fn deep<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| deep(item, found)),
        Value::Object(map) => map.values().for_each(|item| deep(item, found)),
        _ => {}
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn parts(&mut self, within_range: bool) -> anyhow::Result<Vec<Part>> {
        let mut parts = Vec::new();
        while !self.rest.is_empty() {
            let Some(open) = self.rest.find('{') else {
                parts.push(Part::Text(std::mem::take(&mut self.rest).to_owned()));
                break;
            };
            if open > 0 {
                parts.push(Part::Text(self.rest[..open].to_owned()));
            }
            let close = closing(&self.rest[open..]).context("unclosed action: a } is missing")?;
            let action = self.rest[open + 1..open + close].trim();
            self.rest = &self.rest[open + close + 1..];
            if action == "end" {
                if !within_range {
                    bail!("not in range, nothing to end");
                }
                return Ok(parts);
            }
            if let Some(path) = action.strip_prefix("range").filter(|rest| rest.starts_with([' ', '\t'])) {
                let path = parse_path(path.trim())?;
                parts.push(Part::Range(path, self.parts(true)?));
                continue;
            }
            parts.extend(action_parts(action)?);
        }
        if within_range {
            bail!("unterminated range: {{end}} is missing");
        }
        Ok(parts)
    }
}

/// Where the brace that closes the first one is, quotes minded.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (c, quote) {
            _ if escaped => escaped = false,
            ('\\', _) => escaped = true,
            (_, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('}', None) => return Some(at),
            _ => {}
        }
    }
    None
}

/// What stands in one pair of braces: literals and paths, by spaces or commas.
fn action_parts(action: &str) -> anyhow::Result<Vec<Part>> {
    let action = action.trim();
    if action.is_empty() {
        return Ok(Vec::new());
    }
    if action.starts_with(['"', '\'']) {
        let (literal, rest) = quoted(action)?;
        let mut parts = vec![Part::Text(literal)];
        parts.extend(action_parts(rest)?);
        return Ok(parts);
    }
    Ok(vec![Part::Path(parse_path(action)?)])
}

/// A quoted text with its escapes resolved, and what follows it.
pub fn quoted(text: &str) -> anyhow::Result<(String, &str)> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next().context("a quote is missing")?;
    let mut out = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, escaped) = chars.next().context("unterminated quoted string")?;
                out.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                });
            }
            c if c == quote => return Ok((out, &text[at + c.len_utf8()..])),
            c => out.push(c),
        }
    }
    bail!("unterminated quoted string: {text}")
}

fn parse_path(text: &str) -> anyhow::Result<Path> {
    let mut rest = text.trim();
    let from_root = rest.starts_with('$');
    if rest.starts_with(['$', '@']) {
        rest = &rest[1..];
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Deep);
            rest = after;
            if !rest.is_empty() && !rest.starts_with('[') {
                let (key, after) = key(rest);
                steps.push(if key == "*" { Step::Any } else { Step::Key(key) });
                rest = after;
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            if after.is_empty() || after.starts_with('[') {
                rest = after;
                continue;
            }
            let (key, after) = key(after);
            if key.is_empty() {
                bail!("unexpected '{}' in the path {text}", after.chars().next().unwrap_or(' '));
            }
            steps.push(if key == "*" { Step::Any } else { Step::Key(key) });
            rest = after;
        } else if rest.starts_with('[') {
            let close = filter::closing_bracket(rest)
                .with_context(|| format!("unterminated array: a ] is missing in {text}"))?;
            steps.push(bracket(&rest[1..close])?);
            rest = &rest[close + 1..];
        } else if steps.is_empty() && rest == text.trim() {
            bail!("a path begins with a dot: .{text}");
        } else {
            bail!("unrecognized character in the path {text}: {rest}");
        }
    }
    Ok(Path { from_root, steps })
}

/// A key up to the next dot, bracket or space; a backslash takes the next character as it is.
fn key(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => out.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' | ' ' | '=' | '!' | '<' | '>' | '&' | '|' | ')' => return (out, &text[at..]),
            c => out.push(c),
        }
    }
    (out, "")
}

fn bracket(text: &str) -> anyhow::Result<Step> {
    let text = text.trim();
    if text == "*" {
        return Ok(Step::Any);
    }
    if let Some(inner) = text.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return Ok(Step::Filter(Box::new(Filter::parse(inner)?)));
    }
    let parts = split_commas(text);
    if parts.len() > 1 {
        return Ok(Step::Union(parts.into_iter().map(bracket).collect::<anyhow::Result<_>>()?));
    }
    if text.starts_with(['\'', '"']) {
        // Within the quotes a backslash before a dot is kubectl's habit from paths: the dot is meant.
        let (key, rest) = quoted(text)?;
        if !rest.trim().is_empty() {
            bail!("invalid array index {text}");
        }
        return Ok(Step::Key(key));
    }
    if text.contains(':') {
        let numbers: Vec<&str> = text.split(':').collect();
        let number = |at: usize| match numbers.get(at).map(|text| text.trim()).filter(|text| !text.is_empty()) {
            Some(text) => text.parse::<i64>().map(Some).with_context(|| format!("invalid array index {text}")),
            None => Ok(None),
        };
        if numbers.len() > 3 {
            bail!("invalid array index {text}");
        }
        let step = number(2)?.unwrap_or(1);
        if step < 1 {
            bail!("step must be > 0 in [{text}]");
        }
        return Ok(Step::Slice { from: number(0)?, to: number(1)?, step });
    }
    match text.parse() {
        Ok(index) => Ok(Step::Index(index)),
        Err(_) => bail!("invalid array index {text}"),
    }
}

fn split_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut quote) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            (',', None) => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

#[cfg(test)]
mod tests;
