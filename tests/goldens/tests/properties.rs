//! Laws of the small languages: quantities, int-or-string, time, selectors.

use std::collections::BTreeMap;

use api::int_or_string;
use api::quantity::{Amount, canonical};
use api::selector::{fields, labels};
use proptest::prelude::*;
use proto::IntOrString;
use proto::time::{MicroTime, Time};

fn quantity() -> impl Strategy<Value = String> {
    let suffix = prop::sample::select(vec!["", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "e3", "e-3", "E2"]);
    ("-?[0-9]{1,6}(\\.[0-9]{0,4})?", suffix).prop_map(|(number, suffix)| format!("{number}{suffix}"))
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]([-a-z0-9]{0,6}[a-z0-9])?"
}

proptest! {
    #[test]
    fn a_canonical_quantity_is_its_own_canonical_form(text in quantity()) {
        let once = canonical(&text).expect("the strategy makes quantities");
        let twice = canonical(&once);
        prop_assert_eq!(twice, Ok(once));
    }

    #[test]
    fn a_canonical_quantity_is_the_same_amount(text in quantity()) {
        let amount: Amount = text.parse().expect("the strategy makes quantities");
        let again: Amount = amount.to_string().parse().expect("canonical forms are quantities");
        prop_assert_eq!(amount, again);
    }

    #[test]
    fn addition_and_subtraction_undo_each_other(a in quantity(), b in quantity(), c in quantity()) {
        let [a, b, c] = [a, b, c].map(|text| text.parse::<Amount>().expect("the strategy makes quantities"));
        prop_assert_eq!(a.add(&b), b.add(&a));
        prop_assert_eq!(a.add(&b).add(&c), a.add(&b.add(&c)));
        prop_assert_eq!(a.add(&b).sub(&b), a);
        prop_assert_eq!(a.cmp(&b), a.add(&c).cmp(&b.add(&c)));
    }

    #[test]
    fn a_value_is_never_less_than_the_amount(text in quantity()) {
        let amount: Amount = text.parse().expect("the strategy makes quantities");
        let whole = Amount::from_value(amount.value(), amount.format());
        let rounded_away = if amount.is_negative() { whole <= amount } else { whole >= amount };
        prop_assert!(rounded_away);
    }

    #[test]
    fn any_text_is_a_quantity_or_an_error(text in ".{0,24}") {
        let _ = canonical(&text);
    }

    #[test]
    fn served_json_is_safe_in_a_web_page_and_reads_back(text in "(?s)([<>&\"\\\\\u{2028}\u{2029}\u{20ac}\u{0}-\u{1f}]|.){0,40}", key in name()) {
        let mut map = proto::core::v1::ConfigMap::default();
        map.data.insert(key, text);
        let json = proto::json::to_string(&map);
        prop_assert!(!json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{}", json);
        prop_assert_eq!(proto::json::from_slice::<proto::core::v1::ConfigMap>(json.as_bytes()), Ok(map));
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON for other readers, too");
        prop_assert_eq!(value["kind"].as_str(), Some("ConfigMap"));
    }

    #[test]
    fn int_or_string_goes_through_json(number in any::<i32>(), text in "[a-z0-9%]{0,8}") {
        for value in [int_or_string::from_int(number), int_or_string::from_string(text.clone())] {
            let json = proto::json::to_vec(&value);
            prop_assert_eq!(proto::json::from_slice::<IntOrString>(&json), Ok(value));
        }
    }

    #[test]
    fn a_share_is_between_nothing_and_the_whole(percent in 0..=100_i32, total in 0..10_000_i32) {
        let share = int_or_string::from_string(format!("{percent}%"));
        let up = int_or_string::scaled(&share, total, true).expect("a percentage");
        let down = int_or_string::scaled(&share, total, false).expect("a percentage");
        prop_assert!(0 <= down && down <= up && up <= total && up - down <= 1);
    }

    #[test]
    fn a_time_is_read_as_it_was_written(seconds in 1..253_402_300_799_i64, micros in 0..1_000_000_i32) {
        let time = Time::from_unix(seconds);
        prop_assert_eq!(Time::parse(&time.to_string()), Some(time));
        let micro = MicroTime { seconds, nanos: micros * 1000 };
        prop_assert_eq!(MicroTime::parse(&micro.to_string()), Some(micro));
    }

    #[test]
    fn times_are_ordered_as_their_texts(a in 0..253_402_300_799_i64, b in 0..253_402_300_799_i64) {
        let (a, b) = (Time::from_unix(a), Time::from_unix(b));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn any_text_is_a_time_or_none(text in ".{0,40}") {
        let _ = (Time::parse(&text), MicroTime::parse(&text));
    }

    #[test]
    fn a_selector_of_an_objects_labels_selects_it(map in prop::collection::btree_map(name(), name(), 0..4)) {
        let selector = labels::Selector::from_map(&map);
        prop_assert!(selector.matches(&map));
        let again = labels::Selector::parse(&selector.to_string()).expect("a selector reads its own text");
        prop_assert_eq!(&again, &selector);
        prop_assert_eq!(selector.matches(&BTreeMap::new()), map.is_empty());
    }

    #[test]
    fn a_requirement_and_its_opposite_never_agree(key in name(), value in name(), map in prop::collection::btree_map(name(), name(), 0..4)) {
        for (yes, no) in [
            (format!("{key}={value}"), format!("{key}!={value}")),
            (format!("{key} in ({value})"), format!("{key} notin ({value})")),
            (key.clone(), format!("!{key}")),
        ] {
            let matches = |text: &str| labels::Selector::parse(text).expect("a selector").matches(&map);
            prop_assert_ne!(matches(&yes), matches(&no));
        }
    }

    #[test]
    fn a_field_selector_reads_its_own_text(field in "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}", value in "[a-z,=\\\\]{0,8}") {
        let escaped = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
        let selector = fields::Selector::parse(&format!("{field}={escaped}")).expect("a selector");
        prop_assert_eq!(selector.requirements()[0].value.as_str(), value.as_str());
        prop_assert_eq!(fields::Selector::parse(&selector.to_string()), Ok(selector));
    }
}
