//! A client that never stops asking, each time by a new connection, and counts what went wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use testkit::{http, wait};

/// What the client saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests that were answered 200.
    pub good: usize,
    /// What the others met, with the time since the start.
    pub bad: Vec<String>,
    /// Bodies in the order of their first sight.
    pub bodies: Vec<String>,
}

/// A client that runs on a thread of its own.
pub struct Client {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    thread: JoinHandle<Seen>,
}

impl Client {
    /// Starts asking `server` for `/` from inside `network`.
    pub fn start(network: Option<&str>, server: SocketAddr, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let network = network.map(str::to_owned);
        let stopped = Arc::clone(&stop);
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            let began = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                count.fetch_add(1, Ordering::Relaxed);
                match http::get(network.as_deref(), server, "/") {
                    Ok(answer) if answer.status == 200 => {
                        seen.good += 1;
                        if !seen.bodies.contains(&answer.body) {
                            seen.bodies.push(answer.body);
                        }
                    }
                    other => seen.bad.push(format!("after {:.1} s: {other:?}", began.elapsed().as_secs_f32())),
                }
                wait::pause(pause);
            }
            seen
        });
        Self { stop, made, thread }
    }

    /// How many requests were made so far.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Stops asking and tells what was seen.
    pub fn finish(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the client panicked"))
    }
}
