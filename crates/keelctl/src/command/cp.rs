//! `keelctl cp`: files to and from a container, by the container's own tar.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use futures::StreamExt;
use proto::keelson::api::v1::{ExecInput, exec_input, exec_output};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::exec::{Session, input};
use crate::cli::Global;
use crate::remote::Remote;

/// Chunks on their way.
const CHUNKS_MAX: usize = 16;
/// Bytes of an archive in one message.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// From: a local path, or [NAMESPACE/]POD:PATH
    pub from: String,
    /// To: a local path, or [NAMESPACE/]POD:PATH
    pub to: String,
    /// The container
    #[arg(short = 'c', long, default_value = "", hide_default_value = true)]
    pub container: String,
    /// Keep owners and permissions out
    #[arg(long)]
    pub no_preserve: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Local(PathBuf),
    Pod { namespace: Option<String>, pod: String, path: String },
}

impl Place {
    fn parse(text: &str) -> anyhow::Result<Self> {
        // A path with a slash before its colon is local: ./a:b
        let Some((target, path)) = text.split_once(':').filter(|(target, _)| !target.starts_with(['.', '/'])) else {
            return Ok(Self::Local(PathBuf::from(text)));
        };
        let (namespace, pod) = match target.split_once('/') {
            Some((namespace, pod)) => (Some(namespace.to_owned()), pod),
            None => (None, target),
        };
        if path.is_empty() {
            bail!("filepath can not be empty: {text}");
        }
        if pod.is_empty() || pod.contains('/') {
            bail!("{text} is no [NAMESPACE/]POD:PATH");
        }
        Ok(Self::Pod { namespace, pod: pod.to_owned(), path: path.to_owned() })
    }
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    match (Place::parse(&args.from)?, Place::parse(&args.to)?) {
        (Place::Local(from), Place::Pod { namespace, pod, path }) => {
            upload(&within(global, namespace), &args, &from, &pod, &path).await
        }
        (Place::Pod { namespace, pod, path }, Place::Local(to)) => {
            download(&within(global, namespace), &args, &pod, &path, &to).await
        }
        (Place::Local(_), Place::Local(_)) => bail!("one of the paths must be in a pod: POD:PATH"),
        (Place::Pod { .. }, Place::Pod { .. }) => bail!("one of the paths must be a local file"),
    }
}

fn within(global: &Global, namespace: Option<String>) -> Global {
    Global { namespace: namespace.or_else(|| global.namespace.clone()), ..global.clone() }
}

async fn upload(global: &Global, args: &Args, from: &Path, pod: &str, to: &str) -> anyhow::Result<()> {
    if !from.exists() {
        bail!("{} doesn't exist in local filesystem", from.display());
    }
    let remote = Remote::connect(global)?;
    let session = Session::prepare(&remote, global, pod, &args.container, true, false).await?;
    let to = to.trim_end_matches('/');
    let is_folder = args.to.ends_with('/')
        || run_quietly(
            &remote,
            &session,
            vec!["test".into(), "-d".into(), if to.is_empty() { "/".into() } else { to.to_owned() }],
        )
        .await?
            == 0;
    let file = from.canonicalize()?.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (folder, name) = if is_folder {
        (if to.is_empty() { "/" } else { to }.to_owned(), file)
    } else {
        match to.rsplit_once('/') {
            Some(("", name)) => ("/".to_owned(), name.to_owned()),
            Some((folder, name)) => (folder.to_owned(), name.to_owned()),
            None => (".".to_owned(), to.to_owned()),
        }
    };
    let mut command = vec!["tar".to_owned()];
    command.push(if args.no_preserve { "-xof" } else { "-xmf" }.to_owned());
    command.extend(["-".to_owned(), "-C".to_owned(), folder]);
    let (inputs, queue) = mpsc::channel(CHUNKS_MAX);
    let start = proto::keelson::api::v1::ExecStart { command, ..session.start };
    inputs.send(input(exec_input::Input::Start(start))).await.context("starting the copy")?;
    let source = from.to_owned();
    // tar is synchronous: it writes on a thread of its own.
    let packing = tokio::task::spawn_blocking(move || pack(&source, &name, inputs));
    let code = drain(&remote, queue, |_| Ok(())).await?;
    let packed = packing.await.context("packing the files")?;
    if code != 0 {
        bail!("tar in the container ended with exit code {code}; the container needs a tar program");
    }
    packed
}

fn pack(source: &Path, name: &str, inputs: mpsc::Sender<ExecInput>) -> anyhow::Result<()> {
    let mut archive = tar::Builder::new(std::io::BufWriter::with_capacity(CHUNK_BYTES, Sender(inputs.clone())));
    archive.follow_symlinks(false);
    if source.is_dir() {
        archive.append_dir_all(name, source)?
    } else {
        archive.append_path_with_name(source, name)?
    }
    archive.into_inner()?.into_inner().map_err(|error| anyhow::anyhow!("sending the files: {error}"))?;
    inputs.blocking_send(input(exec_input::Input::StdinClosed(true))).context("the container stopped reading")
}

/// Bytes as standard input of the container's tar.
struct Sender(mpsc::Sender<ExecInput>);

impl std::io::Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let message = input(exec_input::Input::Stdin(bytes.to_vec().into()));
        self.0.blocking_send(message).map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn download(global: &Global, args: &Args, pod: &str, from: &str, to: &Path) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    let session = Session::prepare(&remote, global, pod, &args.container, false, false).await?;
    let trimmed = from.trim_end_matches('/');
    let (folder, name) = match trimmed.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => (".", trimmed),
    };
    let name = if name.is_empty() { "." } else { name };
    let command: Vec<String> = ["tar", "-cf", "-", "-C", folder, name].map(str::to_owned).to_vec();
    let (inputs, queue) = mpsc::channel(CHUNKS_MAX);
    let start = proto::keelson::api::v1::ExecStart { command, ..session.start };
    inputs.send(input(exec_input::Input::Start(start))).await.context("starting the copy")?;
    let (data, received) = mpsc::channel::<Vec<u8>>(CHUNKS_MAX);
    let (target, prefix) = (to.to_owned(), name.to_owned());
    let unpacking =
        tokio::task::spawn_blocking(move || unpack(Received { data: received, rest: Vec::new() }, &prefix, &target));
    let code = forward(&remote, queue, data).await?;
    drop(inputs);
    let unpacked = unpacking.await.context("unpacking the files")?;
    if code != 0 {
        bail!(
            "tar in the container ended with exit code {code}: {from} may not exist there, or the container has no tar program"
        );
    }
    unpacked
}

/// Writes the archive's entries below a local path; none may lead outside it.
pub(crate) fn unpack(received: impl Read, prefix: &str, to: &Path) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(received);
    let into_folder = to.is_dir();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let rest = path.strip_prefix(prefix).unwrap_or(&path).to_owned();
        if rest.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            bail!("the archive holds a path that leads outside: {}", path.display());
        }
        let base = if into_folder && prefix != "." { to.join(prefix) } else { to.to_owned() };
        let target = if rest.as_os_str().is_empty() { base } else { base.join(rest) };
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            crate::complain!(
                "warning: skipping symlink: {:?} -> {:?}",
                path.display(),
                entry.link_name()?.unwrap_or_default().display()
            );
            continue;
        }
        if kind.is_dir() {
            std::fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
            continue;
        }
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent)?;
        }
        if kind.is_file() {
            let mut file = std::fs::File::create(&target).with_context(|| format!("writing {}", target.display()))?;
            std::io::copy(&mut entry, &mut file).with_context(|| format!("writing {}", target.display()))?;
            if let Ok(mode) = entry.header().mode() {
                use std::os::unix::fs::PermissionsExt;
                file.set_permissions(std::fs::Permissions::from_mode(mode & 0o777))?;
            }
        }
    }
    // What follows the archive's end is read too, so that only a failure here ends the stream early.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink())?;
    Ok(())
}

/// What the container's tar wrote, as a reader.
struct Received {
    data: mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            match self.data.blocking_recv() {
                Some(data) => self.rest = data,
                None => return Ok(0),
            }
        }
        let take = self.rest.len().min(buffer.len());
        buffer[..take].copy_from_slice(&self.rest[..take]);
        self.rest.drain(..take);
        Ok(take)
    }
}

async fn run_quietly(remote: &Remote, session: &Session, command: Vec<String>) -> anyhow::Result<i32> {
    let (inputs, queue) = mpsc::channel(CHUNKS_MAX);
    let start = proto::keelson::api::v1::ExecStart { command, stdin: false, ..session.start.clone() };
    inputs.send(input(exec_input::Input::Start(start))).await.context("starting the check")?;
    let code = drain(remote, queue, |_| Ok(())).await;
    drop(inputs);
    code
}

/// Runs an exec call to its end; standard output goes to a function, errors to ours.
async fn drain(
    remote: &Remote,
    queue: mpsc::Receiver<ExecInput>,
    mut out: impl FnMut(Vec<u8>) -> anyhow::Result<()>,
) -> anyhow::Result<i32> {
    let answer = remote.streams().exec(ReceiverStream::new(queue)).await;
    let mut outputs = answer.map_err(|status| remote.failed(status))?.into_inner();
    let mut code = 0;
    while let Some(output) = outputs.next().await {
        match output.map_err(|status| remote.failed(status))?.output {
            Some(exec_output::Output::Stdout(data)) => out(data.to_vec())?,
            Some(exec_output::Output::Stderr(data)) => tell(&data),
            Some(exec_output::Output::ExitCode(exit)) => code = exit,
            _ => {}
        }
    }
    Ok(code)
}

/// What tar says of itself, for whoever listens.
fn tell(data: &[u8]) {
    let _nobody_listens = std::io::Write::write_all(&mut std::io::stderr(), data);
}

async fn forward(
    remote: &Remote,
    queue: mpsc::Receiver<ExecInput>,
    data: mpsc::Sender<Vec<u8>>,
) -> anyhow::Result<i32> {
    let answer = remote.streams().exec(ReceiverStream::new(queue)).await;
    let mut outputs = answer.map_err(|status| remote.failed(status))?.into_inner();
    let mut code = 0;
    while let Some(output) = outputs.next().await {
        match output.map_err(|status| remote.failed(status))?.output {
            Some(exec_output::Output::Stdout(bytes)) if data.send(bytes.to_vec()).await.is_err() => break, // unpacking failed, and says why
            Some(exec_output::Output::Stderr(bytes)) => tell(&bytes),
            Some(exec_output::Output::ExitCode(exit)) => code = exit,
            _ => {}
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_in_every_form() {
        let pod = |namespace: Option<&str>, pod: &str, path: &str| Place::Pod {
            namespace: namespace.map(str::to_owned),
            pod: pod.into(),
            path: path.into(),
        };
        assert_eq!(Place::parse("p:/tmp/x").unwrap(), pod(None, "p", "/tmp/x"));
        assert_eq!(Place::parse("ns/p:x").unwrap(), pod(Some("ns"), "p", "x"));
        assert_eq!(Place::parse("./a:b").unwrap(), Place::Local("./a:b".into()));
        assert_eq!(Place::parse("/a/b").unwrap(), Place::Local("/a/b".into()));
        assert!(Place::parse("p:").is_err());
    }

    #[test]
    fn what_is_packed_unpacks_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("src");
        std::fs::create_dir_all(source.join("sub")).unwrap();
        std::fs::write(source.join("sub/a.txt"), "hello").unwrap();
        let (inputs, mut queue) = mpsc::channel(CHUNKS_MAX);
        pack(&source, "src", inputs).unwrap();
        let (data, received) = mpsc::channel(CHUNKS_MAX);
        while let Some(message) = queue.blocking_recv() {
            if let Some(exec_input::Input::Stdin(bytes)) = message.input {
                data.blocking_send(bytes.to_vec()).unwrap();
            }
        }
        drop(data);
        let out = dir.path().join("out");
        unpack(Received { data: received, rest: Vec::new() }, "src", &out).unwrap();
        assert_eq!(std::fs::read_to_string(out.join("sub/a.txt")).unwrap(), "hello");
    }

    #[test]
    fn a_path_that_leads_outside_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.as_gnu_mut().unwrap().name[..10].copy_from_slice(b"../../evil");
        header.set_cksum();
        builder.append(&header, &b"x"[..]).unwrap();
        let (data, received) = mpsc::channel(1);
        data.blocking_send(builder.into_inner().unwrap()).unwrap();
        drop(data);
        assert!(unpack(Received { data: received, rest: Vec::new() }, "x", &dir.path().join("out")).is_err());
    }
}
