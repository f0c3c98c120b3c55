//! Many writers that want the same version, and what subscribers see of it.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Log, stream, to};
use crate::{AppendError, Expected, Subscription, Version};

/// Writers that all want the same next version, round after round, until `rounds` were won.
async fn contend(log: Log, writer: u64, rounds: u64) -> Vec<Version> {
    let mut won = Vec::new();
    loop {
        let version = log.version(&stream("a"));
        if version >= rounds {
            return won;
        }
        let text = format!("{writer}");
        match log
            .append(vec![to("a", Expected::Exact(version), &[&text])])
            .await
        {
            Ok(appended) => won.push(appended.versions[0]),
            Err(AppendError::Conflict {
                expected, actual, ..
            }) => assert!(actual > expected),
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) async fn fifty_contenders_have_one_winner_each_and_subscribers_agree_on_the_order(
    log: Log,
) {
    const ROUNDS: u64 = 60;
    let mut subscribers = JoinSet::new();
    for page in [1, 7, 100] {
        let mut subscription = Subscription::new(Arc::clone(&log), 0);
        subscribers.spawn(async move {
            let mut seen = Vec::new();
            while (seen.len() as u64) < ROUNDS {
                seen.extend(subscription.next_page(page).await.unwrap());
            }
            seen
        });
    }
    let mut writers = JoinSet::new();
    for writer in 0..50 {
        writers.spawn(contend(Arc::clone(&log), writer, ROUNDS));
    }
    let mut won: Vec<Version> = writers.join_all().await.into_iter().flatten().collect();
    won.sort_unstable();
    assert_eq!(won, (1..=ROUNDS).collect::<Vec<_>>(), "one winner each");
    let orders = subscribers.join_all().await;
    assert!(
        orders[0]
            .iter()
            .zip(1..)
            .all(|(event, at)| event.position == at && event.version == at)
    );
    assert!(orders.iter().all(|order| *order == orders[0]));
}
