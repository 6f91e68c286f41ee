//! The quota's early warning: once when four fifths are used, and once when it is over. Pure.

/// Used parts of a hundred from which on it is told, and below which it is over: the space between keeps it quiet.
const WARN_PERCENT: u64 = 80;
const CALM_PERCENT: u64 = 75;

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    NearlyUsed { percent: u64 },
    Calm { percent: u64 },
}

#[derive(Default)]
pub struct Watch {
    warned: bool,
}

/// How much of a quota is used, in parts of a hundred; nothing of one that has no bound.
fn percent(used: u64, quota: u64) -> u64 {
    used.saturating_mul(100).checked_div(quota).unwrap_or(0)
}

/// How much of a quota is used: 1 is all of it.
pub fn ratio(used: u64, quota: u64) -> f64 {
    if quota == 0 { 0.0 } else { used as f64 / quota as f64 }
}

impl Watch {
    /// Looks at the bytes in use.
    pub fn look(&mut self, used: u64, quota: u64) -> Option<Notice> {
        let percent = percent(used, quota);
        let (warn, calm) = (percent >= WARN_PERCENT, percent < CALM_PERCENT);
        match self.warned {
            false if warn => {
                self.warned = true;
                Some(Notice::NearlyUsed { percent })
            }
            true if calm => {
                self.warned = false;
                Some(Notice::Calm { percent })
            }
            _ => None,
        }
    }
}

impl Notice {
    pub fn log(self) {
        match self {
            Self::NearlyUsed { percent } => tracing::warn!(
                "{percent} % of --quota-backend-bytes are used: puts are refused when all of it is; delete and compact, or raise it"
            ),
            Self::Calm { percent } => tracing::info!("only {percent} % is used of --quota-backend-bytes again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_each_way() {
        let mut watch = Watch::default();
        for (used, expect) in [
            (10, None),
            (79, None),
            (80, Some(Notice::NearlyUsed { percent: 80 })),
            (100, None),
            (76, None),
            (82, None),
            (74, Some(Notice::Calm { percent: 74 })),
            (74, None),
            (120, Some(Notice::NearlyUsed { percent: 120 })),
        ] {
            assert_eq!(watch.look(used, 100), expect, "{used} of 100");
        }
        assert_eq!(Watch::default().look(u64::MAX, 0), None, "no quota, no warning");
    }
}
