//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a server needs: a socket for each delivery under way (1,024), one for each client that it
/// serves at once, and the files of its logs.
const NEEDED: u64 = 4_096;

/// Raises the limit to what the system allows. Many systems begin with 1,024 for the sake of old
/// programs and allow far more.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit on open files cannot be raised");
            limit.current
        }
    };
    if let Some(allowed) = allowed.filter(|allowed| *allowed < NEEDED) {
        tracing::warn!(
            allowed,
            needed = NEEDED,
            "few files may be open at once: raise LimitNOFILE or ulimit -n"
        );
    }
}
