//! kubectl and helm as others build them, on a whole cluster.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use test_e2e::{Space, World, manifest};
use testkit::keelctl::Keelctl;
use testkit::{npm, wait};

fn main() -> ExitCode {
    test_e2e::run(
        || World::start("clients", |_| {}),
        &[
            ("what_is_served_is_told", what_is_served_is_told),
            ("objects_are_read_in_every_form", objects_are_read_in_every_form),
            ("objects_are_written_in_every_way", objects_are_written_in_every_way),
            ("owners_of_fields_are_respected", owners_of_fields_are_respected),
            ("workloads_are_rolled_out", workloads_are_rolled_out),
            ("nodes_are_kept", nodes_are_kept),
            ("streams_reach_containers", streams_reach_containers),
            ("ports_are_forwarded", ports_are_forwarded),
            ("access_is_told_and_given", access_is_told_and_given),
            ("helm_manages_a_release", helm_manages_a_release),
        ],
    )
}

/// kubectl with the administrator's credentials.
fn kubectl(world: &World) -> Result<Keelctl> {
    Ok(Keelctl { program: npm::kubectl(Path::new(env!("CARGO_TARGET_TMPDIR")))?, ..world.keelctl() })
}

/// kubectl in a namespace.
struct Kubectl<'a> {
    space: Space<'a>,
    kubectl: Keelctl,
}

impl<'a> Kubectl<'a> {
    fn new(world: &'a World, namespace: &str) -> Result<Self> {
        Ok(Self { space: world.space(namespace)?, kubectl: kubectl(world)? })
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        self.kubectl.run(&self.space.with_namespace(args))
    }

    /// Runs a command that must write `text`.
    fn says(&self, args: &[&str], text: &str) -> Result<()> {
        let found = self.run(args)?;
        ensure!(found.contains(text), "kubectl {}: {text:?} is not in {found}", args.join(" "));
        Ok(())
    }

    /// Runs a command that must fail and say `text`.
    fn fails(&self, args: &[&str], text: &str) -> Result<()> {
        let output = self.kubectl.output(&self.space.with_namespace(args))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        ensure!(!output.status.success(), "kubectl {} did not fail: {said}", args.join(" "));
        ensure!(said.contains(text), "kubectl {}: {text:?} is not in {said}", args.join(" "));
        Ok(())
    }

    fn feed(&self, args: &[&str], input: &str) -> Result<String> {
        self.kubectl.run_with_input(&self.space.with_namespace(args), input)
    }
}

const PLAIN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\ndata: {a: one}\n";

fn what_is_served_is_told(world: &World) -> Result<()> {
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

fn objects_are_read_in_every_form(world: &World) -> Result<()> {
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

fn objects_are_written_in_every_way(world: &World) -> Result<()> {
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

fn owners_of_fields_are_respected(world: &World) -> Result<()> {
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

fn workloads_are_rolled_out(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "rolled")?;
    k.run(&["create", "deployment", "web", "--image=keelson.io/hello:1", "--", "sh", "-c", "sleep 98741"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.run(&["scale", "deployment/web", "--replicas=2"])?;
    k.says(&["wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/web", "--timeout=90s"], "condition met")?;
    k.run(&["set", "env", "deployment/web", "COLOUR=blue"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.run(&["set", "resources", "deployment/web", "--limits=memory=64Mi"])?;
    k.run(&["rollout", "pause", "deployment/web"])?;
    k.run(&["set", "image", "deployment/web", "hello=keelson.io/hello:1"])?;
    k.run(&["rollout", "resume", "deployment/web"])?;
    k.says(&["rollout", "history", "deployment/web"], "REVISION")?;
    k.run(&["rollout", "restart", "deployment/web"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.run(&["rollout", "undo", "deployment/web"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.says(&["expose", "deployment", "web", "--port=80", "--target-port=8080"], "service/web exposed")?;
    k.run(&["autoscale", "deployment", "web", "--min=1", "--max=3"])?;
    k.says(&["get", "hpa", "web"], "Deployment/web")?;
    k.says(&["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"], "condition met")?;
    k.run(&["delete", "deployment,service,hpa", "web"])?;
    k.run(&["wait", "--for=delete", "pods", "-l", "app=web", "--timeout=60s"]).map(drop)
}

fn nodes_are_kept(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "kept")?;
    k.run(&["taint", "nodes", "node-0", "test=kept:NoSchedule"])?;
    k.says(&["describe", "node", "node-0"], "test=kept:NoSchedule")?;
    k.run(&["taint", "nodes", "node-0", "test:NoSchedule-"])?;
    k.run(&["create", "deployment", "web", "--image=keelson.io/hello:1", "--", "sh", "-c", "sleep 98742"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    k.run(&["cordon", "node-0"])?;
    k.says(&["get", "node", "node-0"], "SchedulingDisabled")?;
    k.run(&["drain", "node-0", "--ignore-daemonsets", "--pod-selector=app=web", "--timeout=60s"])?;
    k.run(&["uncordon", "node-0"])?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"]).map(drop)
}

/// Both ways in which kubectl speaks to containers.
const WAYS: [&str; 2] = ["true", "false"];

fn streams_reach_containers(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "streams")?;
    k.space.apply(&manifest::pod("box", "echo began; exec sleep 98743", ""))?;
    k.space.wait_ready("box")?;
    k.says(&["logs", "box"], "began")?;
    k.says(&["logs", "box", "--timestamps", "--tail=1", "--since=1h"], "began")?;
    for websockets in WAYS {
        let spawn = |args: &[&str]| {
            let mut command = k.kubectl.command(&k.space.with_namespace(args));
            command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        };
        let with_input = |args: &[&str], input: &str| -> Result<std::process::Output> {
            let mut child = spawn(args)?;
            child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
            Ok(child.wait_with_output()?)
        };
        let output = with_input(&["exec", "-i", "box", "--", "cat"], "to and fro")?;
        ensure!(output.stdout == b"to and fro", "{websockets}: {output:?}");
        let output = with_input(&["exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7"], "")?;
        ensure!(output.status.code() == Some(7), "{websockets}: {output:?}");
        ensure!(
            output.stdout == b"out\n" && String::from_utf8_lossy(&output.stderr).starts_with("err\n"),
            "{output:?}"
        );
        let folder = tempfile::tempdir()?;
        let (there, back) = (folder.path().join("there"), folder.path().join("back"));
        std::fs::write(&there, vec![b'x'; 300_000])?;
        let path = |path: &Path| path.display().to_string();
        for args in [["cp", &path(&there), "box:/tmp/file"], ["cp", "box:/tmp/file", &path(&back)]] {
            let output = with_input(&args, "")?;
            ensure!(output.status.success(), "{websockets}: {output:?}");
        }
        ensure!(std::fs::read(&back)?.len() == 300_000, "{websockets}: a file came back shorter");
        let name = format!("run-{websockets}");
        let args = ["run", &name, "-i", "--rm", "--image=keelson.io/hello:1", "--restart=Never", "--", "cat"];
        let output = with_input(&args, "through a pod\n")?;
        ensure!(String::from_utf8_lossy(&output.stdout).contains("through a pod"), "{websockets}: {output:?}");
    }
    let debug = ["debug", "box", "--image=keelson.io/hello:1", "--container=look", "--", "sh", "-c", "echo looked"];
    k.run(&debug)?;
    wait::until("the debugging container's output", test_e2e::space::LIMIT, || {
        let found = k.run(&["logs", "box", "-c", "look"])?;
        ensure!(found.contains("looked"), "{found}");
        Ok(Some(()))
    })
}

fn ports_are_forwarded(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "ports")?;
    k.space.apply(&manifest::web("web", 1, "forwarded", ""))?;
    k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
    for websockets in WAYS {
        let mut command = k.kubectl.command(&k.space.with_namespace(&["port-forward", "service/web", ":80"]));
        let mut child = command
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let page = page_of(world, &mut child);
        child.kill()?;
        let said = child.wait_with_output()?;
        let page = page.with_context(|| format!("{websockets}: {said:?}"))?;
        ensure!(page == "forwarded\n", "{websockets}: another page: {page}");
    }
    Ok(())
}

/// The page behind the port that kubectl names in its first line.
fn page_of(world: &World, child: &mut std::process::Child) -> Result<String> {
    let mut line = String::new();
    // Open until the page is there: kubectl writes a line for each connection, and ends when nobody hears it.
    let mut output = BufReader::new(child.stdout.take().context("a pipe")?);
    output.read_line(&mut line)?;
    let port = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split(' ').next());
    let Some(port) = port.and_then(|port| port.parse::<u16>().ok()) else {
        bail!("kubectl says {line:?}");
    };
    let server = (std::net::Ipv4Addr::LOCALHOST, port).into();
    Ok(testkit::http::get(world.network(), server, "/")?.body)
}

fn access_is_told_and_given(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "access")?;
    k.says(&["auth", "whoami"], "kubernetes-admin")?;
    k.says(&["auth", "can-i", "delete", "nodes"], "yes")?;
    k.fails(&["auth", "can-i", "list", "pods", "--as=nobody"], "no")?;
    k.run(&["create", "serviceaccount", "reader"])?;
    k.run(&["create", "role", "read", "--verb=get,list", "--resource=pods"])?;
    k.run(&["create", "rolebinding", "read", "--role=read", "--serviceaccount=access:reader"])?;
    let reader = "--as=system:serviceaccount:access:reader";
    wait::until("the role to count", test_e2e::space::LIMIT, || {
        k.says(&["auth", "can-i", "list", "pods", reader], "yes").map(Some)
    })?;
    k.says(&["auth", "can-i", "--list", reader], "pods")?;
    k.fails(&["get", "secrets", reader], "forbidden")?;
    let token = k.run(&["create", "token", "reader"])?;
    ensure!(token.trim().split('.').count() == 3, "no token: {token}");
    let request = "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {name: access}\nspec:\n  \
                   signerName: example.com/none\n  usages: [client auth]\n  request: ";
    let signed = Command::new("sh")
        .args([
            "-c",
            "openssl req -new -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=alice 2>/dev/null | base64 -w0",
        ])
        .output()?;
    k.feed(&["create", "-f", "-"], &format!("{request}{}\n", String::from_utf8(signed.stdout)?))?;
    k.run(&["certificate", "approve", "access"])?;
    k.says(&["get", "csr", "access"], "Approved")?;
    k.run(&["delete", "csr", "access"]).map(drop)
}

const CHART: &[(&str, &str)] = &[
    ("Chart.yaml", "apiVersion: v2\nname: web\nversion: 0.1.0\n"),
    ("values.yaml", "page: one\nreplicas: 1\n"),
    (
        "templates/all.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-page}\ndata: {page: {{ .Values.page }}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Release.Name }}}\nspec:\n  replicas: {{ .Values.replicas }}\n  \
         selector: {matchLabels: {app: {{ .Release.Name }}}}\n  template:\n    metadata: {labels: {app: {{ .Release.Name }}}}\n    spec:\n      \
         terminationGracePeriodSeconds: 1\n      containers:\n      - {name: main, image: keelson.io/hello:1, command: [sleep, '98744'], env: [{name: PAGE, value: {{ .Values.page }}}]}\n",
    ),
];

fn helm_manages_a_release(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "helm")?;
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("templates"))?;
    for (name, text) in CHART {
        std::fs::write(folder.path().join(name), text)?;
    }
    let chart = folder.path().display().to_string();
    let helm = Keelctl { program: npm::helm(Path::new(env!("CARGO_TARGET_TMPDIR")))?, ..k.kubectl.clone() };
    let run = |args: &[&str]| -> Result<String> {
        let mut command = helm.command(&k.space.with_namespace(args));
        let output = command.env("HELM_CACHE_HOME", folder.path()).env("HELM_CONFIG_HOME", folder.path()).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {}: {said}", args.join(" "));
        Ok(said)
    };
    let page = |wanted: &str| k.says(&["get", "configmap", "web-page", "-o", "jsonpath={.data.page}"], wanted);
    ensure!(run(&["install", "web", &chart, "--wait", "--timeout=90s"])?.contains("STATUS: deployed"), "installed");
    page("one")?;
    run(&["upgrade", "web", &chart, "--set=page=two,replicas=2", "--wait", "--timeout=90s"])?;
    page("two")?;
    ensure!(run(&["history", "web"])?.contains("superseded"), "a history of two");
    run(&["rollback", "web", "1", "--wait", "--timeout=90s"])?;
    page("one")?;
    ensure!(run(&["list"])?.contains("web"), "listed");
    run(&["uninstall", "web", "--wait", "--timeout=90s"])?;
    k.fails(&["get", "deployment", "web"], "NotFound")
}
