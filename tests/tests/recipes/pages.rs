//! Man pages and completions: made by the build, without fault for those who read them, and complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use netdma_tests::process::run;
use netdma_tests::{build_dir, program, skip};

use crate::host::tool;
use crate::text::source;

const PROGRAMS: [&str; 4] = ["netdma", "vfio-user-ioat", "netdma-vm", "netdma-lab"];

/// What the build wrote.
fn share(path: &str) -> PathBuf {
    let path = build_dir().parent().unwrap().join("share").join(path);
    assert!(path.exists(), "{} is not made: run scripts/needs.sh's build_all", path.display());
    path
}

fn page(name: &str) -> String {
    let page = fs::read_to_string(share(&format!("man/man1/{name}.1"))).unwrap();
    page.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
}

fn help(words: &[String]) -> String {
    let ran = run(Command::new(program(&words[0])).args(&words[1..]).arg("--help"));
    assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.err);
    ran.out
}

/// A program with its verbs, and theirs, from their own help texts: whoever adds one need not tell us.
fn all_commands() -> Vec<Vec<String>> {
    let mut commands: Vec<Vec<String>> = PROGRAMS.map(|name| vec![name.to_owned()]).into();
    let mut at = 0;
    while at < commands.len() {
        let words = commands[at].clone();
        let help = help(&words);
        let verbs =
            help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        // A verb stands two blanks from the margin; what it does may go on below.
        let verbs = verbs.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
        let verbs: Vec<_> =
            verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help").collect();
        commands.extend(verbs.into_iter().map(|verb| [words.clone(), vec![verb.to_owned()]].concat()));
        at += 1;
    }
    commands
}

/// The options in a help text: `-v` and `--verbose` where an option is described.
fn options(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split_whitespace().take_while(|word| word.starts_with('-')));
    words.map(|word| word.split(['=', '[', ',']).next().unwrap().trim_end_matches("...").to_owned()).collect()
}

#[test]
fn each_verb_has_a_page_with_every_option_of_its_help() {
    let commands = all_commands();
    assert!(commands.len() > 12, "{commands:?}");
    for words in commands {
        let (page, help) = (page(&words.join("-")), help(&words));
        let missing: Vec<_> =
            options(&help).into_iter().filter(|option| !page.contains(option.as_str())).collect();
        assert_eq!(missing, [""; 0], "{words:?}: options of --help that the page has not");
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT CODES", "ENVIRONMENT", "FILES", "SEE ALSO"]
        {
            let heading = |line: &str| {
                line.strip_prefix(".SH ").is_some_and(|title| title.trim_matches('"') == section)
            };
            assert!(page.lines().any(heading), "{words:?}: no section {section}");
        }
    }
}

#[test]
fn each_programs_page_has_examples_that_it_takes() {
    for name in PROGRAMS {
        let page = page(name);
        let examples =
            page.split(".SH \"EXAMPLES\"\n.nf\n").nth(1).unwrap_or_else(|| panic!("{name}: no examples"));
        let examples = examples.split(".fi").next().unwrap().replace("\\(aq", "'").replace("\\e", "\\");
        // What stands behind two blanks says what the command does.
        let lines: Vec<_> =
            examples.lines().map(|line| line.trim().split("   ").next().unwrap().to_owned()).collect();
        let mut tried = 0;
        for command in
            crate::text::commands(&lines.join("\n")).into_iter().filter(|command| command[0] == name)
        {
            let is_pattern = command.iter().any(|word| word == "PID");
            if !is_pattern {
                crate::commands::takes(&command)
                    .unwrap_or_else(|why| panic!("{name}(1): {command:?}: {why}"));
                tried += 1;
            }
        }
        assert!(tried >= 2, "{name}: {examples}");
    }
}

/// A page must not forget a variable that its program reads.
#[test]
fn each_variable_that_a_program_reads_is_on_its_page() {
    for (name, folder) in PROGRAMS.iter().zip(["driver/src", "device/src", "qemu/vm/src", "qemu/lab/src"]) {
        let page = page(name);
        let mut read = vec!["RUST_LOG".to_owned()];
        variables(&source(folder), &mut read);
        for variable in read {
            assert!(
                page.contains(&variable) || pages_of(name).contains(&variable),
                "{name}(1) does not name {variable}"
            );
        }
    }
}

fn pages_of(name: &str) -> String {
    all_commands().iter().filter(|words| words[0] == name).map(|words| page(&words.join("-"))).collect()
}

/// Names in `env::var("...")`, `env::var_os("...")` and `env = "..."` of a folder's sources.
fn variables(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            variables(&entry.path(), found);
        } else {
            let text = fs::read_to_string(entry.path()).unwrap();
            for opening in ["env::var(\"", "env::var_os(\"", ", env = \"", "(env = \""] {
                found.extend(
                    text.split(opening).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()),
                );
            }
        }
    }
}

#[test]
fn a_page_that_no_verb_has_any_more_is_gone() {
    let known: BTreeSet<_> = all_commands().iter().map(|words| format!("{}.1", words.join("-"))).collect();
    let made = fs::read_dir(share("man/man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(made.collect::<BTreeSet<_>>(), known);
}

/// The pages, for a program that judges them.
fn all_pages() -> Vec<PathBuf> {
    fs::read_dir(share("man/man1")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn groff_sets_the_pages_without_a_warning() {
    if tool("groff").is_none() {
        return skip("recipes::pages by groff", "groff is not installed");
    }
    let ran = run(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).args(all_pages()));
    // Debian's small groff-base has no other macros than these, but says no word about it.
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[test]
fn mandoc_finds_no_fault_in_the_pages() {
    if tool("mandoc").is_none() {
        return skip("recipes::pages by mandoc", "mandoc is not installed");
    }
    let ran = run(Command::new("mandoc").args(["-Tlint", "-Wwarning"]).args(all_pages()));
    // clap_mangen's own way to set a list of values; nothing is lost by it.
    let faults: Vec<_> =
        ran.out.lines().filter(|line| !line.contains("skipping paragraph macro: br")).collect();
    assert_eq!(faults, [""; 0], "{}", ran.err);
}

/// Asks bash's completion: what it offers for `line`, whose last word is to be completed.
fn bash_offers(name: &str, line: &[&str]) -> Vec<String> {
    let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let script = format!(
        "set -e; . {}; COMP_WORDS=({words}); COMP_CWORD={}; COMP_TYPE=9; \
         function=$(complete -p {name} | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
         $function {name} '{}' '{}' || true; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        share(&format!("bash-completion/completions/{name}")).display(),
        line.len() - 1,
        line[line.len() - 1],
        line[line.len() - 2],
    );
    let ran = run(Command::new("bash").args(["--norc", "--noprofile", "-c", &script]));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_options_and_values() {
    if tool("bash").is_none() {
        return skip("recipes::pages completion by bash", "bash is not installed");
    }
    for name in PROGRAMS {
        let script = share(&format!("bash-completion/completions/{name}"));
        let ran = run(Command::new("bash").arg("-n").arg(script));
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{name}");
    }
    assert_eq!(bash_offers("netdma", &["netdma", "sel"]), ["selftest"]);
    assert_eq!(bash_offers("netdma", &["netdma", "selftest", "--expect"]), ["--expect-fault"]);
    assert_eq!(bash_offers("netdma-vm", &["netdma-vm", "run"]), ["runner"]);
    assert_eq!(bash_offers("netdma-vm", &["netdma-vm", "boot", "--accel", "k"]), ["kvm"]);
    assert_eq!(bash_offers("vfio-user-ioat", &["vfio-user-ioat", "--start"]), ["--start-latency-us"]);
    // Every verb of every program.
    for words in all_commands().iter().filter(|words| words.len() == 2) {
        let offers = bash_offers(&words[0], &[&words[0], &words[1]]);
        assert!(offers.contains(&words[1]), "{words:?}: {offers:?}");
    }
}

#[test]
fn zsh_and_fish_read_their_completions() {
    for (shell, options, place) in [
        ("zsh", &["-n"][..], "zsh/site-functions/_NAME"),
        ("fish", &["--no-execute"], "fish/vendor_completions.d/NAME.fish"),
    ] {
        if tool(shell).is_none() {
            skip(&format!("recipes::pages completion by {shell}"), &format!("{shell} is not installed"));
            continue;
        }
        for name in PROGRAMS {
            let ran = run(Command::new(shell).args(options).arg(share(&place.replace("NAME", name))));
            assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{shell}: {name}");
        }
    }
}

#[test]
fn generate_is_hidden_and_refuses_what_it_does_not_know() {
    for name in PROGRAMS {
        assert!(
            !help(&[name.to_owned()]).lines().any(|line| line.trim_start().starts_with("generate")),
            "{name}"
        );
        let man = run(Command::new(program(name)).args(["generate", "man"]));
        assert_eq!(
            (man.code, man.out),
            (Some(0), fs::read_to_string(share(&format!("man/man1/{name}.1"))).unwrap())
        );
        for (words, expected) in
            [(&["--generate"][..], "expected man, bash, zsh, fish or all"), (&["generate", "pdf"], "'pdf'")]
        {
            let ran = run(Command::new(program(name)).args(words));
            assert_eq!(ran.code, Some(2), "{name} {words:?}");
            assert!(
                ran.err.starts_with(&format!("{name}: generate: ")) && ran.err.contains(expected),
                "{}",
                ran.err
            );
        }
    }
}
