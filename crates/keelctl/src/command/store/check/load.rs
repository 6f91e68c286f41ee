//! The sizes of both checks, as etcdctl has them.

use std::fmt;

/// etcdctl's names, and the long forms of its help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Load {
    #[value(alias = "small")]
    S,
    #[value(alias = "medium")]
    M,
    #[value(alias = "large")]
    L,
    #[value(alias = "xLarge")]
    Xl,
}

/// A steady rate.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub writes_per_second: u64,
    pub clients: usize,
}

/// A data set.
#[derive(Clone, Copy, Debug)]
pub struct Data {
    pub pairs: u64,
    pub clients: usize,
}

impl Load {
    pub fn rate(self) -> Rate {
        let (writes_per_second, clients) = match self {
            Self::S => (150, 50),
            Self::M => (1000, 200),
            Self::L => (8000, 500),
            Self::Xl => (15_000, 1000),
        };
        Rate { writes_per_second, clients }
    }

    pub fn data(self) -> Data {
        let (pairs, clients) = match self {
            Self::S => (10_000, 50),
            Self::M => (100_000, 200),
            Self::L => (1_000_000, 500),
            Self::Xl => (3_000_000, 1000),
        };
        Data { pairs, clients }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S => "s",
            Self::M => "m",
            Self::L => "l",
            Self::Xl => "xl",
        })
    }
}
