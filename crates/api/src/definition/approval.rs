//! Whether the community has approved a definition in a group that it keeps for itself.

use proto::apiextensions::v1::{CustomResourceDefinition, CustomResourceDefinitionCondition as Condition};

use super::conditions;

/// Names the approval, or says that there is none.
const ANNOTATION: &str = "api-approved.kubernetes.io";
const WHERE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// What is told of it; none for groups of everybody else.
pub fn condition(definition: &CustomResourceDefinition) -> Option<Condition> {
    let group = &definition.spec.group;
    let kept = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|own| group == own || group.strip_suffix(own).is_some_and(|before| before.ends_with('.')));
    if !kept {
        return None;
    }
    let said = definition.metadata.annotations.get(ANNOTATION).map(String::as_str);
    let (approved, reason, message) = match said {
        None | Some("") => {
            let why = format!("protected groups must have approval annotation {ANNOTATION:?}, {WHERE}");
            (false, "MissingAnnotation", why)
        }
        Some(text) if text.starts_with("unapproved") => {
            (false, "UnapprovedAnnotation", format!("not approved: {text:?}"))
        }
        Some(text) if is_address(text) => (true, "ApprovedAnnotation", format!("approved in {text}")),
        Some(_) => {
            let why = format!(
                "protected groups must have approval annotation {ANNOTATION:?} with either a URL or a reason starting with \"unapproved\", {WHERE}"
            );
            (false, "InvalidAnnotation", why)
        }
    };
    Some(conditions::condition(conditions::APPROVED, approved, reason, message))
}

fn is_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        let host = rest.split('/').next().unwrap_or_default();
        !scheme.is_empty() && !host.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_the_community_are_asked() {
        let told = |group: &str, said: Option<&str>| {
            let mut definition = CustomResourceDefinition::default();
            definition.spec.group = group.into();
            let said = said.map(|said| (ANNOTATION.to_owned(), said.to_owned()));
            definition.metadata.annotations.extend(said);
            condition(&definition).map(|condition| condition.reason)
        };
        assert_eq!(told("example.com", None), None);
        assert_eq!(told("myk8s.io", None), None);
        assert_eq!(told("a.k8s.io", None).as_deref(), Some("MissingAnnotation"));
        assert_eq!(told("k8s.io", Some("unapproved, a test")).as_deref(), Some("UnapprovedAnnotation"));
        assert_eq!(told("a.k8s.io", Some("https://github.com/x/y/pull/1")).as_deref(), Some("ApprovedAnnotation"));
        assert_eq!(told("a.k8s.io", Some("yes")).as_deref(), Some("InvalidAnnotation"));
    }
}
