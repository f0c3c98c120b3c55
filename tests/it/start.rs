//! What keeps the program from starting: one line that says what, and an exit code.

use serde_json::Value;

use crate::home::{Home, write};

/// A variable, a wrong value, and a word of what is allowed.
const WRONG: [(&str, &str, &str); 14] = [
    ("DRIFT_MONITOR_ENABLED", "perhaps", "true"),
    ("DRIFT_MONITOR_SCHEDULE", "* * * * * *", "five fields"),
    ("DRIFT_MONITOR_SCHEDULE", "60 * * * *", "five fields"),
    ("DRIFT_MONITOR_SCHEDULE", "invalid", "five fields"),
    ("DRIFT_MONITOR_SCHEDULE", "0 0 31 2 *", "five fields"),
    ("DRIFT_MONITOR_SCHEDULE", "", "five fields"),
    ("EVENKEEL_LISTEN", "3000", "address"),
    ("EVENKEEL_PRICES", "carrier-pigeon", "push"),
    ("EVENKEEL_PRICES", "http:ftp://x", "push"),
    (
        "EVENKEEL_WEBHOOKS_ALLOW_NETWORKS",
        "127.0.0.0/33",
        "networks",
    ),
    ("EVENKEEL_PAPER_FEE_PERCENT", "-1", "decimal"),
    ("EVENKEEL_PAPER_LOT_STEP", "0", "greater than 0"),
    ("EVENKEEL_STOP_DEADLINE", "11m", "10m"),
    ("EVENKEEL_DATA", "", "directory"),
];

#[test]
fn a_wrong_value_is_one_line_that_names_key_value_and_what_is_allowed() {
    for (name, value, allowed) in WRONG {
        for command in [["serve"].as_slice(), &["demo"], &["config", "check"]] {
            let ended = Home::new().env(name, value).run(command);
            assert_eq!(ended.code, Some(2), "{name}={value}: {ended:?}");
            assert_eq!(ended.stdout, "", "{name}={value}");
            let lines: Vec<_> = ended.stderr.lines().collect();
            assert_eq!(lines.len(), 1, "{name}={value}: {ended:?}");
            for word in [name, &format!("{value:?}"), allowed] {
                assert!(lines[0].contains(word), "{word}: {}", lines[0]);
            }
        }
    }
}

#[tokio::test]
async fn a_data_directory_serves_one_process() {
    let home = Home::new();
    let server = home.serve();
    let id = server.process.id().to_string();
    for command in [
        ["serve"].as_slice(),
        &["demo", "--cycles", "1"],
        &["log", "verify"],
    ] {
        let second = home.run(command);
        assert_eq!(second.code, Some(1), "{command:?}: {second:?}");
        assert_eq!(second.stderr.lines().count(), 1, "{command:?}: {second:?}");
        assert!(second.stderr.contains(&id), "{command:?}: {second:?}");
    }
    // What only reads does not need the log for itself.
    home.run(&["log", "replay"]).fine();
    server.admin.get("/api/indexes").await.fine();
    server.stop().await;
    home.run(&["log", "verify"]).fine();
}

#[tokio::test]
async fn an_address_in_use_is_told_before_anything_is_written() {
    let first = Home::new();
    let server = first.serve();
    let address = server.url.strip_prefix("http://").unwrap();
    let second = Home::new();
    let ended = second.run(&["serve", "--listen", address]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(address), "{ended:?}");
    assert!(!second.data().exists());
    server.stop().await;
}

#[test]
fn the_configuration_is_checked_and_printed_with_its_sources_and_without_secrets() {
    let home = Home::new()
        .env("EVENKEEL_HTTP_HEADER", "X-Key: very-secret")
        .env("DRIFT_MONITOR_SCHEDULE", "0 9 * * 1-5");
    let file = home.beside("evenkeel.toml");
    write(
        &file,
        "[drift_monitor]\nschedule = \"0 1 * * *\"\ntimezone = \"Europe/Berlin\"\n",
    );
    let config = file.to_str().unwrap();
    assert!(
        home.run(&["config", "check", "--config", config])
            .fine()
            .contains("fine")
    );
    let printed = home.run(&["config", "print", "--config", config]).fine();
    assert!(!printed.contains("very-secret"), "{printed}");
    let line = |key: &str| printed.lines().find(|line| line.starts_with(key)).unwrap();
    // The environment beats the file.
    assert!(line("schedule").contains("0 9 * * 1-5"), "{printed}");
    assert!(
        line("schedule").contains("DRIFT_MONITOR_SCHEDULE"),
        "{printed}"
    );
    assert!(line("timezone").contains("Europe/Berlin"), "{printed}");
    // What is printed is a configuration.
    let again = home.beside("printed.toml");
    write(&again, &printed);
    home.run(&["config", "check", "--config", again.to_str().unwrap()])
        .fine();

    write(&file, "[drift_monitor]\nshedule = \"0 1 * * *\"\n");
    let ended = home.run(&["config", "check", "--config", config]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("shedule") && ended.stderr.contains("schedule"));
}

#[test]
fn wrong_usage_is_exit_code_two() {
    for arguments in [
        ["dance"].as_slice(),
        &[],
        &["serve", "--color", "red"],
        &["demo", "--cycles", "many"],
        &["log", "replay", "--at", "yesterday"],
        &["log"],
    ] {
        let ended = Home::new().run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}

#[tokio::test]
async fn the_admin_token_is_made_once_and_only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let mut process = home.start(&["serve"]);
    let printed = process.line("admin token: ").unwrap();
    process.line("listening on ").unwrap();
    let file = home.data().join("admin.token");
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), printed);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        process.said().find(&printed),
        None,
        "a token in the log output"
    );
    process.kill();

    let mut again = home.start(&["serve"]);
    let url = again.line("listening on ").unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), printed);
    let admin = crate::api::Client::new(&url, &printed);
    let owners: Vec<Value> = admin.all("/api/owners").await;
    assert!(owners.len() <= 1, "{owners:?}");
    again.kill();
}
