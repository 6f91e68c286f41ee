//! Writes proto/k8s from the tables of Kubernetes API facts: one file per protobuf package.
//!
//! The proto files are the source of truth afterwards; this is how a new release enters them. What fields mean is written
//! by hand above them, and stays.

mod comments;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Kinds that discovery does not list because no resource serves them, but that stand alone in requests and answers.
const KINDS_WITHOUT_RESOURCE: &[&str] = &[
    "meta.v1.Status",
    "meta.v1.DeleteOptions",
    "meta.v1.CreateOptions",
    "meta.v1.UpdateOptions",
    "meta.v1.PatchOptions",
    "meta.v1.ListOptions",
    "meta.v1.GetOptions",
    "meta.v1.APIGroup",
    "meta.v1.APIGroupList",
    "meta.v1.APIResourceList",
    "meta.v1.APIVersions",
    "meta.v1.PartialObjectMetadata",
    "meta.v1.PartialObjectMetadataList",
    "meta.v1.Table",
    "core.v1.List",
    "core.v1.RangeAllocation",
    "core.v1.SerializedReference",
    "core.v1.PodLogOptions",
    "core.v1.PodExecOptions",
    "core.v1.PodAttachOptions",
    "core.v1.PodPortForwardOptions",
    "core.v1.PodProxyOptions",
    "core.v1.NodeProxyOptions",
    "core.v1.ServiceProxyOptions",
    "core.v1.PodStatusResult",
    "admission.v1.AdmissionReview",
    "apiextensions.v1.ConversionReview",
    "apidiscovery.v2.APIGroupDiscovery",
    "apidiscovery.v2.APIGroupDiscoveryList",
];

/// One row of fields.tsv, by column name.
struct Row<'a>(BTreeMap<&'a str, &'a str>);

impl Row<'_> {
    fn get(&self, column: &str) -> &str {
        self.0.get(column).copied().unwrap_or_default()
    }

    fn is(&self, column: &str, value: &str) -> bool {
        self.get(column) == value
    }
}

/// Reads the facts and writes one proto file per package below `target`.
pub fn import(facts: &Path, target: &Path) -> Result<()> {
    let fields = read(&facts.join("fields.tsv"))?;
    let resources = read(&facts.join("resources.tsv"))?;
    let kinds: BTreeSet<(String, String)> = table(&resources).iter().map(kind_of).collect();

    let mut packages: BTreeMap<String, BTreeMap<String, Vec<Row<'_>>>> = BTreeMap::new();
    for row in table(&fields) {
        packages
            .entry(row.get("proto_package").to_owned())
            .or_default()
            .entry(row.get("message").to_owned())
            .or_default()
            .push(row);
    }
    add_empty_messages(&mut packages);
    for (package, messages) in &packages {
        let path = target.join(file_of(package));
        fs::create_dir_all(path.parent().context("a proto file has a folder")?)?;
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, comments::keep(&file_text(package, messages, &kinds)?, &before))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    testkit::say!("{} packages written below {}", packages.len(), target.display());
    Ok(())
}

/// A message without fields has no row of its own: it shows only as the type of another's field.
fn add_empty_messages(packages: &mut BTreeMap<String, BTreeMap<String, Vec<Row<'_>>>>) {
    let referenced: Vec<(String, String)> = packages
        .values()
        .flat_map(|messages| messages.values().flatten())
        .filter_map(|row| {
            let (package, message) = value_type(row).rsplit_once('.')?;
            Some((package.to_owned(), message.to_owned()))
        })
        .collect();
    for (package, message) in referenced {
        packages.entry(package).or_default().entry(message).or_default();
    }
}

/// The type of a field, or of a map's values.
fn value_type<'a>(row: &'a Row<'_>) -> &'a str {
    row.get("proto_type").trim_start_matches("map<string,").trim_end_matches('>')
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn table(text: &str) -> Vec<Row<'_>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    lines.map(|line| Row(header.iter().copied().zip(line.split('\t')).collect())).collect()
}

/// `k8s.io.api.core.v1` lives in `api/core/v1.proto`.
fn file_of(package: &str) -> PathBuf {
    let path = package.trim_start_matches("k8s.io.").replace('.', "/");
    PathBuf::from(format!("{path}.proto"))
}

fn file_text(
    package: &str,
    messages: &BTreeMap<String, Vec<Row<'_>>>,
    kinds: &BTreeSet<(String, String)>,
) -> Result<String> {
    let mut body = String::new();
    let mut imports = BTreeSet::from(["keelson/schema/v1/schema.proto".to_owned()]);
    for (message, rows) in messages {
        write!(body, "\nmessage {message} {{\n")?;
        if is_kind(package, message, kinds) {
            body.push_str("  option (keelson.schema.v1.kind) = true;\n\n");
        }
        for row in rows {
            body.push_str(&field_text(package, row, &mut imports)?);
        }
        body.push_str("}\n");
    }

    let mut text = format!("syntax = \"proto2\";\n\npackage {package};\n\n");
    for import in imports {
        writeln!(text, "import \"{import}\";")?;
    }
    if let Some(group) = group_of(package) {
        write!(text, "\noption (keelson.schema.v1.group) = \"{group}\";\n")?;
    }
    Ok(text + &body)
}

/// Group and name of the kind that a row of `resources.tsv` is about.
fn kind_of(row: &Row<'_>) -> (String, String) {
    let group = if row.get("kind_group").is_empty() { row.get("group") } else { row.get("kind_group") };
    (group.to_owned(), row.get("kind").to_owned())
}

fn is_kind(package: &str, message: &str, kinds: &BTreeSet<(String, String)>) -> bool {
    let short = package.rsplit('.').take(2).collect::<Vec<_>>();
    let short = format!("{}.{}.{message}", short[1], short[0]);
    // Other groups have messages of the same name that are parts of objects: ResourceClaim, TokenRequest.
    let is_known = |name: &str| group_of(package).is_some_and(|group| kinds.contains(&(group, name.to_owned())));
    let served = is_known(message) || message.strip_suffix("List").is_some_and(is_known);
    served || KINDS_WITHOUT_RESOURCE.contains(&short.as_str())
}

/// The API group whose kinds a package holds; `None` for helper packages.
fn group_of(package: &str) -> Option<String> {
    let name = package.rsplit('.').nth(1)?;
    if package.starts_with("k8s.io.apimachinery.pkg.apis.meta") {
        return Some(String::new());
    }
    Some(match name {
        "core" => String::new(),
        "admissionregistration"
        | "apiextensions"
        | "apiregistration"
        | "authentication"
        | "authorization"
        | "certificates"
        | "coordination"
        | "discovery"
        | "events"
        | "networking"
        | "node"
        | "resource"
        | "scheduling"
        | "storage"
        | "metrics"
        | "admission"
        | "apidiscovery"
            if !package.starts_with("k8s.io.apimachinery.") =>
        {
            format!("{name}.k8s.io")
        }
        "flowcontrol" => "flowcontrol.apiserver.k8s.io".to_owned(),
        "rbac" => "rbac.authorization.k8s.io".to_owned(),
        "apps" | "autoscaling" | "batch" | "policy" => name.to_owned(),
        _ => return None,
    })
}

fn field_text(package: &str, row: &Row<'_>, imports: &mut BTreeSet<String>) -> Result<String> {
    let name = row.get("proto_field_name");
    let number = row.get("number");
    let (label, kind) = match row.get("label") {
        "optional" => ("optional ", short_type(package, row.get("proto_type"), imports)),
        "repeated" => ("repeated ", short_type(package, row.get("proto_type"), imports)),
        "map" => ("", format!("map<string, {}>", short_type(package, value_type(row), imports))),
        other => bail!("{package}.{}.{name}: unknown label {other:?}", row.get("message")),
    };
    let options = field_options(row);
    let options = if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) };
    Ok(format!("  {label}{kind} {name} = {number}{options};\n"))
}

fn short_type(package: &str, full: &str, imports: &mut BTreeSet<String>) -> String {
    let Some((of, message)) = full.rsplit_once('.') else { return full.to_owned() };
    if of == package {
        return message.to_owned();
    }
    imports.insert(format!("k8s/{}", file_of(of).display()));
    // A leading dot: packages nest, so a relative name could be found in the wrong scope.
    format!(".{full}")
}

fn field_options(row: &Row<'_>) -> Vec<String> {
    let mut schema = Vec::new();
    let mut flag = |on: bool, name: &str| {
        if on {
            schema.push(format!("{name}: true"));
        }
    };
    flag(row.is("presence", "pointer"), "pointer");
    flag(row.is("json_inline", "yes"), "inline");
    flag(row.is("omitempty", "no"), "keep_empty");
    flag(row.is("omitempty", "omitzero"), "omit_zero");
    flag(row.is("required", "yes"), "required");
    flag(row.get("status").contains("not-served"), "not_served");
    let mut text = |column: &str, name: &str| {
        if !row.get(column).is_empty() {
            schema.push(format!("{name}: {:?}", row.get(column)));
        }
    };
    text("default", "default_json");
    text("patch_strategy", "patch_strategy");
    text("patch_merge_key", "patch_merge_key");
    text("format", "format");
    let mut word = |column: &str, name: &str, prefix: &str| {
        if !row.get(column).is_empty() {
            schema.push(format!("{name}: {prefix}{}", row.get(column).to_uppercase()));
        }
    };
    word("list_type", "list_type", "LIST_");
    word("map_type", "map_type", "STRUCTURE_");
    word("struct_type", "struct_type", "STRUCTURE_");
    let mut list = |column: &str, name: &str, separator: char| {
        // An empty part is a value too: `|A|B` allows the empty text.
        for value in row.get(column).split(separator).filter(|_| !row.get(column).is_empty()) {
            schema.push(format!("{name}: {value:?}"));
        }
    };
    list("list_map_keys", "list_map_keys", ',');
    list("enum", "values", '|');
    for status in row.get("status").split(';') {
        if let Some(gate) = status.strip_prefix("gate:") {
            schema.push(format!("feature_gates: {gate:?}"));
        }
    }

    let mut options = Vec::new();
    let json = row.get("field_name");
    if !matches!(json, "" | "-" | "None") && json != row.get("proto_field_name") {
        options.push(format!("json_name = {json:?}"));
    }
    if row.get("status").split(';').any(|status| status == "deprecated") {
        options.push("deprecated = true".to_owned());
    }
    if !schema.is_empty() {
        options.push(format!("(keelson.schema.v1.field) = {{ {} }}", schema.join(", ")));
    }
    options
}
