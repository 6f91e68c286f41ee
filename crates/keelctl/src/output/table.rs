//! Objects as a table, the way `get` shows them.

use api::print;
use jiff::Timestamp;
use serde_json::Value;

use super::tabs;

/// How to show a table.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub wide: bool,
    pub no_headers: bool,
    /// A NAMESPACE column in front.
    pub namespaces: bool,
    /// A LABELS column at the end.
    pub show_labels: bool,
    /// A column for each of these labels.
    pub label_columns: Vec<String>,
    /// `pod/NAME` rather than `NAME`.
    pub with_kind: Option<String>,
}

/// A table that grows row by row.
pub struct Table<'a> {
    group: &'a str,
    resource: &'a str,
    options: &'a Options,
}

impl<'a> Table<'a> {
    pub fn new(group: &'a str, resource: &'a str, options: &'a Options) -> Self {
        Self { group, resource, options }
    }

    fn columns(&self) -> &'static [print::Column] {
        print::columns(self.group, self.resource).unwrap_or(print::PLAIN)
    }

    fn shown(&self, column: &print::Column) -> bool {
        self.options.wide || column.priority == 0
    }

    /// The headings, tab after tab.
    pub fn header(&self) -> String {
        let mut names = Vec::new();
        if self.options.namespaces {
            names.push("NAMESPACE".to_owned());
        }
        names
            .extend(self.columns().iter().filter(|column| self.shown(column)).map(|column| column.name.to_uppercase()));
        names.extend(
            self.options.label_columns.iter().map(|label| label.rsplit('/').next().unwrap_or(label).to_uppercase()),
        );
        if self.options.show_labels {
            names.push("LABELS".to_owned());
        }
        names.join("\t")
    }

    /// An object's cells, tab after tab.
    pub fn row(&self, object: &Value, now: Timestamp) -> String {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let mut cells = Vec::new();
        if self.options.namespaces {
            cells.push(text("/metadata/namespace").to_owned());
        }
        let values = print::cells(self.group, self.resource, object, now);
        for (column, value) in self.columns().iter().zip(values).filter(|(column, _)| self.shown(column)) {
            let mut cell = cell(column, &value, now);
            if let Some(kind) = self.options.with_kind.as_ref().filter(|_| column.format == "name") {
                cell = format!("{kind}/{cell}");
            }
            cells.push(cell);
        }
        let labels = object.pointer("/metadata/labels");
        for label in &self.options.label_columns {
            cells.push(
                labels.and_then(|labels| labels.get(label)).and_then(Value::as_str).unwrap_or_default().to_owned(),
            );
        }
        if self.options.show_labels {
            cells.push(print::join_map(labels));
        }
        cells.join("\t")
    }

    /// The whole table.
    pub fn render(&self, objects: &[Value], now: Timestamp) -> String {
        let mut text = String::new();
        if !self.options.no_headers {
            text.push_str(&self.header());
            text.push('\n');
        }
        for object in objects {
            text.push_str(&self.row(object, now));
            text.push('\n');
        }
        tabs::table(&text)
    }
}

fn cell(column: &print::Column, value: &Value, now: Timestamp) -> String {
    let text = match value {
        Value::String(text) if column.kind == "date" && text.ends_with('Z') && column.name == "Age" => {
            print::since(Some(text), now)
        }
        Value::String(text) => text.clone(),
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    };
    // A cell stays on its line: control characters are shown, not obeyed.
    let first = text.split('\n').next().unwrap_or_default();
    let cut = if first.len() < text.len() { format!("{first}...") } else { text };
    cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "ns", "creationTimestamp": "2020-01-01T00:00:00Z", "labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Pending"}})
    }

    fn now() -> Timestamp {
        "2020-01-01T00:00:03Z".parse().unwrap()
    }

    #[test]
    fn a_table_looks_as_kubectl_prints_it() {
        let options = Options::default();
        let text = Table::new("", "pods", &options).render(&[pod("p"), pod("longer-name")], now());
        assert_eq!(
            text,
            "NAME          READY   STATUS    RESTARTS   AGE\np             0/1     Pending   0          3s\nlonger-name   0/1     Pending   0          3s\n"
        );
    }

    #[test]
    fn namespaces_kinds_and_labels_can_be_added() {
        let options = Options {
            namespaces: true,
            show_labels: true,
            with_kind: Some("pod".into()),
            label_columns: vec!["app".into()],
            ..Options::default()
        };
        let text = Table::new("", "pods", &options).render(&[pod("p")], now());
        assert_eq!(
            text,
            "NAMESPACE   NAME    READY   STATUS    RESTARTS   AGE   APP   LABELS\nns          pod/p   0/1     Pending   0          3s    x     app=x\n"
        );
    }

    #[test]
    fn a_message_of_several_lines_stays_on_one() {
        let column = print::columns("", "events").unwrap()[6];
        assert_eq!(cell(&column, &json!("a\nb\u{1b}[31m"), now()), "a...");
        assert_eq!(cell(&column, &json!("a\u{1b}[31m"), now()), "a [31m");
    }
}
