//! A machine room for vfio-user devices: gets QEMU and a guest kernel, builds the guest's file system, starts the device
//! programs and QEMU, and runs commands in the guest over a virtio-serial channel. It knows no particular device.
//!
//! ```no_run
//! use netdma_vm::boot::Boot;
//! use netdma_vm::cache::Cache;
//! use netdma_vm::device::DeviceProgram;
//!
//! let mut boot = Boot::new(Cache::from_environment()?);
//! boot.devices.push(DeviceProgram::from_line("my-device --socket {socket}")?);
//! let mut vm = boot.start()?;
//! let output = vm.run(&["sh", "-c", "cat /sys/bus/pci/devices/$NETDMA_VM_BDF/vendor"])?;
//! assert_eq!(output.status, 0);
//! # Ok::<(), netdma_vm::error::VmError>(())
//! ```

pub mod boot;

pub mod machine;

mod request;

pub mod outcome;

pub mod error;

pub mod doctor;

pub mod mistakes;

pub mod setup;

pub mod apt;

pub mod cache;

pub mod qemu;

pub mod accel;

pub mod kernel;

pub mod modules;

pub mod elf;

pub mod init_program;

pub mod initramfs;

pub mod message;

pub mod channel;

pub mod device;

pub mod emulated;

pub mod line;

pub mod runner;

pub mod folder;

pub mod child;

pub mod stop;

pub mod lock;

mod syscall;
