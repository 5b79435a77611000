//! A program that exists only here, and what is made of it.

use super::*;
use crate::section::{Section, escaped};
use clap::Arg;

fn program() -> Command {
    let copy = Command::new("copy").about("Copies").arg(Arg::new("size").long("size"));
    let hidden = Command::new("secret").hide(true);
    let behind = "Examples:\n  prog copy --size 1\n  prog list   all of them\n\nExit codes:\n  0  done\n\nAttach it to your QEMU like this:\n  -x";
    Command::new("prog").about("Does it").subcommands([copy, hidden]).after_help(behind)
}

const NOTES: Notes = Notes {
    exit_codes: "9  not used",
    examples: "not used",
    environment: &[("PROG_HOME", "where it lives")],
    files: &[("~/.prog", "what it keeps")],
    see_also: &["prog", "other-prog"],
};

fn text(pages: &[(String, Vec<u8>)], name: &str) -> String {
    let (_, bytes) = pages.iter().find(|(page, _)| page == name).unwrap();
    String::from_utf8(bytes.clone()).unwrap()
}

#[test]
fn the_definitions_own_sections_win_over_the_notes() {
    let page = text(&page::all(program(), &NOTES).unwrap(), "prog");
    assert!(
        page.contains(".SH \"EXAMPLES\"\n.nf\n  prog copy \\-\\-size 1\n  prog list   all of them\n.fi"),
        "{page}"
    );
    assert!(page.contains(".SH \"EXIT CODES\"\n.nf\n  0  done\n.fi"), "{page}");
    assert!(!page.contains("not used"), "{page}");
    assert!(page.contains(".SH \"NOTES\"\n.nf\nAttach it to your QEMU like this:\n  \\-x\n.fi"), "{page}");
    assert!(
        page.contains(".SH \"ENVIRONMENT\"\n.TP\n\\fBPROG_HOME\\fR\nwhere it lives\n")
            && page.contains(".SH \"FILES\""),
        "{page}"
    );
    assert!(page.ends_with(".SH \"SEE ALSO\"\n\\fBother\\-prog\\fR(1)\n"), "{page}");
}

#[test]
fn each_visible_verb_has_a_page_with_its_own_examples_and_the_programs_exit_codes() {
    let pages = page::all(program(), &NOTES).unwrap();
    let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["prog", "prog-copy"]);
    let page = text(&pages, "prog-copy");
    assert!(page.contains(".SH \"EXAMPLES\"\n.nf\n  prog copy \\-\\-size 1\n.fi"), "{page}");
    assert!(page.contains(".SH \"EXIT CODES\""), "{page}");
    assert!(!page.contains("Attach"), "{page}");
}

#[test]
fn what_troff_would_read_is_escaped() {
    assert_eq!(escaped(".so x"), "\\&.so x");
    assert_eq!(escaped("'a' \\ b-c"), "\\&\\(aqa\\(aq \\e b\\-c");
}

#[test]
fn text_without_title_is_a_note() {
    let sections = Section::read("free text\n  more");
    assert_eq!(
        sections,
        [Section { title: "Notes".into(), lines: vec!["free text".into(), "  more".into()], pairs: vec![] }]
    );
    assert_eq!(Section::read(""), []);
}

#[test]
fn files_go_where_man_and_the_shells_look() {
    let folder = std::env::temp_dir().join(format!("netdma-pages-{}", std::process::id()));
    let request = Request { kind: Kind::All, folder: Some(folder.clone()) };
    make(&request, program(), &NOTES, &mut Vec::new()).unwrap();
    for file in [
        "man/man1/prog.1",
        "man/man1/prog-copy.1",
        "bash-completion/completions/prog",
        "zsh/site-functions/_prog",
        "fish/vendor_completions.d/prog.fish",
    ] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_request_is_the_first_word_or_none() {
    let request = |words: &[&str]| Request::of(words.iter().map(Into::into));
    assert_eq!(request(&["list", "generate"]), None);
    assert_eq!(request(&[]), None);
    let man = Request { kind: Kind::Man, folder: None };
    assert_eq!(request(&["--generate", "man"]), Some(Ok(man)));
    for wrong in
        [&["generate"][..], &["generate", "pdf"], &["generate", "all"], &["generate", "man", "a", "b"]]
    {
        assert!(matches!(request(wrong), Some(Err(_))), "{wrong:?}");
    }
}

#[test]
fn the_dash_of_a_programs_name_is_written_in_one_way_for_bash() {
    let program = Command::new("my-prog").subcommand(Command::new("a-verb"));
    let script = String::from_utf8(completion(&program, Shell::Bash)).unwrap();
    assert!(script.contains("cmd=\"my__prog__subcmd__a__subcmd__verb\""), "{script}");
    assert!(script.contains("\n        my__prog__subcmd__a__subcmd__verb)"), "{script}");
}
