use serde_json::{Value, json};

use super::*;

fn list() -> Value {
    json!({"kind": "List", "items": [
        {"metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}}, "status": {"n": 1, "conditions": [{"type": "Ready", "status": "True"}, {"type": "X", "status": "False"}]}},
        {"metadata": {"name": "b"}, "status": {"n": 2, "ok": true, "conditions": [{"type": "Ready", "status": "False"}]}},
        {"metadata": {"name": "c"}, "status": {"n": 3}},
    ]})
}

#[track_caller]
fn check(template: &str, want: &str) {
    let got = Template::parse(template).and_then(|template| template.render(&list()));
    assert_eq!(got.unwrap_or_else(|error| format!("error: {error:#}")), want, "{template}");
}

#[track_caller]
fn refused(template: &str, words: &str) {
    let error = Template::parse(template).and_then(|template| template.render(&list())).expect_err(template);
    assert!(format!("{error:#}").contains(words), "{error:#}");
}

#[test]
fn keys_indexes_and_wildcards() {
    check("{.kind}", "List");
    check("{$.kind}", "List");
    check("{.items[0].metadata.name}", "a");
    check("{.items[-1].metadata.name}", "c");
    check("{.items[*].metadata.name}", "a b c");
    check("{.items..name}", "a b c");
    check("{.nothing.at.all}", "");
    check("{.items[1].status.ok}", "true");
    check("{['kind']}", "List");
}

#[test]
fn a_path_may_stand_without_braces() {
    check(".kind", "List");
    check("kind", "List");
    check(".items[*].status.n", "1 2 3");
}

#[test]
fn dots_in_keys_are_escaped_or_quoted() {
    check("{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "x");
    check("{.items[0].metadata.labels['app\\.kubernetes\\.io/name']}", "x");
    check("{.items[0].metadata.labels['app.kubernetes.io/name']}", "x");
}

#[test]
fn slices_and_unions() {
    check("{.items[0:2].metadata.name}", "a b");
    check("{.items[1:].metadata.name}", "b c");
    check("{.items[-2:].metadata.name}", "b c");
    check("{.items[::2].metadata.name}", "a c");
    check("{.items[0,2].metadata.name}", "a c");
    check("{.items[0]['metadata','status']['name','n']}", "a 1");
}

#[test]
fn ranges_repeat_their_body() {
    check("{range .items[*]}{.metadata.name}={.status.n}{\"\\n\"}{end}", "a=1\nb=2\nc=3\n");
    check("{range .items[*]}[{range .status.conditions[*]}{.type},{end}]{end}", "[Ready,X,][Ready,][]");
    check("names: {range .items[*]}{@.metadata.name}{'\\t'}{end}.", "names: a\tb\tc\t.");
}

#[test]
fn filters_choose_items() {
    check("{.items[?(@.status.n>1)].metadata.name}", "b c");
    check("{.items[?(@.metadata.name==\"b\")].status.n}", "2");
    check("{.items[?(@.metadata.name != 'b')].status.n}", "1 3");
    check("{.items[*].status.conditions[?(@.type=='Ready')].status}", "True False");
    check("{.items[?(@.status.ok)].metadata.name}", "b");
    check("{.items[?(@.status.ok==true)].metadata.name}", "b");
    check("{.items[?(@.status.n>=2 && @.status.n<3)].metadata.name}", "b");
    check("{.items[?(@.status.n==1 || @.status.n==3)].metadata.name}", "a c");
}

#[test]
fn lists_and_maps_print_as_json() {
    check("{.items[0].metadata.labels}", "{\"app.kubernetes.io/name\":\"x\"}");
    check("{.items[1].status.conditions}", "[{\"status\":\"False\",\"type\":\"Ready\"}]");
}

#[test]
fn mistakes_say_what_is_wrong() {
    refused("{.items[9].x}", "out of bounds");
    refused("{.items", "}");
    refused("{range .items[*]}x", "end");
    refused("{end}", "nothing to end");
    refused("{.items[a]}", "invalid array index");
    refused("{.items[}", "");
    refused("{.items[0}", "]");
    refused("{.items[?(@.a==)]}", "");
}
