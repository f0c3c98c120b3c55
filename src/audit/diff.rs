//! What changed between two points of the past: which states, which of their fields, which events.

use std::collections::BTreeMap;

use evenkeel_actors::books::{Books, Until};
use evenkeel_events::{LogView, Position};
use serde::Serialize;
use serde_json::Value;

use super::AuditError;
use super::past::{State, advance, states, states_of};
use crate::engine::DataDirectory;

/// Everything that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// The position of the earlier point.
    pub from: Position,
    /// The position of the later point.
    pub to: Position,
    /// Events in between, by type.
    pub events: BTreeMap<String, u64>,
    /// States that are not what they were.
    pub changes: Vec<Change>,
}

/// A state that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `index`, `rebalance`, `webhook`, `owner`, `job` or `price`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Whether it was not there before.
    pub is_new: bool,
    /// Its fields that changed.
    pub fields: Vec<Field>,
}

/// A field that changed; null for one that is not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// Where it stands: `holdings[AAPL].quantity`.
    pub path: String,
    /// What it was.
    pub from: Value,
    /// What it is.
    pub to: Value,
}

/// What changed in a data directory from one point to a later one; of one stream when it is given.
pub fn diff(
    data: &DataDirectory,
    from: Until,
    to: Until,
    stream: Option<&str>,
) -> Result<Diff, AuditError> {
    let mut view = LogView::open(data.log())?;
    let mut books = Books::default();
    advance(&mut view, &mut books, from)?;
    let (start, before) = (books.position, table(&books, stream));
    advance(&mut view, &mut books, to)?;
    let after = table(&books, stream);
    let mut changes = Vec::new();
    for ((kind, id), now) in &after {
        let was = before.get(&(*kind, id.clone()));
        if was == Some(now) {
            continue;
        }
        let mut fields = Vec::new();
        compare(String::new(), was.unwrap_or(&Value::Null), now, &mut fields);
        changes.push(Change {
            kind,
            id: id.clone(),
            is_new: was.is_none(),
            fields,
        });
    }
    Ok(Diff {
        from: start,
        to: books.position,
        events: events(&mut view, start, books.position, stream)?,
        changes,
    })
}

/// A state that was once there stays there, deleted or not: nothing is looked for in `before` only.
fn table(books: &Books, stream: Option<&str>) -> BTreeMap<(&'static str, String), Value> {
    let row = |state: State| ((state.kind, state.id), state.value);
    match stream {
        Some(stream) => states_of(books, stream).map(row).collect(),
        None => states(books).map(row).collect(),
    }
}

fn events(
    view: &mut LogView,
    after: Position,
    until: Position,
    stream: Option<&str>,
) -> Result<BTreeMap<String, u64>, AuditError> {
    let mut counts = BTreeMap::new();
    for frame in view.frames(after) {
        let frame = frame?;
        if frame.first() > until {
            break;
        }
        for event in frame.events()? {
            let wanted = stream.is_none_or(|stream| event.stream.as_str() == stream);
            if wanted && event.position > after && event.position <= until {
                *counts.entry(event.event_type.to_string()).or_default() += 1;
            }
        }
    }
    Ok(counts)
}

fn compare(path: String, from: &Value, to: &Value, fields: &mut Vec<Field>) {
    let (was, now) = (parts(from), parts(to));
    if from == to {
        return;
    }
    if was.is_none() && now.is_none() {
        let (from, to) = (from.clone(), to.clone());
        fields.push(Field { path, from, to });
        return;
    }
    // A branch against a leaf: every field of the branch has come, or has gone.
    let (was, now) = (was.unwrap_or_default(), now.unwrap_or_default());
    let keys: std::collections::BTreeSet<&String> = was.keys().chain(now.keys()).collect();
    for key in keys {
        let null = &Value::Null;
        let below = match (path.is_empty(), key.starts_with('[')) {
            (true, _) => key.clone(),
            (false, true) => format!("{path}{key}"),
            (false, false) => format!("{path}.{key}"),
        };
        let from = was.get(key).copied().unwrap_or(null);
        let to = now.get(key).copied().unwrap_or(null);
        compare(below, from, to, fields);
    }
}

/// The parts of an object or a list by name; a list of objects with an asset goes by the asset.
fn parts(value: &Value) -> Option<BTreeMap<String, &Value>> {
    match value {
        Value::Object(fields) if !fields.is_empty() => Some(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), value))
                .collect(),
        ),
        Value::Array(items) if !items.is_empty() => {
            let by_asset: Option<BTreeMap<String, &Value>> = items
                .iter()
                .map(|item| Some((format!("[{}]", item.get("asset")?.as_str()?), item)))
                .collect();
            let by_asset = by_asset.filter(|parts| parts.len() == items.len());
            let by_number = || {
                let numbered = items.iter().enumerate();
                numbered
                    .map(|(at, item)| (format!("[{at}]"), item))
                    .collect()
            };
            Some(by_asset.unwrap_or_else(by_number))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_named_by_where_they_stand() {
        let was =
            json!({"cash": "10", "holdings": [{"asset": "A", "quantity": "1"}], "tags": ["x"]});
        let now = json!({"cash": "10", "holdings": [{"asset": "A", "quantity": "2"}, {"asset": "B", "quantity": "5"}], "tags": []});
        let mut fields = Vec::new();
        compare(String::new(), &was, &now, &mut fields);
        let paths: Vec<_> = fields
            .iter()
            .map(|f| format!("{} {} {}", f.path, f.from, f.to))
            .collect();
        let expected = [
            r#"holdings[A].quantity "1" "2""#,
            r#"holdings[B].asset null "B""#,
            r#"holdings[B].quantity null "5""#,
            r#"tags[0] "x" null"#,
        ];
        assert_eq!(paths, expected);
    }
}
