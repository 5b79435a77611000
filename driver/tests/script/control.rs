//! Fault rules of a device that is another program's: armed and read by its control socket, `--control`.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ioat_stage::{FaultBook, NoTrace, Pause, ThreadPause};
use vfio_user_ioat::control::{Client, Desk, News, Server, Tracing};
use vfio_user_ioat::engine::{Engine, Parts, Served, identity};
use vfio_user_ioat::memory::DmaTable;
use vfio_user_ioat::profile::Profile;
use vfio_user_ioat::server::{IrqTable, Listener, Options, serve};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use super::{Ran, script};

/// A device behind two sockets, as `vfio-user-ioat --socket-path .. --control ..` serves it.
struct Program {
    folder: tempfile::TempDir,
    stop: EventFd,
    served: Option<JoinHandle<()>>,
    _control: Server,
}

impl Program {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listen = |name| Listener::bind(&folder.path().join(name)).expect("it listens");
        let (door, control) = (listen("device"), listen("control"));
        let pause: Arc<dyn Pause> = Arc::new(ThreadPause::new());
        let book = FaultBook::new([]);
        let news = News::new(pause.clone()).expect("an eventfd");
        let identity = identity(u32::from(Profile::SKX.vectors()));
        let irqs = Arc::new(IrqTable::new(&identity));
        let parts = Parts {
            profile: Profile::SKX,
            table: DmaTable::new(),
            interrupts: irqs.clone(),
            trace: NoTrace,
            pause: pause.clone(),
            start_latency: Duration::ZERO,
        };
        let faults = book.clone();
        let engine = Engine::start_watched(parts, move |_| faults.faults(), None).expect("threads");
        let desk = Desk::new(engine.controls(&irqs), book, Tracing::new(pause, 4), news);
        let control = Server::start(control, desk).expect("a thread");
        let stop = EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK).expect("an eventfd");
        let ends = stop.try_clone().expect("a descriptor");
        let served = thread::spawn(move || {
            let backend = Served::new(engine, irqs, identity);
            serve(door, &backend, &ends, &Options::default()).expect("it serves to the end");
        });
        Self { folder, stop, served: Some(served), _control: control }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script on it, with its rules at the socket of this name.
    fn script(&self, control: &str, text: &str) -> Ran {
        let on = format!("socket:{}", self.path("device").display());
        let control = self.path(control);
        script(text, &["--on", &on, "--control", control.to_str().expect("UTF-8")])
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop.write(1).expect("it is told");
        self.served.take().expect("once").join().expect("it served");
    }
}

#[test]
fn a_rule_that_a_script_arms_in_another_program_fires_and_goes_with_the_script() {
    let program = Program::start();
    let text = "let id = fault(\"copy: nth(2) corrupt(3)\"); assert_eq(faults()[0].fired, 0); assert_eq(fired().len(), 0);
        irq_enable(\"msix\", 1);
        let s = dma(4096); let d = dma(4096); let chain = chain(2); let word = completion(); s.fill(0x55);
        chain.copy(0, s, d, 64); chain.copy(1, s, d, 64, #{INT_EN: true, CMPL_WR: true});
        put(\"CHAN0.CHANCMP\", word.iova); put(\"CHAN0.CHAINADDR\", chain.iova); put(\"CHAN0.DMACOUNT\", 2);
        irq_wait(0, 20000);
        assert_eq(s.compare(0, d, 0, 64), 3, \"the second copy is the one that is spoilt\");
        let rule = faults()[0]; assert_eq(rule.id, id); assert_eq(rule.seen, 2); assert_eq(rule.fired, 1);
        let fired = fired(); assert_eq(fired.len(), 1); assert_eq(fired[0].nth, 2); assert_eq(fired[0].channel, 0);
        let other = fault(\"msix: nth(9) drop\"); disarm(other); assert_eq(faults().len(), 1);
        expect_error(|| disarm(other), \"no rule of number\");";
    let ran = program.script("control", text);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let left =
        Client::connect(&program.path("control")).expect("it answers").rules().expect("they are listed");
    assert_eq!(left, [], "the next script does not meet it");
}

#[test]
fn a_control_socket_that_is_none_is_named_before_the_device_is_touched() {
    let program = Program::start();
    let nobody = program.script("nothing", "log(1);");
    assert_eq!((nobody.code, nobody.out.as_str()), (3, ""));
    assert!(nobody.err.contains("nothing: cannot connect"), "{}", nobody.err);
    // Its other socket: who listens there speaks vfio-user, and hangs up.
    let other = program.script("device", "log(1);");
    assert_eq!((other.code, other.out.as_str()), (3, ""));
    assert!(other.err.contains(program.path("device").to_str().expect("UTF-8")), "{}", other.err);
}
