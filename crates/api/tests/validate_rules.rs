//! What is wrong with objects of each kind, told by reason and field, in upstream's order.

#[path = "rules/rules.rs"]
mod rules;

use rules::{check, check_status, check_update};
use serde_json::{Value, json};

fn pods(restart: &str) -> Value {
    json!({"metadata": {"labels": {"k": "v"}}, "spec": {"restartPolicy": restart, "containers": [{"name": "main", "image": "i"}]}})
}

/// A spec with what every workload says, and more.
fn workload(more: Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"k": "v"}}, "template": pods("Always")});
    for (key, value) in more.as_object().expect("a map") {
        spec[key] = value.clone();
    }
    json!({ "spec": spec })
}

fn job(more: Value) -> Value {
    let mut spec = json!({"template": pods("Never")});
    for (key, value) in more.as_object().expect("a map") {
        spec[key] = value.clone();
    }
    json!({ "spec": spec })
}

#[test]
fn jobs_have_policies_that_fit_their_mode() {
    let check = |more, expect: &[&str]| check("batch/v1", "Job", job(more), expect);
    check(json!({}), &[]);
    check(json!({"completionMode": "Indexed", "parallelism": 2}), &["Required spec.completions"]);
    check(json!({"maxFailedIndexes": 1}), &["Required spec.backoffLimitPerIndex", "Invalid spec.maxFailedIndexes"]);
    let rule = |rule: Value| json!({"podFailurePolicy": {"rules": [rule]}});
    check(rule(json!({"action": "Count", "onExitCodes": {"operator": "In", "values": [1, 2]}})), &[]);
    let at = |field: &str| format!("Invalid spec.podFailurePolicy.rules[0]{field}");
    check(rule(json!({"action": "Count"})), &[&at("")]);
    check(
        rule(json!({"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [0], "containerName": "no"}})),
        &[&at(".action"), &at(".onExitCodes.containerName"), &at(".onExitCodes.values[0]")],
    );
    let indexed =
        |rule: Value| json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [rule]}});
    check(indexed(json!({"succeededIndexes": "0,2"})), &[]);
    check(indexed(json!({"succeededIndexes": "2,0"})), &["Invalid spec.successPolicy.rules[0].succeededIndexes"]);
    check(indexed(json!({"succeededCount": 4})), &["Invalid spec.successPolicy.rules[0].succeededCount"]);
    check(indexed(json!({})), &["Required spec.successPolicy.rules[0]"]);
    check(json!({"managedBy": "me"}), &["Invalid spec.managedBy"]);
}

#[test]
fn a_suspended_job_may_still_choose_its_nodes() {
    let placed = |suspend: bool, node: &str| {
        let mut spec = job(json!({"suspend": suspend}));
        spec["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": node});
        let generated = json!({"controller-uid": "u", "batch.kubernetes.io/controller-uid": "u", "job-name": "x",
            "batch.kubernetes.io/job-name": "x", "k": "v"});
        spec["spec"]["template"]["metadata"]["labels"] = generated;
        spec["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}});
        spec["metadata"] = json!({"uid": "u"});
        spec
    };
    check_update("batch/v1", "Job", placed(true, "a"), placed(true, "b"), &[]);
    check_update("batch/v1", "Job", placed(false, "a"), placed(false, "b"), &["Invalid spec.template"]);
}

#[test]
fn a_job_ends_in_one_way_and_only_once() {
    let status = |status: Value| {
        let mut job = job(json!({}));
        job["status"] = status;
        job
    };
    let complete = json!({"startTime": "2030-01-01T00:00:00Z", "completionTime": "2030-01-01T00:01:00Z", "conditions":
        [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]});
    check_status("batch/v1", "Job", status(json!({})), status(complete.clone()), &[]);
    let lost: &[&str] = &["Invalid status.conditions", "Invalid status.conditions", "Invalid status.completionTime"];
    check_status("batch/v1", "Job", status(complete), status(json!({})), lost);
    let early = json!({"completionTime": "2030-01-01T00:01:00Z"});
    check_status("batch/v1", "Job", status(json!({})), status(early), &["Invalid status.completionTime"]);
}

#[test]
fn stateful_sets_and_daemons_change_some_of_their_spec() {
    let set = |more| workload(more);
    check("apps/v1", "StatefulSet", set(json!({"podManagementPolicy": "X"})), &["Invalid spec.podManagementPolicy"]);
    let rolling = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": -1, "maxUnavailable": "0%"}}});
    let at = |field: &str| format!("Invalid spec.updateStrategy.rollingUpdate.{field}");
    // maxUnavailable is off by default, and dropped.
    check("apps/v1", "StatefulSet", set(rolling), &[&at("partition")]);
    let mut mounted = set(json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}));
    mounted["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/d"}]);
    check("apps/v1", "StatefulSet", mounted, &[]);
    check_update("apps/v1", "StatefulSet", set(json!({})), set(json!({"replicas": 3, "ordinals": {"start": 1}})), &[]);
    check_update("apps/v1", "StatefulSet", set(json!({})), set(json!({"serviceName": "s"})), &["Forbidden spec"]);
    let other =
        json!({"selector": {"matchLabels": {"k": "v"}, "matchExpressions": [{"key": "k", "operator": "Exists"}]}});
    check_update("apps/v1", "DaemonSet", set(json!({})), set(other), &["Invalid spec.selector"]);
    let none = json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}});
    check("apps/v1", "DaemonSet", set(none), &["Required spec.updateStrategy.rollingUpdate.maxUnavailable"]);
    let status = |ready: i32| json!({"status": {"replicas": 1, "readyReplicas": ready}});
    let more: &[&str] = &["Invalid status.readyReplicas"];
    check_status("apps/v1", "StatefulSet", status(1), status(2), more);
    let old = json!({"data": {"a": 1}, "revision": 1});
    check_update("apps/v1", "ControllerRevision", old, json!({"data": {"a": 2}, "revision": 1}), &["Invalid data"]);
}

#[test]
fn autoscalers_have_one_source_for_each_metric() {
    let scaler = |more: Value| {
        let mut spec =
            json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": 3});
        for (key, value) in more.as_object().expect("a map") {
            spec[key] = value.clone();
        }
        json!({ "spec": spec })
    };
    let check = |more, expect: &[&str]| check("autoscaling/v2", "HorizontalPodAutoscaler", scaler(more), expect);
    check(json!({}), &[]);
    let target = json!({"type": "Value", "value": "1", "averageValue": "1"});
    let external = json!({"type": "External", "external": {"metric": {"name": "m"}, "target": target}});
    check(json!({"metrics": [external]}), &["Forbidden spec.metrics[0].external.target.value"]);
    let two = json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}},
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 1}}});
    check(json!({"metrics": [two]}), &["Forbidden spec.metrics[0].resource"]);
    let rules =
        json!({"scaleDown": {"selectPolicy": "X", "policies": [{"type": "Pods", "value": 0, "periodSeconds": 1}]}});
    let at = "spec.behavior.scaleDown";
    check(
        json!({"behavior": rules}),
        &[&format!("NotSupported {at}.selectPolicy"), &format!("Invalid {at}.policies[0].value")],
    );
}

#[test]
fn ingresses_lead_somewhere() {
    let path = |path: &str, kind: &str| {
        let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
        json!({"spec": {"rules": [{"host": "h.example", "http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}}]}})
    };
    let check = |rest, expect: &[&str]| check("networking.k8s.io/v1", "Ingress", rest, expect);
    check(path("/a", "Prefix"), &[]);
    check(path("a", "Exact"), &["Invalid spec.rules[0].http.paths[0].path"]);
    check(path("/a/../b", "Prefix"), &["Invalid spec.rules[0].http.paths[0].path"]);
    check(path("/a", "Some"), &["NotSupported spec.rules[0].http.paths[0].pathType"]);
    check(
        json!({"spec": {"defaultBackend": {}, "tls": [{"hosts": ["*.*.x"]}]}}),
        &["Invalid spec.defaultBackend", "Invalid spec.tls[0].hosts[0]"],
    );
    let class = |controller: &str| json!({"spec": {"controller": controller}});
    check_update("networking.k8s.io/v1", "IngressClass", class("a.b/c"), class("a.b/d"), &["Invalid spec.controller"]);
}

#[test]
fn network_policies_name_ports_and_peers() {
    let ingress = |rule: Value| json!({"spec": {"podSelector": {}, "ingress": [rule]}});
    let check = |rest, expect: &[&str]| check("networking.k8s.io/v1", "NetworkPolicy", rest, expect);
    check(ingress(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]})), &[]);
    let outside = json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}}]});
    check(ingress(outside), &["Invalid spec.ingress[0].from[0].ipBlock.except[0]"]);
    let both = json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]});
    check(ingress(both), &["Forbidden spec.ingress[0].from[0]"]);
    check(ingress(json!({"ports": [{"endPort": 9}]})), &["Invalid spec.ingress[0].ports[0].endPort"]);
}

#[test]
fn roles_are_bound_once() {
    let binding =
        |name: &str| json!({"roleRef": {"kind": "Role", "name": name}, "subjects": [{"kind": "User", "name": "u"}]});
    check_update("rbac.authorization.k8s.io/v1", "RoleBinding", binding("a"), binding("b"), &["Invalid roleRef"]);
    let account =
        json!({"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]});
    check("rbac.authorization.k8s.io/v1", "RoleBinding", account, &["Required subjects[0].namespace"]);
    check(
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        json!({"metadata": {"name": "a:b"}, "rules": [{"nonResourceURLs": ["/x"]}]}),
        &["Required rules[0].verbs"],
    );
}

#[test]
fn webhooks_and_policies_say_what_they_are_about() {
    let hook = |more: Value| {
        let mut hook = json!({"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "s", "namespace": "n"}}});
        for (key, value) in more.as_object().expect("a map") {
            hook[key] = value.clone();
        }
        json!({"webhooks": [hook]})
    };
    let check_hook = |more, expect: &[&str]| {
        check("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", hook(more), expect)
    };
    check_hook(json!({}), &[]);
    check_hook(json!({"name": "a.b"}), &["Invalid webhooks[0].name"]);
    check_hook(json!({"clientConfig": {}}), &["Required webhooks[0].clientConfig"]);
    check_hook(
        json!({"clientConfig": {"url": "https://u@h/p?q"}}),
        &["Invalid webhooks[0].clientConfig.url", "Invalid webhooks[0].clientConfig.url"],
    );
    check_hook(json!({"sideEffects": "Some"}), &["NotSupported webhooks[0].sideEffects"]);
    check_hook(json!({"reinvocationPolicy": "Often"}), &["NotSupported webhooks[0].reinvocationPolicy"]);
    let policy = |more: Value| {
        let rule = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]});
        let mut spec = json!({"matchConstraints": {"resourceRules": [rule]}});
        for (key, value) in more.as_object().expect("a map") {
            spec[key] = value.clone();
        }
        json!({ "spec": spec })
    };
    let check_policy = |more, expect: &[&str]| {
        check("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", policy(more), expect)
    };
    check_policy(json!({}), &["Required spec.validations", "Required spec.auditAnnotations"]);
    let rule = |text: &str| json!({"validations": [{"expression": text}], "variables": [{"name": "v", "expression": "object.x"}]});
    check_policy(rule("variables.v > 1"), &[]);
    for text in ["variables.w > 1", "params.x", "object.", "'a'"] {
        check_policy(rule(text), &["Invalid spec.validations[0].expression"]);
    }
    let binding = json!({"spec": {"policyName": "p", "validationActions": ["Deny", "Warn", "Deny"], "paramRef": {}}});
    let expect = &["Required spec.paramRef", "Duplicate spec.validationActions[2]", "Invalid spec.validationActions"];
    check("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", binding, expect);
}

#[test]
fn definitions_have_structural_schemas() {
    let definition = |schema: Value, more: Value| {
        let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
        let mut spec = json!({"group": "a.example", "scope": "Cluster", "names": {"plural": "things", "kind": "Thing"}, "versions": [version]});
        for (key, value) in more.as_object().expect("a map") {
            spec[key] = value.clone();
        }
        json!({"metadata": {"name": "things.a.example"}, "spec": spec})
    };
    let check = |schema, more, expect: &[&str]| {
        check("apiextensions.k8s.io/v1", "CustomResourceDefinition", definition(schema, more), expect)
    };
    let plain = || json!({"type": "object"});
    let root = "spec.validation.openAPIV3Schema";
    check(plain(), json!({}), &[]);
    check(plain(), json!({"scope": "Some"}), &["NotSupported spec.scope"]);
    let hooked = json!({"conversion": {"strategy": "Webhook"}});
    check(
        plain(),
        hooked,
        &["Required spec.conversion.webhookClientConfig", "Required spec.conversion.conversionReviewVersions"],
    );
    let field = |field: Value| json!({"type": "object", "properties": {"f": field}});
    check(
        field(json!({"type": "string", "default": 1})),
        json!({}),
        &[&format!("TypeInvalid {root}.properties[f].default")],
    );
    check(
        field(json!({"type": "string", "allOf": [{"type": "string"}]})),
        json!({}),
        &[&format!("Forbidden {root}.properties[f].allOf[0].type")],
    );
    let list = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}}}});
    check(field(list), json!({}), &[&format!("Required {root}.properties[f].items.properties[k].default")]);
    let rule = |text: &str| json!({"type": "object", "properties": {"f": {"type": "integer"}}, "x-kubernetes-validations": [{"rule": text}]});
    check(rule("self.f > 1"), json!({}), &[]);
    check(rule("has(self.g)"), json!({}), &[&format!("Invalid {root}.x-kubernetes-validations[0].rule")]);
    rules_of_definitions(&|schema, expect| check(schema, json!({}), expect));
    let bare = json!([{"name": "v1", "served": true, "storage": true}]);
    check(plain(), json!({"versions": bare}), &["Required spec.versions[0].schema.openAPIV3Schema"]);
}

/// Rules are judged by their types, by where they stand, and by what they may cost.
fn rules_of_definitions(check: &dyn Fn(Value, &[&str])) {
    let root = "spec.validation.openAPIV3Schema";
    let with = |mut field: Value, rule: Value| {
        field["x-kubernetes-validations"] = json!([rule]);
        json!({"type": "object", "properties": {"f": field}})
    };
    let at = |place: &str| format!("Invalid {root}.properties[f].x-kubernetes-validations[0].{place}");
    let number = || json!({"type": "integer"});
    for (rule, place) in [
        (json!({"rule": "self == 'a'"}), "rule"),
        (json!({"rule": "self"}), "rule"),
        (json!({"rule": "other > 1"}), "rule"),
        (json!({"rule": "self > 1", "messageExpression": "self"}), "messageExpression"),
        (json!({"rule": "self > 1", "messageExpression": "self +"}), "messageExpression"),
        (json!({"rule": "self > 1", "optionalOldSelf": true}), "optionalOldSelf"),
        (json!({"rule": "self > oldSelf", "optionalOldSelf": true}), "rule"),
        (json!({"rule": "self > 1", "fieldPath": ".x"}), "fieldPath"),
    ] {
        check(with(number(), rule), &[&at(place)]);
    }
    check(with(number(), json!({"rule": "self > oldSelf"})), &[]);
    check(with(number(), json!({"rule": "self > oldSelf.orValue(0)", "optionalOldSelf": true})), &[]);
    // Items of a list that has no keys are not found again.
    let mut item = with(number(), json!({"rule": "self > oldSelf"}));
    let list =
        |item: &Value| json!({"type": "object", "properties": {"l": {"type": "array", "maxItems": 5, "items": item}}});
    let within = format!("{root}.properties[l].items.properties[f].x-kubernetes-validations[0].rule");
    check(list(&item), &[&format!("Invalid {within}")]);
    // What nothing bounds may be as large as a request.
    let dear = json!({"rule": "self.all(x, x.contains('a text'))"});
    let texts = |bounds: Value| {
        let mut list = json!({"type": "array", "items": {"type": "string"}});
        if let Some(max) = bounds.get(0) {
            list["maxItems"] = max.clone();
        }
        if let Some(max) = bounds.get(1) {
            list["items"]["maxLength"] = max.clone();
        }
        with(list, dear.clone())
    };
    let rule = format!("{root}.properties[f].x-kubernetes-validations[0].rule");
    let both: &[&str] = &[&format!("Forbidden {rule}"), &format!("Forbidden {rule}"), &format!("Forbidden {root}")];
    check(texts(json!([])), both);
    check(texts(json!([100, 1_000])), &[]);
    item = with(number(), json!({"rule": "self > 1 && self < 10 && self != 5 && self != 7"}));
    check(list(&item), &[]);
}

#[test]
fn quotas_and_ranges_are_about_known_resources() {
    let quota = |hard: Value, scopes: Value| json!({"spec": {"hard": hard, "scopes": scopes}});
    check("v1", "ResourceQuota", quota(json!({"pods": "1", "count/jobs.batch": "2"}), json!([])), &[]);
    check("v1", "ResourceQuota", quota(json!({"pods": "500m"}), json!([])), &["Invalid spec.hard[pods]"]);
    check(
        "v1",
        "ResourceQuota",
        quota(json!({"apples": "1"}), json!([])),
        &["Invalid spec.hard[apples]", "Invalid spec.hard[apples]"],
    );
    check("v1", "ResourceQuota", quota(json!({"cpu": "1"}), json!(["BestEffort"])), &["Invalid spec.scopes"]);
    let old = quota(json!({"pods": "1"}), json!(["Terminating"]));
    check_update("v1", "ResourceQuota", old, quota(json!({"pods": "1"}), json!([])), &["Invalid spec.scopes"]);
    let range = |item: Value| json!({"spec": {"limits": [item]}});
    check(
        "v1",
        "LimitRange",
        range(json!({"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}})),
        &["Invalid spec.limits[0].min[cpu]"],
    );
    check("v1", "LimitRange", range(json!({"type": "PersistentVolumeClaim"})), &["Required spec.limits[0].limits"]);
    check(
        "v1",
        "LimitRange",
        range(json!({"type": "Pod", "default": {"cpu": "1"}})),
        &["Forbidden spec.limits[0].default"],
    );
}

#[test]
fn storage_kinds_keep_what_others_rely_on() {
    let class = |mode: &str| json!({"provisioner": "p", "volumeBindingMode": mode});
    let fixed: &[&str] = &["Invalid volumeBindingMode"];
    check_update("storage.k8s.io/v1", "StorageClass", class("Immediate"), class("WaitForFirstConsumer"), fixed);
    check("storage.k8s.io/v1", "CSIDriver", json!({"metadata": {"name": "A_"}}), &["Invalid name"]);
    check(
        "storage.k8s.io/v1",
        "CSINode",
        json!({"spec": {"drivers": [{"name": "d", "nodeID": ""}]}}),
        &["Required spec.drivers[0].nodeID"],
    );
    let driver = |attach: bool| json!({"spec": {"attachRequired": attach}});
    check_update("storage.k8s.io/v1", "CSIDriver", driver(true), driver(false), &["Invalid spec.attachRequired"]);
    let attachment =
        |node: &str| json!({"spec": {"attacher": "a", "nodeName": node, "source": {"persistentVolumeName": "p"}}});
    check_update("storage.k8s.io/v1", "VolumeAttachment", attachment("a"), attachment("b"), &["Invalid spec"]);
}

#[test]
fn devices_are_asked_for_by_class() {
    let claim = |request: Value| json!({"spec": {"devices": {"requests": [request], "constraints": [{"requests": ["q"], "matchAttribute": "a.b/c"}]}}});
    let check = |request, expect: &[&str]| check("resource.k8s.io/v1", "ResourceClaim", claim(request), expect);
    let unknown = "Invalid spec.devices.constraints[0].requests[0]";
    check(json!({"name": "q", "exactly": {"deviceClassName": "c"}}), &[]);
    check(json!({"name": "r", "exactly": {"deviceClassName": "c"}}), &[unknown]);
    check(json!({"name": "q"}), &["Required spec.devices.requests[0]"]);
    let all = json!({"name": "q", "exactly": {"deviceClassName": "c", "allocationMode": "All", "count": 2}});
    check(all, &["Invalid spec.devices.requests[0].exactly.count"]);
}

#[test]
fn flow_control_counts() {
    let level = |limited: Value| json!({"spec": {"type": "Limited", "limited": limited}});
    let queue = |queuing: Value| level(json!({"limitResponse": {"type": "Queue", "queuing": queuing}}));
    let check_level =
        |rest, expect: &[&str]| check("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration", rest, expect);
    check_level(queue(json!({})), &[]);
    check_level(
        queue(json!({"queues": 10_000_000, "handSize": 9})),
        &["Invalid spec.limited.limitResponse.queuing.handSize"],
    );
    check_level(
        level(json!({"lendablePercent": 101, "limitResponse": {"type": "Reject"}})),
        &["Invalid spec.limited.lendablePercent"],
    );
    let schema = json!({"spec": {"matchingPrecedence": 10_001, "priorityLevelConfiguration": {"name": "l"}, "rules": [{"subjects": [{"kind": "User"}]}]}});
    let expect =
        &["Invalid spec.matchingPrecedence", "Required spec.rules[0].subjects[0].user", "Required spec.rules[0]"];
    check("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", schema, expect);
}

#[test]
fn small_kinds_have_their_rules() {
    let budget = json!({"spec": {"maxUnavailable": "101%", "selector": {}}});
    check("policy/v1", "PodDisruptionBudget", budget, &["Invalid spec.maxUnavailable"]);
    check("node.k8s.io/v1", "RuntimeClass", json!({"handler": "A_"}), &["Invalid handler"]);
    let service = json!({"metadata": {"name": "v1.g"}, "spec": {"group": "g", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 0, "service": {"name": "s", "namespace": ""}}});
    check(
        "apiregistration.k8s.io/v1",
        "APIService",
        service,
        &["Invalid spec.versionPriority", "Required spec.service.namespace"],
    );
    let request =
        json!({"spec": {"request": "", "signerName": "a/b", "usages": ["any", "any"], "expirationSeconds": 5}});
    let expect = &[
        "Invalid spec.request",
        "Duplicate spec.usages[1]",
        "Invalid spec.signerName",
        "Invalid spec.expirationSeconds",
    ];
    check("certificates.k8s.io/v1", "CertificateSigningRequest", request, expect);
}

#[test]
fn vendors_volumes_have_what_their_drivers_need() {
    let pod = |volume: Value| {
        let mut volume = volume;
        volume["name"] = json!("v");
        json!({"spec": {"containers": [{"name": "c", "image": "i", "terminationMessagePolicy": "File"}], "volumes": [volume]}})
    };
    let check = |volume, expect: &[&str]| check("v1", "Pod", pod(volume), expect);
    check(
        json!({"rbd": {"monitors": [], "image": ""}}),
        &["Required spec.volumes[0].rbd.monitors", "Required spec.volumes[0].rbd.image"],
    );
    check(json!({"fc": {"targetWWNs": ["w"]}}), &["Required spec.volumes[0].fc.lun"]);
    check(
        json!({"azureDisk": {"diskName": "d", "diskURI": "x", "kind": "Managed"}}),
        &["NotSupported spec.volumes[0].azureDisk.diskURI"],
    );
    check(json!({"quobyte": {"registry": "r", "volume": "v"}}), &["Invalid spec.volumes[0].quobyte.registry"]);
    check(
        json!({"flexVolume": {"driver": "a/b", "options": {"x.kubernetes.io/y": "z"}}}),
        &["Invalid spec.volumes[0].flexVolume.options[x.kubernetes.io/y]"],
    );
    check(
        json!({"csi": {"driver": ""}}),
        &["Required spec.volumes[0].csi.driver", "Invalid spec.volumes[0].csi.driver"],
    );
}
