//! The host scenario, as this build of the tests links it.

use std::process::Command;

#[test]
fn the_library_patches_and_runs_in_a_process() {
    let output = Command::new(env!("CARGO_BIN_EXE_host-scenario"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(text.contains("checks passed"), "{text}");
}
