//! Files for containers, sent as the archives that the engine takes: the plain tar format of POSIX, one file each.

use super::ProviderError;
use super::engine::Engine;
use super::failed;
use bollard::query_parameters::{UploadToContainerOptions, UploadToContainerOptionsBuilder};
use futures_util::stream;
use std::path::Path;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

const BLOCK: usize = 512;
const PIECE: usize = 1024 * 1024;

/// Writes a small file of root's into a container.
pub(super) async fn put_text(
    engine: &Engine,
    container: &str,
    folder: &str,
    name: &str,
    mode: u32,
    text: &[u8],
) -> Result<(), ProviderError> {
    let mut all = header(name, mode, text.len() as u64);
    all.extend_from_slice(text);
    all.extend(end(text.len() as u64));
    let client = engine.client().await?;
    let sent = client.upload_to_container(container, Some(to(folder)), bollard::body_full(all.into()));
    sent.await
        .map_err(|e| engine.failed(&format!("{folder}/{name} cannot be written in {container}"), &e))
}

/// Writes a file of this machine into a container, read as it is sent.
pub(super) async fn put_program(
    engine: &Engine,
    container: &str,
    folder: &str,
    name: &str,
    path: &Path,
) -> Result<(), ProviderError> {
    let unreadable = |e: std::io::Error| failed(&format!("{} cannot be read", path.display()), &e);
    let file = File::open(path).await.map_err(unreadable)?;
    let size = file.metadata().await.map_err(unreadable)?.len();
    // Not one byte more than was announced, should the file grow meanwhile.
    let start = (file.take(size), Some(header(name, 0o755, size)), false);
    let body = stream::try_unfold(start, move |(mut file, first, ended)| async move {
        if let Some(first) = first {
            return Ok(Some((first.into(), (file, None, false))));
        }
        if ended {
            return Ok(None);
        }
        let mut piece = Vec::with_capacity(PIECE);
        while piece.len() < PIECE && file.read_buf(&mut piece).await? > 0 {}
        if piece.is_empty() {
            return Ok(Some((end(size).into(), (file, None, true))));
        }
        Ok(Some((piece.into(), (file, None, false))))
    });
    let client = engine.client().await?;
    let sent = client.upload_to_container(container, Some(to(folder)), bollard::body_try_stream(body));
    sent.await
        .map_err(|e| engine.failed(&format!("the agent's program cannot be put into {container}"), &e))
}

fn to(folder: &str) -> UploadToContainerOptions {
    UploadToContainerOptionsBuilder::new().path(folder).build()
}

fn header(name: &str, mode: u32, size: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    // The sum is taken as if it were blanks itself.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(148, &format!("{sum:06o}\u{0} "));
    block
}

// The rest of the last block, and the two empty ones that end an archive.
fn end(size: u64) -> Vec<u8> {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    vec![0; (BLOCK - over) % BLOCK + 2 * BLOCK]
}
