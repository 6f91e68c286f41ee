//! What a plan decides: writes as data.

use std::time::Duration;

use client::recorder::reference;
use proto::Object;
use proto::core::v1::ObjectReference;
use proto::dynamic::DynObject;

/// Everything that is to be done about a key now.
#[derive(Debug, Default)]
pub struct Plan {
    /// In order. The first that fails ends the plan.
    pub writes: Vec<Write>,
    /// Look at the key again then, whatever happens.
    pub again: Option<Duration>,
}

/// One write, and what to tell people of it.
#[derive(Debug)]
pub struct Write {
    /// What to do.
    pub verb: Verb,
    /// Told when it succeeded. `{name}` in the message becomes the object's name.
    pub told: Option<Note>,
    /// Told when it failed. `{error}` in the message becomes the refusal.
    pub failed: Option<Note>,
    /// Left out, unless the server says that there is no such node.
    pub if_node_is_gone: Option<String>,
}

/// A write's verb. Every one is conditional on the version that the object carries.
#[derive(Debug)]
pub enum Verb {
    /// Make an object.
    Create(Box<dyn DynObject>),
    /// Replace an object.
    Update(Box<dyn DynObject>),
    /// Replace an object's status.
    UpdateStatus(Box<dyn DynObject>),
    /// Replace a part: `finalize`.
    UpdatePart(Box<dyn DynObject>, &'static str),
    /// Delete an object, if it is still the same one.
    Delete {
        /// The object as it was seen.
        object: Box<dyn DynObject>,
        /// Seconds; none: the object's own.
        grace: Option<i64>,
    },
    /// Only tell.
    Tell,
}

/// An Event in the making.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Who says so.
    pub component: &'static str,
    /// Of what.
    pub involved: ObjectReference,
    /// `Normal` or `Warning`.
    pub kind: &'static str,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Note {
    /// Something expected.
    pub fn normal<T: Object>(
        component: &'static str,
        of: &T,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { component, involved: reference(of), kind: "Normal", reason, message: message.into() }
    }

    /// Something wrong.
    pub fn warning<T: Object>(
        component: &'static str,
        of: &T,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { component, involved: reference(of), kind: "Warning", reason, message: message.into() }
    }
}

impl Write {
    /// Make an object.
    pub fn create<T: Object>(object: T) -> Self {
        Self::silent(Verb::Create(Box::new(object)))
    }

    /// Replace an object.
    pub fn update<T: Object>(object: T) -> Self {
        Self::silent(Verb::Update(Box::new(object)))
    }

    /// Replace an object's status.
    pub fn update_status<T: Object>(object: T) -> Self {
        Self::silent(Verb::UpdateStatus(Box::new(object)))
    }

    /// Delete an object.
    pub fn delete<T: Object>(object: &T) -> Self {
        Self::silent(Verb::Delete { object: Box::new(object.clone()), grace: None })
    }

    /// Only tell.
    pub fn tell(note: Note) -> Self {
        Self { told: Some(note), ..Self::silent(Verb::Tell) }
    }

    /// Tell this when it succeeded.
    pub fn telling(mut self, note: Note) -> Self {
        self.told = Some(note);
        self
    }

    /// Tell this when it failed.
    pub fn on_failure(mut self, note: Note) -> Self {
        self.failed = Some(note);
        self
    }

    fn silent(verb: Verb) -> Self {
        Self { verb, told: None, failed: None, if_node_is_gone: None }
    }

    /// Only if the server, asked by name, has no such node: what is cached may be old.
    pub fn if_node_is_gone(mut self, node: &str) -> Self {
        self.if_node_is_gone = Some(node.to_owned());
        self
    }

    /// Many of these may run at once: they do not depend on each other.
    pub fn is_independent(&self) -> bool {
        matches!(self.verb, Verb::Create(_) | Verb::Delete { .. })
    }
}

impl Plan {
    /// Nothing to do.
    pub fn none() -> Self {
        Self::default()
    }

    /// One write.
    pub fn one(write: Write) -> Self {
        Self { writes: vec![write], again: None }
    }

    /// Adds a write.
    pub fn push(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Look again after so many seconds; the earliest counts.
    pub fn again_after_s(&mut self, seconds: i64) {
        let pause = Duration::from_secs(u64::try_from(seconds.max(1)).unwrap_or(1));
        self.again = Some(self.again.map_or(pause, |earlier| earlier.min(pause)));
    }
}
