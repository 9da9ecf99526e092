//! A program that is a list of checks.

use std::fmt::Debug;
use std::process::ExitCode;

/// What became of a check: nothing to say, or the reason why it failed.
pub type Outcome = Result<(), String>;

/// A name and what it stands for.
pub type Check = (&'static str, fn() -> Outcome);

/// Runs the checks in their order, with a line for each and one for all.
pub fn run(program: &str, checks: &[Check]) -> ExitCode {
    let mut failed = 0;
    for (name, check) in checks {
        match check() {
            Ok(()) => println!("ok   {name}"),
            Err(reason) => {
                failed += 1;
                println!("FAIL {name}: {reason}");
            }
        }
    }
    match failed {
        0 => {
            println!("{program}: {} checks passed", checks.len());
            ExitCode::SUCCESS
        }
        _ => {
            println!("{program}: {failed} checks failed");
            ExitCode::FAILURE
        }
    }
}

/// Fails a check unless `found` is what is wanted.
///
/// # Errors
///
/// What is not, and both values.
pub fn equal<T: Debug + PartialEq>(what: &str, found: T, wanted: T) -> Outcome {
    crate::ensure!(
        found == wanted,
        "{what} is {found:x?} instead of {wanted:x?}"
    );
    Ok(())
}

/// Fails the check that it stands in, with a formatted reason, unless a condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($argument:tt)*) => {
        if !$condition {
            return Err(format!($($argument)*));
        }
    };
}
