//! The configuration as TOML, with the source of each value and without secrets.

use std::fmt::Write as _;

use url::Url;

use super::keys::{KEYS, Key, PRICES};
use super::layers::Layers;

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";

/// All values as TOML that could be read again, were it not for what is hidden.
pub(super) fn print(layers: &Layers) -> String {
    let (mut out, mut section) = (String::new(), "");
    for key in KEYS {
        let (of, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        // Writing into a String cannot fail.
        if of != section {
            let _ = writeln!(out, "\n[{of}]");
            section = of;
        }
        // A JSON string is a TOML string too.
        let value = serde_json::Value::from(shown(key, layers.text(key)));
        let _ = writeln!(out, "{name} = {value}  # {}", layers.source(key));
    }
    out
}

fn shown(key: &Key, text: &str) -> String {
    if key.secret && !text.is_empty() {
        HIDDEN.to_owned()
    } else if *key == PRICES {
        without_credentials(text)
    } else {
        text.to_owned()
    }
}

/// A feed's URL can carry a key in its query or a password before its host.
fn without_credentials(text: &str) -> String {
    let url = text
        .strip_prefix("http:")
        .and_then(|url| Url::parse(url).ok());
    let Some(url) = url else {
        return text.to_owned();
    };
    let secret = url.query().is_some() || url.password().is_some() || !url.username().is_empty();
    if !secret {
        return text.to_owned();
    }
    let host = url.host_str().unwrap_or_default();
    format!("http:{}://{host}{}?{HIDDEN}", url.scheme(), url.path())
}
