//! Scripts that run wild are ended, and say why.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::{command, script};

#[test]
fn an_endless_loop_is_over_when_its_time_is() {
    for text in [
        "loop { }",
        "loop { sleep_ms(1000); }",
        "irq_enable(\"msix\", 1); irq_wait(0, 1000000);",
        "try { loop { } } catch { } loop { }",
        "wait_until(|| false, 1000000);",
        "case(\"a\", || loop { });",
    ] {
        let ran = script(text, &["--timeout-ms", "50"]);
        assert_eq!(ran.code, 1, "{text}");
        assert!(
            ran.err.contains("the script was not done after 50 ms (--timeout-ms)"),
            "{text}: {}",
            ran.err
        );
    }
}

#[test]
fn what_grows_without_end_is_stopped_with_its_limit() {
    let tries = [
        ("fn f(n) { f(n + 1) + 1 }\nf(0);", "Stack overflow"),
        ("let s = \"x\";\nloop { s += s; }", "Length of string too large"),
        ("let a = [0];\nloop { a += a; }", "Size of array/BLOB too large"),
        ("fn f(n) { let g = || f(n + 1); g.call() + 1 }\nf(0);", "Stack overflow"),
    ];
    for (text, part) in tries {
        let ran = script(text, &["--timeout-ms", "60000"]);
        assert_eq!(ran.code, 1, "{text}: {}", ran.err);
        assert!(ran.err.contains(part) && ran.err.contains("line "), "{text}: no {part:?} in {}", ran.err);
    }
}

#[test]
fn a_signal_ends_the_script_and_its_report_is_still_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, junit) = (folder.path().join("try.rhai"), folder.path().join("out.xml"));
    for signal in [libc::SIGINT, libc::SIGTERM] {
        fs::write(&file, "log(\"begun\"); loop { sleep_ms(5); }").expect("written");
        let mut child = command(&file)
            .arg("--junit")
            .arg(&junit)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert_eq!(lines.next().expect("a line").expect("read"), "begun");
        let killed =
            std::process::Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
        assert!(killed.expect("kill is there").success());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted by a signal"));
        assert!(fs::read_to_string(&junit).expect("a report").contains("interrupted by a signal"));
    }
}
