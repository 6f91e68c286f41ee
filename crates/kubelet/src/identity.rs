//! Who a container's process is: user, groups, capabilities. Pure, given the image's accounts.

use proto::core::v1::{Container, Pod, PodSecurityContext, SecurityContext};

use crate::images::Accounts;

/// The user and groups of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

/// The identity by the container's and pod's security context and the image's user.
pub fn identity(pod: &Pod, container: &Container, image_user: &str, accounts: &Accounts) -> Result<Identity, String> {
    let own = container.security_context.clone().unwrap_or_default();
    let shared = pod.spec.security_context.clone().unwrap_or_default();
    let wanted = own.run_as_user.or(shared.run_as_user);
    let (image_name, image_group) =
        image_user.split_once(':').map_or((image_user, None), |(user, group)| (user, Some(group)));
    let name = match wanted {
        Some(uid) => uid.to_string(),
        None if image_name.is_empty() => "0".into(),
        None => image_name.to_owned(),
    };
    let (uid, listed_gid) = accounts
        .user(&name)
        .ok_or_else(|| format!("unable to find user {name}: no matching entries in passwd file"))?;
    must_not_be_root(&own, &shared, container, wanted, image_name, uid)?;
    let gid = match (own.run_as_group.or(shared.run_as_group), image_group) {
        (Some(gid), _) => gid as u32,
        (None, Some(group)) if wanted.is_none() => accounts
            .group(group)
            .ok_or_else(|| format!("unable to find group {group}: no matching entries in group file"))?,
        _ => listed_gid,
    };
    let mut groups: Vec<u32> = Vec::new();
    if shared.supplemental_groups_policy.as_deref() != Some("Strict") {
        groups.extend(accounts.groups_of(uid));
    }
    groups.extend(shared.supplemental_groups.iter().map(|gid| *gid as u32));
    groups.extend(shared.fs_group.map(|gid| gid as u32));
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Identity { uid, gid, groups })
}

fn must_not_be_root(
    own: &SecurityContext,
    shared: &PodSecurityContext,
    container: &Container,
    wanted: Option<i64>,
    image_user: &str,
    uid: u32,
) -> Result<(), String> {
    if own.run_as_non_root.or(shared.run_as_non_root) != Some(true) {
        return Ok(());
    }
    let name = &container.name;
    match wanted {
        Some(0) => Err(format!("container's runAsUser breaks non-root policy (container: {name})")),
        Some(_) => Ok(()),
        None if !image_user.is_empty() && image_user.parse::<u32>().is_err() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({image_user}), cannot verify user is non-root (container: {name})"
        )),
        None if uid == 0 => Err(format!("container has runAsNonRoot and image will run as root (container: {name})")),
        None => Ok(()),
    }
}

/// Whether the container is privileged.
pub fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|context| context.privileged) == Some(true)
}

/// The capabilities of the container, limited to what this process may grant.
pub fn capabilities(container: &Container, grantable: &[String]) -> Vec<String> {
    let wanted =
        container.security_context.as_ref().and_then(|context| context.capabilities.clone()).unwrap_or_default();
    crate::runtime::spec::capabilities(&wanted.add, &wanted.drop, is_privileged(container), grantable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        set: impl FnOnce(&mut PodSecurityContext, &mut SecurityContext),
        image_user: &str,
    ) -> Result<Identity, String> {
        let (mut shared, mut own) = (PodSecurityContext::default(), SecurityContext::default());
        set(&mut shared, &mut own);
        let mut pod = Pod::default();
        pod.spec.security_context = Some(shared);
        let container = Container { name: "c".into(), security_context: Some(own), ..Container::default() };
        identity(&pod, &container, image_user, &Accounts::default())
    }

    #[test]
    fn the_container_wins_over_the_pod_and_the_pod_over_the_image() {
        let got = check(|shared, own| (shared.run_as_user, own.run_as_user) = (Some(1), Some(2)), "3").unwrap();
        assert_eq!(got.uid, 2);
        assert_eq!(check(|shared, _| shared.run_as_user = Some(1), "3").unwrap().uid, 1);
        assert_eq!(check(|_, _| {}, "3:4").unwrap(), Identity { uid: 3, gid: 4, groups: vec![4] });
    }

    #[test]
    fn groups_of_the_pod_are_added() {
        let got = check(|shared, _| (shared.fs_group, shared.supplemental_groups) = (Some(7), vec![9, 7]), "").unwrap();
        assert_eq!(got.groups, [0, 7, 9]);
    }

    #[test]
    fn root_is_refused_where_the_pod_says_so() {
        assert!(check(|shared, _| shared.run_as_non_root = Some(true), "").unwrap_err().contains("will run as root"));
        assert!(check(|shared, _| shared.run_as_non_root = Some(true), "1000").is_ok());
        assert!(check(|shared, _| shared.run_as_non_root = Some(true), "app").is_err());
    }
}
