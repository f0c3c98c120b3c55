//! The seal: what every byte of a closed log was.
//!
//! ```text
//! evenkeel log seal 1
//! file 8388608 sled/db
//! 5f0c…            one blake3 hash for each 64 KiB
//! end 77ab…        hash of everything above
//! ```
//! sled leaves stale copies of pages in its file: a byte can change where no read goes. The seal
//! is written when the log is closed and removed before it is opened for writing, so that
//! `verify` accounts for every byte of a log at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::disk::sync_dir;
use super::lock::LOCK_FILE;
use super::sync;

/// The seal's name.
pub(super) const SEAL_FILE: &str = "seal";

const SEAL_FIRST_LINE: &str = "evenkeel log seal 1";

/// Bytes that one hash vouches for: small enough to say where, large enough to stay 0.1 %.
pub(super) const SEAL_BLOCK_BYTES: usize = 64 * 1024;

/// A place where the directory is not what was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breach {
    pub file: String,
    /// Where the differing block starts.
    pub offset: u64,
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileHashes {
    len: u64,
    blocks: Vec<String>,
}

/// A seal that was read back whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seal {
    files: BTreeMap<String, FileHashes>,
}

/// What was found where the seal belongs.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Whole(Seal),
    Damaged(String),
}

/// Seals a directory whose files nobody writes any more.
pub(super) fn write(dir: &Path) -> io::Result<()> {
    let mut text = format!("{SEAL_FIRST_LINE}\n");
    for name in files(dir)? {
        let hashes = hash_file(&dir.join(&name))?;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "file {} {name}", hashes.len);
        for block in &hashes.blocks {
            let _ = writeln!(text, "{block}");
        }
    }
    let _ = writeln!(text, "end {}", blake3::hash(text.as_bytes()).to_hex());
    write_durably(dir, SEAL_FILE, text.as_bytes())
}

/// Removes the seal, durably: from here on the files change. Also a half-written one, which the
/// next seal would take for a file of the log.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    let mut removed = false;
    for name in [SEAL_FILE.to_owned(), new_name(SEAL_FILE)] {
        match fs::remove_file(dir.join(name)) {
            Ok(()) => removed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if removed { sync_dir(dir) } else { Ok(()) }
}

fn new_name(name: &str) -> String {
    format!("{name}.new")
}

/// Writes a small file so that after a crash it is either absent or whole.
pub(super) fn write_durably(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(new_name(name));
    fs::write(&temporary, bytes)?;
    sync::all(&File::open(&temporary)?)?;
    fs::rename(&temporary, dir.join(name))?;
    sync_dir(dir)
}

pub(super) fn read(dir: &Path) -> io::Result<Found> {
    match fs::read(dir.join(SEAL_FILE)) {
        Ok(bytes) => Ok(parse(&bytes).map_or_else(Found::Damaged, Found::Whole)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8]) -> Result<Seal, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let (body, end) = text.rsplit_once("end ").ok_or("its last line is missing")?;
    if end != format!("{}\n", blake3::hash(body.as_bytes()).to_hex()) {
        return Err("its hash does not match".to_owned());
    }
    let mut lines = body.lines();
    if lines.next() != Some(SEAL_FIRST_LINE) {
        return Err("it is of another format".to_owned());
    }
    let mut files = BTreeMap::new();
    let mut current = None;
    for line in lines {
        if let Some((len, name)) = line
            .strip_prefix("file ")
            .and_then(|rest| rest.split_once(' '))
        {
            let len = len
                .parse()
                .map_err(|_| "a length is no number".to_owned())?;
            current = Some(name.to_owned());
            files.insert(
                name.to_owned(),
                FileHashes {
                    len,
                    blocks: Vec::new(),
                },
            );
        } else if let Some(file) = current.as_ref().and_then(|name| files.get_mut(name)) {
            file.blocks.push(line.to_owned());
        }
    }
    Ok(Seal { files })
}

impl Seal {
    /// Compares every byte with what was sealed.
    pub(super) fn breaches(&self, dir: &Path) -> io::Result<Vec<Breach>> {
        let present: BTreeSet<String> = files(dir)?.into_iter().collect();
        let mut breaches = Vec::new();
        for (name, sealed) in &self.files {
            if present.contains(name) {
                sealed.compare(name, &hash_file(&dir.join(name))?, &mut breaches);
            } else {
                breaches.push(breach(name, 0, "the file is missing".into()));
            }
        }
        for name in present
            .iter()
            .filter(|name| !self.files.contains_key(*name))
        {
            breaches.push(breach(
                name,
                0,
                "the file was not there when the log was closed".into(),
            ));
        }
        Ok(breaches)
    }
}

impl FileHashes {
    fn compare(&self, name: &str, now: &Self, breaches: &mut Vec<Breach>) {
        let pairs = self.blocks.iter().zip(&now.blocks);
        for (at, _) in pairs.enumerate().filter(|(_, (sealed, now))| sealed != now) {
            let offset = (at * SEAL_BLOCK_BYTES) as u64;
            breaches.push(breach(
                name,
                offset,
                "bytes have changed since the log was closed".into(),
            ));
        }
        if self.len != now.len {
            let what = format!(
                "the file has {} bytes, it had {} when the log was closed",
                now.len, self.len
            );
            breaches.push(breach(name, self.len.min(now.len), what));
        }
    }
}

fn breach(file: &str, offset: u64, what: String) -> Breach {
    Breach {
        file: file.to_owned(),
        offset,
        what,
    }
}

fn hash_file(path: &Path) -> io::Result<FileHashes> {
    let mut file = File::open(path)?;
    let mut block = vec![0; SEAL_BLOCK_BYTES];
    let mut hashes = FileHashes {
        len: 0,
        blocks: Vec::new(),
    };
    loop {
        let filled = fill(&mut file, &mut block)?;
        if filled > 0 {
            hashes.len += filled as u64;
            hashes
                .blocks
                .push(blake3::hash(&block[..filled]).to_hex().to_string());
        }
        if filled < SEAL_BLOCK_BYTES {
            return Ok(hashes);
        }
    }
}

fn fill(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Names of all files below `dir`, except the lock and the seal itself.
pub(super) fn files(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let name = format!("{folder}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push(format!("{name}/"));
            } else if name != LOCK_FILE && name != SEAL_FILE {
                names.push(name);
            }
        }
    }
    names.sort();
    Ok(names)
}
