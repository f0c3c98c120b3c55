//! `/api/event-types`: what owners can subscribe to, with a JSON Schema and an example of each.

use std::sync::LazyLock;

use evenkeel_domain::access::Scope;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::Api;
use crate::http::reply::{self, Answer, Page};
use crate::http::router::{Call, Row};

/// An event type as receivers see it.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventType {
    /// Its name.
    #[serde(rename = "type")]
    pub name: String,
    /// What has happened.
    pub description: String,
    /// The JSON Schema of a delivery's body. Fields may be added; none is taken away.
    pub schema: Value,
    /// A body.
    pub example: Value,
}

/// All of them, in the order of the filter's list. Read once, when first asked for.
pub fn event_types() -> &'static [EventType] {
    // A file of ours, which a test reads too.
    static ALL: LazyLock<Vec<EventType>> = LazyLock::new(|| {
        serde_json::from_str(include_str!("event_types.json")).unwrap_or_default()
    });
    &ALL
}

/// The data of the example of a type, for a test message.
pub fn example_of(event_type: &str) -> Option<Map<String, Value>> {
    let found = event_types().iter().find(|it| it.name == event_type)?;
    found.example["data"].as_object().cloned()
}

/// The route.
pub fn rows() -> Vec<Row<Api>> {
    vec![Row::needs(
        Scope::Read,
        Method::GET,
        "/api/event-types",
        list,
    )]
}

async fn list(_: Api, call: Call) -> Answer {
    call.query.finish()?;
    reply::ok(&Page {
        items: event_types().iter().collect(),
        next: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a failed expectation ends the test"
    )]

    use std::collections::BTreeMap;
    use std::path::Path;

    use boon::{Compiler, Schemas};
    use evenkeel_domain::webhook::EVENT_TYPES;
    use serde_json::json;

    use super::*;

    /// Whether a body is what the schema of its type says.
    fn check(it: &EventType, body: &Value) {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.enable_format_assertions();
        compiler.add_resource(&it.name, it.schema.clone()).unwrap();
        let schema = compiler.compile(&it.name, &mut schemas).unwrap();
        if let Err(error) = schemas.validate(body, schema) {
            panic!("{}: {error}\n{body}", it.name);
        }
    }

    #[test]
    fn every_type_has_a_schema_that_its_example_follows() {
        let all = event_types();
        let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, EVENT_TYPES);
        for it in all {
            check(it, &it.example);
            assert!(!it.description.is_empty());
        }
    }

    #[test]
    fn every_stored_sample_of_a_type_follows_its_schema() {
        let all: BTreeMap<&str, &EventType> = event_types()
            .iter()
            .map(|it| (it.name.as_str(), it))
            .collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events");
        let mut checked = 0;
        for (name, version) in evenkeel_actors::catalogue::TYPES {
            let Some(it) = all.get(*name) else { continue };
            let file = folder.join(format!("{name}.v{version}.txt"));
            let text = std::fs::read_to_string(file).unwrap();
            for json in text.lines().skip(1).step_by(2) {
                let mut data: Map<String, Value> = serde_json::from_str(json).unwrap();
                let example = it.example["data"].as_object().unwrap();
                for field in ["position", "indexId", "indexName", "webhookId"] {
                    if let Some(value) = example.get(field) {
                        data.entry(field).or_insert_with(|| value.clone());
                    }
                }
                let at = &it.example["timestamp"];
                check(it, &json!({"type": name, "timestamp": at, "data": data}));
                checked += 1;
            }
        }
        assert!(checked >= EVENT_TYPES.len());
    }
}
