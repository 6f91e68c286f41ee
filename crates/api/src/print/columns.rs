//! The printer columns of every built-in resource, one row a resource: what a Table shows by default and with wide output.

use super::Column;

/// The columns of a resource of the API; `None` for custom resources.
pub fn columns(group: &str, resource: &str) -> Option<&'static [Column]> {
    COLUMNS.iter().find(|row| row.0 == group && row.1 == resource).map(|row| row.2)
}

/// What a resource without columns of its own shows.
pub const PLAIN: &[Column] = &[name("Name"), date("Age")];

type Row = (&'static str, &'static str, &'static [Column]);

const fn name(name: &'static str) -> Column {
    Column { name, kind: "string", format: "name", priority: 0 }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: "string", format: "", priority: 0 }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: "integer", format: "", priority: 0 }
}

const fn flag(name: &'static str) -> Column {
    Column { name, kind: "boolean", format: "", priority: 0 }
}

const fn date(name: &'static str) -> Column {
    Column { name, kind: "date", format: "", priority: 0 }
}

const fn wide(column: Column) -> Column {
    Column { priority: 1, ..column }
}

#[rustfmt::skip]
const COLUMNS: &[Row] = &[
    ("", "componentstatuses", &[name("Name"), text("Status"), text("Message"), text("Error")]),
    ("", "configmaps", &[name("Name"), text("Data"), text("Age")]),
    ("", "endpoints", &[name("Name"), text("Endpoints"), text("Age")]),
    ("", "events", &[text("Last Seen"), text("Type"), text("Reason"), text("Object"), wide(text("Subobject")), wide(text("Source")), text("Message"), wide(text("First Seen")), wide(text("Count")), wide(name("Name"))]),
    ("", "limitranges", &[name("Name"), date("Created At")]),
    ("", "namespaces", &[name("Name"), text("Status"), text("Age")]),
    ("", "nodes", &[name("Name"), text("Status"), text("Roles"), text("Age"), text("Version"), wide(text("Internal-IP")), wide(text("External-IP")), wide(text("OS-Image")), wide(text("Kernel-Version")), wide(text("Container-Runtime"))]),
    ("", "persistentvolumes", &[name("Name"), text("Capacity"), text("Access Modes"), text("Reclaim Policy"), text("Status"), text("Claim"), text("StorageClass"), text("VolumeAttributesClass"), text("Reason"), text("Age"), wide(text("VolumeMode"))]),
    ("", "persistentvolumeclaims", &[name("Name"), text("Status"), text("Volume"), text("Capacity"), text("Access Modes"), text("StorageClass"), text("VolumeAttributesClass"), text("Age"), wide(text("VolumeMode"))]),
    ("", "pods", &[name("Name"), text("Ready"), text("Status"), text("Restarts"), text("Age"), wide(text("IP")), wide(text("Node")), wide(text("Nominated Node")), wide(text("Readiness Gates"))]),
    ("", "podtemplates", &[name("Name"), text("Containers"), text("Images"), text("Pod Labels")]),
    ("", "replicationcontrollers", &[name("Name"), int("Desired"), int("Current"), int("Ready"), text("Age"), wide(text("Containers")), wide(text("Images")), wide(text("Selector"))]),
    ("", "resourcequotas", &[name("Name"), text("Request"), text("Limit"), text("Age")]),
    ("", "secrets", &[name("Name"), text("Type"), text("Data"), text("Age")]),
    ("", "services", &[name("Name"), text("Type"), text("Cluster-IP"), text("External-IP"), text("Port(s)"), text("Age"), wide(text("Selector"))]),
    ("", "serviceaccounts", &[name("Name"), text("Age")]),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", &[name("Name"), int("Mutations"), text("ParamKind"), text("Age")]),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings", &[name("Name"), text("PolicyName"), text("ParamRef"), text("Age")]),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", &[name("Name"), int("Webhooks"), text("Age")]),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", &[name("Name"), int("Validations"), text("ParamKind"), text("Age")]),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", &[name("Name"), text("PolicyName"), text("ParamRef"), text("Age")]),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", &[name("Name"), int("Webhooks"), text("Age")]),
    ("apiextensions.k8s.io", "customresourcedefinitions", &[name("Name"), date("Created At")]),
    ("apiregistration.k8s.io", "apiservices", &[name("Name"), text("Service"), text("Available"), text("Age")]),
    ("apps", "controllerrevisions", &[name("Name"), text("Controller"), text("Revision"), text("Age")]),
    ("apps", "daemonsets", &[name("Name"), int("Desired"), int("Current"), int("Ready"), int("Up-to-date"), int("Available"), text("Node Selector"), text("Age"), wide(text("Containers")), wide(text("Images")), wide(text("Selector"))]),
    ("apps", "deployments", &[name("Name"), text("Ready"), text("Up-to-date"), text("Available"), text("Age"), wide(text("Containers")), wide(text("Images")), wide(text("Selector"))]),
    ("apps", "replicasets", &[name("Name"), int("Desired"), int("Current"), int("Ready"), text("Age"), wide(text("Containers")), wide(text("Images")), wide(text("Selector"))]),
    ("apps", "statefulsets", &[name("Name"), text("Ready"), text("Age"), wide(text("Containers")), wide(text("Images"))]),
    ("autoscaling", "horizontalpodautoscalers", &[name("Name"), text("Reference"), text("Targets"), text("MinPods"), text("MaxPods"), text("Replicas"), text("Age")]),
    ("batch", "cronjobs", &[name("Name"), text("Schedule"), text("Timezone"), flag("Suspend"), int("Active"), text("Last Schedule"), text("Age"), wide(text("Containers")), wide(text("Images")), wide(text("Selector"))]),
    ("batch", "jobs", &[name("Name"), text("Status"), text("Completions"), text("Duration"), text("Age"), wide(text("Containers")), wide(text("Images")), wide(text("Selector"))]),
    ("certificates.k8s.io", "certificatesigningrequests", &[name("Name"), text("Age"), text("SignerName"), text("Requestor"), text("RequestedDuration"), text("Condition")]),
    ("coordination.k8s.io", "leases", &[name("Name"), text("Holder"), text("Age")]),
    ("discovery.k8s.io", "endpointslices", &[name("Name"), text("AddressType"), text("Ports"), text("Endpoints"), text("Age")]),
    ("events.k8s.io", "events", &[text("Last Seen"), text("Type"), text("Reason"), text("Object"), wide(text("Subobject")), wide(text("Source")), text("Message"), wide(text("First Seen")), wide(text("Count")), wide(name("Name"))]),
    ("flowcontrol.apiserver.k8s.io", "flowschemas", &[name("Name"), text("PriorityLevel"), text("MatchingPrecedence"), text("DistinguisherMethod"), text("Age"), text("MissingPL")]),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", &[name("Name"), text("Type"), text("NominalConcurrencyShares"), text("Queues"), text("HandSize"), text("QueueLengthLimit"), text("Age")]),
    ("networking.k8s.io", "ipaddresses", &[name("Name"), text("ParentRef")]),
    ("networking.k8s.io", "ingresses", &[name("Name"), text("Class"), text("Hosts"), text("Address"), text("Ports"), text("Age")]),
    ("networking.k8s.io", "ingressclasses", &[name("Name"), text("Controller"), text("Parameters"), text("Age")]),
    ("networking.k8s.io", "networkpolicies", &[name("Name"), text("Pod-Selector"), text("Age")]),
    ("networking.k8s.io", "servicecidrs", &[name("Name"), text("CIDRs"), text("Age")]),
    ("node.k8s.io", "runtimeclasses", &[name("Name"), text("Handler"), text("Age")]),
    ("policy", "poddisruptionbudgets", &[name("Name"), text("Min Available"), text("Max Unavailable"), int("Allowed Disruptions"), text("Age")]),
    ("rbac.authorization.k8s.io", "clusterroles", &[name("Name"), date("Created At")]),
    ("rbac.authorization.k8s.io", "clusterrolebindings", &[name("Name"), text("Role"), text("Age"), wide(text("Users")), wide(text("Groups")), wide(text("ServiceAccounts"))]),
    ("rbac.authorization.k8s.io", "roles", &[name("Name"), date("Created At")]),
    ("rbac.authorization.k8s.io", "rolebindings", &[name("Name"), text("Role"), text("Age"), wide(text("Users")), wide(text("Groups")), wide(text("ServiceAccounts"))]),
    ("resource.k8s.io", "deviceclasses", &[name("Name"), text("Age")]),
    ("resource.k8s.io", "resourceclaims", &[name("Name"), text("State"), text("Age")]),
    ("resource.k8s.io", "resourceclaimtemplates", &[name("Name"), text("Age")]),
    ("resource.k8s.io", "resourceslices", &[name("Name"), text("Node"), text("Driver"), text("Pool"), text("Age")]),
    ("scheduling.k8s.io", "priorityclasses", &[name("Name"), int("Value"), flag("Global-Default"), text("Age"), text("PreemptionPolicy")]),
    ("storage.k8s.io", "csidrivers", &[name("Name"), flag("AttachRequired"), flag("PodInfoOnMount"), flag("StorageCapacity"), text("TokenRequests"), flag("RequiresRepublish"), text("Modes"), text("Age")]),
    ("storage.k8s.io", "csinodes", &[name("Name"), int("Drivers"), text("Age")]),
    ("storage.k8s.io", "csistoragecapacities", &[name("Name"), date("Created At")]),
    ("storage.k8s.io", "storageclasses", &[name("Name"), text("Provisioner"), text("ReclaimPolicy"), text("VolumeBindingMode"), text("AllowVolumeExpansion"), text("Age")]),
    ("storage.k8s.io", "volumeattachments", &[name("Name"), name("Attacher"), text("PV"), text("Node"), flag("Attached"), text("Age")]),
    ("storage.k8s.io", "volumeattributesclasses", &[name("Name"), text("DriverName"), text("Age")]),
];
