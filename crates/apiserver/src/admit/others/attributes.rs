//! What is known of a request before anybody looks at its object.

use serde_json::{Value, json};

use crate::authenticate::User;
use crate::registry::Resource;
use crate::verbs::Target;
use crate::verbs::options::{DeleteOptions, FieldValidation, Propagation, WriteOptions};

const OWN_GROUP: &str = "admissionregistration.k8s.io";

/// What is done to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    /// As rules and reviews name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A resource's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub plural: &'a str,
}

impl<'a> Named<'a> {
    /// The name of that resource.
    pub fn of(resource: &'a Resource) -> Self {
        Self { group: resource.row.group, version: resource.row.version, plural: resource.row.plural }
    }

    /// As a review writes it.
    pub fn to_json(self) -> Value {
        json!({"group": self.group, "version": self.version, "resource": self.plural})
    }
}

/// A kind's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindName<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
}

impl KindName<'_> {
    /// `v1`, `apps/v1`.
    pub fn api_version(self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As a review writes it.
    pub fn to_json(self) -> Value {
        json!({"group": self.group, "version": self.version, "kind": self.kind})
    }
}

/// What a request says beside its object.
#[derive(Debug, Clone, Copy)]
pub enum Options<'a> {
    /// Of a write, and the kind that upstream reads them as: `PatchOptions`.
    Write(&'static str, &'a WriteOptions),
    Delete(&'a DeleteOptions),
    /// Whoever connects has none.
    None,
}

impl Options<'_> {
    /// Whether nothing is to be stored.
    pub fn dry_run(self) -> bool {
        match self {
            Self::Write(_, options) => options.dry_run,
            Self::Delete(options) => options.dry_run,
            Self::None => false,
        }
    }

    /// As a review writes them.
    pub fn to_json(self) -> Value {
        let dry_run = self.dry_run();
        let mut json = match self {
            Self::None => return Value::Null,
            Self::Write(kind, options) => write_options(kind, options),
            Self::Delete(options) => delete_options(options),
        };
        json["apiVersion"] = "meta.k8s.io/v1".into();
        if dry_run {
            json["dryRun"] = json!(["All"]);
        }
        json
    }
}

fn write_options(kind: &str, options: &WriteOptions) -> Value {
    let mut json = json!({"kind": kind});
    if !options.field_manager.is_empty() {
        json["fieldManager"] = options.field_manager.clone().into();
    }
    if options.force {
        json["force"] = true.into();
    }
    json["fieldValidation"] = match options.field_validation {
        FieldValidation::Strict => "Strict",
        FieldValidation::Warn => "Warn",
        FieldValidation::Ignore => "Ignore",
    }
    .into();
    json
}

fn delete_options(options: &DeleteOptions) -> Value {
    let mut json = json!({"kind": "DeleteOptions"});
    if let Some(seconds) = options.grace_period_s {
        json["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(propagation) = options.propagation {
        json["propagationPolicy"] = match propagation {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        }
        .into();
    }
    for (field, value) in [("uid", &options.uid), ("resourceVersion", &options.resource_version)] {
        if !value.is_empty() {
            json["preconditions"][field] = value.clone().into();
        }
    }
    json
}

/// A request as rules see it.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    pub operation: Operation,
    pub resource: Named<'a>,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// What the request's object is.
    pub kind: KindName<'a>,
    /// Empty for what is cluster-scoped; of a Namespace, its own name.
    pub namespace: String,
    /// Empty where the server is to make it.
    pub name: String,
    pub options: Options<'a>,
}

impl<'a> Attributes<'a> {
    /// A request for the target, with an object of that kind. `name` stands in for the target's where that has none.
    pub fn new(
        user: &'a User,
        operation: Operation,
        target: &'a Target,
        kind: KindName<'a>,
        name: &str,
        options: Options<'a>,
    ) -> Self {
        let resource = Named::of(&target.resource);
        let name = if target.name.is_empty() { name } else { &target.name }.to_owned();
        let mut namespace = target.namespace.clone();
        if is_namespace(resource) && namespace.is_empty() {
            namespace.clone_from(&name);
        }
        Self { user, operation, resource, subresource: &target.subresource, kind, namespace, name, options }
    }

    /// Whether it is about a Namespace, or a part of one.
    pub fn is_namespace(&self) -> bool {
        is_namespace(self.resource)
    }

    /// What webhooks are not asked about, lest they lock themselves in: what configures webhooks and policies.
    pub fn is_own_configuration(&self) -> bool {
        self.resource.group == OWN_GROUP
    }

    /// What policies are not asked about: themselves, and questions about access, without which nothing works.
    pub fn is_beyond_policies(&self) -> bool {
        match (self.resource.group, self.resource.plural) {
            (OWN_GROUP, plural) => plural.contains("admissionpolic"),
            ("authentication.k8s.io", "selfsubjectreviews" | "tokenreviews") => true,
            ("authorization.k8s.io", _) => true,
            _ => false,
        }
    }
}

fn is_namespace(resource: Named<'_>) -> bool {
    resource.group.is_empty() && resource.plural == "namespaces"
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A request from `group/version/plural/namespace/name[/subresource]`; `core` is the empty group.
    pub fn asked<'a>(user: &'a User, operation: Operation, path: &'a str) -> Attributes<'a> {
        let mut parts = path.split('/');
        let mut next = || parts.next().unwrap_or_default();
        let group = Some(next()).filter(|group| *group != "core").unwrap_or_default();
        let resource = Named { group, version: next(), plural: next() };
        let (namespace, name, subresource) = (next().to_owned(), next().to_owned(), next());
        let kind = KindName { group, version: resource.version, kind: "Kind" };
        Attributes { user, operation, resource, subresource, kind, namespace, name, options: Options::None }
    }

    #[test]
    fn options_are_written_as_upstream_names_them() {
        let write = WriteOptions { dry_run: true, field_manager: "m".into(), ..Default::default() };
        let expect = json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"],
            "fieldManager": "m", "fieldValidation": "Strict"});
        assert_eq!(Options::Write("CreateOptions", &write).to_json(), expect);
        let delete = DeleteOptions {
            grace_period_s: Some(0),
            propagation: Some(Propagation::Foreground),
            uid: "u".into(),
            ..Default::default()
        };
        let expect = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 0,
            "propagationPolicy": "Foreground", "preconditions": {"uid": "u"}});
        assert_eq!(Options::Delete(&delete).to_json(), expect);
        assert_eq!(Options::None.to_json(), Value::Null);
    }

    #[test]
    fn what_configures_admission_is_not_admitted_by_it() {
        let user = User::default();
        for (path, webhooks, policies) in [
            ("admissionregistration.k8s.io/v1/validatingwebhookconfigurations//a", false, true),
            ("admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings//a", false, false),
            ("authentication.k8s.io/v1/tokenreviews//", true, false),
            ("core/v1/pods/default/p", true, true),
        ] {
            let asked = asked(&user, Operation::Create, path);
            assert_eq!((!asked.is_own_configuration(), !asked.is_beyond_policies()), (webhooks, policies), "{path}");
        }
    }
}
