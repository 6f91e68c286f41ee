//! Makes small OCI images from static binaries: no registry, no build tool.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The image that `cargo xtask up` runs.
pub const HELLO: &str = "keelson.io/hello:1";

/// Where Debian's busybox-static puts its binary.
pub const BUSYBOX: &str = "/bin/busybox";

/// A busybox that needs no libraries, wherever it lies.
pub fn find_busybox() -> Option<PathBuf> {
    std::iter::once(PathBuf::from(BUSYBOX))
        .chain(crate::packages::find_all("busybox"))
        .find(|file| is_static(file).unwrap_or(false))
}

/// What an image contains and how it starts.
#[derive(Debug, Clone, Default)]
pub struct Image {
    files: Vec<File>,
    links: Vec<(String, String)>,
    directories: Vec<(String, u32)>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    environment: Vec<String>,
    user: String,
    working_dir: String,
    labels: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct File {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

impl Image {
    /// An image of busybox: a shell, the usual tools, /etc/passwd and a world-writable /tmp.
    pub fn busybox() -> Result<Self> {
        let Some(busybox) = find_busybox() else {
            bail!("no static busybox is here: install the package busybox-static")
        };
        let mut image = Self {
            environment: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
            command: vec!["sh".to_owned()],
            ..Self::default()
        };
        for (path, mode) in [
            ("bin", 0o755),
            ("dev", 0o755),
            ("etc", 0o755),
            ("home", 0o755),
            ("proc", 0o755),
            ("root", 0o700),
            ("sys", 0o755),
            ("tmp", 0o1777),
            ("var", 0o755),
            ("www", 0o777),
        ] {
            image.directories.push((path.to_owned(), mode));
        }
        image = image
            .file("bin/busybox", 0o755, fs::read(&busybox).context("reading busybox")?)
            .file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n")
            .file("etc/group", 0o644, "root:x:0:\nnobody:x:65534:\n");
        let applets = Command::new(busybox).arg("--list").output().context("asking busybox for its applets")?;
        for applet in String::from_utf8(applets.stdout)?.lines().filter(|applet| *applet != "busybox") {
            image.links.push((format!("bin/{applet}"), "busybox".to_owned()));
        }
        Ok(image)
    }

    /// The page that says hello, served on port 8080 with the name of the host that serves it.
    pub fn hello() -> Result<Self> {
        let start =
            "echo \"Hello from Keelson, served by $(hostname)\" >/www/index.html && exec httpd -f -p 8080 -h /www";
        Ok(Self::busybox()?.command(["sh", "-c", start]))
    }

    /// Adds a file by its path below the root.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.files.push(File { path: path.to_owned(), mode, content: content.into() });
        self
    }

    /// Sets the default arguments.
    #[must_use]
    pub fn command<const N: usize>(mut self, command: [&str; N]) -> Self {
        self.command = command.map(str::to_owned).into();
        self
    }

    /// Sets the program that the arguments go to.
    #[must_use]
    pub fn entrypoint<const N: usize>(mut self, entrypoint: [&str; N]) -> Self {
        self.entrypoint = entrypoint.map(str::to_owned).into();
        self
    }

    /// Adds `NAME=value` to the environment.
    #[must_use]
    pub fn env(mut self, assignment: &str) -> Self {
        self.environment.push(assignment.to_owned());
        self
    }

    /// Sets the user (`name`, `uid` or `uid:gid`) that the image asks for.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = user.to_owned();
        self
    }

    /// Adds a label: the cheapest way to make an image differ from another.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the image as an OCI archive, as `ctr images import` and `skopeo copy oci-archive:` read it.
    pub fn write_archive(&self, reference: &str, target: &Path) -> Result<Written> {
        let blobs = self.blobs(reference)?;
        let parent = target.parent().context("an archive lies in a folder")?;
        fs::create_dir_all(parent)?;
        let file = fs::File::create(target).with_context(|| format!("creating {}", target.display()))?;
        let mut archive = tar::Builder::new(file);
        append(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut archive, "index.json", 0o644, &blobs.index)?;
        for blob in [&blobs.manifest, &blobs.config, &blobs.layer] {
            append(&mut archive, &format!("blobs/sha256/{}", hex_digest(blob)), 0o644, blob)?;
        }
        archive.into_inner()?.flush()?;
        Ok(Written { archive: target.to_owned(), digest: format!("sha256:{}", hex_digest(&blobs.manifest)) })
    }

    fn blobs(&self, reference: &str) -> Result<Blobs> {
        let layer = self.layer()?;
        let layer_digest = format!("sha256:{}", hex_digest(&layer));
        let mut config = json!({
            "Env": self.environment,
            "Cmd": self.command,
            "WorkingDir": if self.working_dir.is_empty() { "/" } else { &self.working_dir },
        });
        if !self.entrypoint.is_empty() {
            config["Entrypoint"] = json!(self.entrypoint);
        }
        if !self.user.is_empty() {
            config["User"] = json!(self.user);
        }
        for (name, value) in &self.labels {
            config["Labels"][name] = json!(value);
        }
        let config = serde_json::to_vec(&json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": architecture(),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        }))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        }))?;
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["annotations"] = json!({
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference.rsplit_once(':').map_or("latest", |(_, tag)| tag),
        });
        let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [entry]}))?;
        Ok(Blobs { index, manifest, config, layer })
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut layer = tar::Builder::new(Vec::new());
        for (path, mode) in &self.directories {
            let mut header = header(*mode, 0, tar::EntryType::Directory);
            layer.append_data(&mut header, format!("{path}/"), std::io::empty())?;
        }
        for file in &self.files {
            append(&mut layer, &file.path, file.mode, &file.content)?;
        }
        for (path, target) in &self.links {
            let mut header = header(0o777, 0, tar::EntryType::Symlink);
            layer.append_link(&mut header, path, target)?;
        }
        Ok(layer.into_inner()?)
    }
}

/// An image on disk.
#[derive(Debug, Clone)]
pub struct Written {
    /// The OCI archive.
    pub archive: PathBuf,
    /// The manifest's digest, `sha256:…`.
    pub digest: String,
}

struct Blobs {
    index: Vec<u8>,
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", hex_digest(blob)), "size": blob.len()})
}

fn hex_digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The architecture's name in OCI and Go.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn header(mode: u32, size: u64, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_entry_type(kind);
    header
}

fn append<W: Write>(archive: &mut tar::Builder<W>, path: &str, mode: u32, content: &[u8]) -> Result<()> {
    let mut header = header(mode, content.len() as u64, tar::EntryType::Regular);
    archive.append_data(&mut header, path, content)?;
    Ok(())
}

/// Whether a 64-bit ELF file needs no interpreter, that is, runs in an empty root.
pub fn is_static(path: &Path) -> Result<bool> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let interpreted = has_interpreter(&bytes).with_context(|| format!("{} is no 64-bit ELF file", path.display()))?;
    Ok(!interpreted)
}

fn has_interpreter(elf: &[u8]) -> Option<bool> {
    const PROGRAM_INTERPRETER: u32 = 3;
    if elf.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(elf.get(32..40)?.try_into().ok()?)).ok()?;
    let entry_size = usize::from(u16::from_le_bytes(elf.get(54..56)?.try_into().ok()?));
    let entries = usize::from(u16::from_le_bytes(elf.get(56..58)?.try_into().ok()?));
    for entry in 0..entries {
        let at = table.checked_add(entry.checked_mul(entry_size)?)?;
        let kind = u32::from_le_bytes(elf.get(at..at.checked_add(4)?)?.try_into().ok()?);
        if kind == PROGRAM_INTERPRETER {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Image {
        Image::default().file("bin/hello", 0o755, "hello").command(["/bin/hello"]).env("A=b").user("1000:1000")
    }

    #[test]
    fn equal_images_have_equal_digests() {
        let folder = tempfile::tempdir().unwrap();
        let first = tiny().write_archive("example.org/a:1", &folder.path().join("1.tar")).unwrap();
        let second = tiny().write_archive("example.org/a:1", &folder.path().join("2.tar")).unwrap();
        let other =
            tiny().label("version", "2").write_archive("example.org/a:1", &folder.path().join("3.tar")).unwrap();
        assert_eq!(first.digest, second.digest);
        assert_ne!(first.digest, other.digest);
    }

    #[test]
    fn every_blob_lies_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let written = tiny().write_archive("example.org/a:1", &folder.path().join("a.tar")).unwrap();
        let mut archive = tar::Archive::new(fs::File::open(written.archive).unwrap());
        let mut blobs = 0;
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            if let Some(digest) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(digest, hex_digest(&content));
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3);
    }

    #[test]
    fn a_dynamic_binary_is_told_from_a_static_one() {
        assert_eq!(has_interpreter(b"#!/bin/sh"), None);
        assert!(!is_static(Path::new("/proc/self/exe")).unwrap());
    }
}
