//! One version of a definition, as requests need it.

use api::definition::conditions;
use api::validate::FieldError;
use proto::CustomObject;
use proto::apiextensions::v1::{CustomResourceDefinition, CustomResourceDefinitionVersion};
use proto::dynamic::DynObject;

use crate::registry::Resource;
use crate::status::Result;

/// What a version of a definition says of its objects.
#[derive(Debug)]
pub struct Version {
    /// What every request is told, where the version is deprecated.
    pub deprecation: Option<String>,
    /// Whether clients are told of it; requests are answered before.
    pub is_established: bool,
}

impl Version {
    /// Reads it from its definition.
    pub fn of(definition: &CustomResourceDefinition, version: &CustomResourceDefinitionVersion) -> Self {
        Self {
            deprecation: deprecation(definition, version),
            is_established: conditions::is_true(definition, conditions::ESTABLISHED),
        }
    }

    /// Fills in what the object leaves out.
    pub fn default(&self, object: &mut dyn DynObject) {
        let _ = object;
    }

    /// Refuses an object that breaks rules: `wrong` are those of its metadata.
    pub fn refuse(
        &self,
        resource: &Resource,
        object: &dyn DynObject,
        _old: Option<&dyn DynObject>,
        wrong: Vec<FieldError>,
    ) -> Result<()> {
        let causes: Vec<_> = wrong.iter().map(FieldError::cause).collect();
        if causes.is_empty() { Ok(()) } else { Err(resource.invalid(&object.metadata().name, causes)) }
    }

    /// The values of selectable fields; those that are not there are left out.
    pub fn fields(&self, object: &dyn DynObject, paths: &[&'static str]) -> Vec<(&'static str, String)> {
        let Some(object) = object.as_any().downcast_ref::<CustomObject>() else { return Vec::new() };
        let tree = object.to_tree();
        let value = |path: &str| {
            let found = path.split('.').try_fold(&tree, |value, step| value.get(step))?;
            match found {
                serde_json::Value::String(text) => Some(text.clone()),
                serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Some(found.to_string()),
                _ => None,
            }
        };
        paths.iter().filter_map(|path| Some((*path, value(path)?))).collect()
    }
}

fn deprecation(definition: &CustomResourceDefinition, version: &CustomResourceDefinitionVersion) -> Option<String> {
    #[expect(deprecated, reason = "the field says of an API version that it is deprecated; it is not so itself")]
    let deprecated = version.deprecated;
    if !deprecated {
        return None;
    }
    let (group, kind) = (&definition.spec.group, &definition.spec.names.kind);
    let usual = || format!("{group}/{} {kind} is deprecated", version.name);
    Some(version.deprecation_warning.clone().unwrap_or_else(usual))
}
