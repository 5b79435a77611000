//! The recipes of `scripts/recipes`, each done as its text says, with the tools that are here; and what the programs generate for
//! their users: man pages and completions.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod text;

mod host;

mod guest;

mod qemu_line;

mod libvirt;

mod virtme;

mod runner;

mod ci;

mod commands;

mod sockets;

mod pages;
