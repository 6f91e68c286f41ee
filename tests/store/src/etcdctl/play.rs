//! Runs a script's steps against one server.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use regex::Regex;

use super::normal::{Names, Normal, errors, message};
use super::script::{self, Step};
use crate::real::Release;

/// How long a command that runs beside may take to print what is expected of it.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Player {
    release: Release,
    endpoint: String,
    normal: Normal,
    id: Regex,
    names: Names,
    /// What `$NAME` stands for.
    variables: BTreeMap<String, String>,
    running: BTreeMap<String, Running>,
}

struct Running {
    child: Child,
    printed: Arc<Printed>,
}

/// Whose output it is: ids and addresses, by name.
pub struct Own<'a> {
    pub endpoint: &'a str,
    pub peer_url: &'a str,
    pub member: u64,
    pub cluster: u64,
    /// For files that commands write.
    pub folder: &'a Path,
}

impl Player {
    pub fn new(release: &Release, own: &Own<'_>) -> Result<Self> {
        let folder = own.folder.to_str().context("a folder with a plain name")?;
        let mut names = Names::default();
        names.add_id(own.member, "$MEMBER");
        names.add_id(own.cluster, "$CLUSTER");
        let variables = [
            ("ENDPOINT", own.endpoint.to_owned()),
            ("PEER", own.peer_url.to_owned()),
            ("DIR", folder.to_owned()),
            ("MEMBER", format!("{:x}", own.member)),
        ];
        for (name, value) in &variables[..3] {
            names.add(value, &format!("${name}"));
        }
        Ok(Self {
            release: release.clone(),
            endpoint: own.endpoint.to_owned(),
            normal: Normal::new()?,
            id: Regex::new(r"[0-9a-f]{13,16}")?,
            names,
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            running: BTreeMap::new(),
        })
    }

    /// What a step prints, without what is this server's own.
    pub fn step(&mut self, step: &Step) -> Result<String> {
        match step {
            Step::Run(command) => self.run(command),
            Step::Next => self.next(),
            Step::Start(name, command) => {
                let running = Running::start(self.command(command)?, &self.filled(&command.input))?;
                self.running.insert(name.clone(), running);
                Ok(String::new())
            }
            Step::Lines { name, count, keep } => {
                let printed = self.running.get_mut(name).context("it was not started")?.lines(*count)?;
                if let Some(keep) = keep {
                    self.keep(&printed, keep)?;
                }
                Ok(String::new())
            }
            Step::Stop(name) => {
                let printed = self.running.remove(name).context("it was not started")?.stop()?;
                Ok(self.normal.text(&printed, &self.names))
            }
        }
    }

    fn command(&self, command: &script::Command) -> Result<Command> {
        let mut etcdctl = self.release.etcdctl();
        etcdctl.args(["--endpoints", &self.endpoint, "--dial-timeout", "10s", "--command-timeout", "30s"]);
        etcdctl.args(command.words.iter().map(|word| self.filled(word)));
        Ok(etcdctl)
    }

    fn filled(&self, word: &str) -> String {
        let fill = |word: String, (name, value): (&String, &String)| word.replace(&format!("${name}"), value);
        self.variables.iter().fold(word.to_owned(), fill)
    }

    fn run(&mut self, command: &script::Command) -> Result<String> {
        let mut etcdctl = self.command(command)?;
        etcdctl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = etcdctl.spawn().context("etcdctl does not start; install it: apt-get install etcd-client")?;
        // A command that reads nothing may have ended.
        drop(child.stdin.take().context("a pipe")?.write_all(self.filled(&command.input).as_bytes()));
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if let Some(keep) = &command.keep {
            self.keep(&String::from_utf8_lossy(&output.stdout), keep)?;
        }
        let answer = match command.words.last().is_some_and(|word| word == "protobuf") {
            true => message(&output.stdout),
            false => self.normal.text(&String::from_utf8_lossy(&output.stdout), &self.names),
        };
        let ended = output.status.code().map_or("by a signal".to_owned(), |code| code.to_string());
        Ok(format!("{answer}{}ended {ended}\n", self.normal.text(&errors(&said), &self.names)))
    }

    fn next(&mut self) -> Result<String> {
        let output =
            self.release.etcdctl().args(["--endpoints", &self.endpoint, "get", "none", "-w", "json"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let revision =
            text.split_once("\"revision\":").and_then(|(_, rest)| rest.split_once(',')?.0.parse::<i64>().ok());
        let next = revision.with_context(|| format!("no revision in {text}"))? + 1;
        self.variables.insert("NEXT".to_owned(), next.to_string());
        Ok(format!("next is {next}\n"))
    }

    /// Gives the first new id in a text a name.
    fn keep(&mut self, text: &str, name: &str) -> Result<()> {
        let known = |id: &str| self.variables.values().any(|value| value == id);
        let found = self.id.find_iter(text).map(|found| found.as_str()).find(|id| !known(id));
        let id = found.with_context(|| format!("no id for {name} in {text}"))?.to_owned();
        self.names.add_id(u64::from_str_radix(&id, 16)?, &format!("${name}"));
        self.variables.insert(name.to_owned(), id);
        Ok(())
    }
}

impl Running {
    fn start(mut command: Command, input: &str) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("etcdctl does not start; install it: apt-get install etcd-client")?;
        // Its input stays open as long as it runs: some end with it.
        child.stdin.as_mut().context("a pipe")?.write_all(input.as_bytes())?;
        let printed = Arc::new(Printed::default());
        let (mut stdout, into) = (child.stdout.take().context("a pipe")?, printed.clone());
        // Ends with the command.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = stdout.read(&mut buffer) {
                into.add(&buffer[..len]);
            }
            into.end();
        });
        Ok(Self { child, printed })
    }

    fn lines(&self, count: usize) -> Result<String> {
        self.printed.until(|text, _| text.matches('\n').count() >= count)
    }

    fn stop(mut self) -> Result<String> {
        // It may have ended by itself.
        let _sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).stderr(Stdio::null()).status()?;
        let printed = self.printed.until(|_, ended| ended)?;
        self.child.wait()?;
        Ok(printed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// What a command has printed so far, and whether that is all.
#[derive(Default)]
struct Printed {
    so_far: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

impl Printed {
    fn add(&self, bytes: &[u8]) {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner).0.extend_from_slice(bytes);
        self.more.notify_all();
    }

    fn end(&self) {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.more.notify_all();
    }

    fn until(&self, enough: impl Fn(&str, bool) -> bool) -> Result<String> {
        let so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |so_far: &mut (Vec<u8>, bool)| !enough(&String::from_utf8_lossy(&so_far.0), so_far.1);
        let waited = self.more.wait_timeout_while(so_far, PATIENCE, missing);
        let (so_far, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&so_far.0).into_owned();
        ensure!(!timeout.timed_out(), "more is to come, or the end; so far came {text:?}");
        Ok(text)
    }
}
