//! Comments of a proto file, carried over when it is written anew: what fields mean is written by hand.

use std::collections::BTreeMap;

/// The text with the comments that `before` has above the same messages and fields.
pub fn keep(text: &str, before: &str) -> String {
    let mut comments: BTreeMap<String, String> = BTreeMap::new();
    let mut above = String::new();
    walk(before, |line, place| match place {
        Some(place) => drop(comments.insert(place, std::mem::take(&mut above))),
        None if line.trim_start().starts_with("//") => above += &format!("{line}\n"),
        None => above.clear(),
    });
    let mut out = String::new();
    walk(text, |line, place| {
        out += place.and_then(|place| comments.get(&place)).map_or("", String::as_str);
        out += &format!("{line}\n");
    });
    out
}

/// Each line, with `Message` or `Message.field` where it begins one.
fn walk(text: &str, mut each: impl FnMut(&str, Option<String>)) {
    let mut message = String::new();
    for line in text.lines() {
        let place = match line.strip_prefix("message ").and_then(|rest| rest.strip_suffix(" {")) {
            Some(name) => {
                message = name.to_owned();
                Some(message.clone())
            }
            None => field(line).map(|name| format!("{message}.{name}")),
        };
        each(line, place);
    }
}

fn field(line: &str) -> Option<&str> {
    let declared = line.strip_prefix("  ").filter(|rest| !rest.starts_with("//") && !rest.starts_with("option "))?;
    declared.split_once(" = ")?.0.rsplit(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_written_anew_keeps_its_comments() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/k8s/api/core/v1.proto");
        let before = std::fs::read_to_string(path).unwrap();
        let is_comment = |line: &&str| line.trim_start().starts_with("//");
        let bare: String = before.lines().filter(|line| !is_comment(line)).map(|line| format!("{line}\n")).collect();
        assert!(before.lines().filter(is_comment).count() > 300, "core/v1 has lost its comments");
        assert_eq!(keep(&bare, &before), before);
        // A field that is gone takes its comment with it.
        assert_eq!(
            keep("message A {\n}\n", "// a\nmessage A {\n  // b\n  optional string b = 1;\n}\n"),
            "// a\nmessage A {\n}\n"
        );
    }
}
