//! The counts in what `cargo test` prints, summed over all test programs.

/// Counts of host tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestCounts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Names of ignored tests, with the reason when one is given.
    pub(crate) ignored: Vec<String>,
}

/// Sums the `test result:` lines.
pub(crate) fn count(output: &str) -> TestCounts {
    let mut counts = TestCounts::default();
    for line in output.lines() {
        if let Some(result) = line.strip_prefix("test result: ") {
            counts.passed += number_before(result, " passed");
            counts.failed += number_before(result, " failed");
        } else if let Some(test) = line.strip_prefix("test ") {
            counts.ignored.extend(ignored(test));
        }
    }
    counts
}

/// 3 from "ok. 3 passed; 0 failed" before " passed".
fn number_before(result: &str, word: &str) -> u64 {
    let before = result.split_once(word).map_or("", |(before, _)| before);
    let number = before.rsplit(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

/// "name" or "name: reason" from "name ... ignored, reason".
fn ignored(test: &str) -> Option<String> {
    let (name, reason) = test.split_once(" ... ignored")?;
    Some(match reason.strip_prefix(", ") {
        Some(reason) => format!("{name}: {reason}"),
        None => format!("{name}: ignored"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_programs_are_summed() {
        let output = "\
running 3 tests
test a::one ... ok
test a::two ... ignored, needs a day
test a::three ... FAILED
test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.06s
   Doc-tests pvops_core
test pvops-core/src/lib.rs - time (line 7) ... ignored
test result: ok. 20 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        assert_eq!(
            count(output),
            TestCounts {
                passed: 21,
                failed: 1,
                ignored: vec![
                    "a::two: needs a day".into(),
                    "pvops-core/src/lib.rs - time (line 7): ignored".into()
                ],
            }
        );
    }

    #[test]
    fn other_output_counts_nothing() {
        assert_eq!(
            count("test result: \ntest result: many passed\nerror: no"),
            TestCounts::default()
        );
    }
}
