//! The simulator in a process of its own: a driver that panics while it panics, spins for ever, or leaves hundreds of hung
//! runs behind ends that process, and not the campaign.
//!
//! One JSON object a line, each way: first the campaign, then one request and one answer for each experiment.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::sim::SimPlace;
use super::{Golden, Infra, Limits, Place};
use crate::experiments::campaign::Campaign;
use crate::experiments::exit::{Exit, Trouble};
use crate::experiments::experiment::{Experiment, Id};
use crate::experiments::observation::Observation;

/// Wall time after which a run that never waits is a hang. It is thousands of times what a run takes.
const SPINS: Duration = Duration::from_secs(20);
/// Hung runs after which a process is exchanged: what each leaves behind (stacks, mappings, descriptors) is lost to it.
const STUCK_MOST: u64 = 20;

/// The program that serves, if this process is it.
pub(super) fn program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    (own.file_name()? == "netdma-lab").then_some(own)
}

#[derive(Serialize, Deserialize)]
struct Campaigned {
    text: String,
    file: String,
}

#[derive(Serialize, Deserialize)]
struct Asked {
    id: Id,
    rules: Vec<String>,
    seed: u64,
    hang_ns: u64,
    degraded_ns: u64,
}

#[derive(Serialize, Deserialize)]
struct Answered {
    observation: Observation,
    /// Runs that this process could not end.
    stuck: u64,
}

/// The place: it starts a process when it needs one.
pub struct SimProcess {
    program: PathBuf,
    campaigned: Campaigned,
    /// Golden runs do not hang; one that does is refused.
    own: SimPlace,
    server: Option<Server>,
}

struct Server {
    process: Child,
    to: BufWriter<ChildStdin>,
    /// Its lines; closed at its end.
    from: Receiver<String>,
}

impl SimProcess {
    /// The place of a campaign, served by this program.
    #[must_use]
    pub fn new(campaign: &Campaign, program: PathBuf) -> Self {
        let campaigned = Campaigned { text: campaign.text.clone(), file: campaign.file.clone() };
        Self { program, campaigned, own: SimPlace::new(campaign.scenario.clone()), server: None }
    }

    fn start(&self) -> anyhow::Result<Server> {
        let mut process = Command::new(&self.program)
            .args(["experiment", "serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for who started it: it ends the run, and the process with it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let (Some(to), Some(from)) = (process.stdin.take(), process.stdout.take()) else {
            unreachable!("both are pipes")
        };
        let (line, lines) = channel();
        let reader = std::thread::Builder::new().name("simulator's answers".into()).spawn(move || {
            for answer in BufReader::new(from).lines().map_while(Result::ok) {
                if line.send(answer).is_err() {
                    break;
                }
            }
        });
        reader.context("cannot start a thread")?;
        let mut server = Server { process, to: BufWriter::new(to), from: lines };
        server.tell(&self.campaigned).context("the simulator's process takes no campaign")?;
        Ok(server)
    }
}

impl Server {
    fn tell(&mut self, what: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, what)?;
        self.to.write_all(b"\n")?;
        self.to.flush()
    }

    /// How it ended, in words, after it did.
    fn last_words(mut self) -> String {
        let _ = self.process.kill();
        let mut said = String::new();
        if let Some(stderr) = self.process.stderr.take() {
            let _ = stderr.take(4096).read_to_string(&mut said);
        }
        let status = self.process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("the simulator's process ended: {status}: {said}")
    }
}

impl Drop for SimProcess {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.end();
        }
    }
}

impl Server {
    fn end(mut self) {
        // It ends by itself at the end of its input; a hung one would not.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Place for SimProcess {
    fn golden(&mut self, seed: u64) -> Result<Golden, Infra> {
        self.own.golden(seed)
    }

    fn run(&mut self, experiment: &Experiment, limits: &Limits) -> Result<Observation, Infra> {
        let mut server = match self.server.take() {
            Some(server) => server,
            None => self.start()?,
        };
        let nanoseconds = |limit: Duration| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let asked = Asked {
            id: experiment.id.clone(),
            rules: experiment.rules.iter().map(ToString::to_string).collect(),
            seed: experiment.seed,
            hang_ns: nanoseconds(limits.hang),
            degraded_ns: nanoseconds(limits.degraded),
        };
        // A process that is gone already did not end of this experiment.
        server.tell(&asked).context("the simulator's process takes no experiment")?;
        match server.from.recv_timeout(SPINS) {
            Ok(line) => {
                let answer: Answered = serde_json::from_str(&line)
                    .with_context(|| format!("the simulator's process answered '{line}'"))?;
                if answer.stuck < STUCK_MOST {
                    self.server = Some(server);
                } else {
                    server.end();
                }
                Ok(answer.observation)
            }
            Err(RecvTimeoutError::Timeout) => {
                server.end();
                let text = format!("it spins: no wait and no end for {} s of wall time", SPINS.as_secs());
                Ok(Observation { hangs: vec![text], ..Observation::default() })
            }
            Err(RecvTimeoutError::Disconnected) => {
                Ok(Observation { crashes: vec![server.last_words()], ..Observation::default() })
            }
        }
    }
}

/// The process: a campaign, then experiments, until its input ends.
///
/// # Errors
/// When its input makes no sense, or its output is gone.
pub fn serve() -> Result<Exit, Trouble> {
    let mut lines = io::stdin().lock().lines();
    let mut out = BufWriter::new(io::stdout().lock());
    let Some(first) = lines.next() else { return Ok(Exit::Clean) };
    let first = first.context("standard input")?;
    let Campaigned { text, file } = serde_json::from_str(&first).context("the campaign")?;
    let campaign = Campaign::parse(&text, &file)?;
    let mut place = SimPlace::new(campaign.scenario.clone());
    for line in lines {
        let asked: Asked = serde_json::from_str(&line.context("standard input")?).context("an experiment")?;
        let rules =
            asked.rules.iter().map(|rule| rule.parse()).collect::<Result<Vec<_>, ioat_stage::RuleError>>();
        let rules = rules.map_err(|error| Trouble::Usage(error.to_string()))?;
        let experiment = Experiment { id: asked.id, rules, seed: asked.seed };
        let limits = Limits {
            hang: Duration::from_nanos(asked.hang_ns),
            degraded: Duration::from_nanos(asked.degraded_ns),
        };
        let observation = place.run(&experiment, &limits)?;
        let answer = Answered { observation, stuck: place.stuck() };
        serde_json::to_writer(&mut out, &answer).context("standard output")?;
        out.write_all(b"\n").and_then(|()| out.flush()).context("standard output")?;
    }
    Ok(Exit::Clean)
}
