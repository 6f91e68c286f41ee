//! A node, two pods and a client outside, as network namespaces that are removed with the value.

#![allow(clippy::unwrap_used)] // test support

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module.
pub struct Net {
    pub node: String,
    prefix: String,
    servers: Mutex<Vec<Child>>,
}

impl Net {
    /// A namespace without any link.
    pub fn node_only(name: &str) -> Self {
        let prefix = format!("kp{}{name}", std::process::id());
        let this = Self { node: format!("{prefix}-node"), prefix, servers: Mutex::default() };
        this.host(&["ip", "netns", "add", &this.node]);
        this.run(&this.node, &["ip", "link", "set", "lo", "up"]);
        this
    }

    /// Node, pods a and b behind its bridge, and a client.
    pub fn with_pods(name: &str) -> Self {
        let this = Self::node_only(name);
        for other in ["a", "b", "client"] {
            this.host(&["ip", "netns", "add", &this.space(other)]);
            this.run(&this.space(other), &["ip", "link", "set", "lo", "up"]);
        }
        this.ip("node", "link add name br0 type bridge");
        this.ip("node", "addr add 10.244.0.1/24 dev br0");
        this.ip("node", "link set br0 up");
        for (pod, address) in [("a", "10.244.0.2/24"), ("b", "10.244.0.3/24")] {
            this.link(pod, address, "10.244.0.1");
            this.ip("node", &format!("link set v-{pod} master br0"));
            // As pod networks do: with br_netfilter, a packet that is translated back to its sender is bridged, not routed.
            this.run(&this.node, &["bridge", "link", "set", "dev", &format!("v-{pod}"), "hairpin", "on"]);
        }
        this.link("client", "192.0.2.9/24", "192.0.2.1");
        this.ip("node", "addr add 192.0.2.1/24 dev v-client");
        // As on any machine, packets to cluster IPs need some route to be sent at all.
        this.ip("node", "route add default via 192.0.2.9");
        this.run(&this.node, &["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
        this
    }

    /// Connects a namespace with the node by a veth pair: `eth0` there, `v-NAME` here.
    fn link(&self, name: &str, address: &str, gateway: &str) {
        let space = self.space(name);
        self.ip("node", &format!("link add name v-{name} type veth peer name eth0 netns {space}"));
        self.ip("node", &format!("link set v-{name} up"));
        self.ip(name, &format!("addr add {address} dev eth0"));
        self.ip(name, "link set eth0 up");
        self.ip(name, &format!("route add default via {gateway}"));
    }

    fn ip(&self, space: &str, args: &str) {
        let args: Vec<&str> = std::iter::once("ip").chain(args.split(' ')).collect();
        self.run(&self.space(space), &args);
    }

    fn space(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// The command line that runs a command in a namespace.
    pub fn enter(&self, space: &str, command: &[&str]) -> Vec<String> {
        let enter = ["nsenter".to_owned(), format!("--net=/run/netns/{space}"), "--".to_owned()];
        enter.into_iter().chain(command.iter().map(|word| (*word).to_owned())).collect()
    }

    /// Runs a command in a namespace; it must succeed.
    pub fn run(&self, space: &str, command: &[&str]) -> String {
        let command = self.enter(space, command);
        self.host(&command.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[track_caller]
    fn host(&self, command: &[&str]) -> String {
        let output = Command::new(command[0]).args(&command[1..]).output();
        let output = output.unwrap_or_else(|error| {
            panic!("{}: {error}; install it (apt install nftables iproute2 procps util-linux conntrack)", command[0])
        });
        assert!(output.status.success(), "{command:?}: {} (root is needed)", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Answers every TCP connection to the pod's port with its name.
    pub fn serve_tcp(&self, pod: &str, port: u16) {
        self.serve(pod, &format!("serve-tcp {pod} {port}"));
        self.until(pod, || self.ask(pod, "127.0.0.1", port));
    }

    /// Answers every UDP packet to the pod's port with its name.
    pub fn serve_udp(&self, pod: &str, port: u16) {
        self.serve(pod, &format!("serve-udp {pod} {port}"));
        self.until(pod, || self.ask_udp(pod, "127.0.0.1", port, 0));
    }

    fn until(&self, expect: &str, ask: impl Fn() -> String) {
        let answered = (0..200).any(|_| ask() == expect);
        assert!(answered, "the server of {expect} does not answer");
    }

    /// Connects and gives the answer, or "refused", or what went wrong.
    pub fn ask(&self, from: &str, ip: &str, port: u16) -> String {
        self.helper_answer(from, &format!("ask-tcp {ip}:{port}"))
    }

    /// Sends a packet from a source port and gives the answer.
    pub fn ask_udp(&self, from: &str, ip: &str, port: u16, source: u16) -> String {
        self.helper_answer(from, &format!("ask-udp {ip}:{port} {source}"))
    }

    fn serve(&self, pod: &str, order: &str) {
        let child = self.helper(pod, order).stdout(Stdio::null()).spawn();
        self.servers.lock().unwrap().push(child.unwrap());
    }

    fn helper_answer(&self, from: &str, order: &str) -> String {
        let output = self.helper(from, order).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let answer = text.lines().find_map(|line| line.split_once(ANSWER));
        answer.map_or_else(|| format!("no answer: {text}"), |(_, answer)| answer.to_owned())
    }

    /// This test binary again, in a namespace, as [`helper`].
    fn helper(&self, space: &str, order: &str) -> Command {
        let myself = std::env::current_exe().unwrap();
        let command = self.enter(
            &self.space(space),
            &[myself.to_str().unwrap(), "--exact", "net::helper", "--ignored", "--nocapture"],
        );
        let mut helper = Command::new(&command[0]);
        helper.args(&command[1..]).env(ORDER, order).stdin(Stdio::null()).stderr(Stdio::null());
        helper
    }
}

const ORDER: &str = "KEELSON_TEST_HELPER";
const ANSWER: &str = "ANSWER ";

/// Not a test: what runs inside a namespace. Orders: `serve-tcp NAME PORT`, `serve-udp NAME PORT`, `ask-tcp ADDRESS`,
/// `ask-udp ADDRESS SOURCEPORT`.
#[test]
#[ignore = "the servers and clients of the other tests"]
fn helper() {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    let words: Vec<&str> = order.split(' ').collect();
    let any = |port: &str| std::net::SocketAddr::from(([0, 0, 0, 0], port.parse().unwrap()));
    let answer = match words[..] {
        ["serve-tcp", name, port] => {
            for stream in TcpListener::bind(any(port)).unwrap().incoming() {
                let _gone = stream.unwrap().write_all(name.as_bytes());
            }
            return;
        }
        ["serve-udp", name, port] => {
            let socket = UdpSocket::bind(any(port)).unwrap();
            loop {
                let (_, from) = socket.recv_from(&mut [0; 64]).unwrap();
                let _gone = socket.send_to(name.as_bytes(), from);
            }
        }
        ["ask-tcp", address] => ask_tcp(address.parse().unwrap()),
        ["ask-udp", address, source] => ask_udp(address.parse().unwrap(), any(source)),
        _ => panic!("unknown order {order}"),
    };
    match answer {
        Ok(text) => println!("\n{ANSWER}{text}"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => println!("\n{ANSWER}refused"),
        Err(error) => println!("\n{ANSWER}{error}"),
    }
}

fn ask_tcp(address: std::net::SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn ask_udp(address: std::net::SocketAddr, source: std::net::SocketAddr) -> std::io::Result<String> {
    let socket = UdpSocket::bind(source)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let count = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

impl Drop for Net {
    fn drop(&mut self) {
        for server in self.servers.lock().unwrap().iter_mut() {
            let _ended = server.kill();
            let _reaped = server.wait();
        }
        for name in ["a", "b", "client", "node"] {
            let _absent = Command::new("ip").args(["netns", "del", &self.space(name)]).stderr(Stdio::null()).status();
        }
    }
}
