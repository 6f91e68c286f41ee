//! Where manifests come from: files, directories, standard input; and how a document becomes objects.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, bail};
use serde_json::Value;

use super::node::{Node, Tree};
use super::{Problem, Problems, yaml};

/// File name endings that count within a directory.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];
/// The largest manifest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Directories within directories as well.
    pub recursive: bool,
}

/// One object of a manifest.
#[derive(Debug, Clone)]
pub struct Document {
    pub file: String,
    pub node: Rc<Node>,
    pub value: Value,
}

impl Document {
    pub fn kind(&self) -> &str {
        self.text("kind")
    }

    pub fn api_version(&self) -> &str {
        self.text("apiVersion")
    }

    fn text(&self, key: &str) -> &str {
        self.value.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn problem(&self, node: &Node, message: impl Into<String>) -> Problem {
        Problem { file: self.file.clone(), mark: node.mark, message: message.into() }
    }
}

/// Every object that the named files, directories and `-` hold, in order.
pub fn read(names: &[String], options: Options) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for name in names {
        if name == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
            documents.extend(parse("STDIN", &text)?);
            continue;
        }
        if name.starts_with("http://") || name.starts_with("https://") {
            bail!(
                "{name}: manifests are read from files and standard input; fetch it first: curl -fsSL {name} | keelctl apply -f -"
            );
        }
        for path in files(Path::new(name), options.recursive)? {
            let shown = path.display().to_string();
            let size = std::fs::metadata(&path).with_context(|| format!("reading {shown}"))?.len();
            if size > FILE_BYTES_MAX {
                bail!("{shown}: {size} bytes is more than a manifest may have ({FILE_BYTES_MAX})");
            }
            let bytes = std::fs::read(&path).with_context(|| format!("reading {shown}"))?;
            let text = String::from_utf8(bytes).ok().with_context(|| format!("{shown}: not UTF-8 text"))?;
            documents.extend(parse(&shown, &text)?);
        }
    }
    Ok(documents)
}

/// The manifest files at a path: itself, or those of the directory in order of name.
fn files(path: &Path, recursive: bool) -> anyhow::Result<Vec<PathBuf>> {
    let shown = path.display();
    if !path.exists() {
        bail!("the path \"{shown}\" does not exist");
    }
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .with_context(|| format!("reading the directory {shown}"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let ending = entry.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if entry.is_dir() {
            if recursive {
                found.extend(files(&entry, true)?);
            }
        } else if ENDINGS.contains(&ending) {
            found.push(entry);
        }
    }
    if found.is_empty() && !recursive {
        bail!("error reading [{shown}]: recognized file extensions are [.json .yaml .yml]");
    }
    Ok(found)
}

/// The objects of a text; the items of a List are objects of their own.
pub fn parse(file: &str, text: &str) -> Result<Vec<Document>, Problems> {
    let problem = |mark, message| Problems(vec![Problem { file: file.to_owned(), mark, message }]);
    let nodes = yaml::parse(text).map_err(|error| problem(error.mark, error.message))?;
    let mut documents = Vec::new();
    for node in nodes {
        unfold(file, Rc::new(node), &mut documents)?;
    }
    Ok(documents)
}

fn unfold(file: &str, node: Rc<Node>, documents: &mut Vec<Document>) -> Result<(), Problems> {
    let problem = |node: &Node, message: &str| {
        Problems(vec![Problem { file: file.to_owned(), mark: node.mark, message: message.to_owned() }])
    };
    if !matches!(node.tree, Tree::Map(_)) {
        return Err(problem(
            &node,
            &format!("an object must be a map with apiVersion and kind, not a {}", node.kind()),
        ));
    }
    let required = |key: &str| match node.get(key) {
        Some(value) => match value.text() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(problem(value, &format!("{key} must be a string that is not empty"))),
        },
        None => Err(problem(&node, &format!("{key} is not set"))),
    };
    let (kind, _) = (required("kind")?, required("apiVersion")?);
    if kind.ends_with("List")
        && let Some(Node { tree: Tree::List(items), .. }) = node.get("items")
    {
        return items.iter().try_for_each(|item| unfold(file, Rc::clone(item), documents));
    }
    let value = node.to_json();
    documents.push(Document { file: file.to_owned(), node, value });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lists_items_are_objects_of_their_own() {
        let text =
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod}\n- {apiVersion: v1, kind: Service}";
        let kinds: Vec<String> = parse("x", text).unwrap().iter().map(|found| found.kind().to_owned()).collect();
        assert_eq!(kinds, ["Pod", "Service"]);
    }

    #[test]
    fn an_object_without_kind_is_refused_with_its_place() {
        let text = "apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nmetadata: {name: x}";
        assert_eq!(parse("a.yaml", text).unwrap_err().to_string(), "a.yaml:4:1: kind is not set");
        assert_eq!(
            parse("a.yaml", "- 1").unwrap_err().to_string(),
            "a.yaml:1:1: an object must be a map with apiVersion and kind, not a list"
        );
    }

    #[test]
    fn a_directorys_manifests_come_in_order_of_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.json", "c.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/d.yml"), "").unwrap();
        let names = |recursive| {
            let found = files(dir.path(), recursive).unwrap();
            found.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(false), ["a.json", "b.yaml"]);
        assert_eq!(names(true), ["a.json", "b.yaml", "d.yml"]);
    }
}
