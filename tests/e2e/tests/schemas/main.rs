//! Requests that the served OpenAPI documents allow, and requests that they forbid, made by schemathesis: nothing ends in an
//! error of the server, and answers are of the documented form.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};
use test_e2e::World;
use testkit::keelctl::Keelctl;
use testkit::pypi;
use testkit::settings::Daemon;

/// A group version gets so long. All of them fit into three minutes.
const SECONDS: &str = "24";
/// Requests for each operation and kind of request.
const CASES: &str = "4";
/// Some of each kind: workloads, what is small, what has rules of its own, what is defined by others.
const GROUP_VERSIONS: [&str; 6] = [
    "api/v1",
    "apis/apps/v1",
    "apis/batch/v1",
    "apis/autoscaling/v2",
    "apis/rbac.authorization.k8s.io/v1",
    "apis/apiextensions.k8s.io/v1",
];
const CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemas/check.py");

fn main() -> ExitCode {
    test_e2e::run(start, &[("answers_keep_to_the_documents", answers_keep_to_the_documents)])
}

/// A store and an apiserver: no controller meddles, and no node is there to be drained.
fn start() -> Result<World> {
    let world = World::prepare("schemas", 1, |settings| settings.daemons = vec![Daemon::Store, Daemon::Apiserver])?;
    world.cluster.prepare()?;
    world.cluster.start(&mut |step| testkit::say!("  {step}"))?;
    Ok(world)
}

fn answers_keep_to_the_documents(world: &World) -> Result<()> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let packages = pypi::packages(kept, "schemathesis-4.32", &["schemathesis==4.32.5"])?;
    let python = Keelctl { program: "python3".into(), ..world.keelctl() };
    let server = format!("https://127.0.0.1:{}", world.cluster.settings.ports.apiserver);
    let credentials = world.dir().join("pki");
    let mut check: Command = python.within();
    check
        .env("PYTHONPATH", packages)
        .arg(CHECK)
        .arg(server)
        .arg(credentials)
        .args([SECONDS, CASES])
        .args(GROUP_VERSIONS);
    let output = check.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    testkit::say!("{said}");
    Ok(())
}
