//! A trace as one page to look at: self-contained HTML, no network, opens from a file.
//!
//! The page's own files are in `page/`; [`embed`] turns a linked trace into its data, [`page`] puts both together.

pub mod embed;

pub mod page;

pub mod command;
