//! Who owns whom: the metadata of every object, by uid.

use std::collections::{BTreeSet, HashMap};

use super::{FOREGROUND, Gvr, ORPHAN};

/// An object, as far as ownership goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub uid: String,
    pub gvr: Gvr,
    pub namespace: String,
    pub name: String,
    /// Uids of its owners, and whether it keeps each from being gone.
    pub owners: Vec<(String, bool)>,
    pub deleting: bool,
    pub foreground: bool,
    pub orphaning: bool,
}

impl Node {
    /// From metadata.
    pub fn new(gvr: Gvr, meta: &proto::meta::v1::ObjectMeta) -> Self {
        let has = |finalizer: &str| meta.finalizers.iter().any(|known| known == finalizer);
        let owners = meta.owner_references.iter();
        Self {
            uid: meta.uid.clone(),
            gvr,
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            owners: owners.map(|owner| (owner.uid.clone(), owner.block_owner_deletion == Some(true))).collect(),
            deleting: meta.deletion_timestamp.is_some(),
            foreground: has(FOREGROUND),
            orphaning: has(ORPHAN),
        }
    }

    /// It goes once its dependents are gone.
    pub fn waits_for_dependents(&self) -> bool {
        self.deleting && self.foreground
    }
}

/// All objects.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: HashMap<String, Node>,
    /// Owner to dependents; owners need not exist.
    dependents: HashMap<String, BTreeSet<String>>,
}

impl Graph {
    /// One object.
    pub fn get(&self, uid: &str) -> Option<Node> {
        self.nodes.get(uid).cloned()
    }

    /// Takes an object in. Gives the uids that must be looked at.
    pub fn put(&mut self, node: Node) -> Vec<String> {
        let uid = node.uid.clone();
        let before = self.nodes.insert(uid.clone(), node.clone());
        let was_going = before.as_ref().is_some_and(|before| before.deleting);
        if before.as_ref().map(|before| &before.owners) != Some(&node.owners) {
            if let Some(before) = &before {
                self.unlink(before);
            }
            for (owner, _) in &node.owners {
                self.dependents.entry(owner.clone()).or_default().insert(uid.clone());
            }
        }
        let mut looks = Vec::new();
        // Owners of whom nothing is known may be gone; those that wait want their dependents gone, or hear that a
        // dependent no longer keeps them.
        let before_owners = before.iter().flat_map(|before| before.owners.clone());
        for (owner, _) in node.owners.iter().cloned().chain(before_owners) {
            match self.nodes.get(&owner) {
                None => looks.push(uid.clone()),
                Some(known) if known.waits_for_dependents() => looks.extend([uid.clone(), owner]),
                Some(_) => {}
            }
        }
        if node.deleting && (node.orphaning || node.foreground) {
            looks.push(uid.clone());
            if node.foreground && !was_going {
                looks.extend(self.dependents(&uid));
            }
        }
        looks.sort();
        looks.dedup();
        looks
    }

    /// Takes an object out. Gives the uids that must be looked at: its dependents, and owners that waited for it.
    pub fn remove(&mut self, uid: &str) -> Vec<String> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        self.unlink(&node);
        let mut looks = self.dependents(uid);
        for (owner, _) in &node.owners {
            if self.nodes.get(owner).is_some_and(Node::waits_for_dependents) {
                looks.push(owner.clone());
            }
        }
        looks
    }

    /// The objects that name this owner.
    pub fn dependents(&self, uid: &str) -> Vec<String> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Somebody names this owner.
    pub fn has_dependents(&self, uid: &str) -> bool {
        self.dependents.contains_key(uid)
    }

    /// Those that keep their owner from being gone, and the others.
    pub fn dependents_by_blocking(&self, uid: &str) -> (Vec<String>, Vec<String>) {
        let blocks = |dependent: &String| {
            let node = self.nodes.get(dependent);
            node.is_some_and(|node| node.owners.iter().any(|(owner, blocks)| owner == uid && *blocks))
        };
        self.dependents(uid).into_iter().partition(blocks)
    }

    /// Uids of a resource that are known but not among `listed`: they vanished unheard.
    pub fn vanished(&self, gvr: &Gvr, listed: &BTreeSet<String>) -> Vec<String> {
        let of_resource = self.nodes.values().filter(|node| node.gvr == *gvr);
        of_resource.filter(|node| !listed.contains(&node.uid)).map(|node| node.uid.clone()).collect()
    }

    fn unlink(&mut self, node: &Node) {
        for (owner, _) in &node.owners {
            if let Some(dependents) = self.dependents.get_mut(owner) {
                dependents.remove(&node.uid);
                if dependents.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(uid: &str, owners: &[&str]) -> Node {
        Node {
            uid: uid.into(),
            gvr: (String::new(), "v1".into(), "pods".into()),
            namespace: "n".into(),
            name: uid.into(),
            owners: owners.iter().map(|owner| ((*owner).to_owned(), true)).collect(),
            deleting: false,
            foreground: false,
            orphaning: false,
        }
    }

    #[test]
    fn dependents_of_a_removed_owner_are_looked_at() {
        let mut graph = Graph::default();
        assert!(graph.put(node("owner", &[])).is_empty());
        assert!(graph.put(node("a", &["owner"])).is_empty());
        assert!(graph.put(node("b", &["owner"])).is_empty());
        assert_eq!(graph.remove("owner"), ["a", "b"]);
    }

    #[test]
    fn object_of_an_unknown_owner_is_looked_at() {
        assert_eq!(Graph::default().put(node("a", &["never"])), ["a"]);
    }

    #[test]
    fn foreground_deletion_looks_at_dependents_and_hears_when_they_are_gone() {
        let mut graph = Graph::default();
        graph.put(node("owner", &[]));
        graph.put(node("a", &["owner"]));
        let going = Node { deleting: true, foreground: true, ..node("owner", &[]) };
        assert_eq!(graph.put(going), ["a", "owner"]);
        assert_eq!(graph.dependents_by_blocking("owner").0, ["a"]);
        assert_eq!(graph.remove("a"), ["owner"]);
        assert!(!graph.has_dependents("owner"));
    }

    #[test]
    fn disowned_object_is_no_dependent_any_more() {
        let mut graph = Graph::default();
        graph.put(node("owner", &[]));
        graph.put(node("a", &["owner"]));
        graph.put(node("a", &[]));
        assert!(!graph.has_dependents("owner"));
        assert!(graph.remove("owner").is_empty());
    }

    #[test]
    fn what_vanished_unheard_is_found() {
        let mut graph = Graph::default();
        graph.put(node("a", &[]));
        graph.put(node("b", &[]));
        let listed = BTreeSet::from(["b".to_owned()]);
        assert_eq!(graph.vanished(&node("x", &[]).gvr, &listed), ["a"]);
    }
}
