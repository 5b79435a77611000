//! The completion value (contract 1.6 and 4.2).

use super::{Bench, Statement, Verdict, ensure, ensure_eq, statement};
use crate::contract::{Completion, CompletionValue, DescriptorAddr, TransferStatus};

pub(super) const STATEMENTS: &[Statement] = &[
    statement!(
        "C-CV-01",
        c_cv_01_address_and_status_make_the_word,
        Documented,
        Library,
        "ddi ns-netdma-_net_dma_channel_parameters; H08",
        "the word is the descriptor's address with the status in its low bits"
    ),
    statement!(
        "C-CV-02",
        c_cv_02_status_has_three_bits_and_the_address_none_of_the_low_six,
        Inferred,
        Library,
        "H08 (mask); FBSD (address)",
        "reading the word takes the status from bits 2:0 and the address from bits 63:6"
    ),
];

fn c_cv_01_address_and_status_make_the_word(_: &Bench<'_>) -> Verdict {
    let descriptor =
        DescriptorAddr::new(0x1_2345_6040).ok_or(super::NotPassed::Failed("an address".into()))?;
    for (status, word) in [
        (TransferStatus::Active, 0x1_2345_6040_u64),
        (TransferStatus::Idle, 0x1_2345_6041),
        (TransferStatus::Suspend, 0x1_2345_6042),
        (TransferStatus::Halted, 0x1_2345_6043),
    ] {
        ensure_eq!(CompletionValue::new(descriptor, status).0, word, "the word of {status:?}");
    }
    Ok(())
}

fn c_cv_02_status_has_three_bits_and_the_address_none_of_the_low_six(_: &Bench<'_>) -> Verdict {
    let Completion::At { descriptor, status, extra } = CompletionValue(0x1_2345_607a).decode() else {
        return Err(super::NotPassed::Failed("status 2 names a descriptor".into()));
    };
    ensure_eq!(descriptor, DescriptorAddr::new(0x1_2345_6040), "the address");
    ensure_eq!(status, TransferStatus::Suspend, "the status");
    ensure!(extra == 0x7, "bits 5:3 are kept apart: {extra:#x}");
    Ok(())
}
