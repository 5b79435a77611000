use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::experiments::expected::Known;
use crate::experiments::{Class, Fired, Header, Id, Minimal, Observation, Outcome, Record};

fn header() -> Record {
    Record::Header(Header {
        version: 1,
        tool: "netdma-lab 0.1.0".into(),
        campaign: "own <driver>".into(),
        spec: "5f".into(),
        place: "sim".into(),
        shard: "1/1".into(),
        planned: 8,
        golden_ns: 1_500_000,
        host: "bench".into(),
        started: 1_795_290_300,
    })
}

fn result(id: &str, rule: &str, class: Class, reason: &str) -> Record {
    let fired = Fired { rule: rule.into(), nth: 3, channel: Some(0), channel_nth: 2, again: rule.into() };
    let observation = Observation {
        fired: if class == Class::NotActivated { Vec::new() } else { vec![fired] },
        events: vec![
            json!({ "t_ns": 100, "side": "device", "stage": "fetch", "channel": 0, "sequence": 1, "address": 64, "len": 64, "mark": "ok" }),
            json!({ "t_ns": 900, "side": "device", "stage": "complete", "channel": 0, "sequence": 1, "address": 64, "len": 8, "mark": "faulted" }),
        ],
        ..Observation::default()
    };
    Record::Result(Box::new(Outcome {
        id: Id(id.into()),
        rules: vec![rule.into()],
        seed: 7,
        class,
        reason: reason.into(),
        signature: format!("{class} {}", rule.split(':').next().unwrap()),
        wall_ns: 2_000_000,
        observation,
        replay: format!("netdma-lab experiment replay j.jsonl {id}"),
    }))
}

fn records() -> Vec<Record> {
    vec![
        header(),
        result("03", "complete: nth(1) drop", Class::Hang, "channel 0 never ends"),
        result("01", "complete: nth(1) misaddress(+64)", Class::Crash, "kernel BUG at <dma.c>:570!"),
        result("02", "complete: nth(2) misaddress(+64)", Class::Crash, "kernel BUG at <dma.c>:570!"),
        result("04", "msix: nth(1) drop", Class::InfraError, "no guest"),
        result("05", "msix: nth(2) drop", Class::NotActivated, ""),
        result("06", "copy: nth(1) corrupt(0, 0x1)", Class::DetectedFailed, "wrong data"),
        result("04", "msix: nth(1) drop", Class::DetectedRecovered, "found by looking"),
        Record::Minimal(Minimal {
            id: Id("02".into()),
            rules: vec!["complete[ch=0]: nth(1) misaddress(+64)".into()],
            workload: "one copy of 1 byte".into(),
            replay: "netdma-lab sim minimal.toml --seeds 0..1".into(),
        }),
    ]
}

fn known(class: Class, point: &str) -> Known {
    let reason = format!("{point} is like that");
    Known { class, point: Some(point.into()), action: None, signature: None, reason, rules: None }
}

#[test]
fn an_infra_error_that_was_run_again_counts_as_what_came_of_it() {
    let digest = Digest::new(records(), &[]);
    assert_eq!(digest.outcomes.len(), 6);
    let counts: BTreeMap<Class, u64> =
        Class::ALL.into_iter().map(|class| (class, digest.classes.count(class))).collect();
    assert_eq!(counts[&Class::InfraError], 0);
    assert_eq!((counts[&Class::Crash], counts[&Class::Hang], counts[&Class::DetectedRecovered]), (2, 1, 1));
    assert_eq!(digest.activated(), 5);
}

#[test]
fn findings_are_grouped_by_signature_and_only_new_ones_are_new() {
    let digest = Digest::new(records(), &[known(Class::Crash, "complete"), known(Class::Hang, "fetch")]);
    let groups: Vec<_> =
        digest.groups.iter().map(|group| (group.class, group.ids.len(), group.known.is_some())).collect();
    assert_eq!(groups, [(Class::Crash, 2, true), (Class::Hang, 1, false)]);
    assert_eq!(digest.new_findings().count(), 1);
    assert_eq!(digest.gone, ["fetch is like that"]);
    // The first one of the group is the first id, whatever the order of the file is.
    assert_eq!(digest.groups[0].first.id, Id("01".into()));
}

#[test]
fn an_expectation_that_covers_a_part_of_a_group_leaves_it_new() {
    let only = Known { action: Some("drop".into()), ..known(Class::Crash, "complete") };
    assert_eq!(Digest::new(records(), &[only]).new_findings().count(), 2);
}

#[test]
fn junit_is_xml_with_a_case_for_each_experiment() {
    let text = render(Format::Junit, &Digest::new(records(), &[known(Class::Hang, "complete")]));
    let suite = text.lines().nth(2).unwrap();
    assert!(
        suite.contains("name=\"own &lt;driver&gt;\" tests=\"6\" failures=\"2\" errors=\"0\" skipped=\"1\""),
        "{suite}"
    );
    assert_eq!(text.matches("<testcase ").count(), 6);
    assert_eq!(text.matches("<failure ").count(), 2);
    assert!(text.contains("message=\"crash: kernel BUG at &lt;dma.c&gt;:570!\""), "{text}");
    assert!(text.contains("expected: hang"), "{text}");
}

#[test]
fn ktap_counts_what_its_lines_say() {
    let text = render(Format::Ktap, &Digest::new(records(), &[]));
    assert!(text.starts_with("KTAP version 1\n1..6\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("not ok ")).count(), 3);
    assert!(text.contains("# SKIP the fault never fired"), "{text}");
    assert!(text.ends_with("# Totals: pass:2 fail:3 xfail:0 xpass:0 skip:1 error:0\n"), "{text}");
}

#[test]
fn json_is_one_object_with_intervals() {
    let value: Value = serde_json::from_str(&render(Format::Json, &Digest::new(records(), &[]))).unwrap();
    assert_eq!(
        (value["experiments"].as_u64(), value["activated"].as_u64(), value["new-findings"].as_u64()),
        (Some(6), Some(5), Some(2))
    );
    let crash = &value["classes"][1];
    assert_eq!((crash["class"].as_str(), crash["count"].as_u64()), (Some("crash"), Some(2)));
    assert!(crash["low"].as_f64().unwrap() < 0.4 && crash["high"].as_f64().unwrap() > 0.4);
    assert_eq!(value["findings"][0]["minimal"]["workload"], "one copy of 1 byte");
}

#[test]
fn the_text_names_each_finding_with_its_replay_command() {
    let text = render(Format::Text, &Digest::new(records(), &[]));
    assert!(text.contains("crash, 2 times: kernel BUG at <dma.c>:570!"), "{text}");
    assert!(text.contains("again:  netdma-lab experiment replay j.jsonl 01"), "{text}");
    assert!(
        text.ends_with("crashes on 2, hangs on 1 of 5 faults that fired; 2 different findings\n"),
        "{text}"
    );
    let clean = [header(), result("01", "msix: nth(1) drop", Class::Masked, "")];
    let text = render(Format::Text, &Digest::new(clean, &[]));
    assert!(text.contains("no finding in 1 faults that fired (at most 79.35 %, at 95 %)"), "{text}");
}

#[test]
fn the_page_holds_everything_and_nothing_that_is_not_escaped() {
    let text = render(Format::Html, &Digest::new(records(), &[]));
    assert!(!text.contains("<dma.c>") && !text.contains("<driver>"), "names are escaped");
    assert!(
        !text.contains("http://") && !text.contains("https://") && !text.contains("src="),
        "nothing is loaded"
    );
    assert_eq!(text.matches("<tr data-words=").count(), 6);
    assert_eq!(text.matches("<details class=\"card\"").count(), 2);
    assert!(
        text.contains("class=\"faulted\"") && text.contains("one copy of 1 byte"),
        "the picture and the minimum"
    );
    assert!(text.contains("<td class=\"crash\"><button data-find=\"complete: misaddress\""), "the map");
    assert!(text.contains("2026-11-21 19:45 UTC"), "when");
}
