//! What the loads send: objects as JSON, with a place for their names.

/// Where the loads' objects live.
pub const NAMESPACE: &str = "load";
/// Where the watched objects live.
pub const WATCHED: &str = "watched";
/// Leases of nodes.
pub const LEASES: &str = "kube-node-lease";
/// All of them.
pub const NAMESPACES: [&str; 3] = [NAMESPACE, WATCHED, LEASES];

/// A pod as a Deployment makes it; served with its defaults and owners it has about 2.9 KB of JSON, stored about 2 KB.
pub fn pod(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{"app":"web","tier":"frontend","pod-template-hash":"7d4b9c6f5d","team":"payments"}},"annotations":{{"example.com/checksum":"5f4dcc3b5aa765d61d8327deb882cf99"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7d4b9c6f5d","uid":"0d9e2f4a-3c1b-4e5d-8f6a-7b8c9d0e1f2a","controller":true,"blockOwnerDeletion":true}}]}},"spec":{{"automountServiceAccountToken":false,"containers":[{{"name":"web","image":"registry.example.com/payments/web:v1.42.0","ports":[{{"name":"http","containerPort":8080}}],"env":[{{"name":"LOG_LEVEL","value":"info"}}],"resources":{{"requests":{{"cpu":"100m","memory":"128Mi"}},"limits":{{"memory":"256Mi"}}}},"readinessProbe":{{"httpGet":{{"path":"/ready","port":8080}},"periodSeconds":10}}}}]}}}}"#
    )
}

/// A ConfigMap of about 1 KB.
pub fn config_map(name: &str) -> String {
    let line = "key=value and some more of it; ".repeat(28);
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"settings":"{line}"}}}}"#)
}

/// A status as a kubelet writes it; `count` makes each one another.
pub fn status(count: u64) -> String {
    let condition =
        |kind: &str| format!(r#"{{"type":"{kind}","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}}"#);
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition).join(",");
    format!(
        r#"{{"status":{{"phase":"Running","message":"state {count}","hostIP":"10.0.0.1","podIP":"10.1.2.3","startTime":"2026-01-01T00:00:00Z","conditions":[{conditions}]}}}}"#
    )
}

/// A node's lease at a version (empty: a new one), renewed at a microsecond of a minute.
pub fn lease(name: &str, version: &str, micros: u64) -> String {
    let (second, micros) = (micros / 1_000_000 % 60, micros % 1_000_000);
    format!(
        r#"{{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"name":"{name}","namespace":"{LEASES}","resourceVersion":"{version}"}},"spec":{{"holderIdentity":"{name}","leaseDurationSeconds":40,"renewTime":"2026-01-01T00:00:{second:02}.{micros:06}Z"}}}}"#
    )
}

/// The objects of a kind in a namespace.
pub fn path(namespace: &str, plural: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{plural}")
}

/// The version in an object's JSON.
pub fn version(body: &[u8]) -> Option<&str> {
    let begin = crate::wire::find(body, br#""resourceVersion":""#)? + 19;
    let end = begin + crate::wire::find(&body[begin..], b"\"")?;
    std::str::from_utf8(&body[begin..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_is_json() {
        for body in [pod("a"), config_map("a"), status(1), lease("a", "", 61_000_001)] {
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(value.is_object(), "{body}");
        }
    }

    #[test]
    fn the_version_of_an_answer_is_found() {
        assert_eq!(version(br#"{"metadata":{"name":"a","resourceVersion":"17"}}"#), Some("17"));
        assert_eq!(version(b"{}"), None);
    }
}
