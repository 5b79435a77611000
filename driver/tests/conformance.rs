//! One test for each statement of the contract and for each choice of ours, on the engine in this process.

use std::process::ExitCode;
use std::sync::Arc;

use ioat_stage::ThreadPause;
use ioat_stage::pause::SharedPause;
use libtest_mimic::{Arguments, Failed, Trial};
use netdma::conformance::{InProcess, Outcome, Statement, Status, run, statements};

/// Statements of part 4 of the contract, section by section.
const SECTIONS: [(&str, usize); 13] = [
    ("LY", 9),
    ("CV", 9),
    ("PR", 15),
    ("CH", 19),
    ("ND", 13),
    ("IR", 6),
    ("IS", 5),
    ("DP", 3),
    ("SY", 4),
    ("TH", 1),
    ("QD", 19),
    ("KD", 9),
    ("MT", 5),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let checks = statements().map(|statement| Trial::test(statement.test, move || check(statement)));
    let lists = [
        Trial::test("every_statement_of_part_4_is_there_once", every_statement_is_there_once),
        Trial::test("every_test_is_named_like_its_statement", names_begin_with_ids),
        Trial::test("every_choice_is_named_like_its_clause", choices_name_clauses),
    ];
    let tests = lists.into_iter().chain(checks).collect();
    libtest_mimic::run(&arguments, tests).exit_code()
}

/// On an engine of profile skx, unless the check asks for another one. In this process nothing may be skipped.
fn check(statement: &'static Statement) -> Result<(), Failed> {
    let pause: SharedPause = Arc::new(ThreadPause::new());
    let ran = run(statement, &InProcess::new("skx", pause.clone()), &*pause);
    match ran.result {
        Outcome::Passed => Ok(()),
        Outcome::Failed => Err(ran.reason.unwrap_or_default().into()),
        Outcome::Skipped => Err(format!("skipped: {}", ran.reason.unwrap_or_default()).into()),
    }
}

fn every_statement_is_there_once() -> Result<(), Failed> {
    let expected: Vec<String> = SECTIONS
        .iter()
        .flat_map(|(section, count)| (1..=*count).map(move |number| format!("C-{section}-{number:02}")))
        .collect();
    let found: Vec<&str> =
        statements().map(|statement| statement.id).filter(|id| id.starts_with("C-")).collect();
    let missing: Vec<&String> = expected.iter().filter(|id| !found.contains(&id.as_str())).collect();
    if !missing.is_empty() {
        return Err(format!("{} of 117 statements have no check: {missing:?}", missing.len()).into());
    }
    same(&found, &expected)
}

fn same(found: &[&str], expected: &[String]) -> Result<(), Failed> {
    if found == expected {
        return Ok(());
    }
    Err(format!("the statements are not those of part 4, once and in its order: {found:?}").into())
}

fn names_begin_with_ids() -> Result<(), Failed> {
    let mut names: Vec<&str> = Vec::new();
    for statement in statements() {
        let stem = format!("{}_", statement.id.to_lowercase().replace('-', "_"));
        // A choice may be written L-QD-8 like its clause, and l_qd_08_ like the tests beside it.
        let padded = padded(&stem);
        if !statement.test.starts_with(&stem) && !statement.test.starts_with(&padded) {
            return Err(format!("{}: its test is called {}", statement.id, statement.test).into());
        }
        if names.contains(&statement.test) {
            return Err(format!("two tests are called {}", statement.test).into());
        }
        names.push(statement.test);
    }
    Ok(())
}

/// The same with two digits in every number.
fn padded(stem: &str) -> String {
    let part = |part: &str| match part.parse::<u32>() {
        Ok(number) => format!("{number:02}"),
        Err(_) => part.to_owned(),
    };
    stem.split('_').map(part).collect::<Vec<_>>().join("_")
}

fn choices_name_clauses() -> Result<(), Failed> {
    let mut ids: Vec<&str> = Vec::new();
    for statement in statements().filter(|statement| statement.status == Status::Choice) {
        if !statement.id.starts_with("L-") || ids.contains(&statement.id) {
            return Err(format!("{} is no id of a choice, or is there twice", statement.id).into());
        }
        ids.push(statement.id);
    }
    let strays: Vec<&str> = statements()
        .filter(|statement| statement.status != Status::Choice && !statement.id.starts_with("C-"))
        .map(|statement| statement.id)
        .collect();
    if strays.is_empty() { Ok(()) } else { Err(format!("no statements of part 4: {strays:?}").into()) }
}
