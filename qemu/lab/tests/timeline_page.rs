//! The timeline's page, without a browser: that it needs nothing from elsewhere, and that its data is the trace.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod trace_support;

use netdma_lab::timeline::embed::{EXECUTED, LOST};
use netdma_lab::timeline::page::page;
use netdma_lab::trace::way::Point;
use netdma_lab::trace::{Trace, What, link, read_text};
use serde_json::Value;
use trace_support::simulated;

fn made(text: &str, title: &str) -> (Trace, String) {
    let trace = read_text("t.jsonl", text).unwrap();
    let page = page(&trace, &link(&trace.records), title);
    (trace, page)
}

fn embedded(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn the_page_is_one_file_that_asks_nobody_for_anything() {
    let (_, page) = made(&simulated("default", 2), "a run");
    for foreign in [
        "http://",
        "https://",
        "src=",
        "href=",
        "url(",
        "@import",
        "import(",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
    ] {
        assert!(!page.contains(foreign), "the page has {foreign}");
    }
    assert!(page.contains("default-src 'none'"), "and may not");
    assert!(
        page.contains("prefers-color-scheme: dark") && page.contains("<title>a run - DMA timeline</title>")
    );
    assert!(!page.contains("{{") && page.matches("</script>").count() == 2);
}

#[test]
fn the_data_of_the_page_is_the_trace() {
    let loss = "{\"t_ns\":999999,\"side\":\"driver\",\"lost\":3}\n";
    let done = "{\"t_ns\":1000000,\"side\":\"device\",\"channel\":1,\"generation\":9,\"sequence\":18446744073709551615,\"descriptor\":64,\"address\":18446744073709551615,\"len\":4,\"mark\":{\"error\":8}}\n";
    let (trace, page) = made(&format!("{}{loss}{done}", simulated("lost-interrupt", 3)), "t");
    let data = embedded(&page);
    let events = &data["events"];
    let mut now = trace.records[0].t_ns;
    for (n, record) in trace.records.iter().enumerate() {
        let cell = |name: &str| &events[name][n];
        now += cell("t").as_u64().unwrap();
        assert_eq!(now, record.t_ns);
        let (kind, channel, address, len) = match record.what {
            What::Event(event) => (event.stage as usize, i64::from(event.channel), event.address, event.len),
            What::Executed(event) => (EXECUTED, i64::from(event.channel), event.address, event.len),
            What::Lost(lost) => (LOST, -1, 0, lost),
        };
        assert_eq!(cell("k").as_u64().unwrap() & 15, kind as u64);
        assert_eq!(cell("k").as_u64().unwrap() >> 4, record.side as u64);
        assert_eq!(cell("a"), &format!("{address:x}"));
        assert_eq!(cell("l"), len);
        assert_eq!(cell("c"), channel);
    }
    assert_eq!(events["t"].as_array().unwrap().len(), trace.records.len());
    // A number that a browser would round is text.
    let done = trace.records.iter().position(|record| matches!(record.what, What::Executed(_))).unwrap();
    assert_eq!(events["s"][done], "18446744073709551615");
    assert_eq!((&data["stats"]["lost"], &data["stats"]["errors"]), (&3.into(), &1.into()));
}

#[test]
fn the_lives_of_the_page_are_those_that_linking_found() {
    let (trace, page) = made(&simulated("default", 4), "t");
    let (data, linked) = (embedded(&page), link(&trace.records));
    let width = Point::ALL.len() + 1;
    let at = data["lives"]["at"].as_array().unwrap();
    assert_eq!(at.len(), linked.lives.len() * width);
    for (n, life) in linked.lives.iter().enumerate() {
        let first = data["lives"]["first"][n].as_u64().unwrap();
        let decoded = at[n * width..][..width].iter().map(|cell| match cell.as_u64().unwrap() {
            0 => None,
            more => Some(usize::try_from(first + more - 1).unwrap()),
        });
        assert_eq!(
            decoded.collect::<Vec<_>>(),
            life.at.iter().copied().chain([life.done]).collect::<Vec<_>>()
        );
        assert_eq!(data["lives"]["s"][n], life.sequence);
    }
}

#[test]
fn words_from_a_trace_or_a_name_are_no_markup() {
    let evil = "</script><script>alert(1)</script>";
    let header = format!(r#"{{"trace":"netdma","version":1,"side":"device","program":"{evil}"}}"#);
    let (_, page) = made(&format!("{header}\n{}", simulated("default", 1)), evil);
    assert!(!page.contains("<script>alert"));
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(embedded(&page)["headers"][0]["program"], evil);
}
