//! Questions to the authorizer: what may the user of a request, or a service account, do?

use super::prelude::*;
use crate::value::{Builder, Decision, Text};

pub const ROWS: &[Row] = &[
    row!("serviceAccount", "Authorizer.(string, string) -> Authorizer", Step, |_, args| {
        build(args, Host::Authorizer, |builder, texts| {
            builder.access.service_account = Some((texts[0].to_string(), texts[1].to_string()));
        })
    }),
    row!("path", "Authorizer.(string) -> PathCheck", Step, |_, args| {
        build(args, Host::PathCheck, |builder, texts| builder.access.path = Some(texts[0].to_string()))
    }),
    row!("group", "Authorizer.(string) -> GroupCheck", Step, |_, args| {
        build(args, Host::GroupCheck, |builder, texts| builder.access.group = texts[0].to_string())
    }),
    row!("resource", "GroupCheck.(string) -> ResourceCheck", Step, |_, args| {
        build(args, Host::ResourceCheck, |builder, texts| builder.access.resource = texts[0].to_string())
    }),
    row!("subresource", "ResourceCheck.(string) -> ResourceCheck", Step, |_, args| {
        build(args, Host::ResourceCheck, |builder, texts| builder.access.subresource = texts[0].to_string())
    }),
    row!("namespace", "ResourceCheck.(string) -> ResourceCheck", Step, |_, args| {
        build(args, Host::ResourceCheck, |builder, texts| builder.access.namespace = texts[0].to_string())
    }),
    row!("name", "ResourceCheck.(string) -> ResourceCheck", Step, |_, args| {
        build(args, Host::ResourceCheck, |builder, texts| builder.access.name = texts[0].to_string())
    }),
    row!("fieldSelector", "ResourceCheck.(string) -> ResourceCheck", Step, |_, args| {
        build(args, Host::ResourceCheck, |builder, texts| builder.access.field_selector = texts[0].to_string())
    }),
    row!("labelSelector", "ResourceCheck.(string) -> ResourceCheck", Step, |_, args| {
        build(args, Host::ResourceCheck, |builder, texts| builder.access.label_selector = texts[0].to_string())
    }),
    row!("check", "PathCheck.(string) -> Decision | ResourceCheck.(string) -> Decision", Check, check),
    row!("allowed", "Decision.() -> bool", Step, |_, args| answer(args, |found| Value::Bool(found.allowed))),
    row!("reason", "Decision.() -> string", Step, |_, args| answer(args, |found| Value::text(found.reason.clone()))),
    row!("errored", "Decision.() -> bool", Step, |_, args| answer(args, |found| Value::Bool(found.error.is_some()))),
    row!("error", "Decision.() -> string", Step, |_, args| {
        answer(args, |found| Value::text(found.error.clone().unwrap_or_default()))
    }),
];

fn builder<'v, 'a>(value: &'v Value<'a>) -> Option<&'v Builder<'a>> {
    match value {
        Value::Host(host) => match &**host {
            Host::Authorizer(builder)
            | Host::PathCheck(builder)
            | Host::GroupCheck(builder)
            | Host::ResourceCheck(builder) => Some(builder),
            _ => None,
        },
        _ => None,
    }
}

fn build<'a>(
    args: &[Value<'a>],
    into: fn(Builder<'a>) -> Host<'a>,
    set: fn(&mut Builder<'a>, &[Text<'a>]),
) -> Outcome<'a> {
    let Some((first, rest)) = args.split_first() else { return Err(Error::NoOverload) };
    let mut builder = builder(first).ok_or(Error::NoOverload)?.clone();
    let mut texts = Vec::with_capacity(rest.len());
    for value in rest {
        match value {
            Value::String(text) => texts.push(text.clone()),
            _ => return Err(Error::NoOverload),
        }
    }
    set(&mut builder, &texts);
    Ok(Value::host(into(builder)))
}

fn check<'a>(_: &mut Vm<'a, '_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [question, Value::String(verb)] = args else { return Err(Error::NoOverload) };
    let Builder { authorizer, access } = builder(question).ok_or(Error::NoOverload)?;
    let mut access = access.clone();
    access.verb = verb.to_string();
    Ok(Value::host(Host::Decision(authorizer.check(&access))))
}

fn answer<'a>(args: &[Value<'a>], then: fn(&Decision) -> Value<'static>) -> Outcome<'a> {
    match args {
        [Value::Host(host)] => match &**host {
            Host::Decision(decision) => Ok(then(decision)),
            _ => Err(Error::NoOverload),
        },
        _ => Err(Error::NoOverload),
    }
}
