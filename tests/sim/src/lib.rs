//! The store in a simulated world. [`linear`] decides whether a history is linearizable.

pub mod linear;
