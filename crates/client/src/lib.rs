//! API client, informers, work queue, leader election, event recorder.
