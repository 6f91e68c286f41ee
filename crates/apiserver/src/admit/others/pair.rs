//! The objects of a request, and what webhooks and expressions are shown of them.

use proto::CustomObject;
use proto::dynamic::{DynObject, KindInfo};
use serde_json::Value;

use super::select::Objects;
use crate::registry::{Resource, rules};
use crate::status::{Failure, Result};

/// What is to become of the object.
#[derive(Debug)]
enum New<'a> {
    Owned(Box<dyn DynObject>),
    Borrowed(&'a dyn DynObject),
    /// No object, but what somebody connects with.
    Options(Value),
    None,
}

/// The object as it is to be and as it is. Its JSON is made when it is first asked for.
#[derive(Debug)]
pub struct Pair<'a> {
    /// What they are objects of, or below.
    resource: &'a Resource,
    new: New<'a>,
    old: Option<&'a dyn DynObject>,
    /// The version of what is; 0: there is none.
    rev: i64,
    /// In that version of the kind.
    shown: Option<(String, Objects)>,
}

impl<'a> Pair<'a> {
    /// For those who may change the object.
    pub fn changeable(
        resource: &'a Resource,
        new: Box<dyn DynObject>,
        old: Option<&'a dyn DynObject>,
        rev: i64,
    ) -> Self {
        Self { resource, new: New::Owned(new), old, rev, shown: None }
    }

    /// For those who only judge.
    pub fn fixed(
        resource: &'a Resource,
        new: Option<&'a dyn DynObject>,
        old: Option<&'a dyn DynObject>,
        rev: i64,
    ) -> Self {
        Self { resource, new: new.map_or(New::None, New::Borrowed), old, rev, shown: None }
    }

    /// What somebody connects with.
    pub fn options(resource: &'a Resource, options: Value) -> Self {
        Self { resource, new: New::Options(options), old: None, rev: 0, shown: None }
    }

    fn object(&self) -> Option<&dyn DynObject> {
        match &self.new {
            New::Owned(object) => Some(object.as_ref()),
            New::Borrowed(object) => Some(*object),
            New::Options(_) | New::None => None,
        }
    }

    /// The kind of the object in that version.
    pub fn kind(&self, api_version: &str) -> Option<&'static KindInfo> {
        in_version(self.object()?.info(), api_version)
    }

    /// The object as it has become.
    pub fn into_object(self) -> Option<Box<dyn DynObject>> {
        match self.new {
            New::Owned(object) => Some(object),
            New::Borrowed(object) => Some(object.clone_box()),
            New::Options(_) | New::None => None,
        }
    }

    /// Both in JSON, in that version of their kind.
    pub fn shown(&mut self, api_version: &str) -> Result<&Objects> {
        if self.shown.as_ref().is_none_or(|(version, _)| version != api_version) {
            let new = match &self.new {
                New::Options(options) => Some(options.clone()),
                _ => self.object().map(|object| show(object, self.rev, api_version)).transpose()?,
            };
            let old = self.old.map(|object| show(object, self.rev, api_version)).transpose()?;
            self.shown = Some((api_version.to_owned(), Objects { new, old }));
        }
        self.shown.as_ref().map(|(_, objects)| objects).ok_or_else(|| Failure::internal("nothing is shown"))
    }

    /// Makes the object what this JSON says, in the version that it was shown in, and fills in defaults. False: it is
    /// as it was. None where there is nothing to change.
    pub fn replace(&mut self, json: &Value) -> Result<Option<bool>> {
        let New::Owned(object) = &mut self.new else { return Ok(None) };
        let own = object.info();
        let text = |field: &str| json.get(field).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let shown = self.shown.as_ref().map_or(own.api_version, |(version, _)| version);
        let read_as = in_version(own, shown).unwrap_or(own);
        if kind != read_as.kind || api_version != read_as.api_version {
            return Err(Failure::internal(format!(
                "a {} of {} was made into a {kind} of {api_version}: kind and apiVersion must stay",
                own.kind, own.api_version
            )));
        }
        let made = read(read_as, json)?;
        let mut made = convert(made, own)?;
        made.metadata_mut().resource_version.clear();
        let changed = !made.equals(object.as_ref());
        if changed {
            rules::default(self.resource, made.as_mut());
            *object = made;
            self.shown = None;
        }
        Ok(Some(changed))
    }
}

/// The kind in another version.
fn in_version(kind: &'static KindInfo, api_version: &str) -> Option<&'static KindInfo> {
    if let Some(found) = proto::dynamic::kind_by_api_version(api_version, kind.kind) {
        return Some(found);
    }
    let (group, version) = api_version.split_once('/')?;
    (group == kind.group).then(|| proto::custom::kind(group, version, kind.kind))
}

/// The object as that kind, a version of its own.
fn convert(object: Box<dyn DynObject>, kind: &'static KindInfo) -> Result<Box<dyn DynObject>> {
    match object.as_any().downcast_ref::<CustomObject>() {
        Some(custom) => Ok(Box::new(custom.clone().with_kind(kind))),
        None => api::convert::to_version(object, kind.api_version).map_err(Failure::internal),
    }
}

fn read(kind: &'static KindInfo, json: &Value) -> Result<Box<dyn DynObject>> {
    let bytes = serde_json::to_vec(json).map_err(Failure::internal)?;
    kind.from_json(&bytes).map_err(Failure::internal)
}

/// JSON as clients get it.
fn show(object: &dyn DynObject, rev: i64, api_version: &str) -> Result<Value> {
    let own = object.info();
    let mut json = match own.api_version == api_version {
        true => value(object)?,
        false => {
            let wanted = in_version(own, api_version).unwrap_or(own);
            value(convert(object.clone_box(), wanted)?.as_ref())?
        }
    };
    if rev != 0
        && let Some(meta) = json.get_mut("metadata").and_then(Value::as_object_mut)
    {
        meta.insert("resourceVersion".to_owned(), rev.to_string().into());
    }
    Ok(json)
}

fn value(object: &dyn DynObject) -> Result<Value> {
    serde_json::from_slice(&object.to_json()).map_err(Failure::internal)
}

#[cfg(test)]
mod tests {
    use proto::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    fn map(value: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.name = "m".into();
        map.data.insert("k".into(), value.into());
        map
    }

    #[test]
    fn both_objects_are_shown_with_their_version() {
        let (new, old) = (map("b"), map("a"));
        let registry = Registry::new();
        let maps = registry.core("configmaps").expect("served");
        let mut pair = Pair::fixed(maps, Some(&new), Some(&old), 7);
        let shown = pair.shown("v1").expect("a known version");
        let (new, old) = (shown.new.as_ref().expect("new"), shown.old.as_ref().expect("old"));
        assert_eq!((new["kind"].as_str(), new["data"]["k"].as_str()), (Some("ConfigMap"), Some("b")));
        assert_eq!((&old["data"]["k"], &old["metadata"]["resourceVersion"]), (&json!("a"), &json!("7")));
    }

    #[test]
    fn a_changed_document_becomes_the_object() {
        let registry = Registry::new();
        let maps = registry.core("configmaps").expect("served");
        let mut pair = Pair::changeable(maps, Box::new(map("a")), None, 0);
        let mut json = pair.shown("v1").expect("shown").new.clone().expect("new");
        assert_eq!(pair.replace(&json).expect("readable"), Some(false));
        json["data"]["k"] = json!("b");
        assert_eq!(pair.replace(&json).expect("readable"), Some(true));
        assert_eq!(pair.shown("v1").expect("shown").new.as_ref().expect("new")["data"]["k"], json!("b"));
        json["kind"] = json!("Secret");
        assert!(pair.replace(&json).is_err());
        assert_eq!(Pair::fixed(maps, None, None, 0).replace(&json).expect("nothing to do"), None);
    }

    #[test]
    fn an_object_is_changed_in_another_version() {
        let mut event = proto::events::v1::Event::default();
        event.metadata.name = "e".into();
        event.note = "before".into();
        let registry = Registry::new();
        let events = registry.find("events.k8s.io", "v1", "events").expect("served");
        let mut pair = Pair::changeable(events, Box::new(event), None, 0);
        let mut json = pair.shown("v1").expect("an older version").new.clone().expect("new");
        assert_eq!(json["message"], json!("before"));
        json["message"] = json!("after");
        assert_eq!(pair.replace(&json).expect("readable"), Some(true));
        let object = pair.into_object().expect("an object");
        assert_eq!(object.downcast_ref::<proto::events::v1::Event>().expect("as it came").note, "after");
    }
}
