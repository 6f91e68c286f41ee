//! Which resource a word means: `pods`, `pod`, `po`, `deployments.apps`, `deploy/hello`.

use anyhow::{Context, bail};
use proto::keelson::api::v1::ApiResource;

use crate::suggest;

/// A resource that the server has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub categories: Vec<String>,
    pub subresources: Vec<String>,
}

impl Resource {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployment.apps`, `pod`: how messages name an object's kind.
    pub fn singular_group(&self) -> String {
        let singular = if self.singular.is_empty() { self.kind.to_lowercase() } else { self.singular.clone() };
        if self.group.is_empty() { singular } else { format!("{singular}.{}", self.group) }
    }

    /// `deployments.apps`, `pods`: how errors name the resource.
    pub fn plural_group(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `deployment.apps/hello`.
    pub fn display(&self, name: &str) -> String {
        format!("{}/{name}", self.singular_group())
    }

    fn answers_to(&self, word: &str) -> bool {
        self.plural == word
            || self.singular == word
            || self.kind.to_lowercase() == word
            || self.short_names.iter().any(|short| short == word)
    }
}

/// Every resource that the server has.
#[derive(Debug, Clone, Default)]
pub struct Catalog(pub Vec<Resource>);

/// What the words of a command name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub resource: Resource,
    /// Empty: all of them, or those that a selector picks.
    pub names: Vec<String>,
}

impl Catalog {
    pub fn new(rows: Vec<ApiResource>) -> Self {
        let rows = rows.into_iter().map(|row| Resource {
            singular: if row.singular.is_empty() { row.kind.to_lowercase() } else { row.singular },
            group: row.group,
            version: row.version,
            kind: row.kind,
            plural: row.plural,
            short_names: row.short_names,
            namespaced: row.namespaced,
            verbs: row.verbs,
            categories: row.categories,
            subresources: row.subresources,
        });
        Self(rows.collect())
    }

    /// The resource that a word means; a word may carry its group, and its version: `deployments.v1.apps`.
    pub fn find(&self, word: &str) -> anyhow::Result<&Resource> {
        let lower = word.to_lowercase();
        // The core group comes first: plain `events` are the core ones.
        let core_first = || {
            self.0.iter().filter(|row| row.group.is_empty()).chain(self.0.iter().filter(|row| !row.group.is_empty()))
        };
        if let Some(found) = core_first().find(|row| row.answers_to(&lower)) {
            return Ok(found);
        }
        if let Some((name, rest)) = lower.split_once('.') {
            let matches = |row: &&Resource| {
                row.answers_to(name)
                    && (row.group == rest
                        || row.group.starts_with(&format!("{rest}."))
                        || rest == format!("{}.{}", row.version, row.group)
                        || rest == format!("{}.", row.version)
                        || (row.group.is_empty() && rest == row.version))
            };
            if let Some(found) = core_first().find(matches) {
                return Ok(found);
            }
        }
        let names = self.0.iter().flat_map(|row| {
            [row.plural.as_str(), row.singular.as_str()].into_iter().chain(row.short_names.iter().map(String::as_str))
        });
        let near =
            suggest::nearest(&lower, names).map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        bail!("the server doesn't have a resource type \"{word}\"{near}")
    }

    /// The resource of a kind.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> anyhow::Result<&Resource> {
        let found = self.0.iter().find(|row| {
            row.kind == kind && row.api_version() == api_version && !row.verbs.iter().all(|verb| verb == "create")
                || row.kind == kind && row.api_version() == api_version
        });
        found.with_context(|| self.no_match(api_version, kind))
    }

    /// Why there is no such kind, and what was probably meant.
    pub fn no_match(&self, api_version: &str, kind: &str) -> String {
        let elsewhere: Vec<String> = self.0.iter().filter(|row| row.kind == kind).map(Resource::api_version).collect();
        let near = if elsewhere.is_empty() {
            let near = suggest::nearest(kind, self.0.iter().map(|row| row.kind.as_str()));
            near.map(|near| format!("; did you mean kind \"{near}\"?")).unwrap_or_default()
        } else {
            format!("; kind {kind} is in {}", elsewhere.join(", "))
        };
        format!("no matches for kind \"{kind}\" in version \"{api_version}\"{near}")
    }

    /// What the words of a command name: `pods`, `pods a b`, `pods,services`, `pod/a service/b`.
    pub fn select(&self, words: &[String]) -> anyhow::Result<Vec<Selection>> {
        let Some(first) = words.first() else {
            bail!(
                "You must specify the type of resource, for example: pods. See \"keelctl api-resources\" for a complete list of supported resources."
            );
        };
        if words.iter().any(|word| word.contains('/')) {
            let mut found: Vec<Selection> = Vec::new();
            for word in words {
                let Some((kind, name)) = word.split_once('/') else {
                    bail!(
                        "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'keelctl get resource/<resource_name>' instead of 'keelctl get resource resource/<resource_name>'"
                    );
                };
                if name.is_empty() || kind.is_empty() || name.contains('/') {
                    bail!("arguments in resource/name form must have a single resource and name, not \"{word}\"");
                }
                let resource = self.find(kind)?.clone();
                match found.last_mut().filter(|last| last.resource == resource) {
                    Some(last) => last.names.push(name.to_owned()),
                    None => found.push(Selection { resource, names: vec![name.to_owned()] }),
                }
            }
            return Ok(found);
        }
        let mut resources: Vec<Resource> = Vec::new();
        for word in first.split(',').filter(|word| !word.is_empty()) {
            let of_category: Vec<Resource> =
                self.0.iter().filter(|row| row.categories.iter().any(|category| category == word)).cloned().collect();
            if of_category.is_empty() {
                resources.push(self.find(word)?.clone())
            } else {
                resources.extend(of_category)
            }
        }
        let names = words[1..].to_vec();
        Ok(resources.into_iter().map(|resource| Selection { resource, names: names.clone() }).collect())
    }

    /// One object by name: `pod p`, `pod/p`.
    pub fn one(&self, words: &[String]) -> anyhow::Result<(Resource, String)> {
        let mut found = self.select(words)?;
        match (found.pop(), found.is_empty()) {
            (Some(Selection { resource, names }), true) if names.len() == 1 => Ok((resource, names[0].clone())),
            _ => bail!("name one object, for example: deployment/hello"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(group: &str, kind: &str, plural: &str, short: &[&str], categories: &[&str]) -> ApiResource {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        ApiResource {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            plural: plural.into(),
            short_names: owned(short),
            categories: owned(categories),
            ..ApiResource::default()
        }
    }

    fn catalog() -> Catalog {
        Catalog::new(vec![
            row("events.k8s.io", "Event", "events", &["ev"], &[]),
            row("", "Event", "events", &["ev"], &[]),
            row("", "Pod", "pods", &["po"], &["all"]),
            row("apps", "Deployment", "deployments", &["deploy"], &["all"]),
        ])
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_resource_answers_to_all_its_names() {
        for word in ["deployments", "deployment", "Deployment", "deploy", "deployments.apps", "deploy.v1.apps"] {
            assert_eq!(catalog().find(word).unwrap().kind, "Deployment", "{word}");
        }
        assert_eq!(catalog().find("events").unwrap().group, "");
        assert_eq!(catalog().find("events.events.k8s.io").unwrap().group, "events.k8s.io");
    }

    #[test]
    fn an_unknown_resource_names_the_nearest() {
        let error = catalog().find("deploymnets").unwrap_err().to_string();
        assert_eq!(error, "the server doesn't have a resource type \"deploymnets\"; did you mean \"deployments\"?");
        assert!(catalog().no_match("v1", "Deployment").contains("kind Deployment is in apps/v1"));
        assert!(catalog().no_match("v1", "Pood").contains("did you mean kind \"Pod\"?"));
    }

    #[test]
    fn words_select_objects_in_every_form() {
        let names = |text: &str| {
            catalog()
                .select(&words(text))
                .unwrap()
                .into_iter()
                .map(|found| (found.resource.kind, found.names))
                .collect::<Vec<_>>()
        };
        let want = |pairs: &[(&str, &[&str])]| {
            pairs
                .iter()
                .map(|(kind, names)| ((*kind).to_owned(), names.iter().map(|name| (*name).to_owned()).collect()))
                .collect::<Vec<(String, Vec<String>)>>()
        };
        assert_eq!(names("po,deploy"), want(&[("Pod", &[]), ("Deployment", &[])]));
        assert_eq!(names("po a b"), want(&[("Pod", &["a", "b"])]));
        assert_eq!(names("po/a po/b deploy/c"), want(&[("Pod", &["a", "b"]), ("Deployment", &["c"])]));
        assert_eq!(names("all"), want(&[("Pod", &[]), ("Deployment", &[])]));
        assert!(catalog().select(&words("po deploy/c")).is_err());
    }
}
