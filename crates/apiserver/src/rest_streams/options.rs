//! What a request for a stream asks for: PodExecOptions, PodAttachOptions, PodPortForwardOptions.

use proto::keelson::api::v1::{ExecStart, PodRef};

use crate::rest::query::Query;
use crate::status::{Failure, Result};

/// Ports of one request over plain WebSocket channels: the number of each channel is one ASCII character in base64.
const PORTS_MAX: usize = 39;

/// Whether a command is begun or a container joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `pods/exec`.
    Exec,
    /// `pods/attach`.
    Attach,
}

impl Kind {
    /// The subresource.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Attach => "attach",
        }
    }
}

/// Reads what an exec or an attach is to start. The pod and the container are as they were asked for.
pub fn exec(kind: Kind, pod: PodRef, query: &str) -> ExecStart {
    let query = Query::parse(query);
    let command = match kind {
        Kind::Exec => query.all("command").map(str::to_owned).collect(),
        Kind::Attach => Vec::new(),
    };
    let tty = query.flag("tty");
    ExecStart {
        pod: Some(pod),
        container: query.text("container").to_owned(),
        command,
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        // A terminal has one output.
        stderr: query.flag("stderr") && !tty,
        tty,
    }
}

/// Refuses what a kubelet would refuse.
pub fn check(kind: Kind, start: &ExecStart) -> Result<()> {
    if !start.stdin && !start.stdout && !start.stderr {
        return Err(Failure::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    if kind == Kind::Exec && start.command.is_empty() {
        return Err(Failure::bad_request("you must specify at least 1 command for the container"));
    }
    Ok(())
}

/// Reads the ports that plain WebSocket channels are asked for: `ports`, several times or with commas.
pub fn ports(query: &str) -> Result<Vec<u16>> {
    let query = Query::parse(query);
    let ports: Vec<u16> =
        query.all("ports").flat_map(|value| value.split(',')).map(port).collect::<Result<Vec<u16>>>()?;
    match ports.len() {
        0 => Err(Failure::bad_request("query parameter \"ports\" is required: a WebSocket names its ports in the URL")),
        1..=PORTS_MAX => Ok(ports),
        many => Err(Failure::bad_request(format!("{many} ports are asked for, and {PORTS_MAX} fit into one request"))),
    }
}

/// Reads a port.
pub fn port(text: &str) -> Result<u16> {
    match text.parse::<u16>() {
        Ok(0) => Err(Failure::bad_request(format!("port \"{text}\" must be > 0"))),
        Ok(port) => Ok(port),
        Err(error) => Err(Failure::bad_request(format!("unable to parse \"{text}\" as a port: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exec_is_what_its_query_says() {
        let query = "container=c&command=sh&command=-c&stdin=true&stdout=true&stderr=true&tty=true";
        let start = exec(Kind::Exec, PodRef::default(), query);
        assert_eq!(start.command, ["sh", "-c"]);
        assert_eq!(start.container, "c");
        assert!(start.stdin && start.stdout && start.tty);
        assert!(!start.stderr, "a terminal has one output");
        check(Kind::Exec, &start).expect("a good one");
        assert!(exec(Kind::Attach, PodRef::default(), query).command.is_empty());
    }

    #[test]
    fn nothing_to_stream_or_to_run_is_refused() {
        let none = exec(Kind::Exec, PodRef::default(), "command=ls");
        assert!(check(Kind::Exec, &none).expect_err("no stream").to_string().contains("at least 1 of stdin"));
        let idle = exec(Kind::Exec, PodRef::default(), "stdout=1");
        assert!(check(Kind::Exec, &idle).expect_err("no command").to_string().contains("at least 1 command"));
        check(Kind::Attach, &idle).expect("an attach has no command");
    }

    #[test]
    fn ports_are_numbers_above_zero() {
        assert_eq!(ports("ports=80&ports=443,8080").expect("ports"), [80, 443, 8080]);
        for bad in ["", "ports=", "ports=0", "ports=-1", "ports=65536", "ports=http", "ports=80,"] {
            assert_eq!(ports(bad).expect_err(bad).code(), 400, "{bad}");
        }
        let many: Vec<String> = (1..=40).map(|port| format!("ports={port}")).collect();
        assert!(ports(&many.join("&")).expect_err("too many").to_string().contains("39 fit"));
    }
}
