//! `evenkeel demo`, and what an audit of its log finds.

use evenkeel::actors::ports::Entropy as _;
use evenkeel::time::SeededEntropy;
use rustix::process::Signal;
use serde_json::Value;

use crate::home::Home;

/// A demo's summary with its data.
fn played(home: &Home, cycles: &str) -> Value {
    home.run(&["demo", "--cycles", cycles, "--json"]).json()
}

#[test]
fn a_demo_plays_its_days_delivers_everything_and_proves_it() {
    let home = Home::new();
    let summary = played(&home, "60");
    assert_eq!(summary["cycles"], 60, "{summary}");
    assert!(summary["indexes"].as_u64().unwrap() >= 12, "{summary}");
    assert_eq!(
        summary["checks"].as_u64().unwrap(),
        summary["indexes"].as_u64().unwrap() * 60
    );
    let rebalances = &summary["rebalances"];
    assert!(rebalances["completed"].as_u64().unwrap() >= 10, "{summary}");
    assert_eq!(rebalances["started"], rebalances["completed"], "{summary}");
    for failed in [rebalances, &summary["trades"], &summary["deliveries"]] {
        assert_eq!(failed["failed"], 0, "{summary}");
    }
    for holds in ["logVerified", "replayMatches", "venueMatches"] {
        assert_eq!(summary[holds], true, "{summary}");
    }
    assert_eq!(summary["faults"], serde_json::json!({}), "{summary}");
    let verified = home.run(&["log", "verify", "--json"]).json();
    assert_eq!(verified["verified"], true);
    assert_eq!(verified["events"], summary["events"]);
    let count = |event_type: &str| {
        home.run(&["log", "tail", "--type", event_type])
            .json_lines()
            .len()
    };
    assert_eq!(count("trade.executed"), summary["trades"]["executed"]);
    assert_eq!(count("rebalance.completed"), rebalances["completed"]);
    assert_eq!(
        count("delivery.succeeded"),
        summary["deliveries"]["succeeded"]
    );
    assert_eq!(count("delivery.failed"), 0);
}

#[test]
fn with_faults_at_the_venue_everything_ends_and_the_venue_agrees_with_the_log() {
    let home = Home::new();
    let command = ["demo", "--faults", "11", "--cycles", "12", "--json"];
    let summary = home.run(&command).json();
    let faults = summary["faults"].as_object().unwrap();
    assert!(faults.len() >= 4, "{summary}");
    let rebalances = &summary["rebalances"];
    let count = |of: &str| rebalances[of].as_u64().unwrap();
    assert!(count("completed") >= 12, "{summary}");
    assert_eq!(count("running"), 0, "{summary}");
    assert_eq!(
        count("started"),
        count("completed") + count("failed") + count("cancelled"),
        "{summary}"
    );
    assert_eq!(summary["venueMatches"], true, "{summary}");
    assert_eq!(summary["corrections"], 0, "{summary}");
    // Without faults the next run goes on from there, and everything ends well.
    let after = played(&home, "3");
    assert_eq!(after["rebalances"]["failed"], 0, "{after}");
    assert_eq!(after["venueMatches"], true, "{after}");
}

#[test]
fn a_demo_goes_on_where_it_was() {
    let home = Home::new();
    let first = played(&home, "5");
    let second = played(&home, "5");
    assert_eq!(second["indexes"], first["indexes"]);
    assert_eq!(second["logVerified"], true);
    assert_eq!(second["replayMatches"], true);
    let mut runs = home
        .run(&["log", "tail", "--type", "job.run_completed"])
        .json_lines();
    runs.retain(|run| run["stream"] == "job_drift-monitor");
    let mut days: Vec<_> = runs.iter().map(|run| run["at"].as_str().unwrap()).collect();
    let all = days.len();
    days.dedup();
    assert_eq!((days.len(), all), (10, 10), "{days:?}");
    assert!(days.is_sorted(), "{days:?}");
}

#[test]
fn without_json_the_summary_is_text() {
    let text = Home::new().run(&["demo", "--cycles", "2"]).fine();
    assert!(text.contains("2 trading days, 12 indexes"), "{text}");
    assert!(text.contains("log verified: yes"), "{text}");
}

#[tokio::test]
async fn a_demo_that_is_interrupted_ends_with_its_summary() {
    for signal in [Signal::INT, Signal::TERM] {
        let home = Home::new();
        let demo = home.start(&["demo", "--json"]);
        // Its first cycle stands in the log when the demo has said where it listens and played on.
        crate::portfolio::eventually("the demo's URL", async || {
            demo.said().contains("token  evk_").then_some(())
        })
        .await;
        let said = demo.said();
        let status = demo.signal(signal).await;
        assert_eq!(status.code(), Some(0), "{said}");
        home.run(&["log", "verify"]).fine();
    }
}

#[test]
fn any_changed_byte_of_the_stored_log_is_found_and_its_position_named() {
    let home = Home::new();
    played(&home, "20");
    let stored = home.stored_log();
    let bytes = std::fs::read(&stored).unwrap();
    let entropy = SeededEntropy::new(7);
    let mut places = vec![bytes.len() / 2, 0, bytes.len() - 1];
    let length = u64::try_from(bytes.len()).unwrap();
    places.extend((0..12).map(|_| usize::try_from(entropy.next_u64() % length).unwrap()));
    for place in places {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (entropy.next_u64() % 8);
        std::fs::write(&stored, damaged).unwrap();
        let ended = home.run(&["log", "verify"]);
        assert_eq!(ended.code, Some(1), "byte {place} of {length}: {ended:?}");
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(told.contains("position"), "byte {place}: {told}");
        assert!(!told.contains("panicked"), "byte {place}: {told}");
    }
    std::fs::write(&stored, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(home.run(&["log", "verify"]).code, Some(1));
    std::fs::write(&stored, &bytes).unwrap();
    home.run(&["log", "verify"]).fine();
}

#[test]
fn a_server_does_not_come_up_on_a_damaged_log() {
    let home = Home::new();
    played(&home, "5");
    let stored = home.stored_log();
    let mut bytes = std::fs::read(&stored).unwrap();
    let first = bytes
        .windows(12)
        .position(|window| window == b"index.create")
        .unwrap();
    bytes[first] ^= 1;
    std::fs::write(&stored, bytes).unwrap();
    let ended = home.run(&["serve"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
}

#[test]
fn any_state_of_the_past_is_rebuilt_by_position_and_by_time() {
    let home = Home::new();
    played(&home, "10");
    let at = |at: &str| home.run(&["log", "replay", "--json", "--at", at]).json();
    let events = home.run(&["log", "tail"]).json_lines();
    let of_type = |event_type: &str| {
        events
            .iter()
            .find(|event| event["type"] == event_type)
            .unwrap()
    };
    let deposit = of_type("index.deposited");
    let position = deposit["position"].as_u64().unwrap();
    let cash = |state: &Value| {
        let indexes = state["indexes"].as_array().unwrap();
        let of_stream = |index: &&Value| {
            index
                .to_string()
                .contains(deposit["stream"].as_str().unwrap())
        };
        indexes.iter().find(of_stream).unwrap()["cash"].clone()
    };
    assert_eq!(cash(&at(&(position - 1).to_string())), "0");
    assert_eq!(cash(&at(&position.to_string())), "100000");
    let before_all = at("2007-12-31T00:00:00Z");
    assert_eq!(before_all["indexes"].as_array().unwrap().len(), 0);
    let booked = at(of_type("index.deposited")["at"].as_str().unwrap());
    assert_eq!(booked["indexes"].as_array().unwrap().len(), 12);
    let now = home.run(&["log", "replay", "--json"]).json();
    assert_eq!(now, at(&events.len().to_string()));
    assert_eq!(now["position"], events.len());
    for index in now["indexes"].as_array().unwrap() {
        let named_otherwise = |name: &&String| name.contains('_');
        let wrong = index.as_object().unwrap().keys().find(named_otherwise);
        assert_eq!(wrong, None, "a name that the API does not use");
    }
}

#[test]
fn the_tail_is_cut_by_position_count_type_and_stream() {
    let home = Home::new();
    played(&home, "3");
    let all = home.run(&["log", "tail"]).json_lines();
    assert_eq!(
        home.run(&["log", "tail", "--after", "5", "--limit", "10"])
            .json_lines(),
        all[5..15]
    );
    let stream = all[20]["stream"].as_str().unwrap();
    let of_stream: Vec<_> = all
        .iter()
        .filter(|event| event["stream"] == stream)
        .cloned()
        .collect();
    assert_eq!(
        home.run(&["log", "tail", "--stream", stream]).json_lines(),
        of_stream
    );
    let nothing = Home::new().run(&["log", "tail"]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
}
