//! A terminal of this machine: what a user sits at, for programs that ask whether somebody does.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::pty::{self, OpenptFlags};
use rustix::termios::{self, LocalModes, Winsize};

use crate::wait;

/// A new terminal of a size: the user's side of it, and the program's.
pub fn open(columns: u16, rows: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = pty::openpt(flags)?;
    pty::grantpt(&ours)?;
    pty::unlockpt(&ours)?;
    resize(&ours, columns, rows)?;
    let theirs = pty::ioctl_tiocgptpeer(&ours, flags)?;
    Ok((ours, theirs))
}

/// Makes the window larger or smaller; whoever runs in the foreground is sent SIGWINCH.
pub fn resize(terminal: &OwnedFd, columns: u16, rows: u16) -> io::Result<()> {
    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(termios::tcsetwinsize(terminal, size)?)
}

/// A command's program and arguments with a terminal as its standard streams, which is its controlling terminal too.
///
/// Ctrl-C reaches it even when this process was started to ignore it, as `nohup` and a script's `&` do: what is
/// ignored is handed down, and a shell cannot trap it.
pub fn on(theirs: OwnedFd, command: &Command) -> io::Result<Command> {
    let mut wrapped = Command::new("env");
    wrapped
        .args(["--default-signal=INT,QUIT", "setsid", "--ctty", "--wait"])
        .arg(command.get_program())
        .args(command.get_args());
    wrapped.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
    Ok(wrapped)
}

/// The user's side: keys to press, a screen to read, a window to resize.
pub struct Terminal {
    ours: OwnedFd,
    /// All that was written, read by a thread that ends when the last program has closed the terminal.
    screen: Arc<Mutex<Vec<u8>>>,
    /// So many bytes of it were waited for.
    seen: usize,
}

impl Terminal {
    /// Sits down at the user's side of a terminal.
    pub fn new(ours: OwnedFd) -> io::Result<Self> {
        let screen = Arc::default();
        let mut from = File::from(ours.try_clone()?);
        let to: Arc<Mutex<Vec<u8>>> = Arc::clone(&screen);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                to.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
            }
        });
        Ok(Self { ours, screen, seen: 0 })
    }

    /// Presses keys.
    pub fn press(&self, keys: &str) -> io::Result<()> {
        File::from(self.ours.try_clone()?).write_all(keys.as_bytes())
    }

    /// Resizes the window.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        resize(&self.ours, columns, rows)
    }

    /// Waits until `text` stands on the screen after what was waited for before; gives what came up to its end.
    ///
    /// The error tells what stands there instead.
    pub fn await_text(&mut self, text: &str, limit: Duration) -> Result<String> {
        let (screen, seen) = (&self.screen, self.seen);
        let shown = wait::until(&format!("{text:?} on the screen"), limit, || {
            let all = screen.lock().unwrap_or_else(PoisonError::into_inner);
            let new = String::from_utf8_lossy(&all[seen..]).into_owned();
            match new.find(text) {
                Some(place) => Ok(Some(new[..place + text.len()].to_owned())),
                None => bail!("the screen shows {new:?}"),
            }
        })?;
        self.seen += shown.len();
        Ok(shown)
    }

    /// Whether the terminal itself edits lines, echoes keys and makes signals of Ctrl-C and the like, as it does for
    /// whoever has not asked for raw keys.
    pub fn is_cooked(&self) -> Result<bool> {
        let modes = termios::tcgetattr(&self.ours).context("reading the terminal's modes")?.local_modes;
        Ok(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_program_sees_the_size_and_ctrl_c() {
        let (ours, theirs) = open(91, 33).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "stty size; trap 'echo got-int; exit 3' INT; echo ready; while :; do sleep 0.05; done"]);
        let mut child = on(theirs, &command).unwrap().spawn().unwrap();
        let mut terminal = Terminal::new(ours).unwrap();
        assert_eq!(terminal.await_text("ready", LIMIT).unwrap(), "33 91\r\nready");
        assert!(terminal.is_cooked().unwrap());
        terminal.press("\x03").unwrap();
        terminal.await_text("got-int", LIMIT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3));
        let error = terminal.await_text("never", Duration::from_millis(1)).unwrap_err();
        assert!(format!("{error:#}").contains("the screen shows"), "{error:#}");
    }
}
