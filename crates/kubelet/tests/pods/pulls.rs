//! Images from a registry: shared layers, and a disk that is full.

use proto::core::v1::{ContainerStateWaiting, LocalObjectReference, Pod};

use crate::lab::{Lab, eventually, on_lab, on_lab_with};
use crate::{FOREVER, is_ready, pod, shell};

const PORT: u16 = 5000;

fn waiting(pod: &Pod) -> ContainerStateWaiting {
    let status = pod.status.container_statuses.first();
    status.and_then(|status| status.state.waiting.clone()).unwrap_or_default()
}

/// Bytes that do not become less when they are packed.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    next.take(length).collect()
}

/// A pod of an image of the lab's registry, with the user that it asks for.
fn of_registry(lab: &Lab, name: &str, image: &str) -> Pod {
    let config = format!(r#"{{"auths":{{"127.0.0.?:{PORT}":{{"username":"me","password":"secret"}}}}}}"#);
    lab.map.put_secret("pull", ".dockerconfigjson", &config);
    let mut pod = pod(name, "Always", vec![shell(FOREVER)]);
    pod.spec.containers[0].image = format!("127.0.0.1:{PORT}/{image}");
    pod.spec.image_pull_secrets = vec![LocalObjectReference { name: "pull".into() }];
    pod
}

#[test]
fn images_that_share_a_layer_are_pulled_at_once() {
    on_lab(async |lab: &Lab| {
        let registry = lab.registry(PORT);
        let shared = testkit::image::Image::busybox().unwrap().file("big", 0o644, noise(24 << 20));
        let names = ["one", "two", "three"];
        for name in names {
            lab.push(&shared.clone().label("which", name), PORT, &format!("lab/{name}:1"));
        }
        let pods = names.map(|name| of_registry(lab, name, &format!("lab/{name}:1")));
        for pod in &pods {
            lab.create(pod).await;
        }
        for pod in &pods {
            lab.wait(pod, "Ready", is_ready).await;
        }
        let failed: Vec<_> = lab.map.events().into_iter().filter(|event| event.reason == "Failed").collect();
        assert!(failed.is_empty(), "{failed:?}");
        drop(registry);
        for pod in &pods {
            lab.delete(pod, 0).await;
            lab.wait_gone(pod).await;
        }
    });
}

/// Which version of the image a new pod runs.
async fn version_of(lab: &Lab, name: &str, image: &str, policy: &str) -> String {
    let mut pod = of_registry(lab, name, image);
    pod.spec.containers[0].image_pull_policy = policy.into();
    lab.create(&pod).await;
    let running = lab.wait(&pod, "Ready", is_ready).await;
    let (_, version) = lab.exec(&running, "c", &["cat", "/version"]).await;
    lab.delete(&pod, 0).await;
    lab.wait_gone(&pod).await;
    version
}

/// What is told of a pod whose image cannot be had.
async fn fails(lab: &Lab, name: &str, image: &str, policy: &str) -> ContainerStateWaiting {
    let mut pod = of_registry(lab, name, image);
    pod.spec.containers[0].image_pull_policy = policy.into();
    lab.create(&pod).await;
    let reasons = ["ErrImagePull", "ErrImageNeverPull"];
    let seen = lab.wait(&pod, "a failure", |pod| reasons.contains(&waiting(pod).reason.as_str())).await;
    lab.delete(&pod, 0).await;
    lab.wait_gone(&pod).await;
    waiting(&seen)
}

#[test]
fn always_asks_the_registry_again() {
    on_lab(async |lab: &Lab| {
        let registry = lab.registry(PORT);
        let push = |version: &str| {
            let image = testkit::image::Image::busybox().unwrap().file("version", 0o644, version.as_bytes());
            for name in ["lab/moving:v", "lab/moving:latest"] {
                lab.push(&image, PORT, name);
            }
        };
        push("one");
        assert_eq!(version_of(lab, "a", "lab/moving:v", "Always").await, "one");
        assert_eq!(version_of(lab, "b", "lab/moving", "").await, "one");
        push("two");
        // Without a policy, `latest` and no tag at all mean Always, any other tag IfNotPresent.
        assert_eq!(version_of(lab, "c", "lab/moving:v", "IfNotPresent").await, "one");
        assert_eq!(version_of(lab, "d", "lab/moving:v", "").await, "one");
        assert_eq!(version_of(lab, "e", "lab/moving:v", "Never").await, "one");
        assert_eq!(version_of(lab, "f", "lab/moving:v", "Always").await, "two");
        assert_eq!(version_of(lab, "g", "lab/moving", "").await, "two");
        // The tag has moved on this node, too.
        assert_eq!(version_of(lab, "h", "lab/moving:v", "IfNotPresent").await, "two");

        drop(registry);
        for (name, image, policy) in [("i", "lab/moving:v", "Always"), ("j", "lab/moving", "")] {
            let failure = fails(lab, name, image, policy).await;
            assert_eq!(failure.reason, "ErrImagePull");
            assert!(failure.message.contains(&format!("127.0.0.1:{PORT}")), "{}", failure.message);
        }
        assert_eq!(version_of(lab, "k", "lab/moving:v", "IfNotPresent").await, "two");
        assert_eq!(version_of(lab, "l", "lab/moving:v", "Never").await, "two");
        assert_eq!(fails(lab, "m", "lab/other:v", "Never").await.reason, "ErrImageNeverPull");
    });
}

#[test]
fn a_full_disk_under_containerd_is_said_and_forgotten_when_there_is_room() {
    on_lab_with(Some(40 << 20), async |lab: &Lab| {
        let registry = lab.registry(PORT);
        let large = testkit::image::Image::busybox().unwrap().file("big", 0o644, noise(30 << 20));
        lab.push(&large, PORT, "lab/large:1");
        // A pod that runs is not disturbed.
        let small = pod("small", "Always", vec![shell(FOREVER)]);
        lab.create(&small).await;
        let before = lab.wait(&small, "Ready", is_ready).await;
        let pod = of_registry(lab, "large", "lab/large:1");
        lab.create(&pod).await;
        let seen = lab.wait(&pod, "ErrImagePull", |pod| waiting(pod).reason == "ErrImagePull").await;
        assert!(waiting(&seen).message.contains("no space left on device"), "{}", waiting(&seen).message);
        let seen = lab.wait(&pod, "ImagePullBackOff", |pod| waiting(pod).reason == "ImagePullBackOff").await;
        let message = waiting(&seen).message;
        assert!(message.contains("no space left on device") && message.contains("next try at 20"), "{message}");
        lab.grow_disk(256 << 20);
        lab.wait(&pod, "Ready", is_ready).await;
        let after = lab.map.pod(&small).unwrap();
        assert_eq!(after.status.container_statuses, before.status.container_statuses);
        drop(registry);
        for pod in [&pod, &small] {
            lab.delete(pod, 0).await;
            lab.wait_gone(pod).await;
        }
    });
}

#[test]
fn a_kubelet_that_begins_without_containerd_says_so_and_goes_on_when_it_comes() {
    on_lab(async |lab: &Lab| {
        lab.stop_containerd();
        lab.restart_kubelet().await;
        let told =
            async || lab.runtime().is_err_and(|text| text.contains("cannot connect to") && text.contains("c.sock"));
        eventually("the reason is told", told).await;
        let pod = pod("late", "Always", vec![shell(FOREVER)]);
        lab.create(&pod).await;
        lab.start_containerd().await;
        eventually("the kubelet notices", async || lab.runtime().is_ok()).await;
        lab.wait(&pod, "Ready", is_ready).await;
        lab.delete(&pod, 0).await;
        lab.wait_gone(&pod).await;
    });
}
