//! A manifest against the schema of its kind: unknown fields and wrong types, each at its place with the nearest
//! valid name.

use proto::schema::{FieldInfo, Form, Label, MessageInfo, ValueType};

use super::node::{Entry, Node, Tree};
use super::{Document, Problem};
use crate::suggest;

/// Everything in the document that its kind has no place for; nothing for kinds without a schema here.
pub fn check(document: &Document) -> Vec<Problem> {
    let Some(kind) = proto::dynamic::kind_by_api_version(document.api_version(), document.kind()) else {
        return Vec::new();
    };
    let mut checker = Checker { file: &document.file, problems: Vec::new() };
    checker.message(&document.node, kind.message, "", true);
    checker.problems
}

struct Checker<'a> {
    file: &'a str,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn report(&mut self, mark: super::Mark, message: String) {
        self.problems.push(Problem { file: self.file.to_owned(), mark, message });
    }

    fn message(&mut self, node: &Node, info: &'static MessageInfo, path: &str, top: bool) {
        let Tree::Map(entries) = &node.tree else {
            return self.wrong_type(node, path, "a map");
        };
        for entry in entries {
            if top && matches!(entry.key.as_str(), "kind" | "apiVersion") {
                continue;
            }
            let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            match info.find(&entry.key) {
                Some((_, field)) => self.field(&entry.value, field, &path),
                None => self.unknown(entry, info, &path),
            }
        }
    }

    fn unknown(&mut self, entry: &Entry, info: &'static MessageInfo, path: &str) {
        let mut names = Vec::new();
        field_names(info, &mut names);
        let near = suggest::nearest(&entry.key, names.iter().copied());
        let hint = match near {
            Some(near) => format!("; did you mean \"{near}\"?"),
            None if names.len() <= 12 && !names.is_empty() => {
                format!("; {} has {}", info.short_name(), names.join(", "))
            }
            None => String::new(),
        };
        self.report(entry.mark, format!("unknown field \"{path}\"{hint}"));
    }

    fn field(&mut self, node: &Node, field: &'static FieldInfo, path: &str) {
        if node.tree == Tree::Null {
            return;
        }
        match (field.label, &node.tree) {
            (Label::Single, _) => self.single(node, field, path),
            (Label::List, Tree::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.single(item, field, &format!("{path}[{index}]"));
                }
            }
            (Label::List, _) => self.wrong_type(node, path, "a list"),
            (Label::Map, Tree::Map(entries)) => {
                for entry in entries {
                    self.single(&entry.value, field, &format!("{path}.{}", entry.key));
                }
            }
            (Label::Map, _) => self.wrong_type(node, path, "a map"),
        }
    }

    fn single(&mut self, node: &Node, field: &'static FieldInfo, path: &str) {
        if node.tree == Tree::Null {
            return;
        }
        match field.value {
            ValueType::Message(info) => self.formed(node, info, path),
            ValueType::Bool if !matches!(node.tree, Tree::Bool(_)) => {
                self.wrong_type(node, path, "a boolean (true or false)")
            }
            ValueType::Int32 => self.integer(node, path, i32::MIN.into(), i32::MAX.into()),
            ValueType::Int64 => self.integer(node, path, i64::MIN, i64::MAX),
            ValueType::Double if !matches!(node.tree, Tree::Number(_)) => self.wrong_type(node, path, "a number"),
            ValueType::String | ValueType::Bytes if !matches!(node.tree, Tree::Text(_)) => {
                self.wrong_type(node, path, "a string")
            }
            _ => {}
        }
    }

    /// A message whose JSON is not always a map of its fields.
    fn formed(&mut self, node: &Node, info: &'static MessageInfo, path: &str) {
        match (info.form, &node.tree) {
            (Form::Plain, _) => self.message(node, info, path, false),
            (Form::Time | Form::MicroTime, Tree::Text(text)) if text.parse::<jiff::Timestamp>().is_err() => {
                self.report(node.mark, format!("{path} must be a time as 2006-01-02T15:04:05Z, not \"{text}\""));
            }
            (Form::Time | Form::MicroTime | Form::Duration, Tree::Text(_)) => {}
            (Form::Time | Form::MicroTime, _) => self.wrong_type(node, path, "a time as 2006-01-02T15:04:05Z"),
            (Form::Duration, _) => self.wrong_type(node, path, "a duration as 1h30m"),
            (Form::Quantity, Tree::Text(text)) if !is_quantity(text) => {
                self.report(node.mark, format!("{path} must be a quantity as 500m, 2 or 128Mi, not \"{text}\""));
            }
            (Form::Quantity, Tree::List(_) | Tree::Map(_) | Tree::Bool(_)) => {
                self.wrong_type(node, path, "a quantity as 500m, 2 or 128Mi")
            }
            (Form::IntOrString, Tree::Number(number)) if number.is_i64() => {}
            (Form::IntOrString, Tree::Text(_)) => {}
            (Form::IntOrString, _) => self.wrong_type(node, path, "an integer or a string"),
            _ => {}
        }
    }

    fn integer(&mut self, node: &Node, path: &str, min: i64, max: i64) {
        let Tree::Number(number) = &node.tree else { return self.wrong_type(node, path, "an integer") };
        match number.as_i64() {
            Some(value) if (min..=max).contains(&value) => {}
            Some(_) => self.report(node.mark, format!("{path} must lie between {min} and {max}, not {number}")),
            None => self.wrong_type(node, path, "an integer"),
        }
    }

    fn wrong_type(&mut self, node: &Node, path: &str, wanted: &str) {
        let found = match &node.tree {
            Tree::Text(text) if text.chars().count() <= 40 => format!("the string \"{text}\""),
            Tree::Bool(flag) => format!("the boolean {flag}"),
            Tree::Number(number) => format!("the number {number}"),
            Tree::Map(_) | Tree::List(_) | Tree::Text(_) => format!("a {}", node.kind()),
            Tree::Null => "null".to_owned(),
        };
        let mend = match &node.tree {
            Tree::Bool(_) | Tree::Number(_) if wanted == "a string" => "; put it in quotes",
            Tree::Text(text) if wanted == "an integer" && text.parse::<i64>().is_ok() => "; take the quotes away",
            Tree::Map(_) if wanted == "a list" => "; begin each item with \"- \"",
            _ => "",
        };
        let place = if path.is_empty() { "the object" } else { path };
        self.report(node.mark, format!("{place} must be {wanted}, not {found}{mend}"));
    }
}

/// The names a map of this kind may have, inlined ones included.
pub fn field_names(info: &'static MessageInfo, names: &mut Vec<&'static str>) {
    for field in info.fields {
        match field.message() {
            Some(inner) if field.inline => field_names(inner, names),
            _ if field.not_served => {}
            _ => names.push(field.name),
        }
    }
}

/// Digits, perhaps a fraction, and a suffix that quantities have.
fn is_quantity(text: &str) -> bool {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
    let (digits, suffix) = body.split_at(end);
    let number =
        digits.bytes().any(|byte| byte.is_ascii_digit()) && digits.bytes().filter(|byte| *byte == b'.').count() <= 1;
    let exponent = |suffix: &str| suffix.strip_prefix(['e', 'E']).is_some_and(|power| power.parse::<i32>().is_ok());
    number
        && (matches!(
            suffix,
            "" | "n" | "u" | "m" | "k" | "M" | "G" | "T" | "P" | "E" | "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei"
        ) || exponent(suffix))
}

#[cfg(test)]
mod tests {
    use super::super::source::parse;
    use super::*;

    #[track_caller]
    fn check_text(text: &str, want: &[&str]) {
        let problems: Vec<String> =
            parse("f.yaml", text).unwrap().iter().flat_map(check).map(|problem| problem.to_string()).collect();
        assert_eq!(problems, want);
    }

    #[test]
    fn a_sound_manifest_has_no_problems() {
        check_text(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: b}, creationTimestamp: null}\nspec:\n  containers:\n  - name: c\n    image: x\n    ports: [{containerPort: 80}]\n    resources: {limits: {cpu: 1, memory: 64Mi}}\n    livenessProbe: {httpGet: {port: http}}\n    env: [{name: A, value: \"1\"}]\n",
            &[],
        );
    }

    #[test]
    fn unknown_fields_name_their_place_and_the_nearest_name() {
        check_text(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  contianers:\n  - name: c\n",
            &["f.yaml:5:3: unknown field \"spec.contianers\"; did you mean \"containers\"?"],
        );
        check_text(
            "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n      - name: c\n        imagepullPolicy: Always\n",
            &[
                "f.yaml:8:9: unknown field \"spec.template.spec.containers[0].imagepullPolicy\"; did you mean \"imagePullPolicy\"?",
            ],
        );
    }

    #[test]
    fn wrong_types_say_what_is_wanted_and_how_to_mend_it() {
        check_text(
            "apiVersion: apps/v1\nkind: Deployment\nspec:\n  replicas: \"3\"\n  paused: 'yes'\n",
            &[
                "f.yaml:4:13: spec.replicas must be an integer, not the string \"3\"; take the quotes away",
                "f.yaml:5:11: spec.paused must be a boolean (true or false), not the string \"yes\"",
            ],
        );
        check_text(
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: 1\n  b: true\n  c: ok\n",
            &[
                "f.yaml:4:6: data.a must be a string, not the number 1; put it in quotes",
                "f.yaml:5:6: data.b must be a string, not the boolean true; put it in quotes",
            ],
        );
        check_text(
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    name: c\n",
            &["f.yaml:5:5: spec.containers must be a list, not a map; begin each item with \"- \""],
        );
        check_text("apiVersion: v1\nkind: Pod\nspec: x\n", &["f.yaml:3:7: spec must be a map, not the string \"x\""]);
    }

    #[test]
    fn quantities_and_ports_have_forms_of_their_own() {
        check_text(
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: c\n    resources: {limits: {cpu: 1x, memory: 1.5Gi}}\n    livenessProbe: {httpGet: {port: true}}\n",
            &[
                "f.yaml:6:31: spec.containers[0].resources.limits.cpu must be a quantity as 500m, 2 or 128Mi, not \"1x\"",
                "f.yaml:7:37: spec.containers[0].livenessProbe.httpGet.port must be an integer or a string, not the boolean true",
            ],
        );
    }

    #[test]
    fn kinds_without_a_schema_are_left_to_the_server() {
        check_text("apiVersion: example.com/v1\nkind: Widget\nspec: {whatever: 1}\n", &[]);
    }
}
