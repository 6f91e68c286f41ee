//! Named pipes that carry a container's streams.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::stat::Mode;

use crate::{Result, at, at_errno};

/// Makes a named pipe for its owner only; fine when it exists.
pub fn make(path: &Path) -> Result<()> {
    match nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600)) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(()),
        Err(errno) => Err(at_errno("make fifo", path)(errno)),
    }
}

/// Opens the reading end without waiting for a writer; reads return `WouldBlock` while there is nothing.
pub fn open_read(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(at("open fifo", path))
}

/// Opens both ends: holds the pipe and what is in it, and lets a reader be opened or a writer come later.
pub fn open_both(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(at("open fifo", path))
}

/// Waits until a read would not block: there is something, or the last writer is gone. A pipe that no writer has opened
/// yet is waited for.
pub fn wait_readable(file: &impl AsFd) {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    // An interrupted wait looks like an early one; the caller reads and comes back.
    let _ = nix::poll::poll(&mut fds, PollTimeout::NONE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn what_is_in_a_pipe_survives_its_reader_while_someone_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        make(&path).unwrap();
        make(&path).unwrap();
        let mut keeper = open_both(&path).unwrap();
        drop(open_read(&path).unwrap());
        keeper.write_all(b"line\n").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(open_read(&path).unwrap().read(&mut buffer).unwrap(), 5);
    }
}
