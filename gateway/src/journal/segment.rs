//! Segment files: their names, their header, and how they are written.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The bytes before a segment's first record.
pub(super) const SEGMENT_HEADER_BYTES: usize = 16;
const MAGIC: [u8; 8] = *b"HDRMJRN4";
/// The magic of segments that the former version wrote.
const FORMER_MAGIC: [u8; 8] = *b"HDRMJRN3";
const EXTENSION: &str = "segment";

/// Says whether a path is named as a segment is.
#[must_use]
pub fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|found| found == EXTENSION)
}

/// One segment file.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) first_sequence: u64,
    pub(super) size_bytes: u64,
    /// Nothing is written behind what it holds: the version that wrote it would take that for damage.
    pub(super) is_closed: bool,
}

impl Segment {
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:020}.{EXTENSION}", self.first_sequence))
    }
}

/// The file in writing; a trait, so that tests can make the disk fail.
pub(super) trait SegmentFile: Send {
    /// Writes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file back, durably.
    fn truncate(&mut self, size_bytes: u64) -> io::Result<()>;
}

impl SegmentFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, size_bytes: u64) -> io::Result<()> {
        self.set_len(size_bytes)?;
        self.sync_all()
    }
}

/// Opens a segment for appending, and creates it where it is missing.
pub(super) type Opener = Box<dyn Fn(&Path) -> io::Result<Box<dyn SegmentFile>> + Send>;

pub(super) fn open_file(path: &Path) -> io::Result<Box<dyn SegmentFile>> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    Ok(Box::new(file))
}

pub(super) fn header(first_sequence: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    header_of(MAGIC, first_sequence)
}

/// Says whether bytes begin as a segment does, whichever version wrote it.
pub(super) fn is_header(bytes: &[u8], first_sequence: u64) -> bool {
    [MAGIC, FORMER_MAGIC]
        .into_iter()
        .any(|magic| bytes.starts_with(&header_of(magic, first_sequence)))
}

fn header_of(magic: [u8; 8], first_sequence: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    header[..8].copy_from_slice(&magic);
    header[8..].copy_from_slice(&first_sequence.to_le_bytes());
    header
}

/// Makes a created or deleted name durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
