//! Traces for tests: written by hand word by word, and from the simulator.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::fmt::Write;
use std::process::Command;

/// One line of a trace.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) t_ns: u64,
    pub(crate) side: &'static str,
    pub(crate) stage: &'static str,
    pub(crate) channel: u8,
    pub(crate) sequence: u64,
    pub(crate) address: u64,
    pub(crate) len: u64,
    pub(crate) mark: &'static str,
    /// Vector and processor.
    pub(crate) at: Option<(u32, u32)>,
}

pub(crate) fn line(t_ns: u64, side: &'static str, stage: &'static str, channel: u8, sequence: u64) -> Line {
    Line { t_ns, side, stage, channel, sequence, address: 0, len: 0, mark: "ok", at: None }
}

pub(crate) fn device(t_ns: u64, stage: &'static str, channel: u8, sequence: u64) -> Line {
    line(t_ns, "device", stage, channel, sequence)
}

pub(crate) fn driver(t_ns: u64, stage: &'static str, channel: u8, sequence: u64) -> Line {
    line(t_ns, "driver", stage, channel, sequence)
}

impl Line {
    pub(crate) fn on(self, address: u64, len: u64) -> Self {
        Self { address, len, ..self }
    }

    pub(crate) fn at(self, vector: u32, processor: u32) -> Self {
        Self { at: Some((vector, processor)), ..self }
    }

    pub(crate) fn marked(self, mark: &'static str) -> Self {
        Self { mark, ..self }
    }

    pub(crate) fn json(&self) -> String {
        let Self { t_ns, side, stage, channel, sequence, address, len, mark, at } = self;
        let generation = if *side == "device" { 3 } else { 0 };
        let mut text = format!(
            r#"{{"t_ns":{t_ns},"side":"{side}","stage":"{stage}","channel":{channel},"generation":{generation},"sequence":{sequence},"address":{address},"len":{len},"mark":"{mark}""#
        );
        if let Some((vector, processor)) = at {
            let _ = write!(text, r#","vector":{vector},"processor":{processor}"#);
        }
        text + "}"
    }
}

pub(crate) fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.json() + "\n").collect()
}

/// Where descriptor `sequence` of a channel lies.
pub(crate) fn descriptor(channel: u8, sequence: u64) -> u64 {
    0x10_0000 * (u64::from(channel) + 1) + 64 * (sequence % 32)
}

/// What the simulator writes of one seed: both sides, on one virtual clock.
pub(crate) fn simulated(scenario: &str, seed: u64) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("sim.jsonl");
    let seeds = format!("{seed}..{}", seed + 1);
    let output = Command::new(env!("CARGO_BIN_EXE_netdma-lab"))
        .args(["sim", "--seeds", &seeds, scenario, "--trace"])
        .arg(&path)
        .output()
        .expect("netdma-lab");
    assert!(output.status.code().is_some(), "{output:?}");
    std::fs::read_to_string(path).expect("a trace")
}
