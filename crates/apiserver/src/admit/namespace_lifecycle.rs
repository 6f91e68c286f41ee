//! NamespaceLifecycle: nothing is created in a namespace that does not exist or is being deleted.

use proto::dynamic::DynObject;

use super::{Request, View};
use crate::status::{Failure, Result, cause};

/// Reads the namespace and refuses a missing or ending one.
pub fn admit(request: Request<'_>, object: &mut dyn DynObject, view: &impl View) -> Result<()> {
    let name = &request.target.namespace;
    if !request.target.resource.row.namespaced {
        return Ok(());
    }
    let Some(namespace) = view.namespace(name) else {
        return Err(Failure::not_found("", "namespaces", name));
    };
    let ending = namespace.metadata.deletion_timestamp.is_some() || namespace.status.phase == "Terminating";
    if !ending {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let message = format!("namespace {name} is being terminated");
    let causes = vec![cause("NamespaceTerminating", "metadata.namespace", message)];
    Err(request.target.resource.forbidden(&object.metadata().name, &why).because(causes))
}
