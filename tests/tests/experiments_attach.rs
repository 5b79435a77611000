//! Experiments on a device that somebody else started: by its control socket, with a command that has a driver do something.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netdma_lab::experiments::place::attach::AttachPlace;
use netdma_lab::experiments::{Class, Experiment, Id, Limits, Place};
use netdma_tests::program;

const LIMITS: Limits = Limits { hang: Duration::from_secs(20), degraded: Duration::from_secs(20) };

/// The user's device.
struct Device(Child);

impl Device {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(program("vfio-user-ioat"));
        command.arg("--socket-path").arg(folder.join("s")).arg("--control").arg(folder.join("c"));
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while !(folder.join("s").exists() && folder.join("c").exists()) {
            assert!(Instant::now() < until, "no sockets");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self(child)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn copies(folder: &Path) -> String {
    format!("'{}' copy --size 16K --on socket:{}", program("netdma").display(), folder.join("s").display())
}

fn experiment(rule: &str) -> Experiment {
    Experiment { id: Id("0".into()), rules: vec![rule.parse().unwrap()], seed: 7 }
}

#[test]
fn a_command_is_judged_by_its_status_and_the_devices_view_and_nothing_stays_armed() {
    let folder = tempfile::tempdir().unwrap();
    let _device = Device::start(folder.path());
    let mut place = AttachPlace::open(&folder.path().join("c"), &copies(folder.path())).unwrap();
    let golden = place.golden(0).unwrap();
    assert!(golden.observation.reason().is_empty() && !golden.operations.is_empty(), "{golden:?}");
    for (rule, class) in [
        ("copy[ch=0]: nth(1) corrupt(0)", Class::SilentDataCorruption),
        ("fetch[ch=0]: nth(1) halt(3)", Class::DetectedFailed),
        ("copy[ch=0]: nth(1000000) corrupt(0)", Class::NotActivated),
    ] {
        let seen = place.run(&experiment(rule), &LIMITS).unwrap();
        assert_eq!(seen.class(), class, "{rule}: {seen:?}");
        assert!(seen.device.contains_key("channels-halted"), "{seen:?}");
    }
    let mut client = vfio_user_ioat::control::Client::connect(&folder.path().join("c")).unwrap();
    assert!(client.rules().unwrap().is_empty());
}

#[test]
fn a_device_that_died_is_the_machine_rooms_failure_until_its_user_starts_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::start(folder.path());
    let mut place = AttachPlace::open(&folder.path().join("c"), &copies(folder.path())).unwrap();
    place.golden(0).unwrap();
    assert!(place.run(&experiment("register: nth(5) kill"), &LIMITS).is_err());
    let error = place.run(&experiment("msix: nth(1) duplicate"), &LIMITS).unwrap_err().to_string();
    assert!(error.contains("the device's control socket (--control of vfio-user-ioat)"), "{error}");
    drop(device);
    for name in ["s", "c"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    let _device = Device::start(folder.path());
    let seen = place.run(&experiment("msix[ch=0]: nth(1) duplicate"), &LIMITS).unwrap();
    assert!(matches!(seen.class(), Class::Masked | Class::NotActivated), "{seen:?}");
}
