//! `keelctl scale`

use anyhow::bail;
use serde_json::{Value, json};

use super::Files;
use super::target::{Which, find};
use crate::cli::Global;
use crate::remote::{PatchType, Remote, Write};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to scale: deployment/hello, rs x
    pub resources: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// How many
    #[arg(long, required = true)]
    pub replicas: i64,
    /// Only if so many are asked for now
    #[arg(long)]
    pub current_replicas: Option<i64>,
    /// Objects with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// All objects of the resource
    #[arg(long)]
    pub all: bool,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    if args.replicas < 0 {
        bail!("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0");
    }
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let which = Which {
        words: &args.resources,
        files: Some(&args.files),
        labels: args.selector.as_deref(),
        all: args.all,
        ..Which::default()
    };
    let targets = find(&remote, &catalog, global, &which).await?;
    if targets.is_empty() {
        bail!("no objects passed to scale");
    }
    for target in targets {
        let current = target.object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default();
        if let Some(expected) = args.current_replicas.filter(|expected| *expected != current) {
            bail!("Expected replicas to be {expected}, was {current}");
        }
        let write = Write { subresource: "scale".to_owned(), ..Write::default() };
        let patch = json!({"spec": {"replicas": args.replicas}});
        remote.patch(&target.resource, &target.namespace, target.name(), PatchType::Merge, &patch, &write).await?;
        crate::say!("{} scaled", target.display());
    }
    Ok(())
}
