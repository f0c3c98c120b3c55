//! Keys in files: what is sealed opens again, nowhere else, and never after it was forgotten.
#![allow(clippy::unwrap_used, reason = "a failed expectation ends the test")]

use std::os::unix::fs::PermissionsExt as _;

use evenkeel_domain::values::SEALED_MAX_BYTES;
use tempfile::TempDir;

use super::*;
use crate::time::SeededEntropy;

const NAME: PersonalField = PersonalField::OwnerName;
const TOKEN: PersonalField = PersonalField::TokenName;

fn keys(directory: &TempDir, seed: u64) -> FileKeys {
    let directory = directory.path().join("owner-keys");
    FileKeys::new(directory, Arc::new(SeededEntropy::new(seed)))
}

fn owner(n: u128) -> OwnerId {
    OwnerId::from_u128(n)
}

#[tokio::test]
async fn a_name_opens_as_what_it_was_sealed_as_and_as_nothing_else() {
    let directory = TempDir::new().unwrap();
    let first = keys(&directory, 1);
    let sealed = first.seal(owner(1), NAME, "Ada").await.unwrap();
    first.seal(owner(2), NAME, "Bob").await.unwrap();
    let again = keys(&directory, 2);
    let open = async |n, field| again.open(owner(n), field, &sealed).await;
    assert_eq!(open(1, NAME).await.as_deref(), Some("Ada"));
    for (n, field) in [(1, TOKEN), (2, NAME), (3, NAME)] {
        assert_eq!(open(n, field).await, None, "{n} {field:?}");
    }
    let twice = first.seal(owner(1), NAME, "Ada").await.unwrap();
    assert_ne!(twice, sealed, "each has a nonce of its own");
}

#[tokio::test]
async fn a_changed_bit_opens_nothing() {
    let directory = TempDir::new().unwrap();
    let keys = keys(&directory, 1);
    let sealed = keys.seal(owner(1), NAME, "Ada").await.unwrap();
    for at in 0..sealed.as_bytes().len() {
        let mut bytes = sealed.as_bytes().to_vec();
        bytes[at] ^= 1;
        let changed = Sealed::new(bytes).unwrap();
        assert_eq!(keys.open(owner(1), NAME, &changed).await, None, "byte {at}");
    }
    let short = Sealed::new(vec![1; 5]).unwrap();
    assert_eq!(keys.open(owner(1), NAME, &short).await, None);
}

#[tokio::test]
async fn names_of_a_row_of_lengths_look_alike_and_the_longest_fits() {
    let directory = TempDir::new().unwrap();
    let keys = keys(&directory, 1);
    let sealed = async |text: &str| keys.seal(owner(1), NAME, text).await.unwrap();
    let (ada, longer) = (sealed("Ada").await, sealed("Ada Lovelace").await);
    assert_eq!(ada.as_bytes().len(), longer.as_bytes().len());
    let longest = "\u{1f98a}".repeat(100);
    let kept = sealed(&longest).await;
    assert!(kept.as_bytes().len() <= SEALED_MAX_BYTES);
    assert_eq!(keys.open(owner(1), NAME, &kept).await, Some(longest));
}

#[tokio::test]
async fn a_key_is_private_and_a_forgotten_one_is_gone() {
    let directory = TempDir::new().unwrap();
    let keys = keys(&directory, 1);
    let sealed = keys.seal(owner(1), NAME, "Ada").await.unwrap();
    let path = keys.path(owner(1));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&keys.directory)), (0o600, 0o700));
    assert_eq!(fs::read(&path).unwrap().len(), KEY_LEN);
    for _ in 0..2 {
        keys.forget(owner(1)).await.unwrap();
        assert!(!path.exists());
        assert_eq!(keys.open(owner(1), NAME, &sealed).await, None);
    }
    keys.forget(owner(2)).await.unwrap();
}

#[tokio::test]
async fn a_torn_key_is_named_and_not_written_over() {
    let directory = TempDir::new().unwrap();
    let keys = keys(&directory, 1);
    let sealed = keys.seal(owner(1), NAME, "Ada").await.unwrap();
    fs::write(keys.path(owner(1)), [1; 31]).unwrap();
    assert_eq!(keys.open(owner(1), NAME, &sealed).await, None);
    let refused = keys.seal(owner(1), NAME, "Ada").await.unwrap_err();
    assert!(refused.reason.contains("31 bytes"), "{refused}");
    assert_eq!(fs::read(keys.path(owner(1))).unwrap(), [1; 31]);
}

#[tokio::test]
async fn copied_keys_open_what_the_first_ones_sealed() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (source, target) = (keys(&from, 1), keys(&to, 2));
    copy_keys(&source.directory, &target.directory).unwrap();
    assert!(!target.directory.exists(), "nothing is made of nothing");
    let sealed = source.seal(owner(1), NAME, "Ada").await.unwrap();
    copy_keys(&source.directory, &target.directory).unwrap();
    let opened = target.open(owner(1), NAME, &sealed).await;
    assert_eq!(opened.as_deref(), Some("Ada"));
}
