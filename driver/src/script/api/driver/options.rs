//! The options of `driver` and `channel`: maps of a script, checked.

use std::time::Duration;

use rhai::{Dynamic, INT, Map};

use super::super::super::failure::{Failure, failed};
use super::word;
use crate::client::{ChannelOptions, CompletionMode, Options};
use crate::contract::CpuSet32;

/// Processors of a driver where the script does not say.
const PROCESSORS: u32 = 4;

/// Of `driver(#{...})`.
pub(super) fn of_driver(map: &Map) -> Result<Options, Failure> {
    let mut options = Options { processors: PROCESSORS, ..Options::default() };
    for (name, value) in map {
        match name.as_str() {
            "processors" => options.processors = within(name, value, 1, 32)?,
            "timeout_ms" => options.timeout = Duration::from_millis(within(name, value, 1, u32::MAX)?.into()),
            "watchdog_ms" => {
                options.watchdog = Duration::from_millis(within(name, value, 1, u32::MAX)?.into())
            }
            _ => return Err(unknown("driver", name, "processors, timeout_ms, watchdog_ms")),
        }
    }
    Ok(options)
}

/// Of `driver.channel(#{...})`.
pub(super) fn of_channel(map: &Map) -> Result<ChannelOptions, Failure> {
    let mut options = ChannelOptions::default();
    for (name, value) in map {
        match name.as_str() {
            "affinity" => options.affinity = CpuSet32(within(name, value, 1, u32::MAX)?),
            "spread" => options.spread = CpuSet32(within(name, value, 0, u32::MAX)?),
            "ring_slots" => options.ring_slots = within(name, value, 2, 1 << 16)? as usize,
            "completion" => options.completion = completion(value)?,
            _ => return Err(unknown("channel", name, "affinity, spread, ring_slots, completion")),
        }
    }
    Ok(options)
}

fn completion(value: &Dynamic) -> Result<CompletionMode, Failure> {
    match word(value).as_deref() {
        Some("interrupt") => Ok(CompletionMode::Interrupt),
        Some("polled") => Ok(CompletionMode::Polled),
        _ => Err(failed(format!("completion: {value}: give \"interrupt\" or \"polled\""))),
    }
}

/// A set of processors 0 to 31.
pub(super) fn processors(what: &str, value: INT) -> Result<CpuSet32, Failure> {
    within(what, &value.into(), 0, u32::MAX).map(CpuSet32)
}

fn within(name: &str, value: &Dynamic, least: u32, most: u32) -> Result<u32, Failure> {
    let number = value.as_int().ok().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| failed(format!("{name}: {value}: give {least} to {most:#x}")))
}

fn unknown(of: &str, name: &str, known: &str) -> Failure {
    failed(format!("{of}: there is no option {name}; its options are {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(name: &str, value: impl Into<Dynamic>) -> Map {
        [(name.into(), value.into())].into_iter().collect()
    }

    #[test]
    fn options_are_what_the_map_says() {
        assert_eq!(of_driver(&Map::new()).unwrap().processors, PROCESSORS);
        assert_eq!(of_driver(&map("watchdog_ms", 7 as INT)).unwrap().watchdog, Duration::from_millis(7));
        let polled = of_channel(&map("completion", "polled")).unwrap();
        assert_eq!(polled.completion, CompletionMode::Polled);
        assert_eq!(of_channel(&map("spread", 0b1110 as INT)).unwrap().spread, CpuSet32(0b1110));
    }

    #[test]
    fn what_cannot_be_is_named_with_what_can() {
        let said = |result: Result<Options, Failure>| result.map(drop).unwrap_err().to_string();
        assert!(said(of_driver(&map("processors", 33 as INT))).contains("processors: 33: give 1 to 0x20"));
        assert!(said(of_driver(&map("procesors", 1 as INT))).contains("its options are processors"));
        let said = |result: Result<ChannelOptions, Failure>| result.map(drop).unwrap_err().to_string();
        assert!(said(of_channel(&map("completion", "never"))).contains("\"polled\""));
        assert!(said(of_channel(&map("affinity", 0 as INT))).contains("affinity: 0: give 1"));
    }
}
