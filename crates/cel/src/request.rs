//! What expressions about a request may name: policies, and conditions of webhooks.

use std::sync::Arc;

use crate::env::Env;
use crate::types::{Decl, Field, ListKind, Object, Type};

/// The authorizer's type.
pub const AUTHORIZER: Type = Type::Opaque("kubernetes.authorization.Authorizer");
/// The type of a question about a resource.
pub const RESOURCE_CHECK: Type = Type::Opaque("kubernetes.authorization.ResourceCheck");

fn field(name: &str, decl: Decl) -> Field {
    Field { name: name.into(), json: name.into(), decl: Arc::new(decl) }
}

fn text(name: &str) -> Field {
    field(name, Decl::scalar(Type::String))
}

fn texts(name: &str) -> Field {
    field(name, Decl::list(Arc::new(Decl::scalar(Type::String)), ListKind::Atomic, 0))
}

fn text_map(name: &str) -> Field {
    field(name, Decl::map(Arc::new(Decl::scalar(Type::String)), 0))
}

fn object(name: &str, fields: Vec<Field>) -> Decl {
    Decl::object(Object::new(name, fields), 0)
}

/// The request of an admission review.
pub fn request() -> Decl {
    let kind = || object("kubernetes.GroupVersionKind", vec![text("group"), text("version"), text("kind")]);
    let resource = || object("kubernetes.GroupVersionResource", vec![text("group"), text("version"), text("resource")]);
    let strings = Arc::new(Decl::list(Arc::new(Decl::scalar(Type::String)), ListKind::Atomic, 0));
    let user = vec![text("username"), text("uid"), texts("groups"), field("extra", Decl::map(strings, 0))];
    object(
        "kubernetes.AdmissionRequest",
        vec![
            field("kind", kind()),
            field("resource", resource()),
            text("subResource"),
            field("requestKind", kind()),
            field("requestResource", resource()),
            text("requestSubResource"),
            text("name"),
            text("namespace"),
            text("operation"),
            field("userInfo", object("kubernetes.UserInfo", user)),
            field("dryRun", Decl::scalar(Type::Bool)),
            field("options", Decl::scalar(Type::Dyn)),
        ],
    )
}

/// The namespace of the object.
pub fn namespace() -> Decl {
    let time = |name: &str| field(name, Decl::scalar(Type::Timestamp));
    let number = |name: &str| field(name, Decl::scalar(Type::Int));
    let metadata = vec![
        text("name"),
        text("generateName"),
        text("namespace"),
        text_map("labels"),
        text_map("annotations"),
        text("UID"),
        time("creationTimestamp"),
        number("deletionGracePeriodSeconds"),
        time("deletionTimestamp"),
        number("generation"),
        text("resourceVersion"),
        texts("finalizers"),
    ];
    let condition = vec![text("status"), text("type"), time("lastTransitionTime"), text("message"), text("reason")];
    let conditions = Decl::list(Arc::new(object("kubernetes.NamespaceCondition", condition)), ListKind::Atomic, 0);
    let status = vec![field("conditions", conditions), text("phase")];
    object(
        "kubernetes.Namespace",
        vec![
            field("metadata", object("kubernetes.NamespaceMetadata", metadata)),
            field("spec", object("kubernetes.NamespaceSpec", vec![texts("finalizers")])),
            field("status", object("kubernetes.NamespaceStatus", status)),
        ],
    )
}

/// What an expression about a request may name; `params` where the policy has some.
pub fn environment(params: bool) -> Env {
    let env = Env::new()
        .with("object", Type::Dyn)
        .with("oldObject", Type::Dyn)
        .with("request", request().ty)
        .with("namespaceObject", namespace().ty)
        .with("authorizer", AUTHORIZER)
        .with("authorizer.requestResource", RESOURCE_CHECK);
    if params { env.with("params", Type::Dyn) } else { env }
}

/// Variables of a policy with the types of their expressions, as `variables`.
pub fn variables(known: &[(&str, Type)]) -> Type {
    let mut fields: Vec<Field> = Vec::new();
    for (name, ty) in known {
        fields.retain(|field| *field.name != **name);
        fields.push(field(name, Decl::scalar(ty.clone())));
    }
    object("kubernetes.variables", fields).ty
}

/// The type of a step of a JSON patch, `JSONPatch{...}`.
pub fn json_patch() -> Type {
    object("JSONPatch", vec![text("op"), text("path"), text("from"), field("value", Decl::scalar(Type::Dyn))]).ty
}

/// The type of a configuration that a mutation applies, `Object{...}`.
pub fn apply_configuration() -> Type {
    Type::Object(Arc::new(Object::open("Object")))
}

/// `env` with what mutations may make: `Object{...}` and `JSONPatch{...}`.
pub fn with_mutations(env: Env) -> Env {
    env.with_message("JSONPatch", json_patch()).with_open_messages("Object")
}
