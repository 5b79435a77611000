//! The program's verbs: arguments to checked settings, settings to the library, outcomes to text and exit codes.

pub(crate) mod boot;

pub(crate) mod setup;

pub(crate) mod doctor;

pub(crate) mod clean;

pub(crate) mod qemu;

pub(crate) mod runner;

pub(crate) mod pages;
