//! A command of the guest that is spoken with: lines in, lines out, for as long as it lives.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Machine;
use crate::channel::{Frame, Kind};
use crate::error::VmError;
use crate::message::Run;
use crate::request::{Output, Request, Running};

/// What came of waiting for a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A line of its standard output, without its end.
    Line(String),
    /// Nothing came in time; it still runs.
    Silence,
    /// It ended, with this. What it wrote before and nobody heard is there.
    Ended(Output),
}

impl Machine {
    /// Starts a command with a standard input, for [`Machine::say`] and [`Machine::hear`]. [`Machine::wait`] closes nothing:
    /// [`Machine::hang_up`] does.
    pub fn speak(&mut self, argv: &[impl AsRef<str>]) -> Result<Running, VmError> {
        let argv = argv.iter().map(|word| word.as_ref().to_owned()).collect();
        let id = self.request(Kind::Run, &Run { argv, env: BTreeMap::new(), input: true })?;
        Ok(Running(id))
    }

    /// Writes a line to the command.
    pub fn say(&mut self, running: &Running, line: &str) -> Result<(), VmError> {
        self.send(&Frame::new(Kind::Data, running.0, format!("{line}\n")))
    }

    /// Ends its standard input.
    pub fn hang_up(&mut self, running: &Running) -> Result<(), VmError> {
        self.send(&Frame::new(Kind::End, running.0, []))
    }

    /// Waits for its next line, at most this long.
    pub fn hear(&mut self, running: &Running, limit: Duration) -> Result<Heard, VmError> {
        let id = running.0;
        self.deadline = Some(Instant::now() + limit);
        let is_over = |machine: &Self| machine.requests.get(&id).is_none_or(has_news);
        match self.pump("the command answers", is_over, None) {
            Err(VmError::TimedOut { .. }) => return Ok(Heard::Silence),
            pumped => pumped?,
        }
        if let Some(line) = self.requests.get_mut(&id).and_then(next_line) {
            return Ok(Heard::Line(line));
        }
        match self.requests.remove(&id).unwrap_or_default() {
            Request { done: Some(Err(why)), .. } => Err(VmError::Guest(why)),
            request => Ok(Heard::Ended(request.output)),
        }
    }

    /// What it has written to its standard error so far, and nobody has taken yet.
    pub fn overhear(&mut self, running: &Running) -> Vec<u8> {
        let request = self.requests.get_mut(&running.0);
        request.map(|request| std::mem::take(&mut request.output.stderr)).unwrap_or_default()
    }
}

fn has_news(request: &Request) -> bool {
    request.done.is_some() || request.output.stdout.contains(&b'\n')
}

fn next_line(request: &mut Request) -> Option<String> {
    let stdout = &mut request.output.stdout;
    let end = stdout.iter().position(|byte| *byte == b'\n')?;
    let line: Vec<u8> = stdout.drain(..=end).collect();
    Some(String::from_utf8_lossy(&line[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_at_a_time_and_the_rest_stays() {
        let mut request = Request::default();
        request.output.stdout.extend_from_slice(b"one\ntwo\nthr");
        assert_eq!(next_line(&mut request).as_deref(), Some("one"));
        assert_eq!(next_line(&mut request).as_deref(), Some("two"));
        assert_eq!((next_line(&mut request), request.output.stdout), (None, b"thr".to_vec()));
    }
}
