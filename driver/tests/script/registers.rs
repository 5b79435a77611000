//! Registers by name: what they read, what must not be written, and tables of one's own.

use std::fs;

use super::script;

#[test]
fn a_register_is_read_decoded_and_its_fields_have_words() {
    let ran = script(
        "log(show(\"CHAN1.CHANSTS\")); log(field_name(\"chan1.chansts\", \"status\"));
         assert_eq(get(\"CHAN1.CHANSTS\"), read64(0x108)); assert_eq(get(\"CHAN0.DMA_COMP\", \"V3\"), 1);
         assert_eq(get(\"PCI.VENDOR\"), 0x8086); assert_eq(get(\"PCI.MSIX_CONTROL\", \"LAST\"), 3);
         assert_eq(registers().contains(\"CHAN3.CHANCMP\"), true); assert_eq(registers().contains(\"CHAN4.CHANCMP\"), false);",
        &[],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("CHAN1.CHANSTS = 0x0000000000000003 STATUS=HALTED(3)"), "{}", ran.out);
    assert!(ran.out.ends_with("\nHALTED\n"), "{}", ran.out);
}

#[test]
fn a_field_is_changed_alone_and_bits_that_ones_clear_are_left() {
    let ran = script(
        "put(\"CHAN0.CHANCTRL\", \"ERR_CMP_EN\", 1); put(\"CHAN0.CHANCTRL\", \"ERR_INT_EN\", true);
         assert_eq(get(\"CHAN0.CHANCTRL\") & 0x15, 0x14); put(\"CHAN0.CHANCTRL\", \"ERR_CMP_EN\", 0);
         assert_eq(get(\"CHAN0.CHANCTRL\") & 0x15, 0x10);
         // Two errors; the one that is named is cleared, and the other one stays.
         write64(0x90, 0x21); put(\"CHAN0.CHANCMD\", 0x24);
         let before = get(\"CHAN0.CHANERR\"); put(\"CHAN0.CHANERR\", \"CHAIN_ADDRESS\", 1);
         assert_eq(get(\"CHAN0.CHANERR\"), before ^ 0x10);",
        &["--force"],
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn a_forbidden_write_warns_with_line_register_reason_and_clause_and_is_done() {
    let text = "put(\"CHAN0.CHANCMP\", 0x1004);\nassert_eq(get(\"CHAN0.CHANCMP\"), 0x1004);\nput(\"CHANCNT\", 9);\n\
                write64(0x90, 0x21);\nput(\"CHAN0.CHAINADDR\", 0x40);";
    let ran = script(text, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in [
        "line 1, column 1: CHAN0.CHANCMP <- 0x1004: the completion word is 8-byte aligned (device model 2.2)",
        "line 3, column 1: CHANCNT <- 0x9: the register is read only (device model 2.1)",
        "line 4, column 1: CHAN0.CHAINADDR <- 0x21: descriptors are 64-byte aligned",
        "line 5, column 1: CHAN0.CHAINADDR <- 0x40: CHANERR still says why the channel halted",
        "4 register writes that the table forbids",
    ] {
        assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
    }
    let silenced = script(text, &["--force"]);
    assert_eq!((silenced.code, silenced.err.as_str()), (0, ""));
}

#[test]
fn a_part_of_a_register_is_judged_by_the_bits_that_are_written() {
    // CHANCMP by halves, as 32-bit drivers do; CHANSTS, CHANCTRL with its reserved bits; CHAINADDR where it halts.
    let text = "write32(0x98, 0x1000); write32(0x9c, 0x1);\nwrite32(0x98, 0x1004);\nwrite32(0x8c, 0);\n\
                write8(0x81, 0x0c);\nwrite32(0, 0);\nwrite32(0x90, 0x21);\nwrite32(0x90, 0x40);";
    let ran = script(text, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<_> = ran.err.lines().collect();
    for (line, part) in [
        "line 2, column 1: CHAN0.CHANCMP <- 0x1004: the completion word is 8-byte aligned",
        "line 3, column 1: CHAN0.CHANSTS <- 0x0: the register is read only",
        "line 4, column 1: CHAN0.CHANCTRL <- 0xc00: bits 0xc00 are reserved",
        "line 6, column 1: CHAN0.CHAINADDR <- 0x21: descriptors are 64-byte aligned",
        "line 7, column 1: CHAN0.CHAINADDR <- 0x40: CHANERR still says why the channel halted",
    ]
    .iter()
    .enumerate()
    {
        assert!(lines[line].contains(part), "no {part:?} in {}", ran.err);
    }
}

#[test]
fn what_is_allowed_does_not_warn() {
    let ran = script(
        "put(\"CHAN0.CHANCTRL\", 0x1d); put(\"CHAN0.CHANCMP\", 0x1000); put(\"CHAN0.CHAINADDR\", 0x40);
         put(\"CHAN0.CHANCMD\", \"RESET\", 1); put(\"PCI.COMMAND\", \"BUS_MASTER\", 1);",
        &[],
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn a_name_or_a_word_that_is_wrong_is_answered_with_those_that_are_right() {
    let tries = [
        ("get(\"CHANSTS\")", "no register is called \"CHANSTS\": there is CHAN0.CHANSTS"),
        ("get(\"CHAN0.CHANSTS\", \"STATE\")", "CHAN0.CHANSTS has no field \"STATE\": it has STATUS,"),
        (
            "expect_reg(\"CHAN0.CHANSTS\", \"STATUS\", \"DONE\")",
            "no value is called \"DONE\": there is ACTIVE, IDLE",
        ),
        ("put(\"CHAN0.DMACOUNT\", 0x10000)", "CHAN0.DMACOUNT: value 0x10000 does not fit into 2 bytes"),
        (
            "put(\"INTRDELAY\", \"DELAY_US\", 0x4000)",
            "INTRDELAY.DELAY_US: 0x4000 does not fit into bits 13:0",
        ),
        ("read(9, 0, 4)", "BAR 9: give 0 to 5"),
        ("read(0, 0, 3)", "width 3: give 1, 2, 4 or 8 bytes"),
        ("config_read(0, 8)", "accesses of 1, 2 and 4 bytes"),
    ];
    for (text, part) in tries {
        let ran = script(text, &[]);
        assert_eq!(ran.code, 1, "{text}");
        assert!(ran.err.contains(part), "{text}: no {part:?} in {}", ran.err);
    }
}

#[test]
fn a_table_of_ones_own_names_the_registers_of_any_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("own.toml");
    fs::write(
        &file,
        "[table]\nname = \"mine\"\n[[register]]\nname = \"COUNT\"\noffset = 0\nwidth = 1\naccess = \"ro\"\n\
         [[window]]\nname = \"CH\"\noffset = 0x80\nstride = 0x80\ncount = 2\n\
         [[window.register]]\nname = \"STS\"\noffset = 8\nwidth = 8\nfields = [{ name = \"S\", bits = \"2:0\", values = { STOP = 3 } }]\n",
    )
    .expect("written");
    let ran = script(
        "assert_eq(get(\"COUNT\"), 4); expect_reg(\"CH1.STS\", \"S\", \"STOP\"); expect_error(|| get(\"CHANCNT\"), \"no register\");",
        &["--registers", file.to_str().expect("UTF-8")],
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn a_table_that_is_wrong_is_usage_with_file_line_and_what_was_expected() {
    let register = "[table]\nname = \"mine\"\n[[register]]\nname = \"A\"\noffset = 0\nwidth = 4\n";
    let tries = [
        ("[table]\nname = \"x\"\ncolour = 1\n", ":3: unknown field `colour`"),
        ("[[register]]\nname = \"A\"\noffset = 0\nwidth = 4\n", "missing field `table`"),
        (
            "[table]\nname = \"x\"\n[[register]]\nname = \"A\"\noffset = 0\nwidth = 3\n",
            ":6: A: width 3: give 1, 2, 4 or 8",
        ),
        ("[table]\nname = \"x\"\ndevices = [\"8086\"]\n", ":3: devices: \"8086\": write"),
        (&format!("{register}access = \"rx\"\n"), ":7: unknown variant `rx`"),
        (&format!("{register}fields = [{{ name = \"F\", bits = \"40\" }}]\n"), ":7: F: bits \"40\""),
        (
            &format!("{register}{}", "[[register]]\nname = \"A\"\noffset = 4\nwidth = 4\n"),
            ":8: name \"A\": it is there twice",
        ),
        (&format!("{register}forbid = [{{ reason = \"so\" }}]\n"), ":7: forbid: give while"),
        (
            &format!("{register}forbid = [{{ reason = \"so\", while = {{ register = \"B\" }} }}]\n"),
            ":7: while: there is no register \"B\"",
        ),
        ("[table\n", ":1: "),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("own.toml");
    for (text, part) in tries {
        fs::write(&file, text).expect("written");
        let ran = script("log(1);", &["--registers", file.to_str().expect("UTF-8")]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{text}: {}", ran.err);
        assert!(ran.err.contains("own.toml") && ran.err.contains(part), "{text}: no {part:?} in {}", ran.err);
    }
}
