//! Which group versions clients are told first: the priorities of upstream's own APIServices.

/// Group version, priority of the group, priority of the version.
const OURS: [(&str, i32, i32); 21] = [
    ("v1", 18_000, 1),
    ("apiregistration.k8s.io/v1", 18_000, 1),
    ("apps/v1", 17_800, 15),
    ("events.k8s.io/v1", 17_750, 15),
    ("authentication.k8s.io/v1", 17_700, 15),
    ("authorization.k8s.io/v1", 17_600, 15),
    ("autoscaling/v1", 17_500, 15),
    ("autoscaling/v2", 17_500, 30),
    ("batch/v1", 17_400, 15),
    ("certificates.k8s.io/v1", 17_300, 15),
    ("networking.k8s.io/v1", 17_200, 15),
    ("policy/v1", 17_100, 15),
    ("rbac.authorization.k8s.io/v1", 17_000, 15),
    ("storage.k8s.io/v1", 16_800, 15),
    ("admissionregistration.k8s.io/v1", 16_700, 15),
    ("apiextensions.k8s.io/v1", 16_700, 15),
    ("scheduling.k8s.io/v1", 16_600, 15),
    ("coordination.k8s.io/v1", 16_500, 15),
    ("node.k8s.io/v1", 16_300, 15),
    ("discovery.k8s.io/v1", 16_200, 15),
    ("resource.k8s.io/v1", 16_200, 21),
];
const FLOW_CONTROL: (&str, i32, i32) = ("flowcontrol.apiserver.k8s.io/v1", 16_100, 21);
/// Of custom resources.
const CUSTOM: (i32, i32) = (1000, 100);

/// The priorities of a group and of a version of ours; those of custom resources where it is none of the fixed ones.
pub fn of(group_version: &str) -> (i32, i32) {
    fixed(group_version).unwrap_or(CUSTOM)
}

/// The same for the fixed ones only.
pub fn fixed(group_version: &str) -> Option<(i32, i32)> {
    let mut all = OURS.iter().chain([&FLOW_CONTROL]);
    all.find(|(found, ..)| *found == group_version).map(|(_, group, version)| (*group, *version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Catalog;
    use crate::registry::Registry;

    #[test]
    fn every_group_version_of_ours_has_its_place() {
        for list in Catalog::of(&Registry::new()).lists() {
            // The group of APIServices has none of its own: upstream's aggregator serves it by itself.
            assert!(fixed(&list.group_version).is_some(), "{}", list.group_version);
        }
    }
}
