//! The objects of flow control that every cluster has, as plain data: upstream's mandatory and suggested ones.

use proto::flowcontrol::v1::{
    ExemptPriorityLevelConfiguration, FlowDistinguisherMethod, FlowSchema, GroupSubject, LimitResponse,
    LimitedPriorityLevelConfiguration, NonResourcePolicyRule, PolicyRulesWithSubjects, PriorityLevelConfiguration,
    PriorityLevelConfigurationReference, QueuingConfiguration, ResourcePolicyRule, ServiceAccountSubject, Subject,
    UserSubject,
};

/// Says whether the apiserver keeps an object's spec as it is here.
pub const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// The level that holds nobody up, and the one for what no other schema is about. Both are always there, as are the schemas
/// of the same names.
pub const EXEMPT: &str = "exempt";
pub const CATCH_ALL: &str = "catch-all";

/// True for what the apiserver cannot do without.
pub fn is_mandatory(name: &str) -> bool {
    matches!(name, EXEMPT | CATCH_ALL)
}

/// The levels.
pub fn levels() -> Vec<PriorityLevelConfiguration> {
    let mut exempt = level(EXEMPT, "Exempt");
    exempt.spec.exempt =
        Some(ExemptPriorityLevelConfiguration { nominal_concurrency_shares: Some(0), lendable_percent: Some(0) });
    vec![
        exempt,
        limited(CATCH_ALL, 5, 0, None),
        limited("global-default", 20, 50, Some((128, 6))),
        limited("leader-election", 10, 0, Some((16, 4))),
        limited("node-high", 40, 25, Some((64, 6))),
        limited("system", 30, 33, Some((64, 6))),
        limited("workload-high", 40, 50, Some((128, 6))),
        limited("workload-low", 100, 90, Some((128, 6))),
    ]
}

fn level(name: &str, kind: &str) -> PriorityLevelConfiguration {
    let mut level = PriorityLevelConfiguration::default();
    level.metadata.name = name.to_owned();
    level.metadata.annotations.insert(AUTOUPDATE.to_owned(), "true".to_owned());
    level.spec.r#type = kind.to_owned();
    level
}

fn limited(name: &str, shares: i32, lendable: i32, queues: Option<(i32, i32)>) -> PriorityLevelConfiguration {
    let mut level = level(name, "Limited");
    let queuing = queues.map(|(queues, hand_size)| QueuingConfiguration { queues, hand_size, queue_length_limit: 50 });
    let kind = if queuing.is_some() { "Queue" } else { "Reject" };
    level.spec.limited = Some(LimitedPriorityLevelConfiguration {
        nominal_concurrency_shares: Some(shares),
        limit_response: LimitResponse { r#type: kind.to_owned(), queuing },
        lendable_percent: Some(lendable),
        borrowing_limit_percent: None,
    });
    level
}

/// The schemas.
pub fn flow_schemas() -> Vec<FlowSchema> {
    let everybody = || vec![group("system:unauthenticated"), group("system:authenticated")];
    let manager = || user("system:kube-controller-manager");
    let scheduler = || user("system:kube-scheduler");
    let nodes = || vec![group("system:nodes")];
    let all = |subjects| about(subjects, vec![everything()], vec![paths(&["*"], &["*"])]);
    let leases = |verbs: &[&str]| resources(verbs, "coordination.k8s.io", &["leases"], false);
    let probes = paths(&["get"], &["/healthz", "/readyz", "/livez"]);
    let of_nodes = resources(&["*"], "", &["nodes", "nodes/status"], true);
    let electing = vec![manager(), scheduler(), accounts("kube-system")];
    vec![
        schema(EXEMPT, EXEMPT, 1, "", all(vec![group("system:masters")])),
        schema("probes", EXEMPT, 2, "", about(everybody(), Vec::new(), vec![probes])),
        schema(
            "system-leader-election",
            "leader-election",
            100,
            "ByUser",
            about(electing, vec![leases(&["get", "create", "update"])], Vec::new()),
        ),
        schema(
            "system-node-high",
            "node-high",
            400,
            "ByUser",
            about(nodes(), vec![of_nodes, leases(&["*"])], Vec::new()),
        ),
        schema("system-nodes", "system", 500, "ByUser", all(nodes())),
        schema("kube-controller-manager", "workload-high", 800, "ByNamespace", all(vec![manager()])),
        schema("kube-scheduler", "workload-high", 800, "ByNamespace", all(vec![scheduler()])),
        schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", all(vec![accounts("kube-system")])),
        schema("service-accounts", "workload-low", 9000, "ByUser", all(vec![group("system:serviceaccounts")])),
        schema("global-default", "global-default", 9900, "ByUser", all(everybody())),
        schema(CATCH_ALL, CATCH_ALL, 10000, "ByUser", all(everybody())),
    ]
}

fn schema(name: &str, level: &str, precedence: i32, by: &str, rules: PolicyRulesWithSubjects) -> FlowSchema {
    let mut schema = FlowSchema::default();
    schema.metadata.name = name.to_owned();
    schema.metadata.annotations.insert(AUTOUPDATE.to_owned(), "true".to_owned());
    schema.spec.priority_level_configuration = PriorityLevelConfigurationReference { name: level.to_owned() };
    schema.spec.matching_precedence = precedence;
    schema.spec.distinguisher_method = (!by.is_empty()).then(|| FlowDistinguisherMethod { r#type: by.to_owned() });
    schema.spec.rules = vec![rules];
    schema
}

fn about(
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourcePolicyRule>,
    non_resource_rules: Vec<NonResourcePolicyRule>,
) -> PolicyRulesWithSubjects {
    PolicyRulesWithSubjects { subjects, resource_rules, non_resource_rules }
}

fn group(name: &str) -> Subject {
    let group = Some(GroupSubject { name: name.to_owned() });
    Subject { kind: "Group".to_owned(), group, ..Subject::default() }
}

fn user(name: &str) -> Subject {
    let user = Some(UserSubject { name: name.to_owned() });
    Subject { kind: "User".to_owned(), user, ..Subject::default() }
}

fn accounts(namespace: &str) -> Subject {
    let service_account = Some(ServiceAccountSubject { namespace: namespace.to_owned(), name: "*".to_owned() });
    Subject { kind: "ServiceAccount".to_owned(), service_account, ..Subject::default() }
}

fn everything() -> ResourcePolicyRule {
    ResourcePolicyRule { api_groups: owned(&["*"]), ..resources(&["*"], "", &["*"], true) }
}

fn resources(verbs: &[&str], group: &str, resources: &[&str], cluster_scope: bool) -> ResourcePolicyRule {
    ResourcePolicyRule {
        verbs: owned(verbs),
        api_groups: owned(&[group]),
        resources: owned(resources),
        cluster_scope,
        namespaces: owned(&["*"]),
    }
}

fn paths(verbs: &[&str], urls: &[&str]) -> NonResourcePolicyRule {
    NonResourcePolicyRule { verbs: owned(verbs), non_resource_urls: owned(urls) }
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|item| (*item).to_owned()).collect()
}
