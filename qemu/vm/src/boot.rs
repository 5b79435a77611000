//! What to boot: gathered first, checked whole before anything starts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::accel::{self, Accel, AccelChoice, AccelKind};
use crate::cache::{self, Cache};
use crate::device::{Device, DeviceProgram};
use crate::emulated::{self, Emulated, MOST_EMULATED};
use crate::error::VmError;
use crate::folder::Folder;
use crate::init_program;
use crate::initramfs::{Addition, Initramfs};
use crate::kernel::{self, Kernel, KernelChoice};
use crate::line::{Console, Line, MOST_DEVICES, bdf};
use crate::machine::Machine;
use crate::message::{Mode, Plan};
use crate::modules::{self, ModuleRequest};
use crate::qemu::{self, Qemu};
use crate::stop::Stop;

/// What the guest needs to hand devices to user space.
const VFIO_MODULES: [&str; 2] = ["vfio-pci", "vfio_iommu_type1"];

/// What to boot. All fields have a default; change those that matter and call [`Boot::start`].
#[derive(Clone, Debug)]
pub struct Boot {
    /// Where QEMU, kernels and busybox are.
    pub cache: Cache,
    /// Device programs; each becomes a PCI device at [`bdf`]`(0)`, [`bdf`]`(1)` and so on.
    pub devices: Vec<DeviceProgram>,
    /// Devices of QEMU's own, at [`emulated::bdf`]`(0)`, `(1)` and so on.
    pub emulated: Vec<Emulated>,
    /// The kernel.
    pub kernel: KernelChoice,
    /// Modules to load, in this order, each after those it needs.
    pub modules: Vec<ModuleRequest>,
    /// What else goes into the guest.
    pub additions: Vec<Addition>,
    /// More kernel command line.
    pub append: Vec<String>,
    /// Processors of the guest.
    pub processors: u32,
    /// Memory of the guest, as QEMU writes it: `1G`.
    pub memory: String,
    /// This QEMU and no other.
    pub qemu: Option<PathBuf>,
    /// More options for QEMU, last on its line.
    pub qemu_args: Vec<String>,
    /// KVM or TCG.
    pub accel: AccelChoice,
    /// Bind the devices to vfio-pci. If not, they are left to the kernel's drivers.
    pub bind: bool,
    /// QEMU waits for gdb before the first instruction.
    pub gdb: bool,
    /// An interactive shell on the console; the terminal becomes the console.
    pub shell: bool,
    /// Limit for the boot, and for each request to the guest. `None`: no limit.
    pub limit: Option<Duration>,
    /// Keep the run's folder.
    pub keep: bool,
    /// The kernel says everything on its console.
    pub verbose: bool,
    /// Look at this while waiting.
    pub stop: Option<&'static Stop>,
}

/// The command lines of a run that is only shown.
#[derive(Clone, Debug)]
pub struct Printed {
    /// One line for each device program.
    pub devices: Vec<Vec<OsString>>,
    /// QEMU's line.
    pub qemu: Vec<OsString>,
    /// The initramfs that QEMU's line names: it was built, and stays in the cache.
    pub initramfs: PathBuf,
    /// The folder of the sockets; it exists.
    pub folder: PathBuf,
    /// KVM or TCG, and why.
    pub accel: Accel,
}

/// Everything that can be missing was found.
struct Parts {
    qemu: Qemu,
    kernel: Kernel,
    initramfs: Initramfs,
    plan: Plan,
}

impl Boot {
    /// Two processors, 1 GiB, the stable kernel, no device, two minutes.
    pub fn new(cache: Cache) -> Self {
        Self {
            cache,
            devices: Vec::new(),
            emulated: Vec::new(),
            kernel: KernelChoice::default(),
            modules: Vec::new(),
            additions: Vec::new(),
            append: Vec::new(),
            processors: 2,
            memory: "1G".into(),
            qemu: None,
            qemu_args: Vec::new(),
            accel: AccelChoice::default(),
            bind: true,
            gdb: false,
            shell: false,
            limit: Some(Duration::from_secs(120)),
            keep: false,
            verbose: false,
            stop: None,
        }
    }

    /// Starts the device programs and QEMU, and waits until the guest is ready: modules loaded, devices bound.
    pub fn start(&self) -> Result<Machine, VmError> {
        let mut machine = self.launch()?;
        machine.wait_until_ready()?;
        Ok(machine)
    }

    /// Starts the device programs and QEMU; the guest boots while the caller does something else.
    pub fn launch(&self) -> Result<Machine, VmError> {
        let begun = Instant::now();
        let parts = self.find_parts()?;
        let folder = Folder::new(self.keep);
        let folder = folder.map_err(|source| VmError::Io { path: std::env::temp_dir(), source })?;
        write_initramfs(parts.initramfs, parts.plan, &folder.initramfs())?;
        let accel = accel::choose(self.accel, &parts.qemu, folder.path());
        let devices = self.start_devices(&folder)?;
        let console = if self.shell { Console::Terminal } else { Console::File(folder.console()) };
        let sockets = devices.iter().map(|device| device.socket().to_path_buf()).collect();
        let gdb = self.gdb.then(|| folder.gdb_socket());
        let line = Line {
            initramfs: folder.initramfs(),
            devices: sockets,
            channel: folder.channel_socket(),
            console,
            gdb,
            ..self.line(parts.qemu, parts.kernel, accel.kind)
        };
        Machine::launch(self, line, accel, devices, folder, begun)
    }

    /// The command lines of this run with `argv` (a shell if it is empty) on the guest's console. Starts nothing, but builds the
    /// initramfs, so that the lines work when they are copied.
    pub fn print(&self, argv: &[String]) -> Result<Printed, VmError> {
        let mut parts = self.find_parts()?;
        parts.plan.mode = Mode::Console(argv.to_vec());
        let folder = self.cache.printed();
        cache::make_folder(&folder)?;
        let accel = accel::choose(self.accel, &parts.qemu, &folder);
        let initramfs = folder.join("initramfs.cpio");
        write_initramfs(parts.initramfs, parts.plan, &initramfs)?;
        let sockets: Vec<_> =
            (0..self.devices.len()).map(|i| folder.join(format!("device{i}.sock"))).collect();
        let devices = self.devices.iter().zip(&sockets);
        let devices =
            devices.map(|(program, socket)| program.words(socket).into_iter().map(Into::into).collect());
        let devices = devices.collect();
        let line = Line {
            initramfs: initramfs.clone(),
            devices: sockets,
            channel: folder.join("channel.sock"),
            console: Console::Terminal,
            gdb: self.gdb.then(|| folder.join("gdb.sock")),
            ..self.line(parts.qemu, parts.kernel, accel.kind)
        };
        Ok(Printed { devices, qemu: line.words(), initramfs, folder, accel })
    }

    fn find_parts(&self) -> Result<Parts, VmError> {
        if self.devices.len() > MOST_DEVICES {
            return Err(VmError::TooManyDevices(self.devices.len()));
        }
        if self.emulated.len() > MOST_EMULATED {
            return Err(VmError::TooManyEmulated(self.emulated.len()));
        }
        let kernel = kernel::find(&self.kernel, &self.cache)?;
        let qemu = qemu::find(self.qemu.as_deref(), &self.cache)?;
        let mut initramfs = Initramfs::default();
        initramfs.file("/init", 0o755, init_program::read()?);
        initramfs.busybox(&self.cache)?;
        let mut requests = self.modules.clone();
        let binds = self.bind && !(self.devices.is_empty() && self.emulated.is_empty());
        if binds {
            requests.extend(VFIO_MODULES.map(ModuleRequest::from));
        }
        let modules = initramfs.modules(modules::resolve(&kernel, &requests)?);
        for addition in &self.additions {
            initramfs.add(addition)?;
        }
        let bdfs: Vec<_> = (0..self.devices.len()).map(bdf).collect();
        let emulated: Vec<_> = (0..self.emulated.len()).map(emulated::bdf).collect();
        let env = environment(&bdfs, &emulated);
        let devices = [bdfs, emulated].concat();
        let mode = if self.shell { Mode::Shell } else { Mode::Serve };
        let plan = Plan { mode, modules, env, devices, bind: binds };
        Ok(Parts { qemu, kernel, initramfs, plan })
    }

    fn start_devices(&self, folder: &Folder) -> Result<Vec<Device>, VmError> {
        let mut devices = Vec::new();
        for (index, program) in self.devices.iter().enumerate() {
            devices.push(Device::start(program, &folder.device_socket(index), &folder.device_log(index))?);
        }
        for device in &devices {
            device.wait_until_it_listens(self.stop)?;
        }
        Ok(devices)
    }

    /// The line without the paths of a run.
    fn line(&self, qemu: Qemu, kernel: Kernel, accel: AccelKind) -> Line {
        Line {
            qemu,
            accel,
            kernel,
            initramfs: PathBuf::new(),
            append: self.append.clone(),
            processors: self.processors,
            memory: self.memory.clone(),
            devices: Vec::new(),
            emulated: self.emulated.clone(),
            channel: PathBuf::new(),
            console: Console::Terminal,
            gdb: None,
            verbose: self.verbose,
            more: self.qemu_args.clone(),
        }
    }
}

/// `NETDMA_VM_BDF` is the first vfio-user device's address, `NETDMA_VM_BDFS` all of theirs, `NETDMA_VM_EMULATED` all those of
/// QEMU's own.
fn environment(bdfs: &[String], emulated: &[String]) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    if let Some(first) = bdfs.first() {
        environment.insert("NETDMA_VM_BDF".into(), first.clone());
        environment.insert("NETDMA_VM_BDFS".into(), bdfs.join(" "));
    }
    if !emulated.is_empty() {
        environment.insert("NETDMA_VM_EMULATED".into(), emulated.join(" "));
    }
    environment
}

fn write_initramfs(initramfs: Initramfs, plan: Plan, path: &Path) -> Result<(), VmError> {
    let file = File::create(path).map_err(|source| VmError::Io { path: path.into(), source })?;
    Ok(initramfs.write(plan, BufWriter::new(file))?)
}
