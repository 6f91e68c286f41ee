//! Media types of bodies.

/// Objects, read or written.
pub const OBJECTS: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// Lists, which may also be streams of changes.
pub const LISTS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
/// The patches, each with a meaning of its own.
pub const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// Custom objects and their lists: they have no protobuf.
pub const CUSTOM: &[&str] = &["application/json", "application/yaml"];
/// Patches of custom objects: nothing says how their lists merge strategically.
pub const CUSTOM_PATCHES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
/// Logs; a refusal is a Status.
pub const LOGS: &[&str] =
    &["text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// Whatever the other end makes of it.
pub const ANY: &[&str] = &["*/*"];
/// Documents about the API itself that have one form.
pub const JSON: &[&str] = &["application/json"];
