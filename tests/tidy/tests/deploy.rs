//! systemd accepts the units in deploy/, and each has its config file.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("deploy")
}

fn units() -> Vec<PathBuf> {
    let mut units: Vec<PathBuf> =
        fs::read_dir(deploy().join("systemd")).unwrap().map(|entry| entry.unwrap().path()).collect();
    units.sort();
    units
}

#[test]
fn systemd_accepts_every_unit() {
    let folder = std::env::temp_dir().join(format!("keelson-units-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let copies = units().into_iter().map(|unit| {
        let text = fs::read_to_string(&unit).unwrap();
        // The programs are not installed where this runs; everything else of the unit is checked as it is.
        let program = text.lines().find_map(|line| line.strip_prefix("ExecStart=")?.split(' ').next()).unwrap();
        let copy = folder.join(unit.file_name().unwrap());
        fs::write(&copy, text.replace(program, "/bin/true")).unwrap();
        copy
    });
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .args(copies)
        .output()
        .expect("install the package systemd: it brings systemd-analyze");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success(), "{complaint}");
    assert!(!complaint.contains("keelson"), "{complaint}");
}

#[test]
fn every_unit_names_a_config_file_that_is_there() {
    assert_eq!(units().len(), 7);
    for unit in units() {
        let text = fs::read_to_string(&unit).unwrap();
        let config = text.split("--config=/etc/keelson/").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        assert!(deploy().join("config").join(config).is_file(), "{} names {config}", unit.display());
    }
}
