//! Snapshots come back, or nothing does; never a wrong one, never a failure.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::*;
use crate::MemorySnapshots;

fn snapshot(version: u64, schema: u16, state: &'static [u8]) -> Snapshot {
    Snapshot {
        version,
        schema,
        state: Bytes::from_static(state),
    }
}

async fn the_newest_of_a_schema_comes_back(store: &dyn SnapshotStore) {
    assert_eq!(store.load("idx_1", 1).await, None);
    assert_eq!(store.discarded(), 0, "a missing one is not discarded");
    store.save("idx_1", snapshot(256, 1, b"old")).await.unwrap();
    store.save("idx_1", snapshot(512, 1, b"new")).await.unwrap();
    assert_eq!(store.load("idx_1", 1).await, Some(snapshot(512, 1, b"new")));
    assert_eq!(store.load("idx_1", 2).await, None);
    assert_eq!(store.discarded(), 1, "one of another schema is");
    store.save("idx_3", snapshot(1, 1, b"third")).await.unwrap();
    let names = ["idx_3", "idx_2", "idx_1"].map(str::to_owned).to_vec();
    let expected = [
        Some(snapshot(1, 1, b"third")),
        None,
        Some(snapshot(512, 1, b"new")),
    ];
    assert_eq!(store.load_all(names, 1).await, expected);
    store.forget("idx_1").await.unwrap();
    assert_eq!(store.load("idx_1", 1).await, None);
    assert_eq!(store.discarded(), 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn both_stores_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    the_newest_of_a_schema_comes_back(&MemorySnapshots::new()).await;
    the_newest_of_a_schema_comes_back(&SledSnapshots::open(dir.path()).unwrap()).await;
}

#[tokio::test]
async fn closing_keeps_them_for_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledSnapshots::open(dir.path()).unwrap();
    store
        .save("idx_1", snapshot(256, 1, b"state"))
        .await
        .unwrap();
    store.close().await.unwrap();
    assert!(
        store
            .save("idx_1", snapshot(257, 1, b"late"))
            .await
            .is_err()
    );
    let store = SledSnapshots::open(dir.path()).unwrap();
    assert_eq!(
        store.load("idx_1", 1).await,
        Some(snapshot(256, 1, b"state"))
    );
}

#[tokio::test]
async fn a_damaged_value_is_nothing_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledSnapshots::open(dir.path()).unwrap();
    store
        .shared
        .with_db(|db| db.insert("idx_1", b"rubbish".as_slice()))
        .unwrap();
    assert_eq!(store.load("idx_1", 1).await, None);
    assert_eq!(store.discarded(), 1);
}

#[tokio::test]
async fn a_large_state_is_kept_in_pieces_and_a_smaller_one_replaces_all_of_it() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("snapshots");
    let store = SledSnapshots::open(&dir).unwrap();
    let large = Snapshot {
        version: 256,
        schema: 1,
        state: (0..100_000_u32).flat_map(u32::to_le_bytes).collect(),
    };
    store.save("idx_1", large.clone()).await.unwrap();
    store.save("idx_10", large.clone()).await.unwrap();
    assert_eq!(store.load("idx_1", 1).await, Some(large.clone()));
    store.save("idx_1", snapshot(512, 1, b"new")).await.unwrap();
    assert_eq!(store.load("idx_1", 1).await, Some(snapshot(512, 1, b"new")));
    store.close().await.unwrap();
    drop(store);
    assert_eq!(fs::read_dir(dir.join("blobs")).unwrap().count(), 0);
    let mut seen = Vec::new();
    let whole = inspect(&dir, &mut |stream, stored| {
        seen.push((stream.to_owned(), stored));
    });
    assert_eq!(whole, Ok(true));
    let expected = [
        ("idx_1".to_owned(), Stored::Whole(snapshot(512, 1, b"new"))),
        ("idx_10".to_owned(), Stored::Whole(large)),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_database_with_larger_segments_is_opened_as_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("snapshots");
    let older = sled::Config::new()
        .path(&dir)
        .segment_size(4 << 20)
        .open()
        .unwrap();
    let entry = entry::write("idx_1", &snapshot(256, 1, b"state"));
    older.insert("idx_1", entry).unwrap();
    older.flush().unwrap();
    drop(older);
    let db = fs::File::open(dir.join("db")).unwrap();
    while db.try_lock().is_err() {
        std::thread::yield_now();
    }
    drop(db);
    let store = SledSnapshots::open(&dir).unwrap();
    assert_eq!(
        store.load("idx_1", 1).await,
        Some(snapshot(256, 1, b"state"))
    );
    assert!(!parent.path().join("snapshots.damaged-1").exists());
}

#[tokio::test]
async fn a_state_over_the_bound_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledSnapshots::open(dir.path()).unwrap();
    let large = Snapshot {
        version: 1,
        schema: 1,
        state: Bytes::from(vec![0; SNAPSHOT_MAX_BYTES + 1]),
    };
    store.save("idx_1", large).await.unwrap();
    assert_eq!(store.load("idx_1", 1).await, None);
}

#[tokio::test]
async fn a_database_that_does_not_open_is_moved_aside_and_a_new_one_serves() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("snapshots");
    let store = SledSnapshots::open(&dir).unwrap();
    store
        .save("idx_1", snapshot(256, 1, b"state"))
        .await
        .unwrap();
    store.close().await.unwrap();
    drop(store);
    fs::write(dir.join("conf"), [0xFF; 64]).unwrap();
    let store = SledSnapshots::open(&dir).unwrap();
    assert!(parent.path().join("snapshots.damaged-1").exists());
    assert_eq!((store.load("idx_1", 1).await, store.discarded()), (None, 1));
    store
        .save("idx_1", snapshot(257, 1, b"anew"))
        .await
        .unwrap();
    assert_eq!(
        store.load("idx_1", 1).await,
        Some(snapshot(257, 1, b"anew"))
    );
}

#[tokio::test]
async fn a_store_in_use_is_refused_and_not_moved() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("snapshots");
    let _open = SledSnapshots::open(&dir).unwrap();
    assert!(SledSnapshots::open(&dir).is_err());
    assert!(!parent.path().join("snapshots.damaged-1").exists());
}

#[tokio::test]
async fn a_flipped_bit_never_gives_a_wrong_snapshot() {
    let parent = tempfile::tempdir().unwrap();
    let whole = parent.path().join("whole");
    let store = SledSnapshots::open(&whole).unwrap();
    store
        .save("idx_1", snapshot(256, 1, b"the one true state"))
        .await
        .unwrap();
    store.close().await.unwrap();
    let db = fs::read(whole.join("db")).unwrap();
    let conf = fs::read(whole.join("conf")).unwrap();
    for round in 0..60 {
        let dir = parent.path().join(format!("round-{round}"));
        let mut bytes = db.clone();
        let at = round * 7_919 % bytes.len();
        bytes[at] ^= 0x10;
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("db"), bytes).unwrap();
        fs::write(dir.join("conf"), &conf).unwrap();
        let store = SledSnapshots::open(&dir).unwrap();
        let loaded = store.load("idx_1", 1).await;
        assert!(
            loaded.is_none() || loaded == Some(snapshot(256, 1, b"the one true state")),
            "byte {at}"
        );
    }
}

#[tokio::test]
async fn an_inspection_shows_every_snapshot_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshots");
    let store = SledSnapshots::open(&path).unwrap();
    for (stream, version) in [("idx_1", 7), ("idx_2", 9)] {
        let snapshot = Snapshot {
            version,
            schema: 3,
            state: Bytes::from_static(b"state"),
        };
        store.save(stream, snapshot).await.unwrap();
    }
    store
        .shared
        .with_db(|db| db.insert("idx_3", b"no snapshot").map(drop))
        .unwrap();
    store.close().await.unwrap();
    drop(store);
    let before = fs::read(path.join("db")).unwrap();
    let mut seen = Vec::new();
    let whole = inspect(&path, &mut |stream, stored| {
        seen.push(match stored {
            Stored::Whole(snapshot) => format!("{stream} {}", snapshot.version),
            Stored::Damaged => format!("{stream} damaged"),
        });
    });
    assert_eq!(whole, Ok(true));
    assert_eq!(seen, ["idx_1 7", "idx_2 9", "idx_3 damaged"]);
    assert_eq!(fs::read(path.join("db")).unwrap(), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
