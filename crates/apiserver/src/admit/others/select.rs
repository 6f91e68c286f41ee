//! Which objects a webhook or a policy is about: by their labels, and by those of their namespace.

use std::collections::BTreeMap;

use api::selector::labels::Selector;
use proto::meta::v1::LabelSelector;
use serde_json::Value;

use super::attributes::{Attributes, Operation};
use crate::status::{Failure, Result};

type Labels = BTreeMap<String, String>;

/// The objects of a request as Kubernetes JSON.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// As it is to be; none of a deletion.
    pub new: Option<Value>,
    /// As it is; none of a creation.
    pub old: Option<Value>,
}

/// Both selectors; one that cannot be read refuses what it would be asked about.
#[derive(Debug, Clone)]
pub struct Selectors {
    namespaces: std::result::Result<Selector, String>,
    objects: std::result::Result<Selector, String>,
}

impl Selectors {
    /// Those of a configuration; none selects everything.
    pub fn new(namespaces: Option<&LabelSelector>, objects: Option<&LabelSelector>) -> Self {
        let read = |selector: Option<&LabelSelector>| match selector {
            None => Ok(Selector::everything()),
            Some(_) => Selector::from_selector(selector).map_err(|error| error.to_string()),
        };
        Self { namespaces: read(namespaces), objects: read(objects) }
    }

    /// Whether both select the request. `labels_of` gives the labels of a namespace, where there is one.
    pub fn select(
        &self,
        asked: &Attributes<'_>,
        objects: &Objects,
        labels_of: impl Fn(&str) -> Option<Labels>,
    ) -> Result<bool> {
        Ok(self.by_object(objects)? && self.by_namespace(asked, objects, labels_of)?)
    }

    fn by_object(&self, objects: &Objects) -> Result<bool> {
        let selector = self.objects.as_ref().map_err(Failure::internal)?;
        let matches = |object: &Option<Value>| {
            let labelled = object.as_ref().and_then(|object| object.get("metadata")).map(labels_in);
            labelled.is_some_and(|labels| selector.matches(&labels))
        };
        Ok(selector.is_everything() || matches(&objects.new) || matches(&objects.old))
    }

    /// What is in no namespace is selected, but for namespaces: they are selected by their own labels.
    fn by_namespace(
        &self,
        asked: &Attributes<'_>,
        objects: &Objects,
        labels_of: impl Fn(&str) -> Option<Labels>,
    ) -> Result<bool> {
        let selector = self.namespaces.as_ref().map_err(Failure::internal)?;
        if selector.is_everything() || (asked.namespace.is_empty() && !asked.is_namespace()) {
            return Ok(true);
        }
        let written = matches!(asked.operation, Operation::Create | Operation::Update);
        let own = asked.is_namespace() && asked.subresource.is_empty() && written;
        let labels = match (own, &objects.new) {
            (true, Some(namespace)) => labels_in(&namespace["metadata"]),
            _ => labels_of(&asked.namespace).ok_or_else(|| Failure::not_found("", "namespaces", &asked.namespace))?,
        };
        Ok(selector.matches(&labels))
    }
}

fn labels_in(metadata: &Value) -> Labels {
    let labels = metadata.get("labels").and_then(Value::as_object);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    labels.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::attributes::tests::asked;
    use super::*;
    use crate::authenticate::User;

    fn selector(key: &str, value: &str) -> LabelSelector {
        LabelSelector { match_labels: BTreeMap::from([(key.to_owned(), value.to_owned())]), ..Default::default() }
    }

    fn object(value: &str) -> Option<Value> {
        Some(json!({"metadata": {"labels": {"team": value}}}))
    }

    fn in_namespace(name: &str) -> Option<Labels> {
        (name == "default").then(|| Labels::from([("team".to_owned(), "blue".to_owned())]))
    }

    #[test]
    fn an_object_is_selected_by_what_it_was_or_will_be() {
        let user = User::default();
        let asked = asked(&user, Operation::Update, "core/v1/pods/default/p");
        let wanted = selector("team", "red");
        let selectors = Selectors::new(None, Some(&wanted));
        for (new, old, expect) in [
            (object("red"), None, true),
            (object("blue"), object("red"), true),
            (None, object("red"), true),
            (object("blue"), object("blue"), false),
            (None, None, false),
        ] {
            let selected = selectors.select(&asked, &Objects { new, old }, in_namespace).expect("readable");
            assert_eq!(selected, expect);
        }
        assert!(Selectors::new(None, None).select(&asked, &Objects::default(), in_namespace).expect("readable"));
    }

    #[test]
    fn a_namespace_selects_what_is_in_it_and_a_namespace_itself() {
        let user = User::default();
        for (operation, path, wanted, expect) in [
            (Operation::Create, "core/v1/pods/default/p", "blue", Ok(true)),
            (Operation::Create, "core/v1/pods/default/p", "red", Ok(false)),
            (Operation::Create, "core/v1/pods/gone/p", "red", Err(404)),
            (Operation::Create, "core/v1/nodes//n", "red", Ok(true)),
            // The labels that it is to have.
            (Operation::Update, "core/v1/namespaces/default/default", "green", Ok(true)),
            (Operation::Delete, "core/v1/namespaces/default/default", "green", Ok(false)),
        ] {
            let wanted = selector("team", wanted);
            let objects = Objects { new: object("green"), old: None };
            let asked = asked(&user, operation, path);
            let selected = Selectors::new(Some(&wanted), None).select(&asked, &objects, in_namespace);
            assert_eq!(selected.map_err(|failure| failure.code()), expect, "{path}");
        }
    }
}
