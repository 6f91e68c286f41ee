//! Ids of members and clusters, the same numbers that etcd makes of the same flags.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// A member of the first start has no `salt`; one that is added later has, so that nobody ever gets an id again.
pub fn member(peer_urls: &[String], token: &str, salt: Option<u64>) -> u64 {
    let mut urls = peer_urls.to_vec();
    urls.sort();
    let mut text = urls.concat();
    text.push_str(token);
    if let Some(salt) = salt {
        text.push_str(&salt.to_string());
    }
    number(text.as_bytes())
}

/// `members`: the ids of the first start.
pub fn cluster(members: impl Iterator<Item = u64>) -> u64 {
    let mut ids: Vec<u64> = members.collect();
    ids.sort_unstable();
    let bytes: Vec<u8> = ids.into_iter().flat_map(u64::to_be_bytes).collect();
    number(&bytes)
}

/// What a restored cluster calls itself beside its ids, which may be those of the cluster that the backup came from. The
/// same on every member that restores the same backup, and never 0.
pub fn epoch(revision: i64, compacted: i64) -> u64 {
    number(&[revision.to_be_bytes(), compacted.to_be_bytes()].concat())
}

fn number(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref()[..8]);
    // 0 stands for "none" in many places.
    u64::from_be_bytes(first).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_etcd_gives() {
        let id = member(&["http://localhost:2380".to_owned()], "etcd-cluster", None);
        assert_eq!((id, cluster([id].into_iter())), (0x8e9e_05c5_2164_694d, 0xcdf8_1819_4e3a_8c32));
    }

    #[test]
    fn the_order_of_urls_does_not_matter_and_a_salt_makes_another_member() {
        let (a, b) = ("http://a:1".to_owned(), "http://b:1".to_owned());
        let id = member(&[a.clone(), b.clone()], "t", None);
        assert_eq!(member(&[b.clone(), a.clone()], "t", None), id);
        assert_ne!(member(&[a, b], "t", Some(1)), id);
    }
}
