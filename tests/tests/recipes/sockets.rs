//! systemd's units, and the descriptor for management programs.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Command;

use netdma_tests::process::{Running, run};
use netdma_tests::{build_dir, program, skip};
use serde_json::Value;

use crate::host::tool;
use crate::text::{read, recipe, words};

/// A value of a unit file.
fn setting(unit: &str, key: &str) -> String {
    let text = read(unit);
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.next().unwrap_or_else(|| panic!("{unit}: no {key}")).to_owned()
}

/// systemd's hand-over: the listening socket is descriptor 3 of a program that it starts.
#[test]
fn the_services_command_serves_one_client_after_the_other_on_the_socket_that_it_was_handed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let line = words(&setting("systemd/vfio-user-ioat@.service", "ExecStart"));
    let name = line[0].rsplit('/').next().unwrap();
    assert_eq!((name, &line[1..]), ("vfio-user-ioat", &["--fd".to_owned(), "3".to_owned()][..]));

    // sh makes the hand-over: what comes on its standard input becomes descriptor 3.
    let mut launcher = Command::new("sh");
    launcher.args(["-c", "exec \"$@\" 3<&0 0</dev/null", "sh"]).arg(program(name)).args(&line[1..]);
    let service = Running::start(launcher.stdin(OwnedFd::from(listener)));
    let on = format!("socket:{}", path.display());
    for _ in 0..2 {
        let client = run(Command::new(program("netdma")).args(["info", "--on", &on]));
        assert_eq!(client.code, Some(0), "{}", client.err);
        assert!(client.out.contains("8086"), "{}", client.out);
    }
    service.signal("TERM");
    let ended = service.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(path.exists(), "the socket is systemd's to remove");
}

#[test]
fn the_units_belong_together() {
    assert_eq!(setting("systemd/vfio-user-ioat@.service", "Requires"), "vfio-user-ioat@%i.socket");
    assert_eq!(setting("systemd/vfio-user-ioat@.socket", "ListenStream"), "/run/netdma/%i.sock");
    assert!(read("systemd.md").contains("/run/netdma/0.sock"));
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let Some(analyze) = tool("systemd-analyze") else {
        return skip("recipes::systemd units", "systemd-analyze is not installed");
    };
    let folder = tempfile::tempdir().unwrap();
    for unit in ["vfio-user-ioat@.socket", "vfio-user-ioat@.service"] {
        let text = read(&format!("systemd/{unit}"));
        let here = program("vfio-user-ioat");
        let text = text.replace("/usr/local/bin/vfio-user-ioat", here.to_str().unwrap());
        std::fs::write(folder.path().join(unit), text).unwrap();
    }
    let ran = run(Command::new(analyze)
        .args(["verify", "--man=no"])
        .arg(folder.path().join("vfio-user-ioat@.socket")));
    let about_ours: Vec<_> = ran.err.lines().filter(|line| line.contains("vfio-user-ioat")).collect();
    assert_eq!(about_ours, [""; 0], "{}", ran.err);
}

#[test]
fn the_descriptor_has_qemus_keys_and_says_what_the_program_says() {
    let descriptor: Value = serde_json::from_str(&read("qemu/50-netdma-ioat.json")).unwrap();
    let capabilities = run(Command::new(program("vfio-user-ioat")).arg("--print-capabilities"));
    let capabilities: Value = serde_json::from_str(&capabilities.out).unwrap();
    assert_eq!(descriptor["type"], capabilities["type"]);
    assert!(descriptor["description"].as_str().unwrap().contains("NON-STANDARD"));
    let features = |value: &Value| value["features"].as_array().unwrap().clone();
    for feature in features(&descriptor) {
        assert!(features(&capabilities).contains(&feature), "{feature} is not in --print-capabilities");
    }
    let built = build_dir().parent().unwrap().join("share/qemu/vfio-user/50-netdma-ioat.json");
    assert_eq!(std::fs::read(built).unwrap(), std::fs::read(recipe("qemu/50-netdma-ioat.json")).unwrap());
}
