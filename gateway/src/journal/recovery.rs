//! What is in a journal's folder after a crash: lists the segments, and makes the last one fit to be written on.

use std::{
    collections::VecDeque,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    JournalError,
    damage::Damage,
    record::{is_torn, next_whole_record, whole_record},
    segment::{
        SEGMENT_HEADER_BYTES, Segment, SegmentFile, header, is_header, is_segment, sync_dir,
    },
};

/// What a folder held.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) segments: VecDeque<Segment>,
    pub(super) last_sequence: u64,
    pub(super) damage: Damage,
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
        if !is_segment(&path) {
            continue;
        }
        let first_sequence = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok())
            .ok_or_else(|| JournalError::UnknownFormat { path: path.clone() })?;
        segments.push(Segment {
            first_sequence,
            size_bytes: entry.metadata().map_err(failed)?.len(),
            is_closed: false,
        });
    }
    segments.sort_by_key(|segment| segment.first_sequence);
    Ok(segments.into())
}

fn repair(dir: &Path, last: &mut Segment, recovered: &mut Recovered) -> Result<(), JournalError> {
    let path = last.path(dir);
    let first_sequence = last.first_sequence;
    recovered.last_sequence = first_sequence.saturating_sub(1);
    let bytes = fs::read(&path).map_err(|source| JournalError::io("read", &path, source))?;
    last.is_closed = !bytes.starts_with(&header(first_sequence));
    if !is_header(&bytes, first_sequence) {
        if bytes.len() <= SEGMENT_HEADER_BYTES {
            tracing::warn!(path = %path.display(), "a journal segment that was torn at its birth is made anew; nothing was in it yet");
            cut(&path, 0)?;
            last.size_bytes = 0;
            return Ok(());
        }
        let records = &bytes[SEGMENT_HEADER_BYTES..];
        if whole_record(records).is_none()
            && next_whole_record(records, recovered.last_sequence).is_none()
        {
            return Err(JournalError::UnknownFormat { path });
        }
        recovered.damage.note_header(&path, first_sequence);
    }
    let mut at = SEGMENT_HEADER_BYTES;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if let Some(record) = whole_record(rest) {
            recovered.last_sequence = record.sequence;
            at += record.record_bytes();
        } else if let Some(skipped) = next_whole_record(rest, recovered.last_sequence) {
            let damage = &recovered.damage;
            damage.note_record(&path, first_sequence, at as u64, skipped);
            at += skipped;
        } else {
            cut_tail(&path, last, at, rest, &recovered.damage)?;
            break;
        }
    }
    last.size_bytes = at as u64;
    Ok(())
}

/// Cuts off what is no record and has none behind it. What may have been a batch that was answered is kept.
fn cut_tail(
    path: &Path,
    segment: &Segment,
    at: usize,
    tail: &[u8],
    damage: &Damage,
) -> Result<(), JournalError> {
    if is_torn(tail) {
        tracing::warn!(
            path = %path.display(), offset = at, bytes = tail.len(),
            "cut a torn tail off the journal: a write that nobody was answered for"
        );
    } else {
        let kept = path.with_extension(format!("{at}.damaged"));
        keep(&kept, tail).map_err(|source| {
            JournalError::io("keep the damaged end of the journal in", &kept, source)
        })?;
        damage.note_tail(&kept, segment.first_sequence, at as u64, tail.len());
    }
    cut(path, at as u64)
}

/// Writes bytes durably behind what a file holds.
fn keep(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn cut(path: &Path, size_bytes: u64) -> Result<(), JournalError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.truncate(size_bytes))
        .map_err(|source| JournalError::io("cut the torn tail off", path, source))
}
