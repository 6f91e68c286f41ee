//! Clients as others build them, on a whole cluster: kubectl, helm, and programs of Python, JavaScript and kube-rs.

mod access;
mod helm;
mod kubectl;
mod languages;
mod objects;
mod streams;
mod workloads;

use std::process::ExitCode;

use test_e2e::World;

fn main() -> ExitCode {
    test_e2e::run(
        || World::start("clients", |_| {}),
        &[
            ("what_is_served_is_told", objects::what_is_served_is_told),
            ("objects_are_read_in_every_form", objects::objects_are_read_in_every_form),
            ("objects_are_written_in_every_way", objects::objects_are_written_in_every_way),
            ("objects_are_made_of_arguments", objects::objects_are_made_of_arguments),
            ("objects_are_replaced_by_force", objects::objects_are_replaced_by_force),
            ("owners_of_fields_are_respected", objects::owners_of_fields_are_respected),
            ("workloads_are_rolled_out", workloads::workloads_are_rolled_out),
            ("nodes_are_kept", workloads::nodes_are_kept),
            ("streams_reach_containers", streams::streams_reach_containers),
            ("running_containers_are_attached_to", streams::running_containers_are_attached_to),
            ("containers_are_debugged", streams::containers_are_debugged),
            ("ports_are_forwarded", streams::ports_are_forwarded),
            ("the_api_is_proxied", streams::the_api_is_proxied),
            ("access_is_told_and_given", access::access_is_told_and_given),
            ("rules_are_reconciled", access::rules_are_reconciled),
            ("helm_manages_a_release", helm::helm_manages_a_release),
            ("helm_brings_kinds_along", helm::helm_brings_kinds_along),
            ("every_kubectl_works", languages::every_kubectl_works),
            ("python_programs_run", languages::python_programs_run),
            ("javascript_programs_run", languages::javascript_programs_run),
            ("kube_rs_watches", languages::kube_rs_watches),
            ("kube_rs_reaches_containers", languages::kube_rs_reaches_containers),
            ("kube_rs_applies", languages::kube_rs_applies),
            ("kube_rs_controls_a_kind_of_its_own", languages::kube_rs_controls_a_kind_of_its_own),
        ],
    )
}
