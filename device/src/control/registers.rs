//! Every register by name, for reading without effect.

use ioat_spec::pci::{MSIX_PBA_OFFSET, MSIX_TABLE_OFFSET, REGISTERS as CONFIG_REGISTERS};
use ioat_spec::register::{CHANNEL_WINDOW, TailRegister, channel_base};
use ioat_spec::{
    CbVer, ChanCtrl, ChanErr, ChanSts, ChannelRegister, ChannelState, DmaCapability, GeneralRegister,
    IntrCtrl,
};
use serde_json::{Value, json};

use super::commands::channels::error_bits;
use super::controls::Controls;
use crate::profile::Profile;

/// Where a register is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Space {
    Bar0,
    Config,
}

impl Space {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bar0 => "bar0",
            Self::Config => "config",
        }
    }
}

/// A register.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) space: Space,
    pub(crate) channel: Option<u8>,
    pub(crate) offset: u64,
    pub(crate) width: usize,
}

/// Every register that a device of this profile has.
pub(crate) fn all(profile: &Profile) -> Vec<Named> {
    let bar0 = |name: &str, channel, offset, width| Named {
        name: name.to_owned(),
        space: Space::Bar0,
        channel,
        offset,
        width,
    };
    let mut all: Vec<Named> =
        GeneralRegister::ALL.iter().map(|r| bar0(r.name(), None, r.offset(), r.width())).collect();
    for channel in 0..profile.channels {
        let base = channel_base(channel.into());
        let registers = ChannelRegister::ALL.iter();
        all.extend(registers.map(|r| bar0(r.name(), Some(channel), base + r.offset(), r.width())));
    }
    if profile.channels == 1 {
        let tail = TailRegister::ALL.iter();
        all.extend(tail.map(|r| bar0(r.name(), None, CHANNEL_WINDOW + r.offset(), r.width())));
    }
    for vector in 0..profile.vectors() {
        let entry = u64::from(MSIX_TABLE_OFFSET) + 16 * u64::from(vector);
        for (name, at, width) in [("ADDRESS", 0, 8), ("DATA", 8, 4), ("CONTROL", 12, 4)] {
            all.push(bar0(&format!("MSIX{vector}_{name}"), None, entry + at, width));
        }
    }
    if profile.vectors() > 0 {
        all.push(bar0("MSIX_PENDING", None, MSIX_PBA_OFFSET.into(), 8));
    }
    let config =
        CONFIG_REGISTERS.iter().filter(|(name, ..)| profile.vectors() > 0 || !name.starts_with("MSIX_"));
    all.extend(config.map(|(name, offset, width)| Named {
        name: (*name).to_owned(),
        space: Space::Config,
        channel: None,
        offset: *offset as u64,
        width: *width,
    }));
    all
}

impl Named {
    /// Reads it.
    pub(crate) fn read(&self, controls: &dyn Controls) -> Value {
        let mut bytes = [0; 8];
        match self.space {
            Space::Bar0 => controls.peek(self.offset, &mut bytes[..self.width]),
            Space::Config => controls.peek_config(self.offset, &mut bytes[..self.width]),
        }
        let value = u64::from_le_bytes(bytes);
        json!({
            "name": self.name,
            "space": self.space.name(),
            "channel": self.channel,
            "offset": self.offset,
            "width": self.width,
            "value": value,
            "fields": fields(&self.name, bytes),
        })
    }
}

/// What is in it; null for a plain number.
fn fields(name: &str, bytes: [u8; 8]) -> Value {
    let [a, b, c, d, ..] = bytes;
    let (word, half) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([a, b]));
    match name {
        "CHANSTS" => {
            let status = ChanSts::from_bits(u64::from_le_bytes(bytes));
            json!({ "address": status.completed(), "state": state_name(status.into_bits()) })
        }
        "CHANERR" | "CHANERRMSK" | "CHANERR_INT" | "CHANERRMSK_INT" | "CHANERRSEV_INT" => {
            json!({ "bits": error_bits(ChanErr::from_bits(word)) })
        }
        "CHANCTRL" => {
            let control = ChanCtrl::from_bits(half);
            json!({
                "int_dis": control.int_dis(),
                "err_cmp_en": control.err_cmp_en(),
                "any_err_abort_en": control.any_err_abort_en(),
                "err_int_en": control.err_int_en(),
                "in_use": control.in_use(),
            })
        }
        "INTRCTRL" => {
            let control = IntrCtrl::from_bits(a);
            json!({
                "master_int_en": control.master_int_en(),
                "int_status": control.int_status(),
                "int": control.int(),
                "msix_vector_control": control.msix_vector_control(),
            })
        }
        "CBVER" => json!({ "major": CbVer::from_bits(a).major(), "minor": CbVer::from_bits(a).minor() }),
        "DMACAPABILITY" => {
            let can = DmaCapability::from_bits(word);
            json!({ "page_break": can.page_break(), "dca": can.dca(), "fill": can.fill(), "xor": can.xor() })
        }
        "COMMAND" => json!({
            "memory": half & 1 << 1 != 0,
            "bus_master": half & 1 << 2 != 0,
            "intx_disable": half & 1 << 10 != 0,
        }),
        "MSIX_CONTROL" => json!({
            "vectors": (half & 0x7ff) + 1,
            "masked": half & 1 << 14 != 0,
            "enabled": half & 1 << 15 != 0,
        }),
        _ => Value::Null,
    }
}

/// CHANSTS's state as a word.
pub(crate) fn state_name(status: u64) -> String {
    ChannelState::from_code(status)
        .map_or_else(|| "unknown".to_owned(), |state| format!("{state:?}").to_lowercase())
}
