//! What a user sees of single pods: volumes, limits, ends, tokens, and things that go wrong.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_e2e::space::{LIMIT, Space, restarts};
use test_e2e::{World, manifest};
use testkit::wait;

fn main() -> ExitCode {
    test_e2e::run(
        || World::start("pods", |_| {}),
        &[
            ("a_configmap_change_appears_in_the_volume", a_configmap_change_appears_in_the_volume),
            ("an_oom_kill_is_named", an_oom_kill_is_named),
            ("a_pod_ends_in_the_order_it_was_asked_to", a_pod_ends_in_the_order_it_was_asked_to),
            ("init_containers_run_first_and_in_order", init_containers_run_first_and_in_order),
            ("a_pod_reaches_the_api_with_its_token", a_pod_reaches_the_api_with_its_token),
            ("a_client_in_a_pod_speaks_to_the_api", a_client_in_a_pod_speaks_to_the_api),
            ("environment_comes_from_fields_maps_and_secrets", environment_comes_from_fields_maps_and_secrets),
            ("a_completed_pod_succeeds_and_a_failing_one_fails", a_completed_pod_succeeds_and_a_failing_one_fails),
            (
                "wait_ends_when_pods_are_as_asked_and_fails_when_they_are_not",
                wait_ends_when_pods_are_as_asked_and_fails_when_they_are_not,
            ),
            ("a_missing_command_is_explained", a_missing_command_is_explained),
            ("a_pod_larger_than_any_node_says_why_it_waits", a_pod_larger_than_any_node_says_why_it_waits),
            ("a_missing_configmap_is_explained_and_then_found", a_missing_configmap_is_explained_and_then_found),
            ("a_bad_manifest_is_refused_with_line_and_column", a_bad_manifest_is_refused_with_line_and_column),
        ],
    )
}

fn reason(pod: &Value, path: &str) -> String {
    pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn a_configmap_change_appears_in_the_volume(world: &World) -> Result<()> {
    let space = world.space("configmap")?;
    let map = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  colour: {value}\n")
    };
    space.apply(&map("green"))?;
    space.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: keelson.io/hello:1
    command: [sleep, '98701']
    volumeMounts:
    - {name: settings, mountPath: /settings}
  volumes:
  - name: settings
    configMap: {name: settings}
",
    )?;
    space.wait_ready("reader")?;
    ensure!(space.exec("reader", &["cat", "/settings/colour"])? == "green");
    space.apply(&map("blue"))?;
    wait::until("the new value", LIMIT * 2, || {
        Ok((space.exec("reader", &["cat", "/settings/colour"])? == "blue").then_some(()))
    })
}

fn wait_ends_when_pods_are_as_asked_and_fails_when_they_are_not(world: &World) -> Result<()> {
    let space = world.space("waits")?;
    space.apply(&manifest::pod("good", "exec sleep 98702", ""))?;
    let never = "    readinessProbe: {exec: {command: [\"false\"]}}";
    space.apply(&manifest::pod("never", "exec sleep 98703", never))?;
    let said = space.run(&["wait", "--for=condition=Ready", "pod/good", "--timeout=90s"])?;
    ensure!(said == "pod/good condition met\n", "{said:?}");
    space.run(&["wait", "--for=condition=Initialized", "pod/never", "--timeout=90s"])?;
    let late = |args: &[&str]| -> Result<()> {
        let output = world.keelctl().output(&space.with_namespace(args))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{args:?}: {}, {said}", output.status);
        ensure!(said.contains("timed out waiting for the condition on pods/never"), "{args:?}: {said}");
        Ok(())
    };
    late(&["wait", "--for=condition=Ready", "pod/never", "--timeout=1s"])?;
    late(&["wait", "--for=delete", "pod/never", "--timeout=1s"])?;
    space.run(&["delete", "pod", "good", "--wait=false"])?;
    space.run(&["wait", "--for=delete", "pod/good", "--timeout=90s"])?;
    let left = space.run(&["get", "pod", "good", "--ignore-not-found", "-o", "name"])?;
    ensure!(left.is_empty(), "{left} is still there");
    // What is gone already is gone.
    space.run(&["wait", "--for=delete", "pod/good", "--timeout=5s"]).map(drop)
}

fn an_oom_kill_is_named(world: &World) -> Result<()> {
    let space = world.space("oom")?;
    let limit = "    resources: {limits: {memory: 16Mi}}";
    let script = "sleep 1; x=$(head -c 64000000 /dev/zero | tr '\\0' x); echo ${#x}";
    space.apply(&manifest::pod("eater", script, limit))?;
    let killed = |pod: &Value| {
        ["/state", "/lastState"]
            .iter()
            .any(|state| reason(pod, &format!("/status/containerStatuses/0{state}/terminated/reason")) == "OOMKilled")
    };
    space.wait_for("the OOM kill", "pod", "eater", killed).map(drop)
}

fn a_pod_ends_in_the_order_it_was_asked_to(world: &World) -> Result<()> {
    let space = world.space("endings")?;
    space.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: polite}
spec:
  terminationGracePeriodSeconds: 20
  containers:
  - name: main
    image: keelson.io/hello:1
    command: [sh, -c, \"trap 'echo term >>/shared/order; sleep 1; echo done >>/shared/order; exit 0' TERM; while :; do sleep 0.1; done\"]
    lifecycle:
      preStop:
        exec: {command: [sh, -c, 'echo prestop >>/shared/order; sleep 1']}
    volumeMounts:
    - {name: shared, mountPath: /shared}
  volumes:
  - name: shared
    hostPath: {path: SHARED, type: DirectoryOrCreate}
"
        .replace("SHARED", &world.dir().join("endings").display().to_string())
        .as_str(),
    )?;
    space.wait_ready("polite")?;
    let began = std::time::Instant::now();
    space.run(&["delete", "pod", "polite"])?;
    space.wait_gone("pod", "polite")?;
    ensure!(began.elapsed().as_secs() < 15, "the grace period was waited out");
    let order = std::fs::read_to_string(world.dir().join("endings/order"))?;
    ensure!(order == "prestop\nterm\ndone\n", "the order was {order:?}");
    Ok(())
}

fn init_containers_run_first_and_in_order(world: &World) -> Result<()> {
    let space = world.space("init")?;
    space.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: ordered}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: one, image: 'keelson.io/hello:1', command: [sh, -c, 'sleep 1; echo one >>/data/order'], volumeMounts: [{name: data, mountPath: /data}]}
  - {name: two, image: 'keelson.io/hello:1', command: [sh, -c, 'echo two >>/data/order'], volumeMounts: [{name: data, mountPath: /data}]}
  containers:
  - {name: main, image: 'keelson.io/hello:1', command: [sh, -c, 'echo main >>/data/order; exec sleep 98702'], volumeMounts: [{name: data, mountPath: /data}]}
  volumes:
  - {name: data, emptyDir: {}}
",
    )?;
    space.wait_ready("ordered")?;
    let order = space.exec("ordered", &["cat", "/data/order"])?;
    ensure!(order == "one\ntwo\nmain\n", "the order was {order:?}");
    Ok(())
}

fn a_pod_reaches_the_api_with_its_token(world: &World) -> Result<()> {
    let space = world.space("token")?;
    space.apply(&manifest::pod("client", "exec sleep 98703", ""))?;
    space.wait_ready("client")?;
    let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
    ensure!(space.exec("client", &["cat", &format!("{folder}/namespace")])? == "token");
    ensure!(space.exec("client", &["cat", &format!("{folder}/ca.crt")])?.contains("BEGIN CERTIFICATE"));
    let token = space.exec("client", &["cat", &format!("{folder}/token")])?;
    ensure!(token.trim().split('.').count() == 3, "the token is {token:?}");
    let environment = space.exec("client", &["env"])?;
    ensure!(environment.contains("KUBERNETES_SERVICE_HOST=10.96.0.1"), "{environment}");
    // The same token, shown by keelctl: known, and allowed nothing that no role gives.
    let kubeconfig = world.dir().join("token.kubeconfig");
    let admin: Value = serde_json::from_slice(&std::fs::read(world.cluster.layout().admin_kubeconfig())?)?;
    let mut config = admin;
    config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
    std::fs::write(&kubeconfig, serde_json::to_vec(&config)?)?;
    let mut keelctl = world.keelctl();
    keelctl.kubeconfig = kubeconfig;
    let output = keelctl.output(&["get", "secrets", "-n", "token"])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(complaint.contains("system:serviceaccount:token:default"), "the answer was {complaint}");
    Ok(())
}

/// keelctl, with the host's C library beside it, inside pods: by the token that is there, and by the Service's address.
fn a_client_in_a_pod_speaks_to_the_api(world: &World) -> Result<()> {
    let space = world.space("inside")?;
    let folder = world.dir().join("client");
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(world.keelctl().program, folder.join("keelctl"))?;
    // As root, and as a user who owns nothing: the token must be readable to both.
    for (pod, user) in [("root", 0), ("user", 1000)] {
        let manifest = "apiVersion: v1
kind: Pod
metadata: {name: POD}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: USER}
  containers:
  - name: main
    image: keelson.io/hello:1
    command: [sleep, '98705']
    volumeMounts:
    - {name: client, mountPath: /client, readOnly: true}
    - {name: lib, mountPath: /lib, readOnly: true}
    - {name: lib64, mountPath: /lib64, readOnly: true}
  volumes:
  - {name: client, hostPath: {path: CLIENT}}
  - {name: lib, hostPath: {path: /lib}}
  - {name: lib64, hostPath: {path: /lib64}}
"
        .replace("POD", pod)
        .replace("USER", &user.to_string())
        .replace("CLIENT", &folder.display().to_string());
        space.apply(&manifest)?;
        space.wait_ready(pod)?;
        ensure!(space.exec(pod, &["id", "-u"])?.trim() == user.to_string());
        let known = wait::until("the API's answer inside a pod", LIMIT, || {
            let args = ["exec", pod, "--", "/client/keelctl", "get", "pods"];
            let output = world.keelctl().output(&space.with_namespace(&args))?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(text.contains("forbidden"), "{text}");
            Ok(Some(text))
        })?;
        // Known by its token, and allowed nothing that no role gives.
        ensure!(known.contains("system:serviceaccount:inside:default"), "{known}");
        ensure!(space.exec(pod, &["/client/keelctl", "version"])?.contains("Server"), "it tells its version");
    }
    Ok(())
}

fn environment_comes_from_fields_maps_and_secrets(world: &World) -> Result<()> {
    let space = world.space("env")?;
    space.apply(
        "apiVersion: v1
kind: ConfigMap
metadata: {name: map}
data: {A: from-map}
---
apiVersion: v1
kind: Secret
metadata: {name: secret}
stringData: {B: from-secret}
---
apiVersion: v1
kind: Pod
metadata: {name: shown}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: keelson.io/hello:1
    command: [sh, -c, 'echo $NAME $A $B $TWICE']
    env:
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: A, valueFrom: {configMapKeyRef: {name: map, key: A}}}
    - {name: TWICE, value: $(NAME)-$(NAME)}
    envFrom:
    - secretRef: {name: secret}
",
    )?;
    space.wait_for("its end", "pod", "shown", |pod| pod["status"]["phase"] == "Succeeded")?;
    let said = space.run(&["logs", "shown"])?;
    ensure!(said == "shown from-map from-secret shown-shown\n", "it said {said:?}");
    Ok(())
}

fn a_completed_pod_succeeds_and_a_failing_one_fails(world: &World) -> Result<()> {
    let space = world.space("ends")?;
    for (name, code, phase) in [("good", 0, "Succeeded"), ("bad", 3, "Failed")] {
        let manifest = manifest::pod(name, &format!("exit {code}"), "  restartPolicy: Never");
        space.apply(&manifest)?;
        let pod = space.wait_for("its end", "pod", name, |pod| pod["status"]["phase"] == phase)?;
        let exit = pod.pointer("/status/containerStatuses/0/state/terminated/exitCode").and_then(Value::as_i64);
        ensure!(exit == Some(code) && restarts(&pod) == 0, "{:#}", pod["status"]);
    }
    Ok(())
}

fn a_missing_command_is_explained(world: &World) -> Result<()> {
    let space = world.space("nocommand")?;
    space.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: broken}
spec:
  restartPolicy: Never
  containers:
  - {name: main, image: 'keelson.io/hello:1', command: [no-such-program]}
",
    )?;
    let pod = space.wait_for("the failure", "pod", "broken", |pod| pod["status"]["phase"] == "Failed")?;
    let message = reason(&pod, "/status/containerStatuses/0/state/terminated/message");
    ensure!(message.contains("no-such-program"), "{:#}", pod["status"]);
    Ok(())
}

fn a_pod_larger_than_any_node_says_why_it_waits(world: &World) -> Result<()> {
    let space = world.space("large")?;
    space.apply(&manifest::pod("giant", "sleep 1", "    resources: {requests: {cpu: '1000'}}"))?;
    let pod = space.wait_for("the reason", "pod", "giant", |pod| message_of(pod).contains("Insufficient cpu"))?;
    ensure!(pod["status"]["phase"] == "Pending");
    let described = space.run(&["describe", "pod", "giant"])?;
    ensure!(described.contains("FailedScheduling") && described.contains("Insufficient cpu"), "{described}");
    Ok(())
}

fn message_of(pod: &Value) -> String {
    let conditions = pod["status"]["conditions"].as_array();
    let scheduled = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "PodScheduled"));
    scheduled.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
}

fn a_missing_configmap_is_explained_and_then_found(world: &World) -> Result<()> {
    let space: Space<'_> = world.space("latemap")?;
    let from = "    envFrom: [{configMapRef: {name: late}}]";
    space.apply(&manifest::pod("patient", "exec sleep 98704", from))?;
    let waiting = "/status/containerStatuses/0/state/waiting";
    let pod = space.wait_for("the reason", "pod", "patient", |pod| {
        reason(pod, &format!("{waiting}/reason")) == "CreateContainerConfigError"
    })?;
    ensure!(reason(&pod, &format!("{waiting}/message")).contains("late"), "{:#}", pod["status"]);
    space.run(&["create", "configmap", "late", "--from-literal=A=b"])?;
    space.wait_ready("patient").map(drop)
}

fn a_bad_manifest_is_refused_with_line_and_column(world: &World) -> Result<()> {
    let space = world.space("badyaml")?;
    let typo = manifest::pod("typo", "sleep 1", "").replace("containers:", "containres:");
    let complaint = space.apply(&typo).err().context("it was accepted")?.to_string();
    ensure!(complaint.contains("containres") && complaint.contains("containers"), "{complaint}");
    let broken = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: [unclosed\n";
    let complaint = space.apply(broken).err().context("it was accepted")?.to_string();
    ensure!(complaint.contains("line") || complaint.contains(":4") || complaint.contains(":5"), "{complaint}");
    let absent = space.run(&["get", "pods", "-o", "name"])?;
    ensure!(absent.trim().is_empty(), "half of it was done: {absent}");
    Ok(())
}
