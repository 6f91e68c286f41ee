//! Who may connect though all places are taken: nobody can keep an administrator out by opening connections.
//!
//! Beyond the limit connections are accepted still, but only those stay whose certificate says that they may. Until it is known
//! a connection is on probation; when many are, the oldest ends. So a flood turns over, and never stops the next.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::tls::Peer;

/// Connections on probation.
const PROBATION_MAX: usize = 256;
/// Connections beyond the limit that may stay.
const LANE_LEN: usize = 256;

/// Whose certificate opens the lane.
pub type Admits = fn(&Peer) -> bool;

/// The place of a connection.
#[derive(Debug)]
pub enum Place {
    /// It has one.
    Taken(OwnedSemaphorePermit),
    /// It has to show that it may have one.
    Probation { over: CancellationToken, admits: Admits, places: Arc<Semaphore> },
}

impl Place {
    /// Ends when the connection is given up before it has shown who it is.
    pub fn over(&self) -> CancellationToken {
        match self {
            Self::Taken(_) => CancellationToken::new(),
            Self::Probation { over, .. } => over.clone(),
        }
    }

    /// The place of who has shown this certificate; `None`: it has none.
    pub fn of(self, peer: Option<&Peer>) -> Option<OwnedSemaphorePermit> {
        match self {
            Self::Taken(place) => Some(place),
            Self::Probation { admits, places, .. } => {
                peer.filter(|peer| admits(peer)).and(places.try_acquire_owned().ok())
            }
        }
    }
}

/// Gives places.
#[derive(Debug)]
pub struct Lane {
    admits: Admits,
    places: Arc<Semaphore>,
    probation: VecDeque<CancellationToken>,
}

impl Lane {
    /// For those whose certificate `admits` knows.
    pub fn new(admits: Admits) -> Self {
        Self { admits, places: Arc::new(Semaphore::new(LANE_LEN)), probation: VecDeque::new() }
    }

    /// A connection beyond the limit.
    pub fn place(&mut self) -> Place {
        let over = CancellationToken::new();
        self.probation.push_back(over.clone());
        if self.probation.len() > PROBATION_MAX
            && let Some(oldest) = self.probation.pop_front()
        {
            oldest.cancel();
        }
        Place::Probation { over, admits: self.admits, places: Arc::clone(&self.places) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_may_stays_and_the_oldest_on_probation_goes_first() {
        let mut lane = Lane::new(|peer| peer.common_name == "admin");
        let peer = |name: &str| Peer { common_name: name.into(), organizations: vec![] };
        let first = lane.place();
        let over = first.over();
        assert!(lane.place().of(Some(&peer("mallory"))).is_none() && lane.place().of(None).is_none());
        assert!(lane.place().of(Some(&peer("admin"))).is_some());
        for _ in 4..PROBATION_MAX {
            lane.place();
        }
        assert!(!over.is_cancelled());
        lane.place();
        assert!(over.is_cancelled());
    }
}
