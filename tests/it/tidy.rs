//! Style as a test: crate edges, sizes of files and functions, names, and words that may not stand
//! anywhere.
//!
//! Every rule reads the sources as text and collects what it finds, so that one run names all of it.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file in lines. About 150 is the taste; at 400 a file wants to be split.
const FILE_LINES_MAX: usize = 500;

/// Longest function in lines, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, each with its reason.
const LONGER_FILES: [(&str, &str); 0] = [];

/// Functions that may be longer, as `file::function`, each with its reason.
const LONGER_FUNCTIONS: [(&str, &str); 0] = [];

/// Names that say nothing of what a file holds.
const EMPTY_NAMES: [&str; 10] = [
    "common", "data", "helper", "helpers", "info", "manager", "misc", "models", "util", "utils",
];

/// Folders that hold no sources of ours.
const SKIPPED_FOLDERS: [&str; 3] = ["target", ".git", "evenkeel-data"];

/// Files that are text and are read here.
const TEXT_ENDINGS: [&str; 10] = [
    "rs", "toml", "md", "yml", "yaml", "json", "js", "css", "html", "run",
];

/// Words that no file holds, in halves, so that they do not stand here either: folders of one
/// machine, and work that is put off.
const FORBIDDEN_WORDS: [[&str; 2]; 9] = [
    ["/ho", "me/"],
    ["/wo", "rk/"],
    ["/ro", "ot/"],
    ["/Use", "rs/"],
    ["TO", "DO"],
    ["FIX", "ME"],
    ["to", "do!("],
    ["unimple", "mented!("],
    ["d", "bg!("],
];

/// What the rules may not name: runtime, actors, storage, network, clocks, randomness.
const OUTSIDE_OF_DOMAIN: [&str; 17] = [
    "tokio::",
    "ractor::",
    "sled::",
    "warp::",
    "reqwest::",
    "hyper::",
    "tracing::",
    "getrandom::",
    "rand::",
    "std::fs",
    "std::net",
    "std::time",
    "std::thread",
    "std::env",
    "std::process",
    "Utc::now",
    "Local::now",
];

/// Which crates of the workspace a crate sees.
const EDGES: [(&str, &[&str]); 5] = [
    ("domain", &[]),
    ("events", &[]),
    ("snapshots", &[]),
    (
        "actors",
        &["evenkeel-domain", "evenkeel-events", "evenkeel-snapshots"],
    ),
    (
        "",
        &[
            "evenkeel-actors",
            "evenkeel-domain",
            "evenkeel-events",
            "evenkeel-snapshots",
        ],
    ),
];

/// Libraries that a crate may not depend on: each belongs to another layer.
const FOREIGN: [(&str, &[&str]); 4] = [
    (
        "domain",
        &[
            "tokio",
            "ractor",
            "sled",
            "warp",
            "reqwest",
            "hyper",
            "tracing",
            "getrandom",
            "bincode",
        ],
    ),
    ("events", &["ractor", "warp", "reqwest", "hyper", "chrono"]),
    (
        "snapshots",
        &["ractor", "warp", "reqwest", "hyper", "chrono", "bincode"],
    ),
    (
        "actors",
        &[
            "sled",
            "warp",
            "reqwest",
            "hyper",
            "bincode",
            "chrono",
            "getrandom",
        ],
    ),
];

/// Where a library may be named at all: behind one module, so that another can take its place.
const ONE_PLACE: [(&str, &[&str]); 5] = [
    ("bincode::", &["events/src/codec.rs"]),
    (
        "sled::",
        &[
            "events/src/sled_store/disk.rs",
            "snapshots/src/sled_store.rs",
            "snapshots/src/sled_store/pieces.rs",
        ],
    ),
    ("SystemTime::now", &["src/time.rs"]),
    ("getrandom::", &["src/time.rs"]),
    ("unsafe ", &["src/memory.rs"]),
];

struct Source {
    /// Relative to the workspace, with slashes.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension() == Some("rs".as_ref())
    }

    fn is_this_file(&self) -> bool {
        self.path == "tests/it/tidy.rs"
    }

    /// The part that is compiled into the program; all of it is a test in a file of tests.
    fn program(&self) -> &str {
        if self.is_test_file() {
            return "";
        }
        let end = self.text.find("#[cfg(test)]\nmod tests {");
        &self.text[..end.unwrap_or(self.text.len())]
    }

    fn tests(&self) -> &str {
        &self.text[self.program().len()..]
    }

    fn is_test_file(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let folder = |name: &str| {
            self.path.starts_with(&format!("{name}/")) || self.path.contains(&format!("/{name}/"))
        };
        folder("tests")
            || folder("benches")
            || matches!(name, "tests.rs" | "testing.rs" | "properties.rs")
            || name.ends_with("_tests.rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is readable") {
            let path = entry.expect("the entry is readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !SKIPPED_FOLDERS.contains(&&*name) {
                    folders.push(path);
                }
            } else if is_text(&path) {
                found.push(source(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

fn is_text(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = name.rsplit('.').next().unwrap_or_default();
    TEXT_ENDINGS.contains(&ending) || TEXT_ENDINGS.contains(&&*name)
}

fn source(path: &Path) -> Source {
    let relative: PathBuf = path.strip_prefix(root()).expect("it is below").to_owned();
    Source {
        path: relative.to_string_lossy().replace('\\', "/"),
        text: fs::read_to_string(path).expect("it is text"),
    }
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn files_are_short() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        let lines = source.text.lines().count();
        let excepted = LONGER_FILES.iter().any(|(path, _)| *path == source.path);
        if lines > FILE_LINES_MAX && !excepted {
            findings.push(format!(
                "{} has {lines} lines, at most {FILE_LINES_MAX}",
                source.path
            ));
        }
        if lines <= FILE_LINES_MAX && excepted {
            findings.push(format!("{} is short: drop its exception", source.path));
        }
    }
    assert_none(&findings);
}

#[test]
fn functions_are_short() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        for (name, first, lines) in functions(&source.text) {
            let full = format!("{}::{name}", source.path);
            let excepted = LONGER_FUNCTIONS.iter().any(|(known, _)| *known == full);
            if lines <= FUNCTION_LINES_MAX && excepted {
                findings.push(format!("{full} is short: drop its exception"));
            }
            if lines > FUNCTION_LINES_MAX && !excepted {
                let place = format!("{}:{first}", source.path);
                findings.push(format!(
                    "{place} {name} has {lines} lines, at most {FUNCTION_LINES_MAX}"
                ));
            }
        }
    }
    assert_none(&findings);
}

/// Name, first line and length of every function. The formatter puts the closing brace of a
/// function at the indentation of its signature, and nothing in between stands there alone.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let closing = format!("{indent}}}");
        let ends = |line: &&str| **line == closing || is_declaration(line, indent);
        let length = if line.ends_with('}') || line.ends_with(';') {
            1
        } else {
            lines[at..].iter().position(ends).map_or(0, |more| more + 1)
        };
        found.push((name, at + 1, length));
    }
    found
}

/// The last line of a signature without a body.
fn is_declaration(line: &str, indent: &str) -> bool {
    line.strip_prefix(indent)
        .is_some_and(|rest| rest.starts_with(')') && rest.ends_with(';'))
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let before = ["pub", "pub(crate)", "pub(super)", "async", "const"];
    let word = words.find(|word| !before.contains(word))?;
    let name = words.next().filter(|_| word == "fn")?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(name[..end].to_owned())
}

#[test]
fn functions_are_measured_from_signature_to_brace() {
    let text = "impl A {\n    pub(crate) async fn one(\n        a: u8,\n    ) -> u8 {\n        if a {\n        }\n    }\n\n    fn two();\n    fn three() {}\n}\n\nfn four<T>() {\n}\n";
    let found = functions(text);
    let expected = [
        ("one", 2, 6),
        ("two", 9, 1),
        ("three", 10, 1),
        ("four", 13, 2),
    ];
    let expected = expected.map(|(name, first, lines)| (name.to_owned(), first, lines));
    assert_eq!(found, expected);
}

#[test]
fn names_say_what_a_file_holds() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        let stem = source.path.trim_end_matches(".rs");
        if let Some(name) = stem.split('/').find(|part| EMPTY_NAMES.contains(part)) {
            findings.push(format!("{}: {name} says nothing", source.path));
        }
    }
    assert_none(&findings);
}

#[test]
fn no_forbidden_word_stands_anywhere() {
    let words: Vec<String> = FORBIDDEN_WORDS
        .iter()
        .map(|halves| halves.concat())
        .collect();
    let mut findings = Vec::new();
    for source in sources() {
        for (at, line) in source.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(*word)) {
                findings.push(format!("{}:{} holds {word:?}", source.path, at + 1));
            }
        }
    }
    assert_none(&findings);
}

/// A test that sleeps is slow and still wrong on a busy machine: it waits for what it expects.
#[test]
fn tests_wait_for_what_they_expect_and_never_sleep() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        let before = source.program().lines().count();
        let is_sleep = |line: &str| line.contains("sleep(") && !source.is_this_file();
        for (at, _) in source
            .tests()
            .lines()
            .enumerate()
            .filter(|(_, line)| is_sleep(line))
        {
            findings.push(format!("{}:{} sleeps", source.path, before + at + 1));
        }
    }
    assert_none(&findings);
}

#[test]
fn crates_see_what_lies_below_them() {
    let mut findings = Vec::new();
    for (folder, allowed) in EDGES {
        for name in dependencies(folder) {
            if name.starts_with("evenkeel-") && !allowed.contains(&&*name) {
                findings.push(format!("{folder:?} sees {name}"));
            }
        }
    }
    for (folder, foreign) in FOREIGN {
        for name in dependencies(folder) {
            if foreign.contains(&&*name) {
                findings.push(format!("{folder:?} depends on {name}"));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn every_dependency_is_used() {
    let mut findings = Vec::new();
    let sources = sources();
    for (folder, _) in EDGES {
        let below = Path::new(folder).join("src").to_string_lossy().into_owned();
        let own = || sources.iter().filter(|s| s.path.starts_with(&below));
        for name in dependencies(folder) {
            let module = name.replace('-', "_");
            if !own().any(|source| source.program().contains(&module)) {
                findings.push(format!("{folder:?} depends on {name} and does not use it"));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn the_readme_shows_every_key_with_its_default() {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    let mut findings = Vec::new();
    for key in evenkeel::config::keys::KEYS {
        let default = match key.default {
            "" => String::new(),
            text => format!("`{text}`"),
        };
        let row = format!("| `{}` | `{}` | {default} |", key.name, key.env);
        if !readme.contains(&row) {
            findings.push(format!("README.md lacks the row {row}"));
        }
    }
    assert_none(&findings);
}

/// Names of what a crate is built from; what only its tests need is left out.
fn dependencies(folder: &str) -> Vec<String> {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(path).expect("a crate has a manifest");
    let manifest: toml::Table = text.parse().expect("a manifest is TOML");
    ["dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|section| manifest.get(section)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

#[test]
fn the_rules_touch_nothing_outside() {
    let mut findings = Vec::new();
    let is_rule = |source: &&Source| source.path.starts_with("domain/src/");
    for source in sources().iter().filter(is_rule) {
        for (at, line) in source.program().lines().enumerate() {
            let line = code(line);
            for word in OUTSIDE_OF_DOMAIN
                .iter()
                .filter(|word| line.contains(**word))
            {
                findings.push(format!("{}:{} names {word}", source.path, at + 1));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn what_may_be_replaced_stands_behind_one_module() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust()) {
        for (word, places) in ONE_PLACE {
            if places.contains(&&*source.path) {
                continue;
            }
            for (at, line) in source.program().lines().enumerate() {
                if code(line).contains(word) {
                    findings.push(format!("{}:{} names {word}", source.path, at + 1));
                }
            }
        }
    }
    assert_none(&findings);
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}
