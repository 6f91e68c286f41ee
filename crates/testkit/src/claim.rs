//! Whose a machine's pod network is.
//!
//! The bridge, the pods' links and the nftables tables bear the same names in every cluster, so one network (the host's, or a
//! network namespace) has room for one node. A file below /run says which cluster has it; it is gone after a reboot, as
//! the network is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::leftovers;
use crate::pki::write_whole;

/// Where claims lie.
const FOLDER: &str = "/run/keelson/network";
/// The claim of the host's own network.
const HOST: &str = "@host";

fn file(network: Option<&str>) -> PathBuf {
    Path::new(FOLDER).join(network.unwrap_or(HOST))
}

/// The directory of the cluster that has a network.
pub fn owner(network: Option<&str>) -> Option<PathBuf> {
    fs::read_to_string(file(network)).ok().map(|text| PathBuf::from(text.trim_end_matches('\n')))
}

/// The networks that the cluster in `dir` has; `None` is the host's.
pub fn networks(dir: &Path) -> Vec<Option<String>> {
    let names =
        fs::read_dir(FOLDER).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let networks = names.map(|name| (name != HOST).then_some(name));
    networks.filter(|network| owner(network.as_deref()).as_deref() == Some(dir)).collect()
}

/// Fails if a cluster that lives has the network; gives the directory of a dead one that had it.
pub fn check(network: Option<&str>, dir: &Path) -> Result<Option<PathBuf>> {
    let Some(owner) = owner(network).filter(|owner| owner != dir) else { return Ok(None) };
    if !leftovers::processes(&owner).is_empty() {
        bail!(
            "the cluster in {0} runs its pods in this network, which has room for one node: stop it \
             (`cargo xtask down --dir {0}`), or give this one a network namespace of its own (`ip netns add NAME`, --netns NAME)",
            owner.display()
        );
    }
    Ok(Some(owner))
}

/// Takes a network for the cluster in `dir`; what a dead cluster left in it is removed.
pub fn take(network: Option<&str>, dir: &Path) -> Result<()> {
    if check(network, dir)?.is_some() {
        leftovers::remove_network(network)?;
    }
    if owner(network).as_deref() == Some(dir) {
        return Ok(());
    }
    fs::create_dir_all(FOLDER).with_context(|| format!("creating {FOLDER}"))?;
    write_whole(&file(network), format!("{}\n", dir.display()).as_bytes(), 0o644)
}

/// Gives up the networks of the cluster in `dir`.
pub fn release(dir: &Path) {
    for network in networks(dir) {
        let _ = fs::remove_file(file(network.as_deref()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_one_owner_until_it_is_released() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = format!("keelson-claim-{}", std::process::id());
        take(Some(&name), one.path()).unwrap();
        assert_eq!(networks(one.path()), [Some(name.clone())]);
        // Nothing of the first cluster lives, so the second may have it.
        assert_eq!(check(Some(&name), two.path()).unwrap().as_deref(), Some(one.path()));
        release(two.path());
        assert_eq!(owner(Some(&name)).as_deref(), Some(one.path()));
        release(one.path());
        assert_eq!(owner(Some(&name)), None);
    }
}
