//! The Chrome trace event format, judged by its rules and by nothing of the writer's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod trace_support;

use std::collections::{BTreeMap, BTreeSet};

use netdma_lab::trace::{chrome, link, read_text};
use serde_json::Value;
use trace_support::{device, simulated};

/// Times are us with three decimals: ns.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked right here")]
fn ns(value: &Value) -> u64 {
    let us = value.as_f64().unwrap();
    let ns = (us * 1e3).round();
    assert!(ns >= 0.0 && (us * 1e3 - ns).abs() < 1e-3, "{us} us is no whole ns");
    ns as u64
}

struct Slice {
    begin: u64,
    end: u64,
}

/// A point of a flow: the phase, the track, the time.
type Bind = (String, (u64, u64), u64);

/// What a reader of the format relies on.
#[derive(Default)]
struct Judged {
    slices: BTreeMap<(u64, u64), Vec<Slice>>,
    names: BTreeMap<(u64, Option<u64>), String>,
    flows: BTreeMap<u64, Vec<Bind>>,
    instants: usize,
}

fn judge(text: &str) -> Judged {
    let whole: Value = serde_json::from_str(text).unwrap();
    let mut judged = Judged::default();
    let mut sorted = BTreeSet::new();
    for event in whole["traceEvents"].as_array().unwrap() {
        let (pid, tid) = (event["pid"].as_u64().unwrap(), event["tid"].as_u64());
        match event["ph"].as_str().unwrap() {
            "M" => match event["name"].as_str().unwrap() {
                "process_name" | "thread_name" => {
                    let name = event["args"]["name"].as_str().unwrap().to_owned();
                    assert!(judged.names.insert((pid, tid), name).is_none(), "named twice: {event}");
                }
                "process_sort_index" | "thread_sort_index" => {
                    assert!(event["args"]["sort_index"].is_u64() && sorted.insert((pid, tid)), "{event}");
                }
                other => panic!("metadata {other}"),
            },
            "X" => {
                assert!(event["name"].is_string() && event["args"].is_object() && event["cat"].is_string());
                let begin = ns(&event["ts"]);
                let slice = Slice { begin, end: begin + ns(&event["dur"]) };
                judged.slices.entry((pid, tid.unwrap())).or_default().push(slice);
            }
            "i" => {
                assert!(["g", "p", "t"].contains(&event["s"].as_str().unwrap()));
                judged.instants += 1;
            }
            ph @ ("s" | "t" | "f") => {
                assert!(ph == "s" || event["bp"] == "e", "binds to the slice around it: {event}");
                assert_eq!((event["cat"].as_str(), event["name"].as_str()), (Some("life"), Some("life")));
                let flow = judged.flows.entry(event["id"].as_u64().unwrap()).or_default();
                flow.push((ph.into(), (pid, tid.unwrap()), ns(&event["ts"])));
            }
            other => panic!("phase {other}"),
        }
    }
    assert_eq!(sorted, judged.names.keys().copied().collect(), "what has a name has a place");
    judged
}

impl Judged {
    fn check_tracks(&self) {
        for ((pid, tid), slices) in &self.slices {
            assert!(self.names.contains_key(&(*pid, Some(*tid))) && self.names.contains_key(&(*pid, None)));
            for two in slices.windows(2) {
                assert!(two[0].end <= two[1].begin, "slices overlap on {pid}/{tid}: {}", two[1].begin);
            }
            assert!(slices.iter().all(|slice| slice.begin < slice.end));
        }
    }

    fn check_flows(&self) {
        for (id, flow) in &self.flows {
            let phases: String = flow.iter().map(|(ph, ..)| ph.as_str()).collect();
            let steps = phases.strip_prefix('s').and_then(|rest| rest.strip_suffix('f'));
            assert!(steps.is_some_and(|steps| steps.chars().all(|ph| ph == 't')), "flow {id} is {phases}");
            assert!(flow.windows(2).all(|two| two[0].2 <= two[1].2), "flow {id} goes back in time");
            for (ph, track, ts) in flow {
                let around = |slice: &Slice| slice.begin <= *ts && *ts < slice.end;
                assert!(
                    self.slices[track].iter().any(around),
                    "flow {id}: {ph} at {ts} is in no slice of {track:?}"
                );
            }
        }
    }
}

fn written(text: &str) -> (netdma_lab::trace::Trace, String) {
    let trace = read_text("t", text).unwrap();
    let mut bytes = Vec::new();
    chrome::write(&trace, &link(&trace.records), &mut bytes).unwrap();
    (trace, String::from_utf8(bytes).unwrap())
}

#[test]
fn simulated_traces_follow_every_rule_of_the_format() {
    for (scenario, seed) in
        [("default", 1), ("shared-vector", 2), ("line", 3), ("lost-interrupt", 4), ("stops", 5)]
    {
        let (trace, text) = written(&simulated(scenario, seed));
        let judged = judge(&text);
        judged.check_tracks();
        judged.check_flows();
        assert_eq!(judged.slices.values().map(Vec::len).sum::<usize>(), trace.records.len(), "{scenario}");
        let names: BTreeSet<&str> = judged.names.values().map(String::as_str).collect();
        for track in ["device", "driver", "channel 0: doorbells", "channel 0", "processor 0"] {
            assert!(names.contains(track), "{scenario}: no {track} in {names:?}");
        }
        assert!(names.iter().any(|name| name.starts_with("vector ")), "{scenario}: {names:?}");
    }
}

#[test]
fn arrows_go_from_the_doorbell_over_both_sides_to_the_dpc() {
    let (trace, text) = written(&simulated("default", 1));
    let judged = judge(&text);
    let lives = link(&trace.records).lives.len();
    assert_eq!(judged.flows.len(), lives);
    let first = |flow: &[Bind]| judged.names[&(flow[0].1.0, Some(flow[0].1.1))].clone();
    let last = |flow: &[Bind]| {
        let (_, (pid, tid), _) = flow.last().unwrap();
        judged.names[&(*pid, Some(*tid))].clone()
    };
    for flow in judged.flows.values() {
        assert!(first(flow).ends_with("doorbells"), "{flow:?}");
    }
    let at_dpc = judged.flows.values().filter(|flow| last(flow).starts_with("processor")).count();
    assert!(at_dpc * 10 >= lives * 9, "{at_dpc} of {lives} end in a DPC");
}

#[test]
fn arguments_carry_sequence_address_length_and_result_and_losses_are_seen() {
    let loss = "{\"t_ns\":9,\"side\":\"device\",\"lost\":3}\n";
    let copy = device(5, "copy", 1, u64::from(u32::MAX) + 9).on(u64::MAX, 4096).marked("faulted");
    let (_, text) = written(&format!("{}{loss}", trace_support::text(&[copy])));
    let judged = judge(&text);
    assert_eq!(judged.instants, 1);
    let whole: Value = serde_json::from_str(&text).unwrap();
    let slice = whole["traceEvents"].as_array().unwrap().iter().find(|event| event["ph"] == "X").unwrap();
    assert_eq!(slice["args"]["sequence"], u64::from(u32::MAX) + 9);
    assert_eq!(slice["args"]["address"], "0xffffffffffffffff");
    assert_eq!((&slice["args"]["len"], &slice["args"]["mark"]), (&4096.into(), &"faulted".into()));
    assert!(text.contains("3 records lost"));
}
