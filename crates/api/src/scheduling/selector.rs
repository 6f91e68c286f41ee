//! Selectors, made ready for matching many labels.

use std::collections::BTreeMap;

use proto::core::v1 as core;
use proto::meta::v1::LabelSelector;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    Gt(i64),
    Lt(i64),
    /// An operator or value that the API server would not have let through: nothing matches.
    Never,
}

impl Requirement {
    pub fn new(key: &str, operator: &str, values: &[String]) -> Self {
        let number = || values.first().and_then(|value| value.parse().ok());
        let test = match operator {
            "In" => Test::In(values.to_vec()),
            "NotIn" => Test::NotIn(values.to_vec()),
            "Exists" => Test::Exists,
            "DoesNotExist" => Test::DoesNotExist,
            "Gt" => number().map_or(Test::Never, Test::Gt),
            "Lt" => number().map_or(Test::Never, Test::Lt),
            _ => Test::Never,
        };
        Self { key: key.to_owned(), test }
    }

    fn equals(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), test: Test::In(vec![value.to_owned()]) }
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.test.holds(labels.get(&self.key).map(String::as_str))
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Self::Exists => value.is_some(),
            Self::DoesNotExist => value.is_none(),
            Self::Gt(bound) => number().is_some_and(|value| value > *bound),
            Self::Lt(bound) => number().is_some_and(|value| value < *bound),
            Self::Never => false,
        }
    }
}

/// All requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector(Vec<Requirement>);

impl Selector {
    /// `None` selects nothing; an empty selector selects everything.
    pub fn from_api(selector: Option<&LabelSelector>) -> Option<Self> {
        let selector = selector?;
        let mut all: Vec<_> =
            selector.match_labels.iter().map(|(key, value)| Requirement::equals(key, value)).collect();
        all.extend(selector.match_expressions.iter().map(|e| Requirement::new(&e.key, &e.operator, &e.values)));
        Some(Self(all))
    }

    pub fn from_labels(labels: &Labels) -> Self {
        Self(labels.iter().map(|(key, value)| Requirement::equals(key, value)).collect())
    }

    /// One more label that must be equal.
    pub fn require(&mut self, key: &str, value: &str) {
        self.0.push(Requirement::equals(key, value));
    }

    /// One more label that must not be equal.
    pub fn exclude(&mut self, key: &str, value: &str) {
        self.0.push(Requirement { key: key.to_owned(), test: Test::NotIn(vec![value.to_owned()]) });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }
}

/// A term on nodes: by label and by field (the only field is metadata.name).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeTerm {
    labels: Selector,
    names: Vec<Test>,
}

impl NodeTerm {
    pub fn from_api(term: &core::NodeSelectorTerm) -> Self {
        let requirement = |e: &core::NodeSelectorRequirement| Requirement::new(&e.key, &e.operator, &e.values);
        Self {
            labels: Selector(term.match_expressions.iter().map(requirement).collect()),
            names: term.match_fields.iter().map(|e| requirement(e).test).collect(),
        }
    }

    /// An empty term matches no node.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        let empty = self.labels.is_empty() && self.names.is_empty();
        !empty && self.labels.matches(labels) && self.names.iter().all(|test| test.holds(Some(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(operator: &str, values: &[&str], label: Option<&str>, expect: bool) {
        let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        let labels: Labels = label.map(|value| ("k".to_owned(), value.to_owned())).into_iter().collect();
        assert_eq!(
            Requirement::new("k", operator, &values).matches(&labels),
            expect,
            "{operator} {values:?} {label:?}"
        );
    }

    #[test]
    fn operators_mean_what_they_say() {
        check("In", &["a", "b"], Some("b"), true);
        check("In", &["a"], None, false);
        check("NotIn", &["a"], None, true);
        check("NotIn", &["a"], Some("a"), false);
        check("Exists", &[], Some(""), true);
        check("DoesNotExist", &[], Some(""), false);
        check("Gt", &["3"], Some("4"), true);
        check("Gt", &["3"], Some("x"), false);
        check("Lt", &["3"], Some("2"), true);
        check("Between", &["3"], Some("2"), false);
    }

    #[test]
    fn an_empty_node_term_matches_no_node() {
        assert!(!NodeTerm::from_api(&core::NodeSelectorTerm::default()).matches("n", &Labels::new()));
    }
}
