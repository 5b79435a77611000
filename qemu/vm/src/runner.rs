//! A program of the host's that runs in a guest as if it ran here: its path, its folder, its environment, its arguments.
//!
//! For cargo's target runner: cargo starts `RUNNER PROGRAM ARGS...` in the package's folder, with its own variables set.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::boot::Boot;
use crate::elf::{self, ElfError, Needs};
use crate::initramfs::Addition;
use crate::line::bdf;

/// The first device's PCI address, in the program's environment.
pub const BDF: &str = "NETDMA_BDF";

/// All devices' addresses, separated by blanks.
pub const BDFS: &str = "NETDMA_BDFS";

/// Variables that begin so go into the guest.
const PASSED: [&str; 4] = ["CARGO", "RUST", "NEXTEST", "NETDMA_"];

/// Variables that begin so say how the guest is made, or where things lie on the host.
const KEPT: [&str; 3] = ["NETDMA_VM_", "NETDMA_CACHE", "CARGO_REGISTR"];

/// A program of the host's with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostProgram {
    path: PathBuf,
    arguments: Vec<String>,
}

impl HostProgram {
    /// The program at `path`, as cargo names it: absolute, or relative to this process's folder.
    ///
    /// # Errors
    /// When it is not there, or damaged.
    pub fn new(path: &Path, arguments: impl IntoIterator<Item = String>) -> Result<Self, ElfError> {
        let read = |source| ElfError::Read { path: path.into(), source };
        let path = path.canonicalize().map_err(read)?;
        elf::needs(&path)?;
        Ok(Self { path, arguments: arguments.into_iter().collect() })
    }

    /// Whether it is asked only to name its tests: that touches no device, and so needs no guest.
    pub fn only_lists(&self) -> bool {
        self.arguments.iter().take_while(|word| *word != "--").any(|word| word == "--list")
    }

    /// Whether it needs libraries of this host's in the guest.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub fn is_dynamic(&self) -> Result<bool, ElfError> {
        Ok(elf::needs(&self.path)? != Needs::Nothing)
    }

    /// The words that start it here.
    pub fn words(&self) -> (&Path, &[String]) {
        (&self.path, &self.arguments)
    }

    /// Puts the program and what it loads into the guest at its own path, with the variables that are meant for it.
    pub fn prepare(&self, boot: &mut Boot, also_passed: &[String]) {
        let guest = Some(self.path.to_string_lossy().into_owned());
        boot.additions.push(Addition { host: self.path.clone(), guest });
        boot.env.extend(environment(env::vars_os(), also_passed));
        let addresses: Vec<_> = (0..boot.devices.len()).map(bdf).collect();
        if let Some(first) = addresses.first() {
            boot.env.insert(BDF.into(), first.clone());
            boot.env.insert(BDFS.into(), addresses.join(" "));
        }
    }

    /// The words that start it in the guest, in a folder of this process's path, which need not be there yet.
    pub fn guest_words(&self) -> Vec<String> {
        let folder = env::current_dir().unwrap_or_else(|_| PathBuf::from("/root"));
        let enter = r#"mkdir -p "$1" && cd "$1" && shift && exec "$@""#;
        let mut words: Vec<String> = ["sh", "-c", enter, "sh"].map(str::to_owned).into();
        words.push(folder.to_string_lossy().into_owned());
        words.push(self.path.to_string_lossy().into_owned());
        words.extend(self.arguments.iter().cloned());
        words
    }
}

/// The variables that go into the guest. One that is no text stays here: the guest's plan is text.
fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
    also_passed: &[String],
) -> BTreeMap<String, String> {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let variables = variables.filter_map(text);
    variables.filter(|(name, _)| is_passed(name.as_ref(), also_passed)).collect()
}

fn is_passed(name: &OsStr, also_passed: &[String]) -> bool {
    let name = name.to_string_lossy();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| name.starts_with(beginning));
    (begins(&PASSED) && !begins(&KEPT)) || also_passed.iter().any(|also| *also == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(arguments: &[&str]) -> HostProgram {
        let path = env::current_exe().unwrap();
        HostProgram::new(&path, arguments.iter().map(|word| (*word).to_owned())).unwrap()
    }

    #[test]
    fn a_listing_needs_no_guest_and_a_filter_of_that_name_does() {
        assert!(program(&["--list", "--format", "terse"]).only_lists());
        assert!(!program(&["--nocapture", "--", "--list"]).only_lists());
        assert!(!program(&[]).only_lists());
    }

    #[test]
    fn cargos_and_rusts_variables_go_along_and_the_harness_own_stay() {
        let variables = [
            ("CARGO_MANIFEST_DIR", "/p"),
            ("RUST_BACKTRACE", "1"),
            ("NEXTEST_RUN_ID", "7"),
            ("NETDMA_SEED", "5"),
            ("NETDMA_VM_MEM", "2G"),
            ("NETDMA_CACHE", "/c"),
            ("CARGO_REGISTRY_TOKEN", "secret"),
            ("CARGO_REGISTRIES_MINE_TOKEN", "secret"),
            ("HOME", "/me"),
            ("MINE", "1"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let passed = environment(variables.into_iter(), &["MINE".into()]);
        let names: Vec<_> = passed.keys().map(String::as_str).collect();
        assert_eq!(names, ["CARGO_MANIFEST_DIR", "MINE", "NETDMA_SEED", "NEXTEST_RUN_ID", "RUST_BACKTRACE"]);
    }

    #[test]
    fn the_guest_gets_the_program_at_its_own_path_with_its_arguments() {
        let program = program(&["a b", "--exact"]);
        let words = program.guest_words();
        let path = env::current_exe().unwrap().canonicalize().unwrap();
        assert_eq!(
            words[words.len() - 3..],
            [path.to_string_lossy().into_owned(), "a b".into(), "--exact".into()]
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = HostProgram::new(Path::new("/no/such/test"), []).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/test: "), "{error}");
    }
}
