use serde_json::{Value, json};

use super::*;

#[track_caller]
fn check(text: &str, want: Value) {
    let found = parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(found.iter().map(Node::to_json).collect::<Vec<_>>(), [want], "{text}");
}

#[track_caller]
fn refused(text: &str, line: usize, column: usize, words: &str) {
    let error = parse(text).expect_err("must be refused");
    assert_eq!((error.mark.line, error.mark.column), (line, column), "{error}");
    assert!(error.message.contains(words), "{error}");
}

#[test]
fn plain_words_mean_what_they_mean_to_kubectl() {
    check("a: 0644", json!({"a": 420}));
    check("a: yes\nb: off\nc: On\nd: n", json!({"a": true, "b": false, "c": true, "d": false}));
    check("a: ~\nb: null\nc:\nd: ''", json!({"a": null, "b": null, "c": null, "d": ""}));
    check(
        "a: 22:30\nb: 2020-01-01\nc: 1.10\nd: \"1.10\"",
        json!({"a": "22:30", "b": "2020-01-01", "c": 1.1, "d": "1.10"}),
    );
    check("a: 1e3\nb: 1_000\nc: 3.0\nd: .5", json!({"a": 1000, "b": 1000, "c": 3, "d": 0.5}));
    check("a: !!str 12\nb: !!int \"12\"\nc: 'yes'", json!({"a": "12", "b": 12, "c": "yes"}));
    check("12: a\nno: b", json!({"12": "a", "false": "b"}));
}

#[test]
fn json_is_read_too() {
    check(
        "{\"a\": [1, \"x\\u00e9\", {\"b\": null}], \"c\": \"\\u2028\"}",
        json!({"a": [1, "x\u{e9}", {"b": null}], "c": "\u{2028}"}),
    );
    check("{\n\t\"a\": 1,\n\t\"b\": {\"c\": \"d\\/e\"}\n}", json!({"a": 1, "b": {"c": "d/e"}}));
}

#[test]
fn block_texts_keep_their_lines() {
    check("a: |\n  one\n  two\nb: >-\n  three\n  four\n", json!({"a": "one\ntwo\n", "b": "three four"}));
}

#[test]
fn anchors_and_aliases_repeat_a_value() {
    check("a: &x {k: 1}\nb: *x\nc: [*x, *x]", json!({"a": {"k": 1}, "b": {"k": 1}, "c": [{"k": 1}, {"k": 1}]}));
}

#[test]
fn merge_keys_fill_in_what_is_not_set_here() {
    check("d: &d {a: 1, b: 2}\ne:\n  <<: *d\n  b: 3", json!({"d": {"a": 1, "b": 2}, "e": {"a": 1, "b": 3}}));
    check("d: &d {a: 1}\ne:\n  a: 5\n  <<: *d", json!({"d": {"a": 1}, "e": {"a": 5}}));
    check(
        "x: &x {a: 1}\nw: &w {a: 2, b: 2}\nz:\n  <<: [*x, *w]",
        json!({"x": {"a": 1}, "w": {"a": 2, "b": 2}, "z": {"a": 1, "b": 2}}),
    );
    refused("a: &a 1\nb:\n  <<: *a", 3, 3, "merge");
}

#[test]
fn several_documents_are_read_and_empty_ones_skipped() {
    let found = parse("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n").unwrap();
    assert_eq!(found.iter().map(Node::to_json).collect::<Vec<_>>(), [json!({"a": 1}), json!({"b": 2})]);
    assert_eq!(found[1].get("b").unwrap().mark, Mark { line: 6, column: 4 });
}

#[test]
fn a_key_given_twice_is_an_error_at_its_second_place() {
    refused("a: 1\nb: 2\na: 3", 3, 1, "key \"a\" is already set at line 1, column 1");
    refused("spec:\n  x: 1\n  x: 1", 3, 3, "already set at line 2");
    refused("{\"a\": 1, \"a\": 2}", 1, 10, "already set");
    refused("yes: 1\ntrue: 2", 2, 1, "already set");
}

#[test]
fn malformed_text_is_refused_with_its_place() {
    let error = parse("a: 1\nb: [1, 2\nc: 3").expect_err("must be refused");
    assert!(error.mark.line >= 2, "{error}");
    let error = parse("a:\n\t- b").expect_err("tabs do not indent");
    assert_eq!(error.mark.line, 2, "{error}");
    assert!(parse("a: 'x").is_err() && parse("a: b: c").is_err() && parse("a: *nowhere").is_err());
}

#[test]
fn infinity_is_refused_because_json_has_none() {
    refused("a: .inf", 1, 4, "no JSON form");
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", ")));
    }
    let error = parse(&text).expect_err("must be refused");
    assert!(error.message.contains("unfold"), "{error}");
}

#[test]
fn an_alias_to_its_own_parent_is_refused() {
    assert!(parse("a: &a\n  b: *a").is_err());
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(&deep).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[ \\n\\ta-c0-9:&*<{}\\[\\]'\"|>#,!?~.%@-]{0,60}") {
        let _ = parse(&text);
    }
}
