//! A Python with packages that nobody here wrote: `EVENKEEL_TEST_PYTHON` names one that has them.

use std::process::{Command, Stdio};

/// A Python with a package; none where it is not installed, which is said, unless the variable
/// names one that must have it.
pub fn with(package: &str) -> Option<String> {
    if let Ok(named) = std::env::var("EVENKEEL_TEST_PYTHON") {
        return Some(named);
    }
    let python = "python3";
    let tried = Command::new(python)
        .args(["-c", &format!("import {package}")])
        .stderr(Stdio::null())
        .status();
    if tried.is_ok_and(|status| status.success()) {
        return Some(python.to_owned());
    }
    println!("not checked: EVENKEEL_TEST_PYTHON names no Python with {package}");
    None
}
