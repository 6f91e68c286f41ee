//! Kinds: messages that stand alone, with their group, version and name.

use crate::meta::v1::ObjectMeta;
use crate::reflect::Reflect;
use crate::schema::MessageInfo;

/// A message that stands alone: objects, lists, options, Status.
pub trait Kind: prost::Message + Default + Clone + PartialEq + Reflect {
    /// API group; empty for the core group.
    const GROUP: &'static str;
    const VERSION: &'static str;
    const KIND: &'static str;
    /// `v1`, `apps/v1`.
    const API_VERSION: &'static str;
    /// Full protobuf name: `k8s.io.api.core.v1.Pod`.
    const FULL_NAME: &'static str;

    /// The schema table.
    fn info() -> &'static MessageInfo;

    /// `v1`, `apps/v1`.
    fn api_version() -> &'static str {
        Self::API_VERSION
    }
}

/// What has `metadata` as objects have it.
pub trait HasMeta {
    fn metadata(&self) -> &ObjectMeta;
    fn metadata_mut(&mut self) -> &mut ObjectMeta;
}

/// A kind with object metadata.
pub trait Object: Kind + HasMeta {
    /// The kind's row in [`crate::dynamic`].
    fn kind_info() -> &'static crate::dynamic::KindInfo;
}

/// Implements [`Kind`].
#[macro_export]
#[doc(hidden)]
macro_rules! kind {
    ($type:ident, $info:path, $group:literal, $version:literal, $api_version:literal, $kind:literal, $name:literal) => {
        impl $crate::kind::Kind for $type {
            const GROUP: &'static str = $group;
            const VERSION: &'static str = $version;
            const KIND: &'static str = $kind;
            const API_VERSION: &'static str = $api_version;
            const FULL_NAME: &'static str = $name;
            fn info() -> &'static $crate::schema::MessageInfo {
                &$info
            }
        }
    };
}

/// Implements [`Object`] and declares the kind's row.
#[macro_export]
#[doc(hidden)]
macro_rules! object {
    ($type:ident, $info:path, $row:ident) => {
        pub static $row: $crate::dynamic::KindInfo = $crate::dynamic::KindInfo {
            group: <$type as $crate::kind::Kind>::GROUP,
            version: <$type as $crate::kind::Kind>::VERSION,
            kind: <$type as $crate::kind::Kind>::KIND,
            api_version: <$type as $crate::kind::Kind>::API_VERSION,
            full_name: <$type as $crate::kind::Kind>::FULL_NAME,
            message: &$info,
            new: $crate::dynamic::New::Message(|| Box::new(<$type>::default())),
        };
        impl $crate::kind::HasMeta for $type {
            fn metadata(&self) -> &$crate::meta::v1::ObjectMeta {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut $crate::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }
        impl $crate::kind::Object for $type {
            fn kind_info() -> &'static $crate::dynamic::KindInfo {
                &$row
            }
        }
    };
}
