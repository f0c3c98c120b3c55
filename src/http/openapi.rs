//! The API's description, OpenAPI 3.1: paths, methods, parameters of paths, scopes and headers are
//! those of the route table; what operations are called, what they take and what they answer stands
//! in `openapi/operations.json` and `openapi/schemas.json`. End-to-end tests hold every answer that
//! they get against it, and no route is without its entry.
//!
//! ```text
//! route table ─┐
//! operations   ├─► document ─► /api/openapi.json, docs/openapi.json ─► /docs
//! schemas     ─┘
//! ```

use std::collections::BTreeMap;
use std::sync::LazyLock;

use evenkeel_domain::access::Scope;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::gate::scope_name;
use super::router::Access;
use super::routes;

/// The page that shows the description. It loads nothing from elsewhere.
pub const REFERENCE: &str = include_str!("openapi/reference.html");

const OPERATIONS: &str = include_str!("openapi/operations.json");
const SCHEMAS: &str = include_str!("openapi/schemas.json");

/// What the route table does not say of an operation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    tag: String,
    #[serde(default)]
    query: Vec<Query>,
    #[serde(default)]
    body: Option<String>,
    answers: BTreeMap<String, Option<Shape>>,
    #[serde(default)]
    links: BTreeMap<String, Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    name: String,
    schema: Value,
}

/// What an answer holds.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Shape {
    /// A schema.
    One(String),
    /// A page of a schema, with more fields beside.
    Page {
        list: String,
        #[serde(default)]
        more: Map<String, Value>,
    },
    /// Something else than JSON of a known shape.
    Other {
        #[serde(rename = "type")]
        media_type: String,
    },
}

/// The description as it is served.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| written(&operations()));
    &DOCUMENT
}

/// Ours, and read by a test.
fn operations() -> Vec<Operation> {
    serde_json::from_str(OPERATIONS).unwrap_or_default()
}

fn written(operations: &[Operation]) -> Value {
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for row in routes::table() {
        let is_it = |it: &&Operation| it.method == row.method.as_str() && it.path == row.path;
        if let Some(operation) = operations.iter().find(is_it) {
            let scope = match row.access {
                Access::Needs(scope, _) => Some(scope),
                Access::Open(_) | Access::Linked(_) => None,
            };
            let methods = paths.entry(row.path).or_default();
            let method = row.method.as_str().to_ascii_lowercase();
            let described = described(operation, &row.method, scope, &schemas);
            methods.insert(method, described);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "evenkeel",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Index portfolios, kept on target. Decimals are strings, times are UTC. \
                            Whatever is not a success is problem details (RFC 9457) with a stable code.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn described(
    operation: &Operation,
    method: &Method,
    scope: Option<Scope>,
    schemas: &Value,
) -> Value {
    let mut answers: Map<String, Value> = Map::new();
    for (status, shape) in &operation.answers {
        answers.insert(status.clone(), answer(operation, status, shape.as_ref()));
    }
    answers.insert("default".to_owned(), problem());
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": parameters(operation, method, scope),
        "responses": answers,
        "security": scope.map_or_else(Vec::new, |_| vec![json!({"token": []})]),
    });
    if let Some(scope) = scope {
        let needs = format!("Needs a token with the scope `{}`.", scope_name(scope));
        described["description"] = json!(needs);
    }
    if let Some(body) = &operation.body {
        let schema = json!({"schema": reference(body)});
        described["requestBody"] = json!({"content": {"application/json": schema}});
        // Where every field may be missing, so may the body.
        described["requestBody"]["required"] = json!(is_required(&schemas[body]));
    }
    described
}

/// Whether a schema refuses the empty object.
fn is_required(schema: &Value) -> bool {
    schema.get("anyOf").is_some() || schema.get("required").is_some()
}

fn parameters(operation: &Operation, method: &Method, scope: Option<Scope>) -> Vec<Value> {
    let places = operation.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        let schema = place(&operation.path, name);
        Some(json!({"name": name, "in": "path", "required": true, "schema": schema}))
    });
    let query = operation.query.iter().map(|it| {
        let Query { name, schema } = it;
        json!({"name": name, "in": "query", "schema": schema})
    });
    let mut all: Vec<Value> = places.chain(query).collect();
    if *method == Method::POST && scope.is_some() {
        let schema = json!({"type": "string", "pattern": "^[\\t -~]{1,255}$"});
        all.push(json!({
            "name": "Idempotency-Key", "in": "header", "schema": schema,
            "description": "With the same key the same request is answered, not done, again.",
        }));
    }
    let is_versioned = ["/api/indexes/{id}", "/api/webhooks/{id}"].contains(&&*operation.path);
    if *method == Method::PUT && is_versioned {
        let schema =
            json!({"type": "string", "minLength": 1, "pattern": "^(\\*|\"[0-9]{1,18}\")$"});
        all.push(json!({
            "name": "If-Match", "in": "header", "schema": schema,
            "description": "The ETag of the version that shall be changed.",
        }));
    }
    all
}

/// What stands in a place of a path.
fn place(path: &str, name: &str) -> Value {
    match name {
        "rid" => reference("RebalanceId"),
        "owner" => reference("OwnerId"),
        "webhook" => reference("WebhookId"),
        "asset" => reference("Asset"),
        "id" if path.contains("/tokens/") => reference("TokenId"),
        "id" if path.starts_with("/api/webhooks/") => reference("WebhookId"),
        "id" => reference("IndexId"),
        _ => json!({"type": "string", "minLength": 1}),
    }
}

fn answer(operation: &Operation, status: &str, shape: Option<&Shape>) -> Value {
    let mut answer = json!({"description": operation.summary});
    let (media_type, schema) = match shape {
        None => return answer,
        Some(Shape::One(name)) => ("application/json", reference(name)),
        Some(Shape::Page { list, more }) => ("application/json", page(list, more)),
        Some(Shape::Other { media_type }) => (media_type.as_str(), json!({})),
    };
    answer["content"] = json!({media_type: {"schema": schema}});
    if status == "201" {
        let links = operation.links.iter().map(|(to, parameters)| {
            let link = json!({"operationId": to, "parameters": parameters});
            (to.clone(), link)
        });
        answer["links"] = links.collect::<Map<_, _>>().into();
    }
    answer
}

fn page(list: &str, more: &Map<String, Value>) -> Value {
    let mut properties = more.clone();
    let items = json!({"type": "array", "items": reference(list)});
    properties.insert("items".to_owned(), items);
    let next = json!({"type": ["string", "null"], "description": "The cursor of the next page."});
    properties.insert("next".to_owned(), next);
    let required: Vec<&String> = properties.keys().collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn problem() -> Value {
    let schema = json!({"schema": reference("Problem")});
    json!({
        "description": "Refused, or not possible now.",
        "content": {"application/problem+json": schema},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let operations: Vec<Operation> = serde_json::from_str(OPERATIONS).unwrap();
        let described = operations
            .iter()
            .map(|it| format!("{} {}", it.method, it.path));
        let described: BTreeSet<String> = described.collect();
        let routed = routes::table()
            .into_iter()
            .map(|row| format!("{} {}", row.method, row.path));
        assert_eq!(described, routed.collect());
        let ids: BTreeSet<&str> = operations.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids.len(), operations.len(), "an id stands twice");
        for operation in &operations {
            assert!(operation.links.keys().all(|to| ids.contains(to.as_str())));
        }
    }

    #[test]
    fn every_schema_is_there_and_is_used() {
        let text = document().to_string();
        let schemas = document()["components"]["schemas"].as_object().unwrap();
        let named = text.split("#/components/schemas/").skip(1);
        let named: BTreeSet<&str> = named.map(|rest| &rest[..rest.find('"').unwrap()]).collect();
        assert_eq!(named, schemas.keys().map(String::as_str).collect());
    }

    /// `EVENKEEL_WRITE_OPENAPI=1 cargo test openapi` writes it.
    #[test]
    fn the_file_is_the_description() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let text = format!("{:#}\n", document());
        if std::env::var_os("EVENKEEL_WRITE_OPENAPI").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).is_ok_and(|stored| stored == text),
            "docs/openapi.json is not what the server says: EVENKEEL_WRITE_OPENAPI=1 cargo test openapi"
        );
    }
}
