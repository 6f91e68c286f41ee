//! Definitions of kinds: formats of texts that nobody checks.

use std::collections::BTreeSet;

use proto::apiextensions::v1::{CustomResourceDefinition, JsonSchemaProps};

use super::Warnings;
use crate::status::quoted;
use crate::structural;

/// A definition; one whose versions are as they were is not complained about.
pub fn definition(warnings: &mut Warnings, new: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) {
    if old.is_some_and(|old| old.spec == new.spec) {
        return;
    }
    let schemas = new.spec.versions.iter().filter_map(|version| version.schema.as_ref());
    let mut found = BTreeSet::new();
    for schema in schemas.filter_map(|schema| schema.open_apiv3_schema.as_ref()) {
        unknown(&mut found, schema);
    }
    warnings.extend(found.into_iter().map(|format| format!("unrecognized format {}", quoted(format))));
}

fn unknown<'a>(found: &mut BTreeSet<&'a str>, schema: &'a JsonSchemaProps) {
    let format = &schema.format;
    if schema.r#type == "string" && !format.is_empty() && !structural::knows_format(format) {
        found.insert(format);
    }
    let items = schema.items.iter().flat_map(|items| items.schema.as_deref().into_iter().chain(&items.j_son_schemas));
    let additional = schema.additional_properties.iter().filter_map(|more| more.schema.as_deref());
    let alternatives = schema.all_of.iter().chain(&schema.any_of).chain(&schema.one_of).chain(schema.not.as_deref());
    for inner in schema.properties.values().chain(items).chain(additional).chain(alternatives) {
        unknown(found, inner);
    }
}

#[cfg(test)]
mod tests {
    use proto::apiextensions::v1::{CustomResourceDefinitionVersion, CustomResourceValidation};

    use super::*;

    #[test]
    fn unknown_formats_of_texts_are_told_once() {
        let text =
            |format: &str| JsonSchemaProps { r#type: "string".into(), format: format.into(), ..Default::default() };
        let number = JsonSchemaProps { r#type: "integer".into(), format: "int64".into(), ..Default::default() };
        let fields = [("a", text("date-time")), ("b", text("colour")), ("c", number), ("d", text("colour"))];
        let properties = fields.map(|(name, schema)| (name.to_owned(), schema)).into();
        let root = JsonSchemaProps { properties, ..Default::default() };
        let mut made = CustomResourceDefinition::default();
        made.spec.versions.push(CustomResourceDefinitionVersion {
            schema: Some(CustomResourceValidation { open_apiv3_schema: Some(root) }),
            ..Default::default()
        });
        let (mut warnings, mut unchanged) = (Vec::new(), Vec::new());
        definition(&mut warnings, &made, None);
        assert_eq!(warnings, ["unrecognized format \"colour\""]);
        definition(&mut unchanged, &made, Some(&made.clone()));
        assert_eq!(unchanged, Vec::<String>::new());
    }
}
