//! The rules of the control plane over HTTP, on a clock that stands still until it is told to go on.
#![expect(
    clippy::format_push_string,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod admin;
mod blue_green;
mod client;
mod faults;
mod group_writes;
mod keys;
mod offers;
mod outages;
mod protocol;
mod proxies;
mod raw;
mod rename;
mod restore;
mod rules;
mod saved_state;
mod servers;
mod services;
mod sharing;
mod subscriptions;

use client::Bench;

/// Knobs without which Describe shows the truth at once.
const NO_LAG: &str = "\n[knobs]\ndescribe_lag = [0, 0]\n";
