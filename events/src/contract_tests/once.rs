//! An append that carries an id may be repeated: it is made once.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Log, add, to};
use crate::{AppendError, AppendId, Expected};

pub(super) async fn a_repeated_append_with_its_id_is_made_once(log: Log) {
    let batch = || {
        vec![
            to("a", Expected::Exact(0), &["1", "2"]),
            to("b", Expected::Exact(0), &["3"]),
        ]
    };
    let first = log.append_once(AppendId(7), batch()).await.unwrap();
    add(&log, "a", "another").await;
    let again = log.append_once(AppendId(7), batch()).await.unwrap();
    assert_eq!((&again, again.versions.as_slice()), (&first, &[2, 1][..]));
    assert_eq!(log.head().position, 4, "nothing was written twice");
    let conflict = log.append_once(AppendId(8), batch()).await.unwrap_err();
    assert!(
        matches!(conflict, AppendError::Conflict { .. }),
        "{conflict}"
    );
    let other = vec![to("a", Expected::Any, &["x"])];
    let misused = log.append_once(AppendId(7), other).await.unwrap_err();
    assert!(matches!(misused, AppendError::Invalid(_)), "{misused}");
}

pub(super) async fn the_same_append_at_the_same_time_is_made_once(log: Log) {
    let mut repetitions = JoinSet::new();
    for _ in 0..20 {
        let log = Arc::clone(&log);
        repetitions.spawn(async move {
            log.append_once(AppendId(7), vec![to("a", Expected::Exact(0), &["1"])])
                .await
                .unwrap()
        });
    }
    let all = repetitions.join_all().await;
    assert!(all.iter().all(|appended| appended.last == 1), "{all:?}");
    assert_eq!(log.head().position, 1);
}
