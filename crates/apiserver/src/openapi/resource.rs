//! The paths of a resource: its collection, its objects, its subresources, its watches.

use proto::meta::v1::{ApiResource, ApiResourceList, DeleteOptions, Status, WatchEvent};
use proto::schema::{Form, MessageInfo};
use proto::{Kind, Reflect};

use super::path::{Action, Answer, Body, Operation, Parameter, Path};
use super::{connect, media, name, parameter};
use crate::discovery::{Catalog, split};
use crate::registry::deletion;

/// A resource in its group version.
pub struct Resource<'a> {
    /// `/api/v1`, `/apis/apps/v1`.
    prefix: &'a str,
    group: &'a str,
    version: &'a str,
    row: &'a ApiResource,
    message: &'static MessageInfo,
}

/// The paths of a group version's resources. A resource whose kind has no schema has none.
pub fn paths(catalog: &Catalog, list: &ApiResourceList, prefix: &str) -> Vec<Path> {
    let message = |group: &str, version: &str, kind: &str| message(catalog, group, version, kind);
    let (group, version) = split(&list.group_version);
    let mut paths = Vec::new();
    let mut parent: Option<Resource<'_>> = None;
    for row in &list.resources {
        let (kind_group, kind_version) = kind_version(row, group, version);
        match (row.name.split_once('/'), &parent) {
            (Some((_, sub)), Some(parent)) => {
                paths.extend(parent.subresource(row, sub, message(kind_group, kind_version, &row.kind)));
            }
            (Some(_), None) => {}
            (None, _) => {
                parent = message(kind_group, kind_version, &row.kind).map(|message| Resource {
                    prefix,
                    group,
                    version,
                    row,
                    message,
                });
                paths.extend(parent.iter().flat_map(Resource::own));
            }
        }
    }
    paths
}

/// Where the kind of a row is from.
fn kind_version<'a>(row: &'a ApiResource, group: &'a str, version: &'a str) -> (&'a str, &'a str) {
    if row.version.is_empty() { (group, version) } else { (&row.group, &row.version) }
}

fn message(catalog: &Catalog, group: &str, version: &str, kind: &str) -> Option<&'static MessageInfo> {
    if let Some(kind) = proto::dynamic::kind_info(group, version, kind) {
        return Some(kind.message);
    }
    // Options have no metadata, and so no row among the kinds.
    let is = |found: &str| split(found) == (group, version);
    let named = |message: &&&MessageInfo| message.kind.is_some_and(|name| name.kind == kind && is(name.api_version));
    let custom = || {
        catalog.custom(&format!("{group}/{version}"), kind)?;
        Some(proto::custom::kind(group, version, kind).message)
    };
    proto::dynamic::messages().iter().find(named).copied().or_else(custom)
}

impl Resource<'_> {
    /// All but the subresources.
    fn own(&self) -> Vec<Path> {
        let (kind, plural) = (self.row.kind.as_str(), self.row.name.as_str());
        let collection = self.collection("");
        let scope = self.scope_words();
        let mut paths = vec![
            self.path(collection.clone(), false, self.on_collection()),
            self.path(format!("{collection}/{{name}}"), true, self.on_object()),
        ];
        if self.row.namespaced && self.allows("list") {
            let id = self.id("list", "", &format!("{kind}ForAllNamespaces"));
            let text = format!("Lists or watches {plural} of all namespaces.");
            let path = format!("{}/{plural}", self.prefix);
            let operations = self.list(id, text).into_iter().collect();
            paths.push(Path { path, parameters: vec![parameter::pretty()], operations });
        }
        if self.allows("watch") {
            let watched = self.collection("/watch");
            let list = self.id("watch", "", &format!("{scope}{kind}List"));
            paths.push(self.watch(watched.clone(), false, "watchlist", list));
            let one = self.id("watch", "", &format!("{scope}{kind}"));
            paths.push(self.watch(format!("{watched}/{{name}}"), true, "watch", one));
            if self.row.namespaced {
                let all = self.id("watch", "", &format!("{kind}ListForAllNamespaces"));
                let mut path = self.watch(format!("{}/watch/{plural}", self.prefix), false, "watchlist", all);
                path.parameters.retain(|parameter| !parameter.in_path);
                paths.push(path);
            }
        }
        paths.retain(|path| !path.operations.is_empty());
        paths
    }

    /// `/api/v1/namespaces/{namespace}/pods`, with something between the version and the rest.
    fn collection(&self, between: &str) -> String {
        let namespace = if self.row.namespaced { "/namespaces/{namespace}" } else { "" };
        format!("{}{between}{namespace}/{}", self.prefix, self.row.name)
    }

    fn on_collection(&self) -> Vec<Operation> {
        let (kind, scope, plural) = (self.row.kind.as_str(), self.scope_words(), self.row.name.as_str());
        let target = format!("{scope}{kind}");
        let mut operations = Vec::new();
        if self.allows("list") {
            let text = format!("Lists or watches {plural}.");
            operations.extend(self.list(self.id("list", "", &target), text));
        }
        if self.allows("create") {
            operations.push(self.write(Write::Create, self.id("create", "", &target), "", self.own_kind()));
        }
        if self.allows("deletecollection") {
            operations.push(Operation {
                body: Some(delete_body()),
                answers: vec![(200, Answer::Message(Status::info()))],
                parameters: parameter::delete_collection(),
                ..self
                    .operation("delete", self.id("delete", "Collection", &target), "deletecollection", self.own_kind())
                    .described(format!("Deletes many {plural} at once."))
            });
        }
        operations
    }

    fn on_object(&self) -> Vec<Operation> {
        let target = format!("{}{}", self.scope_words(), self.row.kind);
        let mut operations = self.reads_and_writes(&self.row.verbs.items, &target, "", self.own_kind());
        if self.allows("delete") {
            let with_object = deletion::is_answered_with_object(self.group, &self.row.kind);
            let answer = Answer::Message(if with_object { self.message } else { Status::info() });
            operations.push(Operation {
                body: Some(delete_body()),
                answers: vec![(200, answer), (202, answer)],
                parameters: parameter::delete(),
                ..self
                    .operation("delete", self.id("delete", "", &target), "delete", self.own_kind())
                    .described(format!("Deletes one {}.", self.row.kind))
            });
        }
        operations
    }

    /// Reading, replacing and patching one object, or something below it.
    fn reads_and_writes(&self, verbs: &[String], target: &str, of: &str, kind: KindOf) -> Vec<Operation> {
        let allows = |verb: &str| verbs.iter().any(|found| found == verb);
        let mut operations = Vec::new();
        if allows("get") {
            operations.push(Operation {
                answers: vec![(200, Answer::Message(kind.message))],
                ..self
                    .operation("get", self.id("read", "", target), "get", kind.clone())
                    .described(format!("Reads {of}one {}.", self.row.kind))
            });
        }
        if allows("update") {
            operations.push(self.write(Write::Replace, self.id("replace", "", target), of, kind.clone()));
        }
        if allows("patch") {
            operations.push(self.write(Write::Patch, self.id("patch", "", target), of, kind));
        }
        operations
    }

    fn list(&self, id: String, text: String) -> Option<Operation> {
        let list = match self.is_custom() {
            true => Answer::CustomList(self.message),
            false => Answer::Message(proto::dynamic::message_info(&format!("{}List", self.message.name))?),
        };
        Some(Operation {
            answers: vec![(200, list)],
            produces: if self.is_custom() { media::CUSTOM } else { media::LISTS },
            parameters: parameter::list(),
            ..self.operation("get", id, "list", self.own_kind()).described(text)
        })
    }

    fn watch(&self, path: String, one: bool, action: &'static str, id: String) -> Path {
        let what = if one { format!("one {}", self.row.kind) } else { self.row.name.clone() };
        let operation = Operation {
            answers: vec![(200, Answer::Message(WatchEvent::default().message()))],
            produces: media::LISTS,
            ..self
                .operation("get", id, action, self.own_kind())
                .described(format!("Watches {what}. Use the parameter watch of a list instead."))
        };
        let mut path = self.path(path, one, vec![operation]);
        path.parameters.extend(parameter::list());
        path
    }

    fn write(&self, write: Write, id: String, of: &str, kind: KindOf) -> Operation {
        let answer = Answer::Message(kind.message);
        let body = |consumes| Some(Body { answer, required: true, consumes });
        let (method, word, codes, body, parameters) = match write {
            Write::Create => ("post", "Creates", &[200, 201, 202][..], body(media::ANY), parameter::create()),
            Write::Replace => ("put", "Replaces", &[200, 201][..], body(media::ANY), parameter::update()),
            Write::Patch => {
                let body = Some(Body {
                    answer: Answer::Patch,
                    required: true,
                    consumes: if self.is_custom() { media::CUSTOM_PATCHES } else { media::PATCHES },
                });
                ("patch", "Changes parts of", &[200, 201][..], body, parameter::patch())
            }
        };
        Operation {
            body,
            answers: codes.iter().map(|code| (*code, answer)).collect(),
            parameters,
            ..self.operation(method, id, method, kind).described(format!("{word} {of}one {}.", self.row.kind))
        }
    }

    /// The paths of a subresource; none where its kind has no schema.
    fn subresource(&self, row: &ApiResource, name: &str, message: Option<&'static MessageInfo>) -> Vec<Path> {
        let Some(message) = message else { return Vec::new() };
        let (group, version) = kind_version(row, self.group, self.version);
        let kind = KindOf { group: group.to_owned(), version: version.to_owned(), kind: row.kind.clone(), message };
        let target = format!("{}{}{}", self.scope_words(), self.row.kind, name::capital(name));
        let path = format!("{}/{{name}}/{name}", self.collection(""));
        if row.kind.ends_with("Options") {
            return connect::paths(self, row, &path, &target, &kind);
        }
        let mut operations = self.reads_and_writes(&row.verbs.items, &target, &format!("the {name} of "), kind.clone());
        if row.verbs.items.iter().any(|verb| verb == "create") {
            let text = format!("Posts the {name} of one {}.", self.row.kind);
            operations.push(self.write(Write::Create, self.id("create", "", &target), "", kind).described(text));
        }
        if (self.group, row.name.as_str()) == ("", "pods/log") {
            connect::make_log(&mut operations);
        }
        vec![self.path(path, true, operations)]
    }

    pub fn path(&self, path: String, one: bool, operations: Vec<Operation>) -> Path {
        let mut parameters = Vec::new();
        if one {
            parameters.push(parameter::in_path("name", &format!("Name of the {}.", self.row.kind)));
        }
        if self.row.namespaced {
            parameters.push(namespace());
        }
        parameters.push(parameter::pretty());
        Path { path, parameters, operations }
    }

    pub fn operation(&self, method: &'static str, id: String, action: &'static str, kind: KindOf) -> Operation {
        Operation {
            method,
            id,
            description: String::new(),
            tag: name::tag(self.group, self.version),
            action: Some(Action { name: action, group: kind.group, version: kind.version, kind: kind.kind }),
            body: None,
            answers: Vec::new(),
            produces: if self.is_custom() { media::CUSTOM } else { media::OBJECTS },
            parameters: Vec::new(),
        }
    }

    /// `readCoreV1NamespacedPod`.
    pub fn id(&self, verb: &str, between: &str, target: &str) -> String {
        format!("{verb}{}{}{between}{target}", name::group_words(self.group), name::capital(self.version))
    }

    fn own_kind(&self) -> KindOf {
        KindOf {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            kind: self.row.kind.clone(),
            message: self.message,
        }
    }

    pub fn kind(&self) -> &str {
        &self.row.kind
    }

    fn is_custom(&self) -> bool {
        self.message.form == Form::Custom
    }

    fn scope_words(&self) -> &'static str {
        if self.row.namespaced { "Namespaced" } else { "" }
    }

    fn allows(&self, verb: &str) -> bool {
        self.row.verbs.items.iter().any(|found| found == verb)
    }
}

/// The kind that an operation speaks.
#[derive(Clone)]
pub struct KindOf {
    group: String,
    version: String,
    kind: String,
    pub message: &'static MessageInfo,
}

/// The ways to write.
enum Write {
    Create,
    Replace,
    Patch,
}

impl Operation {
    fn described(mut self, text: String) -> Self {
        self.description = text;
        self
    }
}

fn namespace() -> Parameter {
    parameter::in_path("namespace", "Namespace of the objects.")
}

fn delete_body() -> Body {
    Body { answer: Answer::Message(DeleteOptions::info()), required: false, consumes: media::ANY }
}
