//! Texts and trees that mean harm end, and soon.

use proptest::prelude::*;
use serde_json::json;

use crate::{Env, Program, Scope, Type, of_json};

fn env() -> Env {
    Env::new().with_bind().with("object", Type::Dyn).with("n", Type::Int).with("text", Type::String)
}

fn run(source: &str) {
    let object = json!({"a": [1, 2, {"b": "x"}], "s": "text", "m": {"k": null}, "n": 1.5});
    let Ok(program) = Program::compile(&env(), source) else { return };
    let scope = Scope::new()
        .with("object", of_json(&object, None))
        .with("n", crate::Value::Int(3))
        .with("text", crate::Value::text("one two"));
    let found = program.evaluate(&scope, 100_000);
    if let Ok(value) = found.value {
        drop(value.to_json());
    }
}

#[test]
fn deep_texts_end() {
    for (open, close) in
        [("(", ")"), ("!", ""), ("-", ""), ("[", "]"), ("{1:", "}"), ("has(", ")"), ("1+", ""), ("f(", ")")]
    {
        for count in [100, 240, 260, 400, 20_000] {
            run(&format!("{}1{}", open.repeat(count), close.repeat(count)));
        }
    }
    for part in [
        ".a",
        "[0]",
        ".?a",
        ".map(x, x)",
        ".optMap(x, x)",
        ".f()",
        " + 1",
        " == 1",
        " && true",
        " ? 1 : 1",
        ".sortBy(x, x)",
    ] {
        for count in [100, 390, 20_000] {
            run(&format!("object{}", part.repeat(count)));
        }
    }
    run(&"[[1]].map(x, ".repeat(200));
    run(&format!("{}1{}", "[1].map(x, ".repeat(90), ")".repeat(90)));
}

#[test]
fn what_grows_is_stopped() {
    let doubled = |count: usize| {
        let binds: String = (0..count).map(|at| format!("cel.bind(a{}, a{at} + a{at}, ", at + 1)).collect();
        format!("cel.bind(a0, [1, 2], {binds}size(a{count}) {})", ")".repeat(count))
    };
    run(&doubled(50));
    run(&doubled(50).replace("[1, 2]", "'ab'"));
    let nested: String = (0..60).map(|at| format!("cel.bind(a{}, [a{at}, a{at}], ", at + 1)).collect();
    run(&format!("cel.bind(a0, [1], {nested} a60 == a60 {})", ")".repeat(60)));
    run(&format!("cel.bind(a0, [1], {nested} a60 {})", ")".repeat(60)));
    run("lists.range(9223372036854775807)");
    run("'a'.replace('', 'b'.replace('', 'c'))");
    run("'%.1000000000f'.format([1.0])");
    run("'(((((((((a{100}){100}){100}){100}){100}){100}){100}){100}){100})'.matches('((((a{100}){100}){100}){100})')");
}

/// Expressions that follow the grammar, and few that have a meaning.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("object".to_owned()),
        Just("object.a".to_owned()),
        Just("n".to_owned()),
        Just("x".to_owned()),
        Just("text".to_owned()),
        Just("null".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("b'\\xff'".to_owned()),
        Just("duration('1h')".to_owned()),
        Just("timestamp('2020-01-01T00:00:00Z')".to_owned()),
        Just("9223372036854775807".to_owned()),
        Just("-9223372036854775808".to_owned()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| format!("{value}u")),
        any::<f64>().prop_map(|value| format!("double('{value}')")),
        "[a-z%.*(\\[ ]{0,6}".prop_map(|text| format!("{text:?}")),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let binary =
            prop::sample::select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in"]);
        let method = prop::sample::select(vec![
            "size",
            "min",
            "max",
            "sum",
            "isSorted",
            "sort",
            "distinct",
            "flatten",
            "reverse",
            "first",
            "last",
            "trim",
            "lowerAscii",
            "getHours",
            "getDate",
            "value",
            "hasValue",
            "unwrapOpt",
            "join",
            "ip",
            "masked",
        ]);
        let method1 = prop::sample::select(vec![
            "indexOf",
            "lastIndexOf",
            "split",
            "join",
            "charAt",
            "substring",
            "contains",
            "matches",
            "find",
            "findAll",
            "format",
            "flatten",
            "orValue",
            "or",
            "startsWith",
            "add",
            "containsIP",
            "getHours",
        ]);
        let method2 = prop::sample::select(vec!["replace", "split", "substring", "slice", "indexOf", "lastIndexOf"]);
        let function = prop::sample::select(vec![
            "dyn",
            "type",
            "int",
            "uint",
            "double",
            "string",
            "bytes",
            "bool",
            "duration",
            "timestamp",
            "quantity",
            "url",
            "ip",
            "cidr",
            "semver",
            "lists.range",
            "optional.of",
            "optional.ofNonZeroValue",
            "strings.quote",
            "optional.unwrap",
        ]);
        let walk = prop::sample::select(vec![
            "all",
            "exists",
            "exists_one",
            "map",
            "filter",
            "optMap",
            "optFlatMap",
            "sortBy",
        ]);
        let walk2 = prop::sample::select(vec![
            "all",
            "exists",
            "existsOne",
            "transformList",
            "transformMap",
            "transformMapEntry",
        ]);
        let dynamic = inner.clone().prop_map(|one| format!("dyn({one})"));
        let inner = prop_oneof![2 => inner, 3 => dynamic];
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            (inner.clone(), method).prop_map(|(a, name)| format!("{a}.{name}()")),
            (inner.clone(), method1, inner.clone()).prop_map(|(a, name, b)| format!("{a}.{name}({b})")),
            (inner.clone(), method2, inner.clone(), inner.clone())
                .prop_map(|(a, name, b, c)| format!("{a}.{name}({b}, {c})")),
            (function, inner.clone()).prop_map(|(name, a)| format!("{name}({a})")),
            (inner.clone(), walk, inner.clone()).prop_map(|(a, name, b)| format!("{a}.{name}(x, {b})")),
            (inner.clone(), walk2, inner.clone()).prop_map(|(a, name, b)| format!("{a}.{name}(x, y, {b})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[?{b}]")),
            inner.clone().prop_map(|a| format!("{a}.?b")),
            inner.clone().prop_map(|a| format!("has({a}.b)")),
            inner.prop_map(|a| format!("!{a}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn no_expression_panics(source in expression()) {
        run(&source);
    }
}

#[test]
fn damaged_texts_end() {
    let examples: &[&[u8]] = &[
        b"self.x > 0 && !has(self.y) || self.items.all(i, i.n in [1, 2u, 3.5e2])",
        b"{'a': [1, ?object.?b], 1u: r'\\d', true: b'\\x00\\377'}['a'][0].map(x, x > 1, x * 2) // why",
        b"object.?a.b[?0].orValue('''x\n''').matches(\"a+\") ? -1 : -0x1F",
        b"cel.bind(a, \"\\u00e9\\U0001F600\", a + `b`)",
        b"a.b.C{d: 1, ?`e-f`: 2}.transformMapEntry(k, v, {k: v})",
    ];
    testkit::fuzz::damaged(20_000, examples, |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            run(text);
        }
    });
}
