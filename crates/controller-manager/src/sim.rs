//! Builders for tests.

use proto::core::v1::{Namespace, Node};

use crate::flags::Settings;
use crate::view::View;

/// An empty view.
pub fn view() -> View {
    View::new(Settings::default())
}

pub fn namespace(name: &str) -> Namespace {
    let mut namespace = Namespace::default();
    namespace.metadata.name = name.into();
    namespace
}

pub fn node(name: &str) -> Node {
    let mut node = Node::default();
    node.metadata.name = name.into();
    node
}
