//! Commands against a real store and a real API server: what users type, and what they read.
//!
//! Needs the programs keelson-store and keelson-apiserver (`cargo build -p store -p apiserver`, or a release build, or
//! a folder named by KEELSON_PROGRAMS). Everything listens on loopback and lies in a folder of its own.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::settings::{Daemon, Node, Settings};

struct Server {
    cluster: Cluster,
    dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("keelctl-").tempdir().unwrap();
        let node = Node { name: "local".into(), address: [127, 0, 0, 1].into(), network: None };
        let mut settings = Settings::new(dir.path().canonicalize().unwrap(), programs(), node);
        settings.daemons = vec![Daemon::Store, Daemon::Apiserver];
        let free = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = free.each_ref().map(|listener| listener.local_addr().unwrap().port());
        (settings.ports.store, settings.ports.store_peer, settings.ports.apiserver) = (ports[0], ports[1], ports[2]);
        drop(free);
        let cluster = Cluster::new(settings);
        cluster.prepare().unwrap();
        let server = Self { cluster, dir };
        server.cluster.start(&mut |_| {}).unwrap();
        server
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keelctl"));
        command.args(args).env("KUBECONFIG", self.cluster.layout().admin_kubeconfig());
        command
    }

    /// Standard output, standard error and exit code.
    fn run(&self, args: &[&str]) -> (String, String, i32) {
        let output = self.command(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
    }

    #[track_caller]
    fn prints(&self, args: &[&str], want: &str) {
        let (out, err, code) = self.run(args);
        assert_eq!((out.as_str(), code), (want, 0), "{args:?}: {err}");
    }

    #[track_caller]
    fn refuses(&self, args: &[&str], want: &str) {
        let (out, err, code) = self.run(args);
        assert_eq!(code, 1, "{args:?}: {out}{err}");
        assert!(err.contains(want), "{args:?}: {err}");
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let (out, err, code) = self.run(&[args, &["-o", "json"]].concat());
        assert_eq!(code, 0, "{args:?}: {err}");
        serde_json::from_str(&out).unwrap()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.stop(&mut |_| {}) {
            eprintln!("the cluster did not stop cleanly: {error:#}");
        }
    }
}

/// Where the daemons' programs lie.
fn programs() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_keelctl")).parent().unwrap().to_owned();
    let release = beside.parent().unwrap().join("release");
    let named = std::env::var_os("KEELSON_PROGRAMS").map(PathBuf::from);
    let whole = |folder: &PathBuf| {
        [Daemon::Store, Daemon::Apiserver].iter().all(|daemon| folder.join(daemon.program()).is_file())
    };
    named
        .into_iter()
        .chain([beside, release])
        .find(whole)
        .expect("keelson-store and keelson-apiserver are missing: cargo build -p store -p apiserver")
}

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: &labels {app: web}
spec:
  replicas: 2
  selector: {matchLabels: *labels}
  template:
    metadata: {labels: *labels}
    spec:
      containers:
      - name: c
        image: registry.example/app:1
        resources: {limits: {cpu: 1000m}}
        volumeMounts: [{name: v, mountPath: /v}]
      volumes:
      - name: v
        configMap: {name: x, defaultMode: 0644}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
";

#[test]
fn commands_work_against_a_real_server() {
    let server = Server::start();
    apply(&server);
    get(&server);
    changes(&server);
    create(&server);
    selects(&server);
    watches(&server);
    edits(&server);
    refusals(&server);
    immutable_fields(&server);
    server_side_apply(&server);
    config_files(&server);
    nodes(&server);
    delete(&server);
}

fn apply(server: &Server) {
    let file = server.file("web.yaml", WEB);
    server.prints(
        &["apply", "-f", &file, "--dry-run=server"],
        "deployment.apps/web created (server dry run)\nservice/web created (server dry run)\n",
    );
    server.prints(&["apply", "-f", &file], "deployment.apps/web created\nservice/web created\n");
    // Nothing differs: not the quantity that the server wrote anew, not its defaults.
    server.prints(&["apply", "-f", &file], "deployment.apps/web unchanged\nservice/web unchanged\n");
    assert_eq!(
        server.json(&["get", "deploy", "web"])["spec"]["template"]["spec"]["volumes"][0]["configMap"]["defaultMode"],
        420
    );
    server.prints(&["diff", "-f", &file], "");
    // What another wrote stays; what the manifest drops goes.
    server.prints(&["annotate", "deploy", "web", "other=kept"], "deployment.apps/web annotated\n");
    let changed = server.file(
        "web.yaml",
        &WEB.replace("replicas: 2", "replicas: 3").replace("        resources: {limits: {cpu: 1000m}}\n", ""),
    );
    let (out, _, code) = server.run(&["diff", "-f", &changed]);
    assert!(code == 1 && out.contains("-  replicas: 2\n+  replicas: 3\n"), "{out}");
    server.prints(&["apply", "-f", &changed], "deployment.apps/web configured\nservice/web unchanged\n");
    let object = server.json(&["get", "deploy/web"]);
    assert_eq!((&object["spec"]["replicas"], &object["metadata"]["annotations"]["other"]), (&json!(3), &json!("kept")));
    assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["resources"], json!({}));
}

fn get(server: &Server) {
    server.prints(&["get", "deploy,svc", "-l", "app=web", "-o", "name"], "deployment.apps/web\n");
    server.prints(&["get", "deploy", "web", "-o", "jsonpath={.spec.replicas} {.metadata.labels.app}"], "3 web");
    server.prints(
        &["get", "deploy", "-o", "custom-columns=N:.metadata.name,R:.spec.replicas", "--no-headers"],
        "web   3\n",
    );
    let (out, _, _) = server.run(&["get", "services", "--sort-by=.metadata.name"]);
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].starts_with("NAME         TYPE        CLUSTER-IP")
            && lines[1].starts_with("kubernetes   ClusterIP")
            && lines[2].starts_with("web "),
        "{out}"
    );
    let (_, err, code) = server.run(&["get", "pods"]);
    assert_eq!((err.as_str(), code), ("No resources found in default namespace.\n", 0));
    let (out, _, _) = server.run(&["get", "service", "web", "-o", "yaml"]);
    assert!(out.starts_with("apiVersion: v1\nkind: Service\n") && !out.contains("managedFields"), "{out}");
    let (out, _, _) = server.run(&["describe", "deploy", "web"]);
    assert!(
        out.contains("Replicas:               3 desired | 0 updated | 0 total | 0 available | 0 unavailable\n"),
        "{out}"
    );
    server.prints(&["wait", "deploy/web", "--for=jsonpath={.spec.replicas}=3"], "deployment.apps/web condition met\n");
    let (out, _, code) = server.run(&["api-resources", "--api-group=apps", "-o", "name"]);
    assert!(code == 0 && out.contains("deployments.apps\n"), "{out}");
    let (out, _, _) = server.run(&["version"]);
    assert!(out.contains("Server Version: v1."), "{out}");
}

fn changes(server: &Server) {
    server.prints(&["scale", "deploy/web", "--replicas=1"], "deployment.apps/web scaled\n");
    server.prints(&["label", "deploy", "web", "tier=x"], "deployment.apps/web labeled\n");
    server.refuses(
        &["label", "deploy", "web", "tier=y"],
        "error: 'tier' already has a value (x), and --overwrite is false",
    );
    server.prints(&["label", "deploy", "web", "tier-"], "deployment.apps/web unlabeled\n");
    server.prints(&["patch", "deploy", "web", "-p", "spec: {paused: true}"], "deployment.apps/web patched\n");
    server.prints(
        &["patch", "deploy", "web", "--type=merge", "-p", "{\"spec\":{\"paused\":true}}"],
        "deployment.apps/web patched (no change)\n",
    );
    server.refuses(&["rollout", "pause", "deploy/web"], "deployments.apps \"web\" is already paused");
    server.prints(&["rollout", "resume", "deploy/web"], "deployment.apps/web resumed\n");
    server.prints(&["rollout", "pause", "deploy/web"], "deployment.apps/web paused\n");
    assert_eq!(server.json(&["get", "deploy/web"])["spec"]["paused"], json!(true));
    server.prints(&["rollout", "resume", "deploy/web"], "deployment.apps/web resumed\n");
    server.prints(&["rollout", "restart", "deploy/web"], "deployment.apps/web restarted\n");
    server.refuses(&["rollout", "status", "deploy/web", "--timeout=1s"], "timed out waiting for the condition");
}

fn create(server: &Server) {
    server.prints(&["create", "namespace", "one"], "namespace/one created\n");
    server.prints(&["-n", "one", "create", "configmap", "c", "--from-literal=a=1"], "configmap/c created\n");
    server.prints(&["-n", "one", "create", "secret", "generic", "s", "--from-literal=a=b"], "secret/s created\n");
    server.prints(&["-n", "one", "get", "secret", "s", "-o", "jsonpath={.data.a}"], "Yg==");
    server.prints(&["-n", "one", "create", "serviceaccount", "bot"], "serviceaccount/bot created\n");
    let (token, err, code) = server.run(&["-n", "one", "create", "token", "bot"]);
    assert!(code == 0 && token.split('.').count() == 3, "{err}");
    let (out, _, _) = server.run(&["auth", "whoami"]);
    assert!(out.contains("Username    kubernetes-admin"), "{out}");
    server.prints(&["auth", "can-i", "create", "pods"], "yes\n");
}

fn selects(server: &Server) {
    let dir = server.dir.path().join("tree");
    std::fs::create_dir_all(dir.join("below")).unwrap();
    let map = |name: &str, app: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: one, labels: {{app: {app}}}}}\n")
    };
    std::fs::write(dir.join("a.yaml"), map("tree-a", "x")).unwrap();
    std::fs::write(dir.join("below/b.yaml"), map("tree-b", "z")).unwrap();
    let dir = dir.display().to_string();
    server.prints(&["apply", "-f", &dir], "configmap/tree-a created\n");
    server.prints(&["apply", "-R", "-f", &dir], "configmap/tree-a unchanged\nconfigmap/tree-b created\n");
    server.prints(&["apply", "-R", "-f", &dir, "-l", "app notin (x)"], "configmap/tree-b unchanged\n");
    server.refuses(&["apply", "-R", "-f", &dir, "-l", "app=none"], "no objects passed to apply");
    server.prints(&["get", "cm", "-n", "one", "-l", "app!=x,app", "-o", "name"], "configmap/tree-b\n");
    let named = ["get", "cm", "--field-selector", "metadata.name=tree-a", "-o", "name"];
    server.prints(&[&named[..], &["-n", "one"]].concat(), "configmap/tree-a\n");
    server.prints(&[&named[..], &["-A"]].concat(), "configmap/tree-a\n");
    let (out, err, code) = server.run(&["get", "cm", "-A", "--field-selector", "metadata.name=tree-b"]);
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(code, 0, "{err}");
    assert_eq!(lines[0], ["NAMESPACE", "NAME", "DATA", "AGE"]);
    assert_eq!(lines[1][..3], ["one", "tree-b", "0"]);
    assert_eq!(lines.len(), 2, "{out}");
    server.refuses(&["get", "cm", "--field-selector", "data.x=1"], "\"data.x\" is not a known field selector");
    let (out, _, code) = server.run(&["explain", "pod.spec.containers.imagePullPolicy"]);
    assert!(code == 0 && out.contains("FIELD: imagePullPolicy <string>"), "{out}");
}

fn watches(server: &Server) {
    let mut child = server.command(&["get", "cm", "-n", "one", "-w", "-l", "app=z", "-o", "name"]);
    let mut child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "configmap/tree-b");
    // The list is printed; what comes now comes from the watch.
    server.prints(&["-n", "one", "annotate", "cm", "tree-b", "seen=1"], "configmap/tree-b annotated\n");
    assert_eq!(lines.next().unwrap().unwrap(), "configmap/tree-b");
    server.prints(&["-n", "one", "label", "cm", "tree-a", "app=z", "--overwrite"], "configmap/tree-a labeled\n");
    assert_eq!(lines.next().unwrap().unwrap(), "configmap/tree-a");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A run of edit with a shell script as the editor; $1 is the file.
fn edit(server: &Server, script: &str) -> (String, String, i32) {
    let editor = server.file("editor.sh", script);
    let mut command = server.command(&["edit", "-n", "one", "cm", "tree-a"]);
    let output = command.env("KUBE_EDITOR", format!("sh {editor}")).env("TMPDIR", server.dir.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

fn edits(server: &Server) {
    let label = |key: &str| server.json(&["get", "-n", "one", "cm", "tree-a"])["metadata"]["labels"][key].clone();
    let left = || {
        let entries = std::fs::read_dir(server.dir.path()).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("keelctl-edit-"))
            .count()
    };
    assert_eq!(
        edit(server, "sed -i 's/app: z/app: edited/' \"$1\""),
        ("configmap/tree-a edited\n".into(), String::new(), 0)
    );
    assert_eq!(label("app"), json!("edited"));
    let (out, _, code) = edit(server, "true");
    assert_eq!((out.as_str(), code), ("Edit cancelled, no changes made.\n", 0));
    let (out, _, code) = edit(server, "echo > \"$1\"");
    assert_eq!((out.as_str(), code), ("Edit cancelled, saved file was empty.\n", 0));
    assert_eq!(left(), 0, "files stay behind");
    // An editor that saves by rename: the second round shows it the error above its own text, and is saved.
    let script = "if grep -q 'unknown field' \"$1\"; then sed 's/labls/labels/;s/app: .*/app: mended/' \"$1\" > \"$1.new\"; else sed 's/labels/labls/' \"$1\" > \"$1.new\"; fi; mv \"$1.new\" \"$1\"";
    let (out, err, code) = edit(server, script);
    assert_eq!((out.as_str(), err.as_str(), code), ("configmap/tree-a edited\n", "", 0));
    assert_eq!(label("app"), json!("mended"));
    // Nothing valid is saved: the text stays, and the error says where.
    let (_, err, code) = edit(server, "sed -i 's/labels/labls/' \"$1\"");
    assert!(code == 1 && err.contains("no valid changes were saved") && err.contains("unknown field"), "{err}");
    let path = err.split("has been stored to \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(std::fs::read_to_string(path).unwrap().contains("labls:"), "{err}");
    std::fs::remove_file(path).unwrap();
    let (_, err, code) = edit(server, "sed -i 's/mended/lost/' \"$1\"; exit 1");
    assert!(code == 1 && err.contains("problem with the editor") && err.contains("has been stored to"), "{err}");
}

fn refusals(server: &Server) {
    server.refuses(
        &["create", "namespace", "one"],
        "Error from server (AlreadyExists): namespaces \"one\" already exists",
    );
    server.refuses(&["get", "pod", "nope"], "Error from server (NotFound): pods \"nope\" not found");
    server.refuses(&["get", "deploymnets"], "did you mean \"deployments\"?");
    let file = server.file("kind.yaml", "apiVersion: v1\nkind: Deployment\nmetadata: {name: x}\n");
    server.refuses(&["apply", "-f", &file], "kind Deployment is in apps/v1");
    let file = server.file("name.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad_Name}\n");
    for part in [
        "Error from server (Invalid)",
        "ConfigMap \"Bad_Name\"",
        "metadata.name: Invalid value: \"Bad_Name\"",
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters",
    ] {
        server.refuses(&["apply", "-f", &file], part);
    }
    server.refuses(
        &["--server", "https://127.0.0.1:1", "get", "pods"],
        "The connection to the server 127.0.0.1:1 was refused",
    );
}

/// The same person on the client and on the server is one manager; others are met with conflicts.
fn server_side_apply(server: &Server) {
    let map = |value: &str| {
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ssa}}\ndata: {{k: \"{value}\"}}\n");
        server.file(&format!("ssa-{value}.yaml"), &text)
    };
    let (one, two, three) = (map("1"), map("2"), map("3"));
    server.prints(&["apply", "-f", &one], "configmap/ssa created\n");
    server.prints(&["apply", "--server-side", "-f", &two], "configmap/ssa serverside-applied\n");
    let other = ["apply", "--server-side", "--field-manager", "other", "-f", &three];
    server.refuses(&other, "Apply failed with 1 conflict: conflict with \"kubectl\": .data.k");
    server.prints(&[other.as_slice(), &["--force-conflicts"]].concat(), "configmap/ssa serverside-applied\n");
    assert_eq!(server.json(&["get", "cm", "ssa"])["data"], json!({"k": "3"}));
    let dry = ["apply", "--server-side", "--dry-run=client", "-f", &one];
    server.refuses(&dry, "did you mean --dry-run=server instead?");
}

/// `KUBECONFIG` may name several files: one that is not there is passed over, each thing is written to the file it is in.
fn config_files(server: &Server) {
    let file = |name: &str, context: &str, current: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Config\n{current}contexts:\n- {{name: {context}, context: {{cluster: c-{context}, user: u}}}}\nclusters:\n- {{name: c-{context}, cluster: {{server: 'https://{context}.example'}}}}\n"
        );
        server.file(name, &text)
    };
    let (first, second) = (file("first.config", "a", "current-context: a\n"), file("second.config", "b", ""));
    let missing = server.dir.path().join("missing.config");
    let list = format!("{first}:{}:{second}", missing.display());
    let run = |args: &[&str]| {
        let output = server.command(&[&["config"], args].concat()).env("KUBECONFIG", &list).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let view =
        |flags: &[&str]| -> Value { serde_json::from_str(&run(&[&["view", "-o", "json"], flags].concat())).unwrap() };
    let all = view(&[]);
    let names = |what: &str| -> Vec<String> {
        let items = all[what].as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (names("contexts"), names("clusters")),
        (vec!["a".into(), "b".into()], vec!["c-a".into(), "c-b".into()])
    );
    assert_eq!(all["current-context"], "a");
    let untouched = std::fs::read_to_string(&second).unwrap();
    assert_eq!(run(&["use-context", "b"]), "Switched to context \"b\".\n");
    assert_eq!(run(&["current-context"]), "b\n");
    assert_eq!(std::fs::read_to_string(&second).unwrap(), untouched, "the current context is the first file's");
    assert!(std::fs::read_to_string(&first).unwrap().contains("current-context: b"));
    assert!(!missing.exists(), "a file that nobody wrote to was made");
    let minified = view(&["--minify"]);
    assert_eq!(minified["clusters"].as_array().map(Vec::len), Some(1), "{minified:#}");
    assert_eq!(minified["clusters"][0]["cluster"]["server"], "https://b.example");
}

/// What may not change is named, and nothing of the change is done.
fn immutable_fields(server: &Server) {
    let manifest = WEB.replace("web", "fixed");
    let file = server.file("fixed.yaml", &manifest);
    server.run(&["apply", "-f", &file]);
    let objects = || ["deployment", "service"].map(|kind| server.json(&["get", kind, "fixed"]));
    let before = objects();
    let ip = before[1]["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let other = if ip.ends_with(".77") { "10.96.0.78" } else { "10.96.0.77" };
    let deployment = json!({"spec": {"replicas": 5, "selector": {"matchLabels": {"app": "other"}},
        "template": {"metadata": {"labels": {"app": "other"}}}}});
    let service =
        json!({"metadata": {"labels": {"touched": "yes"}}, "spec": {"clusterIP": other, "clusterIPs": [other]}});
    for (kind, patch, field, rule) in [
        ("deployment", deployment, "spec.selector: Invalid value", "field is immutable"),
        ("service", service, "spec.clusterIPs[0]: Invalid value", "may not change once set"),
    ] {
        for part in [field, rule, "\"fixed\" is invalid"] {
            server.refuses(&["patch", kind, "fixed", "--type=merge", "-p", &patch.to_string()], part);
        }
    }
    assert_eq!(objects(), before, "half of it was done");
    server.run(&["delete", "-f", &file]);
}

fn nodes(server: &Server) {
    let file = server.file("node.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n");
    server.prints(&["create", "-f", &file], "node/n1 created\n");
    server.prints(&["cordon", "n1"], "node/n1 cordoned\n");
    server.prints(&["cordon", "n1"], "node/n1 already cordoned\n");
    server.prints(&["taint", "nodes", "n1", "a=b:NoSchedule"], "node/n1 tainted\n");
    server.prints(&["taint", "nodes", "n1", "a-"], "node/n1 untainted\n");
    server.prints(&["uncordon", "n1"], "node/n1 uncordoned\n");
    server.prints(&["delete", "node", "n1"], "node \"n1\" deleted\n");
}

fn delete(server: &Server) {
    server.prints(&["-n", "one", "delete", "configmap", "c"], "configmap \"c\" deleted from one namespace\n");
    server.refuses(&["-n", "one", "delete", "configmap", "c"], "configmaps \"c\" not found");
    server.prints(&["-n", "one", "delete", "configmap", "c", "--ignore-not-found"], "");
    let file = server.file("web.yaml", WEB);
    server.prints(
        &["delete", "-f", &file],
        "deployment.apps \"web\" deleted from default namespace\nservice \"web\" deleted from default namespace\n",
    );
}

/// No server is needed: a shell reads what `completion` prints.
#[test]
fn completion_is_a_script_that_a_shell_reads() {
    let run = |program: &str, args: &[&str]| std::process::Command::new(program).args(args).output().unwrap();
    let script = run(env!("CARGO_BIN_EXE_keelctl"), &["completion", "bash"]);
    assert!(script.status.success() && script.stdout.len() > 1000);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keelctl.bash");
    std::fs::write(&file, &script.stdout).unwrap();
    let file = file.display().to_string();
    let read = run("bash", &["-n", &file]);
    assert!(read.status.success() && read.stderr.is_empty(), "{}", String::from_utf8_lossy(&read.stderr));
    // And it completes a command's name.
    let ask = format!(
        "source {file}; COMP_WORDS=(keelctl roll); COMP_CWORD=1; _keelctl keelctl roll keelctl; echo \"${{COMPREPLY[@]}}\""
    );
    let told = run("bash", &["-c", &ask]);
    assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "rollout", "{}", String::from_utf8_lossy(&told.stderr));
}
