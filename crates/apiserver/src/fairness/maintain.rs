//! Keeps the objects that every cluster has, and says in the status of each FlowSchema whether its level is there.
//!
//! As upstream: the mandatory objects are always as they should be; the suggested ones are made where they are missing, and
//! brought up to date unless their annotation, or a change of their spec without one, says that an administrator keeps them.

use std::sync::Arc;
use std::time::Duration;

use proto::dynamic::DynObject;
use proto::flowcontrol::v1::{FlowSchema, FlowSchemaCondition, PriorityLevelConfiguration};
use proto::meta::v1::Time;
use tokio_util::sync::CancellationToken;

use super::bootstrap::{self, AUTOUPDATE, EXEMPT};
use super::observe::{GROUP, LEVELS, SCHEMAS};
use crate::bootstrap::{create, place_of};
use crate::server::Server;
use crate::status::{Failure, Result};
use crate::verbs::Target;
use crate::verbs::write::{Decision, Mutation, change};

/// How often everything is looked at, whatever was heard.
const INTERVAL: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(500);
const DANGLING: &str = "Dangling";

/// Runs until stopped. Begins once the caches of both resources are filled.
pub async fn keep(server: Arc<Server>, stop: CancellationToken) {
    loop {
        let pause = match run(&server).await {
            Ok(()) => INTERVAL,
            Err(failure) => {
                tracing::debug!(%failure, "the objects of flow control could not be kept, trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = server.fairness.changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn run(server: &Server) -> Result<()> {
    for plural in [LEVELS, SCHEMAS] {
        server.catch_up(server.registry.find(GROUP, "v1", plural)?).await?;
    }
    // The first run of all is what other objects are waiting for, too.
    let levels = bootstrap::levels().into_iter().map(|level| Box::new(level) as Box<dyn DynObject>);
    let schemas = bootstrap::flow_schemas().into_iter().map(|schema| Box::new(schema) as Box<dyn DynObject>);
    for object in levels.chain(schemas) {
        one(server, object).await?;
    }
    let names: Vec<String> = server.fairness.objects.lock().schemas.keys().cloned().collect();
    for name in names {
        tell(server, &name).await?;
    }
    Ok(())
}

/// Makes an object, or brings it up to date.
async fn one(server: &Server, wanted: Box<dyn DynObject>) -> Result<()> {
    let target = place_of(server, wanted.as_ref())?;
    let resource = &target.resource;
    let cached = resource.cache.get(&resource.key("", &target.name));
    if let Some(current) = cached.map(|entry| resource.decode(&entry.bytes)).transpose()?
        && brought_up_to_date(current.as_ref(), wanted.as_ref()).is_none()
    {
        return Ok(());
    }
    match change(server, &target, false, &mut Update { wanted: wanted.as_ref() }).await {
        Err(failure) if failure.is_not_found() => create(server, &target, wanted).await,
        outcome => outcome.map(|_| ()),
    }
}

struct Update<'a> {
    wanted: &'a dyn DynObject,
}

#[async_trait::async_trait]
impl Mutation for Update<'_> {
    async fn decide(&mut self, current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        Ok(brought_up_to_date(current.as_ref(), self.wanted).map_or(Decision::Keep, Decision::Write))
    }
}

/// The object as it should be, where it is not.
fn brought_up_to_date(current: &dyn DynObject, wanted: &dyn DynObject) -> Option<Box<dyn DynObject>> {
    let meta = current.metadata();
    let mandatory = bootstrap::is_mandatory(&meta.name);
    let ours = match meta.annotations.get(AUTOUPDATE).map(String::as_str) {
        _ if mandatory => true,
        Some(value) => value == "true",
        // Who changed the spec keeps it.
        None => meta.generation == 1,
    };
    let mut new = current.clone_box();
    let value = if ours { "true" } else { "false" };
    new.metadata_mut().annotations.insert(AUTOUPDATE.to_owned(), value.to_owned());
    let mut differs = false;
    if let (Some(new), Some(wanted)) = (new.downcast_mut::<FlowSchema>(), wanted.downcast_ref::<FlowSchema>()) {
        differs = ours && new.spec != wanted.spec;
        if differs {
            new.spec = wanted.spec.clone();
        }
    } else if let (Some(new), Some(wanted)) =
        (new.downcast_mut::<PriorityLevelConfiguration>(), wanted.downcast_ref::<PriorityLevelConfiguration>())
    {
        let mut spec = wanted.spec.clone();
        // Administrators may say how many seats the exempt level has to lend.
        if meta.name == EXEMPT && new.spec.exempt.is_some() {
            spec.exempt = new.spec.exempt;
        }
        differs = ours && new.spec != spec;
        if differs {
            new.spec = spec;
        }
    }
    if differs {
        new.metadata_mut().generation += 1;
    }
    (!new.equals(current)).then_some(new)
}

/// Says in the status of a schema whether its level is there.
async fn tell(server: &Server, name: &str) -> Result<()> {
    let (wanted, current) = {
        let objects = server.fairness.objects.lock();
        let Some(schema) = objects.schemas.get(name) else { return Ok(()) };
        let level = &schema.spec.priority_level_configuration.name;
        (condition(level, objects.levels.contains_key(level), server.now()), dangling(schema).cloned())
    };
    if current.is_some_and(|current| says_the_same(&current, &wanted)) {
        return Ok(());
    }
    let target = Target::resolve(&server.registry, (GROUP, "v1", SCHEMAS), "", name, "")?;
    match change(server, &target, false, &mut Tell { wanted }).await {
        Err(failure) if failure.is_not_found() => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}

fn condition(level: &str, there: bool, now: Time) -> FlowSchemaCondition {
    let (status, reason, message) = match there {
        true => ("False", "Found", String::new()),
        false => {
            let message = format!(
                "This FlowSchema references the PriorityLevelConfiguration object named \"{level}\" but there is no such object"
            );
            ("True", "NotFound", message)
        }
    };
    FlowSchemaCondition {
        r#type: DANGLING.to_owned(),
        status: status.to_owned(),
        last_transition_time: now,
        reason: reason.to_owned(),
        message,
    }
}

fn dangling(schema: &FlowSchema) -> Option<&FlowSchemaCondition> {
    schema.status.conditions.iter().find(|condition| condition.r#type == DANGLING)
}

fn says_the_same(a: &FlowSchemaCondition, b: &FlowSchemaCondition) -> bool {
    (&a.status, &a.reason, &a.message) == (&b.status, &b.reason, &b.message)
}

struct Tell {
    wanted: FlowSchemaCondition,
}

#[async_trait::async_trait]
impl Mutation for Tell {
    async fn decide(&mut self, mut current: Box<dyn DynObject>, _rev: i64) -> Result<Decision> {
        let Some(schema) = current.downcast_mut::<FlowSchema>() else { return Err(Failure::no_resource()) };
        let mut wanted = self.wanted.clone();
        let conditions = &mut schema.status.conditions;
        match conditions.iter_mut().find(|condition| condition.r#type == DANGLING) {
            Some(told) if says_the_same(told, &wanted) => return Ok(Decision::Keep),
            Some(told) => {
                if told.status == wanted.status {
                    wanted.last_transition_time = told.last_transition_time;
                }
                *told = wanted;
            }
            None => conditions.push(wanted),
        }
        Ok(Decision::Write(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catch_all() -> FlowSchema {
        bootstrap::flow_schemas().into_iter().find(|schema| schema.metadata.name == "catch-all").expect("it is there")
    }

    fn suggested() -> FlowSchema {
        bootstrap::flow_schemas().into_iter().find(|schema| schema.metadata.name == "probes").expect("it is there")
    }

    fn updated(current: &FlowSchema, wanted: &FlowSchema) -> Option<FlowSchema> {
        brought_up_to_date(current, wanted).and_then(|new| new.downcast_ref::<FlowSchema>().cloned())
    }

    #[test]
    fn mandatory_objects_are_put_right_whatever_they_say() {
        let mut changed = catch_all();
        changed.spec.matching_precedence = 5;
        changed.metadata.annotations.insert(AUTOUPDATE.into(), "false".into());
        let new = updated(&changed, &catch_all()).expect("it differs");
        assert_eq!(new.spec, catch_all().spec);
        assert_eq!(new.metadata.annotations[AUTOUPDATE], "true");
        assert_eq!(updated(&catch_all(), &catch_all()), None);
    }

    #[test]
    fn suggested_objects_stay_as_an_administrator_keeps_them() {
        let mut changed = suggested();
        changed.spec.matching_precedence = 5;
        assert!(updated(&changed, &suggested()).is_some());
        changed.metadata.annotations.insert(AUTOUPDATE.into(), "false".into());
        assert_eq!(updated(&changed, &suggested()), None);
        changed.metadata.annotations.clear();
        changed.metadata.generation = 2;
        let new = updated(&changed, &suggested()).expect("it is marked");
        assert_eq!((new.spec.matching_precedence, new.metadata.annotations[AUTOUPDATE].as_str()), (5, "false"));
    }

    #[test]
    fn the_seats_of_the_exempt_level_are_an_administrators() {
        let wanted = bootstrap::levels().into_iter().find(|level| level.metadata.name == EXEMPT).expect("it is there");
        let mut changed = wanted.clone();
        changed.spec.exempt.as_mut().expect("exempt").nominal_concurrency_shares = Some(10);
        assert!(brought_up_to_date(&changed, &wanted).is_none());
    }
}
