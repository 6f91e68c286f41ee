//! Variables that are expressions, and costs.

use serde_json::json;

use crate::{Env, Error, Program, Scope, Type, Value, Variables, cost, of_json};

fn env() -> Env {
    Env::new().with("object", Type::Dyn).with("variables", Type::Dyn)
}

#[test]
fn a_variable_is_evaluated_once_and_only_when_it_is_asked_for() {
    let programs: Vec<(&str, Program)> = [("a", "object.n + 1"), ("b", "variables.a * 2"), ("bad", "1 / object.zero")]
        .into_iter()
        .map(|(name, source)| (name, Program::compile(&env(), source).unwrap()))
        .collect();
    let object = json!({"n": 4, "zero": 0});
    let scope = Scope::new().with("object", of_json(&object, None));
    let variables =
        Variables::new(scope.clone(), programs.iter().map(|(name, program)| (*name, program)), cost::PER_CALL_LIMIT);
    let scope = scope.with_variables(variables.clone());
    let run = |source: &str| {
        let program = Box::leak(Box::new(Program::compile(&env(), source).unwrap()));
        program.evaluate(&scope, cost::PER_CALL_LIMIT).value
    };
    assert_eq!(variables.cost(), 0);
    assert!(matches!(run("variables.b + variables.b + variables.a"), Ok(Value::Int(25))));
    let once = variables.cost();
    assert!(once > 0);
    assert!(matches!(run("variables.b == 10 && has(variables.bad) && !has(variables.nope)"), Ok(Value::Bool(true))));
    assert_eq!(variables.cost(), once);
    let text = "composited variable \"bad\" fails to evaluate: division by zero";
    assert_eq!(run("variables.bad == 1").unwrap_err(), Error::new(text));
    assert!(matches!(run("variables.bad == 1 || true"), Ok(Value::Bool(true))));
    assert!(run("variables.nope").is_err());
}

#[track_caller]
fn costs(source: &str, wanted: u64) {
    let object = json!({"a": {"b": 1}, "list": [1, 2, 3], "text": "0123456789"});
    let program = Program::compile(&env(), source).unwrap();
    let found = program.evaluate(&Scope::new().with("object", of_json(&object, None)), u64::MAX);
    assert_eq!(found.cost, wanted, "{source}: {:?}", found.value);
}

#[test]
fn costs_are_counted_as_upstream_counts_them() {
    costs("1", 0);
    costs("1 + 2", 1);
    costs("object.a.b", 3);
    costs("has(object.a.b)", 2);
    costs("object.a.b == 1", 4);
    costs("[1, 2]", 10);
    costs("{'a': 1}", 30);
    costs("true && false", 0);
    costs("true || object.a.b == 1", 0);
    costs("object.text.startsWith('0')", 3);
    costs("object.text.matches('^[0-9]+$')", 2 + 2 * 2);
    costs("3 in object.list", 2 + 3);
    // The list; for each item the condition (name and call), the step (name, and the comparison of two).
    costs("object.list.all(x, x > 0)", 2 + 3 * (2 + 1 + 2) + 1);
    costs("object.list.map(x, x)", 2 + 10 + 3 * (1 + 10 + 1 + 1) + 1);
}

#[test]
fn nothing_goes_on_beyond_the_limit() {
    let text = "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, a + b + c > 0)))";
    let program = Program::compile(&env(), text).unwrap();
    let found = program.evaluate(&Scope::new(), 1_000);
    assert_eq!(found.value.unwrap_err(), Error::CostLimit);
    assert!(found.cost < 1_100);
    // What decides does not make up for it.
    let program = Program::compile(&env(), &format!("{text} || true")).unwrap();
    assert_eq!(program.evaluate(&Scope::new(), 1_000).value.unwrap_err(), Error::CostLimit);
}
