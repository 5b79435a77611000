//! A guest that is booted once and serves experiment after experiment, and is booted anew only after it died or hung.

use std::path::PathBuf;
use std::time::Duration;

use netdma_vm::boot::Boot;
use netdma_vm::cache::Cache;
use netdma_vm::device::DeviceProgram;
use netdma_vm::error::VmError;
use netdma_vm::initramfs::Addition;
use netdma_vm::kernel::{self, Kernel, KernelChoice};
use netdma_vm::machine::{Machine, Output};
use netdma_vm::message::KernelLine;
use netdma_vm::modules::LoadedModule;
use netdma_vm::stop::Stop;

use crate::experiments::place::Infra;
use crate::experiments::place::device_view::DeviceView;
use crate::programs;

/// The device's control socket lies beside its own, under this ending.
const CONTROL: &str = ".ctl";

/// A boot has this long, on a busy machine without KVM.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// What the room's own requests (a file, the kernel's log) may take: a guest that does not answer is stuck.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What boots, and what is in it.
#[derive(Clone, Debug)]
pub struct Furnishing {
    /// The guest's kernel.
    pub kernel: KernelChoice,
    /// Options of `vfio-user-ioat`.
    pub device: Vec<String>,
    /// Bind the device to vfio-pci.
    pub bind: bool,
    /// Files that go along.
    pub additions: Vec<Addition>,
    /// Modules that are put into the guest and not loaded.
    pub modules: Vec<LoadedModule>,
    /// Ends every wait.
    pub stop: Option<&'static Stop>,
}

/// The room: at most one guest at a time.
#[derive(Debug)]
pub(crate) struct Room {
    furnishing: Furnishing,
    /// Loaded at once, in this order, and left loaded.
    needs: Vec<LoadedModule>,
    guest: Option<Guest>,
    /// How often a guest was booted.
    pub(crate) boots: u64,
}

/// A running guest and the view of its device.
#[derive(Debug)]
pub(crate) struct Guest {
    vm: Machine,
    pub(crate) device: DeviceView,
    pub(crate) bdf: String,
}

/// The file of a module in the guest.
pub(crate) fn module_path(name: &str) -> String {
    format!("/tmp/{name}.ko")
}

/// The kernel that a choice means.
///
/// # Errors
/// When there is none.
pub fn kernel_of(choice: &KernelChoice) -> Result<Kernel, Infra> {
    let cache = Cache::from_environment().map_err(|error| Infra(error.into()))?;
    kernel::find(choice, &cache).map_err(|error| Infra(error.into()))
}

impl Room {
    pub(crate) fn new(furnishing: Furnishing, needs: Vec<LoadedModule>) -> Self {
        Self { furnishing, needs, guest: None, boots: 0 }
    }

    /// The guest; boots one if there is none.
    pub(crate) fn guest(&mut self) -> Result<&mut Guest, Infra> {
        if self.guest.is_none() {
            self.guest = Some(self.boot()?);
        }
        self.guest.as_mut().ok_or_else(|| Infra(anyhow::anyhow!("no guest")))
    }

    /// Ends the guest by force: the next experiment gets a new one.
    pub(crate) fn give_up(&mut self) {
        self.guest = None;
    }

    fn boot(&mut self) -> Result<Guest, Infra> {
        self.boots += 1;
        let plan = self.plan()?;
        let start = || -> Result<Guest, VmError> {
            let mut vm = plan.start()?;
            vm.set_limit(Some(ANSWER_LIMIT));
            for module in self.furnishing.modules.iter().chain(&self.needs) {
                vm.put(&module_path(&module.name), 0o600, &module.bytes)?;
            }
            for module in &self.needs {
                load(&mut vm, module)?;
            }
            let mut control = vm.devices()[0].socket().as_os_str().to_owned();
            control.push(CONTROL);
            let device = DeviceView::connect(&PathBuf::from(control))
                .map_err(|error| VmError::Guest(format!("its device's control socket: {error}")))?;
            Ok(Guest { bdf: vm.bdf(0), vm, device })
        };
        start().map_err(|error| Infra(anyhow::Error::new(error).context("no guest for experiments")))
    }

    fn plan(&self) -> Result<Boot, Infra> {
        let cache = Cache::from_environment().map_err(|error| Infra(error.into()))?;
        let mut boot = Boot::new(cache);
        let program = programs::host("vfio-user-ioat")?.to_string_lossy().into_owned();
        let sockets = ["--socket-path={socket}".to_owned(), format!("--control={{socket}}{CONTROL}")];
        let words = std::iter::once(program).chain(sockets).chain(self.furnishing.device.iter().cloned());
        boot.devices.push(DeviceProgram::new(words));
        boot.kernel = self.furnishing.kernel.clone();
        boot.bind = self.furnishing.bind;
        boot.additions.clone_from(&self.furnishing.additions);
        boot.memory = "512M".into();
        boot.limit = Some(BOOT_LIMIT);
        boot.stop = self.furnishing.stop;
        // A kernel that dies leaves only its console behind: it says there what it says at warning and above. And it names what hangs
        // within a time that an experiment can wait for; who waits for dmatest waits longer than ioatdma's idle timer, 2 s, for each
        // of its copies.
        boot.append = ["loglevel=5", "sysctl.kernel.hung_task_timeout_secs=12"].map(str::to_owned).into();
        Ok(boot)
    }
}

impl Guest {
    /// Runs a command; it is killed after `limit`.
    pub(crate) fn run(&mut self, argv: &[&str], limit: Duration) -> Result<Output, VmError> {
        self.vm.set_limit(Some(limit));
        let result = self.vm.run(argv);
        self.vm.set_limit(Some(ANSWER_LIMIT));
        result
    }

    /// The kernel's log from `since` on, all of it, and the next mark.
    pub(crate) fn log(&mut self, since: u64) -> Result<(Vec<KernelLine>, u64), VmError> {
        let log = self.vm.kernel_log(since, 7)?;
        Ok((log.lines, log.next))
    }

    /// The mark after all that the kernel has said so far.
    pub(crate) fn mark(&mut self) -> Result<u64, VmError> {
        Ok(self.vm.kernel_log(0, 0)?.next)
    }

    /// How it came to run.
    pub(crate) fn summary(&self) -> String {
        self.vm.summary()
    }
}

/// Loads what the module under test needs; what is there already is fine.
fn load(vm: &mut Machine, module: &LoadedModule) -> Result<(), VmError> {
    let loaded = vm.run(&["test", "-e", &format!("/sys/module/{}", module.name)])?.status == 0;
    if loaded {
        return Ok(());
    }
    let output = vm.run(&["insmod", &module_path(&module.name)])?;
    if output.status == 0 {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(VmError::Guest(format!("insmod {}, which the module under test needs: {why}", module.name)))
}
