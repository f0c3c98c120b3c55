//! What a log consists of.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use evenkeel_domain::values::Timestamp;
use evenkeel_events::{LogView, Position, StreamId};
use serde::Serialize;

use super::AuditError;

/// Counts and sizes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Events.
    pub events: u64,
    /// Frames: a commit is one, a large one several.
    pub frames: u64,
    /// Commits.
    pub commits: u64,
    /// Streams.
    pub streams: usize,
    /// Bytes of all payloads.
    pub payload_bytes: u64,
    /// Bytes of all frames.
    pub frame_bytes: u64,
    /// Bytes that the log's files take.
    pub file_bytes: u64,
    /// When the first event was recorded.
    pub first_at: Option<Timestamp>,
    /// When the last event was recorded.
    pub last_at: Option<Timestamp>,
    /// Position of the last event.
    pub position: Position,
    /// The hash of the last frame.
    pub hash: Option<String>,
    /// By event type.
    pub types: BTreeMap<String, TypeStats>,
}

/// Of one event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeStats {
    /// Events.
    pub events: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
}

/// Goes through a log, which a server may have open.
pub fn stats(log: &Path, progress: &mut dyn FnMut(Position)) -> Result<Stats, AuditError> {
    let mut view = LogView::open(log)?;
    let (mut stats, mut streams) = (Stats::default(), HashSet::<StreamId>::new());
    for frame in view.frames(0) {
        let frame = frame?;
        stats.frames += 1;
        stats.commits += u64::from(frame.frames_left() == 0);
        stats.frame_bytes += frame.bytes().len() as u64;
        stats.position = frame.last();
        stats.hash = Some(frame.head().hash_hex());
        for event in frame.events()? {
            let bytes = event.payload.len() as u64;
            let at = Timestamp::from_micros(event.metadata.recorded_at_us);
            stats.first_at.get_or_insert(at);
            stats.last_at = Some(at);
            stats.events += 1;
            stats.payload_bytes += bytes;
            if !stats.types.contains_key(&*event.event_type) {
                stats
                    .types
                    .insert(event.event_type.to_string(), TypeStats::default());
            }
            if let Some(of_type) = stats.types.get_mut(&*event.event_type) {
                of_type.events += 1;
                of_type.payload_bytes += bytes;
            }
            streams.insert(event.stream);
        }
        progress(stats.position);
    }
    stats.streams = streams.len();
    stats.file_bytes = bytes_below(log).map_err(|error| AuditError::io(log, error))?;
    Ok(stats)
}

fn bytes_below(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            bytes_below(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}
