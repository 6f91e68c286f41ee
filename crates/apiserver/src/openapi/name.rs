//! Names in OpenAPI documents, as upstream makes them: client generators turn them into types and functions.

use proto::schema::{Form, MessageInfo};

/// The name of a definition: `io.k8s.api.core.v1.Pod`.
pub fn definition(message: &MessageInfo) -> String {
    if let (Form::Custom, Some(kind)) = (message.form, message.kind) {
        return custom(kind.api_version, kind.kind);
    }
    let rest = message.name.strip_prefix("k8s.io.").unwrap_or(message.name);
    let (package, name) = rest.rsplit_once('.').unwrap_or(("", rest));
    // Protobuf has no hyphens in packages; upstream's Go packages do.
    format!("io.k8s.{}.{name}", package.replace('_', "-"))
}

/// The name of a custom kind's definition, its group read backwards: `com.example.v1.Gizmo`.
fn custom(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let group: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", group.join("."))
}

/// The name of the definition of lists of a kind.
pub fn list(message: &MessageInfo) -> String {
    format!("{}List", definition(message))
}

/// A group in the middle of an operation's name: `Core`, `Apps`, `RbacAuthorization`.
pub fn group_words(group: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    group.trim_end_matches(".k8s.io").split(['.', '-']).map(capital).collect()
}

/// A tag: `core_v1`, `rbacAuthorization_v1`; without a version the group alone.
pub fn tag(group: &str, version: &str) -> String {
    let words = group_words(group);
    let group = words[..1].to_ascii_lowercase() + &words[1..];
    if version.is_empty() { group } else { format!("{group}_{version}") }
}

/// With a capital first letter.
pub fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams() {
        let name = |full| definition(proto::dynamic::message_info(full).expect(full));
        assert_eq!(name("k8s.io.api.core.v1.Pod"), "io.k8s.api.core.v1.Pod");
        assert_eq!(
            name("k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"),
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
        );
        let custom = proto::custom::kind("stable.example.com", "v1", "Gizmo").message;
        assert_eq!(definition(custom), "com.example.stable.v1.Gizmo");
        assert_eq!(list(custom), "com.example.stable.v1.GizmoList");
        for (group, words, with_version) in [
            ("", "Core", "core_v1"),
            ("apps", "Apps", "apps_v1"),
            ("rbac.authorization.k8s.io", "RbacAuthorization", "rbacAuthorization_v1"),
            ("flowcontrol.apiserver.k8s.io", "FlowcontrolApiserver", "flowcontrolApiserver_v1"),
            ("example.com", "ExampleCom", "exampleCom_v1"),
        ] {
            assert_eq!(group_words(group), words);
            assert_eq!(tag(group, "v1"), with_version);
        }
        assert_eq!(tag("apps", ""), "apps");
    }
}
