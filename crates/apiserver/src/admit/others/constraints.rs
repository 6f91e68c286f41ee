//! What a policy, or what binds it, is about: MatchResources.

use std::sync::Arc;

use proto::admissionregistration::v1::{MatchResources, NamedRuleWithOperations};

use super::Context;
use super::attributes::Attributes;
use super::matching::{self, As};
use super::pair::Pair;
use super::select::Selectors;
use crate::registry::Resource;
use crate::status::Result;

/// Which requests are meant.
#[derive(Debug)]
pub struct Constraints {
    rules: Vec<NamedRuleWithOperations>,
    excluded: Vec<NamedRuleWithOperations>,
    equivalent: bool,
    selectors: Selectors,
}

impl Constraints {
    /// Reads them.
    pub fn new(from: &MatchResources) -> Self {
        Self {
            rules: from.resource_rules.clone(),
            excluded: from.exclude_resource_rules.clone(),
            equivalent: from.match_policy.as_deref() != Some("Exact"),
            selectors: Selectors::new(from.namespace_selector.as_ref(), from.object_selector.as_ref()),
        }
    }

    /// As what the request is meant; none where it is not. Without rules everything is.
    pub fn meant(
        &self,
        ctx: &Context<'_>,
        asked: &Attributes<'_>,
        others: &[Arc<Resource>],
        pair: &mut Pair<'_>,
    ) -> Result<Option<As>> {
        let others = if self.equivalent { others } else { &[] };
        if find(&self.excluded, asked, others).is_some() {
            return Ok(None);
        }
        let found = if self.rules.is_empty() { Some(As::Itself) } else { find(&self.rules, asked, others) };
        let Some(found) = found else { return Ok(None) };
        let objects = pair.shown(&found.kind(asked, ctx.resource).api_version())?;
        let labels = |namespace: &str| ctx.namespace_labels(namespace);
        Ok(self.selectors.select(asked, objects, labels)?.then_some(found))
    }
}

fn find(rules: &[NamedRuleWithOperations], asked: &Attributes<'_>, others: &[Arc<Resource>]) -> Option<As> {
    let rules = rules.iter().map(|named| (&named.rule_with_operations, named.resource_names.as_slice()));
    matching::find(rules, asked, others)
}
