//! kubectl as others build it, in a namespace.

use std::path::Path;

use anyhow::{Result, ensure};
use test_e2e::{Space, World};
use testkit::keelctl::Keelctl;
use testkit::npm;

/// Where fetched programs are kept.
pub const KEPT: &str = env!("CARGO_TARGET_TMPDIR");

/// kubectl with the administrator's credentials.
fn kubectl(world: &World) -> Result<Keelctl> {
    Ok(Keelctl { program: npm::kubectl(Path::new(KEPT))?, ..world.keelctl() })
}

/// kubectl in a namespace.
pub struct Kubectl<'a> {
    pub space: Space<'a>,
    pub kubectl: Keelctl,
}

impl<'a> Kubectl<'a> {
    pub fn new(world: &'a World, namespace: &str) -> Result<Self> {
        Ok(Self { space: world.space(namespace)?, kubectl: kubectl(world)? })
    }

    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.kubectl.run(&self.space.with_namespace(args))
    }

    /// Runs a command that must write `text`.
    pub fn says(&self, args: &[&str], text: &str) -> Result<()> {
        let found = self.run(args)?;
        ensure!(found.contains(text), "kubectl {}: {text:?} is not in {found}", args.join(" "));
        Ok(())
    }

    /// Runs a command that must fail and say `text`.
    pub fn fails(&self, args: &[&str], text: &str) -> Result<()> {
        let output = self.kubectl.output(&self.space.with_namespace(args))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        ensure!(!output.status.success(), "kubectl {} did not fail: {said}", args.join(" "));
        ensure!(said.contains(text), "kubectl {}: {text:?} is not in {said}", args.join(" "));
        Ok(())
    }

    pub fn feed(&self, args: &[&str], input: &str) -> Result<String> {
        self.kubectl.run_with_input(&self.space.with_namespace(args), input)
    }
}
