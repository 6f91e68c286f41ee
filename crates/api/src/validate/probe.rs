//! Validation of probes and lifecycle hooks.

#![allow(deprecated, reason = "deprecated fields are judged too")]

use proto::core::v1::{
    Container, ExecAction, GrpcAction, HttpGetAction, Lifecycle, LifecycleHandler, Probe, TcpSocketAction,
};

use super::check::{Errors, not_negative, one_of, port, port_or_name, required};
use super::{FieldError, Path};

/// A container's three probes.
pub fn probes(errors: &mut Errors, path: Path<'_>, container: &Container) {
    if let Some(probe) = &container.liveness_probe {
        once(errors, path.child("livenessProbe"), probe);
    }
    if let Some(probe) = &container.readiness_probe {
        let path = path.child("readinessProbe");
        self::probe(errors, path, probe);
        if probe.termination_grace_period_seconds.is_some() {
            let why = "must not be set for readinessProbes";
            errors.push(FieldError::invalid(path.child("terminationGracePeriodSeconds"), "", why));
        }
    }
    if let Some(probe) = &container.startup_probe {
        once(errors, path.child("startupProbe"), probe);
    }
}

/// A probe for which one success is enough.
fn once(errors: &mut Errors, path: Path<'_>, probe: &Probe) {
    self::probe(errors, path, probe);
    if probe.success_threshold != 1 {
        errors.push(FieldError::invalid(path.child("successThreshold"), probe.success_threshold, "must be 1"));
    }
    if let Some(grace) = probe.termination_grace_period_seconds
        && grace <= 0
    {
        let why = "must be greater than 0";
        errors.push(FieldError::invalid(path.child("terminationGracePeriodSeconds"), grace, why));
    }
}

fn probe(errors: &mut Errors, path: Path<'_>, probe: &Probe) {
    let handler = &probe.handler;
    let actions = [
        ("exec", handler.exec.is_some()),
        ("httpGet", handler.http_get.is_some()),
        ("tcpSocket", handler.tcp_socket.is_some()),
        ("grpc", handler.grpc.is_some()),
    ];
    only_one(errors, path, &actions);
    if let Some(action) = &handler.exec {
        exec(errors, path.child("exec"), action);
    }
    if let Some(action) = &handler.http_get {
        http(errors, path.child("httpGet"), action);
    }
    if let Some(action) = &handler.tcp_socket {
        tcp(errors, path.child("tcpSocket"), action);
    }
    if let Some(action) = &handler.grpc {
        grpc(errors, path.child("grpc"), action);
    }
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        not_negative(errors, path.child(field), i64::from(value));
    }
}

/// Exactly one of several actions.
fn only_one(errors: &mut Errors, path: Path<'_>, actions: &[(&str, bool)]) {
    let mut given = actions.iter().filter(|(_, set)| *set);
    if given.next().is_none() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
    for (field, _) in given {
        errors.push(FieldError::forbidden(path.child(field), "may not specify more than 1 handler type"));
    }
}

fn exec(errors: &mut Errors, path: Path<'_>, action: &ExecAction) {
    if action.command.is_empty() {
        errors.push(FieldError::required(path.child("command"), ""));
    }
}

fn http(errors: &mut Errors, path: Path<'_>, action: &HttpGetAction) {
    required(errors, path.child("path"), &action.path);
    port_or_name(errors, path.child("port"), &action.port);
    one_of(errors, path.child("scheme"), &action.scheme, &["HTTP", "HTTPS"]);
    for header in &action.http_headers {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if header.name.is_empty() || !header.name.bytes().all(allowed) {
            let why = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
            errors.push(FieldError::invalid(path.child("httpHeaders"), &header.name, why));
        }
    }
}

fn tcp(errors: &mut Errors, path: Path<'_>, action: &TcpSocketAction) {
    port_or_name(errors, path.child("port"), &action.port);
}

fn grpc(errors: &mut Errors, path: Path<'_>, action: &GrpcAction) {
    port(errors, path.child("port"), action.port);
}

/// What runs after a container's start and before its end.
pub fn lifecycle(errors: &mut Errors, path: Path<'_>, lifecycle: &Lifecycle, grace_seconds: i64) {
    if let Some(handler) = &lifecycle.post_start {
        self::handler(errors, path.child("postStart"), handler, grace_seconds);
    }
    if let Some(handler) = &lifecycle.pre_stop {
        self::handler(errors, path.child("preStop"), handler, grace_seconds);
    }
}

fn handler(errors: &mut Errors, path: Path<'_>, handler: &LifecycleHandler, grace_seconds: i64) {
    let actions = [
        ("exec", handler.exec.is_some()),
        ("httpGet", handler.http_get.is_some()),
        ("tcpSocket", handler.tcp_socket.is_some()),
        ("sleep", handler.sleep.is_some()),
    ];
    only_one(errors, path, &actions);
    if let Some(action) = &handler.exec {
        exec(errors, path.child("exec"), action);
    }
    if let Some(action) = &handler.http_get {
        http(errors, path.child("httpGet"), action);
    }
    if let Some(action) = &handler.tcp_socket {
        tcp(errors, path.child("tcpSocket"), action);
    }
    if let Some(action) = &handler.sleep
        && !(0..=grace_seconds).contains(&action.seconds)
    {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})");
        errors.push(FieldError::invalid(path.child("sleep"), action.seconds, why));
    }
}
