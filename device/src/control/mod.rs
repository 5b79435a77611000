//! The control socket: a bench looks at the running device, holds it, breaks it and traces it, beside its client.
//!
//! JSON lines in the manner of QEMU's machine protocol: a greeting, then requests `{"execute", "arguments", "id"}` with one
//! reply each, `{"return", "id"}` or `{"error": {"class", "desc"}, "id"}`, and events between them. `query-commands` tells
//! all there is: it reads the table from which requests are carried out ([`catalog`]).
//!
//! The files are in the order in which a request meets them: bytes become lines (`server`, `peer`), a line a request
//! (`protocol`), a request a command with checked arguments (`catalog`, `given`), which is carried out (`commands`) on the
//! device (`controls`). What happens in the device goes the other way (`news`). [`client`] is the other end.
//!
//! Invariants: one thread serves all clients, and no client, slow or hostile, makes it wait; what is kept for a client is
//! bounded; the device never waits for it: it leaves news in a queue of fixed size.

mod server;

mod peer;

mod protocol;

pub mod catalog;

mod given;

mod commands;

mod desk;

mod registers;

mod tracing;

mod controls;

mod news;

pub mod client;

pub use client::Client;
pub use controls::{ChannelView, Controls};
pub use desk::Desk;
pub use news::News;
pub use protocol::{Class, MAX_LINE_BYTES, MAX_PEERS};
pub use server::Server;
pub use tracing::{Sink, Tracing};
