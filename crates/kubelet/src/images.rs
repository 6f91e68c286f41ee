//! The images that containers need: looked up, pulled by policy, remembered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::runtime::reference::Reference;
use crate::runtime::registry::Credentials;
use crate::runtime::{Containerd, Error, Image};

/// An image that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    InvalidName(String),
    #[error("Container image \"{0}\" is not present with pull policy of Never")]
    NeverPull(String),
    #[error("{0}")]
    Pull(String),
    #[error(transparent)]
    Runtime(#[from] Error),
}

/// What happened on the way to the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obtained {
    Present,
    Pulled { took: std::time::Duration, size_bytes: u64 },
}

/// The node's images.
pub struct Images {
    containerd: Containerd,
    /// By name and digest: what was read of them.
    known: Mutex<HashMap<(String, String), Arc<Image>>>,
    accounts: Mutex<HashMap<String, Arc<Accounts>>>,
    /// By digest, for the Node's status; None: nothing that runs here.
    sizes: Mutex<HashMap<String, Option<u64>>>,
    /// One pull of a name at a time; those who come later wait for it.
    pulling: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// The users and groups that an image knows.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

impl Images {
    pub fn new(containerd: Containerd) -> Self {
        Self {
            containerd,
            known: Mutex::default(),
            accounts: Mutex::default(),
            sizes: Mutex::default(),
            pulling: Mutex::default(),
        }
    }

    /// The full name of an image, or why the name is no name.
    pub fn full_name(image: &str) -> Result<Reference, Failure> {
        Reference::parse(image).map_err(|error| {
            Failure::InvalidName(format!(
                "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": {error}"
            ))
        })
    }

    /// The image if it is on the node.
    pub async fn present(&self, reference: &Reference) -> Result<Option<Arc<Image>>, Error> {
        let name = reference.full();
        let Some(digest) = self.containerd.image_digest(&name).await? else { return Ok(None) };
        let key = (name.clone(), digest.clone());
        if let Some(image) = self.known.lock().get(&key) {
            return Ok(Some(image.clone()));
        }
        let image = Arc::new(self.containerd.image_of(&name, &digest).await?);
        if !self.containerd.is_unpacked(&image).await? {
            // Imported without being unpacked.
            self.containerd.unpack_leased(&image).await?;
        }
        self.known.lock().insert(key, image.clone());
        Ok(Some(image))
    }

    /// The image by its policy. `pulling` is told when a pull begins.
    pub async fn obtain(
        &self,
        image: &str,
        policy: &str,
        credentials: &[Credentials],
        pulling: impl FnOnce(),
    ) -> Result<(Arc<Image>, Obtained), Failure> {
        let reference = Self::full_name(image)?;
        let policy = match policy {
            "" if reference.tag.as_deref() == Some("latest") => "Always",
            "" => "IfNotPresent",
            other => other,
        };
        if policy != "Always"
            && let Some(found) = self.present(&reference).await?
        {
            return Ok((found, Obtained::Present));
        }
        if policy == "Never" {
            return Err(Failure::NeverPull(image.into()));
        }
        let turn = self.pulling.lock().entry(reference.full()).or_default().clone();
        let _turn = turn.lock().await;
        if policy != "Always"
            && let Some(found) = self.present(&reference).await?
        {
            return Ok((found, Obtained::Present));
        }
        pulling();
        let began = std::time::Instant::now();
        let pulled =
            self.containerd.pull(image, &reference, credentials).await.map_err(|error| Failure::Pull(chain(&error)))?;
        let pulled = Arc::new(pulled);
        self.known.lock().insert((pulled.name.clone(), pulled.digest.clone()), pulled.clone());
        let obtained = Obtained::Pulled { took: began.elapsed(), size_bytes: pulled.size_bytes };
        Ok((pulled, obtained))
    }

    /// What the node holds, for its status: names and bytes, the largest first. One call where nothing changed; never
    /// unpacks anything.
    pub async fn list(&self) -> Result<Vec<(Vec<String>, u64)>, Error> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, digest) in self.containerd.list_images().await? {
            names.entry(digest).or_default().push(name);
        }
        self.sizes.lock().retain(|digest, _| names.contains_key(digest));
        let mut out = Vec::new();
        for (digest, names) in names {
            let known = self.sizes.lock().get(&digest).copied();
            let size = match known {
                Some(size) => size,
                None => {
                    let found = self.containerd.image_of(&names[0], &digest).await;
                    if found.as_ref().is_err_and(Error::is_unavailable) {
                        return found.map(|_| Vec::new());
                    }
                    let size = found.ok().map(|image| image.size_bytes);
                    self.sizes.lock().insert(digest, size);
                    size
                }
            };
            out.extend(size.map(|size| (names, size)));
        }
        out.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Ok(out)
    }

    /// The users and groups of an image.
    pub async fn accounts(&self, image: &Image) -> Result<Arc<Accounts>, Error> {
        if let Some(known) = self.accounts.lock().get(&image.chain_id) {
            return Ok(known.clone());
        }
        let read = self.containerd.read_files(&image.chain_id, &["etc/passwd", "etc/group"]).await?;
        let mut texts = read.into_iter().map(|bytes| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned());
        let accounts =
            Arc::new(Accounts { passwd: texts.next().unwrap_or_default(), group: texts.next().unwrap_or_default() });
        self.accounts.lock().insert(image.chain_id.clone(), accounts.clone());
        Ok(accounts)
    }
}

impl Accounts {
    /// The id and main group of a user by name or number. A number need not be listed.
    pub fn user(&self, user: &str) -> Option<(u32, u32)> {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let listed = self.passwd.lines().map(fields).find_map(|entry| {
            let (uid, gid) = (entry.get(2)?.parse().ok()?, entry.get(3)?.parse().ok()?);
            (entry[0] == user || entry[2] == user).then_some((uid, gid))
        });
        listed.or_else(|| Some((user.parse().ok()?, 0)))
    }

    pub fn group(&self, group: &str) -> Option<u32> {
        let listed = self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, id) = (fields.next()?, fields.nth(1)?);
            (name == group || id == group).then(|| id.parse().ok())?
        });
        listed.or_else(|| group.parse().ok())
    }

    /// The further groups of a user.
    pub fn groups_of(&self, uid: u32) -> Vec<u32> {
        let name = self.passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
        });
        let Some(name) = name else { return Vec::new() };
        let member = |line: &str| {
            let fields: Vec<&str> = line.split(':').collect();
            let listed = fields.get(3)?.split(',').any(|member| member == name);
            listed.then(|| fields[2].parse().ok())?
        };
        self.group.lines().filter_map(member).collect()
    }
}

/// An error with everything that caused it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !out.contains(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        source = cause.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let accounts = Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:\n".into(),
            group: "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\n".into(),
        };
        assert_eq!(accounts.user("app"), Some((1000, 1001)));
        assert_eq!(accounts.user("1000"), Some((1000, 1001)));
        assert_eq!(accounts.user("77"), Some((77, 0)));
        assert_eq!(accounts.user("nobody"), None);
        assert_eq!(accounts.groups_of(1000), [10]);
        assert_eq!(accounts.group("wheel"), Some(10));
    }
}
