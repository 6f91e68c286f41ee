//! From YAML (or JSON) text to trees: anchors, aliases, merge keys, several documents; positions kept throughout.
//!
//! An alias costs what it points to: a document whose aliases unfold to more than [`ALIASED_MAX`] values is refused
//! before it is unfolded. A key given twice is an error at its second place.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};

use super::node::{Entry, Mark, Node, Tree};
use super::scalar::{self, Scalar};

/// Values that the aliases of one file may unfold to.
pub const ALIASED_MAX: usize = 100_000;
/// Levels of lists and maps within each other.
pub const DEPTH_MAX: usize = 200;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{mark}: {message}")]
pub struct Error {
    pub mark: Mark,
    pub message: String,
}

/// The documents of a text, empty ones left out.
pub fn parse(text: &str) -> Result<Vec<Node>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), aliased: 0, depth: 0 };
    let mut documents = Vec::new();
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentStart(_) => reader.anchors.clear(),
            Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
            event => {
                let node = reader.node(event, span)?;
                if node.tree != Tree::Null {
                    documents.push(Rc::unwrap_or_clone(node));
                }
            }
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Rc<Node>, usize)>,
    aliased: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Error> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(Error { mark: mark(*error.marker()), message: error.info().to_owned() }),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Rc<Node>, Error> {
        let at = mark(span.start);
        let (anchor, tree) = match event {
            Event::Alias(anchor) => return self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar(&text, style, tag.as_deref(), at)?),
            Event::SequenceStart(anchor, _) => (anchor, self.nested(at, Self::list)?),
            Event::MappingStart(anchor, _) => (anchor, self.nested(at, Self::map)?),
            other => return Err(Error { mark: at, message: format!("a value is missing here ({other:?})") }),
        };
        let node = Rc::new(Node { mark: at, tree });
        if anchor > 0 {
            let size = node.size();
            self.anchors.insert(anchor, (Rc::clone(&node), size));
        }
        Ok(node)
    }

    fn nested(&mut self, at: Mark, read: impl FnOnce(&mut Self) -> Result<Tree, Error>) -> Result<Tree, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error { mark: at, message: format!("nested deeper than {DEPTH_MAX} levels") });
        }
        let tree = read(self);
        self.depth -= 1;
        tree
    }

    fn alias(&mut self, anchor: usize, at: Mark) -> Result<Rc<Node>, Error> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(Error { mark: at, message: "this alias points to a value that contains it".to_owned() });
        };
        self.aliased = self.aliased.saturating_add(*size);
        if self.aliased > ALIASED_MAX {
            let message = format!(
                "the aliases of this file unfold to more than {ALIASED_MAX} values; write the values out, or use fewer aliases"
            );
            return Err(Error { mark: at, message });
        }
        Ok(Rc::clone(node))
    }

    fn list(&mut self) -> Result<Tree, Error> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Tree::List(items)),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self) -> Result<Tree, Error> {
        let mut map = MapBuilder::default();
        loop {
            let (event, span) = self.next()?;
            let at = mark(span.start);
            let (key, merge) = match event {
                Event::MappingEnd => return Ok(Tree::Map(map.entries)),
                Event::Scalar(text, style, anchor, tag) => {
                    let merge = text == "<<" && style == ScalarStyle::Plain;
                    let node = Rc::new(Node { mark: at, tree: scalar(&text, style, tag.as_deref(), at)? });
                    let key = key_text(&node, &text)?;
                    if anchor > 0 {
                        self.anchors.insert(anchor, (node, 1));
                    }
                    (key, merge)
                }
                Event::Alias(anchor) => {
                    let node = self.alias(anchor, at)?;
                    (key_text(&node, "")?, false)
                }
                _ => return Err(Error { mark: at, message: "a key must be a word, not a list or a map".to_owned() }),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            if merge { map.merge(&value, at)? } else { map.add(key, at, value)? }
        }
    }
}

#[derive(Default)]
struct MapBuilder {
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
}

impl MapBuilder {
    fn add(&mut self, key: String, at: Mark, value: Rc<Node>) -> Result<(), Error> {
        if let Some(&place) = self.places.get(&key) {
            let before = &mut self.entries[place];
            if !before.merged {
                return Err(Error { mark: at, message: format!("key \"{key}\" is already set at {}", before.mark) });
            }
            *before = Entry { key, mark: at, value, merged: false };
            return Ok(());
        }
        self.places.insert(key.clone(), self.entries.len());
        self.entries.push(Entry { key, mark: at, value, merged: false });
        Ok(())
    }

    /// The entries of another map, or of several where earlier ones win; what is set here already stays.
    fn merge(&mut self, from: &Node, at: Mark) -> Result<(), Error> {
        match &from.tree {
            Tree::Map(entries) => {
                for entry in entries {
                    if !self.places.contains_key(&entry.key) {
                        self.places.insert(entry.key.clone(), self.entries.len());
                        self.entries.push(Entry { merged: true, ..entry.clone() });
                    }
                }
                Ok(())
            }
            Tree::List(maps) if maps.iter().all(|map| matches!(map.tree, Tree::Map(_))) => {
                maps.iter().try_for_each(|map| self.merge(map, at))
            }
            _ => Err(Error { mark: at, message: "a merge (<<) takes a map or a list of maps".to_owned() }),
        }
    }
}

fn mark(marker: Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

/// A key as JSON has it: numbers and booleans become their text.
fn key_text(node: &Node, written: &str) -> Result<String, Error> {
    match &node.tree {
        Tree::Text(text) => Ok(text.clone()),
        Tree::Bool(flag) => Ok(flag.to_string()),
        Tree::Number(number) => Ok(number.to_string()),
        Tree::Null if !written.is_empty() => Ok("null".to_owned()),
        Tree::Null => Err(Error { mark: node.mark, message: "a key is missing before the colon".to_owned() }),
        Tree::List(_) | Tree::Map(_) => {
            Err(Error { mark: node.mark, message: "a key must be a word, not a list or a map".to_owned() })
        }
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Mark) -> Result<Tree, Error> {
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    match (core, style) {
        (Some("str" | "binary" | "timestamp"), _) => Ok(Tree::Text(text.to_owned())),
        (Some("int" | "float" | "bool" | "null"), _) | (None, ScalarStyle::Plain) => match scalar::plain(text) {
            Scalar::Null => Ok(Tree::Null),
            Scalar::Bool(flag) => Ok(Tree::Bool(flag)),
            Scalar::Number(number) => Ok(Tree::Number(number)),
            Scalar::NotFinite => {
                Err(Error { mark: at, message: format!("{text} has no JSON form; quote it if the text is meant") })
            }
            Scalar::Text => match core {
                Some(kind) => {
                    Err(Error { mark: at, message: format!("\"{text}\" is not of the tagged type !!{kind}") })
                }
                None => Ok(Tree::Text(text.to_owned())),
            },
        },
        _ => Ok(Tree::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests;
