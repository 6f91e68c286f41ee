//! Upstream's node authorizer: what a node may read follows from the pods that are bound to it. Pure.
//!
//! What it does not allow, roles still may. Writes that depend on the object that is written are allowed here, and
//! judged by the admission plugin NodeRestriction.

use proto::rbac::v1::PolicyRule;

use super::Attributes;
use super::graph::{Graph, Owned};
use super::references::Kind;
use super::rule;
use crate::authenticate::User;

/// The namespace of the nodes' leases.
pub const LEASES: &str = "kube-node-lease";

/// What this authorizer says.
#[derive(Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It may.
    Allowed,
    /// Not because it is a node, and why not; empty: there is nothing to say.
    Refused(String),
}

type Judged = Result<(), String>;

/// The opinion about a node; none about everybody else.
pub fn judge(graph: &Graph, rules: &[PolicyRule], user: &User, attributes: &Attributes<'_>) -> Option<Opinion> {
    let name = user.node()?;
    if name.is_empty() {
        return Some(Opinion::Refused(format!("unknown node for user {:?}", user.name)));
    }
    let node = Node { name, graph, rules };
    Some(match node.judge(attributes) {
        Ok(()) => Opinion::Allowed,
        Err(why) => Opinion::Refused(why),
    })
}

struct Node<'a> {
    name: &'a str,
    graph: &'a Graph,
    rules: &'a [PolicyRule],
}

impl Node<'_> {
    fn judge(&self, of: &Attributes<'_>) -> Judged {
        match (of.group, of.resource) {
            _ if !of.path.is_empty() => self.by_rules(of),
            ("", "secrets") => self.read(Kind::Secret, of),
            ("", "configmaps") => self.read(Kind::ConfigMap, of),
            ("", "persistentvolumeclaims") if of.subresource == "status" => self.write_claim_status(of),
            ("", "persistentvolumeclaims") => self.get(of, || self.concerns(Kind::Claim, of)),
            ("", "persistentvolumes") => self.get(of, || self.graph.mounts(self.name, of.name)),
            ("resource.k8s.io", "resourceclaims") => self.get(of, || self.concerns(Kind::ResourceClaim, of)),
            ("storage.k8s.io", "volumeattachments") => {
                self.get(of, || self.graph.owns(self.name, Owned::Attachment, of.name))
            }
            ("", "serviceaccounts") => self.service_account(of),
            ("coordination.k8s.io", "leases") => self.lease(of),
            ("storage.k8s.io", "csinodes") => self.csi_node(of),
            ("resource.k8s.io", "resourceslices") => self.slice(of),
            ("", "nodes") => self.node(of),
            ("", "pods") => self.pod(of),
            _ => self.by_rules(of),
        }
    }

    fn by_rules(&self, of: &Attributes<'_>) -> Judged {
        allow(rule::any_allows(self.rules, of), "")
    }

    fn concerns(&self, kind: Kind, of: &Attributes<'_>) -> bool {
        self.graph.concerns(self.name, kind, of.namespace, of.name)
    }

    fn related(&self, of: &Attributes<'_>, related: impl FnOnce() -> bool) -> Judged {
        allow(!of.name.is_empty(), "No Object name found")?;
        if related() {
            return Ok(());
        }
        Err(format!("no relationship found between node '{}' and this object", self.name))
    }

    fn get(&self, of: &Attributes<'_>, related: impl FnOnce() -> bool) -> Judged {
        allow(of.verb == "get", "can only get individual resources of this type")?;
        allow(of.subresource.is_empty(), "cannot get subresource")?;
        self.related(of, related)
    }

    /// Single objects also by list and watch: nodes follow what their pods use.
    fn read(&self, kind: Kind, of: &Attributes<'_>) -> Judged {
        allow(matches!(of.verb, "get" | "list" | "watch"), "can only read resources of this type")?;
        allow(of.subresource.is_empty(), "cannot read subresource")?;
        allow(!of.namespace.is_empty(), "can only read namespaced object of this type")?;
        self.related(of, || self.concerns(kind, of))
    }

    fn write_claim_status(&self, of: &Attributes<'_>) -> Judged {
        let writes = matches!(of.verb, "get" | "update" | "patch");
        allow(writes, "can only get/update/patch this type")?;
        self.related(of, || self.concerns(Kind::Claim, of))
    }

    fn service_account(&self, of: &Attributes<'_>) -> Judged {
        if (of.verb, of.subresource) == ("get", "") {
            return self.related(of, || self.concerns(Kind::ServiceAccount, of));
        }
        let single = of.verb == "create" && !of.name.is_empty();
        allow(single, "can only create tokens for individual service accounts")?;
        allow(of.subresource == "token", "can only create token subresource of serviceaccount")?;
        self.related(of, || self.concerns(Kind::ServiceAccount, of))
    }

    fn lease(&self, of: &Attributes<'_>) -> Judged {
        let verbs = "can only get, create, update, patch, or delete a node lease";
        allow(matches!(of.verb, "get" | "create" | "update" | "patch" | "delete"), verbs)?;
        if of.namespace != LEASES {
            return Err(format!("can only access leases in the {LEASES:?} system namespace"));
        }
        let own = of.verb == "create" || of.name == self.name;
        allow(own, "can only access node lease with the same name as the requesting node")
    }

    fn csi_node(&self, of: &Attributes<'_>) -> Judged {
        let verbs = "can only get, create, update, patch, or delete a CSINode";
        allow(matches!(of.verb, "get" | "create" | "update" | "patch" | "delete"), verbs)?;
        allow(of.subresource.is_empty(), "cannot authorize CSINode subresources")?;
        let own = of.verb == "create" || of.name == self.name;
        allow(own, "can only access CSINode with the same name as the requesting node")
    }

    fn slice(&self, of: &Attributes<'_>) -> Judged {
        allow(of.subresource.is_empty(), "cannot authorize ResourceSlice subresources")?;
        match of.verb {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => {
                self.related(of, || self.graph.owns(self.name, Owned::Slice, of.name))
            }
            "list" | "watch" | "deletecollection" => allow(
                self.selects_own(of, "spec.nodeName"),
                "can only list/watch/deletecollection resourceslices with nodeName field selector",
            ),
            _ => Err("only the following verbs are allowed for a ResourceSlice: \
                      get, watch, list, create, update, patch, delete, deletecollection"
                .to_owned()),
        }
    }

    fn node(&self, of: &Attributes<'_>) -> Judged {
        match (of.subresource, of.verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            // By name, so that a node can look for its object before there is one.
            ("", "get" | "list" | "watch") if of.name == self.name => Ok(()),
            ("", "get" | "list" | "watch") => Err(match of.name {
                "" => format!("node '{}' cannot read all nodes, only its own Node object", self.name),
                other => format!("node '{}' cannot read '{other}', only its own Node object", self.name),
            }),
            _ => Err(String::new()),
        }
    }

    fn pod(&self, of: &Attributes<'_>) -> Judged {
        match (of.subresource, of.verb) {
            ("", "get") => self.related(of, || self.graph.runs(self.name, of.namespace, of.name)),
            ("", "list" | "watch") => {
                let own = self.selects_own(of, "spec.nodeName");
                allow(own, "can only list/watch pods with spec.nodeName field selector")
            }
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => Err(String::new()),
        }
    }

    fn selects_own(&self, of: &Attributes<'_>, field: &str) -> bool {
        let selector = api::selector::fields::Selector::parse(of.fields).unwrap_or_default();
        selector.required_value(field) == Some(self.name)
    }
}

fn allow(condition: bool, otherwise: &str) -> Judged {
    if condition { Ok(()) } else { Err(otherwise.to_owned()) }
}
