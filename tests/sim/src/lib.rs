//! The store in a simulated world: whole members on one thread, in virtual time, over a network and disks that fail, all
//! from one seed.
//!
//! [`run`] is one run: [`keeper`]s keep members alive, [`client`]s work on them, the [`nemesis`] does harm, then heals; the
//! invariants ([`invariant`], one file each) watch all the while and judge at the end. [`seeds`] runs many. [`planted`]
//! names bugs that the runs must find. [`linear`] decides whether a history is linearizable.

pub mod client;
pub mod dice;
pub mod history;
pub mod invariant;
pub mod keeper;
pub mod linear;
pub mod nemesis;
pub mod net;
pub mod planted;
pub mod run;
pub mod seeds;
pub mod world;
