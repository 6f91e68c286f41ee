//! What a run did, so that it can be seen that it did something.

use std::collections::BTreeMap;
use std::fmt;

use super::answer::Answer;
use super::case::Case;
use super::excuse::{ALL, Release};

#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests by method.
    pub asked: BTreeMap<&'static str, u64>,
    /// Requests by how they were refused.
    pub refused: BTreeMap<String, u64>,
    /// What watchers got on each server.
    pub events: u64,
    /// How often a revision's events came in pieces, on the server where that was rarest.
    pub fragments: u64,
    /// How often an older etcd answered otherwise.
    pub excused: BTreeMap<(&'static str, Release), u64>,
}

impl Tally {
    pub fn note(&mut self, case: &Case, answer: &Answer) {
        *self.asked.entry(case.method()).or_default() += 1;
        if let Some(text) = answer.refusal() {
            *self.refused.entry(text.to_owned()).or_default() += 1;
        }
    }

    pub fn excuse(&mut self, release: Release, because: &[&'static str]) {
        for name in because {
            *self.excused.entry((name, release)).or_default() += 1;
        }
    }

    pub fn add(&mut self, other: Tally) {
        other.asked.into_iter().for_each(|(method, count)| *self.asked.entry(method).or_default() += count);
        other.refused.into_iter().for_each(|(text, count)| *self.refused.entry(text).or_default() += count);
        other.excused.into_iter().for_each(|(which, count)| *self.excused.entry(which).or_default() += count);
        self.events += other.events;
        self.fragments += other.fragments;
    }

    pub fn requests(&self) -> u64 {
        self.asked.values().sum()
    }

    /// Deviations that did not happen.
    pub fn idle(&self) -> Vec<(&'static str, Release)> {
        let pairs = ALL.iter().flat_map(|deviation| deviation.of.iter().map(|release| (deviation.name, *release)));
        pairs.filter(|pair| !self.excused.contains_key(pair)).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} requests, {} events, {} fragments", self.requests(), self.events, self.fragments)?;
        writeln!(f, "asked:")?;
        self.asked.iter().try_for_each(|(method, count)| writeln!(f, "  {count:6} {method}"))?;
        writeln!(f, "refused:")?;
        self.refused.iter().try_for_each(|(text, count)| writeln!(f, "  {count:6} {text}"))?;
        writeln!(f, "otherwise on an older etcd:")?;
        self.excused.iter().try_for_each(|((name, release), count)| writeln!(f, "  {count:6} {release:?}: {name}"))
    }
}
