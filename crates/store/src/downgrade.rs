//! Which versions a cluster may go down to: the one before its own, as etcd has it. Pure.

use crate::refused::Refused;

/// The cluster's version, whose minor one a downgrade may go one below.
pub const CLUSTER_MAJOR: i64 = 3;
pub const CLUSTER_MINOR: i64 = 6;

/// The cluster's version as answers show it.
pub fn cluster_version() -> String {
    format!("{CLUSTER_MAJOR}.{CLUSTER_MINOR}")
}

/// The target in full, where `text` names one to which the cluster may go while `begun` is on its way.
pub fn validate(text: &str, begun: Option<&str>) -> Result<String, Refused> {
    let (major, minor) = parse(text).ok_or(Refused::WrongVersionFormat)?;
    if (major, minor) != (CLUSTER_MAJOR, CLUSTER_MINOR - 1) {
        return Err(Refused::InvalidDowngradeVersion);
    }
    match begun {
        Some(_) => Err(Refused::DowngradeInProcess),
        None => Ok(format!("{major}.{minor}.0")),
    }
}

/// Major and minor of `3.5` or `3.5.1`; what stands behind the patch's number counts as little as that.
fn parse(text: &str) -> Option<(i64, i64)> {
    let core = text.split(['-', '+']).next()?;
    let mut numbers = core.splitn(3, '.').map(|part| part.parse::<i64>().ok().filter(|number| *number >= 0));
    let (major, minor) = (numbers.next()??, numbers.next()??);
    match numbers.next() {
        Some(None) => None,
        _ => Some((major, minor)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, begun: Option<&str>, expect: Result<&str, Refused>) {
        assert_eq!(validate(text, begun), expect.map(str::to_owned), "{text:?}");
    }

    #[test]
    fn only_the_version_before_is_a_target() {
        check("3.5", None, Ok("3.5.0"));
        check("3.5.7", None, Ok("3.5.0"));
        check("3.5.0-rc.1", None, Ok("3.5.0"));
        for other in ["3.4.0", "3.6", "3.7", "2.5", "4.5"] {
            check(other, None, Err(Refused::InvalidDowngradeVersion));
        }
        for nonsense in ["", "3", "three.five", "3.5.x", "3.-5", "3.5.1.1"] {
            check(nonsense, None, Err(Refused::WrongVersionFormat));
        }
        check("3.5", Some("3.5.0"), Err(Refused::DowngradeInProcess));
        check("3.4", Some("3.5.0"), Err(Refused::InvalidDowngradeVersion));
    }
}
