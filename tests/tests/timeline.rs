//! The timeline's page in a real browser, with traces of real runs: what it counts, what it complains of, and how it looks.
//!
//! Under `--full` only: the browser is Chromium, which `scripts/needs.sh` installs then. The pictures are left in
//! `target/timeline/`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use netdma_tests::{build_dir, full, program, skip};
use serde_json::Value;

/// What Chromium is called: the headless program of Debian's first, which is the smallest.
const BROWSERS: [&str; 4] = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

/// A check by its name.
type Check = (&'static str, fn(&Browser));

fn main() {
    let checks: [Check; 4] = [
        (
            "the_page_counts_what_the_trace_holds_and_measures_what_stats_measures",
            the_page_counts_what_the_trace_holds_and_measures_what_stats_measures,
        ),
        (
            "one_channel_can_be_shown_alone_and_the_theme_be_chosen",
            one_channel_can_be_shown_alone_and_the_theme_be_chosen,
        ),
        ("faults_and_losses_are_counted_and_offered", faults_and_losses_are_counted_and_offered),
        ("a_hundred_thousand_events_load", a_hundred_thousand_events_load),
    ];
    let trials = if full() { trials(&checks) } else { Vec::new() };
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Without a browser each check is a skip.
fn trials(checks: &[Check]) -> Vec<Trial> {
    let browser = Browser::find().map(Arc::new);
    let trial = |(name, check): &Check| {
        let (name, check, browser) = (*name, *check, browser.clone());
        let body = move || {
            match &browser {
                Some(browser) => check(browser),
                None => skip(
                    &format!("timeline::{name}"),
                    &format!("no browser: none of {} is on PATH", BROWSERS.join(", ")),
                ),
            }
            Ok(())
        };
        Trial::test(format!("timeline::{name}"), body)
    };
    checks.iter().map(trial).collect()
}

struct Browser {
    program: PathBuf,
    folder: PathBuf,
}

impl Browser {
    /// None where there is no browser.
    fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = BROWSERS.iter().find_map(|name| {
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.exists())
        });
        let program = found?;
        let folder = build_dir().parent().unwrap().join("timeline");
        std::fs::create_dir_all(&folder).unwrap();
        Some(Self { program, folder })
    }

    /// Opens a page and gives the document that its script made, and what the console said.
    fn open(&self, page: &Path, hash: &str, more: &[&str]) -> (String, String) {
        let url = format!("file://{}#{hash}", page.display());
        let output = Command::new(&self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--window-size=1500,950",
            ])
            .args(["--enable-logging=stderr", "--virtual-time-budget=5000"])
            .args(more)
            .arg(url)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    fn document(&self, page: &Path, hash: &str) -> String {
        let (document, log) = self.open(page, hash, &["--dump-dom"]);
        let said: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(said.is_empty(), "the console says {said:#?}");
        assert!(!document.contains("data-problems"), "{}", attribute(&document, "data-problems"));
        assert_eq!(attribute(&document, "data-ready"), "yes", "the script did not come to its end");
        document
    }

    fn picture(&self, page: &Path, hash: &str, name: &str) {
        let picture = self.folder.join(name);
        let _ = std::fs::remove_file(&picture);
        self.open(page, hash, &[&format!("--screenshot={}", picture.display())]);
        let bytes = std::fs::read(&picture).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 20_000, "{name}: {} bytes", bytes.len());
    }
}

/// The first attribute of that name in the document.
fn attribute<'a>(document: &'a str, name: &str) -> &'a str {
    let start = document.find(&format!("{name}=\"")).map(|at| at + name.len() + 2);
    start.and_then(|start| document[start..].split('"').next()).unwrap_or("")
}

fn run(program_name: &str, arguments: &[&str]) -> String {
    let output = Command::new(program(program_name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program_name} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A trace of a real selftest, its page, and what `trace stats` says of it.
fn selftest(folder: &Path, name: &str, more: &[&str]) -> (PathBuf, Value) {
    let (trace, page) = (folder.join(format!("{name}.jsonl")), folder.join(format!("{name}.html")));
    let (trace, at) = (trace.to_str().unwrap().to_owned(), page.to_str().unwrap());
    run("netdma", &[&["selftest", "--quick", "--trace", &trace], more].concat());
    run("netdma-lab", &["timeline", &trace, "-o", at, "--title", name]);
    let stats = run("netdma-lab", &["trace", "stats", "--json", &trace]);
    (page, serde_json::from_str(&stats).unwrap())
}

/// The row of a stage in the table of times.
fn row<'a>(document: &'a str, stage: &str) -> &'a str {
    let start =
        document.find(&format!("<tr data-stage=\"{stage}\"")).unwrap_or_else(|| panic!("no row of {stage}"));
    document[start..].split("</tr>").next().unwrap()
}

fn the_page_counts_what_the_trace_holds_and_measures_what_stats_measures(browser: &Browser) {
    let (page, stats) = selftest(&browser.folder, "selftest", &[]);
    let document = browser.document(&page, "");
    for (name, expected) in
        [("data-events", "records"), ("data-lives", "descriptors"), ("data-losses", "lost")]
    {
        assert_eq!(attribute(&document, name), stats[expected].to_string(), "{name}");
    }
    let stages = stats["stages"].as_array().unwrap();
    assert!(stages.len() >= 11, "{stages:?}");
    for stage in stages {
        let row = row(&document, stage["stage"].as_str().unwrap());
        assert_eq!(attribute(row, "data-count"), stage["count"].to_string(), "{stage}");
        let shown: Vec<&str> =
            row.split("data-ns=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let measured = ["p50_ns", "p90_ns", "p99_ns", "max_ns"].map(|name| stage[name].to_string());
        assert_eq!(shown, measured, "{stage}");
    }
    browser.picture(&page, "theme=light", "all-light.png");
    browser.picture(&page, "theme=dark&life=slowest", "life-dark.png");
    browser.picture(&page, "theme=light&life=40", "life-light.png");
}

fn one_channel_can_be_shown_alone_and_the_theme_be_chosen(browser: &Browser) {
    let (page, _) = selftest(&browser.folder, "selftest-channels", &[]);
    let path = page.with_extension("jsonl");
    let one = run("netdma-lab", &["trace", "stats", "--json", "--channel", "2", path.to_str().unwrap()]);
    let one: Value = serde_json::from_str(&one).unwrap();
    let document = browser.document(&page, "channels=2&theme=dark");
    assert_eq!(attribute(row(&document, "fetch"), "data-count"), one["descriptors"].to_string());
    assert!(document.contains("<html lang=\"en\" data-dark"), "{}", &document[..120]);
    assert!(!browser.document(&page, "theme=light").contains("<html lang=\"en\" data-dark"));
}

fn faults_and_losses_are_counted_and_offered(browser: &Browser) {
    let (page, stats) = selftest(&browser.folder, "selftest-fault", &["--fault", "msix: nth(3) drop"]);
    assert_eq!(stats["faulted"], 1, "{stats}");
    let document = browser.document(&page, "");
    assert_eq!(attribute(&document, "data-troubles"), "1");
    assert!(document.contains("device msix faulted at +"), "the list offers it");
    browser.picture(&page, "theme=light", "fault-light.png");
}

/// A hundred thousand events: still there within seconds, on whatever machine this is.
fn a_hundred_thousand_events_load(browser: &Browser) {
    let trace = browser.folder.join("big.jsonl");
    let at = trace.to_str().unwrap();
    run("netdma", &["copy", "--size", "128M", "--chunk", "4K", "--trace", at]);
    let page = browser.folder.join("big.html");
    run("netdma-lab", &["timeline", at, "-o", page.to_str().unwrap()]);
    let document = browser.document(&page, "");
    let number = |name: &str| attribute(&document, name).parse::<u64>().unwrap();
    assert!(number("data-events") >= 90_000, "{}", number("data-events"));
    println!("{} events: {} ms", number("data-events"), number("data-load-ms"));
    // A liveness limit: it takes less than one second on two cores.
    assert!(number("data-load-ms") < 20_000, "{} ms", number("data-load-ms"));
    browser.picture(&page, "theme=dark", "big-dark.png");
}
