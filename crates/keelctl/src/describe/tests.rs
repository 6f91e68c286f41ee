use serde_json::json;

use super::*;
use crate::output::tabs::details;

fn now() -> Timestamp {
    "2020-01-01T00:01:00Z".parse().unwrap()
}

fn running() -> Value {
    json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "priority": 0, "serviceAccountName": "default", "nodeName": "node-1",
            "containers": [{"name": "c", "image": "registry.example/busybox:1", "command": ["sleep", "3600"],
                "volumeMounts": [{"name": "v", "mountPath": "/data", "readOnly": true}]}],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "tolerations": [{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.5", "hostIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.5"}], "startTime": "2020-01-01T00:00:00Z", "qosClass": "BestEffort",
            "conditions": [{"type": "PodReadyToStartContainers", "status": "True"}, {"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0, "containerID": "containerd://x", "imageID": "sha256:y", "state": {"running": {"startedAt": "2020-01-01T00:00:01Z"}}, "lastState": {}}],
        },
    })
}

#[test]
fn a_pod_reads_as_kubectl_describes_it() {
    let event = json!({"type": "Normal", "reason": "Started", "message": "Container started", "count": 1, "source": {"component": "kubelet"},
        "firstTimestamp": "2020-01-01T00:00:58Z", "lastTimestamp": "2020-01-01T00:00:58Z", "involvedObject": {"fieldPath": "spec.containers{c}"}});
    let beside = Beside { events: vec![event], ..Beside::default() };
    let want = "\
Name:             p
Namespace:        n
Priority:         0
Service Account:  default
Node:             node-1/10.0.0.1
Start Time:       Wed, 01 Jan 2020 00:00:00 +0000
Labels:           <none>
Annotations:      <none>
Status:           Running
IP:               10.0.0.5
IPs:
  IP:  10.0.0.5
Containers:
  c:
    Container ID:  containerd://x
    Image:         registry.example/busybox:1
    Image ID:      sha256:y
    Port:          <none>
    Host Port:     <none>
    Command:
      sleep
      3600
    State:          Running
      Started:      Wed, 01 Jan 2020 00:00:01 +0000
    Ready:          True
    Restart Count:  0
    Environment:    <none>
    Mounts:
      /data from v (ro)
Conditions:
  Type                        Status
  PodReadyToStartContainers   True 
  Ready                       True 
Volumes:
  v:
    Type:        EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:      
    SizeLimit:   <unset>
QoS Class:       BestEffort
Node-Selectors:  <none>
Tolerations:     node.kubernetes.io/unreachable:NoExecute op=Exists for 300s
Events:
  Type    Reason   Age   From     Message
  ----    ------   ----  ----     -------
  Normal  Started  2s    kubelet  spec.containers{c}: Container started
";
    assert_eq!(details(&text("Pod", &running(), &beside, now())), want);
}

#[test]
fn a_deployment_reads_as_kubectl_describes_it() {
    let object = json!({
        "metadata": {"name": "d", "namespace": "n", "uid": "u", "creationTimestamp": "2020-01-01T00:00:00Z", "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i:1", "command": ["sleep"], "env": [{"name": "V", "value": "2"}]}]}}},
        "status": {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]},
    });
    let set = |name: &str, revision: &str, replicas: i64| {
        json!({"metadata": {"name": name, "annotations": {"deployment.kubernetes.io/revision": revision}, "ownerReferences": [{"uid": "u"}]},
            "spec": {"replicas": replicas}, "status": {"replicas": replicas}})
    };
    let beside = Beside { replica_sets: vec![set("d-1", "1", 0), set("d-2", "2", 3)], ..Beside::default() };
    let want = "\
Name:                   d
Namespace:              n
CreationTimestamp:      Wed, 01 Jan 2020 00:00:00 +0000
Labels:                 <none>
Annotations:            deployment.kubernetes.io/revision: 2
Selector:               app=x
Replicas:               3 desired | 3 updated | 3 total | 3 available | 0 unavailable
StrategyType:           RollingUpdate
MinReadySeconds:        0
RollingUpdateStrategy:  0 max unavailable, 1 max surge
Pod Template:
  Labels:  app=x
  Containers:
   c:
    Image:      i:1
    Port:       <none>
    Host Port:  <none>
    Command:
      sleep
    Environment:
      V:           2
    Mounts:        <none>
  Volumes:         <none>
  Node-Selectors:  <none>
  Tolerations:     <none>
Conditions:
  Type           Status  Reason
  ----           ------  ------
  Available      True    MinimumReplicasAvailable
OldReplicaSets:  d-1 (0/0 replicas created)
NewReplicaSet:   d-2 (3/3 replicas created)
Events:          <none>
";
    assert_eq!(details(&text("Deployment", &object, &beside, now())), want);
}

#[test]
fn no_kind_is_without_a_description() {
    let lease = json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "l", "namespace": "n"}, "spec": {"holderIdentity": "me"}});
    let got = details(&text("Lease", &lease, &Beside::default(), now()));
    assert!(got.contains("Spec:\n  Holder Identity:  me\n"), "{got}");
    for kind in [
        "Service",
        "Endpoints",
        "Node",
        "Namespace",
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Job",
        "DaemonSet",
        "StatefulSet",
        "ReplicaSet",
        "PriorityClass",
    ] {
        assert!(
            text(kind, &json!({"metadata": {"name": "x"}}), &Beside::default(), now()).starts_with("Name:\tx\n"),
            "{kind}"
        );
    }
}
