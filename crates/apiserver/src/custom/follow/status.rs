//! The status of a definition: what is to be written, and the write.

use std::sync::Arc;

use api::definition::names::Verdict;
use api::definition::{approval, conditions};
use proto::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionCondition as Condition, CustomResourceDefinitionNames as Names,
};
use proto::dynamic::DynObject;
use proto::meta::v1::Time;

use crate::registry::Resource;
use crate::server::Server;
use crate::status::Result;
use crate::verbs::Target;
use crate::verbs::options::WriteOptions;
use crate::verbs::owners::{self, Owners};
use crate::verbs::write::{Decision, Mutation, change};

/// Who owns the status.
const MANAGER: &str = "keelson-apiserver";

/// What the status of a definition has to say.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The definition it was judged from.
    uid: String,
    generation: i64,
    accepted: Names,
    conditions: Vec<Condition>,
    now: Time,
}

impl Wanted {
    /// What was judged of that definition.
    pub fn of(definition: &CustomResourceDefinition, verdict: Verdict, now: Time) -> Self {
        let Verdict { accepted, names_accepted, established } = verdict;
        let conditions = [Some(names_accepted), Some(established), approval::condition(definition)];
        Self {
            uid: definition.metadata.uid.clone(),
            generation: definition.metadata.generation,
            accepted,
            conditions: conditions.into_iter().flatten().collect(),
            now,
        }
    }

    /// Says it in the status.
    pub fn apply(&self, definition: &mut CustomResourceDefinition) {
        definition.status.accepted_names.clone_from(&self.accepted);
        for condition in &self.conditions {
            conditions::set(definition, condition.clone(), self.now);
        }
    }
}

/// Writes the status, where the definition is still the one that was judged.
pub async fn write(server: &Server, resource: &Arc<Resource>, name: &str, wanted: &Wanted) -> Result<()> {
    let same = |definition: &CustomResourceDefinition| {
        let meta = &definition.metadata;
        meta.uid == wanted.uid && meta.generation == wanted.generation
    };
    let decide = |definition: &mut CustomResourceDefinition| {
        let is_same = same(definition);
        if is_same {
            wanted.apply(definition);
        }
        is_same
    };
    edit(server, resource, name, decide).await
}

/// Changes a definition by `decide`, which tells whether it did.
pub async fn edit(
    server: &Server,
    resource: &Arc<Resource>,
    name: &str,
    decide: impl Fn(&mut CustomResourceDefinition) -> bool + Send,
) -> Result<()> {
    let target = Target {
        resource: Arc::clone(resource),
        namespace: String::new(),
        name: name.to_owned(),
        subresource: "status".to_owned(),
    };
    let mut edit = Edit { target: &target, now: server.now(), decide };
    match change(server, &target, false, &mut edit).await {
        Err(failure) if !failure.is_not_found() => Err(failure),
        _ => Ok(()),
    }
}

struct Edit<'a, F> {
    target: &'a Target,
    now: Time,
    decide: F,
}

#[async_trait::async_trait]
impl<F: Fn(&mut CustomResourceDefinition) -> bool + Send> Mutation for Edit<'_, F> {
    async fn decide(&mut self, current: Box<dyn DynObject>, _: i64) -> Result<Decision> {
        let mut new = current.clone();
        let changed = new.downcast_mut().is_some_and(|definition| (self.decide)(definition));
        if !changed || new.equals(current.as_ref()) {
            return Ok(Decision::Keep);
        }
        let options = WriteOptions { field_manager: MANAGER.to_owned(), ..WriteOptions::default() };
        owners::track(self.target, Some(current.as_ref()), new.as_mut(), Owners::Of(&options), self.now);
        Ok(crate::verbs::update::keep_or_remove(&self.target.resource, new))
    }
}
