//! Live patching under fire, as this build of the tests links it.

use std::process::Command;

#[test]
fn sites_change_while_threads_run_them() {
    let output = Command::new(env!("CARGO_BIN_EXE_live-patching"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(text.contains("checks passed"), "{text}");
}
