//! Every command of ours in every recipe: the program is there, and it takes those words. Nothing is run but `--help`.

use std::process::Command;

use netdma_tests::process::run;
use netdma_tests::program;

use crate::text::{blocks, commands, read, recipe, source};

const OURS: [&str; 4] = ["netdma", "vfio-user-ioat", "netdma-vm", "netdma-lab"];

/// Whether one of our programs, or a script of the recipes, takes this command line. Clap reads `--help` only after it took
/// the words before it.
pub(crate) fn takes(words: &[String]) -> Result<(), String> {
    let (name, words) = words.split_first().ok_or("no command")?;
    if !OURS.contains(&name.as_str()) {
        return Err("it is none of our programs".into());
    }
    // What stands behind `--` is for the guest or for QEMU; the runner's words are all its program's.
    let own: Vec<_> = words.iter().take_while(|word| *word != "--").cloned().collect();
    let is_runner = own.first().is_some_and(|verb| verb == "runner");
    let mut own = if is_runner { own[..1].to_vec() } else { own };
    // A process number of the reader's.
    own.iter_mut().filter(|word| *word == "PID").for_each(|word| "1".clone_into(word));
    let ran = run(Command::new(program(name)).args(own).arg("--help"));
    if ran.code == Some(0) && ran.out.contains("Usage:") { Ok(()) } else { Err(ran.err) }
}

/// All Markdown files of the recipes.
fn recipes() -> Vec<String> {
    let entries = std::fs::read_dir(recipe("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> =
        entries.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".md")).collect();
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    names
}

#[test]
fn each_command_of_ours_in_a_recipe_takes_its_words() {
    let mut tried = 0;
    for name in recipes() {
        let text = read(&name);
        let fenced = blocks(&text, "sh").join("\n");
        // `like this` in a sentence, if it is a command with words.
        let inline = text
            .lines()
            .filter(|line| !line.starts_with("```"))
            .flat_map(|line| line.split('`').skip(1).step_by(2));
        let inline =
            inline.filter(|code| code.contains(' ') && !code.contains('…')).collect::<Vec<_>>().join("\n");
        for command in commands(&format!("{fenced}\n{inline}")) {
            let is_pattern = command
                .iter()
                .any(|word| word != "PID" && word.chars().all(|c| c.is_ascii_uppercase() || c == '.'));
            if OURS.contains(&command[0].as_str()) && !is_pattern {
                takes(&command).unwrap_or_else(|why| panic!("{name}: {command:?}: {why}"));
                tried += 1;
            }
        }
    }
    assert!(tried >= 15, "only {tried} commands");
}

#[test]
fn each_file_that_a_recipe_names_is_there() {
    for name in recipes() {
        let text = read(&name);
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            assert!(recipe(target).exists(), "{name} names {target}");
        }
        for word in text.split(['`', ' ', '\n']).filter(|word| word.starts_with("scripts/recipes/")) {
            assert!(source(word).exists(), "{name} names {word}");
        }
    }
}

#[test]
fn a_wrong_option_would_be_seen() {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert!(takes(&words("netdma-vm boot --kernell 6.12")).unwrap_err().contains("--kernell"));
    assert!(takes(&words("netdma selftst")).is_err());
    assert!(takes(&words("netdma-vm boot --kernel 6.12 -- whatever --x")).is_ok());
}
