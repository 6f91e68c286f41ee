//! What a user sees of image pulls, from a real registry (Debian's docker-registry) on loopback.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_e2e::space::LIMIT;
use test_e2e::{Space, World, manifest};
use testkit::image::Image;
use testkit::process::{Processes, Spec, run};
use testkit::{http, wait};

/// Where the registry listens, inside the node's network.
const REGISTRY: &str = "127.0.0.1:5000";

fn main() -> ExitCode {
    test_e2e::run(
        || World::start("images", |_| {}),
        &[
            ("an_image_is_pulled_from_a_registry", an_image_is_pulled_from_a_registry),
            (
                "an_absent_image_is_explained_and_pulled_once_it_is_there",
                an_absent_image_is_explained_and_pulled_once_it_is_there,
            ),
            ("a_registry_that_is_down_is_explained", a_registry_that_is_down_is_explained),
            ("a_never_pulled_image_is_explained", a_never_pulled_image_is_explained),
        ],
    )
}

/// A registry; it is stopped when dropped.
struct Registry {
    processes: Processes,
    network: Option<String>,
    folder: std::path::PathBuf,
}

impl Registry {
    fn start(world: &World) -> Result<Self> {
        let folder = world.dir().join("registry");
        fs::create_dir_all(folder.join("data"))?;
        let config = folder.join("config.yml");
        let data = folder.join("data");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {data:?}}}\nhttp:\n  addr: {REGISTRY}\n"
            ),
        )?;
        let processes = Processes::new(folder.join("run"), folder.join("log"));
        let network = world.network().map(str::to_owned);
        let spec = Spec {
            name: "registry".to_owned(),
            program: testkit::packages::find("docker-registry").context("install docker-registry")?,
            args: vec!["serve".to_owned(), config.display().to_string()],
            environment: Vec::new(),
            network: network.clone(),
        };
        processes.start(&spec, LIMIT)?;
        let registry = Self { processes, network, folder };
        wait::until("the registry", LIMIT, || {
            http::get(registry.network.as_deref(), REGISTRY.parse()?, "/v2/").map(Some)
        })?;
        Ok(registry)
    }

    /// Makes an image and pushes it by a real client.
    fn push(&self, name: &str) -> Result<String> {
        let reference = format!("{REGISTRY}/{name}");
        let archive = self.folder.join("image.tar");
        Image::hello()?.label("pushed-as", name).write_archive(&reference, &archive)?;
        let source = format!("oci-archive:{}", archive.display());
        let target = format!("docker://{reference}");
        let network = self.network.as_deref().context("a namespace")?;
        let enter = format!("--net=/run/netns/{network}");
        let policy = "--insecure-policy";
        run("nsenter", [&enter, "skopeo", policy, "copy", "--dest-tls-verify=false", &source, &target])?;
        Ok(reference)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.processes.stop("registry", LIMIT);
    }
}

fn with_image(name: &str, image: &str, extra: &str) -> String {
    manifest::pod(name, "exec sleep 98741", extra).replace("keelson.io/hello:1", image)
}

fn waiting(pod: &Value) -> (String, String) {
    let state = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    let text = |field: &str| state[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

fn an_image_is_pulled_from_a_registry(world: &World) -> Result<()> {
    let registry = Registry::start(world)?;
    let image = registry.push("team/app:1")?;
    let space = world.space("pull")?;
    space.apply(&with_image("puller", &image, "    imagePullPolicy: Always"))?;
    let pod = space.wait_ready("puller")?;
    let id = pod.pointer("/status/containerStatuses/0/imageID").and_then(Value::as_str).unwrap_or_default();
    ensure!(id.contains("sha256:"), "the imageID is {id:?}");
    let events = space.run(&["get", "events"])?;
    ensure!(events.contains("Pulling") && events.contains("Pulled"), "{events}");
    Ok(())
}

fn an_absent_image_is_explained_and_pulled_once_it_is_there(world: &World) -> Result<()> {
    let registry = Registry::start(world)?;
    let space = world.space("absent")?;
    let image = format!("{REGISTRY}/team/later:1");
    space.apply(&with_image("hopeful", &image, ""))?;
    let pod = space.wait_for("the reason", "pod", "hopeful", |pod| {
        matches!(waiting(pod).0.as_str(), "ErrImagePull" | "ImagePullBackOff") && !waiting(pod).1.is_empty()
    })?;
    ensure!(waiting(&pod).1.contains("team/later"), "{:?}", waiting(&pod));
    backs_off(&space, "hopeful", &["team/later"])?;
    registry.push("team/later:1")?;
    space.wait_ready("hopeful").map(drop)
}

fn a_registry_that_is_down_is_explained(world: &World) -> Result<()> {
    let space = world.space("down")?;
    space.apply(&with_image("lost", "127.0.0.1:5999/team/app:1", ""))?;
    backs_off(&space, "lost", &["127.0.0.1:5999", "refused"])
}

/// The pod says why it has no image and when the next try is, and so does `why pod`.
fn backs_off(space: &Space<'_>, pod: &str, causes: &[&str]) -> Result<()> {
    let found = space.wait_for("the back-off", "pod", pod, |pod| waiting(pod).0 == "ImagePullBackOff")?;
    let (_, message) = waiting(&found);
    ensure!(message.contains("next try at 20"), "no time in {message}");
    ensure!(causes.iter().all(|cause| message.contains(cause)), "{causes:?} in {message}");
    wait::until("the reason in `why pod`", LIMIT, || {
        let said = space.run(&["why", "pod", pod])?;
        ensure!(said.contains("the next try comes in about"), "{said}");
        ensure!(causes.iter().all(|cause| said.contains(cause)), "{causes:?} in {said}");
        Ok(Some(()))
    })
}

fn a_never_pulled_image_is_explained(world: &World) -> Result<()> {
    let space = world.space("never")?;
    space.apply(&with_image("stubborn", "example.org/nothing:1", "    imagePullPolicy: Never"))?;
    space.wait_for("the reason", "pod", "stubborn", |pod| waiting(pod).0 == "ErrImageNeverPull").map(drop)
}
