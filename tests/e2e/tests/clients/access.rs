//! Who may what, and certificates.

use std::process::Command;

use anyhow::{Result, ensure};
use test_e2e::World;
use testkit::wait;

use crate::kubectl::Kubectl;

pub fn access_is_told_and_given(world: &World) -> Result<()> {
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
    let signed = String::from_utf8(signed.stdout)?;
    k.feed(&["create", "-f", "-"], &format!("{request}{signed}\n"))?;
    k.run(&["certificate", "approve", "access"])?;
    k.says(&["get", "csr", "access"], "Approved")?;
    k.run(&["delete", "csr", "access"])?;
    k.feed(&["create", "-f", "-"], &format!("{request}{signed}\n"))?;
    k.run(&["certificate", "deny", "access"])?;
    k.says(&["get", "csr", "access"], "Denied")?;
    k.fails(&["certificate", "approve", "access"], "already Denied")?;
    k.run(&["delete", "csr", "access"]).map(drop)
}

const RULES: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: read, namespace: reconciled}
rules:
- {apiGroups: [''], resources: [pods], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read, namespace: reconciled}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: read}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: alice}
";

pub fn rules_are_reconciled(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "reconciled")?;
    let reconcile = |rules: &str, more: &[&str]| k.feed(&[&["auth", "reconcile", "-f", "-"][..], more].concat(), rules);
    let said = reconcile(RULES, &[])?;
    ensure!(said.matches("reconciled").count() >= 2, "{said}");
    let wider = RULES.replace("[get]", "[list]").replace("alice", "bob");
    reconcile(&wider, &[])?;
    let verbs = ["get", "role", "read", "-o", "jsonpath={.rules[*].verbs}"];
    let people = ["get", "rolebinding", "read", "-o", "jsonpath={.subjects[*].name}"];
    ensure!(k.run(&verbs)?.contains("get") && k.run(&verbs)?.contains("list"), "rules are added: {}", k.run(&verbs)?);
    k.says(&people, "alice bob")?;
    reconcile(&wider, &["--remove-extra-permissions", "--remove-extra-subjects"])?;
    ensure!(!k.run(&verbs)?.contains("get"), "an old rule is left: {}", k.run(&verbs)?);
    ensure!(k.run(&people)? == "bob", "an old subject is left: {}", k.run(&people)?);
    k.says(&["auth", "whoami", "--as=bob", "--as-group=devs", "-o", "yaml"], "- devs")
}
