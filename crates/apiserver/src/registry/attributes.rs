//! What field selectors read of an object, beyond its name and namespace.

use api::selector::fields::value_at;
use proto::dynamic::DynObject;

/// The values of the selectable fields `paths` (`spec.nodeName`); empty ones are left out.
pub fn of(object: &dyn DynObject, paths: &[&'static str]) -> Vec<(&'static str, String)> {
    let read = |path: &'static str| {
        let value = value_at(object.as_reflect(), place(object.info().kind, path))?;
        (!value.is_empty()).then_some((path, value))
    };
    paths.iter().filter_map(|path| read(path)).collect()
}

/// Where a selectable field is, where its name does not say so.
fn place(kind: &str, path: &'static str) -> &'static str {
    match (kind, path) {
        ("Event", "source") => "source.component",
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use proto::core::v1::{Pod, PodSpec};

    use super::*;

    #[test]
    fn fields_are_read_by_their_json_path() {
        let spec = PodSpec { node_name: "n1".into(), host_network: true, ..Default::default() };
        let pod = Pod { spec, ..Default::default() };
        let fields = of(&pod, &["spec.nodeName", "spec.hostNetwork", "status.phase"]);
        assert_eq!(fields, [("spec.nodeName", "n1".to_owned()), ("spec.hostNetwork", "true".to_owned())]);
    }
}
