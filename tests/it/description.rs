//! The API's description: every answer that any test here gets is held against it, and nothing that
//! clients rely on may go from it.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::api::Answer;
use crate::home::Home;

const DOCUMENT: &str = include_str!("../../docs/openapi.json");

/// As it was when clients were first told to rely on it. Whatever is added since is added here
/// too, when it is released; nothing is taken away.
const RELEASED: &str = include_str!("../golden/openapi.json");

/// The schemas of all answers.
struct Described {
    document: Value,
    schemas: Mutex<(Schemas, BTreeMap<String, SchemaIndex>)>,
}

static DESCRIBED: LazyLock<Described> = LazyLock::new(|| Described {
    document: serde_json::from_str(DOCUMENT).unwrap(),
    schemas: Mutex::new((Schemas::new(), BTreeMap::new())),
});

/// The description.
pub fn document() -> &'static Value {
    &DESCRIBED.document
}

/// Asserts that an answer is one that the description names, in the form that it names.
#[track_caller]
pub fn check(method: &str, path: &str, answer: &Answer) {
    let method = match method {
        "HEAD" | "OPTIONS" => return,
        method => method.to_ascii_lowercase(),
    };
    let Some(template) = template(path, &method) else {
        assert!(answer.status >= 400, "{method} {path} is not described");
        return;
    };
    let responses = &DESCRIBED.document["paths"][template][&method]["responses"];
    let status = answer.status.to_string();
    let status = if responses.get(&status).is_some() {
        status
    } else {
        assert!(
            answer.status >= 400,
            "{method} {path}: {status} is not described"
        );
        "default".to_owned()
    };
    let Some(content) = responses[&status]["content"].as_object() else {
        assert!(answer.body.is_empty(), "{method} {path}: {answer:?}");
        return;
    };
    let (media_type, _) = content.iter().next().unwrap();
    let told = answer.header("content-type");
    assert!(told.starts_with(media_type), "{method} {path}: {told}");
    if media_type.ends_with("json") {
        let place = [
            "paths",
            template,
            &method,
            "responses",
            &status,
            "content",
            media_type,
            "schema",
        ];
        valid(&place, &answer.json(), &format!("{method} {path}"));
    }
}

/// The path of the description that a request's path is of.
fn template(path: &str, method: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |template: &str| {
        let (mut wanted, mut given) = (template.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given)) if wanted == given => {}
                (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
                _ => return false,
            }
        }
    };
    let paths = DESCRIBED.document["paths"].as_object().unwrap();
    let found = paths
        .iter()
        .filter(|(template, methods)| fits(template) && methods.get(method).is_some());
    // Of `/events/stream` and `/events/{id}` the one with fewer places is meant.
    let found = found.map(|(template, _)| template.as_str());
    found.min_by_key(|template| template.matches('{').count())
}

#[track_caller]
fn valid(place: &[&str], body: &Value, what: &str) {
    let escaped = |part: &&str| {
        let part = part.replace('~', "~0").replace('/', "~1");
        part.replace('{', "%7B").replace('}', "%7D")
    };
    let pointer: Vec<String> = place.iter().map(escaped).collect();
    let location = format!("http://described/openapi.json#/{}", pointer.join("/"));
    let schemas = DESCRIBED.schemas.lock();
    let mut schemas = schemas.unwrap_or_else(PoisonError::into_inner);
    let (schemas, known) = &mut *schemas;
    let index = *known.entry(location).or_insert_with_key(|location| {
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        let document = DESCRIBED.document.clone();
        compiler
            .add_resource("http://described/openapi.json", document)
            .unwrap();
        compiler.compile(location, schemas).unwrap()
    });
    let found = schemas
        .validate(body, index)
        .map_err(|error| error.to_string());
    assert!(found.is_ok(), "{what}: {}\n{body}", found.unwrap_err());
}

/// What a client of `old` could no longer do with `new`.
fn broken(old: &Value, new: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, methods) in old["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let now = &new["paths"][path][method];
            let what = format!("{method} {path}");
            if now.is_null() {
                broken.push(format!("{what} is gone"));
                continue;
            }
            for status in operation["responses"].as_object().unwrap().keys() {
                if now["responses"][status].is_null() {
                    broken.push(format!("{what} answers no {status} any more"));
                }
            }
            for parameter in now["parameters"].as_array().unwrap() {
                let was = operation["parameters"].as_array().unwrap();
                let is_new = !was.iter().any(|it| it["name"] == parameter["name"]);
                if is_new && parameter["required"] == true {
                    broken.push(format!("{what} demands {}", parameter["name"]));
                }
            }
        }
    }
    let takes = taken(old);
    for (name, schema) in old["components"]["schemas"].as_object().unwrap() {
        let now = &new["components"]["schemas"][name];
        narrowed(name, schema, now, takes.contains(name), &mut broken);
    }
    broken
}

/// The schemas of what is taken: those of request bodies, and what they are made of.
fn taken(document: &Value) -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    let mut open: Vec<Value> = Vec::new();
    for methods in document["paths"].as_object().unwrap().values() {
        let operations = methods.as_object().unwrap().values();
        open.extend(operations.map(|operation| operation["requestBody"].clone()));
    }
    while let Some(part) = open.pop() {
        for named in part.to_string().split("#/components/schemas/").skip(1) {
            let name = named[..named.find('"').unwrap()].to_owned();
            if found.insert(name.clone()) {
                open.push(document["components"]["schemas"][&name].clone());
            }
        }
    }
    found
}

/// An answer must keep its fields; a request may demand no more, and know all the words it knew.
fn narrowed(at: &str, old: &Value, new: &Value, is_taken: bool, broken: &mut Vec<String>) {
    let names = |schema: &Value| -> Vec<String> {
        let all = schema["required"].as_array().cloned().unwrap_or_default();
        all.iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let (must, needs) = (names(old), names(new));
    if is_taken {
        let more = needs.iter().filter(|name| !must.contains(name));
        broken.extend(more.map(|name| format!("{at} demands {name}")));
        let words = |schema: &Value| schema["enum"].as_array().cloned().unwrap_or_default();
        let fewer = words(old)
            .into_iter()
            .filter(|word| !words(new).contains(word));
        broken.extend(fewer.map(|word| format!("{at} no longer knows {word}")));
    } else {
        let less = must.iter().filter(|name| !needs.contains(name));
        broken.extend(less.map(|name| format!("{at} lacks {name}")));
    }
    if old["type"] != new["type"] {
        broken.push(format!("{at} is {}, and was {}", new["type"], old["type"]));
    }
    for (name, field) in old["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match new["properties"].get(name) {
            Some(now) => narrowed(&at, field, now, is_taken, broken),
            None => broken.push(format!("{at} is gone")),
        }
    }
    if old.get("items").is_some() {
        narrowed(
            &format!("{at}[]"),
            &old["items"],
            &new["items"],
            is_taken,
            broken,
        );
    }
}

#[test]
fn nothing_that_clients_rely_on_has_gone() {
    let released = serde_json::from_str(RELEASED).unwrap();
    assert_eq!(broken(&released, &DESCRIBED.document), Vec::<String>::new());
}

#[test]
fn a_breaking_change_is_found() {
    let released: Value = serde_json::from_str(RELEASED).unwrap();
    let schema = |name: &str| format!("/components/schemas/{name}");
    let changes = [
        ("/paths", json!({}), "is gone"),
        (
            "/paths/~1api~1indexes/post/responses",
            json!({}),
            "answers no 201",
        ),
        (
            &*(schema("Index") + "/required"),
            json!([]),
            "lacks indexId",
        ),
        (
            &*(schema("Index") + "/properties/cash"),
            json!({"type": "number"}),
            "Index.cash is",
        ),
        (
            &*(schema("IndexInput") + "/required"),
            json!(["name", "constituents", "tags"]),
            "demands tags",
        ),
        (
            &*(schema("TradingInput") + "/properties/mode/enum"),
            json!(["ACTIVE"]),
            "no longer knows",
        ),
    ];
    for (pointer, value, told) in changes {
        let mut other = released.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        let broken = broken(&released, &other);
        assert!(
            broken.iter().any(|line| line.contains(told)),
            "{pointer}: {broken:?}"
        );
    }
    let mut wider = released.clone();
    wider["components"]["schemas"]["Index"]["properties"]["note"] = json!({"type": "string"});
    assert!(broken(&released, &wider).is_empty());
}

#[tokio::test]
async fn the_server_describes_itself_and_shows_it_without_help_from_elsewhere() {
    let home = Home::new();
    let server = home.serve();
    let stranger = server.admin.with_token(None);
    let told = stranger.get("/api/openapi.json").await.fine();
    assert!(
        told == DESCRIBED.document,
        "docs/openapi.json is something else"
    );
    let page = stranger.get("/docs").await;
    let html = String::from_utf8_lossy(&page.body).into_owned();
    assert!(html.contains("/api/openapi.json"));
    for elsewhere in ["http://", "https://", "src="] {
        assert!(!html.contains(elsewhere), "{elsewhere}");
    }
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );
    server.stop().await;
}
