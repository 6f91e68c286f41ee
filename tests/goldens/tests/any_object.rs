//! No object makes defaults, validation or warnings panic, whatever its fields hold, and defaults done twice change
//! nothing.
//!
//! Objects of every kind are filled at random from words that rules know, words that they refuse, and numbers at the
//! ends of their range. A run is the same each time: `KEELSON_FUZZ_CASES` makes it longer.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use proto::dynamic::{DynObject, KindInfo, kinds};
use proto::reflect::{Mut, Reflect};

/// Messages within messages.
const DEPTH_MAX: usize = 9;
const WORDS: &[&str] = &[
    "",
    "a",
    "b",
    "A_b",
    "a.b",
    "example.com/a",
    "a/b/c",
    "é",
    "50%",
    "101%",
    "*",
    "*/*",
    "pods/*",
    "In",
    "NotIn",
    "Exists",
    "Always",
    "Never",
    "OnFailure",
    "Indexed",
    "NonIndexed",
    "RollingUpdate",
    "OnDelete",
    "Parallel",
    "Limited",
    "Exempt",
    "Queue",
    "Reject",
    "Webhook",
    "Namespaced",
    "Cluster",
    "Namespace",
    "User",
    "Group",
    "ServiceAccount",
    "Resource",
    "Pods",
    "Object",
    "Utilization",
    "Fail",
    "Deny",
    "Warn",
    "JSONPatch",
    "ApplyConfiguration",
    "All",
    "ExactCount",
    "object",
    "array",
    "string",
    "integer",
    "map",
    "set",
    "exempt",
    "cpu",
    "memory",
    "storage",
    "1",
    "-1",
    "1Gi",
    "0.1",
    "10.0.0.1",
    "10.0.0.0/8",
    "::1",
    "::/0",
    "0,2-4",
    "4-1",
    "-",
    "--",
    "..",
    "/",
    "//",
    "a[",
    ".spec.x",
    "(",
    "[a-z]+",
    "self.a == 1",
    "self.",
    "1 +",
    "'",
    "\"\\",
    "@every 1h",
    "* * * * *",
    "*/0 1-",
    "Local",
    "Europe/Zurich",
    "https://a.b/c",
    "https://",
    "http://u@h?q#f",
    "-----BEGIN CERTIFICATE REQUEST-----",
    "\n",
    "TCP",
    "Prefix",
    "Exact",
    "foo.k8s.io",
    "v1",
    "v1beta1",
    "ClientIP",
    "LoadBalancer",
    "ExternalName",
    "None",
    "Local",
    "kubernetes.io/tls",
];
const NUMBERS: &[i64] =
    &[0, 1, -1, 2, 7, 80, 255, 600, 65_535, 65_536, 100_001, i32::MAX as i64, i32::MIN as i64, i64::MAX, i64::MIN];

/// Numbers in a row that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn word(&mut self) -> String {
        match self.throw(40) {
            0 => "x".repeat(300),
            _ => WORDS[self.throw(WORDS.len())].to_owned(),
        }
    }

    fn number(&mut self) -> i64 {
        NUMBERS[self.throw(NUMBERS.len())]
    }
}

fn fill(message: &mut dyn Reflect, dice: &mut Dice, depth: usize) {
    for index in 0..message.message().fields.len() {
        // Half of the fields deep down, more at the top.
        if dice.throw(4) <= depth.min(2) && depth > 0 {
            continue;
        }
        value(message.get_mut(index), dice, depth);
    }
}

fn value(value: Mut<'_>, dice: &mut Dice, depth: usize) {
    match value {
        Mut::Bool(flag) => *flag = dice.throw(2) == 0,
        Mut::Int32(number) => *number = dice.number() as i32,
        Mut::Int64(number) => *number = dice.number(),
        Mut::Double(number) => *number = dice.number() as f64 / 3.0,
        Mut::String(text) => *text = dice.word(),
        Mut::Bytes(bytes) => *bytes = dice.word().into_bytes(),
        _ if depth >= DEPTH_MAX => {}
        Mut::Pointer(pointer) => self::value(pointer.set(), dice, depth),
        Mut::Message(message) => fill(message, dice, depth + 1),
        Mut::List(list) => {
            for _ in 0..dice.throw(3) {
                self::value(list.push(), dice, depth);
            }
        }
        Mut::Map(map) => {
            for _ in 0..dice.throw(3) {
                self::value(map.entry_mut(dice.word()), dice, depth);
            }
        }
    }
}

fn made(kind: &'static KindInfo, dice: &mut Dice) -> Box<dyn DynObject> {
    let mut object = kind.new_object();
    fill(object.as_reflect_mut(), dice, 0);
    api::default::apply(object.as_mut());
    object
}

fn cases() -> u32 {
    std::env::var("KEELSON_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), rng_seed: RngSeed::Fixed(1), ..Default::default() })]

    #[test]
    fn any_object_is_judged(seed in 1..u64::MAX) {
        let mut dice = Dice(seed);
        for kind in kinds() {
            let (mut new, mut old) = (made(kind, &mut dice), made(kind, &mut dice));
            let mut again = new.clone();
            api::default::apply(again.as_mut());
            prop_assert!(again.equals(new.as_ref()), "defaults of {} done twice change it", kind.kind);
            api::prepare::create(old.as_mut());
            let _ = api::validate::create(old.as_ref());
            let told = api::warn::on_create(old.as_ref());
            prop_assert!(told.iter().all(|text| !text.is_empty()), "{}: {told:?}", kind.kind);
            let _ = api::warn::on_update(new.as_ref(), old.as_ref());
            api::prepare::update(new.as_mut(), old.as_ref());
            let _ = api::validate::update(new.as_ref(), old.as_ref());
            let _ = api::validate::update_status(new.as_ref(), old.as_ref());
            let unchanged = api::validate::update(old.as_ref(), old.as_ref());
            let immutable = unchanged.iter().find(|error| error.detail == "field is immutable");
            prop_assert!(immutable.is_none(), "{} unchanged: {immutable:?}", kind.kind);
        }
    }
}
