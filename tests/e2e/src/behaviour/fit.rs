//! Fits a recording to the node of the tests: amounts of CPU that were chosen by the size of the recorded node.
//!
//! Less than one CPU is an amount of its own and stays. A whole one or more stands for a part of the node, or for more than
//! it has: half of it and some, so that two pods do not fit; fifty times as much, so that none does.

use proto::Quantity;
use serde_json::Value;

/// What pods could have of the recorded node, in thousandths of a CPU.
const RECORDED_CPU_M: i64 = 2000;
/// From here on, an amount is a part of the node.
const PART_CPU_M: i64 = 1000;

/// Changes every amount of CPU in `value` to the same part of a node that gives `cpu_m` thousandths of one.
pub fn fit(value: &mut Value, cpu_m: i64) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| fit(item, cpu_m)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str().filter(|_| name == "cpu").map(|amount| fitted(amount, cpu_m)) {
                    Some(amount) => *field = amount.into(),
                    None => fit(field, cpu_m),
                }
            }
        }
        _ => {}
    }
}

/// As the API writes it.
fn fitted(amount: &str, cpu_m: i64) -> String {
    let recorded = Quantity { string: amount.to_owned() }.amount().milli();
    if recorded < PART_CPU_M {
        return amount.to_owned();
    }
    match recorded * cpu_m / RECORDED_CPU_M {
        whole if whole % 1000 == 0 => (whole / 1000).to_string(),
        part => format!("{part}m"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(amount: &str, cpu_m: i64, expect: &str) {
        let mut value = json!({"spec": {"containers": [{"name": "cpu", "resources": {"requests": {"cpu": amount}}}]}});
        fit(&mut value, cpu_m);
        let container = &value["spec"]["containers"][0];
        assert_eq!((&container["name"], &container["resources"]["requests"]["cpu"]), (&json!("cpu"), &json!(expect)));
    }

    #[test]
    fn parts_of_the_recorded_node_become_the_same_parts_of_another() {
        check("1200m", 2000, "1200m");
        check("1200m", 8000, "4800m");
        check("1200m", 1000, "600m");
        check("50", 4000, "100");
    }

    #[test]
    fn small_amounts_stay() {
        check("100m", 8000, "100m");
        check("999m", 1000, "999m");
    }
}
