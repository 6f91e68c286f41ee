//! The paths of documents about the API itself: discovery, the version, how tokens are verified.

use proto::Kind;
use proto::meta::v1::{ApiGroup, ApiGroupList, ApiResourceList, ApiVersions};

use super::path::{Answer, Operation, Path};
use super::{media, name};

/// The name of an OpenAPI document, and the one path that it describes.
type Fixed = (&'static str, fn() -> Path);

/// The documents that every server has, whatever its resources.
pub const FIXED: &[Fixed] = &[
    (".well-known/openid-configuration", issuer),
    ("api", core_versions),
    ("apis", groups),
    ("openid/v1/jwks", keys),
    ("version", version),
];

/// `/apis/apps/`.
pub fn group(group: &str) -> Path {
    let id = format!("get{}APIGroup", name::group_words(group));
    let answer = Answer::Message(ApiGroup::info());
    path(format!("/apis/{group}/"), id, name::tag(group, ""), "Tells the versions of a group.", answer, media::OBJECTS)
}

/// `/api/v1/`, `/apis/apps/v1/`.
pub fn resources(prefix: &str, group: &str, version: &str) -> Path {
    let id = format!("get{}{}APIResources", name::group_words(group), name::capital(version));
    let answer = Answer::Message(ApiResourceList::info());
    let text = "Tells the resources of a group version.";
    path(format!("{prefix}/"), id, name::tag(group, version), text, answer, media::OBJECTS)
}

fn core_versions() -> Path {
    let answer = Answer::Message(ApiVersions::info());
    let text = "Tells the versions of the core group.";
    path("/api/".to_owned(), "getCoreAPIVersions".to_owned(), "core".to_owned(), text, answer, media::OBJECTS)
}

fn groups() -> Path {
    let answer = Answer::Message(ApiGroupList::info());
    let text = "Tells the groups and their versions.";
    path("/apis/".to_owned(), "getAPIVersions".to_owned(), "apis".to_owned(), text, answer, media::OBJECTS)
}

fn version() -> Path {
    let text = "Tells the version of the API.";
    path("/version/".to_owned(), "getCodeVersion".to_owned(), "version".to_owned(), text, Answer::Version, media::JSON)
}

fn issuer() -> Path {
    let (path_text, id) = ("/.well-known/openid-configuration/", "getServiceAccountIssuerOpenIDConfiguration");
    let text = "Tells who issues the tokens of service accounts, as OpenID Connect discovers it.";
    path(path_text.to_owned(), id.to_owned(), "WellKnown".to_owned(), text, Answer::Text, media::JSON)
}

fn keys() -> Path {
    let id = "getServiceAccountIssuerOpenIDKeyset";
    let text = "Tells the keys that verify the tokens of service accounts.";
    let types = &["application/jwk-set+json"];
    path("/openid/v1/jwks/".to_owned(), id.to_owned(), "openid".to_owned(), text, Answer::Text, types)
}

fn path(
    path: String,
    id: String,
    tag: String,
    description: &str,
    answer: Answer,
    produces: &'static [&'static str],
) -> Path {
    let operation = Operation {
        method: "get",
        id,
        description: description.to_owned(),
        tag,
        action: None,
        body: None,
        answers: vec![(200, answer)],
        produces,
        parameters: Vec::new(),
    };
    Path { path, parameters: Vec::new(), operations: vec![operation] }
}
