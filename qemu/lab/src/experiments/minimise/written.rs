//! A scenario as TOML: the keys that are not as they would be without them.

use std::fmt::Write as _;

use ioat_stage::Rule;

use crate::sim::scenario::{Api, Client, Driver, Ending, Expect, LimitsTable, Scenario, Storm, When};
use crate::sim::scenario::{Device, Span, Within};

/// The scenario's file, with these rules in the place of its own. Reading it gives the same scenario.
#[must_use]
pub fn scenario(scenario: &Scenario, rules: &[Rule]) -> String {
    let mut text = format!("name = {}\n", quoted(&scenario.name));
    if !rules.is_empty() {
        let _ = writeln!(text, "fault = {}", list(rules.iter().map(|rule| quoted(&rule.to_string()))));
    }
    tables(&mut text, scenario, false);
    expect(&mut text, &scenario.expect);
    text
}

/// A campaign's file of one experiment: the scenario as its workload, `head` as its `[campaign]`, and the rules as its one set.
#[must_use]
pub fn campaign(scenario: &Scenario, head: &[(&str, String)], rules: &[Rule], more: &str) -> String {
    let mut text = format!("name = {}\n\n[campaign]\n", quoted(&scenario.name));
    for (key, value) in head {
        let _ = writeln!(text, "{key} = {value}");
    }
    let _ = writeln!(text, "\n[[set]]\nrules = {}", list(rules.iter().map(|rule| quoted(&rule.to_string()))));
    tables(&mut text, scenario, true);
    // `[limits]` comes last, so that the campaign's own keys of it can follow.
    text + more
}

/// What is left of a workload, in one line.
#[must_use]
pub fn one_line(scenario: &Scenario) -> String {
    let client = |client: &Client| {
        format!(
            "{} x {} batches of {} descriptors of {} bytes",
            client.tasks.get(),
            client.batches.get(),
            span(&client.batch),
            span(&client.bytes)
        )
    };
    let storm =
        |storm: &Storm| format!("{} interrupts, {} DPCs each", storm.interrupts.get(), storm.dpcs.get());
    let parts: Vec<_> = scenario.client.iter().map(client).chain(scenario.storm.iter().map(storm)).collect();
    format!(
        "{}; channels {}, processors {}, ring slots {}",
        parts.join("; "),
        scenario.device.channels.get(),
        scenario.driver.processors.get(),
        scenario.driver.ring_slots.get()
    )
}

/// A TOML string. The texts here are of one line and without control characters; the rest is escaped.
#[must_use]
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn tables(text: &mut String, scenario: &Scenario, limits: bool) {
    device(text, &scenario.device);
    driver(text, &scenario.driver);
    for one in &scenario.client {
        client(text, one);
    }
    for storm in &scenario.storm {
        let _ = write!(
            text,
            "\n[[storm]]\ninterrupts = {}\ndpcs = {}\n",
            storm.interrupts.get(),
            storm.dpcs.get()
        );
    }
    let usual = LimitsTable::default();
    let LimitsTable { events, switches, virtual_ms } = scenario.limits;
    let mut keys = Keys::new();
    keys.number("events", events, usual.events);
    keys.number("switches", switches, usual.switches);
    keys.number("virtual_ms", virtual_ms, usual.virtual_ms);
    keys.table(text, "[limits]", limits);
}

fn device(text: &mut String, device: &Device) {
    let usual = Device::default();
    let mut keys = Keys::new();
    keys.other("profile", quoted(&device.profile), &quoted(&usual.profile));
    keys.of("channels", device.channels, usual.channels);
    if let Some(vectors) = device.vectors {
        keys.0.push(("vectors", vectors.get().to_string()));
    }
    keys.flag("lint", device.lint);
    keys.of("start_latency_us", device.start_latency_us, usual.start_latency_us);
    keys.table(text, "[device]", false);
}

fn driver(text: &mut String, driver: &Driver) {
    let usual = Driver::default();
    let mut keys = Keys::new();
    keys.of("processors", driver.processors, usual.processors);
    keys.of("ring_slots", driver.ring_slots, usual.ring_slots);
    keys.of("watchdog_ms", driver.watchdog_ms, usual.watchdog_ms);
    keys.of("timeout_ms", driver.timeout_ms, usual.timeout_ms);
    keys.flag("polled", driver.polled);
    keys.flag("spread", driver.spread);
    keys.table(text, "[driver]", false);
}

fn client(text: &mut String, client: &Client) {
    let usual = Client::default();
    let mut keys = Keys::new();
    let api = |api| match api {
        Api::Client => quoted("client"),
        Api::Contract => quoted("contract"),
    };
    keys.other("api", api(client.api), &api(usual.api));
    keys.of("tasks", client.tasks, usual.tasks);
    if !client.channels.is_empty() {
        keys.0.push(("channels", list(client.channels.iter().map(|channel| channel.get().to_string()))));
    }
    keys.of("batches", client.batches, usual.batches);
    keys.other("batch", span(&client.batch), &span(&usual.batch));
    keys.other("bytes", span(&client.bytes), &span(&usual.bytes));
    keys.of("in_flight", client.in_flight, usual.in_flight);
    keys.of("copy", client.copy, usual.copy);
    keys.of("fill", client.fill, usual.fill);
    keys.of("null", client.null, usual.null);
    keys.of("fence", client.fence, usual.fence);
    keys.of("poll", client.poll, usual.poll);
    keys.of("renew", client.renew, usual.renew);
    keys.of("forget", client.forget, usual.forget);
    keys.of("suspend", client.suspend, usual.suspend);
    keys.of("abort", client.abort, usual.abort);
    keys.of("reset", client.reset, usual.reset);
    keys.of("gap_us", client.gap_us, usual.gap_us);
    keys.of("timeout_ms", client.timeout_ms, usual.timeout_ms);
    keys.table(text, "[[client]]", true);
}

fn expect(text: &mut String, expect: &Expect) {
    let mut keys = Keys::new();
    if !expect.errors.is_empty() {
        keys.0.push(("errors", list(expect.errors.iter().map(|ending| quoted(word(*ending))))));
    }
    if !expect.finds.is_empty() {
        let word = |wrong| serde_json::to_string(wrong).unwrap_or_default();
        keys.0.push(("finds", list(expect.finds.iter().map(word))));
    }
    if expect.when == When::SomeSeed {
        keys.0.push(("when", quoted("some-seed")));
    }
    keys.flag("lost_interrupts", expect.lost_interrupts);
    keys.flag("open_fails", expect.open_fails);
    keys.table(text, "[expect]", false);
}

const fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Timeout => "timeout",
        Ending::Halted => "halted",
        Ending::BadCompletion => "bad-completion",
        Ending::Gone => "gone",
        Ending::Aborted => "aborted",
    }
}

/// The keys of one table that say something.
struct Keys(Vec<(&'static str, String)>);

impl Keys {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn of<const MIN: u64, const MAX: u64>(
        &mut self,
        key: &'static str,
        value: Within<MIN, MAX>,
        usual: Within<MIN, MAX>,
    ) {
        self.number(key, value.get(), usual.get());
    }

    fn number(&mut self, key: &'static str, value: u64, usual: u64) {
        if value != usual {
            self.0.push((key, value.to_string()));
        }
    }

    fn flag(&mut self, key: &'static str, value: bool) {
        if value {
            self.0.push((key, "true".to_owned()));
        }
    }

    fn other(&mut self, key: &'static str, value: String, usual: &str) {
        if value != usual {
            self.0.push((key, value));
        }
    }

    /// Writes them under a table's name; without any, only if it says something by being there.
    fn table(self, text: &mut String, name: &str, always: bool) {
        if self.0.is_empty() && !always {
            return;
        }
        let _ = writeln!(text, "\n{name}");
        for (key, value) in self.0 {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn span<const MIN: u64, const MAX: u64>(span: &Span<MIN, MAX>) -> String {
    format!("[{}, {}]", span.0.start(), span.0.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::SHIPPED;

    #[test]
    fn what_is_written_reads_as_what_it_was() {
        for (name, _) in SHIPPED {
            let read = Scenario::load(name).unwrap();
            let rules: Vec<_> = read.rules();
            let text = scenario(&read, &rules);
            let again = Scenario::parse(&text, name).unwrap_or_else(|error| panic!("{error}\n{text}"));
            // Where its rules stand in the file is another matter.
            let [again, read] = [again, read].map(|it| it.clone().with_rules(it.rules()));
            assert_eq!(format!("{again:?}"), format!("{read:?}"), "{text}");
        }
    }

    #[test]
    fn a_name_with_quotes_is_still_a_name() {
        let named = Scenario { name: "it's \"so\" \\".into(), ..Scenario::load("default").unwrap() };
        assert_eq!(Scenario::parse(&scenario(&named, &[]), "x").unwrap().name, named.name);
    }
}
