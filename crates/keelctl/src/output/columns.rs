//! `-o custom-columns=NAME:.metadata.name,...`

use anyhow::{Context, bail};
use serde_json::Value;

use super::jsonpath::Template;
use super::tabs;

#[derive(Debug, Clone, PartialEq)]
pub struct Columns(Vec<(String, Template)>);

impl Columns {
    pub fn parse(spec: &str) -> anyhow::Result<Self> {
        let mut columns = Vec::new();
        for part in split_outside_brackets(spec) {
            let (name, path) = part.split_once(':').with_context(|| {
                format!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
            })?;
            columns.push((name.to_owned(), Template::parse_relaxed(path)?));
        }
        if columns.is_empty() {
            bail!("custom-columns format specified but no custom columns given");
        }
        Ok(Self(columns))
    }

    /// Two lines: headings and paths, by white space.
    pub fn parse_file(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let (names, paths) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        if names.is_empty() || names.len() != paths.len() {
            bail!("number of headings ({}) and paths ({}) in the custom-columns file differ", names.len(), paths.len());
        }
        let columns =
            names.iter().zip(paths).map(|(name, path)| Ok(((*name).to_owned(), Template::parse_relaxed(path)?)));
        Ok(Self(columns.collect::<anyhow::Result<_>>()?))
    }

    pub fn render(&self, objects: &[Value], headers: bool) -> anyhow::Result<String> {
        let mut text = String::new();
        if headers {
            text.push_str(&self.0.iter().map(|column| column.0.as_str()).collect::<Vec<_>>().join("\t"));
            text.push('\n');
        }
        for object in objects {
            let cells = self.0.iter().map(|(_, path)| {
                let values = path.values(object)?;
                let cells: Vec<String> = values.iter().map(super::jsonpath::text).collect();
                Ok(if cells.is_empty() { "<none>".to_owned() } else { cells.join(",") })
            });
            text.push_str(&cells.collect::<anyhow::Result<Vec<_>>>()?.join("\t"));
            text.push('\n');
        }
        Ok(tabs::table(&text))
    }
}

/// Commas within brackets, parentheses and quotes belong to a path.
fn split_outside_brackets(spec: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quote) = (vec![String::new()], 0, None);
    for c in spec.chars() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('[' | '(', None) => depth += 1,
            (']' | ')', None) => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 && quote.is_none() {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_show_paths_and_none_for_what_is_absent() {
        let objects =
            [json!({"metadata": {"name": "a", "labels": {"x.y/z": "1"}}}), json!({"metadata": {"name": "b"}})];
        let columns = Columns::parse("NAME:.metadata.name,L:.metadata.labels['x\\.y/z'],I:{.spec.c[*].i}").unwrap();
        assert_eq!(
            columns.render(&objects, true).unwrap(),
            "NAME   L        I\na      1        <none>\nb      <none>   <none>\n"
        );
        assert!(Columns::parse("NAME").is_err());
    }
}
