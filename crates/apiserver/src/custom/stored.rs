//! Custom objects in the store: JSON, in the version that the definition names for storage.

use bytes::Bytes;
use proto::CustomObject;
use proto::dynamic::{DynObject, KindInfo};

use super::Version;
use crate::storage::{Record, StorageError};

impl Version {
    /// The object in a stored value as this version has it, in the form of caches. What the schema does not know is
    /// dropped, what it gives a default is filled in: an object may be older than its schema.
    pub fn open(&self, kind: &'static KindInfo, record: &Record) -> Result<Bytes, StorageError> {
        let corrupt =
            |reason: String| StorageError::Corrupt { key: String::from_utf8_lossy(&record.key).into_owned(), reason };
        let mut object = CustomObject::new(kind);
        let decoded =
            proto::json::decode_into(&record.value, &mut object).map_err(|error| corrupt(error.to_string()))?;
        // What a schema of another version would drop must not be lost by the next write.
        if self.stored_only.is_some() && decoded.api_version != kind.api_version {
            let why = "is not converted yet, since webhooks for it are not asked";
            return Err(corrupt(format!("its version {} {why}", decoded.api_version)));
        }
        object.metadata.resource_version.clear();
        self.prune(&mut object);
        self.default(&mut object);
        Ok(object.encode_to_vec().into())
    }
}

/// The value to store: one line of JSON, under the version of storage.
pub fn seal(kind: &'static KindInfo, stored_api_version: &str, bytes: &[u8]) -> Bytes {
    let (group, version) = stored_api_version.rsplit_once('/').unwrap_or(("", stored_api_version));
    let stored = proto::custom::kind(group, version, kind.kind);
    let mut object = CustomObject::new(stored);
    // Our own encoder's bytes cannot be malformed.
    let mut json = object.merge_from(bytes).map(|()| object.to_json()).unwrap_or_default();
    json.push(b'\n');
    json.into()
}

#[cfg(test)]
mod tests {
    use proto::apiextensions::v1::{CustomResourceDefinition, CustomResourceDefinitionVersion};

    use super::*;

    #[test]
    fn an_object_is_stored_in_one_version_and_read_in_another() {
        let definition = CustomResourceDefinition::default();
        let version =
            Version::of(&definition, &CustomResourceDefinitionVersion::default(), &crate::custom::schemas(&definition));
        let (first, second) =
            (proto::custom::kind("s.example.com", "v1", "Kept"), proto::custom::kind("s.example.com", "v2", "Kept"));
        let mut object = CustomObject::new(first);
        object.metadata.name = "a".into();
        object.body.insert("data".into(), 1.into());
        let value = seal(first, "s.example.com/v2", &object.encode_to_vec());
        assert!(value.starts_with(b"{\"apiVersion\":\"s.example.com/v2\"") && value.ends_with(b"\n"));
        let record = Record { key: Bytes::from_static(b"/registry/s/a"), value, rev: 3 };
        let read = second.decode(&version.open(second, &record).expect("sealed above")).expect("well-formed");
        assert!(read.equals(&object.with_kind(second)));
    }
}
