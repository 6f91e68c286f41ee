//! The scale of custom objects: replicas at the paths that the definition names.

use api::structural::path;
use proto::CustomObject;
use proto::autoscaling::v1::{Scale, ScaleSpec, ScaleStatus};
use proto::dynamic::DynObject;
use proto::meta::v1::{ObjectMeta, StatusCause};
use serde_json::Value;

use super::Version;
use crate::status::{Failure, Result, cause};

impl Version {
    /// The object's scale.
    pub fn scale_of(&self, object: &dyn DynObject) -> Result<Scale> {
        let (Some(paths), Some(object)) = (&self.scale, object.as_any().downcast_ref::<CustomObject>()) else {
            return Err(Failure::no_resource());
        };
        let tree = object.to_tree();
        let replicas = |at: &str| -> Result<Option<i32>> {
            match path::get(&tree, at) {
                None | Some(Value::Null) => Ok(None),
                Some(value) => {
                    value.as_i64().and_then(|number| i32::try_from(number).ok()).map(Some).ok_or_else(|| {
                        Failure::internal(format!("{at} of the {} is no count: {value}", object.info().kind))
                    })
                }
            }
        };
        let wanted = replicas(&paths.spec_replicas_path)?.ok_or_else(|| {
            Failure::internal(format!("the spec replicas field \"{}\" does not exist", paths.spec_replicas_path))
        })?;
        let present = replicas(&paths.status_replicas_path)?.unwrap_or(0);
        let selector = paths.label_selector_path.as_ref().map(|at| path::selectable(&tree, at)).unwrap_or_default();
        let meta = &object.metadata;
        Ok(Scale {
            metadata: ObjectMeta {
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                creation_timestamp: meta.creation_timestamp,
                ..ObjectMeta::default()
            },
            spec: ScaleSpec { replicas: wanted },
            status: ScaleStatus { replicas: present, selector },
        })
    }

    /// Sets how many replicas are wanted.
    pub fn set_scale(&self, object: &mut dyn DynObject, replicas: i32) {
        let (Some(paths), Some(object)) = (&self.scale, object.as_any_mut().downcast_mut::<CustomObject>()) else {
            return;
        };
        let mut tree = object.to_tree();
        path::set(&mut tree, &paths.spec_replicas_path, replicas.into());
        object.set_tree(tree);
    }

    /// What is wrong with the counts that a scale would show.
    pub(super) fn scale_causes(&self, object: &Value) -> Vec<StatusCause> {
        let Some(paths) = &self.scale else { return Vec::new() };
        let judged = [&paths.spec_replicas_path, &paths.status_replicas_path].into_iter();
        judged.filter_map(|at| wrong_count(at.trim_start_matches('.'), path::get(object, at)?.as_i64()?)).collect()
    }
}

fn wrong_count(field: &str, count: i64) -> Option<StatusCause> {
    let why = match count {
        ..0 => "should be a non-negative integer".to_owned(),
        _ if count > i64::from(i32::MAX) => format!("should be less than or equal to {}", i32::MAX),
        _ => return None,
    };
    Some(cause("FieldValueInvalid", field, format!("Invalid value: {count}: {why}")))
}
