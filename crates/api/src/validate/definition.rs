//! Validation of CustomResourceDefinitions; their schemas are `schema`'s.
//!
//! What is the same in all versions is told at the spec itself, as upstream's older form of the kind has it.

use proto::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec, CustomResourceSubresources, CustomResourceValidation,
};

use super::check::{Errors, immutable, one_of_required, shape};
use super::{FieldError, Path, schema, selectable, webhook};
use crate::name;
use crate::structural::json_path::JsonPath;

const SPEC: Path<'static> = Path::root("spec");
const META: Path<'static> = Path::root("metadata");
const APPROVED: &str = "api-approved.kubernetes.io";
/// Groups that the community keeps for itself.
const PROTECTED: &[&str] = &["k8s.io", "kubernetes.io"];
const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] = &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

pub fn create(errors: &mut Errors, definition: &CustomResourceDefinition) {
    let (names, group) = (&definition.spec.names, &definition.spec.group);
    if definition.metadata.name != format!("{}.{group}", names.plural) {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid(META.child("name"), &definition.metadata.name, why));
    }
    spec(errors, &definition.spec);
    after_spec(errors, definition);
}

fn after_spec(errors: &mut Errors, definition: &CustomResourceDefinition) {
    self::names(errors, Path::root("status").child("acceptedNames"), &definition.status.accepted_names);
    let status = Path::root("status");
    let path = status.child("storedVersions");
    if definition.status.stored_versions.is_empty() {
        let nothing: Option<bool> = None;
        errors.push(FieldError::invalid(path, nothing, "must have at least one stored version"));
    }
    for (index, version) in definition.status.stored_versions.iter().enumerate() {
        if !definition.spec.versions.iter().any(|known| known.name == *version) {
            errors.push(FieldError::invalid(path.index(index), version, "must appear in spec.versions"));
        }
    }
    approval(errors, definition);
    if definition.spec.preserve_unknown_fields {
        let why =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid(SPEC.child("preserveUnknownFields"), true, why));
    }
}

fn approval(errors: &mut Errors, definition: &CustomResourceDefinition) {
    let group = &definition.spec.group;
    let protected = |name: &&str| group == *name || group.ends_with(&format!(".{name}"));
    if !PROTECTED.iter().any(protected) {
        return;
    }
    let path = META.child("annotations");
    let path = path.key(APPROVED);
    match definition.metadata.annotations.get(APPROVED).map_or("", String::as_str) {
        "" => {
            let why = format!(
                "protected groups must have approval annotation \"{APPROVED}\", see https://github.com/kubernetes/enhancements/pull/1111"
            );
            errors.push(FieldError::required(path, why));
        }
        text if text.starts_with("unapproved") || text.contains("://") => {}
        text => {
            let why = format!(
                "protected groups must have approval annotation \"{APPROVED}\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
            );
            errors.push(FieldError::invalid(path, text, why));
        }
    }
}

fn spec(errors: &mut Errors, spec: &CustomResourceDefinitionSpec) {
    group(errors, SPEC.child("group"), &spec.group);
    one_of_required(errors, SPEC.child("scope"), Some(&spec.scope), &["Cluster", "Namespaced"]);
    versions(errors, spec);
    for (field, text) in [
        ("plural", &spec.names.plural),
        ("singular", &spec.names.singular),
        ("kind", &spec.names.kind),
        ("listKind", &spec.names.list_kind),
    ] {
        super::check::required(errors, SPEC.child("names").child(field), text);
    }
    names(errors, SPEC.child("names"), &spec.names);
    hoisted(errors, spec);
    if let Some(conversion) = &spec.conversion {
        self::conversion(errors, SPEC.child("conversion"), conversion);
    }
}

fn group(errors: &mut Errors, path: Path<'_>, group: &str) {
    if group.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let wrong = name::dns_subdomain(group);
    if wrong.is_empty() && !group.contains('.') {
        errors.push(FieldError::invalid(path, group, "should be a domain with at least one dot"));
    }
    errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path, group, why)));
}

/// True where every version has the same.
fn same<T: PartialEq>(spec: &CustomResourceDefinitionSpec, of: impl Fn(usize) -> T) -> bool {
    let mut all = (0..spec.versions.len()).map(of);
    let first = all.next();
    all.all(|one| Some(one) == first)
}

#[allow(deprecated, reason = "the field says that a version is")]
fn versions(errors: &mut Errors, spec: &CustomResourceDefinitionSpec) {
    let path = SPEC.child("versions");
    let versions = &spec.versions;
    let schemas = same(spec, |at| &versions[at].schema);
    let subresources = same(spec, |at| &versions[at].subresources);
    let columns = same(spec, |at| &versions[at].additional_printer_columns);
    for (index, version) in versions.iter().enumerate() {
        let path = path.index(index);
        shape(errors, path.child("name"), &version.name, name::dns_1035_label);
        if version.deprecation_warning.is_some() && !version.deprecated {
            let why = "can only be set for deprecated versions";
            errors.push(FieldError::invalid(
                path.child("deprecationWarning"),
                version.deprecation_warning.as_ref(),
                why,
            ));
        }
        if !schemas {
            validation(errors, path.child("schema"), version.schema.as_ref());
        }
        if !subresources && let Some(found) = &version.subresources {
            self::subresources(errors, path.child("subresources"), found);
        }
        if !columns {
            self::columns(errors, path.child("additionalPrinterColumns"), &version.additional_printer_columns);
        }
        let schema = version.schema.as_ref().and_then(|schema| schema.open_apiv3_schema.as_ref());
        selectable::check(errors, path.child("selectableFields"), &version.selectable_fields, schema);
    }
    let shown = format!("{:?}", versions.iter().map(|version| &version.name).collect::<Vec<_>>());
    let unique =
        versions.iter().enumerate().all(|(index, one)| !versions[..index].iter().any(|other| other.name == one.name));
    if !unique {
        errors.push(FieldError::invalid(path, shown.as_str(), "must contain unique version names"));
    }
    if versions.iter().filter(|version| version.storage).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path, shown.as_str(), why));
    }
}

/// What all versions share.
fn hoisted(errors: &mut Errors, spec: &CustomResourceDefinitionSpec) {
    let versions = &spec.versions;
    let Some(first) = versions.first() else { return };
    if same(spec, |at| &versions[at].schema) {
        validation(errors, SPEC.child("validation"), first.schema.as_ref());
    }
    if same(spec, |at| &versions[at].subresources)
        && let Some(found) = &first.subresources
    {
        subresources(errors, SPEC.child("subresources"), found);
    }
    if same(spec, |at| &versions[at].additional_printer_columns) {
        columns(errors, SPEC.child("additionalPrinterColumns"), &first.additional_printer_columns);
    }
    let has_schema = |found: &Option<CustomResourceValidation>| {
        found.as_ref().is_some_and(|validation| validation.open_apiv3_schema.is_some())
    };
    let path = SPEC.child("versions");
    for (index, _) in versions.iter().enumerate().filter(|(_, version)| !has_schema(&version.schema)) {
        let path = path.index(index);
        errors.push(FieldError::required(path.child("schema").child("openAPIV3Schema"), "schemas are required"));
    }
}

fn validation(errors: &mut Errors, path: Path<'_>, validation: Option<&CustomResourceValidation>) {
    if let Some(root) = validation.and_then(|validation| validation.open_apiv3_schema.as_ref()) {
        schema::root(errors, path.child("openAPIV3Schema"), root);
    }
}

fn names(errors: &mut Errors, path: Path<'_>, names: &CustomResourceDefinitionNames) {
    let plain = |errors: &mut Errors, field: &str, text: &str| {
        if !text.is_empty() {
            shape(errors, path.child(field), text, name::dns_1035_label);
        }
    };
    let mixed = |errors: &mut Errors, field: &str, text: &str| {
        if text.is_empty() {
            return;
        }
        for why in name::dns_1035_label(&text.to_lowercase()) {
            let why = format!("may have mixed case, but should otherwise match: {why}");
            errors.push(FieldError::invalid(path.child(field), text, why));
        }
    };
    plain(errors, "plural", &names.plural);
    plain(errors, "singular", &names.singular);
    mixed(errors, "kind", &names.kind);
    for text in &names.short_names {
        plain(errors, "shortNames", text);
    }
    mixed(errors, "listKind", &names.list_kind);
    if !names.kind.is_empty() && names.kind == names.list_kind {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(path.child("listKind"), &names.list_kind, why));
    }
    for text in &names.categories {
        plain(errors, "categories", text);
    }
}

fn columns(errors: &mut Errors, path: Path<'_>, columns: &[CustomResourceColumnDefinition]) {
    for (index, column) in columns.iter().enumerate() {
        let path = path.index(index);
        super::check::required(errors, path.child("name"), &column.name);
        let why = |words: &[&str]| format!("must be one of {}", words.join(","));
        if column.r#type.is_empty() {
            errors.push(FieldError::required(path.child("type"), why(COLUMN_TYPES)));
        } else if !COLUMN_TYPES.contains(&column.r#type.as_str()) {
            errors.push(FieldError::invalid(path.child("type"), &column.r#type, why(COLUMN_TYPES)));
        }
        if !column.format.is_empty() && !COLUMN_FORMATS.contains(&column.format.as_str()) {
            errors.push(FieldError::invalid(path.child("format"), &column.format, why(COLUMN_FORMATS)));
        }
        json_path(errors, path.child("JSONPath"), &column.json_path, &[]);
    }
}

/// A path of fields, below one of `roots` where there are any.
fn json_path(errors: &mut Errors, path: Path<'_>, text: &str, roots: &[&str]) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !text.starts_with('.') {
        errors.push(FieldError::invalid(path, text, "must be a simple json path starting with ."));
    } else if JsonPath::new(text).is_err() || text.ends_with('.') && text.len() > 1 {
        errors.push(FieldError::invalid(path, text, "is an invalid path"));
    } else if !roots.is_empty() && !roots.iter().any(|root| text.starts_with(root)) {
        let why =
            format!("should be a json path under {}", roots.join(" or ").replace(". ", " ").trim_end_matches('.'));
        errors.push(FieldError::invalid(path, text, why));
    }
}

fn subresources(errors: &mut Errors, path: Path<'_>, subresources: &CustomResourceSubresources) {
    let Some(scale) = &subresources.scale else { return };
    let path = path.child("scale");
    json_path(errors, path.child("specReplicasPath"), &scale.spec_replicas_path, &[".spec."]);
    json_path(errors, path.child("statusReplicasPath"), &scale.status_replicas_path, &[".status."]);
    if let Some(text) = scale.label_selector_path.as_deref().filter(|text| !text.is_empty()) {
        json_path(errors, path.child("labelSelectorPath"), text, &[".spec.", ".status."]);
    }
}

fn conversion(errors: &mut Errors, path: Path<'_>, conversion: &CustomResourceConversion) {
    one_of_required(errors, path.child("strategy"), Some(&conversion.strategy), &["None", "Webhook"]);
    let at = path.child("webhookClientConfig");
    let hook = conversion.webhook.as_ref();
    let client = hook.and_then(|hook| hook.client_config.as_ref());
    if conversion.strategy != "Webhook" {
        if client.is_some() {
            errors.push(FieldError::forbidden(at, "should not be set when strategy is not set to Webhook"));
        }
        if hook.is_some_and(|hook| !hook.conversion_review_versions.is_empty()) {
            let why = "should not be set when strategy is not set to Webhook";
            errors.push(FieldError::forbidden(path.child("conversionReviewVersions"), why));
        }
        return;
    }
    match client.map(|client| (&client.url, &client.service)) {
        None => errors.push(FieldError::required(at, "required when strategy is set to Webhook")),
        Some((Some(url), None)) => webhook::url(errors, at.child("url"), url),
        Some((None, Some(found))) => {
            let (namespace, port) = (&found.namespace, found.port);
            webhook::service(errors, at.child("service"), &found.name, namespace, found.path.as_deref(), port);
        }
        Some(_) => errors.push(FieldError::required(at, "exactly one of url or service is required")),
    }
    let versions = hook.map(|hook| &hook.conversion_review_versions).filter(|versions| !versions.is_empty());
    let at = path.child("conversionReviewVersions");
    match versions {
        None => errors.push(FieldError::required(at, "must specify at least one of v1, v1beta1")),
        Some(versions) if !versions.iter().any(|version| matches!(version.as_str(), "v1" | "v1beta1")) => {
            errors.push(FieldError::invalid(at, versions, "must include at least one of v1, v1beta1"));
        }
        Some(_) => {}
    }
}

/// An established definition keeps its names and its scope.
pub fn update(errors: &mut Errors, new: &CustomResourceDefinition, old: &CustomResourceDefinition) {
    spec(errors, &new.spec);
    let established = old.status.conditions.iter().any(|each| each.r#type == "Established" && each.status == "True");
    if established {
        let (now, was) = (&new.spec, &old.spec);
        immutable(errors, SPEC.child("group"), now.group == was.group, &now.group);
        immutable(errors, SPEC.child("scope"), now.scope == was.scope, &now.scope);
        immutable(errors, SPEC.child("names").child("kind"), now.names.kind == was.names.kind, &now.names.kind);
        immutable(errors, SPEC.child("names").child("plural"), now.names.plural == was.names.plural, &now.names.plural);
    }
    after_spec(errors, new);
}
