//! Reviews: questions about access and about tokens, answered and never stored.

use std::collections::BTreeMap;

use proto::authentication::v1::{self as authentication, SelfSubjectReview, TokenReview, TokenReviewStatus, UserInfo};
use proto::authorization::v1::{
    FieldSelectorAttributes, LocalSubjectAccessReview, NonResourceAttributes, NonResourceRule, ResourceRule,
    SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus, SubjectRulesReviewStatus,
};

use super::Target;
use super::decode::{self, Body};
use super::options::WriteOptions;
use super::owners::{self, Owners};
use crate::admit::others::Asking;
use crate::admit::others::attributes::{Operation, Options};
use crate::authenticate::{User, of_claims};
use crate::authorize::{self, Attributes};
use crate::registry::Versioned;
use crate::server::Server;
use crate::status::{Failure, Result, cause};

/// What upstream says of every token that is none of its own.
const BAD_TOKEN: &str = "invalid bearer token";
const GROUP: &str = "authorization.k8s.io";

/// Answers the review in `body`.
pub async fn create(
    server: &Server,
    user: &User,
    target: &Target,
    body: Body<'_>,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Versioned> {
    let mut object = decode::object(target.resource.kind, body, options.field_validation, warnings)?;
    decode::place(target, object.as_mut())?;
    object.metadata_mut().managed_fields.clear();
    owners::track(target, None, object.as_mut(), Owners::Of(options), server.now());
    let said = Options::Write("CreateOptions", options);
    let asking = Asking { server, user, target, operation: Operation::Create, options: said };
    let mut object = asking.admit(object, None, 0, warnings).await?;
    if let Some(review) = object.downcast_mut::<SubjectAccessReview>() {
        check(&review.spec)?;
        review.status = access(server, &subject(&review.spec), &review.spec);
    } else if let Some(review) = object.downcast_mut::<LocalSubjectAccessReview>() {
        check_local(&review.spec, &target.namespace)?;
        review.status = access(server, &subject(&review.spec), &review.spec);
    } else if let Some(review) = object.downcast_mut::<SelfSubjectAccessReview>() {
        let spec = SubjectAccessReviewSpec {
            resource_attributes: review.spec.resource_attributes.clone(),
            non_resource_attributes: review.spec.non_resource_attributes.clone(),
            ..SubjectAccessReviewSpec::default()
        };
        refuse(about_one_thing(&spec))?;
        review.status = access(server, user, &spec);
    } else if let Some(review) = object.downcast_mut::<SelfSubjectRulesReview>() {
        if review.spec.namespace.is_empty() {
            return Err(Failure::bad_request("no namespace on request"));
        }
        review.status = rules(server, user, &review.spec.namespace);
    } else if let Some(review) = object.downcast_mut::<SelfSubjectReview>() {
        review.metadata.creation_timestamp = server.now();
        review.status.user_info = info(user.clone());
    } else if let Some(review) = object.downcast_mut::<TokenReview>() {
        if review.spec.token.is_empty() {
            return Err(Failure::bad_request("token is required for TokenReview in authentication"));
        }
        review.status = match token(server, &review.spec.token, &review.spec.audiences).await {
            Ok((user, audiences)) => {
                TokenReviewStatus { authenticated: true, user: info(user), audiences, error: String::new() }
            }
            Err(error) => TokenReviewStatus { error, ..TokenReviewStatus::default() },
        };
    } else {
        return Err(Failure::no_resource());
    }
    Ok(Versioned::of(object.as_ref(), 0))
}

/// Whose token it is, and for which of the audiences (none: those of this server); the error is the answer's text.
pub async fn token(
    server: &Server,
    token: &str,
    audiences: &[String],
) -> std::result::Result<(User, Vec<String>), String> {
    let tokens = &server.tokens;
    let audiences = if audiences.is_empty() { tokens.audiences() } else { audiences };
    let claims = tokens.verify(token, audiences, server.now().seconds).map_err(|_| BAD_TOKEN.to_owned())?;
    let user = of_claims(server, &claims).await.map_err(|failure| match failure.code() {
        401 => BAD_TOKEN.to_owned(),
        _ => failure.to_string(),
    })?;
    Ok((user, claims.aud.into_iter().filter(|audience| audiences.contains(audience)).collect()))
}

fn info(user: User) -> UserInfo {
    let extra = user.extra.into_iter().map(|(key, items)| (key, authentication::ExtraValue { items })).collect();
    UserInfo { username: user.name, uid: user.uid, groups: user.groups, extra }
}

fn subject(spec: &SubjectAccessReviewSpec) -> User {
    let extra: BTreeMap<_, _> = spec.extra.iter().map(|(key, value)| (key.clone(), value.items.clone())).collect();
    User { name: spec.user.clone(), uid: spec.uid.clone(), groups: spec.groups.clone(), extra }
}

fn access(server: &Server, user: &User, spec: &SubjectAccessReviewSpec) -> SubjectAccessReviewStatus {
    let verdict = match (&spec.resource_attributes, &spec.non_resource_attributes) {
        (Some(asked), _) => {
            let fields = asked.field_selector.as_ref().map(selector).unwrap_or_default();
            let attributes = Attributes {
                verb: &asked.verb,
                group: &asked.group,
                resource: &asked.resource,
                subresource: &asked.subresource,
                namespace: &asked.namespace,
                name: &asked.name,
                fields: &fields,
                path: "",
            };
            authorize::judge(server, user, &attributes)
        }
        (None, asked) => {
            let asked = asked.clone().unwrap_or_default();
            let attributes = Attributes { verb: &asked.verb, path: &asked.path, ..Attributes::default() };
            authorize::judge(server, user, &attributes)
        }
    };
    SubjectAccessReviewStatus { allowed: verdict.allowed, reason: verdict.reason(), ..Default::default() }
}

/// A selector as it would be sent. Only what fixes one value counts for anything.
fn selector(selector: &FieldSelectorAttributes) -> String {
    if !selector.raw_selector.is_empty() {
        return selector.raw_selector.clone();
    }
    let fixed = selector.requirements.iter().filter_map(|requirement| match requirement.values.as_slice() {
        [value] if requirement.operator == "In" => Some(format!("{}={value}", requirement.key)),
        _ => None,
    });
    fixed.collect::<Vec<_>>().join(",")
}

fn rules(server: &Server, user: &User, namespace: &str) -> SubjectRulesReviewStatus {
    let (rules, mut missing) = server.access.rules_of(user, namespace);
    let mut status = SubjectRulesReviewStatus::default();
    for rule in rules {
        if !rule.resources.is_empty() {
            status.resource_rules.push(ResourceRule {
                verbs: rule.verbs.clone(),
                api_groups: rule.api_groups,
                resources: rule.resources,
                resource_names: rule.resource_names,
            });
        }
        if !rule.non_resource_urls.is_empty() {
            let (verbs, non_resource_urls) = (rule.verbs, rule.non_resource_urls);
            status.non_resource_rules.push(NonResourceRule { verbs, non_resource_urls });
        }
    }
    if user.node().is_some() {
        missing.insert(0, "node authorizer does not support user rule resolution".to_owned());
    }
    status.incomplete = !missing.is_empty();
    status.evaluation_error = missing.join(", ");
    status
}

fn check(spec: &SubjectAccessReviewSpec) -> Result<()> {
    let mut wrong = about_one_thing(spec);
    if spec.user.is_empty() && spec.groups.is_empty() {
        wrong.push(("spec.user", "Invalid value: \"\": at least one of user or group must be specified".to_owned()));
    }
    refuse(wrong)
}

fn check_local(spec: &SubjectAccessReviewSpec, namespace: &str) -> Result<()> {
    if let Some(asked) = &spec.resource_attributes
        && asked.namespace != namespace
    {
        let why = format!("spec.resourceAttributes.namespace must match namespace: {namespace}");
        return Err(Failure::bad_request(why));
    }
    if let Some(asked) = &spec.non_resource_attributes {
        let why = format!("Invalid value: {}: disallowed on this kind of request", shown(asked));
        return refuse(vec![("spec.nonResourceAttributes", why)]);
    }
    check(spec)
}

fn about_one_thing(spec: &SubjectAccessReviewSpec) -> Vec<(&'static str, String)> {
    match (&spec.resource_attributes, &spec.non_resource_attributes) {
        (Some(_), Some(path)) => {
            let why =
                format!("Invalid value: {}: cannot be specified in combination with resourceAttributes", shown(path));
            vec![("spec.nonResourceAttributes", why)]
        }
        (None, None) => {
            let why =
                "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified";
            vec![("spec.resourceAttributes", why.to_owned())]
        }
        _ => Vec::new(),
    }
}

/// A value as upstream shows it, by the names of its own structure.
fn shown(asked: &NonResourceAttributes) -> String {
    format!("{{\"Path\":{:?},\"Verb\":{:?}}}", asked.path, asked.verb)
}

/// As upstream: such a refusal names no kind.
fn refuse(wrong: Vec<(&'static str, String)>) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    let causes = wrong.into_iter().map(|(field, message)| cause("FieldValueInvalid", field, message)).collect();
    Err(Failure::invalid(GROUP, "", "", causes))
}
