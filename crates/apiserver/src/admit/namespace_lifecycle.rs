//! NamespaceLifecycle: nothing is created in a namespace that does not exist or is being deleted, and the namespaces
//! that a cluster cannot do without are not deleted.

use proto::dynamic::DynObject;

use super::{Request, Target, View};
use crate::status::{Failure, Result, cause};

/// Upstream's list: `kube-node-lease` is not among them.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Refuses the deletion of a namespace that a cluster cannot do without.
pub fn admit_delete(target: &Target) -> Result<()> {
    let row = target.resource.row;
    if row.group.is_empty() && row.plural == "namespaces" && IMMORTAL.contains(&target.name.as_str()) {
        return Err(target.resource.forbidden(&target.name, "this namespace may not be deleted"));
    }
    Ok(())
}

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
