//! Segment files: their names, their header, and what is in them after a crash.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    JournalError,
    record::{next_whole_record, whole_record},
};

/// The bytes before a segment's first record.
pub(super) const SEGMENT_HEADER_BYTES: usize = 16;
const MAGIC: &[u8; 8] = b"HDRMJRN3";
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
    let mut header = [0; SEGMENT_HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&first_sequence.to_le_bytes());
    header
}

/// What a folder held.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) segments: VecDeque<Segment>,
    pub(super) last_sequence: u64,
    pub(super) damaged: u64,
}

/// Lists the segments and repairs the last one.
pub(super) fn recover(dir: &Path) -> Result<Recovered, JournalError> {
    let mut segments = list(dir)?;
    let mut recovered = Recovered::default();
    if let Some(last) = segments.back_mut() {
        repair(dir, last, &mut recovered)?;
    }
    recovered.segments = segments;
    Ok(recovered)
}

fn list(dir: &Path) -> Result<VecDeque<Segment>, JournalError> {
    let failed = |source| JournalError::io("list", dir, source);
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if path
            .extension()
            .is_none_or(|extension| extension != EXTENSION)
        {
            continue;
        }
        let first_sequence = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok())
            .ok_or_else(|| JournalError::UnknownFormat { path: path.clone() })?;
        segments.push(Segment {
            first_sequence,
            size_bytes: entry.metadata().map_err(failed)?.len(),
        });
    }
    segments.sort_by_key(|segment| segment.first_sequence);
    Ok(segments.into())
}

fn repair(dir: &Path, last: &mut Segment, recovered: &mut Recovered) -> Result<(), JournalError> {
    let path = last.path(dir);
    recovered.last_sequence = last.first_sequence - 1;
    let bytes = fs::read(&path).map_err(|source| JournalError::io("read", &path, source))?;
    let expected = header(last.first_sequence);
    if bytes.len() < SEGMENT_HEADER_BYTES && expected.starts_with(&bytes) {
        // The process died while it created the segment: nothing was in it yet.
        cut(&path, 0)?;
        last.size_bytes = 0;
        return Ok(());
    }
    if !bytes.starts_with(&expected) {
        return Err(JournalError::UnknownFormat { path });
    }
    let mut at = SEGMENT_HEADER_BYTES;
    while at < bytes.len() {
        if let Some(record) = whole_record(&bytes[at..]) {
            recovered.last_sequence = record.sequence;
            at += record.record_bytes();
        } else if let Some(skipped) = next_whole_record(&bytes[at..], recovered.last_sequence) {
            recovered.damaged += 1;
            tracing::error!(
                path = %path.display(), offset = at, bytes = skipped,
                "the journal is damaged here and is read on from the next whole record; check the disk"
            );
            at += skipped;
        } else {
            tracing::warn!(
                path = %path.display(), offset = at, bytes = bytes.len() - at,
                "cut a torn tail off the journal: a write that nobody was answered for"
            );
            cut(&path, at as u64)?;
            break;
        }
    }
    last.size_bytes = at as u64;
    Ok(())
}

fn cut(path: &Path, size_bytes: u64) -> Result<(), JournalError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.truncate(size_bytes))
        .map_err(|source| JournalError::io("cut the torn tail off", path, source))
}

/// Makes a created or deleted name durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
