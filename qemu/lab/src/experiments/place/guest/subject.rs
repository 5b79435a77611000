//! What an experiment in a guest tests: a driver, and the work that it is given.

use std::path::{Component, Path};

use netdma_vm::initramfs::Addition;

use super::dmatest::DmaTest;
use super::module::Module;

/// A driver and its work.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The module under test; none where the work is a program on a device that is bound to vfio-pci.
    pub module: Option<Module>,
    /// What is done with it.
    pub work: Work,
}

/// What a driver is given to do.
#[derive(Clone, Debug)]
pub enum Work {
    /// Its loading, which binds it to the device, and its unloading: many drivers test their device when they are bound.
    Bind,
    /// The kernel's own test of DMA engines, once the driver is bound.
    DmaTest(DmaTest),
    /// A command in the guest.
    Command(Vec<String>),
}

impl Subject {
    /// In one line, for people.
    #[must_use]
    pub fn says(&self) -> String {
        let work = match &self.work {
            Work::Bind => "load, bind, unload".to_owned(),
            Work::DmaTest(_) => "dmatest".to_owned(),
            Work::Command(words) => words.join(" "),
        };
        match &self.module {
            Some(module) => format!("{}: {work}", module.tested.name),
            None => work,
        }
    }
}

/// The words of a command for one experiment: `{bdf}` is the device's address in the guest, `{seed}` the seed.
pub(crate) fn command_words(words: &[String], bdf: &str, seed: u64) -> Vec<String> {
    words.iter().map(|word| word.replace("{bdf}", bdf).replace("{seed}", &seed.to_string())).collect()
}

/// The files that a command brings along: its program, if that is a file of this host, and every file that it names by a path in
/// this folder. In the guest it runs in `/root`, so there they have the same paths.
#[must_use]
pub fn brought_along(words: &[String]) -> Vec<Addition> {
    let mut additions: Vec<Addition> =
        words.iter().filter_map(|word| in_this_folder(Path::new(word))).collect();
    let program = words.first().map(Path::new).filter(|path| path.is_absolute() && path.is_file());
    additions.extend(
        program.map(|path| Addition { host: path.to_owned(), guest: path.to_str().map(str::to_owned) }),
    );
    additions
}

fn in_this_folder(path: &Path) -> Option<Addition> {
    let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !(plain && path.is_file()) {
        return None;
    }
    let inside = path.components().filter(|part| matches!(part, Component::Normal(_)));
    let guest = Path::new("/root").join(inside.collect::<std::path::PathBuf>());
    Some(Addition { host: path.to_owned(), guest: Some(guest.to_str()?.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_words_get_the_address_and_the_seed() {
        let words = ["mine".to_owned(), "--on={bdf}".to_owned(), "{seed}".to_owned()];
        assert_eq!(command_words(&words, "0000:00:10.0", 7), ["mine", "--on=0000:00:10.0", "7"]);
    }

    #[test]
    fn files_that_the_command_names_go_along() {
        // The tests run in the package's folder.
        let words =
            ["/bin/sh", "src/main.rs", "./Cargo.toml", "src", "/etc/hostname", "nowhere"].map(str::to_owned);
        let places: Vec<_> = brought_along(&words).into_iter().filter_map(|it| it.guest).collect();
        assert_eq!(places, ["/root/src/main.rs", "/root/Cargo.toml", "/bin/sh"]);
    }
}
