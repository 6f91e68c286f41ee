//! `keelctl patch`

use anyhow::{Context, bail};
use serde_json::Value;

use super::Files;
use super::target::{Which, find};
use crate::cli::Global;
use crate::manifest::yaml;
use crate::output::{Format, hide_managed_fields};
use crate::remote::{PatchType, Remote, Write};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The objects: deployment hello, deploy/hello
    pub resources: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// The patch, as JSON or YAML
    #[arg(short = 'p', long)]
    pub patch: Option<String>,
    /// The file that holds the patch
    #[arg(long, value_name = "FILE")]
    pub patch_file: Option<String>,
    /// The type of patch
    #[arg(long, default_value = "strategic", value_parser = ["json", "merge", "strategic"])]
    pub r#type: String,
    /// Patch a subresource: status, scale
    #[arg(long, default_value = "", hide_default_value = true)]
    pub subresource: String,
    /// What to print: yaml, json, name, ...
    #[arg(short = 'o', long)]
    pub output: Option<String>,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let text = match (&args.patch, &args.patch_file) {
        (Some(text), None) => text.clone(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).with_context(|| format!("unable to read patch file: {path}"))?
        }
        _ => bail!("must specify one of --patch and --patch-file"),
    };
    let patch = yaml::parse(&text)
        .context("unable to parse the patch")?
        .first()
        .map(|node| node.to_json())
        .context("the patch is empty")?;
    let kind = match (args.r#type.as_str(), &patch) {
        ("json", Value::Array(_)) => PatchType::Json,
        ("json", _) => bail!(
            "a JSON patch is a list of operations: [{{\"op\": \"replace\", \"path\": \"/spec/replicas\", \"value\": 2}}]"
        ),
        ("merge", _) => PatchType::Merge,
        _ => PatchType::Strategic,
    };
    let format = Format::parse(args.output.as_deref())?;
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let which = Which { words: &args.resources, files: Some(&args.files), ..Which::default() };
    for target in find(&remote, &catalog, global, &which).await? {
        let write = Write {
            field_manager: "kubectl-patch".to_owned(),
            subresource: args.subresource.clone(),
            ..Write::default()
        };
        let mut after = remote.patch(&target.resource, &target.namespace, target.name(), kind, &patch, &write).await?;
        let same = after.pointer("/metadata/resourceVersion") == target.object.pointer("/metadata/resourceVersion");
        hide_managed_fields(&mut after);
        match format.object(&after)? {
            Some(text) => crate::terminal::print(&text)?,
            None if format == Format::Name => crate::say!("{}", target.display()),
            None => crate::say!("{} patched{}", target.display(), if same { " (no change)" } else { "" }),
        }
    }
    Ok(())
}
