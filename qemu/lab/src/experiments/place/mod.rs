//! Where experiments run. A place carries one out at a time and reports facts; it does not judge.

pub mod sim;

pub mod sim_process;

pub mod setup;

pub mod attach;

pub mod device_view;

mod ours;

pub mod device;

pub mod socket;

pub mod vm;

pub mod guest;

mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use ioat_stage::{Access, Point};
use netdma_vm::kernel::KernelChoice;

use super::campaign::{Campaign, PlaceName};
use super::experiment::Experiment;
use super::observation::Observation;

/// The machine room failed: the experiment says nothing, and can be run again.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Infra(#[from] pub anyhow::Error);

/// What the run without a fault was like: the baseline, the time limits and the sweep come from it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Golden {
    /// How long it took: virtual time in the simulator, else wall time.
    pub took_ns: u64,
    /// Operations of each point and channel; none where an operation has no channel.
    pub operations: BTreeMap<(Point, Option<u8>), u64>,
    /// The same by direction too, for actions that work on one direction only; empty where the place cannot tell.
    pub accesses: BTreeMap<(Point, Option<u8>, Option<Access>), u64>,
    /// Facts of this run; anything but time and operations means that the workload fails without any fault.
    pub observation: Observation,
}

/// How long an experiment may last, from the golden run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longer than this is a hang.
    pub hang: Duration,
    /// Longer than this, and all is well otherwise: degraded.
    pub degraded: Duration,
}

/// Where experiments run: the simulator, a socket, a guest.
pub trait Place {
    /// Runs the workload without a fault, and counts the operations of every point. `seed` as in an experiment.
    ///
    /// # Errors
    /// [`Infra`].
    fn golden(&mut self, seed: u64) -> Result<Golden, Infra>;

    /// Runs one experiment. The place is ready for the next one when this returns, whatever came of this one.
    ///
    /// # Errors
    /// [`Infra`]: it is recorded as an infra-error, and the place must still take the next experiment, or fail again.
    fn run(&mut self, experiment: &Experiment, limits: &Limits) -> Result<Observation, Infra>;
}

/// Opens the place of a campaign.
///
/// # Errors
/// [`Infra`]: it cannot be had on this machine, or in this build.
pub fn open(campaign: &Campaign) -> Result<Box<dyn Place>, Infra> {
    match &campaign.place {
        PlaceName::Sim => Ok(match sim_process::program() {
            Some(program) => Box::new(sim_process::SimProcess::new(campaign, program)),
            // A program that is not ours, such as a test: in this process.
            None => Box::new(sim::SimPlace::new(campaign.scenario.clone())),
        }),
        PlaceName::Socket => {
            let setup = setup_of(campaign)?;
            Ok(Box::new(socket::SocketPlace::new(setup, setup::Programs::of_host()?)))
        }
        PlaceName::Vm => {
            let setup = setup_of(campaign)?;
            let kernel = campaign.kernel.clone().map_or_else(KernelChoice::default, KernelChoice::Version);
            Ok(Box::new(vm::VmPlace::new(setup, setup::Programs::of_guest()?, kernel)))
        }
        PlaceName::VmIoatdma | PlaceName::VmCommand(_) => Ok(Box::new(guest::GuestPlace::open(campaign)?)),
        PlaceName::Attach(socket) => {
            let command = campaign.command.as_deref().or(campaign.workload.as_deref());
            let command = command.ok_or_else(|| {
                Infra(anyhow::anyhow!("place 'attach' needs campaign.command: what has the driver do something"))
            })?;
            Ok(Box::new(attach::AttachPlace::open(socket, command)?))
        }
    }
}

/// What the campaign's scenario means for our driver outside the simulator.
fn setup_of(campaign: &Campaign) -> Result<setup::Setup, Infra> {
    let setup = setup::Setup::of(&campaign.scenario);
    setup.map_err(|error| Infra(anyhow::Error::new(error).context(campaign.file.clone())))
}
