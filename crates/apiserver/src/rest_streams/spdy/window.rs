//! Which streams of a connection are open, and how much may be sent on them.
//!
//! Kubernetes' own clients overlook SPDY's flow control: they neither ask for it nor ever say that there is room. So a
//! window counts from the first sign that the client keeps one; until then the connection itself holds us back.

use std::collections::HashMap;

/// Room that each side has at the beginning, for a stream and for the connection.
pub const WINDOW_BYTES: u32 = 64 << 10;
/// Of what arrived so much is passed on before the client hears that there is room again.
const UPDATE_BYTES: u32 = WINDOW_BYTES / 4;
/// The setting that says how much room a stream has at the beginning.
pub const SETTINGS_INITIAL_WINDOW: u32 = 7;

#[derive(Debug)]
struct Stream {
    /// Below zero where more was sent than the client has room for.
    room: i64,
    /// What arrived and was passed on without the client's knowing.
    untold: u32,
    /// We may still send.
    open: bool,
    /// The client may still send.
    open_there: bool,
}

/// The streams of a connection.
#[derive(Debug)]
pub struct Windows {
    streams: HashMap<u32, Stream>,
    /// What a new stream has.
    initial: i64,
    /// What the whole connection has.
    room: i64,
    untold: u32,
    /// Whether the client keeps windows of streams, and one of the connection.
    keeps_streams: bool,
    keeps_connection: bool,
}

/// What may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    None,
    /// Nothing ever: the stream is closed.
    Closed,
}

impl Default for Windows {
    fn default() -> Self {
        let initial = i64::from(WINDOW_BYTES);
        Self {
            streams: HashMap::new(),
            initial,
            room: initial,
            untold: 0,
            keeps_streams: false,
            keeps_connection: false,
        }
    }
}

impl Windows {
    /// How many streams are open.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// A stream is opened.
    pub fn open(&mut self, stream: u32, fin: bool) {
        self.streams.insert(stream, Stream { room: self.initial, untold: 0, open: true, open_there: !fin });
    }

    /// Whether the client may send on the stream.
    pub fn receives(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.open_there)
    }

    /// A stream is gone at once. True where it was there.
    pub fn reset(&mut self, stream: u32) -> bool {
        self.streams.remove(&stream).is_some()
    }

    /// The client has no more for the stream.
    pub fn finish_there(&mut self, stream: u32) {
        self.change(stream, |stream| stream.open_there = false);
    }

    /// We have no more for the stream. False where it was closed already.
    pub fn finish(&mut self, stream: u32) -> bool {
        let was_open = self.streams.get(&stream).is_some_and(|stream| stream.open);
        self.change(stream, |stream| stream.open = false);
        was_open
    }

    fn change(&mut self, id: u32, change: impl FnOnce(&mut Stream)) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        change(stream);
        if !stream.open && !stream.open_there {
            self.streams.remove(&id);
        }
    }

    /// Takes room for at most so many bytes.
    pub fn take(&mut self, stream: u32, wanted: usize) -> Room {
        let Some(stream) = self.streams.get_mut(&stream).filter(|stream| stream.open) else { return Room::Closed };
        let mut bytes = i64::try_from(wanted).unwrap_or(i64::MAX);
        if self.keeps_streams {
            bytes = bytes.min(stream.room);
        }
        if self.keeps_connection {
            bytes = bytes.min(self.room);
        }
        if bytes <= 0 && wanted > 0 {
            return Room::None;
        }
        stream.room -= bytes;
        self.room -= bytes;
        Room::Bytes(usize::try_from(bytes).unwrap_or(0))
    }

    /// The client has room for more.
    pub fn widen(&mut self, stream: u32, delta: u32) {
        if stream == 0 {
            self.keeps_connection = true;
            self.room = self.room.saturating_add(delta.into());
            return;
        }
        self.keeps_streams = true;
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.room = stream.room.saturating_add(delta.into());
        }
    }

    /// The client says how much room its streams have at the beginning, those that are open included.
    pub fn set_initial(&mut self, initial: u32) {
        self.keeps_streams = true;
        let change = i64::from(initial) - self.initial;
        self.initial = initial.into();
        self.streams.values_mut().for_each(|stream| stream.room = stream.room.saturating_add(change));
    }

    /// What arrived was passed on: how much room to tell of, for the stream and for the connection.
    pub fn consume(&mut self, stream: u32, bytes: usize) -> (u32, u32) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let tell = |untold: &mut u32| {
            *untold = untold.saturating_add(bytes);
            if *untold >= UPDATE_BYTES { std::mem::take(untold) } else { 0 }
        };
        let of_stream = self.streams.get_mut(&stream).filter(|stream| stream.open_there);
        (of_stream.map_or(0, |stream| tell(&mut stream.untold)), tell(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_keeps_no_window_is_sent_everything() {
        let mut windows = Windows::default();
        windows.open(1, false);
        for _ in 0..100 {
            assert_eq!(windows.take(1, 30_000), Room::Bytes(30_000));
        }
        windows.widen(1, 1);
        assert_eq!(windows.take(1, 1), Room::None, "from now on it counts, with what was sent before");
    }

    #[test]
    fn a_window_that_is_kept_is_respected() {
        let mut windows = Windows::default();
        windows.set_initial(100);
        windows.open(1, false);
        assert_eq!(windows.take(1, 70), Room::Bytes(70));
        assert_eq!(windows.take(1, 70), Room::Bytes(30));
        assert_eq!(windows.take(1, 70), Room::None);
        windows.widen(1, 10);
        assert_eq!(windows.take(1, 70), Room::Bytes(10));
        windows.set_initial(150);
        assert_eq!(windows.take(1, 70), Room::Bytes(50), "a setting widens open streams");
        windows.open(3, false);
        windows.widen(0, 0);
        let (used, all) = (160, WINDOW_BYTES as usize);
        windows.widen(3, u32::MAX);
        assert_eq!(windows.take(3, all), Room::Bytes(all - used), "the connection has a window, too");
    }

    #[test]
    fn a_stream_is_forgotten_once_both_sides_are_done() {
        let mut windows = Windows::default();
        windows.open(1, true);
        assert!(!windows.receives(1));
        assert!(windows.finish(1) && !windows.finish(1));
        assert_eq!((windows.len(), windows.take(1, 1)), (0, Room::Closed));
        windows.open(3, false);
        assert!(windows.finish(3));
        assert_eq!((windows.take(3, 0), windows.receives(3)), (Room::Closed, true));
        windows.finish_there(3);
        assert_eq!(windows.len(), 0);
        windows.open(5, false);
        assert!(windows.reset(5) && !windows.reset(5));
    }

    #[test]
    fn room_is_told_of_in_large_pieces() {
        let mut windows = Windows::default();
        windows.open(1, false);
        let part = UPDATE_BYTES as usize / 2;
        assert_eq!(windows.consume(1, part), (0, 0));
        assert_eq!(windows.consume(1, part), (UPDATE_BYTES, UPDATE_BYTES));
        windows.finish_there(1);
        assert_eq!(windows.consume(1, part * 2), (0, UPDATE_BYTES), "nobody sends on the stream any more");
    }
}
