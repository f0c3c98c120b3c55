//! `evenkeel log inspect`: one event with everything that is stored of it.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use evenkeel_actors::journal;
use evenkeel_domain::values::Timestamp;
use evenkeel_events::{Recorded, StoredFrame};
use serde_json::{Value, json};

use super::LogName;
use crate::cli::{CliError, print};
use crate::engine::DataDirectory;
use crate::hex::hex;

/// Which event. Read from the files, also while a server runs.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Its position
    #[arg(value_name = "POSITION", value_parser = clap::value_parser!(u64).range(1..))]
    pub position: u64,
    /// In which log
    #[arg(long, value_name = "LOG", default_value = "log")]
    pub of: LogName,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(data: &DataDirectory, args: &InspectArgs) -> Result<ExitCode, CliError> {
    let mut view = super::view(data, args.of.into())?;
    let frame = view.frame(args.position).map_err(CliError::failed)?;
    let beyond = || {
        CliError::Failed(format!(
            "there is no position {}: the log ends at {}",
            args.position,
            view.last()
        ))
    };
    let frame = frame.ok_or_else(beyond)?;
    let events = frame.events().map_err(CliError::failed)?;
    let event = events.into_iter().find(|e| e.position == args.position);
    let event = event.ok_or_else(beyond)?;
    print(&if args.json {
        format!("{}\n", as_json(&event, &frame))
    } else {
        as_text(&event, &frame)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(event: &Recorded, frame: &StoredFrame) -> Value {
    let meta = &event.metadata;
    let (data, unreadable) = decoded(event);
    json!({
        "position": event.position,
        "stream": event.stream.as_str(),
        "version": event.version,
        "type": &*event.event_type,
        "payloadVersion": event.payload_version,
        "at": Timestamp::from_micros(meta.recorded_at_us),
        "owner": format!("{:032x}", meta.owner.0),
        "by": &*meta.by,
        "correlation": format!("{:032x}", meta.cause.correlation),
        "causation": format!("{:032x}", meta.cause.causation),
        "data": data,
        "unreadable": unreadable,
        "payload": hex(&event.payload),
        "frame": {
            "format": frame.format(),
            "first": frame.first(),
            "last": frame.last(),
            "framesLeft": frame.frames_left(),
            "bytes": frame.bytes().len(),
            "previousHash": frame.before().hash_hex(),
            "hash": frame.head().hash_hex(),
        },
    })
}

/// The payload as JSON, or why it cannot be read.
fn decoded(event: &Recorded) -> (Value, Option<String>) {
    match journal::logged(event) {
        Ok(logged) => (logged.data(), None),
        Err(error) => (Value::Null, Some(error.to_string())),
    }
}

fn as_text(event: &Recorded, frame: &StoredFrame) -> String {
    let meta = &event.metadata;
    let (data, unreadable) = decoded(event);
    let data = unreadable.unwrap_or_else(|| format!("{data:#}"));
    let mut text = String::new();
    let rows = [
        ("position", event.position.to_string()),
        (
            "stream",
            format!("{}, version {}", event.stream, event.version),
        ),
        (
            "type",
            format!("{} v{}", event.event_type, event.payload_version),
        ),
        (
            "at",
            Timestamp::from_micros(meta.recorded_at_us).to_string(),
        ),
        ("owner", format!("{:032x}", meta.owner.0)),
        ("by", meta.by.to_string()),
        ("correlation", format!("{:032x}", meta.cause.correlation)),
        ("causation", format!("{:032x}", meta.cause.causation)),
        ("frame", frame_row(frame)),
        ("after hash", frame.before().hash_hex()),
        ("hash", frame.head().hash_hex()),
    ];
    // Writing to a string does not fail.
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<12} {value}");
    }
    let _ = writeln!(text, "\n{data}\n\npayload, {} bytes", event.payload.len());
    text + &hex_dump(&event.payload)
}

fn frame_row(frame: &StoredFrame) -> String {
    format!(
        "format {}, positions {} to {}, {} bytes, {} more of its commit",
        frame.format(),
        frame.first(),
        frame.last(),
        frame.bytes().len(),
        frame.frames_left()
    )
}

/// Sixteen bytes a line: offset, hexadecimal, and what is printable.
fn hex_dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, row) in bytes.chunks(16).enumerate() {
        let numbers: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain: String = row
            .iter()
            .map(|byte| match byte {
                0x20..=0x7e => char::from(*byte),
                _ => '.',
            })
            .collect();
        let _ = writeln!(text, "{:08x}  {:<47}  {plain}", at * 16, numbers.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_rows_of_sixteen() {
        let dump = hex_dump(b"0123456789abcdef\x00z");
        let expected = "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n\
                        00000010  00 7a                                            .z\n";
        assert_eq!(dump, expected);
    }
}
