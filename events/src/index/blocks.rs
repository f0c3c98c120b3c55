//! Old positions in blocks of one size, each found from the newer ones of its stream.
//!
//! ```text
//! stream hash 8 │ number 8 │ after 8 │ until 8 │ before 8 │ last 8 │ previous 8 │ jump 8 │ jump number 8 │
//! length 2 │ steps … │ hash 16
//! ```
//! A block holds the positions of the versions `after + 1 ..= until` as LEB128 steps from the
//! position `before`. `previous` is the stream's block before; `jump` one further back, such that
//! any block is reached in about 2 log₂ n reads. Blocks are derived from the frames at every open,
//! in memory or in a file without a name that ends with the process: nothing old is ever trusted,
//! and every block is checked against its hash when it is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use super::IndexError;
use crate::log::{Position, Version};

const BLOCK_BYTES: usize = 256;
const FIELDS: usize = 9;
const STEPS_AT: usize = FIELDS * 8 + 2;
const HASH_AT: usize = BLOCK_BYTES - 16;

/// Most bytes of steps that one block takes.
pub(super) const STEPS_MAX_BYTES: usize = HASH_AT - STEPS_AT;

/// Where a block lies, counted in blocks from 1; 0 is none.
pub(super) type BlockRef = u64;

/// Positions of a stretch of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub stream: u64,
    /// Its number among the stream's blocks, from 1.
    pub number: u64,
    pub after: Version,
    pub until: Version,
    pub before: Position,
    pub last: Position,
    pub previous: BlockRef,
    pub jump: BlockRef,
    pub jump_number: u64,
    pub steps: Vec<u8>,
}

impl Block {
    fn fields(&self) -> [u64; FIELDS] {
        [
            self.stream,
            self.number,
            self.after,
            self.until,
            self.before,
            self.last,
            self.previous,
            self.jump,
            self.jump_number,
        ]
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a block's steps are shorter than a block"
    )]
    fn write(&self) -> [u8; BLOCK_BYTES] {
        let mut bytes = [0; BLOCK_BYTES];
        for (slot, field) in bytes.chunks_exact_mut(8).zip(self.fields()) {
            slot.copy_from_slice(&field.to_le_bytes());
        }
        bytes[STEPS_AT - 2..STEPS_AT].copy_from_slice(&(self.steps.len() as u16).to_le_bytes());
        bytes[STEPS_AT..STEPS_AT + self.steps.len()].copy_from_slice(&self.steps);
        let hash = blake3::hash(&bytes[..HASH_AT]);
        bytes[HASH_AT..].copy_from_slice(&hash.as_bytes()[..16]);
        bytes
    }

    fn read(bytes: &[u8; BLOCK_BYTES]) -> Option<Self> {
        if blake3::hash(&bytes[..HASH_AT]).as_bytes()[..16] != bytes[HASH_AT..] {
            return None;
        }
        let field = |at: usize| {
            Some(u64::from_le_bytes(
                bytes[at * 8..at * 8 + 8].try_into().ok()?,
            ))
        };
        let length = u16::from_le_bytes(bytes[STEPS_AT - 2..STEPS_AT].try_into().ok()?);
        Some(Self {
            stream: field(0)?,
            number: field(1)?,
            after: field(2)?,
            until: field(3)?,
            before: field(4)?,
            last: field(5)?,
            previous: field(6)?,
            jump: field(7)?,
            jump_number: field(8)?,
            steps: bytes[STEPS_AT..HASH_AT]
                .get(..usize::from(length))?
                .to_vec(),
        })
    }
}

#[derive(Debug)]
enum Place {
    Memory(RwLock<Vec<[u8; BLOCK_BYTES]>>),
    File { file: File, blocks: AtomicU64 },
}

/// All blocks. One writer adds, anybody reads: a block never changes.
#[derive(Debug)]
pub(crate) struct Blocks(Place);

impl Default for Blocks {
    fn default() -> Self {
        Self(Place::Memory(RwLock::default()))
    }
}

impl Blocks {
    /// Blocks in a new file in `dir` that has lost its name already: it ends with the process,
    /// however that ends.
    pub(crate) fn in_dir(dir: &Path) -> io::Result<Self> {
        let path = dir.join("index.tmp");
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self(Place::File {
            file,
            blocks: AtomicU64::new(0),
        }))
    }

    pub(super) fn add(&self, block: &Block) -> Result<BlockRef, IndexError> {
        let bytes = block.write();
        match &self.0 {
            Place::Memory(blocks) => {
                let mut blocks = blocks.write().unwrap_or_else(PoisonError::into_inner);
                blocks.push(bytes);
                Ok(blocks.len() as BlockRef)
            }
            Place::File { file, blocks } => {
                let count = blocks.load(Ordering::Acquire);
                file.write_all_at(&bytes, count * BLOCK_BYTES as u64)
                    .map_err(|error| IndexError(error.to_string()))?;
                blocks.store(count + 1, Ordering::Release);
                Ok(count + 1)
            }
        }
    }

    /// The block of a stream at a place; anything else there is an error.
    pub(super) fn get(&self, at: BlockRef, stream: u64) -> Result<Block, IndexError> {
        let index = at
            .checked_sub(1)
            .ok_or_else(|| IndexError("a block is missing".into()))?;
        let bytes = match &self.0 {
            Place::Memory(blocks) => {
                let blocks = blocks.read().unwrap_or_else(PoisonError::into_inner);
                usize::try_from(index)
                    .ok()
                    .and_then(|index| blocks.get(index).copied())
            }
            Place::File { file, .. } => {
                let mut bytes = [0; BLOCK_BYTES];
                file.read_exact_at(&mut bytes, index * BLOCK_BYTES as u64)
                    .map_err(|error| IndexError(error.to_string()))?;
                Some(bytes)
            }
        };
        bytes
            .and_then(|bytes| Block::read(&bytes))
            .filter(|block| block.stream == stream)
            .ok_or_else(|| IndexError(format!("block {at} is not what was written")))
    }

    /// The newest block, reached from the one at `at`, in which versions up to `until` begin.
    pub(super) fn find(
        &self,
        at: BlockRef,
        stream: u64,
        until: Version,
    ) -> Result<Block, IndexError> {
        let mut block = self.get(at, stream)?;
        while block.after >= until {
            let far = match block.jump {
                0 => None,
                jump => Some(self.get(jump, stream)?).filter(|far| far.until >= until),
            };
            block = match far {
                Some(far) => far,
                None => self.get(block.previous, stream)?,
            };
        }
        Ok(block)
    }

    /// Previous, jump and number for a block that follows the one at `previous`.
    pub(super) fn links(
        &self,
        previous: BlockRef,
        stream: u64,
    ) -> Result<(u64, BlockRef, u64), IndexError> {
        if previous == 0 {
            return Ok((1, 0, 0));
        }
        let before = self.get(previous, stream)?;
        let number = before.number + 1;
        if before.jump == 0 {
            return Ok((number, previous, before.number));
        }
        // Two jumps of the same length become one of twice the length and one.
        let far = self.get(before.jump, stream)?;
        let equal = before.number - before.jump_number == far.number - far.jump_number;
        Ok(if equal && far.jump != 0 {
            (number, far.jump, far.jump_number)
        } else {
            (number, previous, before.number)
        })
    }
}
