use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::manifest::yaml;

#[track_caller]
fn check(value: Value, want: &str) {
    assert_eq!(to_yaml(&value), want);
}

#[test]
fn maps_lists_and_words_look_as_kubectl_writes_them() {
    check(
        json!({"b": [{"name": "x", "args": ["-c", "echo hi"]}], "a": {"c": {}, "d": [], "e": null}}),
        "a:\n  c: {}\n  d: []\n  e: null\nb:\n- args:\n  - -c\n  - echo hi\n  name: x\n",
    );
    check(
        json!({"status": "True", "uid": "0000-1", "t": "2020-01-01T00:00:00Z"}),
        "status: \"True\"\nt: \"2020-01-01T00:00:00Z\"\nuid: 0000-1\n",
    );
    check(
        json!({"m": 420, "s": "0644", "y": "yes", "n": "", "f": "1e3"}),
        "f: \"1e3\"\nm: 420\n\"n\": \"\"\ns: \"0644\"\n\"y\": \"yes\"\n",
    );
}

#[test]
fn a_text_of_lines_becomes_a_block() {
    check(json!({"a": "one\n  two\n\nthree\n"}), "a: |\n  one\n    two\n\n  three\n");
    check(json!({"a": "one\ntwo"}), "a: |-\n  one\n  two\n");
    check(json!({"a": " one\ntwo"}), "a: \" one\\ntwo\"\n");
}

#[test]
fn lists_within_lists_are_compact() {
    check(json!([[1, 2], [{"a": 1, "b": 2}]]), "- - 1\n  - 2\n- - a: 1\n    b: 2\n");
}

fn tricky() -> impl Strategy<Value = String> {
    let words = [
        "yes",
        "No",
        "on",
        "Off",
        "y",
        "N",
        "true",
        "~",
        "null",
        "",
        ".inf",
        "-.INF",
        ".NaN",
        "0644",
        "0o17",
        "0x1f",
        "0b1",
        "1_000",
        "1e3",
        "1.5",
        "22:30",
        "1:2:3.4",
        "2020-01-01",
        "2020-1-2 10:00:00",
        "<<",
        "=",
        "-",
        "- a",
        "--",
        "---",
        "...",
        "? a",
        ":",
        "a:",
        "a: b",
        "a #b",
        "#",
        "&a",
        "*a",
        "!x",
        "|",
        ">",
        "'",
        "\"",
        "%",
        "@",
        "`",
        "{",
        "[",
        "]",
        "}",
        ",",
        " a",
        "a ",
        "\t",
        "a\tb",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "é",
        "🦀",
        "\u{7f}",
        "\u{0}",
        "a\nb",
        "a\n",
        "\n",
        "\n\na",
        "a\n\n\n",
        "a \nb",
        "a\n\tb",
        "a\n---\nb",
        "a\r\nb",
        "+1",
        "+",
        "-1",
        ".5",
        "5.",
        "1,000",
        "0.",
        "0888",
        "inf",
        "nan",
        "infinity",
        "NaN",
        "a\n b\n",
        "-c",
        "key: |",
    ];
    prop_oneof![
        prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        "[ -~]{0,12}",
        "\\PC{0,8}",
        "[a-z0-9:._+\\-\\n #]{0,10}"
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        (-1e9_f64..1e9).prop_filter("a fraction", |number| number.fract() != 0.0).prop_map(|number| json!(number)),
        tricky().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(tricky(), inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back_under_yaml_1_1(value in values()) {
        let text = to_yaml(&value);
        let read = yaml::parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let read = read.first().map_or(Value::Null, |node| node.to_json());
        prop_assert_eq!(&read, &value, "{}", text);
    }

    #[test]
    fn what_is_written_reads_back_under_yaml_1_2(value in values()) {
        let text = to_yaml(&value);
        let read: Value = serde_yaml::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(&read, &value, "{}", text);
    }
}
