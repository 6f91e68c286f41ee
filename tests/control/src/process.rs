//! An apiserver as a process of its own, on stores that somebody else looks after.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use client::Client;
use testkit::pki::Pki;

use crate::{apiserver_flags, client_config, eventually, free_port, identities};

/// Dropping it ends the process.
pub struct Process {
    child: Child,
    pki: Pki,
    address: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// Returns when it is ready. `stores` are URLs.
    pub async fn start(folder: &Path, stores: &[String]) -> Self {
        let pki = Pki::new(folder.join("pki"));
        pki.ensure(&identities()).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let log = folder.join("apiserver.log");
        let output = std::fs::File::create(&log).unwrap();
        let program = test_store::binary().unwrap().with_file_name("keelson-apiserver");
        let child = Command::new(&program)
            .args(apiserver_flags(&pki, &stores.join(","), address.port()))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run `cargo build -p apiserver`", program.display()));
        let process = Self { child, pki, address, log };
        let services = process.client("admin").api::<proto::core::v1::Service>();
        eventually("the apiserver is ready", async || services.get("default", "kubernetes").await.ok().map(drop)).await;
        process
    }

    /// A client with the certificate of that name.
    pub fn client(&self, who: &str) -> Client {
        Client::new(client_config(&self.pki, Some(who), self.address)).unwrap()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
