//! Resources that are stored as another version of their kind: events of `events.k8s.io/v1` are stored as core/v1
//! Events, as upstream does, so that clients of both groups see all of them.

use api::resource::{Codec, Storage};
use bytes::Bytes;
use proto::dynamic::{KindInfo, kind_by_api_version};

/// Whether stored objects have the fields of the served kind, so that at most the apiVersion differs. What is stored as
/// JSON is translated where it is read and written (`api::convert`).
pub fn is_stored_as_served(served: &'static KindInfo, storage: &Storage) -> bool {
    let same = || api::convert::same_shape(storage.api_version, served.kind);
    storage.api_version == served.api_version
        || storage.codec == Codec::Json
        || same().is_some_and(|same| same.api_version == served.api_version)
}

/// The two versions of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Conversion {
    /// As it is served.
    served: &'static KindInfo,
    /// As it is stored.
    pub stored: &'static KindInfo,
}

impl Conversion {
    /// The conversion of `served` to what is stored as `api_version`; none where there is none in both directions.
    pub fn between(served: &'static KindInfo, api_version: &str) -> Option<Self> {
        let stored = kind_by_api_version(api_version, served.kind)?;
        let fits = |from: &'static KindInfo, to: &'static KindInfo| {
            api::convert::to_version(from.new_object(), to.api_version).is_ok_and(|made| made.info().kind == to.kind)
        };
        (fits(served, stored) && fits(stored, served)).then_some(Self { served, stored })
    }

    /// From protobuf of the stored kind.
    pub fn open(&self, bytes: &[u8]) -> Result<Bytes, String> {
        convert(self.stored, self.served, bytes)
    }

    /// To protobuf of the stored kind.
    pub fn seal(&self, bytes: &[u8]) -> Result<Bytes, String> {
        convert(self.served, self.stored, bytes)
    }
}

fn convert(from: &'static KindInfo, to: &'static KindInfo, bytes: &[u8]) -> Result<Bytes, String> {
    let object = from.decode(bytes).map_err(|error| error.to_string())?;
    let made = api::convert::to_version(object, to.api_version).map_err(|error| error.to_string())?;
    Ok(made.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::Object;
    use proto::{core, events};

    use super::*;

    #[test]
    fn a_kind_with_the_fields_of_its_stored_version_needs_no_conversion() {
        for row in api::resource::all() {
            let (Some(storage), Some(kind)) = (row.storage, row.kind_info()) else { continue };
            let other = storage.api_version != kind.api_version;
            let expect = !other || row.kind == "CustomResourceDefinition" || row.kind.starts_with("Mutating");
            assert_eq!(is_stored_as_served(kind, &storage), expect, "{} {}", row.group, row.kind);
        }
    }

    #[test]
    fn an_event_is_the_same_in_both_groups() {
        let served = events::v1::Event::kind_info();
        let conversion = Conversion::between(served, "v1").expect("both ways");
        let mut event = events::v1::Event::default();
        event.metadata.name = "e".into();
        event.regarding.name = "p".into();
        event.note = "text".into();
        event.series = Some(events::v1::EventSeries { count: 2, ..Default::default() });
        let bytes = conversion.seal(&event.encode_to_vec()).expect("stored");
        let stored = core::v1::Event::decode(bytes.clone()).expect("a core event");
        assert_eq!((stored.involved_object.name.as_str(), stored.message.as_str()), ("p", "text"));
        assert_eq!(conversion.open(&bytes).expect("read"), event.encode_to_vec());
        assert!(conversion.open(b"\xff").is_err());
        assert!(Conversion::between(core::v1::Pod::kind_info(), "v2").is_none());
    }
}
