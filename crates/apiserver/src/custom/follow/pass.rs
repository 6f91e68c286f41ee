//! One pass over the definitions that changed.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::definition::names::{Taken, judge};
use api::definition::{CLEANUP_FINALIZER, conditions, row};
use proto::apiextensions::v1::CustomResourceDefinition;
use tokio_util::sync::CancellationToken;

use super::{Definitions, GROUP, Known, PLURAL, Served};
use crate::custom::cleanup::Cleanup;
use crate::custom::{Version, follow::status, schemas};
use crate::discovery::Catalog;
use crate::registry::Resource;
use crate::status::Result;
use crate::watch_cache::{Filter, WatchCache};

impl Definitions {
    /// Serves what the definitions say now. An error leaves definitions for the next pass.
    pub(super) async fn pass(&mut self) -> Result<()> {
        let server = Arc::clone(&self.server);
        let resource = server.registry.find(GROUP, "v1", PLURAL)?;
        let (entries, _) = resource.cache.list(&Filter::default());
        let present: BTreeSet<&str> = entries.iter().map(|entry| entry.name()).collect();
        let mut replaced = self.forget(&present);
        let mut changed = Vec::new();
        for entry in &entries {
            if self.known.get(entry.name()).is_some_and(|known| known.rev == entry.rev) {
                continue;
            }
            let object = resource.decode(&entry.bytes)?;
            let Some(definition) = object.downcast_ref::<CustomResourceDefinition>() else { continue };
            // Names that were given are taken, whatever else is judged in this pass.
            let known = self.known.entry(entry.name().to_owned()).or_default();
            known.group.clone_from(&definition.spec.group);
            known.accepted.clone_from(&definition.status.accepted_names);
            changed.push((entry.rev, definition.clone()));
        }
        let mut written = Vec::new();
        for (rev, definition) in changed {
            let (differs, wanted) = self.judge(rev, definition);
            replaced |= differs;
            written.extend(wanted);
        }
        if replaced {
            self.publish();
        }
        let mut outcome = Ok(());
        for (name, wanted) in written {
            if let Err(failure) = status::write(&server, resource, &name, &wanted).await {
                self.known.entry(name).or_default().rev = 0;
                outcome = Err(failure);
            }
        }
        outcome
    }

    /// Drops what is gone. True: something was served.
    fn forget(&mut self, present: &BTreeSet<&str>) -> bool {
        let gone: Vec<String> = self.known.keys().filter(|name| !present.contains(name.as_str())).cloned().collect();
        let mut groups = BTreeSet::new();
        let mut served = false;
        for name in gone {
            let Some(known) = self.known.remove(&name) else { continue };
            served |= !known.served.is_empty();
            groups.insert(known.group.clone());
        }
        // Others may have waited for the names.
        for known in self.known.values_mut().filter(|known| groups.contains(&known.group)) {
            known.rev = 0;
        }
        served
    }

    /// Judges a definition and serves its versions. Whether what is served differs, and the status to write.
    fn judge(
        &mut self,
        rev: i64,
        mut definition: CustomResourceDefinition,
    ) -> (bool, Option<(String, status::Wanted)>) {
        let name = definition.metadata.name.clone();
        let mut taken = Taken::default();
        for (other, known) in self.known.iter().filter(|(_, known)| known.group == definition.spec.group) {
            if *other != name {
                taken.add(&known.accepted);
            }
        }
        let (group, plural) = (&definition.spec.group, &definition.spec.names.plural);
        let own = !self.server.registry.is_built_in_resource(group, plural);
        let verdict = judge(&definition, &taken, own);
        let before = definition.status.clone();
        let wanted = status::Wanted::of(&definition, verdict, self.server.now());
        wanted.apply(&mut definition);
        let accepted = conditions::is_true(&definition, conditions::NAMES_ACCEPTED);
        let is_served = (accepted || conditions::is_true(&definition, conditions::ESTABLISHED)) && own;
        let differs = self.serve(&name, &definition, is_served);
        self.clean(&name, &definition);
        let known = self.known.entry(name.clone()).or_default();
        (known.rev, known.accepted) = (rev, definition.status.accepted_names.clone());
        (differs, (before != definition.status).then_some((name, wanted)))
    }

    /// Makes resources of the served versions. True: they are others than before.
    fn serve(&mut self, name: &str, definition: &CustomResourceDefinition, is_served: bool) -> bool {
        let known = self.known.entry(name.to_owned()).or_default();
        let meta = &definition.metadata;
        let same = known.uid == meta.uid && known.generation == meta.generation;
        (known.uid, known.generation) = (meta.uid.clone(), meta.generation);
        let mut before = std::mem::take(&mut known.served);
        let mut after = BTreeMap::new();
        let mut differs = false;
        // Read where something is to be made of them.
        let read = OnceCell::new();
        for version in definition.spec.versions.iter().filter(|version| version.served && is_served) {
            let row = row::of(definition, version);
            let old = before.remove(&version.name);
            let is_established = conditions::is_true(definition, conditions::ESTABLISHED);
            let told = |old: &Served| old.resource.custom.as_ref().is_some_and(|old| old.is_established);
            let served = match old {
                Some(old) if same && std::ptr::eq(old.resource.row, row) && told(&old) == is_established => old,
                Some(old) if same => {
                    // Only what is told of it differs: its watchers stay.
                    differs = true;
                    let cache = Arc::clone(&old.resource.cache);
                    let schemas = read.get_or_init(|| schemas(definition));
                    let resource = Resource::of_custom(row, Arc::new(Version::of(definition, version, schemas)), cache);
                    Served { resource: Arc::new(resource), followed: old.followed }
                }
                // What was read by another schema is read anew, by new watchers.
                _ => {
                    differs = true;
                    let schemas = read.get_or_init(|| schemas(definition));
                    let version = Arc::new(Version::of(definition, version, schemas));
                    let cache = WatchCache::asking(Arc::clone(&self.feed.progress_wanted));
                    let resource = Arc::new(Resource::of_custom(row, version, Arc::new(cache)));
                    let followed = self.feed.follow(Arc::clone(&resource));
                    Served { resource, followed }
                }
            };
            after.insert(version.name.clone(), served);
        }
        differs |= !before.is_empty();
        known.served = after;
        differs
    }

    /// Begins to empty a definition that is being deleted.
    fn clean(&mut self, name: &str, definition: &CustomResourceDefinition) {
        let meta = &definition.metadata;
        let held = meta.finalizers.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER);
        let known = self.known.entry(name.to_owned()).or_default();
        if meta.deletion_timestamp.is_none() || !held || known.cleanup.is_some() {
            return;
        }
        let stop = self.stop.child_token();
        known.cleanup = Some(stop.clone());
        self.tasks.spawn(Cleanup::new(Arc::clone(&self.server), definition, stop).run());
    }

    /// Puts what is served in the place of what was.
    fn publish(&self) {
        let resources = self.known.values().flat_map(|known| known.served.values());
        let resources = resources.map(|served| Arc::clone(&served.resource)).collect();
        self.server.registry.replace_custom(resources);
        let catalog = Arc::new(Catalog::of(&self.server.registry));
        self.discovery.replace(Arc::clone(&catalog));
        self.openapi.replace(catalog);
    }
}

impl Drop for Known {
    /// Whoever forgets a definition ends what was begun for it.
    fn drop(&mut self) {
        self.cleanup.iter().for_each(CancellationToken::cancel);
    }
}
