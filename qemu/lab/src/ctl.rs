//! `netdma-lab ctl`: speaks to a device's control socket, for people and for scripts.
//!
//! One command from the command line, many from standard input, or the events as they come. What there is, the device tells.

mod show;

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};
use vfio_user_ioat::control::Client;
use vfio_user_ioat::control::client::ClientError;

/// What `ctl` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The device's control socket, as its --control says
    path: PathBuf,

    /// The command; `help` lists them. Without one, commands are read from standard input, one per line
    command: Option<String>,

    /// Its arguments
    #[arg(value_name = "KEY=VALUE")]
    arguments: Vec<String>,

    /// Print JSON, one line per answer or event
    #[arg(long)]
    json: bool,

    /// Follow events; after the command, if there is one
    #[arg(long)]
    events: bool,

    /// With --events: end after so many events
    #[arg(long, value_name = "N", requires = "events")]
    count: Option<u64>,

    /// How long an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

const EXAMPLES: &str = "\
Examples:
  netdma-lab ctl /tmp/dma.ctl help
  netdma-lab ctl /tmp/dma.ctl query-channels
  netdma-lab ctl /tmp/dma.ctl fault-arm rule='msix[ch=0]: nth(1) drop'
  netdma-lab ctl /tmp/dma.ctl fault-arm rule='gone = register[armed=command]: always all-ones'
  netdma-lab ctl /tmp/dma.ctl fault-arm name=gone
  netdma-lab ctl /tmp/dma.ctl fault-arm rule=errata:bwd-msix-wipe
  netdma-lab ctl /tmp/dma.ctl fault-census switch=on
  netdma-lab ctl /tmp/dma.ctl query-operations
  netdma-lab ctl /tmp/dma.ctl channel-pause channel=0
  netdma-lab ctl /tmp/dma.ctl --events --json

Exit codes: 0 done; 1 the device refused a command; 2 usage; 3 no device, or the connection broke";

/// How it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// The device refused something.
    Refused,
    /// What was asked for makes no sense.
    Usage,
    /// There is no device, or it went away.
    NoDevice,
}

impl Outcome {
    /// The program's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::NoDevice => 3,
        }
    }
}

/// Does what the arguments say.
#[must_use]
pub fn run(arguments: &Arguments) -> Outcome {
    match Session::open(arguments).and_then(|mut session| session.run(arguments)) {
        Ok(()) => Outcome::Done,
        Err(failure) => failure.tell(),
    }
}

/// Why it ended early.
enum Failure {
    Usage(String),
    Client(ClientError),
    /// Nobody reads our output any more: that is no failure.
    Output,
    /// Told already.
    Refused,
}

impl Failure {
    fn tell(&self) -> Outcome {
        match self {
            Self::Usage(text) => {
                eprintln!("netdma-lab: {text}");
                Outcome::Usage
            }
            Self::Client(error) => {
                eprintln!("netdma-lab: {error}");
                if matches!(error, ClientError::Refused { .. }) {
                    Outcome::Refused
                } else {
                    Outcome::NoDevice
                }
            }
            Self::Output => Outcome::Done,
            Self::Refused => Outcome::Refused,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Output
    }
}

struct Session {
    client: Client,
    json: bool,
    /// What the device can do.
    catalog: Value,
}

impl Session {
    fn open(arguments: &Arguments) -> Result<Self, Failure> {
        if arguments.command.is_none() && !arguments.arguments.is_empty() {
            return Err(Failure::Usage("arguments without a command: see `netdma-lab ctl --help`".into()));
        }
        let mut client = Client::connect(&arguments.path)?;
        client.set_patience(Duration::from_secs(arguments.timeout))?;
        let catalog = client.execute("query-commands", Map::new())?;
        Ok(Self { client, json: arguments.json, catalog })
    }

    fn run(&mut self, arguments: &Arguments) -> Result<(), Failure> {
        match &arguments.command {
            Some(command) => self.carry_out(command, &arguments.arguments)?,
            None if !arguments.events => return self.read_commands(),
            None => {}
        }
        if arguments.events { self.follow(arguments.count) } else { Ok(()) }
    }

    /// Commands from standard input, until it ends. A refused one is told, and the next has its turn.
    fn read_commands(&mut self) -> Result<(), Failure> {
        let mut refused = false;
        for line in io::stdin().lock().lines() {
            let line = line?;
            if line.trim_start().starts_with('#') {
                continue;
            }
            let outcome = match split(&line) {
                Ok(words) => match words.split_first() {
                    Some((command, _)) if command == "quit" || command == "exit" => break,
                    Some((command, arguments)) => self.carry_out(command, arguments),
                    None => continue,
                },
                Err(text) => Err(Failure::Usage(text)),
            };
            match outcome {
                Ok(()) => {}
                Err(failure @ (Failure::Usage(_) | Failure::Client(ClientError::Refused { .. }))) => {
                    failure.tell();
                    refused = true;
                }
                Err(failure) => return Err(failure),
            }
        }
        if refused { Err(Failure::Refused) } else { Ok(()) }
    }

    fn carry_out(&mut self, command: &str, arguments: &[String]) -> Result<(), Failure> {
        if command == "help" {
            let help = show::help(&self.catalog, arguments.first().map(String::as_str));
            return self.print(&help.map_err(Failure::Usage)?);
        }
        let arguments = self.arguments(command, arguments).map_err(Failure::Usage)?;
        let value = self.client.execute(command, arguments)?;
        if self.json { self.print(&format!("{value}\n")) } else { self.print(&show::value(command, &value)) }
    }

    fn follow(&mut self, count: Option<u64>) -> Result<(), Failure> {
        let mut left = count.unwrap_or(u64::MAX);
        while left > 0 {
            // Silence is no failure: there is nothing to tell.
            let Some(event) = self.client.next_event()? else { continue };
            let text = if self.json { format!("{event}\n") } else { show::event(&event) };
            self.print(&text)?;
            left -= 1;
        }
        Ok(())
    }

    fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// `KEY=VALUE`, by the types that the device tells. What it does not know goes as text: it says so itself.
    fn arguments(&self, command: &str, given: &[String]) -> Result<Map<String, Value>, String> {
        let takes = show::command(&self.catalog, command).map(|command| &command["arguments"]);
        let kind = |name: &str| {
            let takes = takes.and_then(Value::as_array)?;
            takes.iter().find(|argument| argument["name"] == name)?["type"].as_str()
        };
        let mut arguments = Map::new();
        for pair in given {
            let (name, text) = pair
                .split_once('=')
                .ok_or_else(|| format!("'{pair}' is not KEY=VALUE: see `help {command}`"))?;
            let value = match kind(name) {
                Some("uint") => Value::from(
                    number(text)
                        .ok_or_else(|| format!("{name}='{text}': expected a number, decimal or 0x..."))?,
                ),
                _ => Value::from(text),
            };
            if arguments.insert(name.to_owned(), value).is_some() {
                return Err(format!("'{name}' is given twice"));
            }
        }
        Ok(arguments)
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Words of a line; quotes of both kinds keep spaces together.
fn split(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut open, mut quote) = (Vec::new(), String::new(), false, None);
    for letter in line.chars() {
        match quote {
            Some(end) if letter == end => quote = None,
            Some(_) => word.push(letter),
            None if letter == '\'' || letter == '"' => (quote, open) = (Some(letter), true),
            None if letter.is_whitespace() => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            None => {
                word.push(letter);
                open = true;
            }
        }
    }
    if let Some(quote) = quote {
        return Err(format!("a {quote} is not closed: {line}"));
    }
    if open {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_at_spaces_outside_quotes() {
        for (line, words) in [
            ("", vec![]),
            ("  a  b ", vec!["a", "b"]),
            ("fault-arm rule='msix[ch=0]: nth(1) drop'", vec!["fault-arm", "rule=msix[ch=0]: nth(1) drop"]),
            ("a \"it's\" ''", vec!["a", "it's", ""]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        assert!(split("a 'b").unwrap_err().contains("not closed"));
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(
            [number("10"), number("0x10"), number("x"), number("-1")],
            [Some(10), Some(16), None, None]
        );
    }
}
