//! `keelctl events`: events in order of time.

use jiff::Timestamp;
use serde_json::Value;

use crate::cli::Global;
use crate::describe::{event, str_at};
use crate::output::tabs;
use crate::remote::{Query, Remote};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only events about this object: pod/p
    #[arg(long = "for", value_name = "KIND/NAME")]
    pub about: Option<String>,
    /// Events of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only of these types: Normal, Warning
    #[arg(long, value_delimiter = ',')]
    pub types: Vec<String>,
    /// No headings
    #[arg(long)]
    pub no_headers: bool,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let mut query = Query::default();
    if let Some(about) = &args.about {
        let (resource, name) = catalog.one(std::slice::from_ref(about))?;
        query.fields = format!("involvedObject.kind={},involvedObject.name={name}", resource.kind);
    }
    let namespace = if args.all_namespaces { "" } else { &remote.namespace };
    let list = remote.list(catalog.of_kind("v1", "Event")?, namespace, &query).await?;
    let wanted =
        |event: &&Value| args.types.is_empty() || args.types.iter().any(|kind| str_at(event, "/type") == Some(kind));
    let events: Vec<Value> = list.items.iter().filter(wanted).cloned().collect();
    if events.is_empty() {
        if args.all_namespaces {
            crate::complain!("No events found.")
        } else {
            crate::complain!("No events found in {} namespace.", remote.namespace)
        }
        return Ok(());
    }
    let now = Timestamp::now();
    let place = if args.all_namespaces { "NAMESPACE\t" } else { "" };
    let mut text =
        if args.no_headers { String::new() } else { format!("{place}LAST SEEN\tTYPE\tREASON\tOBJECT\tMESSAGE\n") };
    for found in event::sorted(&events) {
        let part = |path: &str| str_at(found, path).unwrap_or_default();
        let place = if args.all_namespaces { format!("{}\t", part("/metadata/namespace")) } else { String::new() };
        text.push_str(&format!(
            "{place}{}\t{}\t{}\t{}/{}\t{}\n",
            event::interval(found, now),
            part("/type"),
            part("/reason"),
            part("/involvedObject/kind"),
            part("/involvedObject/name"),
            event::message(found)
        ));
    }
    Ok(crate::terminal::print(&tabs::table(&text))?)
}
