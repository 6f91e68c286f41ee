//! Subresources that are connections (exec, attach, port-forward, proxy), and logs.

use proto::Kind;
use proto::core::v1::PodLogOptions;
use proto::meta::v1::ApiResource;

use super::path::{Answer, Operation, Path};
use super::resource::{KindOf, Resource};
use super::{media, name, parameter};

/// What a proxy passes on.
const PROXIED: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put"];

/// The paths of a connection: one, and for a proxy one with the rest of the path behind it. `target` is the last part of
/// the names of its operations.
pub fn paths(resource: &Resource<'_>, row: &ApiResource, path: &str, target: &str, kind: &KindOf) -> Vec<Path> {
    let allows = |verb: &str| row.verbs.items.iter().any(|found| found == verb);
    let proxy = row.name.ends_with("/proxy");
    let methods: Vec<&'static str> = match proxy {
        true => PROXIED.to_vec(),
        false => {
            [("get", "get"), ("create", "post")].into_iter().filter(|(verb, _)| allows(verb)).map(|(_, m)| m).collect()
        }
    };
    let make = |path: String, target: &str| {
        let operations = methods.iter().map(|method| connect(resource, row, method, target, kind)).collect();
        let mut path = resource.path(path, true, operations);
        // What passes through is not ours to make pretty.
        path.parameters.retain(|parameter| parameter.in_path);
        path.parameters.extend(parameter::of_message(kind.message));
        path
    };
    let mut paths = vec![make(path.to_owned(), target)];
    if proxy {
        let mut below = make(format!("{path}/{{path}}"), &format!("{target}WithPath"));
        below.parameters.insert(0, parameter::in_path("path", "The rest of the path, sent on as it is."));
        paths.push(below);
    }
    paths
}

fn connect(resource: &Resource<'_>, row: &ApiResource, method: &'static str, target: &str, kind: &KindOf) -> Operation {
    let (_, sub) = row.name.split_once('/').unwrap_or_default();
    Operation {
        answers: vec![(200, Answer::Text)],
        produces: media::ANY,
        description: format!("Connects {} requests to the {sub} of one {}.", method.to_uppercase(), resource.kind()),
        ..resource.operation(method, resource.id("connect", &name::capital(method), target), "connect", kind.clone())
    }
}

/// Reading a log gives its text, not the pod.
pub fn make_log(operations: &mut [Operation]) {
    for operation in operations.iter_mut().filter(|operation| operation.method == "get") {
        operation.answers = vec![(200, Answer::Text)];
        operation.produces = media::LOGS;
        operation.parameters = parameter::of_message(PodLogOptions::info());
    }
}
