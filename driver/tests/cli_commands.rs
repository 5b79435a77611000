//! The program's arguments, exit codes, and the commands `list`, `info` and `copy`, on the device in its process.
#![cfg(feature = "sim")]

use std::fs;
use std::process::Command;

use serde_json::Value;

/// What a run of the program left.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn netdma(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_netdma"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .expect("the program starts");
    Ran {
        code: output.status.code().expect("no signal ends it"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

#[test]
fn help_shows_examples_and_every_exit_code() {
    let ran = netdma(&["--help"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for part in
        ["Examples:", "netdma selftest", "Exit codes:", "  0  ", "  1  ", "  2  ", "  3  ", "Fault rules"]
    {
        assert!(ran.out.contains(part), "no {part:?} in\n{}", ran.out);
    }
    assert!(netdma(&["--version"]).out.starts_with("netdma "));
}

#[test]
fn a_command_line_that_makes_no_sense_is_one_line_with_the_mend_and_exit_2() {
    let rule = "msix: nth(3) drop";
    let cases: &[(&[&str], &str)] = &[
        (&[], "netdma: no command given: see `netdma --help`"),
        (&["lst"], "netdma: unrecognized subcommand 'lst': tip: a similar subcommand exists: 'list'"),
        (&["list", "--jsn"], "netdma: unexpected argument '--jsn' found"),
        (
            &["info", "--on", "foo"],
            "netdma: --on foo: this is no device: write sim, socket:PATH, or a PCI address",
        ),
        (&["info", "--on", "socket:"], "netdma: --on socket:: no path"),
        (&["info", "--profile", "icx"], "netdma: --profile icx: unknown: the profiles are skx"),
        (&["info", "--channels", "9"], "netdma: invalid value '9' for '--channels <1..=8>'"),
        (
            &["info", "--on", "socket:/x", "--channels", "2"],
            "netdma: --channels with --on socket:/x: that device is another",
        ),
        (
            &["selftest", "--on", "socket:/x", "--fault", rule],
            "give --fault to the device program, `vfio-user-ioat --socket-path /x --fault ...`",
        ),
        (
            &["selftest", "--on", "00:04.0", "--fault", rule],
            "netdma: --fault with a PCI function: it is for a virtual engine",
        ),
        (
            &["selftest", "--fault", "msix: nth(3) explode"],
            "netdma: --fault: fault rule 'msix: nth(3) explode': action 'explode': expected an action: drop, delay",
        ),
        (
            &["selftest", "--fault", "msix: nth(3) corrupt(1)"],
            "would never fire: msix cannot corrupt; corrupt works at config, register",
        ),
        (
            &["selftest", "--channels", "2", "--fault", "msix[ch=2]: nth(3) drop"],
            "netdma: --fault: fault rule 'msix[ch=2]: nth(3) drop' would never fire: 'ch=2': the channels are 0 to 1",
        ),
        (
            &["selftest", "--fault", "transport: nth(1) disconnect"],
            "would never fire: there is no connection in the simulator",
        ),
        (&["selftest", "--fault", "errata:hostile"], "erratum 'hostile': expected 'errata:hostile(opt-in)'"),
        (&["selftest", "--processors", "33"], "netdma: invalid value '33' for '--processors <1..=32>'"),
        (&["selftest", "--timeout-ms", "0"], "netdma: invalid value '0' for '--timeout-ms <MS>'"),
        (&["copy", "--size", "1X"], "netdma: --size '1X': unknown suffix X: write bytes, or use K, M or G"),
        (&["copy", "--size", "0"], "netdma: --size 0: nothing to do: give at least 1"),
        (&["copy", "--chunk", "2G"], "netdma: --chunk 2G: too large: give at most 1 GiB"),
        (&["copy", "--input", "a", "--size", "1"], "netdma: --input and --size exclude each other"),
        (&["copy", "--channel", "4"], "netdma: --channel 4: this engine has 4 channels: give 0 to 3"),
    ];
    for (arguments, expected) in cases {
        let ran = netdma(arguments);
        assert!(ran.err.contains(expected), "{arguments:?} says\n{}not {expected:?}", ran.err);
        assert_eq!((ran.code, ran.err.lines().count(), ran.out.as_str()), (2, 1, ""), "{arguments:?}");
    }
}

#[test]
fn a_device_that_cannot_be_opened_is_exit_3_and_names_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.sock");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let cases = [
        (format!("socket:{}", absent.display()), "no such socket: start the device with --socket-path"),
        (format!("socket:{}", file.display()), "this is not a socket: give the path of a device's socket"),
        ("ffff:ff:1f.7".into(), "netdma: ffff:ff:1f.7: there is no such PCI function: `netdma list`"),
    ];
    for (on, expected) in cases {
        for command in ["info", "copy", "selftest"] {
            let ran = netdma(&[command, "--on", &on]);
            assert!(ran.err.contains(expected), "{command} --on {on} says\n{}", ran.err);
            assert_eq!((ran.code, ran.err.lines().count()), (3, 1), "{command} --on {on}: {}", ran.err);
        }
    }
}

#[test]
fn list_prints_this_hosts_engines_or_that_there_are_none() {
    let (text, json) = (netdma(&["list"]), netdma(&["list", "--json"]));
    assert_eq!((text.code, json.code), (0, 0), "{}{}", text.err, json.err);
    let found: Value = serde_json::from_str(&json.out).unwrap();
    match found.as_array().unwrap().as_slice() {
        [] => assert!(text.out.starts_with("none found"), "{}", text.out),
        found => found.iter().for_each(|found| assert!(text.out.contains(found["bdf"].as_str().unwrap()))),
    }
}

#[test]
fn info_decodes_identity_capabilities_and_every_channel() {
    let ran = netdma(&["info", "--channels", "2"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for part in [
        "8086:2021 SKX",
        "2^20 (1 MiB in one transfer)",
        "(copy, null, fill)",
        "channel 1",
        "halted (CHANSTS 0x3",
    ] {
        assert!(ran.out.contains(part), "no {part:?} in\n{}", ran.out);
    }
    assert!(!ran.out.contains("channel 2"), "{}", ran.out);
    let report: Value = serde_json::from_str(&netdma(&["info", "--json"]).out).unwrap();
    assert_eq!(report["device"], "sim skx");
    assert_eq!(report["channels"].as_array().unwrap().len(), 4);
    assert_eq!(
        (&report["channels"][3]["state"], &report["channels"][3]["errors"]),
        (&"halted".into(), &"none".into())
    );
    assert_eq!(report["msix_vectors"], 4);
}

#[test]
fn a_device_that_reads_all_ones_is_gone_and_exit_3() {
    for command in ["info", "copy", "selftest"] {
        let ran = netdma(&[command, "--fault", "register: every(1) all-ones"]);
        assert!(ran.err.contains("the device is gone: CBVER reads all ones"), "{}", ran.err);
        assert_eq!((ran.code, ran.err.lines().count()), (3, 1));
    }
}

#[test]
fn a_file_goes_through_the_engine_and_comes_out_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("input"), folder.path().join("output"));
    // More than one window, and neither whole pages nor whole chunks.
    let data: Vec<u8> = (0..5_000_089_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for (len, chunk) in [(data.len(), "1M"), (70_001, "89"), (0, "4K")] {
        fs::write(&input, &data[..len]).unwrap();
        let place = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let ran = netdma(&[
            "copy",
            "--input",
            &place(&input),
            "--output",
            &place(&output),
            "--chunk",
            chunk,
            "--channel",
            "2",
        ]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert!(ran.out.contains(&format!("sim skx: {len} bytes")), "{}", ran.out);
        assert!(ran.out.contains("on channel 2 and verified"), "{}", ran.out);
        assert!(fs::read(&output).unwrap() == data[..len], "the copy of {len} bytes differs");
    }
}

#[test]
fn a_copy_that_fails_verification_leaves_no_output_and_says_which_byte() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    let rule = "copy: nth(2) corrupt(5, 0x80)";
    let ran = netdma(&["copy", "--size", "3M", "--output", output.to_str().unwrap(), "--fault", rule]);
    assert_eq!((ran.code, ran.err.lines().count(), ran.out.as_str()), (1, 1, ""), "{}", ran.err);
    // The second descriptor begins at 1 MiB.
    assert!(ran.err.contains("channel 0: offset 1048581: expected 0x"), "{}", ran.err);
    assert!(ran.err.contains(", found 0x"), "{}", ran.err);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let ran = netdma(&["copy", "--input", "/nonexistent/input"]);
    assert_eq!(ran.err, "netdma: cannot read /nonexistent/input: No such file or directory (os error 2)\n");
    assert_eq!(ran.code, 1);
}
