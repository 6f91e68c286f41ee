//! The versions of a kind: their shapes, and objects in one of them brought into another.

use proto::CustomObject;
use proto::dynamic::{DynObject, KindInfo, kind_by_api_version};
use serde_json::Value;

use super::shape::Shape;
use super::{Writer, custom};

impl<'a> Writer<'a> {
    /// The shape of a whole object of the kind.
    pub(super) fn shape(&self, kind: &'static KindInfo) -> Shape<'a> {
        match self.schema(kind.api_version) {
            Some(schema) => custom::of_schema(schema),
            None => Shape::of_message(kind.message),
        }
    }

    /// The kind of that name in a version; none where there is none.
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<&'static KindInfo> {
        match (self.schemas.is_empty(), api_version.rsplit_once('/')) {
            (true, _) => kind_by_api_version(api_version, kind),
            (false, Some((group, version))) if self.schema(api_version).is_some() => {
                Some(proto::custom::kind(group, version, kind))
            }
            _ => None,
        }
    }

    /// The object in another version; none where it has no form there.
    pub(super) fn convert(&self, object: &dyn DynObject, api_version: &str) -> Option<Box<dyn DynObject>> {
        match object.as_any().downcast_ref::<CustomObject>() {
            Some(found) => Some(Box::new(found.clone().with_kind(self.kind(api_version, object.info().kind)?))),
            None => crate::convert::to_version(object.clone_box(), api_version).ok(),
        }
    }

    /// An object's JSON in another version of its kind, and its shape there.
    pub(super) fn convert_json(
        &self,
        kind: &'static KindInfo,
        value: &Value,
        from: &str,
        to: &str,
    ) -> Option<(Value, Shape<'a>)> {
        let mut object = self.kind(from, kind.kind)?.new_object();
        proto::json::value_into(value.clone(), object.as_reflect_mut()).ok()?;
        let made = self.convert(object.as_ref(), to)?;
        Some((proto::json::dyn_to_value(made.as_reflect()), self.shape(made.info())))
    }
}
