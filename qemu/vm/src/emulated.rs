//! PCI devices that QEMU itself emulates, in the guest beside the vfio-user ones or instead of them.

use std::str::FromStr;

use thiserror::Error;

/// The slot of the first of them on the root bus: below the vfio-user devices, above what QEMU places by itself.
const FIRST_SLOT: usize = 0x08;

/// How many fit: slot 0x10 is the first vfio-user device's.
pub const MOST_EMULATED: usize = 0x10 - FIRST_SLOT;

/// What this crate says about each of them, so that nobody else may.
const OURS: [&str; 3] = ["id", "bus", "addr"];

/// A device as QEMU's `-device` takes it: `edu`, or `edu,dma_mask=0xffffffff`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emulated {
    device: String,
}

/// A text that is not such a device. Whether QEMU knows the device, QEMU says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EmulatedError {
    /// It does not begin with a name.
    #[error("{0:?} names no device: write DEVICE[,PROP=V...], as in edu or edu,dma_mask=0xffffffff")]
    NoName(String),
    /// A property without a value.
    #[error("{device}: {property:?} is not PROP=V")]
    Property {
        /// The device.
        device: String,
        /// What stands there.
        property: String,
    },
    /// A property that decides where the device is.
    #[error("{device}: {property} is given by netdma-vm, which puts the device at {}", bdf(0))]
    Ours {
        /// The device.
        device: String,
        /// Its property.
        property: String,
    },
}

/// The address in the guest of emulated device `index`.
pub fn bdf(index: usize) -> String {
    format!("0000:00:{:02x}.0", FIRST_SLOT + index)
}

impl Emulated {
    /// QEMU's option for it as emulated device `index`.
    pub fn option(&self, index: usize) -> String {
        format!("{},id=emulated{index},bus=pcie.0,addr={:#x}", self.device, FIRST_SLOT + index)
    }
}

impl FromStr for Emulated {
    type Err = EmulatedError;

    fn from_str(text: &str) -> Result<Self, EmulatedError> {
        // In QEMU's language a comma that belongs to a value is doubled.
        let joined = text.replace(",,", "\0");
        let mut parts = joined.split(',').map(|part| part.replace('\0', ",,"));
        let device = parts.next().unwrap_or_default();
        let named = device.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if device.is_empty() || !named {
            return Err(EmulatedError::NoName(text.into()));
        }
        for property in parts {
            match property.split_once('=') {
                Some((name, _)) if OURS.contains(&name) => {
                    return Err(EmulatedError::Ours { device, property: name.into() });
                }
                Some((name, _)) if !name.is_empty() => {}
                _ => return Err(EmulatedError::Property { device, property }),
            }
        }
        Ok(Self { device: text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<Emulated>().unwrap_err().to_string()
    }

    #[test]
    fn a_device_keeps_its_properties_and_gets_its_place() {
        let edu: Emulated = "edu,dma_mask=0xffffffff".parse().unwrap();
        assert_eq!(edu.option(1), "edu,dma_mask=0xffffffff,id=emulated1,bus=pcie.0,addr=0x9");
        assert_eq!(bdf(1), "0000:00:09.0");
        assert!("nvme,serial=a,,b".parse::<Emulated>().is_ok());
    }

    #[test]
    fn the_last_of_them_is_below_the_first_vfio_user_device() {
        assert!(bdf(MOST_EMULATED - 1) < crate::line::bdf(0));
    }

    #[test]
    fn what_is_not_a_device_says_what_it_is_instead() {
        assert!(refusal("").contains("names no device"));
        assert!(refusal("{\"driver\":\"edu\"}").contains("names no device"));
        assert!(refusal("edu,").contains("edu: \"\" is not PROP=V"));
        assert!(refusal("edu,fast").contains("\"fast\" is not PROP=V"));
        assert!(refusal("edu,=1").contains("\"=1\" is not PROP=V"));
        assert!(
            refusal("edu,addr=3")
                .contains("addr is given by netdma-vm, which puts the device at 0000:00:08.0")
        );
    }
}
