//! `netdma-lab try`: a driver of yours, every single fault, one page.
//!
//! It writes a campaign's file for what is on the command line, and runs it as any campaign: what it leaves behind can be resumed,
//! replayed and reported by `netdma-lab experiment`.

mod findings;
mod folder;
mod named;
mod page;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ioat_stage::{Point, Rule};

use self::folder::Folder;
use self::named::Named;
use self::page::Page;
use super::campaign::Campaign;
use super::exit::{Exit, Trouble};
use super::experiment::{Experiment, Id};
use super::place::Infra;
use super::place::guest::{GuestPlace, module::ModuleFault};
use super::plan::Plan;
use super::record::{Header, Outcome};
use super::run::{Crew, Ended, header};
use super::shard::Shard;

/// Try a driver against a device that breaks: a run without a fault, then every single fault, then one page
///
/// DRIVER.KO is loaded into a guest with the virtual engine, takes the device, does its work, and is unloaded, once for each fault.
/// A PROGRAM gets the device bound to vfio-pci; its address stands in $NETDMA_VM_BDF and for {bdf} in ARGS; it comes along if it is
/// a file, or is on PATH, and what it says with its exit status counts. The kernel's log and the device's own view are part of every
/// verdict. Ctrl-C ends it; the same command goes on.
///
/// Exit codes: 0 no findings; 1 findings (crashes, hangs, silent corruption); 2 usage; 3 the machine room failed, or it was
/// interrupted; 4 no fault reaches the driver.
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
    /// The folder for campaign, journal and report [default: try-NAME; with --rule, one in there for each rule]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do not go on with a run that was interrupted: try everything, and keep its journal under another name
    #[arg(long)]
    anew: bool,
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
    let text = subject.campaign(arguments);
    let campaign = Campaign::parse(&text, &subject.name)?;
    let stop = netdma_vm::stop::on_signals().map_err(|error| Trouble::Infra(error.into()))?;
    let mut place = GuestPlace::open(&campaign).map_err(usage_or_infra)?;
    let of_rules = (!arguments.rules.is_empty()).then_some(campaign.spec.as_str());
    let folder = Folder::make(&arguments.out.clone().unwrap_or_else(|| subject.folder(of_rules)))?;
    eprintln!("{}: {}", subject.name, place.summary()?);
    let plan = Plan::make(&campaign, &mut place)?;
    let experiments = chosen(&plan, arguments);
    if experiments.is_empty() {
        return Err(Trouble::Skipped("no fault of these reaches anything that the driver does".to_owned()));
    }
    eprintln!("golden run: {:.2} s; {} to try", seconds(plan.golden_ns()), faults(experiments.len()));
    let header = Header { planned: experiments.len() as u64, ..header(&campaign, &plan, &Shard::WHOLE) };
    let (journal, before) = folder.journal(&header, arguments.anew)?;
    folder.campaign(&text)?;
    let todo = left(&experiments, &before);
    if !before.is_empty() {
        eprintln!(
            "{} of them are in {} already; --anew tries all again",
            before.len(),
            folder.journal_path().display()
        );
    }
    let page = Page::new(&subject.again(arguments), before, experiments.len());
    let begun = Instant::now();
    let page = Mutex::new(page);
    let crew = Crew {
        campaign: &campaign,
        plan: &plan,
        todo: &todo,
        jobs: 1,
        stop: &|| stop.signal().is_some(),
        replay: &|experiment| held(&page).command(&experiment.rules),
        heard: &|outcome| held(&page).take(outcome.clone(), begun.elapsed()),
    };
    let ended = crew.run(&mut place, Some(journal)).ended;
    let page = page.into_inner().unwrap_or_else(PoisonError::into_inner);
    print!("{}", page.finish(begun.elapsed(), place.boots(), arguments.rules.is_empty()));
    print!("{}", folder.report(&campaign));
    finished(ended, &page)
}

/// Findings weigh more than a machine room that failed now and then; what did not come to its end leaves the question open.
fn finished(ended: Ended, page: &Page) -> Result<Exit, Trouble> {
    let again = "the same command goes on";
    match ended {
        Ended::AllRun => Ok(page.exit()),
        Ended::Stopped => Err(Trouble::Infra(anyhow::anyhow!(
            "interrupted after {} of {}; what was found is in the journal; {again}",
            page.done(),
            faults(page.planned())
        ))),
        Ended::Journal(error) => {
            Err(Trouble::Infra(anyhow::anyhow!("{error}; what is in it is kept; make room, and {again}")))
        }
        Ended::Infra(error) => Err(Trouble::Infra(error.0.context(again))),
    }
}

fn held<'a>(page: &'a Mutex<Page>) -> MutexGuard<'a, Page> {
    page.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is not in the journal yet; what is to be tried several times, as often as it is missing.
fn left<'a>(experiments: &'a [Experiment], before: &[Outcome]) -> Vec<&'a Experiment> {
    let mut there: BTreeMap<&Id, usize> = BTreeMap::new();
    for outcome in before {
        *there.entry(&outcome.id).or_default() += 1;
    }
    let is_missing = |experiment: &&Experiment| match there.get_mut(&experiment.id) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    experiments.iter().filter(is_missing).collect()
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

fn faults(count: usize) -> String {
    if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") }
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
