//! The licences of all that is linked or run from other people's crates.

use std::io::{self, Write};

use anyhow::Context;
use serde_json::Value;
use spdx::{Expression, ParseMode};
use xshell::cmd;

use crate::kernel;
use crate::step::{self, End};
use crate::tally::Tally;

/// What a crate may ask for: nothing but a notice.
const ALLOWED: [&str; 4] = ["Apache-2.0", "MIT", "Unicode-3.0", "Zlib"];

/// Looks at every crate in the lock file.
pub(crate) fn test(tally: &mut Tally, out: &mut dyn Write) -> io::Result<()> {
    step::run("licences of dependencies", tally, out, || {
        let shell = kernel::repository()?;
        let cargo = kernel::cargo();
        let metadata = cmd!(shell, "{cargo} metadata --format-version 1 --locked");
        let metadata = metadata.ignore_stderr().read()?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        let packages = metadata["packages"].as_array().context("no packages")?;
        let faults: Vec<_> = packages.iter().filter_map(fault).collect();
        Ok(match faults.is_empty() {
            true => End::Passed(format!("{} crates", packages.len())),
            false => End::Failed(faults.join("\n")),
        })
    })
}

/// Why a package of `cargo metadata` can't be used.
fn fault(package: &Value) -> Option<String> {
    let name = &package["name"];
    let Some(text) = package["license"].as_str() else {
        return Some(format!("{name} names no licence"));
    };
    // Some crates write `MIT/Apache-2.0`.
    let Ok(expression) = Expression::parse_mode(text, ParseMode::LAX) else {
        return Some(format!("{name}: {text:?} is no licence expression"));
    };
    let is_allowed = expression.evaluate(|wanted| {
        let id = wanted.license.id();
        wanted.addition.is_none() && id.is_some_and(|id| ALLOWED.contains(&id.name))
    });
    match is_allowed {
        true => None,
        false => Some(format!("{name}: {text} is not among {ALLOWED:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_allowed_choice_is_enough_and_all_conditions_count() {
        let fault = |license| fault(&json!({"name": "a", "license": license}));
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-2.0-only OR Zlib",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert_eq!(fault(json!(good)), None);
        }
        for bad in [
            json!("GPL-2.0-only"),
            json!("MIT AND GPL-2.0-only"),
            json!("Apache-2.0 WITH LLVM-exception"),
            json!("my own"),
            json!(null),
        ] {
            assert!(fault(bad.clone()).is_some(), "{bad}");
        }
    }
}
