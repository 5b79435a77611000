//! What is tried, by its names: in the campaign's file, for folders, and on the command line that tries it again.

use std::path::{Path, PathBuf};

use netdma_vm::line::copyable;

use super::Arguments;
use crate::experiments::exit::Trouble;
use crate::experiments::place::guest::open::is_module;
use crate::experiments::place::guest::subject::brought_along;

/// What is tried, by its names.
pub(super) struct Named {
    /// For people and folders.
    pub(super) name: String,
    /// The campaign's place.
    place: String,
    /// The words of the command line that name it.
    words: Vec<String>,
}

impl Named {
    /// Of a command line.
    pub(super) fn of(arguments: &Arguments) -> Result<Self, Trouble> {
        let (line, words) = match (&arguments.driver, &arguments.stock) {
            (Some(driver), _) => (driver.clone(), vec![driver.clone()]),
            (_, Some(stock)) => {
                let (name, parameters) = stock.split_once(':').unwrap_or((stock, ""));
                let separator = if parameters.is_empty() { "" } else { ":" };
                (format!("{name}.ko{separator}{parameters}"), vec!["--stock".into(), stock.clone()])
            }
            _ => (quoted(&arguments.program), Vec::new()),
        };
        let module = arguments.driver.is_some() || arguments.stock.is_some();
        let (file, parameters) =
            if module { line.split_once(':').unwrap_or((&line, "")) } else { (line.as_str(), "") };
        if arguments.driver.is_some() && !is_module(file) {
            return Err(Trouble::Usage(format!(
                "{file}: expected a kernel module (.ko); a program follows '--'"
            )));
        }
        if arguments.driver.is_some() && !Path::new(file).is_file() {
            return Err(Trouble::Usage(format!(
                "{file}: no such file; --stock NAME takes a module of the guest's kernel"
            )));
        }
        if let Some(program) = arguments.program.first() {
            comes_along(Path::new(program))?;
        }
        let name = if module { file } else { arguments.program.first().map_or("program", String::as_str) };
        let name = Path::new(name).file_name().map_or(name.into(), |name| name.to_string_lossy());
        let name = name.split_once(".ko").map_or(&*name, |(stem, _)| stem).to_owned();
        let place = if module {
            format!("vm:{} {}", file, parameters.replace(':', " "))
        } else {
            format!("vm:{line}")
        };
        Ok(Self { name, place: place.trim().to_owned(), words })
    }

    /// Where its files go: repeating one finding leaves the journal of all alone.
    pub(super) fn folder(&self, rules: Option<&str>) -> PathBuf {
        let folder = PathBuf::from(format!("try-{}", self.name));
        rules.map_or_else(|| folder.clone(), |spec| folder.join(format!("rule-{}", &spec[..8])))
    }

    /// The campaign's file.
    pub(super) fn campaign(&self, arguments: &Arguments) -> String {
        let mut head = toml::Table::new();
        head.insert("name".into(), format!("try {}", self.name).into());
        head.insert("place".into(), self.place.clone().into());
        let given = [("kernel", &arguments.kernel), ("workload", &arguments.workload)];
        for (key, value) in given {
            head.extend(value.clone().map(|value| (key.to_owned(), value.into())));
        }
        let mut device = toml::Table::new();
        device.insert("profile".into(), arguments.profile.clone().into());
        device.insert("channels".into(), i64::from(arguments.channels).into());
        let mut all = toml::Table::new();
        all.insert("campaign".into(), head.into());
        all.insert("device".into(), device.into());
        if arguments.rules.is_empty() {
            all.insert("sweep".into(), sweep_table(arguments).into());
        } else {
            let rules: Vec<toml::Value> =
                arguments.rules.iter().map(|rule| rule.to_string().into()).collect();
            let mut set = toml::Table::new();
            set.insert("rules".into(), rules.into());
            all.insert("set".into(), vec![toml::Value::Table(set)].into());
        }
        all.to_string()
    }

    /// The command line that tries the same again; rules go between its two halves.
    pub(super) fn again(&self, arguments: &Arguments) -> (String, String) {
        let mut words = vec!["netdma-lab".to_owned(), "try".to_owned()];
        words.extend(self.words.iter().cloned());
        for (option, value) in [("--workload", &arguments.workload), ("--kernel", &arguments.kernel)] {
            words.extend(value.iter().flat_map(|value| [option.to_owned(), value.clone()]));
        }
        if arguments.profile != "skx" {
            words.extend(["--profile".to_owned(), arguments.profile.clone()]);
        }
        if arguments.channels != 4 {
            words.extend(["--channels".to_owned(), arguments.channels.to_string()]);
        }
        let program = if arguments.program.is_empty() {
            String::new()
        } else {
            format!(" -- {}", quoted(&arguments.program))
        };
        (quoted(&words), program)
    }
}

/// The `[sweep]` table of the campaign's file.
fn sweep_table(arguments: &Arguments) -> toml::Table {
    let mut table = toml::Table::new();
    table.insert("occurrences".into(), i64::try_from(arguments.occurrences).unwrap_or(i64::MAX).into());
    let points = arguments.points.iter().map(|point| point.name().to_owned()).collect();
    for (key, words) in [("points", points), ("actions", arguments.actions.clone())] {
        if !words.is_empty() {
            table.insert(key.into(), words.into());
        }
    }
    table
}

/// A program with a path must be a file here: it goes to the same place in the guest. One without is busybox's, or on PATH.
fn comes_along(program: &Path) -> Result<(), Trouble> {
    let bare = program.components().count() == 1 && !program.starts_with(".");
    if program.is_absolute() || bare || brought_along(&[program.to_string_lossy().into_owned()]).len() == 1 {
        return Ok(());
    }
    let text = match program.exists() {
        true => format!("{}: expected a program in this folder, or an absolute path", program.display()),
        false => format!(
            "{}: no such program: expected a file in this folder, an absolute path, or a name on PATH",
            program.display()
        ),
    };
    Err(Trouble::Usage(text))
}

/// Words as a shell takes them.
pub(super) fn quoted(words: &[String]) -> String {
    copyable(&words.iter().map(Into::into).collect::<Vec<_>>())
}
