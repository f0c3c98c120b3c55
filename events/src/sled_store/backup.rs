//! A copy of a log as a log: its own tip, its own seal, nothing of the database's past.
//!
//! ```text
//! backup(dir, to)     from the files, whether or not a process has the log open
//! SledLog::backup(to) from the log itself, while appends go on
//! ```
//! Both give a prefix of whole commits that holds everything acknowledged before they began.

use std::path::Path;
use std::sync::Arc;

use super::SledLog;
use super::disk::DiskError;
use super::fresh::FreshStore;
use super::reader::Shared;
use super::upkeep::UpkeepError;
use super::view::LogView;
use crate::frame::Frame;
use crate::log::{Head, Position};

/// Copies the log in `from` to the new or empty directory `to`, and gives the head of the copy.
/// `progress` is told the last position copied.
pub fn backup(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    progress: &mut dyn FnMut(Position),
) -> Result<Head, UpkeepError> {
    let mut view = LogView::open(from)?;
    let mut store = FreshStore::create(to.as_ref())?;
    for frame in view.frames(0) {
        let frame = frame?;
        let last = frame.last();
        store.take(frame.into_frame())?;
        progress(last);
    }
    store.finish()
}

impl SledLog {
    /// Copies this log, up to what is durable now, to the new or empty directory `to`. Appends
    /// and reads go on meanwhile.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<Head, UpkeepError> {
        let (shared, to) = (Arc::clone(&self.shared), to.as_ref().to_owned());
        let copied = tokio::task::spawn_blocking(move || copy_open(&shared, &to)).await;
        copied.map_err(|error| UpkeepError::Io(error.to_string()))?
    }
}

fn copy_open(shared: &Shared, to: &Path) -> Result<Head, UpkeepError> {
    let until = shared.state().head;
    let mut store = FreshStore::create(to)?;
    while store.head().position < until.position {
        let head = store.head();
        store.take(frame_after(shared, &head)?)?;
    }
    if store.head() != until {
        return Err(UpkeepError::Damaged {
            position: until.position,
            detail: "the frames do not lead to the head".into(),
        });
    }
    store.finish()
}

/// One frame at a time, so that a close never waits for the whole copy.
fn frame_after(shared: &Shared, head: &Head) -> Result<Frame, UpkeepError> {
    let position = head.position + 1;
    let damaged = |detail: &str| UpkeepError::Damaged {
        position,
        detail: detail.to_owned(),
    };
    if let Some(frame) = shared.pending.frame_at(position) {
        return Ok(frame);
    }
    let bytes = match shared.disk().as_ref().map(|disk| disk.frame_at(position)) {
        None => return Err(UpkeepError::Io("the log is closed".into())),
        Some(Ok(Some(bytes))) => bytes,
        Some(Ok(None)) => return Err(damaged("no frame holds this position")),
        Some(Err(DiskError::Damaged(detail))) => return Err(damaged(&detail)),
        Some(Err(DiskError::Io(detail))) => return Err(UpkeepError::Io(detail)),
    };
    Frame::verify_next(bytes, position, &head.hash)
        .map_err(|error| UpkeepError::of_frame(position, error))
}
