//! The schema tables: what a field is called in JSON, how it is merged, what it defaults to.
//!
//! One static [`MessageInfo`] per message, generated from `proto/k8s`. Merging, OpenAPI, `explain` and validation
//! read them; [`crate::json`] is driven by them.

/// Describes a message.
#[derive(Debug)]
pub struct MessageInfo {
    /// Full protobuf name: `k8s.io.api.core.v1.Pod`.
    pub name: &'static str,
    pub form: Form,
    /// What the message is, in a sentence or two; empty: not told yet.
    pub doc: &'static str,
    /// Server-side apply gives it one owner as a whole, wherever it occurs (OpenAPI: map type atomic).
    pub atomic: bool,
    /// Set where the message stands alone: its JSON begins with kind and apiVersion.
    pub kind: Option<KindName>,
    /// In upstream's order of declaration, which is the order in JSON.
    pub fields: &'static [FieldInfo],
}

impl MessageInfo {
    /// The message's name without its package.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// The field of that JSON name, looked for in inlined messages too; returns the indexes that lead to it.
    pub fn find(&'static self, name: &str) -> Option<(FieldPath, &'static FieldInfo)> {
        self.find_from(0, name)
    }

    /// As [`MessageInfo::find`]; begins at the field with that index, which is quick for names in order.
    pub fn find_from(&'static self, begin: usize, name: &str) -> Option<(FieldPath, &'static FieldInfo)> {
        let begin = begin.min(self.fields.len());
        for index in (begin..self.fields.len()).chain(0..begin) {
            let field = &self.fields[index];
            if !field.inline && field.name == name && !field.not_served {
                return Some((FieldPath::of(index), field));
            }
        }
        for (index, field) in self.fields.iter().enumerate().filter(|(_, field)| field.inline) {
            if let ValueType::Message(inner) = field.value
                && let Some((path, found)) = inner.find(name)
            {
                return Some((path.below(index), found));
            }
        }
        None
    }
}

/// The way to a field through inlined messages: indexes, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldPath {
    steps: [u8; FieldPath::DEPTH_MAX],
    len: u8,
}

impl FieldPath {
    /// A rule with operations inlined twice is the deepest; one to spare.
    const DEPTH_MAX: usize = 4;

    fn of(index: usize) -> Self {
        let mut steps = [0; Self::DEPTH_MAX];
        steps[0] = index as u8;
        Self { steps, len: 1 }
    }

    fn below(self, index: usize) -> Self {
        let mut steps = [0; Self::DEPTH_MAX];
        steps[0] = index as u8;
        steps[1..].copy_from_slice(&self.steps[..Self::DEPTH_MAX - 1]);
        Self { steps, len: self.len + 1 }
    }

    /// The indexes, outermost first; never empty.
    pub fn steps(&self) -> impl Iterator<Item = usize> + '_ {
        self.steps[..usize::from(self.len)].iter().map(|step| usize::from(*step))
    }
}

/// kind and apiVersion of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindName {
    pub api_version: &'static str,
    pub kind: &'static str,
}

/// How a message looks in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An object of its fields.
    Plain,
    /// RFC 3339 with whole seconds, in UTC.
    Time,
    /// RFC 3339 with six fraction digits, in UTC.
    MicroTime,
    /// `1h0m30s`.
    Duration,
    /// A string in canonical form; a number is read too.
    Quantity,
    /// A number or a string.
    IntOrString,
    /// The JSON that its one bytes field holds.
    Raw,
    /// An array of strings.
    Items,
    /// A schema, or an array of schemas.
    SchemaOrArray,
    /// A boolean, or a schema.
    SchemaOrBool,
    /// A schema, or an array of strings.
    SchemaOrStrings,
    /// An object whose fields only its definition knows ([`crate::custom`]).
    Custom,
}

/// Describes a field.
#[derive(Debug)]
pub struct FieldInfo {
    /// JSON name.
    pub name: &'static str,
    /// The JSON name in quotes and a colon, ready to be written.
    pub key: &'static str,
    /// What the field means, in a sentence or two; empty: not told yet.
    pub doc: &'static str,
    /// Protobuf field number.
    pub number: u32,
    pub label: Label,
    /// Type of the field, of a list's items or of a map's values.
    pub value: ValueType,
    /// Absent and zero differ.
    pub pointer: bool,
    /// The JSON of this message is flattened into its parent's.
    pub inline: bool,
    /// Written in JSON even when empty.
    pub keep_empty: bool,
    /// A plain message left out of JSON when it is zero.
    pub omit_zero: bool,
    /// Must be given, says OpenAPI.
    pub required: bool,
    /// Known to upstream's protobuf, never served.
    pub not_served: bool,
    pub deprecated: bool,
    /// Items say their kind and apiVersion.
    pub type_meta: bool,
    /// OpenAPI's default as JSON; empty: none.
    pub default_json: &'static str,
    pub list_type: ListType,
    /// What makes an item of a map-like list unique.
    pub list_map_keys: &'static [&'static str],
    /// A map or message that server-side apply replaces as a whole.
    pub atomic: bool,
    /// A map or message that server-side apply merges by its fields, though its type is atomic elsewhere.
    pub granular: bool,
    /// Strategic merge: `merge`, `replace`, `retainKeys`, or several joined by a comma; empty: none.
    pub patch_strategy: &'static str,
    /// Strategic merge: what tells items apart; empty: none.
    pub patch_merge_key: &'static str,
    /// The values a string may take; empty: any.
    pub values: &'static [&'static str],
    /// OpenAPI's format; empty: none.
    pub format: &'static str,
    /// The feature gates that guard the field, as `NAME=STAGE,default=BOOL`.
    pub feature_gates: &'static [&'static str],
}

impl FieldInfo {
    /// A field with nothing special; generated tables build on it.
    pub const PLAIN: Self = Self {
        name: "",
        key: "",
        doc: "",
        number: 0,
        label: Label::Single,
        value: ValueType::Bool,
        pointer: false,
        inline: false,
        keep_empty: false,
        omit_zero: false,
        required: false,
        not_served: false,
        deprecated: false,
        type_meta: false,
        default_json: "",
        list_type: ListType::Unset,
        list_map_keys: &[],
        atomic: false,
        granular: false,
        patch_strategy: "",
        patch_merge_key: "",
        values: &[],
        format: "",
        feature_gates: &[],
    };

    /// The message type of the field, of its items or of its values.
    pub fn message(&self) -> Option<&'static MessageInfo> {
        match self.value {
            ValueType::Message(info) => Some(info),
            _ => None,
        }
    }

    /// Whether strategic merge merges this field's items instead of replacing the list.
    pub fn merges(&self) -> bool {
        self.patch_strategy.split(',').any(|strategy| strategy == "merge")
    }

    /// Whether strategic merge drops the keys that `$retainKeys` does not name.
    pub fn retains_keys(&self) -> bool {
        self.patch_strategy.split(',').any(|strategy| strategy == "retainKeys")
    }
}

/// One, many, or many by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    Single,
    List,
    /// Keys are strings, always.
    Map,
}

/// What server-side apply holds a list for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    Unset,
    Atomic,
    Set,
    Map,
}

/// The type of a value.
#[derive(Debug, Clone, Copy)]
pub enum ValueType {
    Bool,
    Int32,
    Int64,
    Double,
    String,
    Bytes,
    Message(&'static MessageInfo),
}
