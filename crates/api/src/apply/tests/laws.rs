//! Laws that hold for any objects and managers.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proto::core::v1::Service;

use super::*;

/// A configuration of a Service: labels, ports (map-like), finalizers (a set) and a selector (atomic).
fn config() -> impl Strategy<Value = Value> {
    let word = || "[pqr]";
    let labels = btree_map(word(), "[xy]", 0..3);
    let ports = btree_map((1..4_i32, prop_oneof![Just("TCP"), Just("UDP")]), "[pq]", 0..3);
    let finalizers = proptest::collection::btree_set("[fg]", 0..2);
    let selector = btree_map(word(), "[xy]", 0..2);
    (labels, ports, finalizers, selector, proptest::option::of("[mn]")).prop_map(
        |(labels, ports, finalizers, selector, name)| {
            let ports: Vec<Value> = ports
                .into_iter()
                .map(|((port, protocol), name)| json!({"port": port, "protocol": protocol, "name": name}))
                .collect();
            let mut spec = json!({"ports": ports, "selector": selector});
            if let Some(name) = name {
                spec["externalName"] = name.into();
            }
            json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "s", "labels": labels, "finalizers": finalizers}, "spec": spec})
        },
    )
}

/// What happens to an object: somebody applies by force, or updates.
fn steps() -> impl Strategy<Value = Vec<(bool, &'static str, Value)>> {
    vec((any::<bool>(), prop_oneof![Just("a"), Just("b"), Just("c")], config()), 1..6)
}

fn run(steps: &[(bool, &'static str, Value)]) -> Option<Box<dyn DynObject>> {
    let mut live: Option<Box<dyn DynObject>> = None;
    for (applies, manager, json) in steps {
        live = Some(match applies {
            true => apply::<Service>(live.as_deref(), manager, json, true).expect("forced"),
            false => update::<Service>(live.as_deref(), manager, json),
        });
    }
    live
}

fn owners(object: &dyn DynObject) -> Owners {
    Owners::decode(&object.metadata().managed_fields).expect("what we write can be read")
}

/// The object's JSON without its owners.
fn content(object: &dyn DynObject) -> Value {
    let mut json = proto::json::dyn_to_value(object.as_reflect());
    json["metadata"].as_object_mut().map(|meta| meta.remove("managedFields"));
    json
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn applying_twice_changes_nothing(steps in steps(), json in config()) {
        let live = run(&steps);
        let once = apply::<Service>(live.as_deref(), "a", &json, true).expect("forced");
        let twice = apply::<Service>(Some(once.as_ref()), "a", &json, false).expect("no conflict with what was forced");
        prop_assert!(once.equals(twice.as_ref()), "{} became {}", content(once.as_ref()), content(twice.as_ref()));
    }

    #[test]
    fn an_applier_owns_what_it_gives_and_the_object_has_it(steps in steps(), json in config()) {
        let live = run(&steps);
        let object = apply::<Service>(live.as_deref(), "a", &json, true).expect("forced");
        let shape = shape::Shape::of_message(Service::kind_info().message);
        let given = owned(field_set::field_set(shape, &json));
        let owners = owners(object.as_ref());
        let own = owners.iter().find(|owner| owner.manager == "a" && owner.operation == Operation::Apply);
        let own = own.map(|owner| owner.set().clone()).unwrap_or_default();
        prop_assert_eq!(&own, &given);
        // To lay it over once more changes nothing but the order of what JSON does not order.
        let merged = merge::merge(shape, content(object.as_ref()), &json);
        let mut again = Service::kind_info().new_object();
        proto::json::value_into(merged, again.as_reflect_mut()).expect("an object");
        prop_assert_eq!(content(again.as_ref()), content(object.as_ref()));
    }

    #[test]
    fn nobody_owns_what_is_not_there(steps in steps()) {
        let object = run(&steps).expect("an object");
        let shape = shape::Shape::of_message(Service::kind_info().message);
        let there = field_set::field_set(shape, &content(object.as_ref())).with_named_fields();
        for owner in owners(object.as_ref()).iter().filter(|owner| owner.operation == Operation::Update) {
            let ghosts = owner.set().minus(&there);
            prop_assert!(ghosts.is_empty(), "{} owns {ghosts} of {}", owner.manager, content(object.as_ref()));
        }
    }

    #[test]
    fn an_update_leaves_one_owner_of_what_it_changes(steps in steps(), json in config()) {
        let live = run(&steps).expect("an object");
        let object = update::<Service>(Some(live.as_ref()), "u", &json);
        let owners = owners(object.as_ref());
        let Some(own) = owners.iter().find(|owner| owner.manager == "u") else { return Ok(()) };
        for other in owners.iter().filter(|owner| owner.manager != "u") {
            let both = other.set().common(own.set());
            prop_assert!(both.is_empty(), "{} and u both own {both}", other.manager);
        }
    }

    #[test]
    fn sets_are_sets(left in config(), right in config()) {
        let shape = shape::Shape::of_message(Service::kind_info().message);
        let (left, right) = (field_set::field_set(shape, &left), field_set::field_set(shape, &right));
        let paths = |set: &Set| set.paths().into_iter().map(|path| (path, ())).collect::<BTreeMap<_, _>>();
        let (mut union, both) = (left.clone(), left.common(&right));
        union.add(right.clone());
        let mut all = paths(&left);
        all.extend(paths(&right));
        prop_assert_eq!(paths(&union), all);
        prop_assert_eq!(paths(&both), paths(&left).into_iter().filter(|(path, ())| paths(&right).contains_key(path)).collect());
        prop_assert_eq!(left.minus(&right), left.minus(&both));
        let again = fields_v1::decode(&fields_v1::encode(&union));
        prop_assert_eq!(again.as_ref(), Ok(&union));
    }
}
