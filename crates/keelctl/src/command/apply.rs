//! `keelctl apply`: the manifests are checked as a whole, then made true one after the other.

use anyhow::{Context, bail};
use api::selector::labels::Selector;
use serde_json::{Value, json};

use super::target::{namespace_of, resource_of};
use super::{DryRun, Files};
use crate::cli::Global;
use crate::manifest::{self, Document, Problems};
use crate::merge;
use crate::output::Format;
use crate::remote::{PatchType, Remote, Write};
use crate::resource::{Catalog, Resource};
use crate::{duration, error};

/// How often a patch that met another writer is made again.
const CONFLICTS_MAX: usize = 5;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub files: Files,
    /// What to print of each object: yaml, json, name, ...
    #[arg(short = 'o', long)]
    pub output: Option<String>,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Go how far: none, client or server
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    pub dry_run: DryRun,
    /// Delete and create again what cannot be changed in place
    #[arg(long)]
    pub force: bool,
    /// Who owns the fields [default: kubectl-client-side-apply; with --server-side kubectl]
    #[arg(long)]
    pub field_manager: Option<String>,
    /// Judge unknown fields: strict, warn, ignore (true and false as kubectl has them)
    #[arg(long, default_value = "strict", num_args = 0..=1, default_missing_value = "strict")]
    pub validate: String,
    /// Merge on the server
    #[arg(long)]
    pub server_side: bool,
    /// Take fields over from other managers (with --server-side)
    #[arg(long, requires = "server_side")]
    pub force_conflicts: bool,
    /// Wait until deletions are complete (with --force)
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    if args.server_side && args.dry_run == DryRun::Client {
        bail!("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)");
    }
    if args.server_side && args.force {
        bail!("--force cannot be used with --server-side; --force-conflicts takes fields over from other managers");
    }
    if args.files.filenames.is_empty() {
        bail!("must specify one of -f: keelctl apply -f FILE");
    }
    let format = Format::parse(args.output.as_deref())?;
    let documents = args.files.read()?;
    judge(&documents, &args.validate)?;
    let documents = select(documents, args.selector.as_deref())?;
    if documents.is_empty() {
        bail!("no objects passed to apply");
    }
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    refuse_unknown(&catalog, &documents)?;
    let run = Run { remote: &remote, catalog: &catalog, global, args: &args };
    let (mut failed, mut printed) = (Vec::new(), Vec::new());
    for document in &documents {
        match run.apply(document).await {
            Ok(done) if args.output.is_none() => crate::say!("{} {}{}", done.name, done.verb, args.dry_run.suffix()),
            Ok(done) if format == Format::Name => crate::say!("{}", done.name),
            Ok(done) => printed.push(done.object),
            Err(problem) if problem.is::<Problems>() => failed.push(problem),
            Err(problem) => failed.push(problem.context(format!("when applying {}", place(document)))),
        }
    }
    print(&format, printed)?;
    let Some(last) = failed.pop() else { return Ok(()) };
    for problem in &failed {
        crate::complain!("{}", error::text(problem));
    }
    Err(last)
}

/// A kind that the server does not serve is known before the first document is applied.
fn refuse_unknown(catalog: &Catalog, documents: &[Document]) -> anyhow::Result<()> {
    let mut unknown = Vec::new();
    for document in documents {
        if let Err(problem) = resource_of(catalog, document) {
            unknown.extend(problem.downcast::<Problems>()?.0);
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(Problems(unknown).into()) }
}

/// An object by its kind and name, and where it stands.
fn place(document: &Document) -> String {
    let name = document.node.get("metadata").and_then(|metadata| metadata.get("name")).and_then(|name| name.text());
    let (kind, name) = (document.kind(), name.unwrap_or_default());
    format!("{kind} \"{name}\", {}:{}", document.file, document.node.mark.line)
}

fn print(format: &Format, mut objects: Vec<Value>) -> anyhow::Result<()> {
    objects.iter_mut().for_each(crate::output::hide_managed_fields);
    let object = match objects.len() {
        0 => return Ok(()),
        1 => objects.remove(0),
        _ => crate::output::list_of(objects),
    };
    if let Some(text) = format.object(&object)? {
        crate::terminal::print(&text)?;
    }
    Ok(())
}

/// Checks every document before the first is applied.
pub fn judge(documents: &[Document], validate: &str) -> anyhow::Result<()> {
    let problems: Vec<_> = documents.iter().flat_map(manifest::check::check).collect();
    if problems.is_empty() {
        return Ok(());
    }
    match validate {
        "strict" | "true" => Err(Problems(problems).into()),
        "warn" => {
            problems.iter().for_each(|problem| crate::complain!("Warning: {problem}"));
            Ok(())
        }
        "ignore" | "false" => Ok(()),
        other => bail!("invalid --validate \"{other}\": expected strict, warn or ignore"),
    }
}

/// The documents whose labels a selector holds for.
fn select(mut documents: Vec<Document>, selector: Option<&str>) -> anyhow::Result<Vec<Document>> {
    let Some(selector) = selector else { return Ok(documents) };
    let selector = Selector::parse(selector).with_context(|| format!("--selector \"{selector}\""))?;
    documents.retain(|document| {
        let labels = document.value.pointer("/metadata/labels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        selector.matches(&labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
    });
    Ok(documents)
}

struct Run<'a> {
    remote: &'a Remote,
    catalog: &'a Catalog,
    global: &'a Global,
    args: &'a Args,
}

struct Done {
    name: String,
    verb: &'static str,
    object: Value,
}

impl Run<'_> {
    async fn apply(&self, document: &Document) -> anyhow::Result<Done> {
        let mut wanted = document.value.clone();
        let resource = resource_of(self.catalog, document)?;
        let name = wanted.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if name.is_empty() {
            let generated = wanted.pointer("/metadata/generateName").is_some();
            bail!(
                "{}",
                if generated {
                    "cannot use generateName with apply; use create, or give metadata.name"
                } else {
                    "resource name may not be empty: set metadata.name"
                }
            );
        }
        let namespace = namespace_of(&wanted, resource, self.global, &self.remote.namespace)?;
        if resource.namespaced {
            wanted["metadata"]["namespace"] = json!(namespace);
        }
        let display = resource.display(&name);
        if self.args.server_side {
            let kind = PatchType::Apply { force: self.args.force_conflicts };
            let object = self.remote.patch(resource, &namespace, &name, kind, &wanted, &self.write()).await?;
            return Ok(Done { name: display, verb: "serverside-applied", object });
        }
        let modified = merge::with_last_applied(&wanted);
        for attempt in 0.. {
            let done = match self.remote.get(resource, &namespace, &name).await {
                Ok(current) => self.change(resource, &namespace, &name, &modified, &current).await,
                Err(problem) if error::is_not_found(&problem) => self.create(resource, &namespace, &modified).await,
                Err(problem) => Err(problem),
            };
            match done {
                Ok((verb, object)) => return Ok(Done { name: display, verb, object }),
                Err(problem)
                    if attempt < CONFLICTS_MAX
                        && (error::is_conflict(&problem) || error::is_already_exists(&problem)) => {}
                Err(problem) if self.args.force && matches!(error::reason(&problem), Some("Invalid" | "Conflict")) => {
                    let object = self.recreate(resource, &namespace, &name, &modified).await?;
                    return Ok(Done { name: display, verb: "configured", object });
                }
                Err(problem) => return Err(problem),
            }
        }
        bail!("{display} changes faster than it can be applied")
    }

    fn write(&self) -> Write {
        Write {
            dry_run: self.args.dry_run == DryRun::Server,
            field_manager: match (&self.args.field_manager, self.args.server_side) {
                (Some(manager), _) => manager.clone(),
                // kubectl's own names: who mixes both programs, or moves from one way to the other, stays one manager.
                (None, true) => "kubectl".to_owned(),
                (None, false) => "kubectl-client-side-apply".to_owned(),
            },
            ..Write::default()
        }
    }

    async fn create(
        &self,
        resource: &Resource,
        namespace: &str,
        modified: &Value,
    ) -> anyhow::Result<(&'static str, Value)> {
        if self.args.dry_run == DryRun::Client {
            return Ok(("created", modified.clone()));
        }
        Ok(("created", self.remote.create(resource, namespace, modified, &self.write()).await?))
    }

    async fn change(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        modified: &Value,
        current: &Value,
    ) -> anyhow::Result<(&'static str, Value)> {
        let original = merge::last_applied(current);
        if original.is_none() {
            crate::complain!(
                "Warning: resource {} is missing the {} annotation which is required by keelctl apply. keelctl apply should only be used on resources created declaratively by either keelctl create --save-config or keelctl apply. The missing annotation will be patched automatically.",
                resource.display(name).replacen(&resource.singular, &resource.plural, 1),
                merge::LAST_APPLIED
            );
        }
        let schema =
            proto::dynamic::kind_info(&resource.group, &resource.version, &resource.kind).map(|kind| kind.message);
        let patch = merge::three_way(&original.unwrap_or_default(), modified, current, schema);
        if patch.as_object().is_none_or(serde_json::Map::is_empty) {
            return Ok(("unchanged", current.clone()));
        }
        if self.args.dry_run == DryRun::Client {
            return Ok(("configured", modified.clone()));
        }
        let kind = if schema.is_some() { PatchType::Strategic } else { PatchType::Merge };
        let object = self.remote.patch(resource, namespace, name, kind, &patch, &self.write()).await?;
        Ok(("configured", object))
    }

    async fn recreate(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        modified: &Value,
    ) -> anyhow::Result<Value> {
        let timeout = self.args.timeout.as_deref().map(duration::parse).transpose()?.unwrap_or(super::delete::WAIT);
        let (object, gone) =
            self.remote.delete(resource, namespace, name, super::delete::options(None, "Background")).await?;
        if !gone {
            super::delete::wait_gone(self.remote, resource, namespace, &object, timeout)
                .await
                .context("the old object is still there")?;
        }
        self.remote.create(resource, namespace, modified, &self.write()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(selector: &str, want: &[&str]) {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app: x, tier: one}}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: b, labels: {app: z}}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: c}}";
        let documents = select(manifest::source::parse("x", text).unwrap(), Some(selector)).unwrap();
        let names: Vec<&str> = documents.iter().filter_map(|found| found.value["metadata"]["name"].as_str()).collect();
        assert_eq!(names, want, "{selector}");
    }

    #[test]
    fn a_selector_means_what_it_means_to_the_server() {
        check("app", &["a", "b"]);
        check("app=x", &["a"]);
        check("app==z", &["b"]);
        check("app!=x", &["b", "c"]);
        check("app in (x,z),!tier", &["b"]);
        check("app notin (x)", &["b", "c"]);
        assert!(select(Vec::new(), Some("a in b")).is_err());
    }
}
