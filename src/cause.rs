//! What is behind an error.

use std::error::Error;

/// The cause that has none itself: what is around it often says no more than what was tried, or
/// says a URL, which may hold a secret.
pub fn innermost(error: &dyn Error) -> &dyn Error {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}
