//! What can be done at a path, in no dialect yet.

use proto::schema::MessageInfo;

/// A path with everything that can be done there.
#[derive(Debug, Default)]
pub struct Path {
    /// `/api/v1/namespaces/{namespace}/pods/{name}`.
    pub path: String,
    /// What every operation takes.
    pub parameters: Vec<Parameter>,
    pub operations: Vec<Operation>,
}

/// One method of a path.
#[derive(Debug)]
pub struct Operation {
    /// In lower case: `get`.
    pub method: &'static str,
    /// Unique among all: `readCoreV1NamespacedPod`.
    pub id: String,
    pub description: String,
    pub tag: String,
    /// What it is to Kubernetes; `None` for documents about the API itself.
    pub action: Option<Action>,
    pub body: Option<Body>,
    /// Status codes with what they come with; 401 comes with nothing, always.
    pub answers: Vec<(u16, Answer)>,
    pub produces: &'static [&'static str],
    pub parameters: Vec<Parameter>,
}

/// What an operation is to Kubernetes.
#[derive(Debug)]
pub struct Action {
    /// `get`, `list`, `watch`, `post`, `connect`, ...
    pub name: &'static str,
    pub group: String,
    pub version: String,
    pub kind: String,
}

/// What an operation is sent.
#[derive(Debug)]
pub struct Body {
    pub answer: Answer,
    pub required: bool,
    pub consumes: &'static [&'static str],
}

/// What a body holds.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Message(&'static MessageInfo),
    /// A list of custom objects.
    CustomList(&'static MessageInfo),
    /// A patch of any type.
    Patch,
    /// What `/version` tells.
    Version,
    /// A text, or a stream.
    Text,
}

/// A parameter in the path or after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    /// In the path, where it must be; otherwise in the query.
    pub in_path: bool,
    /// `string`, `integer`, `boolean`.
    pub kind: &'static str,
    pub description: String,
}

impl Path {
    /// What its operations take and give.
    pub fn bodies(&self) -> impl Iterator<Item = Answer> {
        self.operations.iter().flat_map(|operation| {
            let body = operation.body.iter().map(|body| body.answer);
            body.chain(operation.answers.iter().map(|(_, answer)| *answer))
        })
    }
}
