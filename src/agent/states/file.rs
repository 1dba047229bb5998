//! A file holds this text, with these permission bits. It is replaced in one step, so no reader finds half of it.

use super::{Done, Hands, mode_bits};
use crate::agent::folder::io_fault;
use crate::model::fault::Fault;
use similar::{ChangeTag, TextDiff};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::PoisonError;

const DIFF_LINES: usize = 20;
// How much of a difference goes into a report.
const DIFF_BYTES: usize = 4096;
const DIFF_LIMIT: usize = 256 * 1024;

impl Hands {
    pub(super) fn file(&self, path: &str, content: &str, mode: &str, secret: bool, stream: &str) -> Result<Done, Fault> {
        let real = self.confines.check(path)?;
        let bits = mode_bits(mode)?;
        let failed = |error| io_fault(&format!("The file {path} cannot be written"), &error);
        let before = self.read_file(&real).map_err(failed)?;
        if let Some((bytes, now)) = &before
            && bytes == content.as_bytes()
        {
            if *now == bits {
                return Ok(Done::Unchanged);
            }
            if !self.is_plan() {
                fs::set_permissions(&real, fs::Permissions::from_mode(bits)).map_err(failed)?;
            }
            return Ok(Done::Changed(format!("mode {now:04o} became {bits:04o}")));
        }
        self.put_file(&real, content.as_bytes(), bits).map_err(failed)?;
        Ok(Done::Changed(match before {
            _ if secret => "written; its content is secret".to_owned(),
            None => format!("written, {} bytes", content.len()),
            Some((before, _)) => self.difference(&String::from_utf8_lossy(&before), content, stream),
        }))
    }

    fn difference(&self, before: &str, after: &str, stream: &str) -> String {
        if before.len() + after.len() > DIFF_LIMIT {
            return format!("written, {} bytes", after.len());
        }
        let diff = TextDiff::from_lines(before, after);
        let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
        let (added, removed) = (count(ChangeTag::Insert), count(ChangeTag::Delete));
        let unified = diff.unified_diff().context_radius(1).to_string();
        if !self.is_plan() {
            for line in unified.lines().take(DIFF_LINES) {
                self.logs.line(stream, &format!("  {line}"));
            }
            if unified.lines().count() > DIFF_LINES {
                self.logs.line(stream, "  …");
            }
        }
        let shown = unified.floor_char_boundary(DIFF_BYTES.min(unified.len()));
        let mut diff = self.diff.lock().unwrap_or_else(PoisonError::into_inner);
        *diff = self.veil.cover(&unified[..shown]).into_owned();
        drop(diff);
        format!("{added} lines added, {removed} removed")
    }
}
