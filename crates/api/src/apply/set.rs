//! Sets of fields: a tree of steps, each of which may be a member.
//!
//! A map or message whose fields are owned one by one need not be a member itself; an item of a list that somebody
//! applied is (`.` in its JSON).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::element::Element;

/// A set of fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// Sorted by element, each once; none is without meaning (neither member nor parent).
    nodes: Vec<Node>,
}

/// A step of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub element: Element,
    /// The path that ends here is in the set.
    pub member: bool,
    pub children: Set,
}

impl Set {
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The steps in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Adds a step at the end, out of order; [`Set::settle`] must follow. One that says nothing is left out.
    pub fn push(&mut self, element: Element, member: bool, children: Set) {
        if member || !children.is_empty() {
            self.nodes.push(Node { element, member, children });
        }
    }

    /// Brings pushed steps into order; the same step pushed twice becomes one.
    pub fn settle(&mut self) {
        let sorted = self.nodes.windows(2).all(|pair| pair[0].element < pair[1].element);
        if sorted {
            return;
        }
        self.nodes.sort_by(|left, right| left.element.cmp(&right.element));
        let mut kept: Vec<Node> = Vec::with_capacity(self.nodes.len());
        for node in self.nodes.drain(..) {
            match kept.last_mut() {
                Some(last) if last.element == node.element => {
                    last.member |= node.member;
                    last.children.add(node.children);
                }
                _ => kept.push(node),
            }
        }
        self.nodes = kept;
    }

    /// The step with that element.
    pub fn get(&self, element: &Element) -> Option<&Node> {
        let found = self.nodes.binary_search_by(|node| node.element.cmp(element));
        found.ok().map(|index| &self.nodes[index])
    }

    /// Adds the paths of another set.
    pub fn add(&mut self, other: Set) {
        if self.nodes.is_empty() {
            *self = other;
            return;
        }
        for node in other.nodes {
            match self.nodes.binary_search_by(|own| own.element.cmp(&node.element)) {
                Ok(index) => {
                    self.nodes[index].member |= node.member;
                    self.nodes[index].children.add(node.children);
                }
                Err(index) => self.nodes.insert(index, node),
            }
        }
    }

    /// Removes the paths of another set; what is below them stays.
    pub fn subtract(&mut self, other: &Set) {
        let mut rest = other.nodes.as_slice();
        self.nodes.retain_mut(|node| {
            let Some(same) = advance(&mut rest, &node.element) else { return true };
            node.member &= !same.member;
            node.children.subtract(&same.children);
            node.member || !node.children.is_empty()
        });
    }

    /// The paths that both sets have.
    pub fn common(&self, other: &Set) -> Set {
        let (mut both, mut rest) = (Set::default(), other.nodes.as_slice());
        for node in &self.nodes {
            let Some(same) = advance(&mut rest, &node.element) else { continue };
            let (member, children) = (node.member && same.member, node.children.common(&same.children));
            if member || !children.is_empty() {
                both.nodes.push(Node { element: node.element.clone(), member, children });
            }
        }
        both
    }

    /// This set without the paths of another one.
    pub fn minus(&self, other: &Set) -> Set {
        let mut left = self.clone();
        left.subtract(other);
        left
    }

    /// Removes a path of fields and everything below it.
    pub fn drop_below(&mut self, path: &[&str]) {
        let [first, rest @ ..] = path else { return };
        let named = |node: &Node| matches!(&node.element, Element::Field(name) if name == first);
        let Some(index) = self.nodes.iter().position(named) else { return };
        if !rest.is_empty() {
            self.nodes[index].children.drop_below(rest);
            if self.nodes[index].member || !self.nodes[index].children.is_empty() {
                return;
            }
        }
        self.nodes.remove(index);
    }

    /// Removes a path of fields; what is below it stays.
    pub fn drop_path(&mut self, path: &[&str]) {
        let [first, rest @ ..] = path else { return };
        let named = |node: &Node| matches!(&node.element, Element::Field(name) if name == first);
        let Some(index) = self.nodes.iter().position(named) else { return };
        let node = &mut self.nodes[index];
        if rest.is_empty() {
            node.member = false;
        } else {
            node.children.drop_path(rest);
        }
        if !node.member && node.children.is_empty() {
            self.nodes.remove(index);
        }
    }

    /// Makes every field on the way to a member a member: maps and messages have no life of their own when a set tells what
    /// to remove. Items of lists are left as they are.
    pub fn with_named_fields(mut self) -> Set {
        for node in &mut self.nodes {
            node.member |= matches!(node.element, Element::Field(_));
            node.children = std::mem::take(&mut node.children).with_named_fields();
        }
        self
    }

    /// Whether a path of fields is in the set.
    pub fn has(&self, path: &[&str]) -> bool {
        let [first, rest @ ..] = path else { return false };
        let named = |node: &&Node| matches!(&node.element, Element::Field(name) if name == first);
        match self.nodes.iter().find(named) {
            Some(node) if rest.is_empty() => node.member,
            Some(node) => node.children.has(rest),
            None => false,
        }
    }

    /// The set of one path of fields.
    pub fn of_path(path: &[&str]) -> Set {
        let mut set = Set::default();
        if let [first, rest @ ..] = path {
            set.push(Element::Field(Cow::Owned((*first).to_owned())), rest.is_empty(), Set::of_path(rest));
        }
        set
    }

    /// Every path as refusals write it, a level's members before what is below them.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, prefix: &str, paths: &mut Vec<String>) {
        paths.extend(self.nodes.iter().filter(|node| node.member).map(|node| format!("{prefix}{}", node.element)));
        for node in self.nodes.iter().filter(|node| !node.children.is_empty()) {
            node.children.collect(&format!("{prefix}{}", node.element), paths);
        }
    }
}

/// The step of that element, if the sorted steps have one; those before it are passed over.
fn advance<'s>(rest: &mut &'s [Node], element: &Element) -> Option<&'s Node> {
    loop {
        let (first, after) = rest.split_first()?;
        match first.element.cmp(element) {
            Ordering::Less => *rest = after,
            Ordering::Equal => return Some(first),
            Ordering::Greater => return None,
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.paths().join(", "))
    }
}
