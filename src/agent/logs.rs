//! Lines for people: what the agent does and what its services say, on their way into the spool and from there to the server.
//!
//! Services write to files of their own and not to the agent, so they neither stop nor lose a line when the agent dies; the
//! agent reads those files. The invariant: memory and disk stay bounded however long the server is away, and where lines had to
//! go, a line says how many.

use super::folder::{Folder, io_fault};
use super::link::{Link, LinkError};
use super::options::Echo;
use super::secrets::Veil;
use super::spool::{CHUNK, Place, Spool};
use crate::model::fault::Fault;
use crate::wire::agent::{AgentLogChunk, LogBatch};
use rustix::fs::FallocateFlags;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

// What may wait in the spool, and what may wait unread in the file of one service.
const SPOOL_LIMIT: u64 = 16 * 1024 * 1024;
const OUTPUT_LIMIT: u64 = 32 * 1024 * 1024;
// Read parts of output files are given back in pieces of this size; files that cannot give back are cut at the second.
const GIVE_BACK: u64 = 1024 * 1024;
const CUT_AT: u64 = 512 * 1024 * 1024;
const GATHER: Duration = Duration::from_millis(25);
const LOOK: Duration = Duration::from_millis(80);
// A line without an end is passed on as it is after this time.
const STALE: Duration = Duration::from_secs(1);

/// See the module. Clones are the same logs.
#[derive(Debug, Clone)]
pub(super) struct Logs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    state: Mutex<State>,
    written: Notify,
    spooled: Notify,
    veil: Veil,
    // Who hears the agent's own lines instead of the server.
    echo: Option<Echo>,
}

#[derive(Debug)]
struct State {
    spool: Spool,
    // The agent's own lines that are not in the spool yet.
    waiting: Vec<(String, String)>,
    dropped: BTreeMap<String, u64>,
    outputs: BTreeMap<String, Output>,
}

#[derive(Debug, Default)]
struct Output {
    given_back: u64,
    unfinished_since: Option<Instant>,
    closed: bool,
}

impl Logs {
    /// The logs kept in the agent's folder.
    pub(super) fn open(folder: &Folder, writer: &str, veil: Veil, echo: Option<Echo>) -> Result<Self, Fault> {
        let path = folder.file("spool");
        let spool = Spool::open(&path, writer)?;
        Ok(Self(Arc::new(Inner {
            folder: path,
            state: Mutex::new(State {
                spool,
                waiting: Vec::new(),
                dropped: BTreeMap::new(),
                outputs: BTreeMap::new(),
            }),
            written: Notify::new(),
            spooled: Notify::new(),
            veil,
            echo,
        })))
    }

    /// Adds a line of the agent's own to a stream.
    pub(super) fn line(&self, stream: &str, text: &str) {
        let text = self.0.veil.cover(text);
        if let Some(echo) = &self.0.echo {
            echo.say(&text);
            return;
        }
        let mut state = self.state();
        if state.spool.unsent() > SPOOL_LIMIT {
            *state.dropped.entry(stream.to_owned()).or_default() += 1;
            return;
        }
        let mut rest = text.trim_end_matches('\n');
        loop {
            let (part, left) = rest.split_at(cut(rest, CHUNK - 1));
            match state.waiting.last_mut() {
                Some((last, waiting)) if last == stream && waiting.len() + part.len() < CHUNK => {
                    waiting.push_str(part);
                    waiting.push('\n');
                }
                _ => state.waiting.push((stream.to_owned(), format!("{part}\n"))),
            }
            if left.is_empty() {
                break;
            }
            rest = left;
        }
        drop(state);
        self.0.written.notify_one();
    }

    /// Adds a line that only someone who reads all of it wants to see.
    pub(super) fn detail(&self, stream: &str, text: &str) {
        if self.0.echo.is_none() {
            self.line(stream, text);
        }
    }

    /// The file that a service writes to, opened for it; its lines are passed on from now on.
    pub(super) fn output(&self, service: &str) -> Result<File, Fault> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.output_path(service))
            .map_err(|e| io_fault(&format!("The output file of {service} cannot be opened"), &e))?;
        self.follow(service);
        Ok(file)
    }

    /// Passes on the lines of a service that runs already.
    pub(super) fn follow(&self, service: &str) {
        self.state().outputs.entry(service.to_owned()).or_default().closed = false;
    }

    /// Passes on what is left of a service's lines, then forgets its file.
    pub(super) fn close(&self, service: &str) {
        self.state().outputs.entry(service.to_owned()).or_default().closed = true;
    }

    /// What a service said last.
    pub(super) fn last_lines(&self, service: &str) -> Vec<String> {
        let mut text = Vec::new();
        if let Ok(file) = File::open(self.output_path(service)) {
            let length = file.metadata().map_or(0, |m| m.len());
            text.resize(usize::try_from(length.min(16 * 1024)).unwrap_or(0), 0);
            let _ = file.read_exact_at(&mut text, length.saturating_sub(16 * 1024));
        }
        // What was given back to the file system reads as zeros.
        let text: Vec<u8> = text.into_iter().filter(|b| *b != 0).collect();
        let text = String::from_utf8_lossy(&text);
        let text = self.0.veil.cover(&text);
        text.lines().map(|l| l.chars().take(500).collect()).collect()
    }

    fn output_path(&self, service: &str) -> PathBuf {
        self.0.folder.join(format!("{service}.out"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves lines into the spool for as long as it is polled.
    pub(super) async fn gather(&self) {
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = self.0.written.notified() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(LOOK) => {}
            }
            let outputs = looked.elapsed() >= LOOK;
            if outputs {
                looked = Instant::now();
            }
            self.take_up(outputs);
        }
    }

    /// Moves all lines there are into the spool.
    pub(super) fn take_up(&self, outputs: bool) {
        let mut state = self.state();
        let state = &mut *state;
        if state.spool.unsent() < SPOOL_LIMIT / 2 {
            for (stream, count) in std::mem::take(&mut state.dropped) {
                let note = format!("… {count} lines were dropped here: the server was away and the spool was full\n");
                state.waiting.push((stream, note));
            }
        }
        let mut kept = Vec::new();
        for (stream, text) in std::mem::take(&mut state.waiting) {
            if kept.is_empty() && state.spool.append(&stream, &text, None).is_ok() {
                self.0.spooled.notify_one();
                continue;
            }
            // The disk is full: kept in memory, within bounds, until there is room again.
            if kept.len() < 64 {
                kept.push((stream, text));
            } else {
                *state.dropped.entry(stream).or_default() += text.lines().count() as u64;
            }
        }
        state.waiting = kept;
        if !outputs {
            return;
        }
        let names: Vec<String> = state.outputs.keys().cloned().collect();
        for name in names {
            if let Err(error) = self.read_output(state, &name) {
                tracing::warn!(service = name, %error, "the output of a service cannot be passed on now");
            }
        }
    }

    fn read_output(&self, state: &mut State, service: &str) -> io::Result<()> {
        let path = self.output_path(service);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                state.outputs.remove(service);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let stream = format!("service/{service}");
        let output = state.outputs.entry(service.to_owned()).or_default();
        loop {
            let length = file.metadata()?.len();
            let mut from = state.spool.read_until(service);
            if from > length {
                // Cut by an agent that was killed before it could say so.
                from = 0;
            }
            if length - from > OUTPUT_LIMIT {
                let until = length - OUTPUT_LIMIT / 2;
                let (lines, until) = count_lines(&file, from, until)?;
                let note = format!("… {lines} lines were dropped here: the service said more than could be passed on\n");
                state.spool.append(&stream, &note, Some((service, until)))?;
                continue;
            }
            if from == length {
                output.unfinished_since = None;
                break;
            }
            if state.spool.unsent() > SPOOL_LIMIT {
                break;
            }
            let mut bytes = vec![0; usize::try_from((length - from).min(CHUNK as u64)).unwrap_or(CHUNK)];
            file.read_exact_at(&mut bytes, from)?;
            let stale = output.closed || output.unfinished_since.is_some_and(|since| since.elapsed() > STALE);
            let Some(taken) = whole_lines(&bytes, stale) else {
                output.unfinished_since.get_or_insert_with(Instant::now);
                break;
            };
            output.unfinished_since = None;
            let text = String::from_utf8_lossy(&bytes[..taken]);
            state
                .spool
                .append(&stream, &self.0.veil.cover(&text), Some((service, from + taken as u64)))?;
            self.0.spooled.notify_one();
        }
        let read = state.spool.read_until(service);
        if output.closed && read == file.metadata()?.len() {
            std::fs::remove_file(&path)?;
            state.spool.append(&stream, "", Some((service, 0)))?;
            state.outputs.remove(service);
            return Ok(());
        }
        if read > CUT_AT && read == file.metadata()?.len() {
            file.set_len(0)?;
            state.spool.append(&stream, "", Some((service, 0)))?;
            output.given_back = 0;
        } else if read >= output.given_back + 2 * GIVE_BACK {
            // The last lines stay readable for those who ask why the service ended.
            let until = read - GIVE_BACK;
            let freed = rustix::fs::fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, until);
            if freed.is_ok() {
                output.given_back = until;
            }
        }
        Ok(())
    }

    fn next(&self, most: usize) -> Option<(Vec<AgentLogChunk>, Place)> {
        let next = self.state().spool.next(most);
        next.map_err(|error| tracing::warn!(%error, "the spool cannot be read now"))
            .unwrap_or(None)
    }

    /// Sends what is in the spool, for as long as it is polled.
    pub(super) async fn ship(&self, link: &Link) {
        let mut attempt = 0;
        let mut most = 256;
        loop {
            let Some((chunks, place)) = self.next(most) else {
                tokio::select! {
                    () = self.0.spooled.notified() => {}
                    () = tokio::time::sleep(STALE) => {}
                }
                continue;
            };
            let single = chunks.len() == 1;
            match self.send(link, chunks).await {
                Ok(()) => {
                    (attempt, most) = (0, 256);
                    self.done(place);
                }
                // One by one, so that only the one at fault is given up.
                Err(LinkError::Refused(_)) if !single => most = 1,
                Err(LinkError::Refused(why)) => {
                    tracing::error!(why, "the server will never take this piece of a log; it is given up");
                    self.done(place);
                }
                Err(_) => {
                    link.pause(attempt).await;
                    attempt += 1;
                }
            }
        }
    }

    async fn send(&self, link: &Link, chunks: Vec<AgentLogChunk>) -> Result<(), LinkError> {
        let unflushed = self.state().spool.unflushed();
        let flushed = match unflushed {
            Ok(Some(file)) => tokio::task::spawn_blocking(move || file.sync_data())
                .await
                .map_err(io::Error::other),
            Ok(None) => Ok(Ok(())),
            Err(error) => Err(error),
        };
        if let Err(error) | Ok(Err(error)) = flushed {
            return Err(LinkError::Away(format!("the spool cannot be flushed: {error}")));
        }
        link.logs(&LogBatch { chunks }).await
    }

    fn done(&self, place: Place) {
        if let Err(error) = self.state().spool.sent(place) {
            tracing::warn!(%error, "it cannot be noted what was sent; it will be sent again");
        }
    }

    /// Waits until everything has been sent, or this long.
    pub(super) async fn drained(&self, patience: Duration) {
        let began = Instant::now();
        while began.elapsed() < patience {
            self.take_up(true);
            if self.next(1).is_none() {
                return;
            }
            tokio::time::sleep(GATHER).await;
        }
    }
}

// How much of these bytes makes whole lines; where there is none, all of it once it fills a chunk or nothing more is expected.
fn whole_lines(bytes: &[u8], stale: bool) -> Option<usize> {
    if let Some(end) = bytes.iter().rposition(|b| *b == b'\n') {
        return Some(end + 1);
    }
    if bytes.len() < CHUNK && !stale {
        return None;
    }
    // Not in the middle of a character.
    let end = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    };
    Some(end)
}

fn count_lines(file: &File, from: u64, until: u64) -> io::Result<(u64, u64)> {
    let mut buffer = vec![0; CHUNK];
    let (mut lines, mut at) = (0, from);
    loop {
        let read = file.read_at(&mut buffer, at)?;
        for byte in &buffer[..read] {
            at += 1;
            if *byte == b'\n' {
                lines += 1;
                if at >= until {
                    return Ok((lines, at));
                }
            }
        }
        if read == 0 {
            return Ok((lines, at));
        }
    }
}

fn cut(text: &str, most: usize) -> usize {
    text.floor_char_boundary(most.min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_whole_until_waiting_makes_no_sense() {
        assert_eq!(whole_lines(b"one\ntw", false), Some(4));
        assert_eq!(whole_lines(b"tw", false), None);
        assert_eq!(whole_lines(b"tw", true), Some(2));
        assert_eq!(whole_lines("x\u{e4}".as_bytes().split_last().unwrap().1, true), Some(1));
        assert_eq!(whole_lines(&vec![b'x'; CHUNK], false), Some(CHUNK));
    }

    fn ours(taken: crate::agent::folder::Taken) -> Folder {
        match taken {
            crate::agent::folder::Taken::Ours(folder) => folder,
            crate::agent::folder::Taken::By(holder) => panic!("{holder}"),
        }
    }

    #[test]
    fn what_a_service_says_is_taken_once_across_restarts_and_the_flood_is_counted() {
        let path = tempfile::tempdir().unwrap();
        let open = || {
            let folder = ours(Folder::take(path.path(), "lock").unwrap());
            let logs = Logs::open(&folder, "w", Veil::default(), None).unwrap();
            logs.follow("web");
            logs
        };
        let texts = |logs: &Logs| {
            let chunks = logs.next(1000).map(|(chunks, _)| chunks).unwrap_or_default();
            chunks.into_iter().map(|c| c.text).collect::<String>()
        };
        let logs = open();
        let mut out = logs.output("web").unwrap();
        io::Write::write_all(&mut out, b"one\ntwo\nthr").unwrap();
        logs.take_up(true);
        assert_eq!(texts(&logs), "one\ntwo\n");
        drop(logs);
        let logs = open();
        io::Write::write_all(&mut out, b"ee\n").unwrap();
        logs.take_up(true);
        assert_eq!(texts(&logs), "one\ntwo\nthree\n");
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..OUTPUT_LIMIT / 1024 + 10 {
            io::Write::write_all(&mut out, line.as_bytes()).unwrap();
        }
        logs.take_up(true);
        let dropped = texts(&logs).lines().find_map(|l| {
            let rest = l.strip_prefix("… ")?;
            rest.split(' ').next()?.parse::<u64>().ok()
        });
        assert_eq!(dropped, Some(OUTPUT_LIMIT / 1024 + 10 - OUTPUT_LIMIT / 2 / 1024));
    }
}
