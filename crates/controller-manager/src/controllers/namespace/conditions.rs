//! What a namespace that is being deleted says of its state: pure.

use std::collections::BTreeMap;

use proto::core::v1::{Namespace, NamespaceCondition};
use proto::keelson::api::v1::ApiResource;
use proto::time::Time;

/// What is still there after deletion was asked for.
#[derive(Debug, Default, PartialEq)]
pub struct Remains {
    /// Objects by resource.
    counts: BTreeMap<String, usize>,
    /// Objects by finalizer.
    finalizers: BTreeMap<String, usize>,
    /// Only pods were looked at so far: `/v1, Resource=pods`.
    pub pods_first: bool,
}

impl Remains {
    /// One object that is still there.
    pub fn add(&mut self, resource: &ApiResource, finalizers: &[String]) {
        let name = if resource.group.is_empty() {
            format!("{}.", resource.plural)
        } else {
            format!("{}.{}", resource.plural, resource.group)
        };
        *self.counts.entry(name).or_default() += 1;
        for finalizer in finalizers {
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
    }

    /// Nothing is there.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// The namespace with its phase and conditions as they should be.
pub fn update(namespace: &Namespace, remains: &Remains, now: Time) -> Namespace {
    let mut updated = namespace.clone();
    updated.status.phase = "Terminating".to_owned();
    let name = &namespace.metadata.name;
    let mut say = |kind: &str, bad: bool, reason: &str, message: String| {
        set(&mut updated.status.conditions, kind, bad, reason, message, now);
    };
    say(
        "NamespaceDeletionDiscoveryFailure",
        false,
        "ResourcesDiscovered",
        "All resources successfully discovered".into(),
    );
    say(
        "NamespaceDeletionGroupVersionParsingFailure",
        false,
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed".into(),
    );
    if remains.pods_first {
        let message = format!(
            "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: {name} for gvr: /v1, Resource=pods"
        );
        say("NamespaceDeletionContentFailure", true, "ContentDeletionFailed", message);
    } else {
        let message = "All content successfully deleted, may be waiting on finalization".to_owned();
        say("NamespaceDeletionContentFailure", false, "ContentDeleted", message);
    }
    let told = if remains.pods_first { &Remains::default() } else { remains };
    if told.is_empty() {
        say("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed".into());
    } else {
        let list: Vec<String> =
            told.counts.iter().map(|(resource, count)| format!("{resource} has {count} resource instances")).collect();
        let message = format!("Some resources are remaining: {}", list.join(", "));
        say("NamespaceContentRemaining", true, "SomeResourcesRemain", message);
    }
    if told.finalizers.is_empty() {
        let message = "All content-preserving finalizers finished".to_owned();
        say("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", message);
    } else {
        let list: Vec<String> =
            told.finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
        let message = format!("Some content in the namespace has finalizers remaining: {}", list.join(", "));
        say("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", message);
    }
    updated
}

fn set(conditions: &mut Vec<NamespaceCondition>, kind: &str, bad: bool, reason: &str, message: String, now: Time) {
    let status = if bad { "True" } else { "False" };
    let fresh = NamespaceCondition {
        r#type: kind.to_owned(),
        status: status.to_owned(),
        last_transition_time: now,
        reason: reason.to_owned(),
        message,
    };
    match conditions.iter_mut().find(|known| known.r#type == kind) {
        None => conditions.push(fresh),
        Some(known) if known.status != fresh.status => *known = fresh,
        Some(known) => *known = NamespaceCondition { last_transition_time: known.last_transition_time, ..fresh },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, plural: &str) -> ApiResource {
        ApiResource { group: group.into(), plural: plural.into(), ..ApiResource::default() }
    }

    fn messages(namespace: &Namespace) -> Vec<String> {
        let conditions = namespace.status.conditions.iter();
        conditions.filter(|known| known.status == "True").map(|known| known.message.clone()).collect()
    }

    #[test]
    fn remaining_content_and_its_finalizers_are_named() {
        let mut namespace = Namespace::default();
        namespace.metadata.name = "n".into();
        let mut remains = Remains::default();
        remains.add(&resource("", "configmaps"), &["example.com/hold".to_owned()]);
        let held = update(&namespace, &remains, Time::from_unix(5));
        assert_eq!(
            messages(&held),
            [
                "Some resources are remaining: configmaps. has 1 resource instances",
                "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
            ]
        );
        let free = update(&held, &Remains::default(), Time::from_unix(9));
        assert!(messages(&free).is_empty());
        assert_eq!(free.status.conditions[0].last_transition_time.seconds, 5, "what did not change keeps its time");
        assert_eq!(free.status.conditions[3].last_transition_time.seconds, 9);
        assert_eq!(update(&free, &Remains::default(), Time::from_unix(20)), free);
    }

    #[test]
    fn pods_that_are_still_going_are_told() {
        let mut remains = Remains { pods_first: true, ..Remains::default() };
        remains.add(&resource("", "pods"), &[]);
        let told = messages(&update(&Namespace::default(), &remains, Time::default()));
        assert_eq!(told.len(), 1);
        assert!(told[0].ends_with("Resource=pods"), "{told:?}");
    }
}
