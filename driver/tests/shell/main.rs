//! `netdma shell` on the device in its process: from a pipe, on a real terminal, and what it records.
#![cfg(all(feature = "sim", feature = "script"))]

#[expect(unsafe_code, reason = "openpty, and making it the controlling terminal, have no safe face")]
mod terminal;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use terminal::Terminal;

/// What a run of the program left.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// The program in a folder of its own, where its history is too.
fn netdma(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdma"));
    command.args(arguments).current_dir(folder).env_remove("RUST_LOG");
    command.env("TERM", "xterm").env("XDG_STATE_HOME", folder.join("state"));
    command
}

fn shell(folder: &Path, typed: &str) -> Ran {
    let mut command = netdma(folder, &["shell", "--on", "sim"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(typed.as_bytes()).expect("it reads");
    ran(child.wait_with_output().expect("it ends"))
}

fn script(folder: &Path, file: &str) -> Ran {
    ran(netdma(folder, &["script", file, "--on", "sim"]).output().expect("the program starts"))
}

fn ran(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code().expect("no signal ends it"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_pipe_gets_values_and_nothing_else() {
    let ran =
        shell(folder().path(), "40 + 2\nlet x = 7\nif x > 1 {\n  x - 8\n}\nget(\"CHANCNT\", \"COUNT\")\n");
    assert_eq!(ran.out, "42 (0x2a)\n-1 (0xffffffffffffffff)\nCHANCNT.COUNT = 4 (0x4)\n");
    assert_eq!((ran.err.as_str(), ran.code), ("", 0));
}

#[test]
fn a_register_is_shown_with_its_fields_and_their_words() {
    let ran = shell(folder().path(), "get(\"CHAN0.CHANSTS\")\nget(\"chan0.chansts\", \"status\")\n");
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(
        lines[0].starts_with("CHAN0.CHANSTS = 0x") && lines[0].contains("STATUS=HALTED(3)"),
        "{}",
        ran.out
    );
    assert_eq!(lines[1], "CHAN0.CHANSTS.STATUS = 3 (0x3) HALTED");
}

#[test]
fn what_is_ours_is_shown_with_what_it_is() {
    let typed = "let b = dma(8192, #{iova: 0x40000000})\nb\nb.unmap()\n[b, 1]\nlet c = chain(2)\nc\n";
    let ran = shell(folder().path(), typed);
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines[0], "buffer of 8192 bytes at 0x40000000");
    assert_eq!(lines[1], "[buffer of 8192 bytes at 0x40000000, not mapped, 1 (0x1)]");
    assert!(lines[2].starts_with("chain of 2 descriptors at 0x"), "{}", ran.out);
}

#[test]
fn help_in_a_script_and_in_the_shell_is_the_same() {
    let of = |typed: &str| shell(folder().path(), typed).out;
    assert!(of("help iova\n").starts_with("buffer.iova -> address\n"));
    for name in ["irq_wait", "iova", "compare", "CHAN0.CHANSTS"] {
        assert_eq!(of(&format!("help {name}\n")), of(&format!("help(\"{name}\")\n")), "{name}");
    }
    assert!(of("help\n").ends_with(&of("help()\n")));
}

#[test]
fn an_error_names_the_line_of_the_pipe_and_does_not_end_the_session() {
    let typed = "1\n\nget(\"CHNCNT\")\nfn bad() {\n  throw \"no\"\n}\nbad()\nlet = 3\n5\n";
    let ran = shell(folder().path(), typed);
    assert_eq!(ran.out, "1 (0x1)\n5 (0x5)\n");
    let complaints: Vec<_> = ran.err.lines().collect();
    assert!(
        complaints[0].starts_with("netdma: line 3, column 1: no register is called \"CHNCNT\""),
        "{}",
        ran.err
    );
    assert!(complaints[1].starts_with("netdma: line 5, column 3: no"), "{}", ran.err);
    assert_eq!(complaints[2], "  in bad(), called at line 7");
    assert!(complaints[3].starts_with("netdma: line 8, column 5: "), "{}", ran.err);
    assert_eq!(complaints[4], "netdma: 3 of 6 statements failed");
}

#[test]
fn the_worst_statement_of_a_pipe_gives_the_exit_code() {
    let cases = [
        ("", 0),
        ("1\nexit\nnonsense(", 0),
        ("throw 1", 1),
        ("assert(false, \"x\")\n1", 1),
        ("nonsense(\n1", 2),
        ("throw 1\nlet = 1\n1", 2),
        ("run nothing.rhai", 1),
        ("record", 2),
        ("? nothing", 2),
    ];
    for (typed, code) in cases {
        let ran = shell(folder().path(), typed);
        assert_eq!(ran.code, code, "{typed:?}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn what_a_failed_statement_defined_is_gone() {
    let ran = shell(folder().path(), "let x = 1\nlet x = 2; fn f() { 1 } throw 1\nx\nf()\n");
    assert_eq!(ran.out, "1 (0x1)\n");
    assert!(ran.err.contains("line 4, column 1: Function not found: f"), "{}", ran.err);
}

#[test]
fn help_lists_the_api_and_tells_of_functions_and_registers() {
    let ran = shell(folder().path(), "help\n? put\nhelp CHAN0.CHANSTS\n");
    for part in [
        "record FILE [--expect]",
        "Registers\n  get(name) -> value",
        "put(name, field, value)\n",
        "Channel status",
    ] {
        assert!(ran.out.contains(part), "no {part:?} in\n{}", ran.out);
    }
    assert_eq!(ran.code, 0);
}

#[test]
fn a_record_holds_what_succeeded_and_runs() {
    let folder = folder();
    let typed = "let count = get(\"CHANCNT\", \"COUNT\")\nthrow \"broken\"\nlet b = dma(4096) // a page\nb.fill(7)\n\
                 get(\"NOTHING\")\nfn twice(x) {\n  2 * x\n}\ntwice(\nassert(twice(count) == 8, \"four channels\")\n)\n\
                 assert(twice(count) == 8, \"four channels\")\nget(\"CHANCNT\")\nrecord made.rhai\n";
    let recorded = shell(folder.path(), typed);
    assert!(
        recorded.out.contains("made.rhai: 6 statements; run it with: netdma script made.rhai --on sim"),
        "{}",
        recorded.out
    );
    let made = fs::read_to_string(folder.path().join("made.rhai")).unwrap();
    let (head, body) = made.split_once("\n\n").unwrap();
    assert!(head.starts_with("// Recorded by `netdma shell --on sim` on 20"), "{head}");
    assert!(head.contains("// Run it: netdma script made.rhai --on sim\n"), "{head}");
    assert!(head.contains("Left out because they failed: 3;"), "{head}");
    assert_eq!(
        body,
        "let count = get(\"CHANCNT\", \"COUNT\");\nlet b = dma(4096); // a page\nb.fill(7);\nfn twice(x) {\n  2 * x\n};\n\
         assert(twice(count) == 8, \"four channels\");\nget(\"CHANCNT\");\n"
    );
    let again = script(folder.path(), "made.rhai");
    assert_eq!(again.code, 0, "{}{}", again.out, again.err);
}

#[test]
fn a_record_replaces_a_file_only_when_told_to() {
    let folder = folder();
    fs::write(folder.path().join("mine.rhai"), "mine").unwrap();
    let ran = shell(folder.path(), "1\nrecord mine.rhai\n");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("record: mine.rhai is there already: `record! mine.rhai` replaces it"),
        "{}",
        ran.err
    );
    assert_eq!(fs::read_to_string(folder.path().join("mine.rhai")).unwrap(), "mine");
    assert_eq!(shell(folder.path(), "1\nrecord! mine.rhai\n").code, 0);
    assert!(fs::read_to_string(folder.path().join("mine.rhai")).unwrap().ends_with("\n1;\n"));
}

#[test]
fn a_record_from_its_start_on_must_stand_by_itself() {
    let folder = folder();
    let ran = shell(folder.path(), "let x = 1\nrecord start\nx + 1\nrecord part.rhai\n");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("since `record start` does not stand by itself"), "{}", ran.err);
    assert!(!folder.path().join("part.rhai").exists());
    let ran = shell(folder.path(), "let x = 1\nrecord start\nlet y = 2\ny + 1\nrecord part.rhai\n");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let part = fs::read_to_string(folder.path().join("part.rhai")).unwrap();
    assert!(part.ends_with("\n\nlet y = 2;\ny + 1;\n"), "{part}");
}

#[test]
fn a_record_with_expectations_passes_here_and_fails_elsewhere() {
    let folder = folder();
    let typed = "get(\"CHANCNT\")\nget(\"CHAN1.CHANSTS\", \"STATUS\")\nrecord --expect made.rhai\n";
    let ran = shell(folder.path(), typed);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let made = fs::read_to_string(folder.path().join("made.rhai")).unwrap();
    assert!(
        made.ends_with(
            "\n\nexpect_reg(\"CHANCNT\", 0x4);\nexpect_reg(\"CHAN1.CHANSTS\", \"STATUS\", 0x3);\n"
        ),
        "{made}"
    );
    let here = script(folder.path(), "made.rhai");
    assert_eq!(here.code, 0, "{}{}", here.out, here.err);
    let elsewhere =
        netdma(folder.path(), &["script", "made.rhai", "--on", "sim", "--channels", "2"]).output().unwrap();
    assert_eq!(elsewhere.status.code(), Some(1), "{}", String::from_utf8_lossy(&elsewhere.stderr));
}

#[test]
fn a_file_runs_in_the_session_and_is_recorded_with_its_name() {
    let folder = folder();
    fs::write(folder.path().join("part.rhai"), "#!/usr/bin/env netdma\nlet ring = 5;\nfn f() { 6 }\n")
        .unwrap();
    let ran = shell(folder.path(), "run part.rhai\nring + f()\nrecord made.rhai\n");
    assert!(ran.out.starts_with("11 (0xb)\n"), "{}{}", ran.out, ran.err);
    let made = fs::read_to_string(folder.path().join("made.rhai")).unwrap();
    assert!(
        made.contains(
            "// From part.rhai:\nlet ring = 5;\nfn f() { 6 };\n// End of part.rhai.\nring + f();\n"
        ),
        "{made}"
    );
    assert_eq!(script(folder.path(), "made.rhai").code, 0);
}

#[test]
fn tab_completes_registers_and_their_fields_on_a_terminal() {
    let folder = folder();
    let mut terminal = Terminal::start(netdma(folder.path(), &["shell", "--on", "sim"]));
    terminal.see("netdma> ");
    terminal.press("get(\"CHAN2.CHANST\t");
    terminal.see("get(\"CHAN2.CHANSTS\"");
    terminal.press(", \"STA\t");
    terminal.see("\"STATUS\"");
    terminal.press(")\r");
    terminal.see("CHAN2.CHANSTS.STATUS = 3 (0x3) HALTED");
    terminal.press("config_w\t");
    terminal.see("config_write(");
    // The hint has the signature.
    terminal.see("config_write(offset, width, value)");
    terminal.press("\x03");
    terminal.see("\n");
    terminal.see("netdma> ");
    terminal.press("\x04");
    let (code, _) = terminal.end();
    assert_eq!(code, 0);
}

#[test]
fn ctrl_c_ends_an_evaluation_and_not_the_session() {
    let folder = folder();
    let mut terminal = Terminal::start(netdma(folder.path(), &["shell", "--on", "sim"]));
    terminal.see("netdma> ");
    // One line after the other: the line editor drops what comes behind an Enter in one piece.
    terminal.press("let kept = 40; kept\r");
    terminal.see("40 (0x28)");
    terminal.press("log(\"be\" + \"gun\"); loop { }\r");
    terminal.see("begun\r\n");
    terminal.press("\x03");
    terminal.see("interrupted by a signal");
    terminal.press("kept + 2\r");
    terminal.see("42 (0x2a)");
    terminal.press("throw 1\r");
    terminal.see("netdma: line 1, column 1: 1");
    terminal.press("exit\r");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn an_open_brace_goes_on_in_the_next_line_of_a_terminal() {
    let folder = folder();
    let mut terminal = Terminal::start(netdma(folder.path(), &["shell", "--on", "sim"]));
    terminal.see("netdma> ");
    terminal.press("for i in 0..2 {\r");
    terminal.press("log(`line ${i + 10}`)\r");
    terminal.press("}\r");
    terminal.see("line 10\r\nline 11");
    terminal.see("netdma> ");
    terminal.press("\x04");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_second_start_remembers_the_first() {
    let folder = folder();
    for (keys, shown) in [("1234 + 1\r", "1235 (0x4d3)"), ("\x1b[A\r", "1235 (0x4d3)")] {
        let mut terminal = Terminal::start(netdma(folder.path(), &["shell", "--on", "sim"]));
        terminal.see("netdma> ");
        terminal.press(keys);
        terminal.see(shown);
        terminal.see("netdma> ");
        terminal.press("\x04");
        assert_eq!(terminal.end().0, 0);
    }
    let kept = fs::read_to_string(folder.path().join("state/netdma/history")).unwrap();
    assert_eq!(kept, "1234 + 1\n");
}

#[test]
fn lines_that_are_pasted_at_once_are_all_evaluated() {
    let folder = folder();
    let mut terminal = Terminal::start(netdma(folder.path(), &["shell", "--on", "sim"]));
    terminal.see("netdma> ");
    terminal.press("log(`one ${20 + 1}`)\rlog(`two ${20 + 2}`)\rlog(`three ${20 + 3}`)\r");
    terminal.see("one 21\r\n");
    terminal.see("two 22\r\n");
    terminal.see("three 23\r\n");
    terminal.see("netdma> ");
    terminal.press("\x04");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn where_no_history_can_be_written_nothing_is_said() {
    let folder = folder();
    let mut command = netdma(folder.path(), &["shell"]);
    command.env("XDG_STATE_HOME", "/proc/nowhere");
    let mut terminal = Terminal::start(command);
    terminal.see("netdma> ");
    terminal.press("40 + 2\r");
    terminal.see("42 (0x2a)");
    terminal.see("netdma> ");
    terminal.press("\x04");
    let (code, written) = terminal.end();
    assert_eq!(code, 0);
    assert!(!written.contains("history") && !written.contains("netdma: "), "{written}");
}

#[test]
fn a_dumb_terminal_gets_a_prompt_and_no_escape_sequence() {
    let folder = folder();
    let mut command = netdma(folder.path(), &["shell"]);
    command.env("TERM", "dumb");
    let mut terminal = Terminal::start(command);
    terminal.see("netdma> ");
    terminal.press("if true {\n");
    terminal.see("   ...> ");
    terminal.press("40 + 2 }\n");
    terminal.see("42 (0x2a)");
    terminal.see("netdma> ");
    terminal.press("log(\"be\" + \"gun\"); loop { }\n");
    terminal.see("begun\r\n");
    terminal.press("\x03");
    terminal.see("interrupted by a signal");
    terminal.see("netdma> ");
    terminal.press("exit\n");
    let (code, written) = terminal.end();
    assert_eq!(code, 1, "the interrupted statement counts");
    assert!(!written.contains('\x1b'), "{written:?}");
}
