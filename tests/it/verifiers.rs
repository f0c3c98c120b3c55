//! Signatures checked by those who did not write them: the reference libraries, used as the page
//! for receivers (`docs/webhooks.md`) says. What is run is what stands there.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::inbox::Message;
use crate::python;

const PAGE: &str = include_str!("../../docs/webhooks.md");

/// After the page's block: a JSON value a line with a secret and a message, and whether it must be
/// accepted; fails on the first that is not so.
const PYTHON: &str = "
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    try:
        received(message['secret'], message['headers'], message['body'])
        accepted = True
    except Exception:
        accepted = False
    assert accepted == message['good'], message
print('verified')
";

/// The same in JavaScript.
const JAVASCRIPT: &str = r#"
for (const line of require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const message = JSON.parse(line);
  let accepted = true;
  try {
    received(message.secret, message.headers, message.body);
  } catch {
    accepted = false;
  }
  if (accepted !== message.good) throw new Error(line);
}
console.log("verified");
"#;

/// Whether a message is from evenkeel.
fn received(secret: &str, headers: &http::HeaderMap, body: &[u8]) -> bool {
    standardwebhooks::Webhook::new(secret)
        .is_ok_and(|webhook| webhook.verify(body, headers).is_ok())
}

/// Checks every message with the `standardwebhooks` packages of crates.io, `PyPI` and npm, and that
/// each of them refuses one with another body. `EVENKEEL_TEST_PYTHON` names a Python that has the
/// package, `EVENKEEL_TEST_NODE` a folder with its `node_modules`.
#[track_caller]
pub fn verify(secret: &str, messages: &[Message]) {
    for message in messages {
        assert!(
            received(secret, &message.headers, &message.body),
            "{message:?}"
        );
        let other = [&message.body[..], b" "].concat();
        assert!(!received(secret, &message.headers, &other), "{message:?}");
    }
    let lines: Vec<String> = messages
        .iter()
        .flat_map(|message| [line(secret, message, ""), line(secret, message, " ")])
        .collect();
    verify_in_python(&lines);
    verify_in_javascript(&lines);
}

/// A message as the scripts read it; with something added to its body it must be refused.
fn line(secret: &str, message: &Message, added: &str) -> String {
    let headers: serde_json::Map<_, _> = ["id", "timestamp", "signature"]
        .map(|name| format!("webhook-{name}"))
        .into_iter()
        .map(|name| (name.clone(), message.header(&name).into()))
        .collect();
    let body = std::str::from_utf8(&message.body).unwrap().to_owned() + added;
    json!({"secret": secret, "headers": headers, "body": body, "good": added.is_empty()})
        .to_string()
}

fn verify_in_python(lines: &[String]) {
    let Some(python) = python::with("standardwebhooks") else {
        return;
    };
    let script = block("python") + PYTHON;
    run(Command::new(&python).args(["-c", &script]), lines);
}

fn verify_in_javascript(lines: &[String]) {
    let Ok(folder) = std::env::var("EVENKEEL_TEST_NODE") else {
        println!(
            "not checked in JavaScript: EVENKEEL_TEST_NODE names no folder with standardwebhooks"
        );
        return;
    };
    let script = block("javascript") + JAVASCRIPT;
    run(
        Command::new("node")
            .args(["-e", &script])
            .current_dir(folder),
        lines,
    );
}

#[track_caller]
fn run(command: &mut Command, lines: &[String]) {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for line in lines {
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"verified\n", "{command:?}");
}

/// The page's block in a language.
#[track_caller]
fn block(language: &str) -> String {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    block.to_owned()
}

#[test]
fn the_page_shows_the_function_that_is_run() {
    assert!(include_str!("verifiers.rs").contains(&block("rust")));
}
