//! Export and import: every event as a line of JSON, and the same log from these lines.
//!
//! ```text
//! {"log":"log","position":1,…,"payload":"…","frame":{"first":1,"last":3,"framesLeft":0,"hash":"…"},"data":{…}}
//! {"end":{"log":"log","position":3,"hash":"…"}}            one for each log, after its last event
//! ```
//! `payload` and the envelope are what counts; `data` and `at` are for reading. The frame tells
//! which events were one commit: from the same events in the same frames come the same hashes,
//! so an import proves that nothing was changed on the way.

use std::io::{self, BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use evenkeel_actors::journal;
use evenkeel_domain::values::Timestamp;
use evenkeel_events::{
    AppendId, Causation, Head, LogImport, LogView, Metadata, NamedAppend, OwnerKey, Position,
    Recorded, StoredFrame, StreamId, UpkeepError,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::copies::ensure_empty;
use super::{AuditError, Which};
use crate::engine::DataDirectory;
use crate::hex::unhex;

/// Longest line: a largest payload in base64 and once more decoded.
const LINE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Why an export or an import ended.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The data directory.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A line that is none of an export, or was changed.
    #[error("line {line}: {detail}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        detail: String,
    },
    /// Reading or writing the lines.
    #[error("the exported lines: {0}")]
    Io(#[from] io::Error),
}

/// A line of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    log: String,
    position: u64,
    stream: String,
    version: u64,
    r#type: String,
    payload_version: u16,
    at: Timestamp,
    recorded_at_us: i64,
    owner: String,
    by: String,
    correlation: String,
    causation: String,
    payload: String,
    frame: FrameLine,
    /// The named append that this event begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    append: Option<AppendLine>,
    #[serde(default)]
    data: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct AppendLine {
    id: String,
    events: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FrameLine {
    first: u64,
    last: u64,
    frames_left: u16,
    hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    log: String,
    position: u64,
    hash: String,
}

/// Writes every event of a data directory, which a server may have open; gives their number.
pub fn export(
    data: &DataDirectory,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(Position),
) -> Result<u64, ExchangeError> {
    let mut events = export_log(data, Which::Log, out, progress)?;
    if data.paper().is_dir() {
        events += export_log(data, Which::Paper, out, &mut |_| {})?;
    }
    out.flush()?;
    Ok(events)
}

fn export_log(
    data: &DataDirectory,
    which: Which,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(Position),
) -> Result<u64, ExchangeError> {
    let name = which.name();
    let mut view = LogView::open(which.dir(data)).map_err(AuditError::from)?;
    let mut end = End {
        log: name.to_owned(),
        position: 0,
        hash: String::new(),
    };
    for frame in view.frames(0) {
        let frame = frame.map_err(AuditError::from)?;
        write_frame(name, &frame, out)?;
        let head = frame.head();
        (end.position, end.hash) = (head.position, head.hash_hex());
        progress(head.position);
    }
    let position = end.position;
    serde_json::to_writer(&mut *out, &serde_json::json!({ "end": end }))
        .map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(position)
}

/// Writes the events of a frame.
pub(super) fn write_frame(
    name: &str,
    frame: &StoredFrame,
    out: &mut dyn Write,
) -> Result<(), ExchangeError> {
    let hash = frame.head().hash_hex();
    let named = frame.named_appends().map_err(AuditError::from)?;
    for recorded in frame.events().map_err(AuditError::from)? {
        let mut line = line_of(name, &recorded, frame, &hash);
        let begun = named.iter().find(|named| named.first == recorded.position);
        line.append = begun.map(|named| AppendLine {
            id: format!("{:032x}", named.id.0),
            events: named.events,
        });
        serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn line_of(name: &str, recorded: &Recorded, frame: &StoredFrame, hash: &str) -> Line {
    let metadata = &recorded.metadata;
    // An event of a newer program has no data to read; its payload is exported all the same.
    let data = journal::logged(recorded).map_or(Value::Null, |event| event.data());
    Line {
        log: name.to_owned(),
        position: recorded.position,
        stream: recorded.stream.to_string(),
        version: recorded.version,
        r#type: recorded.event_type.to_string(),
        payload_version: recorded.payload_version,
        at: Timestamp::from_micros(metadata.recorded_at_us),
        recorded_at_us: metadata.recorded_at_us,
        owner: format!("{:032x}", metadata.owner.0),
        by: metadata.by.to_string(),
        correlation: format!("{:032x}", metadata.cause.correlation),
        causation: format!("{:032x}", metadata.cause.causation),
        payload: STANDARD.encode(&recorded.payload),
        frame: FrameLine {
            first: frame.first(),
            last: frame.last(),
            frames_left: frame.frames_left(),
            hash: hash.to_owned(),
        },
        append: None,
        data,
    }
}

/// Writes the logs of a new or empty data directory from exported lines; gives the log's head.
/// When a line is wrong, or the lines end early, nothing is left of it.
pub fn import(
    lines: &mut dyn BufRead,
    data: &DataDirectory,
    progress: &mut dyn FnMut(Position),
) -> Result<Head, ExchangeError> {
    ensure_empty(data.path())?;
    let mut importer = Importer {
        data,
        logs: Vec::new(),
        ended: Vec::new(),
        line: 0,
        frame: None,
        events: Vec::new(),
        named: Vec::new(),
    };
    let mut text = Vec::new();
    loop {
        text.clear();
        let read = io::Read::take(&mut *lines, LINE_MAX_BYTES).read_until(b'\n', &mut text)?;
        if read == 0 {
            return importer.finish();
        }
        importer.take(&text)?;
        progress(importer.events.last().map_or(0, |event| event.position));
    }
}

struct Importer<'a> {
    data: &'a DataDirectory,
    logs: Vec<(String, LogImport)>,
    ended: Vec<String>,
    line: u64,
    frame: Option<FrameLine>,
    events: Vec<Recorded>,
    named: Vec<NamedAppend>,
}

impl Importer<'_> {
    fn wrong(&self, detail: impl std::fmt::Display) -> ExchangeError {
        let detail = detail.to_string();
        ExchangeError::Line {
            line: self.line,
            detail,
        }
    }

    fn take(&mut self, text: &[u8]) -> Result<(), ExchangeError> {
        self.line += 1;
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        if text.starts_with(b"{\"end\"") {
            #[derive(Deserialize)]
            struct EndLine {
                end: End,
            }
            let line: EndLine = serde_json::from_slice(text).map_err(|e| self.wrong(e))?;
            return self.end(line.end);
        }
        let line: Line = serde_json::from_slice(text).map_err(|e| self.wrong(e))?;
        self.choose(&line.log)?;
        if self
            .frame
            .as_ref()
            .is_some_and(|frame| *frame != line.frame)
        {
            return Err(self.wrong("it begins a frame before the last one is whole"));
        }
        let frame = line.frame.clone();
        let named = named_append(&line).map_err(|e| self.wrong(e))?;
        self.named.extend(named);
        self.events.push(recorded(line).map_err(|e| self.wrong(e))?);
        let is_whole = self.events.last().is_some_and(|e| e.position == frame.last);
        self.frame = Some(frame);
        if is_whole { self.put() } else { Ok(()) }
    }

    /// The log that the lines from here on are of: each log's lines stand together.
    fn choose(&mut self, name: &str) -> Result<(), ExchangeError> {
        if self.logs.last().is_some_and(|(current, _)| current == name) {
            return Ok(());
        }
        let which = Which::named(name)
            .ok_or_else(|| self.wrong(format!("there is no log called {name:?}")))?;
        if self.ended.len() != self.logs.len() || self.ended.iter().any(|ended| ended == name) {
            return Err(self.wrong("the lines of the logs are mixed up"));
        }
        let log = LogImport::create(which.dir(self.data)).map_err(AuditError::from)?;
        self.logs.push((name.to_owned(), log));
        Ok(())
    }

    fn put(&mut self) -> Result<(), ExchangeError> {
        let (Some(frame), Some((_, log))) = (self.frame.take(), self.logs.last_mut()) else {
            return Ok(());
        };
        let events = std::mem::take(&mut self.events);
        let named = std::mem::take(&mut self.named);
        let put = match unhex(&frame.hash) {
            Some(hash) => log
                .frame(&events, &named, frame.frames_left, hash)
                .map_err(|error| match error {
                    UpkeepError::Refused { .. } => error.to_string(),
                    other => format!("cannot be written: {other}"),
                }),
            None => Err("the frame's hash is not 64 hexadecimal digits".to_owned()),
        };
        put.map_err(|detail| self.wrong(detail))
    }

    fn end(&mut self, end: End) -> Result<(), ExchangeError> {
        self.choose(&end.log)?;
        let head = self.logs.last().map(|(_, log)| log.head());
        let is_empty = end.position == 0 && end.hash.is_empty();
        let agrees = head.is_some_and(|head| {
            head.position == end.position && (is_empty || head.hash_hex() == end.hash)
        });
        if !agrees || self.frame.is_some() {
            return Err(self.wrong("events are missing before the end"));
        }
        self.ended.push(end.log);
        Ok(())
    }

    fn finish(mut self) -> Result<Head, ExchangeError> {
        if self.ended.is_empty() || self.ended.len() != self.logs.len() {
            return Err(
                self.wrong("the lines end here and the log does not: the file is cut short")
            );
        }
        let mut heads = Vec::new();
        for (name, log) in self.logs.drain(..) {
            match log.finish() {
                Ok(head) => heads.push((name, head)),
                Err(error) => {
                    let _ = std::fs::remove_dir_all(self.data.log());
                    return Err(AuditError::from(error).into());
                }
            }
        }
        let head = heads
            .into_iter()
            .find(|(name, _)| name == Which::Log.name());
        head.map(|(_, head)| head)
            .ok_or_else(|| self.wrong("there is no event log in these lines"))
    }
}

fn recorded(line: Line) -> Result<Recorded, String> {
    let payload = STANDARD.decode(&line.payload);
    Ok(Recorded {
        position: line.position,
        stream: StreamId::new(&line.stream).map_err(|error| error.to_string())?,
        version: line.version,
        event_type: line.r#type.into(),
        payload_version: line.payload_version,
        payload: Bytes::from(payload.map_err(|error| format!("payload: {error}"))?),
        metadata: Metadata {
            owner: OwnerKey(number("owner", &line.owner)?),
            by: line.by.into(),
            cause: Causation {
                correlation: number("correlation", &line.correlation)?,
                causation: number("causation", &line.causation)?,
            },
            recorded_at_us: line.recorded_at_us,
        },
    })
}

fn named_append(line: &Line) -> Result<Option<NamedAppend>, String> {
    let Some(append) = &line.append else {
        return Ok(None);
    };
    Ok(Some(NamedAppend {
        first: line.position,
        id: AppendId(number("append.id", &append.id)?),
        events: append.events,
    }))
}

fn number(what: &str, text: &str) -> Result<u128, String> {
    u128::from_str_radix(text, 16).map_err(|_| format!("{what} is not 32 hexadecimal digits"))
}
