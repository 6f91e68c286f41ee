//! `keelctl edit`: objects in the user's editor, then the difference as a patch.

use std::process::Command;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::Files;
use super::target::{Target, Which, find};
use crate::cli::Global;
use crate::manifest::write::to_yaml;
use crate::manifest::{check, source};
use crate::output::hide_managed_fields;
use crate::remote::{PatchType, Remote, Write};
use crate::{error, merge};

const HEAD: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n# and an empty file will abort the edit. If an error occurs while saving this file will be\n# reopened with the relevant failures.\n#\n";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The objects: deployment hello, deploy/hello
    pub resources: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let which = Which {
        words: &args.resources,
        files: Some(&args.files),
        labels: args.selector.as_deref(),
        ..Which::default()
    };
    for target in find(&remote, &catalog, global, &which).await? {
        edit(&remote, &target).await?;
    }
    Ok(())
}

async fn edit(remote: &Remote, target: &Target) -> anyhow::Result<()> {
    let mut before = target.object.clone();
    hide_managed_fields(&mut before);
    let original = to_yaml(&before);
    let file = tempfile::Builder::new().prefix("keelctl-edit-").suffix(".yaml").tempfile();
    let file = file.context("making a file to edit")?.into_temp_path();
    let mut body = original.clone();
    let mut failure: Option<String> = None;
    loop {
        let notes: String = failure.iter().flat_map(|text| text.lines()).map(|line| format!("# {line}\n")).collect();
        // By its name each time: an editor may have put a new file in its place.
        std::fs::write(&file, format!("{HEAD}{notes}{body}")).context("writing the file to edit")?;
        let opened = open(&file);
        let text = std::fs::read_to_string(&file).context("reading the edited file")?;
        let edited: String =
            text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        if let Err(problem) = opened {
            return Err(if edited == original { problem } else { kept(file, problem) });
        }
        if edited.trim().is_empty() {
            crate::say!("Edit cancelled, saved file was empty.");
            return Ok(());
        }
        if edited == original {
            crate::say!("Edit cancelled, no changes made.");
            return Ok(());
        }
        if let Some(failure) = failure.filter(|_| edited == body) {
            return Err(kept(file, anyhow::anyhow!("Edit cancelled, no valid changes were saved: {failure}")));
        }
        body = edited;
        match save(remote, target, &before, &body).await {
            Ok(true) => {
                crate::say!("{} edited", target.display());
                return Ok(());
            }
            Ok(false) => {
                crate::say!("Edit cancelled, no changes made.");
                return Ok(());
            }
            // Shown in the editor, above what was written.
            Err(problem) => failure = Some(error::text(&problem)),
        }
    }
}

/// What was written is not lost with the command: it stays in its file, and the error says where.
fn kept(file: tempfile::TempPath, problem: anyhow::Error) -> anyhow::Error {
    match file.keep() {
        Ok(path) => anyhow::anyhow!("{problem:#}\nA copy of your changes has been stored to \"{}\"", path.display()),
        Err(_) => problem,
    }
}

/// Sends the difference; false when there is none.
async fn save(remote: &Remote, target: &Target, before: &Value, text: &str) -> anyhow::Result<bool> {
    let documents = source::parse("edited", text)?;
    let [document] = documents.as_slice() else { bail!("one object was opened, {} are in the file", documents.len()) };
    let problems = check::check(document);
    if !problems.is_empty() {
        return Err(crate::manifest::Problems(problems).into());
    }
    if document.value.pointer("/metadata/name") != before.pointer("/metadata/name") {
        bail!("metadata.name cannot be changed: delete the object and create another");
    }
    let schema = proto::dynamic::kind_by_api_version(document.api_version(), document.kind()).map(|kind| kind.message);
    let mut patch = merge::two_way(before, &document.value, schema);
    if patch.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(false);
    }
    // Someone else's change in between is a conflict, not something to write over.
    patch["metadata"]["resourceVersion"] = json!(before.pointer("/metadata/resourceVersion"));
    let kind = if schema.is_some() { PatchType::Strategic } else { PatchType::Merge };
    let write = Write { field_manager: "kubectl-edit".to_owned(), ..Write::default() };
    remote.patch(&target.resource, &target.namespace, target.name(), kind, &patch, &write).await?;
    Ok(true)
}

/// Runs the editor that the environment names.
fn open(path: &std::path::Path) -> anyhow::Result<()> {
    let named = ["KUBE_EDITOR", "VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let editor = named.unwrap_or_else(|| "vi".to_owned());
    // The variable may hold arguments, so a shell takes it apart.
    let done = Command::new("sh").arg("-c").arg(format!("{editor} \"$0\"")).arg(path).status();
    let done = done.with_context(|| format!("unable to launch the editor \"{editor}\"; set KUBE_EDITOR or EDITOR"))?;
    if !done.success() {
        bail!("there was a problem with the editor \"{editor}\"; set KUBE_EDITOR or EDITOR");
    }
    Ok(())
}
