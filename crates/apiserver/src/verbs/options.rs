//! What a request says beside its object, in the words of both front doors.

use api::selector::{fields, labels};

use crate::registry::Resource;
use crate::status::{Failure, Result, cause};
use crate::watch_cache::Filter;

/// Options of a write.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Do everything but the write.
    pub dry_run: bool,
    /// What to do about unknown fields.
    pub field_validation: FieldValidation,
    /// Who owns the fields of this write ([`manager`]); empty: nobody said.
    pub field_manager: String,
    /// Apply only: take fields over from other managers.
    pub force: bool,
}

/// Longest name of who writes.
pub const FIELD_MANAGER_BYTES_MAX: usize = 128;

/// Who owns the fields of a write: whom the request names, else its user agent up to the first slash.
pub fn manager(named: &str, user_agent: &str) -> String {
    if !named.is_empty() {
        return named.to_owned();
    }
    let first = user_agent.split('/').next().unwrap_or_default();
    let mut name = String::new();
    for c in first.chars().filter(|c| is_printable(*c)) {
        if name.len() + c.len_utf8() > FIELD_MANAGER_BYTES_MAX {
            break;
        }
        name.push(c);
    }
    name
}

fn is_printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace())
}

/// Refuses options of a write that contradict each other; `kind` is theirs (`PatchOptions`). `force`: none where the
/// request does not say; `apply`: the request applies a configuration.
pub fn check_manager(kind: &str, named: &str, force: Option<bool>, apply: bool) -> Result<()> {
    let mut causes = Vec::new();
    if apply && named.is_empty() {
        let message = "Required value: is required for apply patch";
        causes.push(cause("FieldValueRequired", "fieldManager", message));
    }
    if !apply && force.is_some() {
        let message = "Forbidden: may not be specified for non-apply patch";
        causes.push(cause("FieldValueForbidden", "force", message));
    }
    if named.len() > FIELD_MANAGER_BYTES_MAX {
        let message = format!("Too long: may not be more than {FIELD_MANAGER_BYTES_MAX} bytes");
        causes.push(cause("FieldValueTooLong", "fieldManager", message));
    }
    if !named.chars().all(is_printable) {
        let message = format!("Invalid value: {named:?}: should only contain printable characters");
        causes.push(cause("FieldValueInvalid", "fieldManager", message));
    }
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid("meta.k8s.io", kind, "", causes)) }
}

/// What to do about unknown and duplicate fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse the object.
    #[default]
    Strict,
    /// Take the object, with a warning for each.
    Warn,
    /// Take the object.
    Ignore,
}

impl FieldValidation {
    /// Reads what a request says; empty is Strict.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "" | "Strict" => Ok(Self::Strict),
            "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            other => Err(Failure::bad_request(format!(
                "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// What happens to the objects that a deleted object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They lose their owner.
    Orphan,
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
}

/// Options of a deletion.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Instead of the object's own; 0: at once.
    pub grace_period_s: Option<i64>,
    /// Instead of the resource's own.
    pub propagation: Option<Propagation>,
    /// Only the object with this uid.
    pub uid: String,
    /// Only this version of the object.
    pub resource_version: String,
    /// Do everything but the deletion.
    pub dry_run: bool,
}

impl Propagation {
    /// Reads what a request says; empty is none.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        match text {
            "" => Ok(None),
            "Orphan" => Ok(Some(Self::Orphan)),
            "Background" => Ok(Some(Self::Background)),
            "Foreground" => Ok(Some(Self::Foreground)),
            other => {
                let message = format!(
                    "Unsupported value: \"{other}\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                );
                let causes = vec![cause("FieldValueNotSupported", "propagationPolicy", message)];
                Err(Failure::invalid("meta.k8s.io", "DeleteOptions", "", causes))
            }
        }
    }
}

/// The filter of a list or a watch.
pub fn filter(resource: &Resource, namespace: &str, name: &str, labels: &str, fields: &str) -> Result<Filter> {
    let refuse = |error: api::selector::Error| Failure::bad_request(error.to_string());
    let labels = Some(labels::Selector::parse(labels).map_err(refuse)?).filter(|labels| !labels.is_everything());
    let fields = Some(fields::Selector::parse(fields).map_err(refuse)?).filter(|fields| !fields.is_everything());
    let (mut namespace, mut name) = (namespace.to_owned(), name.to_owned());
    for wanted in fields.iter().flat_map(|fields| fields.requirements()) {
        let path = wanted.field.as_str();
        if !resource.row.selectable_fields.contains(&path) {
            if resource.custom.is_some() {
                return Err(Failure::bad_request(format!("field label not supported: {path}")));
            }
            let kind = resource.row.kind;
            return Err(Failure::bad_request(format!(
                "\"{path}\" is not a known field selector: {}",
                known(resource, kind)
            )));
        }
        match path {
            "metadata.name" if wanted.equal && name.is_empty() => name.clone_from(&wanted.value),
            "metadata.namespace" if wanted.equal && namespace.is_empty() => namespace.clone_from(&wanted.value),
            _ => {}
        }
    }
    Ok(Filter { namespace, name, labels, fields })
}

fn known(resource: &Resource, kind: &str) -> String {
    format!("{kind} objects are selected by {}", resource.row.selectable_fields.join(", "))
}

/// Reads a resourceVersion; empty is none.
pub fn parse_version(text: &str) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<i64>() {
        Ok(version) if version >= 0 => Ok(Some(version)),
        _ => {
            let why = format!(
                "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
            );
            Err(Failure::bad_request(why))
        }
    }
}
