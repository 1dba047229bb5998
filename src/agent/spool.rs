//! Log lines on their way to the server: written here first, sent from here, forgotten once the server has them for good.
//!
//! The spool is a row of segment files of JSON lines. A chunk gets its number when it is written, so one that is sent again
//! after a crash has the same number and the server keeps it once. How far each service's output file was read is part of the
//! same line as the text that was read, so no line is taken twice and none is missed. Invariant: a segment's first line sums up
//! all before it, so older segments may go.

use crate::agent::folder::io_fault;
use crate::clock::{Clock, SystemClock};
use crate::machine::files;
use crate::model::fault::Fault;
use crate::wire::agent::AgentLogChunk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const SEGMENT: u64 = 1024 * 1024;
/// The most text in a chunk.
pub(super) const CHUNK: usize = 64 * 1024;
const BATCH: usize = 256 * 1024;

/// What all earlier segments came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Summary {
    // The last number of each stream.
    last: BTreeMap<String, i64>,
    // How far each output file was read.
    read: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    stream: String,
    seq: i64,
    at_ms: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<(String, u64)>,
}

/// A place in the spool: everything before it has been sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    segment: u64,
    offset: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    writer: String,
    summary: Summary,
    segment: u64,
    file: File,
    size: u64,
    sent: Place,
    unsent: u64,
    flushed: bool,
}

impl Spool {
    /// Opens the spool of this folder, cutting off a line that a crash left unfinished.
    pub(super) fn open(folder: &Path, writer: &str) -> Result<Self, Fault> {
        let failed = |e: io::Error| io_fault("The agent's spool cannot be opened", &e);
        let mut segments = segments(folder).map_err(failed)?;
        let sent: Place = std::fs::read(folder.join("sent"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        while let Some(&number) = segments.last() {
            let path = segment_path(folder, number);
            if let Some((summary, size)) = recover(&path).map_err(failed)? {
                let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
                file.set_len(size).map_err(failed)?;
                let mut spool = Self {
                    folder: folder.to_owned(),
                    writer: writer.to_owned(),
                    summary,
                    segment: number,
                    file,
                    size,
                    sent,
                    unsent: 0,
                    flushed: false,
                };
                spool.unsent = spool.count_unsent(&segments);
                return Ok(spool);
            }
            // Killed while it began this segment; nothing is in it yet.
            std::fs::remove_file(&path).map_err(failed)?;
            segments.pop();
        }
        let summary = Summary::default();
        let (file, size) = begin(folder, sent.segment + 1, &summary).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            writer: writer.to_owned(),
            summary,
            segment: sent.segment + 1,
            file,
            size,
            sent,
            unsent: 0,
            flushed: false,
        })
    }

    fn count_unsent(&self, segments: &[u64]) -> u64 {
        let sizes = segments.iter().filter(|number| **number >= self.sent.segment);
        let total: u64 = sizes
            .filter_map(|number| std::fs::metadata(segment_path(&self.folder, *number)).ok())
            .map(|m| m.len())
            .sum();
        total.saturating_sub(self.sent.offset)
    }

    /// About how many bytes have not been sent.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent
    }

    /// How far an output file has been read.
    pub(super) fn read_until(&self, source: &str) -> u64 {
        self.summary.read.get(source).copied().unwrap_or(0)
    }

    /// Adds a chunk to a stream, and notes how far the output file that it comes from has now been read. Without text only the
    /// note is kept.
    pub(super) fn append(&mut self, stream: &str, text: &str, source: Option<(&str, u64)>) -> io::Result<()> {
        let last = self.summary.last.get(stream).copied().unwrap_or(0);
        let entry = Entry {
            stream: stream.to_owned(),
            seq: if text.is_empty() { last } else { last + 1 },
            at_ms: SystemClock.now().0,
            text: text.replace('\0', "\u{fffd}"),
            source: source.map(|(name, until)| (name.to_owned(), until)),
        };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half a line must not be followed by a whole one.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += line.len() as u64;
        self.unsent += line.len() as u64;
        self.flushed = false;
        note(&mut self.summary, entry);
        if self.size > SEGMENT {
            self.file.sync_data()?;
            let (file, size) = begin(&self.folder, self.segment + 1, &self.summary)?;
            self.segment += 1;
            self.file = file;
            self.size = size;
        }
        Ok(())
    }

    /// The next chunks to send, at most `most` of them, and the place after them.
    pub(super) fn next(&self, most: usize) -> io::Result<Option<(Vec<AgentLogChunk>, Place)>> {
        let mut chunks = Vec::new();
        let mut bytes = 0;
        let mut place = self.sent;
        for number in segments(&self.folder)?.into_iter().filter(|n| *n >= self.sent.segment) {
            if number > place.segment {
                place = Place {
                    segment: number,
                    offset: 0,
                };
            }
            let mut reader = BufReader::new(File::open(segment_path(&self.folder, number))?);
            reader.seek(SeekFrom::Start(place.offset))?;
            let mut line = Vec::new();
            loop {
                line.clear();
                let length = reader.read_until(b'\n', &mut line)?;
                if line.last() != Some(&b'\n') {
                    break;
                }
                let entry: Option<Entry> = serde_json::from_slice(&line).ok();
                if let Some(entry) = entry.filter(|e| !e.text.is_empty()) {
                    if chunks.len() == most || (bytes > 0 && bytes + entry.text.len() > BATCH) {
                        return Ok(Some((chunks, place)));
                    }
                    bytes += entry.text.len();
                    chunks.push(AgentLogChunk {
                        stream: entry.stream,
                        writer: self.writer.clone(),
                        writer_seq: entry.seq,
                        at_ms: entry.at_ms,
                        text: entry.text,
                    });
                }
                place.offset += length as u64;
            }
        }
        Ok((!chunks.is_empty()).then_some((chunks, place)))
    }

    /// What must reach the disk before anything is sent: else a power cut could take back numbers that the server has seen.
    pub(super) fn unflushed(&mut self) -> io::Result<Option<File>> {
        if self.flushed {
            return Ok(None);
        }
        self.flushed = true;
        self.file.try_clone().map(Some)
    }

    /// Everything before this place has been sent.
    pub(super) fn sent(&mut self, place: Place) -> io::Result<()> {
        let text = serde_json::to_vec(&place)?;
        files::replace_unflushed(&self.folder.join("sent"), &text, 0o600)?;
        self.sent = place;
        let all = segments(&self.folder)?;
        for number in all.iter().filter(|n| **n < place.segment) {
            std::fs::remove_file(segment_path(&self.folder, *number))?;
        }
        self.unsent = self.count_unsent(&all);
        Ok(())
    }
}

fn note(summary: &mut Summary, entry: Entry) {
    summary.last.insert(entry.stream, entry.seq);
    match entry.source {
        Some((name, 0)) => {
            summary.read.remove(&name);
        }
        Some((name, until)) => {
            summary.read.insert(name, until);
        }
        None => {}
    }
}

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.jsonl"))
}

fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found: Vec<u64> = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".jsonl")?.parse().ok())
        .collect();
    found.sort_unstable();
    Ok(found)
}

fn begin(folder: &Path, number: u64, summary: &Summary) -> io::Result<(File, u64)> {
    let mut line = serde_json::to_vec(summary)?;
    line.push(b'\n');
    let path = segment_path(folder, number);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)?;
    if let Err(error) = file.write_all(&line) {
        std::fs::remove_file(&path)?;
        return Err(error);
    }
    drop(file);
    Ok((OpenOptions::new().append(true).open(&path)?, line.len() as u64))
}

// What a segment comes to, and how long its whole lines are; nothing where even its first line is not whole.
fn recover(path: &Path) -> io::Result<Option<(Summary, u64)>> {
    let mut text = Vec::new();
    File::open(path)?.read_to_end(&mut text)?;
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut lines = text[..whole].split_inclusive(|b| *b == b'\n');
    let Some(mut summary) = lines.next().and_then(|line| serde_json::from_slice::<Summary>(line).ok()) else {
        return Ok(None);
    };
    for entry in lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok()) {
        note(&mut summary, entry);
    }
    Ok(Some((summary, whole as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(spool: &Spool) -> Vec<(i64, String)> {
        let next = spool.next(1000).unwrap();
        next.map(|(chunks, _)| chunks.into_iter().map(|c| (c.writer_seq, c.text)).collect())
            .unwrap_or_default()
    }

    #[test]
    fn a_chunk_keeps_its_number_across_restarts_until_it_was_sent() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), "w").unwrap();
        spool.append("a", "one\n", None).unwrap();
        spool.append("b", "other\n", None).unwrap();
        spool.append("a", "two\n", None).unwrap();
        let before = texts(&spool);
        drop(spool);
        let mut spool = Spool::open(folder.path(), "w").unwrap();
        assert_eq!(texts(&spool), before);
        let (_, place) = spool.next(2).unwrap().unwrap();
        spool.sent(place).unwrap();
        drop(spool);
        let mut spool = Spool::open(folder.path(), "w").unwrap();
        assert_eq!(texts(&spool), [(2, "two\n".to_owned())]);
        spool.append("a", "three\n", None).unwrap();
        assert_eq!(texts(&spool)[1], (3, "three\n".to_owned()));
    }

    #[test]
    fn a_line_cut_by_a_crash_is_forgotten_and_its_source_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), "w").unwrap();
        spool.append("s", "one\n", Some(("out", 4))).unwrap();
        spool.append("s", "two\n", Some(("out", 8))).unwrap();
        let path = segment_path(folder.path(), spool.segment);
        drop(spool);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let mut spool = Spool::open(folder.path(), "w").unwrap();
        assert_eq!(spool.read_until("out"), 4);
        spool.append("s", "two\n", Some(("out", 8))).unwrap();
        assert_eq!(texts(&spool), [(1, "one\n".to_owned()), (2, "two\n".to_owned())]);
    }

    #[test]
    fn segments_that_were_sent_go_and_their_numbers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), "w").unwrap();
        let text = "x".repeat(CHUNK);
        for _ in 0..40 {
            spool.append("s", &text, Some(("out", 7))).unwrap();
        }
        assert!(segments(folder.path()).unwrap().len() > 2);
        let mut count = 0;
        while let Some((chunks, place)) = spool.next(100).unwrap() {
            count += chunks.len();
            spool.sent(place).unwrap();
        }
        assert_eq!((count, segments(folder.path()).unwrap().len()), (40, 1));
        drop(spool);
        let mut spool = Spool::open(folder.path(), "w").unwrap();
        assert_eq!(spool.read_until("out"), 7);
        spool.append("s", "next\n", None).unwrap();
        assert_eq!(texts(&spool), [(41, "next\n".to_owned())]);
    }
}
