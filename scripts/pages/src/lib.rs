//! Man pages and shell completions of a program, made by the program itself from the very definitions that parse its command
//! line, so that they cannot say something else. The build asks each program once: `PROGRAM generate all FOLDER`.
//!
//! The word `generate` (or `--generate`) is in no help text and no completion: it is for those who build and package.

mod request;

mod page;

mod section;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

pub use page::Notes;
use request::{Kind, Request};

/// The exit code for a request that makes no sense.
const USAGE: u8 = 2;

/// If this process was asked for its pages, makes them: the exit code. Otherwise nothing, and the command line is the program's.
pub fn asked(command: Command, notes: &Notes) -> Option<u8> {
    let request = Request::of(std::env::args_os().skip(1))?;
    let name = command.get_name().to_owned();
    let made = request.map_err(|why| (why, USAGE)).and_then(|request| {
        let made = make(&request, command, notes, &mut io::stdout().lock());
        made.map_err(|error| (error.to_string(), 1))
    });
    Some(match made {
        Ok(()) => 0,
        Err((why, code)) => {
            eprintln!("{name}: generate: {why}");
            code
        }
    })
}

fn make(request: &Request, command: Command, notes: &Notes, out: &mut dyn Write) -> io::Result<()> {
    let Some(folder) = &request.folder else {
        return match request.kind.shell() {
            Some(shell) => out.write_all(&completion(&command, shell)),
            None => out.write_all(&page::of_program(command, notes)?),
        };
    };
    for kind in request.kind.each() {
        match kind.shell() {
            Some(shell) => {
                write(&folder.join(kind.place(command.get_name())), &completion(&command, shell))?;
            }
            None => {
                for (name, bytes) in page::all(command.clone(), notes)? {
                    write(&folder.join(Kind::Man.place(&name)), &bytes)?;
                }
            }
        }
    }
    Ok(())
}

fn completion(command: &Command, shell: Shell) -> Vec<u8> {
    let mut bytes = Vec::new();
    let name = command.get_name();
    clap_complete::generate(shell, &mut command.clone(), name, &mut bytes);
    if shell != Shell::Bash || !name.contains('-') {
        return bytes;
    }
    // clap_complete 4.6 writes a dash of the program's own name in two ways, so that no verb's options were ever found.
    let script = String::from_utf8_lossy(&bytes);
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__")).into_bytes()
}

/// Writes a file under a new folder, and names it in the error.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(named)?;
    }
    File::create(path).and_then(|mut file| file.write_all(bytes)).map_err(named)
}

#[cfg(test)]
mod tests;
