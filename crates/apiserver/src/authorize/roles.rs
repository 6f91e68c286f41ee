//! The fixed roles, until roles are objects: what each daemon's identity may do. Read it as a table.

use super::Attributes;
use crate::authenticate::User;

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch"];
const CHANGE: &[&str] = &["get", "update", "patch"];
const ALL: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

const CORE: &str = "";
const APPS: &str = "apps";
const LEASES: &str = "coordination.k8s.io";
const EVENTS: &str = "events.k8s.io";
const SLICES: &str = "discovery.k8s.io";
const NETWORK: &str = "networking.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const ANY: &str = "*";

/// Which names a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Any,
    /// Only the caller's own node's.
    OwnNode,
}

/// verbs, group, resources (with subresources), namespace ("*": any), names.
type Rule = (&'static [&'static str], &'static str, &'static [&'static str], &'static str, Names);

/// What a node agent may do.
const NODE: &[Rule] = &[
    (READ, CORE, &["nodes", "services", "endpoints", "namespaces"], ANY, Names::Any),
    (WRITE, CORE, &["nodes", "nodes/status"], ANY, Names::OwnNode),
    (&["get", "list", "watch", "create", "delete"], CORE, &["pods"], ANY, Names::Any),
    (CHANGE, CORE, &["pods/status", "pods/resize"], ANY, Names::Any),
    (&["create"], CORE, &["pods/eviction"], ANY, Names::Any),
    (
        READ,
        CORE,
        &["configmaps", "secrets", "serviceaccounts", "persistentvolumeclaims", "persistentvolumes"],
        ANY,
        Names::Any,
    ),
    (CHANGE, CORE, &["persistentvolumeclaims/status"], ANY, Names::Any),
    (&["create"], CORE, &["serviceaccounts/token"], ANY, Names::Any),
    (WRITE, CORE, &["events"], ANY, Names::Any),
    (WRITE, EVENTS, &["events"], ANY, Names::Any),
    (&["get", "create", "update", "patch", "delete"], LEASES, &["leases"], "kube-node-lease", Names::OwnNode),
    (READ, SLICES, &["endpointslices"], ANY, Names::Any),
    (READ, "node.k8s.io", &["runtimeclasses"], ANY, Names::Any),
    (READ, STORAGE, &["csidrivers", "volumeattachments", "storageclasses"], ANY, Names::Any),
    (&["get", "create", "update", "patch", "delete"], STORAGE, &["csinodes"], ANY, Names::OwnNode),
];

const SCHEDULER: &[Rule] = &[
    (
        READ,
        CORE,
        &[
            "pods",
            "nodes",
            "namespaces",
            "services",
            "replicationcontrollers",
            "persistentvolumes",
            "persistentvolumeclaims",
        ],
        ANY,
        Names::Any,
    ),
    (&["create"], CORE, &["pods/binding", "bindings"], ANY, Names::Any),
    (CHANGE, CORE, &["pods/status"], ANY, Names::Any),
    (&["delete"], CORE, &["pods"], ANY, Names::Any),
    (&["update", "patch"], CORE, &["persistentvolumes", "persistentvolumeclaims"], ANY, Names::Any),
    (WRITE, CORE, &["events"], ANY, Names::Any),
    (WRITE, EVENTS, &["events"], ANY, Names::Any),
    (READ, APPS, &["replicasets", "statefulsets"], ANY, Names::Any),
    (READ, "policy", &["poddisruptionbudgets"], ANY, Names::Any),
    (READ, "scheduling.k8s.io", &["priorityclasses"], ANY, Names::Any),
    (
        READ,
        STORAGE,
        &["storageclasses", "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments"],
        ANY,
        Names::Any,
    ),
    (ALL, LEASES, &["leases"], "kube-system", Names::Any),
];

/// The controllers act on nearly everything, but on no node agent's behalf, and read no more secrets than they must.
const CONTROLLER_MANAGER: &[Rule] = &[
    (ALL, CORE, &["*"], ANY, Names::Any),
    (ALL, APPS, &["*"], ANY, Names::Any),
    (ALL, "batch", &["*"], ANY, Names::Any),
    (ALL, "autoscaling", &["*"], ANY, Names::Any),
    (ALL, "policy", &["*"], ANY, Names::Any),
    (ALL, LEASES, &["*"], ANY, Names::Any),
    (ALL, EVENTS, &["*"], ANY, Names::Any),
    (ALL, SLICES, &["*"], ANY, Names::Any),
    (ALL, NETWORK, &["*"], ANY, Names::Any),
    (ALL, STORAGE, &["*"], ANY, Names::Any),
    (ALL, "node.k8s.io", &["*"], ANY, Names::Any),
    (ALL, "scheduling.k8s.io", &["*"], ANY, Names::Any),
    (ALL, "rbac.authorization.k8s.io", &["*"], ANY, Names::Any),
    (ALL, "resource.k8s.io", &["*"], ANY, Names::Any),
    (ALL, "certificates.k8s.io", &["*"], ANY, Names::Any),
    (ALL, "admissionregistration.k8s.io", &["*"], ANY, Names::Any),
    (ALL, "apiextensions.k8s.io", &["*"], ANY, Names::Any),
    (ALL, "apiregistration.k8s.io", &["*"], ANY, Names::Any),
    (ALL, "flowcontrol.apiserver.k8s.io", &["*"], ANY, Names::Any),
];

const PROXY: &[Rule] = &[
    (READ, CORE, &["services", "endpoints", "nodes", "namespaces", "pods"], ANY, Names::Any),
    (READ, SLICES, &["endpointslices"], ANY, Names::Any),
    (READ, NETWORK, &["servicecidrs", "networkpolicies"], ANY, Names::Any),
    (WRITE, CORE, &["events"], ANY, Names::Any),
    (WRITE, EVENTS, &["events"], ANY, Names::Any),
];

const DNS: &[Rule] = &[
    (READ, CORE, &["services", "endpoints", "namespaces", "pods", "nodes"], ANY, Names::Any),
    (READ, SLICES, &["endpointslices"], ANY, Names::Any),
];

/// user, name of the role, its rules. Node agents are told by their group.
const USERS: &[(&str, &str, &[Rule])] = &[
    ("system:kube-scheduler", "scheduler", SCHEDULER),
    ("system:kube-controller-manager", "controller-manager", CONTROLLER_MANAGER),
    ("system:kube-proxy", "proxy", PROXY),
    ("system:kube-dns", "dns", DNS),
];

/// The name of the caller's role, where it allows this.
pub fn granting(user: &User, attributes: &Attributes<'_>) -> Option<&'static str> {
    let (role, rules) = role(user)?;
    rules.iter().any(|rule| allows(rule, user, attributes)).then_some(role)
}

fn role(user: &User) -> Option<(&'static str, &'static [Rule])> {
    if user.node().is_some() {
        return Some(("node", NODE));
    }
    USERS.iter().find(|(name, ..)| *name == user.name).map(|(_, role, rules)| (*role, *rules))
}

fn allows((verbs, group, resources, namespace, names): &Rule, user: &User, attributes: &Attributes<'_>) -> bool {
    let path = attributes.path();
    let own = || {
        // A creation names its object in the body only; admission of names is the server's own check then.
        attributes.name.is_empty() && attributes.verb == "create" || user.node() == Some(attributes.name)
    };
    verbs.contains(&attributes.verb)
        && *group == attributes.group
        && (resources.contains(&"*") || resources.contains(&path.as_str()))
        && (*namespace == ANY || *namespace == attributes.namespace)
        && (*names == Names::Any || own())
}
