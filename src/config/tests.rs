use super::*;
use std::collections::BTreeMap;
use std::io::Write as _;

use evenkeel_domain::values::Span;

use crate::venues::{FeeIn, IdRule};

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn from_env(pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::load(&Inputs {
        env: env(pairs),
        ..Inputs::default()
    })
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn from_file(text: &str) -> Result<Config, String> {
    let file = file(text);
    let inputs = Inputs {
        file: Some(file.path().to_owned()),
        ..Inputs::default()
    };
    let path = file.path().display().to_string();
    Config::load(&inputs).map_err(|errors| errors.to_string().replace(&path, "FILE"))
}

#[test]
fn nothing_has_to_be_set() {
    let config = from_env(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(config.prices, PriceSource::Push);
    assert_eq!(config.stop_deadline, Duration::from_secs(10));
    assert_eq!(config.price_guard.max_age, Span::from_hours(24));
    assert!(config.drift_monitor.enabled && config.warnings().is_empty());
    let settings = config.settings();
    assert_eq!(settings.guard, Settings::default().guard);
    assert_eq!(settings.snapshots, Settings::default().snapshots);
    assert_eq!(settings.drift_schedule, None);
    assert_eq!(settings.drift_enabled, None);
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file =
        file("listen = \"127.0.0.1:1\"\ndata = \"from-file\"\n[drift_monitor]\nenabled = false\n");
    let mut inputs = Inputs {
        file: Some(file.path().to_owned()),
        ..Inputs::default()
    };
    let listen = |inputs: &Inputs| Config::load(inputs).unwrap().listen.port();
    assert_eq!(listen(&Inputs::default()), 3000);
    assert_eq!(listen(&inputs), 1);
    inputs.env = env(&[("EVENKEEL_LISTEN", "127.0.0.1:2")]);
    assert_eq!(listen(&inputs), 2);
    inputs.flags = vec![(&keys::LISTEN, "127.0.0.1:3".to_owned())];
    assert_eq!(listen(&inputs), 3);
    let config = Config::load(&inputs).unwrap();
    assert_eq!(config.data, PathBuf::from("from-file"));
    assert_eq!(config.settings().drift_enabled, Some(false));
    assert_eq!(config.settings().drift_schedule, None);
}

#[test]
fn switches_are_taken_as_people_write_them() {
    for (text, expected) in [
        ("1", Some(true)),
        ("yes", Some(true)),
        ("ON", Some(true)),
        ("True", Some(true)),
        ("0", Some(false)),
        ("no", Some(false)),
        ("off", Some(false)),
        ("false", Some(false)),
        ("", None),
        ("2", None),
        ("maybe", None),
    ] {
        let read = from_env(&[("DRIFT_MONITOR_ENABLED", text)]);
        assert_eq!(
            read.ok().map(|config| config.drift_monitor.enabled),
            expected,
            "{text:?}"
        );
    }
}

/// Variable, key, and a value that is wrong there.
const WRONG: &[(&str, &str, &str)] = &[
    ("EVENKEEL_LISTEN", "listen", "localhost"),
    ("EVENKEEL_DATA", "data", ""),
    ("EVENKEEL_PRICES", "prices", "ftp:x"),
    ("EVENKEEL_PRICES", "prices", "csv:"),
    ("EVENKEEL_PRICES", "prices", "http:file:///etc/passwd"),
    ("EVENKEEL_STOP_DEADLINE", "stop_deadline", "11m"),
    (
        "DRIFT_MONITOR_SCHEDULE",
        "drift_monitor.schedule",
        "* * * * * *",
    ),
    (
        "DRIFT_MONITOR_SCHEDULE",
        "drift_monitor.schedule",
        "60 * * * *",
    ),
    (
        "DRIFT_MONITOR_SCHEDULE",
        "drift_monitor.schedule",
        "0 0 31 2 *",
    ),
    (
        "DRIFT_MONITOR_TIMEZONE",
        "drift_monitor.timezone",
        "Mars/Olympus",
    ),
    (
        "EVENKEEL_WEBHOOKS_ALLOW_NETWORKS",
        "webhooks.allow_networks",
        "10.0.0.0/8,10.0.0.0/99",
    ),
    ("EVENKEEL_PAPER_FEE_PERCENT", "paper.fee_percent", "-1"),
    (
        "EVENKEEL_PAPER_SLIPPAGE_PERCENT",
        "paper.slippage_percent",
        "100",
    ),
    ("EVENKEEL_PAPER_LOT_STEP", "paper.lot_step", "0"),
    ("EVENKEEL_PAPER_FEE_IN", "paper.fee_in", "gold"),
    ("EVENKEEL_PAPER_CLIENT_IDS", "paper.client_ids", "never"),
    (
        "EVENKEEL_PRICE_GUARD_MAX_JUMP_PERCENT",
        "price_guard.max_jump_percent",
        "0",
    ),
    ("EVENKEEL_PRICE_GUARD_MAX_AGE", "price_guard.max_age", "24"),
    ("EVENKEEL_CSV_ROWS_PER_MINUTE", "csv.rows_per_minute", "0"),
    ("EVENKEEL_HTTP_POINTER", "http.pointer", "/price"),
    ("EVENKEEL_LOG", "log.level", "loud"),
    ("EVENKEEL_LOG_FORMAT", "log.format", "xml"),
    (
        "EVENKEEL_LIMITS_SNAPSHOT_EVERY",
        "limits.snapshot_every",
        "-3",
    ),
    (
        "EVENKEEL_LIMITS_ORDERS_IN_FLIGHT",
        "limits.orders_in_flight",
        "0",
    ),
    (
        "EVENKEEL_LIMITS_ORDER_LIFETIME",
        "limits.order_lifetime",
        "1d",
    ),
];

#[test]
fn every_wrong_value_is_told_with_key_source_and_what_is_allowed() {
    for (name, key, value) in WRONG.iter().copied() {
        let told = from_env(&[(name, value)]).unwrap_err().to_string();
        let expected = format!("{key} (from {name}): {value:?} is wrong: ");
        assert!(
            told.starts_with(&expected) && told.contains("; allowed: "),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let two = [("EVENKEEL_LISTEN", "x"), ("EVENKEEL_LOG", "x")];
    assert_eq!(from_env(&two).unwrap_err().0.len(), 2);
}

#[test]
fn a_file_is_toml_of_known_keys() {
    let config = from_file(
        "prices = \"csv:prices.csv\"\n[webhooks]\nallow_networks = [\"127.0.0.0/8\", \"::1\"]\nallow_http = true\n\
         [paper]\nfee_percent = 0.1\nfee_in = \"base\"\nclient_ids = \"open\"\n[csv]\nrows_per_minute = 120\n",
    )
    .unwrap();
    assert_eq!(config.prices, PriceSource::Csv("prices.csv".into()));
    assert_eq!(config.webhooks.allow_networks.len(), 2);
    assert_eq!(config.paper.fee.to_string(), "0.1");
    assert_eq!(config.paper.fee_in, FeeIn::Base);
    assert_eq!(config.paper.ids, IdRule::UniqueAmongOpen);
    assert_eq!(config.csv.rows_per_minute, 120);
    for (text, told) in [
        (
            "lisen = 1",
            "FILE: there is no key \"lisen\"; known are: data, listen",
        ),
        (
            "[webhooks]\nallow = 1",
            "FILE: there is no key \"webhooks.allow\"; known are: webhooks.allow_networks",
        ),
        (
            "[nothing]\nx = 1",
            "FILE: there is no key \"nothing.x\"; known are: data",
        ),
        ("webhooks = 1", "FILE: there is no key \"webhooks\""),
        ("listen = ", "FILE: "),
        (
            "listen = 2020-01-01",
            "listen (from FILE): a datetime is wrong",
        ),
        ("listen = [1]", "listen (from FILE): a array is wrong"),
        ("listen = \"x\"", "listen (from FILE): \"x\" is wrong"),
    ] {
        let error = from_file(text).unwrap_err();
        assert!(error.starts_with(told), "{error}");
    }
    let gone = Inputs {
        file: Some("/nowhere/at/all".into()),
        ..Inputs::default()
    };
    assert!(
        Config::load(&gone)
            .unwrap_err()
            .to_string()
            .starts_with("/nowhere/at/all: ")
    );
}

#[test]
fn secrets_come_from_files_too_and_are_never_shown() {
    let secret = file("X-Key: s3cret\n");
    let path = secret.path().display().to_string();
    let config = from_env(&[("EVENKEEL_HTTP_HEADER_FILE", &path)]).unwrap();
    let (name, value) = config.http.header.clone().unwrap();
    assert_eq!(
        (name.as_str(), value.to_str().unwrap()),
        ("x-key", "s3cret")
    );
    assert!(config.warnings().is_empty());
    let shown = format!("{} {config:?}", config.print());
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(
        config
            .print()
            .contains("header = \"(hidden)\"  # EVENKEEL_HTTP_HEADER_FILE")
    );
    let wrong = from_env(&[("EVENKEEL_HTTP_HEADER", "s3cret")])
        .unwrap_err()
        .to_string();
    assert!(
        wrong.contains("http.header") && !wrong.contains("s3cret"),
        "{wrong}"
    );
    let url = "http:https://user:pw@host/prices?apikey=s3cret";
    let print = from_env(&[("EVENKEEL_PRICES", url)]).unwrap().print();
    assert!(
        print.contains("prices = \"http:https://host/prices?(hidden)\""),
        "{print}"
    );
}

#[test]
fn what_is_printed_can_be_read_again() {
    let config = from_env(&[("DRIFT_MONITOR_SCHEDULE", "0 9 * * 1-5")]).unwrap();
    let again = from_file(&config.print()).unwrap();
    assert_eq!(again.drift_monitor, config.drift_monitor);
    assert_eq!(again.listen, config.listen);
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let config = from_env(&[
        ("EVENKEEL_LISTNE", "x"),
        ("EVENKEEL_URL", "x"),
        ("HOME", "/"),
    ])
    .unwrap();
    assert_eq!(config.warnings().len(), 1);
    assert!(config.warnings()[0].contains("EVENKEEL_LISTNE"));
}
