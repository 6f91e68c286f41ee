//! Which Kubernetes API level and which Keelson this is.

/// The Kubernetes API level that is served.
pub const GIT_VERSION: &str = "v1.36.1";
/// Its major number.
pub const MAJOR: &str = "1";
/// Its minor number.
pub const MINOR: &str = "36";
/// Keelson's own version.
pub const KEELSON: &str = env!("CARGO_PKG_VERSION");

/// `os/arch` in Go's words, as clients compare it: `linux/amd64`.
pub fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{arch}", std::env::consts::OS)
}

/// What `--version` prints after the program's name.
pub fn long() -> String {
    format!("{KEELSON} (Kubernetes API {GIT_VERSION}, {})", platform())
}

/// The answer of `/version`, with upstream's keys.
pub fn info() -> serde_json::Value {
    serde_json::json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": format!("keelson {KEELSON}"),
        "platform": platform(),
    })
}
