//! The programs that patch themselves, as this build of the tests links them.

use std::process::Command;

#[test]
fn the_library_patches_and_runs_in_a_process() {
    passes(env!("CARGO_BIN_EXE_host-scenario"));
}

#[test]
fn sites_change_while_threads_run_them() {
    passes(env!("CARGO_BIN_EXE_live-patching"));
}

fn passes(program: &str) {
    let output = Command::new(program).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(text.contains("checks passed"), "{text}");
}
