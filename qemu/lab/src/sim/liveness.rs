//! After the fault: with nothing armed any more, clean work must succeed, or the driver did not get over it.

use std::sync::Arc;
use std::time::Duration;

use ioat_spec::register::GeneralRegister;
use ioat_stage::{FaultBook, Pause};
use netdma::client::{Channel, Driver, Error};
use netdma::contract::ChannelError;
use netdma::hw::{Device, Space};

use super::pause::SimPause;
use super::run;
use super::scenario::Scenario;
use super::tally::Tally;
use super::world::{self, Wrong};

/// Bytes of the clean copy, with guard bands before and behind.
const LEN: usize = 256;
const GUARD: usize = 64;
/// Long enough for any engine that works.
const PATIENCE: Duration = Duration::from_secs(1);

/// Disarms everything and runs a clean batch on every channel. False if one failed: then the engine has to be
/// opened again ([`reopened`]).
pub(super) fn channels(
    driver: &Driver,
    channels: &[Channel],
    faults: &Arc<FaultBook>,
    tally: &Tally,
) -> bool {
    disarm(faults, tally);
    let failed = tally.note(|counts| !counts.failures.is_empty());
    let mut well = true;
    for (number, channel) in channels.iter().enumerate() {
        // An error that the client was given has reset its channel already; a client that goes on after one may do it itself.
        if failed {
            match channel.reset() {
                Ok(()) | Err(Error::Channel(ChannelError::Refused(_))) => {}
                Err(error) => tally.say(format!("channel {number}: the reset after the fault: {error}")),
            }
        }
        if let Err(error) = batch(driver, channel, number, tally) {
            tally.failed_clean(number, &error);
            well = false;
        }
    }
    well
}

/// Opens the engine again, as a program would that was given errors, and runs a clean batch on every channel; if that does
/// not work, once more after a reset of the function. That it still does not work is a hang, unless the device itself no
/// longer answers.
pub(super) fn reopened(scenario: &Scenario, device: &Device, faults: &Arc<FaultBook>, tally: &Tally) {
    disarm(faults, tally);
    // What the device was told to do late is over, and a device that comes back is back.
    SimPause.sleep(Duration::from_millis(50));
    let Err(first) = tried(scenario, device, faults, tally) else { return };
    tally.say(format!("opened again: {first}"));
    let second = match device.registers.reset() {
        Ok(()) => tried(scenario, device, faults, tally),
        Err(error) => Err(format!("the function's reset: {error}")),
    };
    let Err(text) = second else { return };
    if gone(device) {
        tally.note(|counts| counts.gone = true);
        tally.say(format!("the device is gone for good: {text}"));
    } else {
        world::find(Wrong::Pending, format!("no clean batch after the fault: {text}"));
    }
}

fn tried(scenario: &Scenario, device: &Device, faults: &Arc<FaultBook>, tally: &Tally) -> Result<(), String> {
    let driver = Driver::open(device.clone(), run::options(scenario, faults))
        .map_err(|error| format!("opening the engine again: {error}"))?;
    let channels =
        run::channels(scenario, &driver).map_err(|error| format!("allocating the channels: {error}"))?;
    let fresh = Tally::of_trial();
    for (number, channel) in channels.iter().enumerate() {
        batch(&driver, channel, number, &fresh).map_err(|error| format!("channel {number}: {error}"))?;
    }
    tally.say("after that, the engine worked again when it was opened again".into());
    Ok(())
}

/// A copy and a NULL, whose bytes and guard bands must be right.
fn batch(driver: &Driver, channel: &Channel, number: usize, tally: &Tally) -> Result<(), Error> {
    let source = driver.allocate(LEN)?;
    let target = driver.allocate(LEN + 2 * GUARD)?;
    let bytes: Vec<u8> = (0_u8..=255).map(|byte| byte.wrapping_mul(7).wrapping_add(3)).collect();
    let inside = "the ranges are inside the buffers";
    source.write(0, &bytes).unwrap_or_else(|_| unreachable!("{inside}"));
    let mut batch = channel.batch();
    batch.copy(&source, 0, &target, GUARD, LEN)?.fence().null();
    let descriptors = batch.len() as u64;
    let submission = batch.submit()?;
    tally.note(|counts| *counts.submitted.entry(number).or_default() += descriptors);
    submission.wait(PATIENCE)?;
    tally.note(|counts| *counts.completed.entry(number).or_default() += descriptors);
    let mut found = vec![0; LEN + 2 * GUARD];
    target.read(0, &mut found).unwrap_or_else(|_| unreachable!("{inside}"));
    let guards = found[..GUARD].iter().chain(&found[GUARD + LEN..]);
    if found[GUARD..GUARD + LEN] != bytes || guards.into_iter().any(|byte| *byte != 0) {
        world::find(
            Wrong::Corruption,
            format!("channel {number}: the clean batch after the fault is done, and wrong"),
        );
    }
    Ok(())
}

/// A device that is gone answers nothing, or ones.
fn gone(device: &Device) -> bool {
    let mut count = [0];
    let read = device.registers.read(Space::Bar(0), GeneralRegister::ChanCnt.offset(), &mut count);
    read.is_err() || count == [0xff]
}

/// The clean work is neither disturbed nor counted.
fn disarm(faults: &FaultBook, tally: &Tally) {
    let accesses = faults.accesses();
    if !accesses.is_empty() {
        tally.note(|counts| counts.accesses = accesses);
        faults.census(false);
    }
    for rule in faults.rules() {
        faults.disarm(rule.id);
    }
}
