//! Where bytes become durable: every sync of the log goes through here, so that the power-cut
//! simulator of the tests knows at any moment what a power cut would leave.

#[cfg(not(test))]
use std::fs::File;
#[cfg(not(test))]
use std::io;

#[cfg(test)]
pub(super) use super::tests::power::{all, data, undivided};

/// Makes a file's content and length durable.
#[cfg(not(test))]
pub(super) fn data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Makes everything about a file durable, or the entries of a directory.
#[cfg(not(test))]
pub(super) fn all(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Writes to a file as the simulator sees them: before or after, never half way.
#[cfg(not(test))]
pub(super) fn undivided<T>(_file: &File, write: impl FnOnce() -> T) -> T {
    write()
}
