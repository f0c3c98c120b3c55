//! Signatures checked by those who did not write them: the reference libraries.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::inbox::Message;

/// Reads a secret and messages as one JSON value a line; fails on the first bad signature.
const SCRIPT: &str = "
import json, sys
from standardwebhooks.webhooks import Webhook
for line in sys.stdin:
    message = json.loads(line)
    Webhook(message['secret']).verify(message['body'], message['headers'])
print('verified')
";

/// Checks every message with the `standardwebhooks` package of crates.io, and with that of
/// `PyPI` where there is one: `EVENKEEL_TEST_PYTHON` names a Python that has it.
#[track_caller]
pub fn verify(secret: &str, messages: &[Message]) {
    let webhook = standardwebhooks::Webhook::new(secret).unwrap();
    for message in messages {
        let verified = webhook.verify(&message.body, &message.headers);
        assert!(verified.is_ok(), "{verified:?}: {message:?}");
    }
    verify_in_python(secret, messages);
}

fn verify_in_python(secret: &str, messages: &[Message]) {
    let named = std::env::var("EVENKEEL_TEST_PYTHON").ok();
    let python = named.clone().unwrap_or_else(|| "python3".to_owned());
    if named.is_none() && !has_package(&python) {
        println!("not checked in Python: EVENKEEL_TEST_PYTHON names none with standardwebhooks");
        return;
    }
    let mut child = Command::new(&python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for message in messages {
        let headers: serde_json::Map<_, _> = ["id", "timestamp", "signature"]
            .map(|name| format!("webhook-{name}"))
            .into_iter()
            .map(|name| (name.clone(), message.header(&name).into()))
            .collect();
        let body = std::str::from_utf8(&message.body).unwrap();
        let line = json!({"secret": secret, "headers": headers, "body": body});
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"verified\n", "{python} refused a signature");
}

fn has_package(python: &str) -> bool {
    let tried = Command::new(python)
        .args(["-c", "import standardwebhooks"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}
