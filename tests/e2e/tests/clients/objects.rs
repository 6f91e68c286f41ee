//! Objects read and written.

use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use test_e2e::{World, manifest};

use crate::kubectl::Kubectl;

const PLAIN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\ndata: {a: one}\n";

pub fn what_is_served_is_told(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "served")?;
    k.says(&["version"], "Server Version: v1.36")?;
    k.says(&["cluster-info"], "is running at")?;
    let resources = k.run(&["api-resources", "-o", "name", "--verbs=list"])?;
    for name in ["pods", "deployments.apps", "clusterroles.rbac.authorization.k8s.io", "events.events.k8s.io"] {
        ensure!(resources.lines().any(|line| line == name), "{name} is not in {resources}");
    }
    k.says(&["api-versions"], "autoscaling/v2")?;
    k.says(&["explain", "deployment.spec.strategy.rollingUpdate"], "maxSurge")?;
    k.says(&["explain", "pods", "--recursive"], "terminationGracePeriodSeconds")?;
    k.says(&["get", "--raw", "/readyz?verbose"], "[+]etcd ok")?;
    k.says(&["get", "--raw", "/openapi/v3"], "apis/apps/v1")?;
    k.fails(&["get", "nonsense"], "the server doesn't have a resource type \"nonsense\"")?;
    k.fails(&["top", "nodes"], "Metrics API not available")
}

pub fn objects_are_read_in_every_form(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "read")?;
    k.space.apply(&manifest::web("web", 2, "one", ""))?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.says(&["get", "all"], "deployment.apps/web")?;
    k.says(&["get", "pods", "-o", "wide"], "node-0")?;
    k.says(&["get", "pods", "--show-labels", "-l", "app=web"], "app=web")?;
    k.says(&["get", "pods", "--field-selector=status.phase=Running", "-o", "name"], "pod/web-")?;
    k.says(&["get", "pods", "-A", "--sort-by=.metadata.name"], "web-")?;
    k.says(&["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"], "2")?;
    k.says(&["get", "deployment", "web", "-o", "yaml"], "readyReplicas: 2")?;
    k.says(&["get", "deployment", "web", "-o", "json"], "\"readyReplicas\": 2")?;
    k.says(&["get", "deployment", "web", "-o", "custom-columns=N:.metadata.name"], "web")?;
    k.says(&["get", "pods", "--chunk-size=1"], "Running")?;
    k.says(&["get", "events"], "ScalingReplicaSet")?;
    k.says(&["events", "--for=deployment/web"], "ScalingReplicaSet")?;
    k.says(&["describe", "deployment", "web"], "NewReplicaSet:")?;
    k.says(&["describe", "pods", "-l", "app=web"], "Successfully assigned")?;
    k.says(&["describe", "node", "node-0"], "Allocated resources:")?;
    k.says(&["describe", "service", "web"], "Endpoints:")?;
    k.says(&["get", "endpointslices"], "web-")?;
    // As clients do that know protobuf, and a watch that ends.
    let pods = format!("/api/v1/namespaces/read/pods?limit=1&resourceVersion=0&timeoutSeconds=1&watch=1");
    k.says(&["get", "--raw", &pods], "\"type\":\"ADDED\"")?;
    k.says(&["get", "pods", "-w", "--request-timeout=2s"], "Running")
}

pub fn objects_are_written_in_every_way(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "written")?;
    k.run(&["create", "configmap", "made", "--from-literal=a=one"])?;
    k.run(&["create", "secret", "generic", "hidden", "--from-literal=a=one"])?;
    k.run(&["create", "quota", "few", "--hard=pods=20"])?;
    k.run(&["create", "job", "once", "--image=keelson.io/hello:1", "--dry-run=server"])?;
    k.fails(&["get", "job", "once"], "not found")?;
    ensure!(k.feed(&["apply", "-f", "-"], PLAIN)?.contains("created"), "applied");
    ensure!(k.feed(&["apply", "-f", "-"], PLAIN)?.contains("unchanged"), "applied twice");
    let other = PLAIN.replace("one", "two");
    let diff = k.kubectl.spawn(&k.space.with_namespace(&["diff", "-f", "-"]))?;
    let mut diff = diff;
    diff.stdin.take().context("a pipe")?.write_all(other.as_bytes())?;
    let diff = diff.wait_with_output()?;
    ensure!(diff.status.code() == Some(1), "a difference is exit code 1: {diff:?}");
    ensure!(String::from_utf8_lossy(&diff.stdout).contains("+  a: two"), "{diff:?}");
    ensure!(k.feed(&["apply", "-f", "-"], &other)?.contains("configured"), "applied a change");
    let unknown = other.replace("\ndata:", "\ndat: {}\ndata:");
    let refused = k.feed(&["apply", "-f", "-"], &unknown).expect_err("an unknown field");
    ensure!(format!("{refused:#}").contains("unknown field \"dat\""), "{refused:#}");
    k.run(&["patch", "configmap", "plain", "-p", "{\"data\":{\"b\":\"two\"}}"])?;
    k.run(&["patch", "configmap", "plain", "--type=merge", "-p", "{\"data\":{\"c\":\"three\"}}"])?;
    let json = "[{\"op\":\"remove\",\"path\":\"/data/c\"}]";
    k.run(&["patch", "configmap", "plain", "--type=json", "-p", json])?;
    k.says(&["get", "configmap", "plain", "-o", "jsonpath={.data}"], "{\"a\":\"two\",\"b\":\"two\"}")?;
    k.feed(&["replace", "-f", "-"], PLAIN)?;
    k.says(&["get", "configmap", "plain", "-o", "jsonpath={.data}"], "{\"a\":\"one\"}")?;
    k.run(&["label", "configmap", "plain", "tier=one"])?;
    k.fails(&["label", "configmap", "plain", "tier=two"], "--overwrite")?;
    k.run(&["annotate", "configmap", "plain", "note=here"])?;
    let mut edit = k.kubectl.command(&k.space.with_namespace(&["edit", "configmap", "plain"]));
    let edited = edit.env("KUBE_EDITOR", "sed -i s/a:.one/a:\\ edited/").output()?;
    ensure!(edited.status.success(), "{edited:?}");
    k.says(&["get", "configmap", "plain", "-o", "jsonpath={.data.a}"], "edited")?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("map.yaml"), PLAIN.replace("plain", "built"))?;
    std::fs::write(folder.path().join("kustomization.yaml"), "resources: [map.yaml]\nnamePrefix: x-\n")?;
    let path = folder.path().display().to_string();
    k.says(&["kustomize", &path], "name: x-built")?;
    k.says(&["apply", "-k", &path], "configmap/x-built created")?;
    k.says(&["wait", "--for=jsonpath={.data.a}=one", "configmap/x-built"], "condition met")?;
    k.says(&["delete", "configmap", "x-built", "made"], "deleted")?;
    k.run(&["delete", "configmaps", "--all"])?;
    k.fails(&["get", "configmap", "plain"], "NotFound")?;
    k.fails(&["create", "configmap", "Bad_Name"], "is invalid: metadata.name")
}

/// What `kubectl create` makes of arguments alone.
const MADE: &[&str] = &[
    "clusterrole written-read --verb=get --resource=pods,deployments.apps --non-resource-url=/metrics",
    "clusterrole written-all --aggregation-rule=a=b",
    "clusterrolebinding written-read --clusterrole=view --user=alice --group=devs",
    "cronjob hourly --image=keelson.io/hello:1 --schedule=@hourly -- true",
    "job once --image=keelson.io/hello:1 -- true",
    "job now --from=cronjob/hourly",
    "deployment web --image=keelson.io/hello:1 --replicas=0 --port=80",
    "ingress web --class=none --rule=example.com/*=web:80,tls=cert --default-backend=web:80",
    "namespace written-more",
    "poddisruptionbudget some --selector=app=web --min-available=50%",
    "priorityclass written-high --value=1000 --preemption-policy=Never",
    "quota few --hard=pods=20 --scopes=NotTerminating",
    "role read --verb=get --resource=pods --resource-name=one",
    "rolebinding read --role=read --serviceaccount=default:default",
    "secret docker-registry pull --docker-server=example.com --docker-username=u --docker-password=p",
    "secret generic hidden --from-literal=a=one --type=example.com/kind",
    "service clusterip inner --tcp=80:8080",
    "service clusterip headless --clusterip=None --tcp=80",
    "service nodeport outer --tcp=80:8080",
    "service loadbalancer outest --tcp=80:8080",
    "service externalname other --external-name=example.com",
    "serviceaccount robot",
];

pub fn objects_are_made_of_arguments(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "made")?;
    for line in MADE {
        let args: Vec<&str> = ["create"].into_iter().chain(line.split(' ')).collect();
        let made = k.run(&args)?;
        ensure!(made.contains(" created"), "{line}: {made}");
        // Made once only, and strictly: nothing that kubectl writes is unknown here.
        k.fails(&args, "already exists")?;
    }
    let pki = world.cluster.settings.dir.join("pki");
    let file = |name: &str| pki.join(name).display().to_string();
    let tls = [
        "create",
        "secret",
        "tls",
        "tls",
        &format!("--cert={}", file("admin.crt")),
        &format!("--key={}", file("admin.key")),
    ];
    k.says(&tls, "secret/tls created")?;
    let bound =
        ["create", "token", "robot", "--duration=20m", "--bound-object-kind=Secret", "--bound-object-name=hidden"];
    ensure!(k.run(&bound)?.trim().split('.').count() == 3, "a token of three parts");
    for name in [
        "clusterrole/written-read",
        "clusterrole/written-all",
        "clusterrolebinding/written-read",
        "priorityclass/written-high",
        "namespace/written-more",
    ] {
        k.run(&["delete", name])?;
    }
    Ok(())
}

pub fn objects_are_replaced_by_force(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "forced")?;
    k.feed(&["create", "-f", "-"], &manifest::pod("box", "exec sleep 98753", ""))?;
    let uid = ["get", "pod", "box", "-o", "jsonpath={.metadata.uid}"];
    let before = k.run(&uid)?;
    // A container's command cannot be changed, so the pod is made anew.
    let other = manifest::pod("box", "exec sleep 98754", "");
    let refused = k.feed(&["replace", "-f", "-"], &other).expect_err("a field that cannot change");
    ensure!(format!("{refused:#}").contains("pod updates may not change fields other than"), "{refused:#}");
    let replaced = k.feed(&["replace", "--force", "-f", "-"], &other)?;
    ensure!(replaced.contains("replaced"), "{replaced}");
    ensure!(k.run(&uid)? != before, "the pod is the same");
    k.says(&["wait", "--for=jsonpath={.status.phase}=Running", "pod/box", "--timeout=90s"], "condition met")?;
    k.says(&["wait", "--for=create", "pod/box", "--timeout=5s"], "condition met")?;
    k.says(&["events", "--types=Normal", "--for=pod/box"], "Scheduled")
}

pub fn owners_of_fields_are_respected(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "owned")?;
    let apply = |manager: &str, text: &str, more: &[&str]| {
        let manager = format!("--field-manager={manager}");
        let args: Vec<&str> =
            ["apply", "--server-side", "-f", "-", &manager].into_iter().chain(more.iter().copied()).collect();
        k.feed(&args, text)
    };
    ensure!(apply("one", PLAIN, &[])?.contains("serverside-applied"), "applied");
    let other = PLAIN.replace("a: one", "a: two");
    let refused = apply("two", &other, &[]).expect_err("the field is another's");
    ensure!(format!("{refused:#}").contains("conflict with \"one\": .data.a"), "{refused:#}");
    apply("two", &other, &["--force-conflicts"])?;
    k.says(&["get", "configmap", "plain", "-o", "yaml", "--show-managed-fields"], "manager: two")?;
    // What a manager no longer says, and nobody else does, goes.
    apply("two", &other.replace("data: {a: two}", "data: {b: two}"), &[])?;
    k.says(&["get", "configmap", "plain", "-o", "jsonpath={.data}"], "{\"b\":\"two\"}")?;
    // From client-side to server-side.
    let client = PLAIN.replace("plain", "client");
    k.feed(&["apply", "-f", "-"], &client)?;
    ensure!(k.feed(&["apply", "--server-side", "-f", "-"], &client)?.contains("serverside-applied"), "migrated");
    Ok(())
}
