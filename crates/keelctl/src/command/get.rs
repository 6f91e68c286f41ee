//! `keelctl get`: objects as tables, or in the form that -o asks for; -w follows their changes.

use anyhow::bail;
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::Value;

use super::Files;
use super::target::{namespace_of, resource_of};
use crate::cli::Global;
use crate::error;
use crate::output::table::{Options, Table};
use crate::output::{Format, hide_managed_fields, jsonpath, list_of};
use crate::remote::{Change, Query, Remote};
use crate::resource::{Catalog, Resource};
use crate::terminal::print;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show: pods, deploy/hello, pods,services, all
    pub resources: Vec<String>,
    #[command(flatten)]
    pub files: Files,
    /// The form: wide, yaml, json, name, jsonpath=..., custom-columns=...
    #[arg(short = 'o', long)]
    pub output: Option<String>,
    /// Only objects with these labels: app=x,tier!=y
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    pub selector: String,
    /// Only objects with these fields: status.phase=Running
    #[arg(long, default_value = "", hide_default_value = true)]
    pub field_selector: String,
    /// Objects of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Show the objects, then their changes
    #[arg(short = 'w', long)]
    pub watch: bool,
    /// Show changes only
    #[arg(long)]
    pub watch_only: bool,
    /// With --watch: tell whether an object was added, modified or deleted
    #[arg(long)]
    pub output_watch_events: bool,
    /// Sort by a path: .metadata.creationTimestamp
    #[arg(long, value_name = "PATH")]
    pub sort_by: Option<String>,
    /// A column of all labels
    #[arg(long)]
    pub show_labels: bool,
    /// A column for each of these labels
    #[arg(short = 'L', long, value_delimiter = ',')]
    pub label_columns: Vec<String>,
    /// No headings
    #[arg(long)]
    pub no_headers: bool,
    /// Name objects as KIND/NAME
    #[arg(long)]
    pub show_kind: bool,
    /// Say nothing when an object is not there
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Keep metadata.managedFields in YAML and JSON
    #[arg(long)]
    pub show_managed_fields: bool,
    /// Read a subresource: status, scale
    #[arg(long)]
    pub subresource: Option<String>,
    /// Ignored: the server pages by itself
    #[arg(long, hide = true)]
    pub chunk_size: Option<i64>,
}

/// The objects of one resource.
struct Group {
    resource: Resource,
    namespace: String,
    objects: Vec<Value>,
    revision: i64,
    /// One object by name, else a list.
    name: Option<String>,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let format = Format::parse(args.output.as_deref())?;
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let (groups, failed) = collect(global, &args, &remote, &catalog).await?;
    if args.watch || args.watch_only {
        if let Some(problem) = failed.into_iter().next() {
            return Err(problem);
        }
        return watch(&args, &remote, &format, groups).await;
    }
    show(&args, &remote, &format, groups)?;
    let mut failed = failed.into_iter();
    let last = failed.next_back();
    failed.for_each(|problem| crate::complain!("{}", error::text(&problem)));
    last.map_or(Ok(()), Err)
}

async fn collect(
    global: &Global,
    args: &Args,
    remote: &Remote,
    catalog: &Catalog,
) -> anyhow::Result<(Vec<Group>, Vec<anyhow::Error>)> {
    let (mut groups, mut failed): (Vec<Group>, Vec<anyhow::Error>) = (Vec::new(), Vec::new());
    let subresource = args.subresource.as_deref().unwrap_or_default();
    let mut wanted: Vec<(Resource, String, Option<String>)> = Vec::new();
    for document in args.files.read()? {
        let resource = resource_of(catalog, &document)?.clone();
        let namespace = namespace_of(&document.value, &resource, global, &remote.namespace)?;
        let name = document.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        wanted.push((resource, namespace, Some(name)));
    }
    if wanted.is_empty() {
        for selection in catalog.select(&args.resources)? {
            let namespace = if args.all_namespaces { String::new() } else { remote.namespace.clone() };
            if selection.names.is_empty() {
                wanted.push((selection.resource, namespace, None));
                continue;
            }
            if args.all_namespaces {
                bail!("a resource cannot be retrieved by name across all namespaces");
            }
            if !args.selector.is_empty() {
                bail!("name cannot be provided when a selector is specified");
            }
            wanted.extend(
                selection.names.into_iter().map(|name| (selection.resource.clone(), namespace.clone(), Some(name))),
            );
        }
    }
    for (resource, namespace, name) in wanted {
        let read = match &name {
            Some(name) => {
                remote.get_subresource(&resource, &namespace, name, subresource).await.map(|object| (vec![object], 0))
            }
            None => {
                let query = Query { labels: args.selector.clone(), fields: args.field_selector.clone() };
                remote.list(&resource, &namespace, &query).await.map(|list| (list.items, list.revision))
            }
        };
        match read {
            Ok((objects, revision)) => match groups
                .last_mut()
                .filter(|last| name.is_some() && last.name.is_some() && last.resource == resource)
            {
                Some(last) => last.objects.extend(objects),
                None => groups.push(Group { resource, namespace, objects, revision, name }),
            },
            Err(problem) if args.ignore_not_found && error::is_not_found(&problem) => {}
            // Of several resources, one that cannot be read does not hide the others.
            Err(problem) => failed.push(problem),
        }
    }
    Ok((groups, failed))
}

fn show(args: &Args, remote: &Remote, format: &Format, mut groups: Vec<Group>) -> anyhow::Result<()> {
    if let Some(path) = &args.sort_by {
        let path = jsonpath::Template::parse_relaxed(path)?;
        for group in &mut groups {
            sort(&mut group.objects, &path)?;
        }
    }
    match format {
        Format::Table | Format::Wide => tables(args, remote, format, &groups),
        Format::Name => {
            let names = groups
                .iter()
                .flat_map(|group| group.objects.iter().map(|object| group.resource.display(name_of(object)) + "\n"));
            Ok(print(&names.collect::<String>())?)
        }
        Format::Columns(columns) => {
            let objects: Vec<Value> = groups.into_iter().flat_map(|group| group.objects).collect();
            Ok(print(&columns.render(&objects, !args.no_headers)?)?)
        }
        format => {
            let single = groups.len() == 1 && groups[0].name.is_some() && groups[0].objects.len() == 1;
            let mut objects: Vec<Value> = groups.into_iter().flat_map(|group| group.objects).collect();
            if !args.show_managed_fields {
                objects.iter_mut().for_each(hide_managed_fields);
            }
            if args.ignore_not_found && objects.is_empty() {
                return Ok(());
            }
            let object = if single { objects.remove(0) } else { list_of(objects) };
            Ok(print(&format.object(&object)?.unwrap_or_default())?)
        }
    }
}

fn name_of(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

fn tables(args: &Args, remote: &Remote, format: &Format, groups: &[Group]) -> anyhow::Result<()> {
    if groups.iter().all(|group| group.objects.is_empty()) {
        // Said on standard error, and only where nothing else was wrong.
        if !groups.is_empty() && !args.ignore_not_found {
            let namespaced = groups.iter().any(|group| group.resource.namespaced) && !args.all_namespaces;
            if namespaced {
                crate::complain!("No resources found in {} namespace.", remote.namespace)
            } else {
                crate::complain!("No resources found")
            }
        }
        return Ok(());
    }
    let several = groups.len() > 1 || args.show_kind;
    let now = Timestamp::now();
    let mut parts = Vec::new();
    for group in groups.iter().filter(|group| !group.objects.is_empty()) {
        let options = options(args, format, group, several);
        let table = Table::new(&group.resource.group, &group.resource.plural, &options);
        parts.push(colored(&table.render(&group.objects, now), !args.no_headers));
    }
    Ok(print(&parts.join("\n"))?)
}

fn options(args: &Args, format: &Format, group: &Group, several: bool) -> Options {
    Options {
        wide: *format == Format::Wide,
        no_headers: args.no_headers,
        namespaces: args.all_namespaces && group.resource.namespaced,
        show_labels: args.show_labels,
        label_columns: args.label_columns.clone(),
        with_kind: several.then(|| group.resource.singular_group()),
    }
}

/// The heading in bold, on terminals.
fn colored(table: &str, headed: bool) -> String {
    match table.split_once('\n') {
        Some((head, rest)) if headed && crate::terminal::colored() => {
            format!("{}\n{rest}", crate::terminal::bold(head))
        }
        _ => table.to_owned(),
    }
}

/// Numbers by value, the rest by text; objects without the field come first.
fn sort(objects: &mut [Value], path: &jsonpath::Template) -> anyhow::Result<()> {
    let mut keyed: Vec<(Option<Value>, Value)> = Vec::with_capacity(objects.len());
    for object in objects.iter() {
        keyed.push((path.values(object)?.into_iter().next(), object.clone()));
    }
    keyed.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(std::cmp::Ordering::Equal)
        }
        (a, b) => a.as_ref().map(jsonpath::text).cmp(&b.as_ref().map(jsonpath::text)),
    });
    for (place, (_, object)) in objects.iter_mut().zip(keyed) {
        *place = object;
    }
    Ok(())
}

async fn watch(args: &Args, remote: &Remote, format: &Format, mut groups: Vec<Group>) -> anyhow::Result<()> {
    let Some(group) = groups.pop().filter(|_| groups.is_empty()) else {
        bail!("you may only specify a single resource type to watch");
    };
    let options = options(args, format, &group, args.show_kind);
    let table = Table::new(&group.resource.group, &group.resource.plural, &options);
    let mut widths = Widths::default();
    let mut headed = args.no_headers;
    let told = |change: &'static str| if args.output_watch_events { format!("{change}\t") } else { String::new() };
    let mut show = |objects: &[Value], change: &'static str| -> anyhow::Result<()> {
        match format {
            Format::Table | Format::Wide => {
                let now = Timestamp::now();
                let mut lines = Vec::new();
                if !headed && !objects.is_empty() {
                    headed = true;
                    lines.push(told("EVENT") + &table.header());
                }
                lines.extend(objects.iter().map(|object| told(change) + &table.row(object, now)));
                Ok(print(&widths.align(&lines))?)
            }
            Format::Name => Ok(print(
                &objects.iter().map(|object| group.resource.display(name_of(object)) + "\n").collect::<String>(),
            )?),
            format => {
                for object in objects {
                    let mut object = object.clone();
                    hide_managed_fields(&mut object);
                    if args.output_watch_events {
                        object = serde_json::json!({"type": change, "object": object});
                    }
                    let begin = if *format == Format::Yaml { "---\n" } else { "" };
                    print(&format!("{begin}{}", format.object(&object)?.unwrap_or_default()))?;
                }
                Ok(())
            }
        }
    };
    if !args.watch_only {
        show(&group.objects, "ADDED")?;
    }
    let query = match &group.name {
        Some(name) => Query::name(name),
        None => Query { labels: args.selector.clone(), fields: args.field_selector.clone() },
    };
    let single =
        group.objects.first().and_then(|object| object.pointer("/metadata/resourceVersion")).and_then(Value::as_str);
    let mut revision = if group.name.is_some() {
        single.and_then(|text| text.parse().ok()).unwrap_or_default()
    } else {
        group.revision
    };
    let mut seen: std::collections::HashMap<String, String> = std::collections::HashMap::new();
    loop {
        let mut events = remote.watch(&group.resource, &group.namespace, &query, revision).await?;
        let ended = loop {
            let event = match events.next().await {
                Some(Ok(event)) => event,
                Some(Err(problem)) => break Some(problem),
                None => break None,
            };
            revision = revision.max(event.revision);
            if event.change == Change::Bookmark {
                continue;
            }
            // A watch that had to begin anew repeats what was shown.
            let key = |field: &str| event.object.pointer(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            let version = key("/metadata/resourceVersion");
            if event.change != Change::Deleted
                && seen.insert(key("/metadata/uid"), version.clone()).as_ref() == Some(&version)
            {
                continue;
            }
            let change = match event.change {
                Change::Added => "ADDED",
                Change::Deleted => "DELETED",
                _ => "MODIFIED",
            };
            show(std::slice::from_ref(&event.object), change)?;
        };
        match ended {
            Some(problem) if error::reason(&problem) == Some("Expired") => revision = 0,
            Some(problem) => return Err(problem),
            None => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
        }
    }
}

/// Columns that only ever grow, so that the rows of a watch line up as well as they can.
#[derive(Default)]
struct Widths(Vec<usize>);

impl Widths {
    fn align(&mut self, lines: &[String]) -> String {
        for line in lines {
            for (index, cell) in line.split('\t').enumerate() {
                let width = (cell.chars().count() + 3).max(6);
                match self.0.get_mut(index) {
                    Some(known) => *known = width.max(*known),
                    None => self.0.push(width),
                }
            }
        }
        let mut out = String::new();
        for line in lines {
            let cells: Vec<&str> = line.split('\t').collect();
            for (index, cell) in cells.iter().enumerate() {
                let width = if index + 1 < cells.len() { self.0[index] } else { 0 };
                out.push_str(&format!("{cell:<width$}"));
            }
            out.push('\n');
        }

        out
    }
}
