//! What a controller decides, as data.

use std::time::Duration;

use proto::dynamic::{DynObject, KindInfo};
use proto::Object;

/// Everything that is to happen for one key, in order. The first write that fails ends the plan; the key comes again.
#[derive(Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Look at the key again after this time, whatever happens.
    pub requeue_after: Option<Duration>,
}

/// One write, and the events that tell of it.
pub struct Step {
    pub write: Write,
    /// Recorded once the write succeeded.
    pub on_success: Option<Note>,
    /// Recorded when it failed; the error's text is put behind the message.
    pub on_failure: Option<Note>,
}

/// A write, conditional on the version that it was decided from.
pub enum Write {
    Create(Box<dyn DynObject>),
    /// metadata.resourceVersion is the condition.
    Update(Box<dyn DynObject>),
    /// The status subresource; metadata.resourceVersion is the condition.
    UpdateStatus(Box<dyn DynObject>),
    Delete(Target),
}

/// One object to delete, and only that very one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// An event to record. `{name}` in the message stands for the name of the written object.
#[derive(Clone)]
pub struct Note {
    pub regarding: Box<dyn DynObject>,
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

impl Plan {
    /// A plan of nothing.
    pub fn none() -> Self {
        Self::default()
    }

    pub fn create<T: Object>(&mut self, object: T) -> &mut Step {
        self.push(Write::Create(Box::new(object)))
    }

    pub fn update<T: Object>(&mut self, object: T) -> &mut Step {
        self.push(Write::Update(Box::new(object)))
    }

    pub fn update_status<T: Object>(&mut self, object: T) -> &mut Step {
        self.push(Write::UpdateStatus(Box::new(object)))
    }

    pub fn delete<T: Object>(&mut self, object: &T) -> &mut Step {
        let metadata = object.metadata();
        self.push(Write::Delete(Target {
            kind: T::KIND,
            api_version: T::API_VERSION,
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
        }))
    }

    /// Brings the next look forward to `after` at the latest.
    pub fn requeue(&mut self, after: Duration) {
        self.requeue_after = Some(self.requeue_after.map_or(after, |now| now.min(after)));
    }

    fn push(&mut self, write: Write) -> &mut Step {
        self.steps.push(Step { write, on_success: None, on_failure: None });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }
}

impl Step {
    /// Tells of the write once it succeeded, as a Normal event.
    pub fn note<T: Object>(&mut self, regarding: &T, reason: &'static str, message: impl Into<String>) -> &mut Self {
        let regarding = Box::new(regarding.clone());
        self.on_success = Some(Note { regarding, warning: false, reason, message: message.into() });
        self
    }

    /// Tells of the write's failure, as a Warning event.
    pub fn warn<T: Object>(&mut self, regarding: &T, reason: &'static str, message: impl Into<String>) -> &mut Self {
        let regarding = Box::new(regarding.clone());
        self.on_failure = Some(Note { regarding, warning: true, reason, message: message.into() });
        self
    }
}

impl Target {
    /// The kind's row; every kind a controller deletes has one.
    pub fn kind_info(&self) -> Option<&'static KindInfo> {
        proto::dynamic::kind_by_api_version(self.api_version, self.kind)
    }
}
