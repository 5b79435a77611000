//! The tables that are built in: I/OAT's, and that of PCI itself.

use super::{Table, TableError};

/// The registers of this device: the table that was given, else the built-in one for its ids; and those of PCI.
///
/// # Errors
/// What is wrong with a built-in table, which a test finds first.
pub(crate) fn tables(vendor: u16, device: u16, given: Option<Table>) -> Result<Vec<Table>, TableError> {
    let mut tables = Vec::new();
    match given {
        Some(table) => tables.push(table),
        None => {
            let ioat = ioat()?;
            if ioat.is_for(vendor, device) {
                tables.push(ioat);
            }
        }
    }
    tables.push(pci()?);
    Ok(tables)
}

fn ioat() -> Result<Table, TableError> {
    Table::parse("(built in) ioat.toml", include_str!("ioat.toml"))
}

fn pci() -> Result<Table, TableError> {
    Table::parse("(built in) pci.toml", include_str!("pci.toml"))
}

#[cfg(test)]
mod tests {
    use ioat_spec::pci::V3_DEVICES;
    use ioat_spec::register::{CHANNEL_WINDOW, CHANNELS_MAX, channel_base};
    use ioat_spec::{
        CbVer, ChanCmd, ChanCtrl, ChanErr, ChanSts, ChannelRegister, ChannelState, DmaCapability,
        GeneralRegister, IntrCtrl,
    };

    use super::*;
    use crate::script::registers::table::{Description, Home};

    fn mask(of: &Description, field: &str) -> u64 {
        let found = of.fields.iter().find(|known| known.name == field);
        found.unwrap_or_else(|| panic!("{} has no {field}", of.name)).bits.mask()
    }

    fn named<'a>(all: &'a [std::rc::Rc<Description>], name: &str) -> &'a Description {
        all.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn the_general_registers_are_those_of_the_specification_and_no_others() {
        let table = ioat().unwrap();
        let listed: Vec<_> = table.registers.iter().filter(|one| one.home == Home::Bar(0)).collect();
        assert_eq!(listed.len(), GeneralRegister::ALL.len());
        for (listed, spec) in listed.iter().zip(GeneralRegister::ALL) {
            let found = (listed.name.as_str(), listed.offset, usize::from(listed.width));
            assert_eq!(found, (spec.name(), spec.offset(), spec.width()));
        }
    }

    #[test]
    fn the_channels_are_where_the_specification_has_them_with_the_same_registers() {
        let table = ioat().unwrap();
        let [window] = &table.windows[..] else { panic!("{:?}", table.windows.len()) };
        assert_eq!((window.stride, window.count as usize), (CHANNEL_WINDOW, CHANNELS_MAX));
        assert_eq!((window.offset, window.offset + window.stride), (channel_base(0), channel_base(1)));
        assert_eq!(window.registers.len(), ChannelRegister::ALL.len());
        for (listed, spec) in window.registers.iter().zip(ChannelRegister::ALL) {
            let found = (listed.name.as_str(), listed.offset, usize::from(listed.width));
            assert_eq!(found, (spec.name(), spec.offset(), spec.width()));
        }
    }

    #[test]
    fn the_configuration_registers_are_where_the_specification_has_them() {
        use ioat_spec::pci;
        let table = ioat().unwrap();
        let places = [
            ("DMAUNCERRSTS", pci::DMAUNCERRSTS),
            ("DMAUNCERRMSK", pci::DMAUNCERRMSK),
            ("DMAUNCERRSEV", pci::DMAUNCERRSEV),
            ("CHANERR_INT", pci::CHANERR_INT),
            ("CHANERRMSK_INT", pci::CHANERRMSK_INT),
            ("CHANERRSEV_INT", pci::CHANERRSEV_INT),
        ];
        for (name, offset) in places {
            let listed = named(&table.registers, name);
            assert_eq!((listed.home, listed.offset), (Home::Config, offset as u64), "{name}");
        }
    }

    #[test]
    fn the_bits_of_errors_states_and_commands_are_those_of_the_specification() {
        let table = ioat().unwrap();
        let channel = &table.windows[0].registers;
        let errors = named(channel, "CHANERR");
        assert_eq!(errors.fields.len(), ChanErr::NAMED.len());
        for (bit, name) in ChanErr::NAMED {
            assert_eq!(mask(errors, &name.to_uppercase().replace('-', "_")), 1 << bit, "{name}");
        }
        let status = named(channel, "CHANSTS");
        assert_eq!(mask(status, "STATUS"), ChanSts::STATE_MASK);
        assert_eq!(mask(status, "ADDRESS"), ChanSts::ADDRESS_MASK);
        assert_eq!(mask(status, "UNAFFILIATED_ERROR"), ChanSts::UNAFFILIATED_ERROR);
        assert_eq!(mask(status, "SOFT_ERROR"), ChanSts::SOFT_ERROR);
        for (value, word) in &status.fields[0].words {
            let state = ChannelState::from_code(*value).unwrap();
            assert_eq!(format!("{state:?}").to_uppercase(), *word);
        }
        assert_eq!(status.fields[0].words.len(), 5);
        let command = named(channel, "CHANCMD");
        assert_eq!(mask(command, "SUSPEND"), u64::from(ChanCmd::new().with_suspend(true).into_bits()));
        assert_eq!(mask(command, "RESUME"), u64::from(ChanCmd::new().with_resume(true).into_bits()));
        assert_eq!(mask(command, "RESET"), u64::from(ChanCmd::new().with_reset(true).into_bits()));
        let control = named(channel, "CHANCTRL");
        assert_eq!(mask(control, "INT_DIS"), u64::from(ChanCtrl::new().with_int_dis(true).into_bits()));
        assert_eq!(mask(control, "ERR_CMP_EN"), u64::from(ChanCtrl::new().with_err_cmp_en(true).into_bits()));
        assert_eq!(mask(control, "ERR_INT_EN"), u64::from(ChanCtrl::new().with_err_int_en(true).into_bits()));
        assert_eq!(mask(control, "IN_USE"), u64::from(ChanCtrl::new().with_in_use(true).into_bits()));
    }

    #[test]
    fn the_bits_of_the_general_registers_are_those_of_the_specification() {
        let table = ioat().unwrap();
        let control = named(&table.registers, "INTRCTRL");
        assert_eq!(
            mask(control, "MASTER_INT_EN"),
            u64::from(IntrCtrl::new().with_master_int_en(true).into_bits())
        );
        let version = named(&table.registers, "CBVER");
        assert_eq!(mask(version, "MAJOR"), u64::from(CbVer::new().with_major(0xf).into_bits()));
        let can = named(&table.registers, "DMACAPABILITY");
        let bits = |capability: DmaCapability| u64::from(capability.into_bits());
        assert_eq!(mask(can, "FILL"), bits(DmaCapability::new().with_fill(true)));
        assert_eq!(mask(can, "DWBES"), bits(DmaCapability::new().with_dwbes(true)));
        assert_eq!(mask(can, "RAID16SS"), bits(DmaCapability::new().with_raid16ss(true)));
        assert_eq!(mask(can, "DPS"), bits(DmaCapability::new().with_dps(true)));
        assert_eq!(mask(can, "DCA"), bits(DmaCapability::new().with_dca(true)));
    }

    #[test]
    fn the_table_is_for_every_engine_of_version_3_and_for_nothing_else() {
        let table = ioat().unwrap();
        let listed: Vec<_> = V3_DEVICES.iter().map(|(vendor, ids, _)| (*vendor, ids.clone())).collect();
        assert_eq!(table.devices, listed);
        assert!(!table.is_for(0x1234, 0x11e8));
    }

    #[test]
    fn the_table_of_pci_is_good_and_every_register_says_where_it_is_from() {
        for table in [pci().unwrap(), ioat().unwrap()] {
            let all = table.registers.iter().chain(table.windows.iter().flat_map(|window| &window.registers));
            for register in all {
                assert!(!register.clause.is_empty(), "{}", register.name);
            }
        }
    }
}
