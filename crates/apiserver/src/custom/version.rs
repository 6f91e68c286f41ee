//! One version of a definition, as requests need it.

use std::sync::Arc;

use api::definition::conditions;
use api::structural::columns::Columns;
use api::structural::{Schema, path};
use api::validate::FieldError;
use proto::CustomObject;
use proto::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, CustomResourceSubresourceScale, JsonSchemaProps,
};
use proto::dynamic::DynObject;

use crate::registry::Resource;
use crate::status::Result;

/// What a version of a definition says of its objects.
#[derive(Debug)]
pub struct Version {
    /// What its objects are like.
    pub schema: Arc<Schema>,
    /// What objects are like in all versions of the definition.
    pub schemas: Schemas,
    /// How its objects are printed.
    pub columns: Columns,
    /// Where its objects have replicas, where they have a scale.
    pub scale: Option<CustomResourceSubresourceScale>,
    /// What every request is told, where the version is deprecated.
    pub deprecation: Option<String>,
    /// Whether clients are told of it; requests are answered before.
    pub is_established: bool,
    /// The version of storage, where a webhook converts between versions: until it is asked, only that one is served.
    pub stored_only: Option<String>,
}

/// The schemas of a definition's versions, by apiVersion.
pub type Schemas = Arc<[(String, Arc<Schema>)]>;

/// Reads the schemas of a definition, once for all its versions.
pub fn schemas(definition: &CustomResourceDefinition) -> Schemas {
    let one = |version: &CustomResourceDefinitionVersion| (api_version(definition, version), Arc::new(schema(version)));
    definition.spec.versions.iter().map(one).collect()
}

fn api_version(definition: &CustomResourceDefinition, version: &CustomResourceDefinitionVersion) -> String {
    format!("{}/{}", definition.spec.group, version.name)
}

fn schema(version: &CustomResourceDefinitionVersion) -> Schema {
    match version.schema.as_ref().and_then(|schema| schema.open_apiv3_schema.as_ref()) {
        Some(props) => Schema::new(props),
        // Without a schema (definitions of old) everything is let be.
        None => Schema::new(&JsonSchemaProps {
            x_kubernetes_preserve_unknown_fields: Some(true),
            ..JsonSchemaProps::default()
        }),
    }
}

impl Version {
    /// Reads it from its definition, whose schemas are read already.
    pub fn of(
        definition: &CustomResourceDefinition,
        version: &CustomResourceDefinitionVersion,
        schemas: &Schemas,
    ) -> Self {
        let name = api_version(definition, version);
        let known = schemas.iter().find(|(known, _)| *known == name).map(|(_, schema)| Arc::clone(schema));
        Self {
            schema: known.unwrap_or_else(|| Arc::new(schema(version))),
            schemas: Arc::clone(schemas),
            columns: Columns::new(&version.additional_printer_columns),
            scale: version.subresources.as_ref().and_then(|declared| declared.scale.clone()),
            deprecation: deprecation(definition, version),
            is_established: conditions::is_true(definition, conditions::ESTABLISHED),
            stored_only: stored_only(definition),
        }
    }

    /// Drops what the schema does not know; answers its paths.
    pub fn prune(&self, object: &mut CustomObject) -> Vec<String> {
        let mut tree = object.to_tree();
        let dropped = self.schema.prune(&mut tree);
        object.set_tree(tree);
        dropped
    }

    /// Fills in what the object leaves out.
    pub fn default(&self, object: &mut dyn DynObject) {
        let Some(object) = object.as_any_mut().downcast_mut::<CustomObject>() else { return };
        let mut tree = object.to_tree();
        self.schema.default(&mut tree);
        object.set_tree(tree);
    }

    /// Refuses an object that breaks rules: `wrong` are those of its metadata.
    pub fn refuse(
        &self,
        resource: &Resource,
        object: &dyn DynObject,
        old: Option<&dyn DynObject>,
        wrong: Vec<FieldError>,
    ) -> Result<()> {
        let mut causes: Vec<_> = wrong.iter().map(FieldError::cause).collect();
        let (new, old) = (
            proto::json::dyn_to_value(object.as_reflect()),
            old.map(|old| proto::json::dyn_to_value(old.as_reflect())),
        );
        causes.extend(self.schema.validate(&new, old.as_ref()));
        causes.extend(self.scale_causes(&new));
        if causes.is_empty() { Ok(()) } else { Err(resource.invalid(&object.metadata().name, causes)) }
    }

    /// The values of selectable fields; those that are not there are left out.
    pub fn fields(&self, object: &dyn DynObject, paths: &[&'static str]) -> Vec<(&'static str, String)> {
        let Some(object) = object.as_any().downcast_ref::<CustomObject>() else { return Vec::new() };
        let tree = object.to_tree();
        let values = paths.iter().map(|path| (*path, path::selectable(&tree, path)));
        values.filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// The apiVersion of storage, where a webhook converts.
fn stored_only(definition: &CustomResourceDefinition) -> Option<String> {
    definition.spec.conversion.as_ref().filter(|conversion| conversion.strategy == "Webhook")?;
    definition.spec.versions.iter().find(|version| version.storage).map(|version| api_version(definition, version))
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
