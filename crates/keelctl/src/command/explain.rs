//! `keelctl explain`: the fields of a kind, from its schema.

use anyhow::{Context, bail};
use proto::schema::{FieldInfo, Form, Label, MessageInfo, ValueType};

use crate::cli::Global;
use crate::manifest::check::field_names;
use crate::remote::Remote;
use crate::resource::Resource;
use crate::suggest;

/// Levels that --recursive goes down; schemas may contain themselves.
const DEPTH_MAX: usize = 12;
/// Prose is broken so that lines are no longer than this, as kubectl breaks it.
const LINE_MAX: usize = 80;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A kind and a path of fields: pod.spec.containers
    pub path: String,
    /// All fields below
    #[arg(long)]
    pub recursive: bool,
    /// The group and version: apps/v1
    #[arg(long)]
    pub api_version: Option<String>,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let mut words = args.path.split('.');
    let word = words.next().unwrap_or_default();
    let fields: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let resource = match Remote::connect(global) {
        Ok(remote) => match remote.catalog().await {
            Ok(catalog) => Some(catalog.find(word)?.clone()),
            Err(_) => None,
        },
        Err(_) => None,
    };
    // The schemas are built in: without a server the kind is found by its name.
    let info = match &resource {
        Some(resource) => known(resource, args.api_version.as_deref()),
        None => by_word(word),
    };
    let info = info.with_context(|| {
        format!(
            "couldn't find a schema for \"{word}\"; custom resources are explained once the server serves their schemas"
        )
    })?;
    Ok(crate::terminal::print(&explain(info, &fields, args.recursive)?)?)
}

fn known(resource: &Resource, api_version: Option<&str>) -> Option<&'static MessageInfo> {
    let own = resource.api_version();
    proto::dynamic::kind_by_api_version(api_version.unwrap_or(&own), &resource.kind).map(|kind| kind.message)
}

fn by_word(word: &str) -> Option<&'static MessageInfo> {
    let lower = word.to_lowercase();
    let matches = |kind: &str| {
        let kind = kind.to_lowercase();
        let plurals = [format!("{kind}s"), format!("{kind}es"), format!("{}ies", kind.trim_end_matches('y'))];
        kind == lower || plurals.contains(&lower)
    };
    let mut found: Vec<_> = proto::dynamic::kinds().iter().filter(|kind| matches(kind.kind)).collect();
    found.sort_by_key(|kind| (!kind.group.is_empty(), std::cmp::Reverse(kind.version)));
    found.first().map(|kind| kind.message)
}

fn explain(info: &'static MessageInfo, path: &[&str], recursive: bool) -> anyhow::Result<String> {
    let mut message = Some(info);
    let mut field: Option<&'static FieldInfo> = None;
    for (index, name) in path.iter().enumerate() {
        let within = message.filter(|message| is_map(message));
        let found = within.and_then(|within| within.find(name));
        let Some((_, found)) = found else {
            let mut names = Vec::new();
            within.into_iter().for_each(|within| field_names(within, &mut names));
            let near =
                suggest::nearest(name, names).map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
            let before = if index == 0 { "the kind".to_owned() } else { path[..index].join(".") };
            bail!("field \"{name}\" does not exist in {before}{near}");
        };
        field = Some(found);
        message = found.message();
    }
    let mut out = String::new();
    if let Some(name) = info.kind {
        let (group, version) = name.api_version.split_once('/').unwrap_or(("", name.api_version));
        if !group.is_empty() {
            out.push_str(&format!("GROUP:      {group}\n"));
        }
        out.push_str(&format!("KIND:       {}\nVERSION:    {version}\n\n", name.kind));
    }
    if let Some(field) = field {
        out.push_str(&format!("FIELD: {} <{}>{}\n", field.name, type_name(field), marks(field)));
        out.push('\n');
    }
    let kind_doc = message.filter(|message| is_map(message)).map_or("", |message| message.doc);
    let own = [field.map_or("", |field| field.doc), kind_doc].into_iter().filter(|text| !text.is_empty());
    let notes = field.map(|field| notes(field, 1)).unwrap_or_default();
    let prose: String = own.map(|text| wrapped(text, 4)).collect::<Vec<_>>().join("\n") + &notes;
    if !prose.is_empty() {
        out.push_str(&format!("DESCRIPTION:\n{prose}\n"));
    }
    match message.filter(|message| is_map(message)) {
        Some(message) => {
            out.push_str("FIELDS:\n");
            list(&mut out, message, 1, recursive, !path.is_empty());
        }
        None if field.is_none() => bail!("the kind has no fields"),
        None => {}
    }
    Ok(out)
}

fn is_map(message: &MessageInfo) -> bool {
    message.form == Form::Plain && !message.fields.is_empty()
}

fn list(out: &mut String, message: &'static MessageInfo, depth: usize, recursive: bool, nested: bool) {
    if depth == 1 && !nested && message.kind.is_some() {
        let pairs = [
            ("apiVersion", "Group and version of the API that the object is written for."),
            ("kind", "What the object is. It cannot be changed."),
        ];
        for (name, text) in pairs {
            out.push_str(&format!(
                "  {name}   <string>\n{}\n",
                if recursive { String::new() } else { wrapped(text, 4) }
            ));
        }
    }
    let mut names = Vec::new();
    field_names(message, &mut names);
    names.sort_unstable();
    for name in names {
        let Some((_, field)) = message.find(name) else { continue };
        let pad = "  ".repeat(depth);
        out.push_str(&format!("{pad}{name}   <{}>{}\n", type_name(field), marks(field)));
        if !recursive {
            out.push_str(&wrapped(field.doc, 4));
            out.push_str(&notes(field, depth));
            out.push('\n');
        } else if let Some(inner) =
            field.message().filter(|inner| is_map(inner) && depth < DEPTH_MAX && !std::ptr::eq(*inner, message))
        {
            list(out, inner, depth + 1, recursive, true);
        }
    }
}

/// A text in lines of their own, indented; nothing where it is empty.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if indent + line.len() + 1 + word.len() <= LINE_MAX => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

fn marks(field: &FieldInfo) -> &'static str {
    if field.required { " -required-" } else { "" }
}

/// What the schema says of a field beyond its type.
fn notes(field: &FieldInfo, depth: usize) -> String {
    let pad = "  ".repeat(depth + 1);
    let mut notes = String::new();
    let mut note = |text: String| notes.push_str(&format!("{pad}{text}\n"));
    if field.deprecated {
        note("DEPRECATED".to_owned());
    }
    if !field.values.is_empty() {
        let values: Vec<&str> =
            field.values.iter().map(|value| if value.is_empty() { "\"\"" } else { value }).collect();
        note(format!("enum: {}", values.join(", ")));
    }
    if !field.default_json.is_empty() {
        note(format!("default: {}", field.default_json));
    }
    if !field.patch_merge_key.is_empty() {
        note(format!("items are told apart by: {}", field.patch_merge_key));
    }
    notes
}

/// `[]Container`, `map[string]string`, `integer`.
fn type_name(field: &FieldInfo) -> String {
    let one = match field.value {
        ValueType::Bool => "boolean".to_owned(),
        ValueType::Int32 | ValueType::Int64 => "integer".to_owned(),
        ValueType::Double => "number".to_owned(),
        ValueType::String => "string".to_owned(),
        ValueType::Bytes => "string (base64)".to_owned(),
        ValueType::Message(message) => match message.form {
            Form::Time | Form::MicroTime => "string (time)".to_owned(),
            Form::Duration => "string (duration)".to_owned(),
            Form::Quantity => "Quantity".to_owned(),
            Form::IntOrString => "IntOrString".to_owned(),
            Form::Items => "[]string".to_owned(),
            _ => message.short_name().to_owned(),
        },
    };
    match field.label {
        Label::Single => one,
        Label::List => format!("[]{one}"),
        Label::Map => format!("map[string]{one}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(path: &[&str]) -> anyhow::Result<String> {
        explain(by_word("pods").unwrap(), path, false)
    }

    #[test]
    fn a_path_of_fields_is_followed() {
        let text = pod(&["spec", "containers"]).unwrap();
        assert!(
            text.contains("KIND:       Pod") && text.contains("FIELD: containers <[]Container> -required-"),
            "{text}"
        );
        assert!(text.contains("not on the node.\n    enum: Always, IfNotPresent, Never"), "{text}");
        assert!(pod(&["spec", "containers", "ports", "protocol"]).unwrap().contains("FIELD: protocol <string>"));
    }

    #[test]
    fn fields_and_kinds_are_told_in_prose() {
        let text = pod(&[]).unwrap();
        assert!(text.contains("DESCRIPTION:\n    Containers that run together on one node"), "{text}");
        assert!(text.contains("  spec   <PodSpec>\n    What is wanted of the pod.\n"), "{text}");
        let text = pod(&["spec", "restartPolicy"]).unwrap();
        let want = "FIELD: restartPolicy <string>\n\nDESCRIPTION:\n    Whether ended containers are started again: always, after failures only, or\n    never.\n    enum: Always, Never, OnFailure\n";
        assert!(text.contains(want), "{text}");
        assert!(text.lines().all(|line| line.len() <= LINE_MAX), "{text}");
    }

    /// The kinds of this part have prose for every field of their own that a manifest may hold.
    #[test]
    fn the_most_used_fields_are_all_told() {
        let mut bare = Vec::new();
        for path in [&["metadata"][..], &["spec"], &["spec", "containers"], &["spec", "containers", "livenessProbe"]] {
            let mut message = by_word("pods").unwrap();
            for name in path {
                message = message.find(name).unwrap().1.message().unwrap();
            }
            let fields = message.fields.iter().filter(|field| !field.inline && !field.deprecated);
            bare.extend(fields.filter(|field| field.doc.is_empty()).map(|field| format!("{path:?}.{}", field.name)));
        }
        // Young fields, behind feature gates, and one that nothing fills any more.
        bare.retain(|name| {
            !["selfLink", "resourceClaims", "hostnameOverride", "schedulingGroup", "restartPolicyRules"]
                .iter()
                .any(|known| name.ends_with(known))
        });
        assert!(bare.is_empty(), "{bare:?}");
    }

    #[test]
    fn a_wrong_field_names_the_nearest() {
        let error = pod(&["spec", "contianers"]).unwrap_err().to_string();
        assert_eq!(error, "field \"contianers\" does not exist in spec; did you mean \"containers\"?");
    }

    #[test]
    fn recursion_ends() {
        let text = explain(by_word("customresourcedefinitions").unwrap(), &[], true).unwrap();
        assert!(text.contains("openAPIV3Schema"), "{}", text.len());
    }
}
