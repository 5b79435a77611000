//! What the shell says of itself, before what there is to call.

use netdma::script::{entries, help};

const COMMANDS: &str = "\
Every line is Rhai: expressions are evaluated and shown, `let x = ...` keeps a value, open brackets go on in the next
line. These are the shell's own:
  help, help NAME, ?NAME      this; a function; a register with its fields
  record FILE [--expect]      write what succeeded so far as a script; --expect turns each get(...) that was shown into
                              an expect_reg(...). `record! FILE` replaces a file that is there
  record start                forget what was typed so far, for the record
  run FILE                    evaluate a script here
  exit, quit, Ctrl-D          end; Ctrl-C ends only what is being evaluated
";

/// The shell's own commands, and every function.
pub(super) fn overview() -> String {
    format!("{COMMANDS}\n{}", help::overview(entries()))
}
