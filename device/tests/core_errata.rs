//! Errata by name: what a driver of the engine that each one is about would see.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod core_support;

use core_support::{Bench, LINUX_CHANCTRL, NOWHERE, RESET, SOURCE, WORD, cmpl, copy, pattern};
use ioat_spec::pci::{CHANERR_INT, DMAUNCERRSTS, MSIX_TABLE_OFFSET};
use ioat_spec::{ChannelState, Descriptor};
use ioat_stage::fault::expand;
use ioat_stage::{FaultBook, RuleFaults};
use vfio_user_ioat::Profile;

const PATTERN: u64 = 0x5555_aaaa_5555_aaaa;

fn bench(line: &str) -> Bench<RuleFaults> {
    let book = FaultBook::new(expand(line).unwrap());
    Bench::with(Profile::SKX, |_| book.faults())
}

/// A rule that never comes to fire: the same engine, without a fault.
const SOUND: &str = "msix: nth(1000000) drop";

#[test]
fn bwd_msix_wipe_empties_the_table_at_a_channel_reset() {
    for (line, left) in [("errata:bwd-msix-wipe", 0), (SOUND, 0xfee0_0000)] {
        let bench = bench(line);
        let entry = u64::from(MSIX_TABLE_OFFSET) + 16;
        let _ = bench.write(entry, 4, 0xfee0_0000);
        assert_eq!(bench.read(entry, 4), 0xfee0_0000);
        let _ = bench.command(0, RESET);
        assert_eq!(bench.read(entry, 4), left, "{line}");
    }
}

#[test]
fn tbg0_reports_a_parity_error_that_does_not_go() {
    let bench = bench("errata:tbg0-spurious-parity");
    assert_eq!(bench.config(DMAUNCERRSTS as u64, 4), 0x10);
    let _ = bench.function.config_write(DMAUNCERRSTS as u64, &0x10_u32.to_le_bytes());
    assert_eq!(bench.config(DMAUNCERRSTS as u64, 4), 0x10);
    assert_eq!(bench.config(CHANERR_INT as u64, 4), 0, "no other register");
}

#[test]
fn hsw_e_cannot_reach_chanerr_int() {
    let bench = bench("errata:hsw-e-config-unreachable");
    assert_eq!(bench.config(CHANERR_INT as u64, 4), 0xffff_ffff);
    assert_eq!(bench.config(0, 4), 0x2021_8086, "the rest of configuration space answers");
}

#[test]
fn engines_before_ice_lake_halt_without_word_and_interrupt() {
    for (line, word, messages) in [("errata:pre-icx-no-error-report", PATTERN, 0), (SOUND, 3, 1)] {
        let mut bench = bench(line);
        bench.put(SOURCE, &pattern(64, 1));
        bench.put(WORD, &PATTERN.to_le_bytes());
        bench.ring(&[cmpl(Descriptor { source: NOWHERE, ..copy(64) })]);
        bench.arm(0, LINUX_CHANCTRL);
        let _ = bench.doorbell(0, 1);
        bench.drive(0);
        assert_eq!(bench.state(0), ChannelState::Halted, "{line}");
        assert_ne!(bench.chan_err(0), 0, "CHANERR tells all the same");
        assert_eq!((bench.word(), bench.messages().len()), (word, messages), "{line}");
    }
}
