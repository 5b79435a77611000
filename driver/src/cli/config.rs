//! What the command line means, once it is checked. Every error here is one of usage.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ioat_stage::{Detail, Rule};
use netdma::conformance::{Statement, statements};
use netdma::hw::host::Address;

use super::args::{
    ConformanceArguments, CopyArguments, DriveArguments, InfoArguments, OnArguments, PlaceArguments,
    SelftestArguments,
};
#[cfg(feature = "script")]
use super::args::{ScriptArguments, SessionArguments};
use super::exit::Usage;
use super::sizes;

/// On what a command runs.
#[derive(Clone, Debug)]
pub(crate) enum On {
    /// The device in this process.
    Sim(Sim),
    /// A vfio-user device program's socket.
    Socket(PathBuf, Elsewhere),
    /// A function of this host.
    Function(Address, Elsewhere),
}

/// What goes wrong where the device is not in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elsewhere {
    /// In the driver.
    pub(crate) driver: Vec<Rule>,
    /// In the device, by its control socket; none without one.
    pub(crate) device: Vec<Rule>,
    /// The control socket.
    pub(crate) control: Option<PathBuf>,
}

/// The device in this process.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "sim"),
    expect(dead_code, reason = "without the device there is nothing to read them")
)]
pub(crate) struct Sim {
    pub(crate) profile: String,
    pub(crate) channels: Option<u8>,
    pub(crate) vectors: Option<u16>,
    pub(crate) rules: Vec<Rule>,
}

/// A checked `info`.
pub(crate) struct Info {
    pub(crate) on: On,
    pub(crate) json: bool,
}

/// Checks `info`.
pub(crate) fn info(flags: InfoArguments) -> Result<Info, Usage> {
    Ok(Info { on: on(flags.on)?, json: flags.json })
}

/// How a command drives the engine.
pub(crate) struct Drive {
    pub(crate) processors: u32,
    pub(crate) timeout: Duration,
    pub(crate) trace: Option<TraceTo>,
}

/// A trace, and where it goes.
pub(crate) struct TraceTo {
    pub(crate) path: PathBuf,
    pub(crate) detail: Detail,
}

/// A checked `copy`.
pub(crate) struct Copy {
    pub(crate) on: On,
    pub(crate) drive: Drive,
    pub(crate) source: Source,
    pub(crate) output: Option<PathBuf>,
    pub(crate) channel: u8,
    /// Bytes of one descriptor; none for the most that the engine takes.
    pub(crate) chunk: Option<usize>,
}

/// What is copied.
pub(crate) enum Source {
    File(PathBuf),
    Generated(u64),
}

/// A checked `selftest`.
pub(crate) struct Selftest {
    pub(crate) on: On,
    pub(crate) drive: Drive,
    pub(crate) quick: bool,
    pub(crate) json: bool,
    pub(crate) seed: u64,
    pub(crate) expect_fault: bool,
}

/// Checks `copy`.
pub(crate) fn copy(flags: CopyArguments) -> Result<Copy, Usage> {
    let CopyArguments { on: place, drive, input, output, size, channel, chunk } = flags;
    let size = size.map(|text| positive("--size", &text)).transpose()?;
    let source = match (input, size) {
        (Some(_), Some(_)) => {
            return Err(Usage(
                "--input and --size exclude each other: a file is copied whole: leave --size out".into(),
            ));
        }
        (Some(path), None) => Source::File(path),
        (None, size) => Source::Generated(size.unwrap_or(16 << 20)),
    };
    let chunk = chunk.map(|text| chunk_bytes(&text)).transpose()?;
    Ok(Copy { on: on(place)?, drive: checked(drive), source, output, channel, chunk })
}

/// Checks `selftest`.
pub(crate) fn selftest(flags: SelftestArguments) -> Result<Selftest, Usage> {
    let SelftestArguments { on: place, drive, quick, json, seed, expect_fault } = flags;
    let seed = seed.unwrap_or_else(new_seed);
    Ok(Selftest { on: on(place)?, drive: checked(drive), quick, json, seed, expect_fault })
}

/// A checked `conformance`.
pub(crate) struct Conformance {
    pub(crate) only: Vec<&'static Statement>,
    pub(crate) work: Work,
}

/// What `conformance` does.
pub(crate) enum Work {
    Run(On, Output),
    List,
    /// The files of results.
    Table(Vec<PathBuf>),
}

/// How it says what it found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    Ktap,
    Json,
}

/// Checks `conformance`.
pub(crate) fn conformance(flags: ConformanceArguments) -> Result<Conformance, Usage> {
    // clap has seen to it that --ktap comes with nothing that contradicts it.
    let ConformanceArguments { on: place, only, list, json, ktap: _, table } = flags;
    let PlaceArguments { on: text, profile } = place;
    let flags =
        OnArguments { on: text, channels: None, vectors: None, profile, fault: Vec::new(), control: None };
    let on = on(flags)?;
    let only = chosen(&only)?;
    let work = match (list, table.is_empty(), json) {
        (true, ..) => Work::List,
        (_, false, _) => Work::Table(table),
        (.., true) => Work::Run(on, Output::Json),
        (.., false) => Work::Run(on, Output::Ktap),
    };
    Ok(Conformance { only, work })
}

/// On what a script or the shell works, and how.
#[cfg(feature = "script")]
pub(crate) struct Session {
    pub(crate) on: On,
    pub(crate) registers: Option<PathBuf>,
    pub(crate) force: bool,
}

/// Checks it.
#[cfg(feature = "script")]
pub(crate) fn session(flags: SessionArguments) -> Result<Session, Usage> {
    let SessionArguments { on: place, registers, force } = flags;
    Ok(Session { on: on(place)?, registers, force })
}

/// A checked `script`.
#[cfg(feature = "script")]
pub(crate) struct Script {
    pub(crate) file: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) session: Session,
    pub(crate) junit: Option<PathBuf>,
    pub(crate) ktap: bool,
    pub(crate) timeout: Option<Duration>,
}

/// Checks `script`.
#[cfg(feature = "script")]
pub(crate) fn script(flags: ScriptArguments) -> Result<Script, Usage> {
    let ScriptArguments { file, arguments, session: place, junit, ktap, timeout_ms } = flags;
    let timeout = timeout_ms.map(Duration::from_millis);
    Ok(Script { file, arguments, session: session(place)?, junit, ktap, timeout })
}

/// The statements that `only` names, in their own order; without a name all.
fn chosen(only: &[String]) -> Result<Vec<&'static Statement>, Usage> {
    let named = |id: &str, name: &str| match statements().any(|it| it.id.eq_ignore_ascii_case(name)) {
        // C-QD-1 is not meant to be the beginning of C-QD-10.
        true => id.eq_ignore_ascii_case(name),
        false => id.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)),
    };
    for name in only {
        if !statements().any(|statement| named(statement.id, name)) {
            return Err(Usage(format!(
                "--only {name}: no statement is called or begins so: `netdma conformance --list` has them all"
            )));
        }
    }
    let wanted = |id: &str| only.is_empty() || only.iter().any(|name| named(id, name));
    Ok(statements().filter(|statement| wanted(statement.id)).collect())
}

/// Small enough to be typed again.
pub(crate) fn new_seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(1, |since| u64::from(since.subsec_nanos()) ^ (since.as_secs() & 0xffff_ffff))
}

fn checked(flags: DriveArguments) -> Drive {
    let DriveArguments { processors, timeout_ms, trace, trace_detail } = flags;
    let detail = trace_detail.unwrap_or(Detail::Stages);
    let trace = trace.map(|path| TraceTo { path, detail });
    Drive { processors, timeout: Duration::from_millis(timeout_ms), trace }
}

fn positive(flag: &str, text: &str) -> Result<u64, Usage> {
    match sizes::parse(text) {
        Ok(0) => Err(Usage(format!("{flag} {text}: nothing to do: give at least 1"))),
        Ok(bytes) => Ok(bytes),
        Err(what) => Err(Usage(format!("{flag} {what}"))),
    }
}

/// One chunk is held in memory three times, so it has a limit; engines take far less in one descriptor.
fn chunk_bytes(text: &str) -> Result<usize, Usage> {
    const MOST: u64 = 1 << 30;
    let bytes = positive("--chunk", text)?;
    let fits = usize::try_from(bytes).ok().filter(|_| bytes <= MOST);
    fits.ok_or_else(|| Usage(format!("--chunk {text}: too large: give at most {}", sizes::show(MOST))))
}

/// Checks on what to run.
pub(crate) fn on(flags: OnArguments) -> Result<On, Usage> {
    let OnArguments { on, channels, vectors, profile, fault, control } = flags;
    let rules = rules(&fault)?;
    if on == "sim" {
        return match control {
            None => sim(channels, vectors, profile, rules).map(On::Sim),
            Some(_) => Err(Usage(NO_CONTROL.into())),
        };
    }
    let (driver, device): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule.point.is_drivers());
    let given = [
        ("--channels", channels.is_some()),
        ("--vectors", vectors.is_some()),
        ("--profile", profile.is_some()),
        ("--fault", !device.is_empty() && control.is_none()),
    ];
    let elsewhere = place(&on, Elsewhere { driver, device, control })?;
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(elsewhere),
        Some((flag, _)) => Err(Usage(not_ours(flag, &elsewhere))),
    }
}

const NO_CONTROL: &str = "--control with --on sim: it is for a device program: use --on socket:PATH, or a function that one is \
                          behind (the virtual engine in this process needs no control socket)";

fn rules(fault: &[String]) -> Result<Vec<Rule>, Usage> {
    super::rules::read(fault)
}

fn place(text: &str, elsewhere: Elsewhere) -> Result<On, Usage> {
    if let Some(path) = text.strip_prefix("socket:") {
        if path.is_empty() {
            return Err(Usage("--on socket:: no path: write it as in socket:/tmp/dma.sock".into()));
        }
        return Ok(On::Socket(Path::new(path).into(), elsewhere));
    }
    match text.parse() {
        Ok(address) => Ok(On::Function(address, elsewhere)),
        Err(_) => Err(Usage(format!(
            "--on {text}: this is no device: write sim, socket:PATH, or a PCI address as in 0000:00:10.0"
        ))),
    }
}

fn sim(
    channels: Option<u8>,
    vectors: Option<u16>,
    profile: Option<String>,
    rules: Vec<Rule>,
) -> Result<Sim, Usage> {
    let profile = profile.unwrap_or_else(|| "skx".into());
    check_profile(&profile)?;
    super::rules::check_on_sim(&rules, &profile, channels, vectors)?;
    Ok(Sim { profile, channels, vectors, rules })
}

#[cfg(feature = "sim")]
fn check_profile(profile: &str) -> Result<(), Usage> {
    use vfio_user_ioat::Profile;
    if Profile::by_name(profile).is_some() {
        return Ok(());
    }
    let known: Vec<_> = Profile::ALL.iter().map(|profile| profile.name).collect();
    Err(Usage(format!("--profile {profile}: unknown: the profiles are {}", known.join(", "))))
}

#[cfg(not(feature = "sim"))]
fn check_profile(_: &str) -> Result<(), Usage> {
    Ok(())
}

/// What to say of a flag for a device that this program does not run itself.
fn not_ours(flag: &str, on: &On) -> String {
    match on {
        On::Socket(path, _) => format!(
            "{flag} with --on socket:{}: that device is another program's: give {flag} to the device program, \
             `vfio-user-ioat --socket-path {0} {flag} ...`, or, for rules, its --control PATH to this one",
            path.display()
        ),
        _ => format!(
            "{flag} with a PCI function: it is for a virtual engine: use --on sim, or give {flag} to the device \
             program behind the function"
        ),
    }
}

impl On {
    /// As it is written on the command line.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Sim(_) => "sim".into(),
            Self::Socket(path, _) => format!("socket:{}", path.display()),
            Self::Function(address, _) => address.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(on: &str) -> OnArguments {
        OnArguments {
            on: on.into(),
            channels: None,
            vectors: None,
            profile: None,
            fault: Vec::new(),
            control: None,
        }
    }

    #[test]
    fn a_device_is_written_in_three_ways() {
        assert_eq!(on(flags("sim")).unwrap().written(), "sim");
        assert_eq!(on(flags("socket:/tmp/dma.sock")).unwrap().written(), "socket:/tmp/dma.sock");
        assert_eq!(on(flags("00:04.0")).unwrap().written(), "0000:00:04.0");
        for wrong in ["socket:", "simm", "", "00:04"] {
            assert!(on(flags(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fault_for_a_device_that_is_not_ours_is_sent_to_its_program() {
        let rule = OnArguments { fault: vec!["msix: nth(3) drop".into()], ..flags("socket:/tmp/dma.sock") };
        let error = on(rule).unwrap_err().to_string();
        assert!(
            error.contains("give --fault to the device program, `vfio-user-ioat --socket-path /tmp/dma.sock")
        );
        let rule = OnArguments { fault: vec!["msix: nth(3) drop".into()], ..flags("00:04.0") };
        assert!(on(rule).unwrap_err().to_string().contains("give --fault to the device program"));
    }

    #[test]
    fn a_fault_goes_to_the_side_whose_point_it_names() {
        let fault = vec!["isr: nth(1) drop".to_owned(), "dpc: nth(2) duplicate".to_owned()];
        let rules = OnArguments { fault: fault.clone(), ..flags("00:04.0") };
        let On::Function(_, elsewhere) = on(rules).unwrap() else { panic!("it is a function") };
        assert_eq!((elsewhere.driver.len(), elsewhere.device.len()), (2, 0));
        let both = [fault, vec!["msix: nth(3) drop".to_owned()]].concat();
        let control = Some("/tmp/control".into());
        let rules =
            OnArguments { fault: both.clone(), control: control.clone(), ..flags("socket:/tmp/dma.sock") };
        let On::Socket(_, elsewhere) = on(rules).unwrap() else { panic!("it is a socket") };
        assert_eq!((elsewhere.driver.len(), elsewhere.device.len()), (2, 1));
        let sim = OnArguments { fault: both, control, ..flags("sim") };
        assert!(on(sim).unwrap_err().to_string().contains("needs no control socket"));
    }
}
