//! From the ruleset that is to the ruleset that shall be: one transaction, only about what differs.
//!
//! [`Ruleset::replace`] exchanges the part of one Service and gives the steps; [`diff`] does so for all that differ;
//! [`reconcile`] starts from what a listing of the kernel's tables found. Two Services may claim the same key (an
//! external IP, an endpoint in the hairpin set): the first by name has it, the next one inherits it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ruleset::Fragment;
use crate::service::ServiceName;
use crate::table::{Family, Key, Map, Op, Target, Transaction};

type ElementKey = (Family, Map, Key);

/// Every Service's part, and who claims which element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    parts: BTreeMap<ServiceName, Fragment>,
    claims: BTreeMap<ElementKey, BTreeMap<ServiceName, Target>>,
    families: BTreeSet<Family>,
}

/// What a listing found in the kernel. Rules are not read back: every chain is written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub families: BTreeSet<Family>,
    pub chains: BTreeSet<(Family, String)>,
    pub sets: BTreeMap<(Family, String), u32>,
    pub elements: BTreeMap<ElementKey, Target>,
}

impl Ruleset {
    /// Exchanges the part of a Service (`None`: it is gone) and gives the steps that do the same to the kernel.
    pub fn replace(&mut self, name: &ServiceName, new: Option<Fragment>) -> Transaction {
        let old = self.parts.remove(name).unwrap_or_default();
        let (old, new) = (&old, new.unwrap_or_default());
        if *old == new {
            self.keep(name, new);
            return Vec::new();
        }
        let mut steps = self.new_families(&new);
        let gone_chains: Vec<_> = old.chains.keys().filter(|key| !new.chains.contains_key(*key)).collect();
        let written: Vec<_> = new.chains.iter().filter(|(key, rules)| old.chains.get(*key) != Some(*rules)).collect();
        // A set whose timeout changed is made anew; the chains that use it are then written anew as well.
        let remade: BTreeSet<_> = old
            .sets
            .iter()
            .filter(|(key, s)| new.sets.get(*key).is_some_and(|new| new != *s))
            .map(|(key, _)| key)
            .collect();
        let rewritten: Vec<_> = if remade.is_empty() { written } else { new.chains.iter().collect() };

        for ((family, chain), _) in rewritten.iter().filter(|(key, _)| old.chains.contains_key(*key)) {
            steps.push(Op::FlushChain { family: *family, name: chain.clone() });
        }
        for (family, chain) in &gone_chains {
            steps.push(Op::FlushChain { family: *family, name: chain.clone() });
        }
        steps.extend(remade.iter().map(|(family, name)| Op::DeleteSet { family: *family, name: name.clone() }));
        for ((family, name), timeout_s) in &new.sets {
            if !old.sets.contains_key(&(*family, name.clone())) || remade.contains(&(*family, name.clone())) {
                steps.push(Op::AddSet { family: *family, name: name.clone(), timeout_s: *timeout_s });
            }
        }
        for ((family, chain), _) in rewritten.iter().filter(|(key, _)| !old.chains.contains_key(*key)) {
            steps.push(Op::AddChain { family: *family, name: chain.clone() });
        }
        for ((family, chain), rules) in rewritten {
            let rules = rules.iter().cloned();
            steps.extend(rules.map(|rule| Op::AddRule { family: *family, chain: chain.clone(), rule }));
        }
        self.exchange_elements(name, old, &new, &mut steps);
        steps.extend(
            gone_chains.into_iter().map(|(family, name)| Op::DeleteChain { family: *family, name: name.clone() }),
        );
        let gone_sets = old.sets.keys().filter(|key| !new.sets.contains_key(*key));
        steps.extend(gone_sets.map(|(family, name)| Op::DeleteSet { family: *family, name: name.clone() }));
        self.keep(name, new);
        steps
    }

    /// The names of the Services that have a part.
    pub fn names(&self) -> impl Iterator<Item = &ServiceName> {
        self.parts.keys()
    }

    /// The part of one Service.
    pub fn part(&self, name: &ServiceName) -> Option<&Fragment> {
        self.parts.get(name)
    }

    /// Every element with the target that counts.
    pub fn elements(&self) -> impl Iterator<Item = (&ElementKey, &Target)> {
        self.claims.iter().filter_map(|(key, claims)| Some((key, claims.values().next()?)))
    }

    /// What a listing finds when nobody else touched the tables.
    pub fn expected(&self) -> Found {
        Found {
            families: self.families.clone(),
            chains: self.parts.values().flat_map(|part| part.chains.keys().cloned()).collect(),
            sets: self.parts.values().flat_map(|part| part.sets.clone()).collect(),
            elements: self.elements().map(|(key, target)| (*key, target.clone())).collect(),
        }
    }

    /// All steps that make the tables from nothing.
    pub fn build(&self) -> Transaction {
        reconcile(&Found::default(), self)
    }

    fn keep(&mut self, name: &ServiceName, part: Fragment) {
        if part != Fragment::default() {
            self.parts.insert(name.clone(), part);
        }
    }

    fn new_families(&mut self, part: &Fragment) -> Transaction {
        let families: BTreeSet<Family> = part.elements.keys().map(|(family, ..)| *family).collect();
        families.into_iter().filter(|family| self.families.insert(*family)).map(Op::Base).collect()
    }

    fn exchange_elements(&mut self, name: &ServiceName, old: &Fragment, new: &Fragment, steps: &mut Transaction) {
        let keys: BTreeSet<&ElementKey> = old.elements.keys().chain(new.elements.keys()).collect();
        for key in keys {
            let claims = self.claims.entry(*key).or_default();
            let before = claims.values().next().cloned();
            match new.elements.get(key) {
                Some(target) => claims.insert(name.clone(), target.clone()),
                None => claims.remove(name),
            };
            let after = claims.values().next().cloned();
            if claims.is_empty() {
                self.claims.remove(key);
            }
            exchange(*key, before, after, steps);
        }
    }
}

fn exchange((family, map, key): ElementKey, before: Option<Target>, after: Option<Target>, steps: &mut Transaction) {
    if before == after {
        return;
    }
    if before.is_some() {
        steps.push(Op::DeleteElement { family, map, key });
    }
    if let Some(target) = after {
        steps.push(Op::AddElement { family, map, key, target });
    }
}

/// The steps from one ruleset to another.
pub fn diff(old: &Ruleset, new: &Ruleset) -> Transaction {
    let names: BTreeSet<&ServiceName> = old.names().chain(new.names()).collect();
    let mut now = old.clone();
    names.into_iter().flat_map(|name| now.replace(name, new.part(name).cloned())).collect()
}

/// The steps from what was found in the kernel to a ruleset. Sets that fit are kept with the clients they remember.
pub fn reconcile(found: &Found, wanted: &Ruleset) -> Transaction {
    let mut chains = BTreeMap::new();
    let mut sets = BTreeMap::new();
    for part in wanted.parts.values() {
        chains.extend(part.chains.iter());
        sets.extend(part.sets.iter().map(|(key, timeout)| (key, *timeout)));
    }
    let unwanted = found.families.difference(&wanted.families);
    let mut steps: Transaction = unwanted.map(|family| Op::DeleteTable(*family)).collect();
    let stays = |family: &Family| wanted.families.contains(family);
    steps.extend(wanted.families.iter().map(|family| Op::Base(*family)));

    let found_chains: Vec<_> = found.chains.iter().filter(|(family, _)| stays(family)).collect();
    steps.extend(found_chains.iter().map(|(family, name)| Op::FlushChain { family: *family, name: name.clone() }));
    let wanted_elements: BTreeMap<&ElementKey, &Target> = wanted.elements().collect();
    for (key, target) in found.elements.iter().filter(|((family, ..), _)| stays(family)) {
        if wanted_elements.get(key) != Some(&target) {
            steps.push(Op::DeleteElement { family: key.0, map: key.1, key: key.2 });
        }
    }
    for (key, timeout_s) in found.sets.iter().filter(|((family, _), _)| stays(family)) {
        if sets.get(key) != Some(timeout_s) {
            steps.push(Op::DeleteSet { family: key.0, name: key.1.clone() });
        }
    }
    for (key, timeout_s) in &sets {
        if found.sets.get(*key) != Some(timeout_s) {
            steps.push(Op::AddSet { family: key.0, name: key.1.clone(), timeout_s: *timeout_s });
        }
    }
    for (family, name) in chains.keys().filter(|key| !found.chains.contains(**key)) {
        steps.push(Op::AddChain { family: *family, name: name.clone() });
    }
    for ((family, chain), rules) in &chains {
        let rules = rules.iter().cloned();
        steps.extend(rules.map(|rule| Op::AddRule { family: *family, chain: chain.clone(), rule }));
    }
    for ((family, map, key), target) in &wanted_elements {
        if found.elements.get(&(*family, *map, *key)) != Some(*target) {
            steps.push(Op::AddElement { family: *family, map: *map, key: *key, target: (*target).clone() });
        }
    }
    let gone = found_chains.into_iter().filter(|key| !chains.contains_key(*key));
    steps.extend(gone.map(|(family, name)| Op::DeleteChain { family: *family, name: name.clone() }));
    steps
}

#[cfg(test)]
mod tests;
