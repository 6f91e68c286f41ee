//! Several lines of kubectl, and programs in other languages, each with the client that its users have.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use test_e2e::World;
use testkit::keelctl::Keelctl;
use testkit::{npm, pypi, rust};

use crate::kubectl::{KEPT, Kubectl};

/// Where the programs of the other languages lie.
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
const KUBE_RS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../kube-rs");

/// The oldest and the middle of the lines that upstream keeps; all other tests use the newest.
const OLDER: [&str; 2] = ["v33", "v34"];

pub fn every_kubectl_works(world: &World) -> Result<()> {
    for line in OLDER {
        let name = format!("line-{line}");
        let mut k = Kubectl::new(world, &name)?;
        k.kubectl.program = npm::kubectl_of(Path::new(KEPT), line)?;
        k.says(&["version"], &format!("Client Version: v1.{}", line.trim_start_matches('v')))?;
        k.run(&[
            "create",
            "deployment",
            "web",
            "--image=keelson.io/hello:1",
            "--",
            "sh",
            "-c",
            "echo began; sleep 98758",
        ])?;
        k.run(&["rollout", "status", "deployment/web", "--timeout=90s"])?;
        k.says(&["get", "deployment,pods", "-o", "wide"], "1/1")?;
        k.says(&["exec", "deployment/web", "--", "echo", "to and fro"], "to and fro")?;
        k.says(&["logs", "deployment/web"], "began")?;
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: b}\n";
        ensure!(k.feed(&["apply", "-f", "-"], map)?.contains("created"), "applied");
        ensure!(k.feed(&["apply", "--server-side", "-f", "-"], map)?.contains("serverside-applied"), "migrated");
        k.says(&["explain", "configmap.data"], "FIELD: data")?;
        k.says(&["describe", "deployment", "web"], "NewReplicaSet:")?;
        k.says(&["delete", "deployment,configmap", "--all"], "deleted")?;
    }
    Ok(())
}

pub fn python_programs_run(world: &World) -> Result<()> {
    let packages = pypi::packages(Path::new(KEPT), "kubernetes-37", &["kubernetes==37.0.2"])?;
    let k = Kubectl::new(world, "python")?;
    let python = Keelctl { program: "python3".into(), ..k.kubectl.clone() };
    finished(within(&python).env("PYTHONPATH", packages).arg(format!("{HERE}/client.py")).arg("python"))
}

pub fn javascript_programs_run(world: &World) -> Result<()> {
    let modules = npm::modules(Path::new(KEPT), "client-node-1.4", "@kubernetes/client-node@1.4.0")?;
    let k = Kubectl::new(world, "javascript")?;
    // Modules are looked for beside the program.
    let program = modules.join("client.mjs");
    std::fs::copy(format!("{HERE}/client.mjs"), &program)?;
    let node = Keelctl { program: "node".into(), ..k.kubectl.clone() };
    finished(within(&node).arg(program).arg("javascript"))
}

pub fn kube_rs_watches(world: &World) -> Result<()> {
    kube_rs(world, "watches")
}

pub fn kube_rs_reaches_containers(world: &World) -> Result<()> {
    kube_rs(world, "streams")
}

pub fn kube_rs_applies(world: &World) -> Result<()> {
    kube_rs(world, "applies")
}

pub fn kube_rs_controls_a_kind_of_its_own(world: &World) -> Result<()> {
    kube_rs(world, "controls")
}

fn kube_rs(world: &World, step: &str) -> Result<()> {
    let program = rust::program(Path::new(KUBE_RS), &Path::new(KEPT).join("kube-rs"), "test-kube-rs")?;
    let name = format!("kube-rs-{step}");
    let k = Kubectl::new(world, &name)?;
    finished(within(&Keelctl { program, ..k.kubectl.clone() }).args([step, &name]))
}

/// A program in the cluster's network, with the administrator's credentials where clients look for them.
fn within(program: &Keelctl) -> Command {
    let mut command = program.within();
    // Authorities and proxies of the environment are not this cluster's.
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command.env("KUBECONFIG", &program.kubeconfig);
    command
}

fn finished(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
    Ok(())
}
