//! Several requests in one boot: commands at the same time, files in and out, the kernel's log, a killed device program.
//!
//! `cargo run -p netdma-vm --example drive` (after `netdma-vm setup`, and with the static `netdma-vm-init` built).

use std::time::{Duration, Instant};

use netdma_vm::boot::Boot;
use netdma_vm::cache::Cache;
use netdma_vm::error::VmError;
use netdma_vm::message::LEVEL_WARNING;

fn main() -> Result<(), VmError> {
    let begun = Instant::now();
    let mut vm = Boot::new(Cache::from_environment()?).start()?;
    println!("{}; ready after {:.1} s", vm.summary(), begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    let sent: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    vm.put("/root/new/file", 0o600, &sent)?;
    let same = vm.get("/root/new/file")? == sent;
    println!("1 MiB in and out: same {same}, {:.2} s", begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    let long = vm.spawn(&["sleep", "1000"])?;
    let short = vm.run(&["sh", "-c", "wc -c < /root/new/file; exit 4"])?;
    println!("beside it: status {}, {}", short.status, String::from_utf8_lossy(&short.stdout).trim());
    vm.signal(&long, 15)?;
    println!("signalled: status {}, {:.2} s", vm.wait(long)?.status, begun.elapsed().as_secs_f64());

    vm.set_limit(Some(Duration::from_secs(1)));
    let slow = vm.run(&["sleep", "1000"]);
    println!("past its limit: {}", slow.err().map(|error| error.to_string()).unwrap_or_default());
    vm.set_limit(Some(Duration::from_secs(60)));
    println!("not there: status {}", vm.run(&["no-such-program"])?.status);

    let log = vm.kernel_log(0, LEVEL_WARNING)?;
    println!("kernel log: {} lines at warning or above, the next mark is {}", log.lines.len(), log.next);
    vm.power_off()
}
