//! Verdicts on made-up serial logs, honest and hostile.

use super::*;
use crate::lines::{MAX_LINE_LENGTH, read_line};
use proptest::prelude::*;

const BOOT: &str = r#"@{"event":"boot","protocol":"pvh v1","backend":"native","interfaces":[],"sites":{"total":2,"inline":2,"call":0,"jump":0,"nop":0,"trap":0}}"#;
const OK: &str = r#"@{"event":"check","name":"irq.flags","status":"pass","detail":""}"#;
const FAIL: &str = r#"@{"event":"check","name":"mmu.map","status":"fail","detail":"no"}"#;
const SKIP: &str = r#"@{"event":"check","name":"kvm.call","status":"skip","detail":"lacks it"}"#;
const PASS_1: &str = r#"@{"event":"result","pass":true,"checks":1,"failed":0,"skipped":0}"#;
const HAND_OVER: &str = r#"@{"event":"hand_over"}"#;
const SHARED: &str =
    r#"@{"event":"check","name":"hand_over.shared_pages","status":"pass","detail":""}"#;

fn read(log: &[u8]) -> Transcript {
    let mut transcript = Transcript::default();
    let mut reader = log;
    while let Some(line) = read_line(&mut reader).unwrap() {
        transcript.note(&line);
    }
    transcript
}

fn verdict(log: &[&str], status: i32) -> Verdict {
    read(log.join("\n").as_bytes()).verdict(&End::Exit(Some(status)), Ending::DebugExit)
}

fn reason(log: &[&str], status: i32) -> String {
    match verdict(log, status) {
        Verdict::Fail(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sound_log_with_status_33_passes() {
    assert_eq!(verdict(&["hello", BOOT, OK, PASS_1], 33), Verdict::Pass);
    let counted = r#"@{"event":"result","pass":true,"checks":2,"failed":0,"skipped":1}"#;
    let not_counted = r#"@{"event":"result","pass":true,"checks":1,"failed":0,"skipped":1}"#;
    assert_eq!(verdict(&[BOOT, OK, SKIP, counted], 33), Verdict::Pass);
    assert_eq!(verdict(&[BOOT, OK, SKIP, not_counted], 33), Verdict::Pass);
    let measure = r#"@{"event":"measure","name":"cli","instructions":1}"#;
    assert_eq!(verdict(&[BOOT, measure, PASS_1], 33), Verdict::Pass);
}

#[test]
fn status_and_result_line_must_both_say_pass() {
    assert_eq!(
        reason(&[OK, PASS_1], 35),
        "the result line says pass, but QEMU ended with status 35 (fail)"
    );
    assert_eq!(
        reason(&[OK, PASS_1], 0),
        "the result line says pass, but QEMU ended with status 0 (turned off, reset or triple fault)"
    );
    assert_eq!(
        reason(&[OK], 33),
        "no result line; QEMU ended with status 33 (pass)"
    );
    let fail = PASS_1.replace("true", "false");
    assert_eq!(
        reason(&[OK, &fail], 33),
        "the kernel reports a failure; QEMU ended with status 33 (pass)"
    );
    let transcript = read([OK, PASS_1].join("\n").as_bytes());
    assert_eq!(
        transcript.verdict(&End::Exit(None), Ending::DebugExit),
        Verdict::Fail("the result line says pass, but QEMU was ended by a signal".into())
    );
    assert_eq!(
        transcript.verdict(&End::Ended("hung".into()), Ending::DebugExit),
        Verdict::Fail("hung".into())
    );
}

#[test]
fn the_backend_and_what_is_said_at_boot_are_compared() {
    let log = ["a ROM, of 3 bytes", BOOT, OK, "too late", PASS_1].join("\n");
    let transcript = read(log.as_bytes());
    assert_eq!(transcript.check_boot(None, None), Ok(()));
    assert_eq!(transcript.check_boot(Some("native"), Some("of 3")), Ok(()));
    assert_eq!(
        transcript.check_boot(Some("vmi"), None).unwrap_err(),
        "it came up by the backend native, not vmi"
    );
    assert_eq!(
        read(OK.as_bytes())
            .check_boot(Some("vmi"), None)
            .unwrap_err(),
        "it came up by the backend none, not vmi"
    );
    assert_eq!(
        transcript.check_boot(None, Some("too late")).unwrap_err(),
        "it did not say \"too late\" before its first check"
    );
}

#[test]
fn a_failed_check_is_named() {
    let result = r#"@{"event":"result","pass":false,"checks":2,"failed":1,"skipped":0}"#;
    assert_eq!(reason(&[OK, FAIL, result], 35), "check mmu.map failed");
    assert_eq!(
        reason(&[FAIL, FAIL, PASS_1], 33),
        "2 checks failed, the first is mmu.map"
    );
}

#[test]
fn a_result_that_disagrees_with_the_checks_fails() {
    assert_eq!(
        reason(&[OK, OK, PASS_1], 33),
        "the result line counts 1 checks, but 2 lines reported one"
    );
    let nothing = PASS_1.replace("\"checks\":1", "\"checks\":0");
    assert_eq!(reason(&[&nothing], 33), "the result line counts no checks");
    assert_eq!(
        reason(&[PASS_1], 33),
        "the result line counts 1 checks, but 0 lines reported one"
    );
    let skipped = PASS_1.replace("\"skipped\":0", "\"skipped\":1");
    assert_eq!(reason(&[SKIP, &skipped], 33), "every check was skipped");
    assert_eq!(
        reason(&[OK, SKIP, PASS_1], 33),
        "the result line counts 0 failed and 0 skipped, but 0 and 1 were reported"
    );
}

#[test]
fn two_results_fail() {
    assert_eq!(
        reason(&[OK, PASS_1, PASS_1], 33),
        "more than one result line"
    );
    assert_eq!(
        reason(&[OK, PASS_1, PASS_1, PASS_1], 33),
        "more than one result line"
    );
}

#[test]
fn one_unusable_line_spoils_a_pass() {
    for line in [
        &b"@{\"event\":\"check\",\"na"[..],
        b"@",
        b"@\xff\xfe",
        b"@{\"event\":\"check\"}",
        &vec![b'x'; MAX_LINE_LENGTH + 1],
    ] {
        let log = [OK.as_bytes(), line, PASS_1.as_bytes()].join(&b'\n');
        match read(&log).verdict(&End::Exit(Some(33)), Ending::DebugExit) {
            Verdict::Fail(reason) => assert!(
                reason.starts_with("malformed machine line: ")
                    || reason == "a serial line is longer than 64 KiB",
                "{reason}"
            ),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_pass_ends_as_the_scenario_says() {
    let transcript = read([BOOT, OK, PASS_1].join("\n").as_bytes());
    for (ending, status, pass) in [
        (Ending::DebugExit, 33, true),
        (Ending::DebugExit, 0, false),
        (Ending::PowerOff, 0, true),
        (Ending::PowerOff, 33, false),
    ] {
        let verdict = transcript.verdict(&End::Exit(Some(status)), ending);
        assert_eq!(verdict == Verdict::Pass, pass, "{ending:?} {status}");
    }
}

#[test]
fn text_may_be_any_bytes() {
    let log = [OK.as_bytes(), b"\xff\x00 text @{", PASS_1.as_bytes()].join(&b'\n');
    assert_eq!(
        read(&log).verdict(&End::Exit(Some(33)), Ending::DebugExit),
        Verdict::Pass
    );
}

proptest! {
    /// Bytes without a result line never pass and never panic, in or out of a machine line.
    #[test]
    fn noise_never_passes(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        for log in [noise.clone(), [b"@".to_vec(), noise].concat()] {
            let verdict = read(&log).verdict(&End::Exit(Some(33)), Ending::DebugExit);
            prop_assert!(matches!(verdict, Verdict::Fail(_)));
        }
    }

    /// A log cut anywhere before its last line's closing brace never passes.
    #[test]
    fn a_truncated_log_never_passes(cut in 0_usize..400) {
        let log = [BOOT, OK, PASS_1].join("\n");
        let cut = cut.min(log.len() - 1);
        let verdict = read(&log.as_bytes()[..cut]).verdict(&End::Exit(Some(33)), Ending::DebugExit);
        prop_assert!(matches!(verdict, Verdict::Fail(_)));
    }
}

#[test]
fn a_reset_passes_where_it_is_asked_for_and_announced() {
    let verdict = |log: &[&str], status, ending| {
        read(log.join("\n").as_bytes()).verdict(&End::Exit(Some(status)), ending)
    };
    let announced = [OK, PASS_1, "resetting the machine"];
    assert_eq!(verdict(&announced, 0, Ending::Reset), Verdict::Pass);
    for (log, status, ending) in [
        (&announced[..2], 0, Ending::Reset),
        (&announced, 33, Ending::Reset),
        (&announced, 0, Ending::DebugExit),
        (&[announced[2], OK, PASS_1], 0, Ending::Reset),
    ] {
        assert!(matches!(verdict(log, status, ending), Verdict::Fail(_)));
    }
    let returned = [OK, PASS_1, announced[2], "this machine can't be reset"];
    assert!(matches!(
        verdict(&returned, 0, Ending::Reset),
        Verdict::Fail(_)
    ));
}

#[test]
fn in_an_appliance_the_inner_end_counts() {
    let end = |log: &[&str], status| {
        let transcript = read(log.join("\n").as_bytes());
        transcript.end_in_appliance(End::Exit(Some(status)))
    };
    let pass = r#"@{"event":"guest_end","status":33}"#;
    let fail = r#"@{"event":"guest_end","status":35}"#;
    let log = ["appliance: QEMU starts", BOOT, OK, PASS_1, pass];
    assert_eq!(end(&log, 0), End::Exit(Some(33)));
    assert_eq!(verdict(&log, 33), Verdict::Pass);
    assert_eq!(end(&[OK, PASS_1, fail], 0), End::Exit(Some(35)));
    let hung = End::Ended("hung".into());
    assert_eq!(read(pass.as_bytes()).end_in_appliance(hung.clone()), hung);
    // Linux or the script crashed, the kernel imitates the script, the outer QEMU crashed.
    for (log, status) in [(&[OK, PASS_1][..], 0), (&[pass, pass], 0), (&[pass], 1)] {
        assert!(matches!(end(log, status), End::Ended(_)), "{log:?}");
    }
}

#[test]
fn an_appliance_that_failed_says_why() {
    let failed = r#"@{"event":"appliance_failed","reason":"KVM offers no /dev/kvm"}"#;
    let transcript = read([OK, PASS_1, failed].join("\n").as_bytes());
    let end = transcript.end_in_appliance(End::Exit(Some(0)));
    assert_eq!(
        transcript.verdict(&end, Ending::DebugExit),
        Verdict::Fail("the appliance failed: KVM offers no /dev/kvm".into())
    );
}

#[test]
fn the_kernel_that_was_handed_the_machine_counts() {
    let verdict = |log: &[&str], ending| {
        read(log.join("\n").as_bytes()).verdict(&End::Exit(Some(33)), ending)
    };
    let handed = [OK, SKIP, OK, HAND_OVER, BOOT, SHARED, PASS_1];
    assert_eq!(verdict(&handed, Ending::HandOver), Verdict::Pass);
    for (log, ending) in [
        (&handed[..], Ending::DebugExit),
        (&[SHARED, PASS_1], Ending::HandOver),
        (
            &[OK, HAND_OVER, OK, HAND_OVER, SHARED, PASS_1],
            Ending::HandOver,
        ),
        (&[OK, HAND_OVER], Ending::HandOver),
        (&[OK, HAND_OVER, PASS_1], Ending::HandOver),
        (&[FAIL, HAND_OVER, SHARED, PASS_1], Ending::HandOver),
        (&[OK, PASS_1, HAND_OVER, SHARED, PASS_1], Ending::HandOver),
    ] {
        let verdict = verdict(log, ending);
        assert!(matches!(verdict, Verdict::Fail(_)), "{log:?} {ending:?}");
    }
}

#[test]
fn a_kernel_is_started_anew_after_a_pass_and_a_reset() {
    let restarts = |log: &[&str]| {
        let mut transcript = read(log.join("\n").as_bytes());
        let restarts = std::mem::take(&mut transcript.restarts);
        let verdict = transcript.verdict(&End::Exit(Some(0)), Ending::PowerOff);
        (restarts, verdict == Verdict::Pass)
    };
    let reset = "resetting the machine";
    let twice = [BOOT, OK, PASS_1, reset, "hello", BOOT, SKIP, OK, PASS_1];
    assert!(matches!(verdict(&twice, 33), Verdict::Fail(_)));
    assert_eq!(restarts(&twice), (1, false), "a skipped check is counted");
    let twice = [BOOT, OK, PASS_1, reset, "hello", BOOT, OK, PASS_1];
    assert_eq!(restarts(&twice), (1, true));
    assert_eq!(restarts(&twice[..5]), (0, true));
    assert_eq!(restarts(&twice[..6]), (1, false));
    assert_eq!(restarts(&[BOOT, OK, PASS_1, BOOT, OK, PASS_1]), (0, false));
    assert_eq!(
        restarts(&[BOOT, FAIL, PASS_1, reset, BOOT, OK, PASS_1]),
        (0, false)
    );
}

#[test]
fn the_second_kernel_must_have_looked_at_the_shared_pages() {
    let reason = |log: &[&str]| {
        let transcript = read(log.join("\n").as_bytes());
        transcript.reason_to_fail(&End::Exit(Some(33)), Ending::HandOver)
    };
    assert_eq!(reason(&[OK, HAND_OVER, SHARED, PASS_1]), None);
    let missing = "the second kernel did not look for pages that were shared \
                   (hand_over.shared_pages)";
    assert_eq!(
        reason(&[OK, HAND_OVER, OK, PASS_1]).as_deref(),
        Some(missing)
    );
    // The first kernel's look is none, and neither is one that was skipped.
    assert_eq!(
        reason(&[SHARED, HAND_OVER, OK, PASS_1]).as_deref(),
        Some(missing)
    );
    let skip = SHARED.replace("pass", "skip");
    assert_eq!(
        reason(&[
            OK,
            HAND_OVER,
            OK,
            &skip,
            &PASS_1.replace("\"skipped\":0", "\"skipped\":1")
        ])
        .as_deref(),
        Some(missing)
    );
}
