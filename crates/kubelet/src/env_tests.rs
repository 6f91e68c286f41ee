//! What a container's environment is made of: literals, references, Service variables, expansion.

use super::*;
use proto::core::v1::{EnvVar, ObjectFieldSelector, ServicePort};

fn place() -> Place {
    Place {
        node_name: "node-1".into(),
        host_ip: "192.0.2.1".parse().unwrap(),
        pod_ip: Some("10.244.0.2".parse().unwrap()),
        allocatable: BTreeMap::from([("cpu".into(), 2000), ("memory".into(), 1 << 30)]),
    }
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.into(), value: value.into(), value_from: None }
}

#[test]
fn known_names_are_expanded_and_others_stay() {
    let env = [("A".to_owned(), "1".to_owned())];
    for (text, expect) in
        [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"), ("$A $(A", "$A $(A"), ("end$", "end$")]
    {
        assert_eq!(expand(text, &env), expect, "{text}");
    }
}

#[test]
fn later_variables_see_earlier_ones() {
    let container = Container {
        env: vec![variable("A", "1"), variable("B", "$(A)2"), variable("A", "$(B)3")],
        ..Container::default()
    };
    let env = environment(&Pod::default(), &container, &Referred::default(), &place()).unwrap();
    assert_eq!(env, [("A".to_owned(), "123".to_owned()), ("B".to_owned(), "12".to_owned())]);
}

#[test]
fn fields_of_the_pod_are_values() {
    let mut pod = Pod::default();
    pod.metadata.labels.insert("a".into(), "x\"y".into());
    assert_eq!(field_value(&pod, "metadata.labels", &place()).unwrap(), "a=\"x\\\"y\"");
    assert_eq!(field_value(&pod, "metadata.labels['a']", &place()).unwrap(), "x\"y");
    assert_eq!(field_value(&pod, "status.podIP", &place()).unwrap(), "10.244.0.2");
    assert!(field_value(&pod, "spec.containers", &place()).is_err());
    let container = Container {
        env: vec![EnvVar {
            name: "IP".into(),
            value: String::new(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector { api_version: "v1".into(), field_path: "status.hostIP".into() }),
                ..EnvVarSource::default()
            }),
        }],
        ..Container::default()
    };
    let env = environment(&pod, &container, &Referred::default(), &place()).unwrap();
    assert_eq!(env, [("IP".to_owned(), "192.0.2.1".to_owned())]);
}

#[test]
fn a_missing_config_map_names_itself() {
    let mut container = Container::default();
    container.env_from.push(proto::core::v1::EnvFromSource {
        config_map_ref: Some(proto::core::v1::ConfigMapEnvSource {
            local_object_reference: proto::core::v1::LocalObjectReference { name: "cm".into() },
            optional: None,
        }),
        ..Default::default()
    });
    assert_eq!(references(&container).0, ["cm"]);
    let error = environment(&Pod::default(), &container, &Referred::default(), &place()).unwrap_err();
    assert_eq!(error, "configmap \"cm\" not found");
}

#[test]
fn services_of_the_namespace_become_variables() {
    let mut service = Service::default();
    service.metadata.namespace = "n".into();
    service.metadata.name = "my-db".into();
    service.spec.cluster_ip = "10.96.0.9".into();
    service.spec.ports = vec![ServicePort { name: "sql".into(), port: 5432, ..ServicePort::default() }];
    let mut pod = Pod::default();
    pod.metadata.namespace = "n".into();
    let got: BTreeMap<_, _> = service_variables(&pod, &[Arc::new(service.clone())]).into_iter().collect();
    assert_eq!(got["MY_DB_SERVICE_HOST"], "10.96.0.9");
    assert_eq!(got["MY_DB_SERVICE_PORT_SQL"], "5432");
    assert_eq!(got["MY_DB_PORT_5432_TCP"], "tcp://10.96.0.9:5432");
    pod.spec.enable_service_links = Some(false);
    assert!(service_variables(&pod, &[Arc::new(service)]).is_empty());
}

#[test]
fn the_spec_wins_over_the_image() {
    let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    for (command, args, expect) in [
        (vec![], vec![], vec!["e", "c"]),
        (vec![], vec!["a"], vec!["e", "a"]),
        (vec!["x"], vec![], vec!["x"]),
        (vec!["x"], vec!["a"], vec!["x", "a"]),
    ] {
        let container = Container { command: own(&command), args: own(&args), ..Container::default() };
        assert_eq!(arguments(&container, &own(&["e"]), &own(&["c"]), &[]), expect);
    }
}
