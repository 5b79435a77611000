//! `netdma-lab try`: a driver of yours, every single fault, one page.
//!
//! It writes a campaign's file for what is on the command line, and runs it as any campaign: what it leaves behind can be resumed,
//! replayed and reported by `netdma-lab experiment`.

mod findings;
mod page;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use ioat_stage::{Point, Rule};
use netdma_vm::line::copyable;

use self::page::Page;
use super::campaign::Campaign;
use super::exit::{Exit, Trouble};
use super::experiment::Experiment;
use super::journal::Journal;
use super::observation::Observation;
use super::place::guest::{GuestPlace, module::ModuleFault, open::is_module};
use super::place::{Infra, Place};
use super::plan::Plan;
use super::record::{Header, Record};
use super::run::{header, outcome};
use super::shard::Shard;

/// Try a driver against a device that breaks: a run without a fault, then every single fault, then one page
///
/// DRIVER.KO is loaded into a guest with the virtual engine, takes the device, does its work, and is unloaded, once for each fault.
/// A PROGRAM gets the device bound to vfio-pci; its address stands in $NETDMA_VM_BDF and for {bdf} in ARGS; it comes along if it is
/// a file, or is on PATH, and what it says with its exit status counts. The kernel's log and the device's own view are part of every
/// verdict.
///
/// Exit codes: 0 no findings; 1 findings (crashes, hangs, silent corruption); 2 usage; 3 the machine room failed.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A module built for the guest's kernel, with `:param=value` behind it as often as needed
    #[arg(value_name = "DRIVER.KO", required_unless_present_any = ["stock", "program"], conflicts_with_all = ["stock", "program"])]
    driver: Option<String>,
    /// A driver of the guest kernel's own instead: ioatdma
    #[arg(long, value_name = "NAME[:P=V...]", conflicts_with = "program")]
    stock: Option<String>,
    /// A command in the guest that gives the driver work once it is bound, `dmatest`, or nothing but loading and unloading
    #[arg(long, value_name = "CMD", conflicts_with = "program")]
    workload: Option<String>,
    /// The guest's kernel: a version prefix from the cache, or `newest` [default: the oldest in the cache]
    #[arg(long, value_name = "VERSION")]
    kernel: Option<String>,
    /// The device's profile: skx or netdma
    #[arg(long, value_name = "P", default_value = "skx")]
    profile: String,
    /// The device's channels
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=8))]
    channels: u8,
    /// Only faults at these points
    #[arg(long, value_name = "POINT,...", value_delimiter = ',', value_parser = point)]
    points: Vec<Point>,
    /// Only these actions
    #[arg(long, value_name = "ACTION,...", value_delimiter = ',')]
    actions: Vec<String>,
    /// Of each point and channel, so many of the operations of the golden run: the first, the last, and evenly between them
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    occurrences: u64,
    /// At most so many faults, evenly taken from all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// This rule, and no sweep; more of them are armed together
    #[arg(long = "rule", value_name = "RULE")]
    rules: Vec<Rule>,
    /// With --rule: so many times
    #[arg(long, value_name = "N", default_value_t = 1, requires = "rules", value_parser = clap::value_parser!(u64).range(1..=1000))]
    times: u64,
    /// The folder for campaign, journal and report [default: try-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A program on VFIO, and its arguments
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  netdma-lab try --stock ioatdma
  netdma-lab try --stock ioatdma --rule 'complete[ch=0]: nth(2) misaddress(+0x40000)'
  netdma-lab try ./my-dma.ko:debug=1 --workload './exercise.sh {bdf}'
  netdma-lab try --points complete,msix -- netdma copy --size 64K --on {bdf}";

/// Runs the verb.
///
/// # Errors
/// When the command line makes no sense or the machine room fails.
pub fn run(arguments: &Arguments) -> Result<Exit, Trouble> {
    let subject = Named::of(arguments)?;
    let folder = arguments.out.clone().unwrap_or_else(|| format!("try-{}", subject.name).into());
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let file = folder.join("campaign.toml");
    let text = subject.campaign(arguments);
    fs::write(&file, &text).with_context(|| file.display().to_string())?;
    let campaign = Campaign::parse(&text, &file.display().to_string())?;
    let mut place = GuestPlace::open(&campaign).map_err(usage_or_infra)?;
    eprintln!("{}: {}", subject.name, place.summary()?);
    let plan = Plan::make(&campaign, &mut place)?;
    let experiments = chosen(&plan, arguments);
    if experiments.is_empty() {
        return Err(Trouble::Skipped("no fault of these reaches anything that the driver does".to_owned()));
    }
    eprintln!("golden run: {:.2} s; {} to try", seconds(plan.golden_ns()), faults(experiments.len()));
    run_all(&mut place, &campaign, &plan, &experiments, Page::new(&subject.again(arguments), &folder))
}

/// A module that does not fit is the user's; a guest that is missing is the machine room's.
fn usage_or_infra(Infra(error): Infra) -> Trouble {
    if error.downcast_ref::<ModuleFault>().is_some() {
        Trouble::Usage(format!("{error:#}"))
    } else {
        Trouble::Infra(error)
    }
}

/// The faults to try: with `--limit` so many, evenly taken from all; a single set as often as it is asked for.
fn chosen(plan: &Plan, arguments: &Arguments) -> Vec<Experiment> {
    let all: Vec<&Experiment> = plan.experiments.iter().map(|planned| &planned.experiment).collect();
    let limit = arguments.limit.unwrap_or(all.len()).min(all.len());
    let taken = (0..limit).map(|number| all[number * all.len() / limit]);
    taken.flat_map(|experiment| (0..arguments.times).map(move |_| experiment.clone())).collect()
}

fn run_all(
    place: &mut GuestPlace,
    campaign: &Campaign,
    plan: &Plan,
    experiments: &[Experiment],
    mut page: Page,
) -> Result<Exit, Trouble> {
    let header = Header { planned: experiments.len() as u64, ..header(campaign, plan, &Shard::WHOLE) };
    let mut journal =
        Journal::create(&page.journal(), &header).map_err(|error| Trouble::Infra(error.into()))?;
    let begun = Instant::now();
    for (number, experiment) in experiments.iter().enumerate() {
        let golden = plan.golden.get(&experiment.seed).cloned().unwrap_or_default();
        let limits = campaign.factors.limits(&campaign.place, &golden);
        let started = Instant::now();
        let observation = place
            .run(experiment, &limits)
            .unwrap_or_else(|error| Observation { infra: vec![error.to_string()], ..Observation::default() });
        let mut outcome = outcome(campaign, experiment, observation, started.elapsed());
        outcome.replay = page.command(&outcome.rules);
        page.progress(number + 1, experiments.len(), &outcome, begun.elapsed());
        let record = Record::Result(Box::new(outcome.clone()));
        journal.append(&record).map_err(|error| Trouble::Infra(error.into()))?;
        page.take(outcome);
    }
    print!("{}", page.finish(begun.elapsed(), place.boots()));
    Ok(page.exit())
}

/// What is tried, by its names.
struct Named {
    /// For people and folders.
    name: String,
    /// The campaign's place.
    place: String,
    /// The words of the command line that name it.
    words: Vec<String>,
}

impl Named {
    fn of(arguments: &Arguments) -> Result<Self, Trouble> {
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
        if arguments.driver.is_some() && !std::path::Path::new(file).is_file() {
            return Err(Trouble::Usage(format!(
                "{file}: no such file; --stock NAME takes a module of the guest's kernel"
            )));
        }
        let name = if module { file } else { arguments.program.first().map_or("program", String::as_str) };
        let name = std::path::Path::new(name).file_name().map_or(name.into(), |name| name.to_string_lossy());
        let name = name.split_once(".ko").map_or(&*name, |(stem, _)| stem).to_owned();
        let place = if module {
            format!("vm:{} {}", file, parameters.replace(':', " "))
        } else {
            format!("vm:{line}")
        };
        Ok(Self { name, place: place.trim().to_owned(), words })
    }

    /// The campaign's file.
    fn campaign(&self, arguments: &Arguments) -> String {
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
    fn again(&self, arguments: &Arguments) -> (String, String) {
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

fn faults(count: usize) -> String {
    if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") }
}

/// Words as a shell takes them.
fn quoted(words: &[String]) -> String {
    copyable(&words.iter().map(Into::into).collect::<Vec<_>>())
}

fn point(word: &str) -> Result<Point, String> {
    let points = || Point::ALL.map(Point::name).join(", ");
    Point::named(word)
        .filter(|point| !point.is_drivers())
        .ok_or_else(|| format!("no point of a device: expected some of {}", points()))
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
