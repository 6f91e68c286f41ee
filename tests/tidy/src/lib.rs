//! Laws of the source tree itself: which crate may use which, how files are named.
