//! Finding the objects that a command's words, selectors and manifests name.

use anyhow::bail;
use serde_json::Value;

use crate::cli::Global;
use crate::manifest::{Document, Problems};
use crate::remote::{Query, Remote};
use crate::resource::{Catalog, Resource};

use super::Files;

/// An object that a command acts on.
#[derive(Debug, Clone)]
pub struct Target {
    pub resource: Resource,
    pub namespace: String,
    pub object: Value,
}

impl Target {
    pub fn name(&self) -> &str {
        self.object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// `deployment.apps/hello`.
    pub fn display(&self) -> String {
        self.resource.display(self.name())
    }
}

/// Which objects: by words, by selector, by manifests.
#[derive(Debug, Clone, Default)]
pub struct Which<'a> {
    pub words: &'a [String],
    pub files: Option<&'a Files>,
    pub labels: Option<&'a str>,
    pub fields: Option<&'a str>,
    pub all: bool,
    pub all_namespaces: bool,
}

/// The namespace of an object: its own, which must be that of the flag where one is given.
pub fn namespace_of(object: &Value, resource: &Resource, global: &Global, default: &str) -> anyhow::Result<String> {
    if !resource.namespaced {
        return Ok(String::new());
    }
    let own = object.pointer("/metadata/namespace").and_then(Value::as_str).filter(|own| !own.is_empty());
    match (own, global.namespace.as_deref()) {
        (Some(own), Some(flag)) if own != flag => bail!(
            "the namespace from the provided object \"{own}\" does not match the namespace \"{flag}\". You must pass '--namespace={own}' to perform this operation."
        ),
        (Some(own), _) => Ok(own.to_owned()),
        (None, _) => Ok(default.to_owned()),
    }
}

/// The resource of a manifest; where there is none, the place of its kind is told.
pub fn resource_of<'a>(catalog: &'a Catalog, document: &Document) -> anyhow::Result<&'a Resource> {
    catalog.of_kind(document.api_version(), document.kind()).map_err(|problem| {
        let node = document.node.get("kind").unwrap_or(&document.node);
        Problems(vec![document.problem(node, problem.to_string())]).into()
    })
}

/// Reads the objects; naming none is an error where the words leave it open.
pub async fn find(
    remote: &Remote,
    catalog: &Catalog,
    global: &Global,
    which: &Which<'_>,
) -> anyhow::Result<Vec<Target>> {
    let mut found = Vec::new();
    if let Some(files) = which.files.filter(|files| !files.filenames.is_empty()) {
        for document in files.read()? {
            let resource = resource_of(catalog, &document)?.clone();
            let namespace = namespace_of(&document.value, &resource, global, &remote.namespace)?;
            let name = document.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let object = remote.get(&resource, &namespace, name).await?;
            found.push(Target { resource, namespace, object });
        }
        return Ok(found);
    }
    let query = Query {
        labels: which.labels.unwrap_or_default().to_owned(),
        fields: which.fields.unwrap_or_default().to_owned(),
    };
    let selecting = !query.labels.is_empty() || !query.fields.is_empty() || which.all;
    for selection in catalog.select(which.words)? {
        if selection.names.is_empty() {
            if !selecting {
                bail!("resource(s) were provided, but no name was specified; give a name, a selector (-l) or --all");
            }
            let scope = if which.all_namespaces { "" } else { &remote.namespace };
            for object in remote.list(&selection.resource, scope, &query).await?.items {
                let namespace =
                    object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
                found.push(Target { resource: selection.resource.clone(), namespace, object });
            }
            continue;
        }
        if selecting {
            bail!("name cannot be provided when a selector is specified");
        }
        for name in &selection.names {
            let namespace = if selection.resource.namespaced { remote.namespace.clone() } else { String::new() };
            let object = remote.get(&selection.resource, &namespace, name).await?;
            found.push(Target { resource: selection.resource.clone(), namespace, object });
        }
    }
    Ok(found)
}
