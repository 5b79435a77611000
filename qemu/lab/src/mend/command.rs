//! `netdma-lab mend`.

use anyhow::Result;
use netdma_vm::kernel::KernelChoice;

use super::{CATALOG, Mend, Mended, Seen, find, mend};
use crate::table::Table;

/// Lines of a kernel log that are shown from its beginning, and from its end.
const SHOWN: (usize, usize) = (6, 4);

/// Findings on the stock ioatdma, mended: the same rule fails before a small kernel patch and passes after it
///
/// Builds the patched module from Debian's source package (see `kmod`), and boots two guests with the same device program under
/// the same rule: one with the module that Debian built, one with the patched one. The patches are this project's own.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The finding; all of them if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Say what there is, run nothing
    #[arg(long, conflicts_with = "names")]
    list: bool,
    /// The guest's kernel: a version prefix from the cache, or `newest`
    #[arg(long, value_name = "VERSION", default_value = "6.12")]
    kernel: String,
}

/// There is no such mend.
#[derive(Debug, thiserror::Error)]
#[error("there is no mend '{name}'; there are: {present}")]
pub struct Unknown {
    name: String,
    present: String,
}

/// Runs it. True if all fail before and pass after.
///
/// # Errors
/// The outer error is a bad command line; the inner one that a module or a guest cannot be had.
pub fn run(arguments: &Arguments) -> Result<Result<bool>, Unknown> {
    let mends = chosen(&arguments.names)?;
    if arguments.list {
        print!("{}", list(&mends));
        return Ok(Ok(true));
    }
    Ok(tried(&mends, &KernelChoice::from(arguments.kernel.as_str())))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Mend>, Unknown> {
    if names.is_empty() {
        return Ok(CATALOG.iter().collect());
    }
    let named = |name: &String| {
        find(name).ok_or_else(|| {
            let present: Vec<_> = CATALOG.iter().map(|mend| mend.name).collect();
            Unknown { name: name.clone(), present: present.join(", ") }
        })
    };
    names.iter().map(named).collect()
}

fn list(mends: &[&Mend]) -> String {
    let lines = mends.iter().map(|mend| {
        format!("{}: {}\n    rule: {}\n    patch: {}\n", mend.name, mend.found, mend.rule, mend.file)
    });
    lines.collect()
}

fn tried(mends: &[&'static Mend], kernel: &KernelChoice) -> Result<bool> {
    let mut table = Table::new(&["mend", "result", "the stock module, then the patched one"]);
    let mut all_hold = true;
    for it in mends {
        print!("==> {}", list(&[it]));
        let mended = mend(it, kernel)?;
        show("before, Debian's own module", &mended.before);
        show("after, with the patch", &mended.after);
        table.row(row(it, &mended));
        all_hold &= mended.holds();
    }
    print!("\n{table}");
    Ok(all_hold)
}

fn row(mend: &Mend, mended: &Mended) -> [String; 3] {
    let word = match (&mended.fails, &mended.passes) {
        (Some(_), Some(_)) => "mended",
        (Some(_), None) => "NOT MENDED",
        (None, _) => "NOT REPRODUCED",
    };
    let before = mended.fails.clone().unwrap_or_else(|| "does not fail".into());
    let after = mended.passes.clone().unwrap_or_else(|| "does not pass".into());
    [mend.name.into(), word.into(), format!("{before} -> {after}")]
}

fn show(what: &str, seen: &Seen) {
    println!("    {what}:");
    for line in shortened(&seen.log) {
        println!("        {line}");
    }
}

/// The beginning and the end; a reset loop has hundreds of lines.
fn shortened(log: &[String]) -> Vec<String> {
    let (first, last) = SHOWN;
    if log.len() <= first + last + 1 {
        return log.to_vec();
    }
    let left_out = format!("... {} more lines ...", log.len() - first - last);
    [&log[..first], &[left_out], &log[log.len() - last..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_refused_with_those_that_there_are() {
        let error = chosen(&["typo".into()]).unwrap_err().to_string();
        assert_eq!(error, "there is no mend 'typo'; there are: completion-word, failed-copy, reset-loop");
        assert_eq!(chosen(&[]).unwrap().len(), CATALOG.len());
        assert_eq!(chosen(&["reset-loop".into()]).unwrap()[0].name, "reset-loop");
    }

    #[test]
    fn a_long_log_is_cut_in_its_middle() {
        let log: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let shown = shortened(&log);
        assert_eq!(shown.len(), 11);
        assert_eq!((shown[5].as_str(), shown[6].as_str()), ("5", "... 30 more lines ..."));
        assert_eq!(shown[10], "39");
        assert_eq!(shortened(&log[..11]).len(), 11);
    }
}
