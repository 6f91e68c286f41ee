//! A kernel in memory, as atomic and as strict as the real one.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::diff::Found;
use crate::kernel::{Kernel, KernelError};
use crate::render::NodePortAddresses;
use crate::table::{DROP_CHAIN, Family, Key, Map, Op, REJECT_CHAIN, Rule, Target, Transaction};

/// What the fake kernel holds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tables {
    families: BTreeSet<Family>,
    sets: BTreeMap<(Family, String), u32>,
    chains: BTreeMap<(Family, String), Vec<Rule>>,
    elements: BTreeMap<(Family, Map, Key), Target>,
}

/// See [`Kernel`].
#[derive(Debug, Default)]
pub struct FakeKernel {
    tables: Mutex<Tables>,
}

impl FakeKernel {
    /// All that is there, sorted, one line each.
    pub fn dump(&self) -> String {
        let tables = self.tables.lock();
        let mut lines = Vec::new();
        for ((family, name), timeout_s) in &tables.sets {
            lines.push(format!("{} set {name} timeout {timeout_s}s", family.as_str()));
        }
        for ((family, name), rules) in &tables.chains {
            lines.push(format!("{} chain {name}", family.as_str()));
            lines.extend(rules.iter().map(|rule| format!("  {rule}")));
        }
        for ((family, map, key), target) in &tables.elements {
            lines.push(format!("{} {} {key}{target}", family.as_str(), map.as_str()));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Applies without waiting, for tests that are not async.
    pub fn apply_now(&self, steps: &Transaction) -> Result<(), KernelError> {
        let mut tables = self.tables.lock();
        let mut next = tables.clone();
        for step in steps {
            next.step(step).map_err(|detail| KernelError::Step { step: step.to_string(), detail })?;
        }
        next.consistent().map_err(|detail| KernelError::Step { step: "commit".to_owned(), detail })?;
        *tables = next;
        Ok(())
    }

    /// What a listing finds.
    pub fn found(&self) -> Found {
        let tables = self.tables.lock();
        Found {
            families: tables.families.clone(),
            chains: tables.chains.keys().cloned().collect(),
            sets: tables.sets.clone(),
            elements: tables.elements.clone(),
        }
    }
}

#[async_trait]
impl Kernel for FakeKernel {
    async fn apply(&self, steps: &Transaction) -> Result<(), KernelError> {
        self.apply_now(steps)
    }

    async fn read(&self) -> Result<Found, KernelError> {
        Ok(self.found())
    }

    fn set_node_ports(&mut self, _: NodePortAddresses) -> bool {
        false
    }
}

impl Tables {
    fn step(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Base(family) => {
                self.families.insert(*family);
            }
            Op::DeleteTable(family) => {
                self.families.remove(family).then_some(()).ok_or("no such table")?;
                self.sets.retain(|(of, _), _| of != family);
                self.chains.retain(|(of, _), _| of != family);
                self.elements.retain(|(of, ..), _| of != family);
            }
            Op::AddSet { family, name, timeout_s } => {
                self.table(*family)?;
                let before = self.sets.insert((*family, name.clone()), *timeout_s);
                before
                    .is_none_or(|before| before == *timeout_s)
                    .then_some(())
                    .ok_or("set exists with another timeout")?;
            }
            Op::DeleteSet { family, name } => {
                self.sets.remove(&(*family, name.clone())).ok_or("no such set")?;
                self.unused(
                    *family,
                    |rule| matches!(rule, Rule::Sticky { set, .. } | Rule::Remember { set } if set == name),
                )?;
            }
            Op::AddChain { family, name } => {
                self.table(*family)?;
                self.chains.entry((*family, name.clone())).or_default();
            }
            Op::FlushChain { family, name } => self.chain(*family, name)?.clear(),
            Op::DeleteChain { family, name } => {
                let rules = self.chains.remove(&(*family, name.clone())).ok_or("no such chain")?;
                rules.is_empty().then_some(()).ok_or("chain has rules")?;
                self.unused(*family, |rule| jumps(rule).contains(&name.as_str()))?;
                let used = |((of, ..), target): (&(Family, Map, Key), &Target)| {
                    of == family && *target == Target::Goto(name.clone())
                };
                (!self.elements.iter().any(used)).then_some(()).ok_or("chain is the target of an element")?;
            }
            Op::AddRule { family, chain, rule } => {
                for target in jumps(rule).into_iter().filter(|target| *target != DROP_CHAIN) {
                    self.chain(*family, target)?;
                }
                if let Rule::Sticky { set, .. } | Rule::Remember { set } = rule {
                    self.sets.get(&(*family, set.clone())).ok_or("rule names a set that is not there")?;
                }
                self.chain(*family, chain)?.push(rule.clone());
            }
            Op::AddElement { family, map, key, target } => {
                self.table(*family)?;
                let before = self.elements.insert((*family, *map, *key), target.clone());
                before
                    .is_none_or(|before| before == *target)
                    .then_some(())
                    .ok_or("element exists with another target")?;
            }
            Op::DeleteElement { family, map, key } => {
                self.elements.remove(&(*family, *map, *key)).ok_or("no such element")?;
            }
        }
        Ok(())
    }

    fn table(&self, family: Family) -> Result<(), String> {
        self.families.contains(&family).then_some(()).ok_or_else(|| "no such table".to_owned())
    }

    fn chain(&mut self, family: Family, name: &str) -> Result<&mut Vec<Rule>, String> {
        self.chains.get_mut(&(family, name.to_owned())).ok_or_else(|| format!("no chain {name}"))
    }

    fn unused(&self, family: Family, uses: impl Fn(&Rule) -> bool) -> Result<(), String> {
        let users = self.chains.iter().filter(|((of, _), rules)| *of == family && rules.iter().any(&uses));
        users.map(|((_, chain), _)| format!("in use by chain {chain}")).next().map_or(Ok(()), Err)
    }

    fn consistent(&self) -> Result<(), String> {
        for ((family, _, key), target) in &self.elements {
            let Target::Goto(chain) = target else {
                continue;
            };
            if chain != REJECT_CHAIN && !self.chains.contains_key(&(*family, chain.clone())) {
                return Err(format!("{key} goes to {chain}, which is not there"));
            }
        }
        Ok(())
    }
}

fn jumps(rule: &Rule) -> Vec<&str> {
    match rule {
        Rule::Goto(chain)
        | Rule::FromGoto { chain, .. }
        | Rule::FromNodeGoto { chain }
        | Rule::Sticky { chain, .. } => vec![chain],
        Rule::Spread { chains } => chains.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}
