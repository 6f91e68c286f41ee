//! What is wrong with pods, claims, volumes, nodes and Services, told by reason and field as upstream does.

#[path = "rules/rules.rs"]
mod rules;

use rules::{check, check_status, check_update};
use serde_json::{Value, json};

/// A pod of one container, with more in its spec and in the container.
fn pod(spec: Value, container: Value) -> Value {
    let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (key, value) in container.as_object().expect("a map") {
        pod["spec"]["containers"][0][key] = value.clone();
    }
    for (key, value) in spec.as_object().expect("a map") {
        pod["spec"][key] = value.clone();
    }
    pod
}

#[track_caller]
fn check_spec(spec: Value, expect: &[&str]) {
    check("v1", "Pod", pod(spec, json!({})), expect);
}

#[track_caller]
fn check_container(container: Value, expect: &[&str]) {
    check("v1", "Pod", pod(json!({}), container), expect);
}

#[track_caller]
fn check_volume(volume: Value, expect: &[&str]) {
    let mut volume = volume;
    volume["name"] = json!("v");
    check_spec(json!({"volumes": [volume]}), expect);
}

#[test]
fn of_two_sources_the_later_one_is_refused_and_only_the_first_judged() {
    check_volume(json!({"hostPath": {"path": ""}, "emptyDir": {}}), &["Forbidden spec.volumes[0].hostPath"]);
    check_volume(json!({}), &[]);
    let bad = json!({"volumes": [{"name": "V", "emptyDir": {}}]});
    let mounts = json!({"volumeMounts": [{"name": "V", "mountPath": "/v"}]});
    let expect = &["Invalid spec.volumes[0].name", "NotFound spec.containers[0].volumeMounts[0].name"];
    check("v1", "Pod", pod(bad, mounts), expect);
}

#[test]
fn files_of_the_downward_api_are_named_without_their_index() {
    let file = |path: &str| json!({"path": path, "fieldRef": {"fieldPath": "metadata.name"}});
    check_volume(json!({"downwardAPI": {"items": [file("../x")]}}), &["Invalid spec.volumes[0].downwardAPI.path"]);
    let divided =
        json!({"path": "f", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "2"}});
    let expect = &["Invalid spec.volumes[0].downwardAPI.resourceFieldRef.divisor"];
    check_volume(json!({"downwardAPI": {"items": [divided]}}), expect);
}

#[test]
fn projected_files_do_not_lie_on_each_other() {
    let secret = |path: &str| json!({"secret": {"name": "s", "items": [{"key": "k", "path": path}]}});
    check_volume(json!({"projected": {"sources": [secret("a"), secret("b")]}}), &[]);
    check_volume(json!({"projected": {"sources": [secret("a"), secret("a")]}}), &["Invalid spec.volumes[0].projected"]);
    let token = json!({"serviceAccountToken": {"path": ""}});
    check_volume(json!({"projected": {"sources": [token]}}), &["Required spec.volumes[0].projected.path"]);
    let both = json!({"secret": {"name": "s"}, "configMap": {"name": "m"}});
    check_volume(json!({"projected": {"sources": [both]}}), &["Forbidden spec.volumes[0].projected.sources[0]"]);
}

#[test]
fn claims_that_are_made_for_a_pod_have_labels_and_nothing_else() {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let template = |meta: Value| json!({"ephemeral": {"volumeClaimTemplate": {"metadata": meta, "spec": spec}}});
    check_volume(template(json!({"labels": {"a": "b"}})), &[]);
    let expect = &["Forbidden spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.finalizers"];
    check_volume(template(json!({"finalizers": ["a/b"]})), expect);
}

#[test]
fn an_environment_shows_what_there_is() {
    let from = |source: Value| json!({"env": [{"name": "E", "valueFrom": source}]});
    let at = "spec.containers[0].env[0].valueFrom";
    let invalid = |field: &str| format!("Invalid {at}.{field}");
    let unsupported = format!("NotSupported {at}.fieldRef.fieldPath");
    check_container(from(json!({"fieldRef": {"fieldPath": "status.phase"}})), &[&unsupported]);
    check_container(from(json!({"fieldRef": {"fieldPath": "spec.none"}})), &[&invalid("fieldRef.fieldPath")]);
    check_container(from(json!({"fieldRef": {"fieldPath": "metadata.labels['a b']"}})), &[&invalid("fieldRef")]);
    check_container(from(json!({"secretKeyRef": {"key": "k"}})), &[&invalid("secretKeyRef.name")]);
    check_container(json!({"envFrom": [{}]}), &["Invalid spec.containers[0].envFrom"]);
}

#[test]
fn ports_of_the_host_are_given_once() {
    let port = |host: i32| json!([{"containerPort": 80, "hostPort": host}]);
    let two = json!({"containers": [
        {"name": "a", "image": "i", "ports": port(8080)},
        {"name": "b", "image": "i", "ports": port(8080)},
    ]});
    check_spec(two, &["Duplicate spec.containers[1].ports[0].hostPort"]);
}

#[test]
fn mounts_are_where_nothing_else_is() {
    let volumes = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
    let with = |mount: Value| {
        let mut mount = mount;
        mount["name"] = json!("v");
        mount["mountPath"] = json!("/v");
        pod(volumes.clone(), json!({"volumeMounts": [mount]}))
    };
    let both = with(json!({"subPath": "a", "subPathExpr": "b"}));
    check("v1", "Pod", both, &["Invalid spec.containers[0].volumeMounts[0].subPathExpr"]);
    let open = with(json!({"recursiveReadOnly": "Enabled"}));
    check("v1", "Pod", open, &["Forbidden spec.containers[0].volumeMounts.recursiveReadOnly"]);
    let other = with(json!({"recursiveReadOnly": "Never"}));
    check("v1", "Pod", other, &["NotSupported spec.containers[0].volumeMounts.recursiveReadOnly"]);
}

#[test]
fn restart_rules_name_codes() {
    let rules = |rule: Value| json!({"restartPolicy": "Never", "restartPolicyRules": [rule]});
    let codes = json!({"operator": "In", "values": [1]});
    check_container(rules(json!({"action": "Restart", "exitCodes": codes})), &[]);
    let at = "spec.containers[0].restartPolicyRules[0]";
    check_container(rules(json!({"action": "Restart"})), &[&format!("Required {at}.exitCodes")]);
    check_container(rules(json!({"action": "Stop", "exitCodes": codes})), &[&format!("NotSupported {at}.action")]);
    let mut alone = rules(json!({"action": "Restart", "exitCodes": codes}));
    alone["restartPolicy"] = Value::Null;
    check_container(alone, &["Required spec.containers[0].restartPolicy"]);
}

#[test]
fn each_system_has_settings_of_its_own() {
    let of = |os: &str, more: Value| {
        let mut spec = json!({"os": {"name": os}});
        for (key, value) in more.as_object().expect("a map") {
            spec[key] = value.clone();
        }
        spec
    };
    let options = json!({"securityContext": {"windowsOptions": {"runAsUserName": "u"}}});
    check_spec(of("linux", options.clone()), &["Forbidden spec.securityContext.windowsOptions"]);
    check_spec(of("windows", options), &[]);
    check_spec(of("windows", json!({"hostPID": true})), &["Forbidden spec.hostPID"]);
    check_spec(of("plan9", json!({})), &["NotSupported spec.os"]);
    let host = json!({"securityContext": {"windowsOptions": {"hostProcess": true}}});
    check_spec(host, &["Invalid spec.hostNetwork"]);
    let user = json!({"securityContext": {"windowsOptions": {"runAsUserName": "a\\b\\c"}}});
    check_spec(user, &["Invalid spec.securityContext.windowsOptions.runAsUserName"]);
}

#[test]
fn affinity_is_about_labels() {
    let term = |more: Value| {
        let mut term = json!({"topologyKey": "k"});
        for (key, value) in more.as_object().expect("a map") {
            term[key] = value.clone();
        }
        json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
    };
    let at = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]";
    check_spec(term(json!({"namespaces": ["A"]})), &[&format!("Invalid {at}.namespace")]);
    check_spec(term(json!({"matchLabelKeys": ["a"]})), &[&format!("Forbidden {at}.matchLabelKeys")]);
    let both = json!({"matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"], "labelSelector": {}});
    check_spec(term(both), &[&format!("Invalid {at}.matchLabelKeys[0]")]);
    let nodes = |values: Value| {
        let expression = json!({"key": "k", "operator": "In", "values": values});
        let required = json!({"nodeSelectorTerms": [{"matchExpressions": [expression]}]});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
    };
    let values = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values[0]";
    check_spec(nodes(json!(["a b"])), &[&format!("Invalid {values}")]);
}

#[test]
fn annotations_of_pods_mean_something() {
    let of = |key: &str, value: &str| {
        let mut pod = pod(json!({}), json!({}));
        pod["metadata"] = json!({"annotations": {key: value}});
        pod
    };
    let check = |key: &str, value: &str, expect: &[&str]| check("v1", "Pod", of(key, value), expect);
    let mirror = "kubernetes.io/config.mirror";
    check(mirror, "x", &[&format!("Invalid metadata.annotations[{mirror}]")]);
    let cost = "controller.kubernetes.io/pod-deletion-cost";
    check(cost, "5", &[]);
    check(cost, "+5", &[&format!("Invalid metadata.annotations[{cost}]")]);
    let profile = "container.apparmor.security.beta.kubernetes.io/d";
    check(profile, "unconfined", &[&format!("Invalid metadata.annotations[{profile}]")]);
}

#[test]
fn a_pod_that_is_held_back_is_only_narrowed() {
    let held = |more: Value| {
        let mut spec = json!({"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}});
        for (key, value) in more.as_object().expect("a map") {
            spec[key] = value.clone();
        }
        pod(spec, json!({}))
    };
    check_update("v1", "Pod", held(json!({})), held(json!({"nodeSelector": {"a": "b", "c": "d"}})), &[]);
    let other = held(json!({"nodeSelector": {"a": "c"}}));
    check_update("v1", "Pod", held(json!({})), other, &["Invalid spec.nodeSelector"]);
    check("v1", "Pod", held(json!({"nodeName": "n"})), &["Forbidden spec.nodeName"]);
}

#[test]
fn a_pods_status_says_what_can_be() {
    let status = |status: Value| {
        let mut pod = pod(json!({}), json!({}));
        pod["status"] = status;
        pod
    };
    let check = |new: Value, expect: &[&str]| check_status("v1", "Pod", status(json!({})), status(new), expect);
    check(json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}), &[]);
    check(json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}), &["Invalid status.podIPs"]);
    check(json!({"hostIPs": [{"ip": "10.0.0.1"}]}), &["Invalid status.hostIPs[0].ip"]);
    check(json!({"qosClass": "Burstable"}), &["Invalid status.qosClass"]);
    check(json!({"conditions": [{"type": "a b", "status": "True"}]}), &["Invalid metadata.conditions[0].Type"]);
}

#[test]
fn quantities_fit_their_resources() {
    let requests = |list: Value| json!({"resources": {"limits": list}});
    let at = "spec.containers[0].resources.limits";
    let huge = json!({"hugepages-2Mi": "3Mi", "memory": "1Gi"});
    let limits = format!("Invalid {at}[hugepages-2Mi]");
    // Requests are made like the limits.
    let expect = [&limits, "Invalid spec.containers[0].resources.requests[hugepages-2Mi]"];
    check_container(requests(huge), &expect);
    let named = json!({"resources": {"requests": {"requests.a.b/c": "1"}, "limits": {"requests.a.b/c": "1"}}});
    let expect = [
        "Invalid spec.containers[0].resources.limits[requests.a.b/c]",
        "Invalid spec.containers[0].resources.requests[requests.a.b/c]",
    ];
    check_container(named, &expect);
    check_spec(json!({"overhead": {"apples": "1"}}), &["Invalid spec.overhead.limits[apples]"; 2]);
}

#[test]
fn services_are_reached_by_addresses_that_can_be() {
    let service = |spec: Value| {
        let mut all = json!({"ports": [{"port": 80}]});
        for (key, value) in spec.as_object().expect("a map") {
            all[key] = value.clone();
        }
        json!({"spec": all})
    };
    let check = |spec: Value, expect: &[&str]| check("v1", "Service", service(spec), expect);
    check(json!({"externalIPs": ["224.0.0.1"]}), &["Invalid spec.externalIPs[0]"]);
    check(json!({"externalIPs": ["::ffff:10.0.0.1"]}), &["Invalid spec.externalIPs[0]"]);
    check(json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80, "targetPort": 81}]}), &[]);
    let ranges = json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]});
    check(ranges, &["Invalid spec.LoadBalancerSourceRanges[0]"]);
    let ingress = |ingress: Value| {
        let mut service = service(json!({"type": "LoadBalancer"}));
        service["status"] = json!({"loadBalancer": {"ingress": [ingress]}});
        service
    };
    let old = service(json!({"type": "LoadBalancer"}));
    let at = "status.loadBalancer.ingress[0]";
    let named = ingress(json!({"hostname": "10.0.0.1"}));
    check_status("v1", "Service", old.clone(), named, &[&format!("Invalid {at}.hostname")]);
    let mode = ingress(json!({"ipMode": "VIP"}));
    check_status("v1", "Service", old, mode, &[&format!("Forbidden {at}.ipMode")]);
}

#[test]
fn volumes_and_claims_stay_what_they_are() {
    let claim = |more: Value| {
        let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        for (key, value) in more.as_object().expect("a map") {
            spec[key] = value.clone();
        }
        json!({"spec": spec, "status": {"phase": "Bound"}})
    };
    let with = |size: &str| claim(json!({"resources": {"requests": {"storage": size}}}));
    check_update("v1", "PersistentVolumeClaim", with("1Gi"), with("2Gi"), &[]);
    check("v1", "PersistentVolumeClaim", with("0"), &["Invalid spec.resources[storage]"]);
    let group = json!({"dataSource": {"kind": "Other", "name": "n"}});
    check("v1", "PersistentVolumeClaim", claim(group), &["Invalid spec.dataSource"]);
    let volume = |mode: &str| {
        let source = json!({"path": "/x"});
        json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": source, "volumeMode": mode}})
    };
    let fixed = &["Invalid volumeMode"];
    check_update("v1", "PersistentVolume", volume("Block"), volume("Filesystem"), fixed);
}

#[test]
fn nodes_have_ranges_of_two_families_at_most() {
    let node = |ranges: Value| json!({"spec": {"podCIDRs": ranges}});
    check("v1", "Node", node(json!(["10.0.0.0/24", "fd00::/64"])), &[]);
    check("v1", "Node", node(json!(["10.0.0.0/24", "10.1.0.0/24"])), &["Invalid spec.podCIDRs"]);
    let address = json!({"type": "InternalIP", "address": "10.0.0.1"});
    let twice = json!({"status": {"addresses": [address, address]}});
    check_status("v1", "Node", json!({}), twice, &["Duplicate status.addresses[1]"]);
}
