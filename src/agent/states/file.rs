//! A file holds this text, with these permission bits. It is replaced in one step, so no reader finds half of it.

use super::accounts::Whose;
use super::overlay::Entry;
use super::{Done, Hands, mode_bits};
use crate::agent::folder::io_fault;
use crate::machine::files;
use crate::model::fault::Fault;
use similar::{ChangeTag, TextDiff};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);
const DIFF_LINES: usize = 20;
// How much of a difference goes into a report.
const DIFF_BYTES: usize = 4096;
const DIFF_LIMIT: usize = 256 * 1024;

/// A file as it should be.
pub(super) struct FileState<'a> {
    pub(super) path: &'a str,
    pub(super) content: &'a str,
    pub(super) mode: &'a str,
    pub(super) secret: bool,
    pub(super) whose: Whose<'a>,
    pub(super) validate: &'a [String],
}

impl Hands {
    pub(super) async fn file(&self, file: FileState<'_>, stream: &str) -> Result<Done, Fault> {
        let FileState {
            path,
            content,
            mode,
            secret,
            whose,
            validate,
        } = file;
        let real = self.place(path)?;
        let bits = mode_bits(mode)?;
        let failed = |error| io_fault(&format!("The file {path} cannot be written"), &error);
        let entry = self.entry(&real).map_err(failed)?;
        let before = match &entry {
            Entry::File(now) if now.content.is(content.as_bytes()).map_err(failed)? => {
                let owner = whose.give(self, &real)?;
                if now.bits == bits {
                    return Ok(owner.map_or(Done::Unchanged, Done::Changed));
                }
                self.set_bits(&real, bits).map_err(failed)?;
                return Ok(Done::Changed(format!("mode {:04o} became {bits:04o}", now.bits)));
            }
            Entry::File(now) => now.content.bytes().map_err(failed)?,
            Entry::Folder(_) => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Entry::Nothing | Entry::Link(_) | Entry::Unknown { .. } => None,
        };
        if !validate.is_empty() && !self.is_plan() {
            self.validate(&real, content, validate, stream).await?;
        }
        self.put_file(&real, content.as_bytes(), bits).map_err(failed)?;
        whose.give(self, &real)?;
        if let Entry::Unknown { why, .. } = entry {
            return Ok(Done::Unknown(why));
        }
        let mut said = match before {
            _ if secret => "written; its content is secret".to_owned(),
            None => format!("written, {} bytes", content.len()),
            Some(before) => self.difference(&String::from_utf8_lossy(&before), content, stream),
        };
        if !validate.is_empty() && self.is_plan() {
            said = format!("{said}, if `{}` accepts it", validate.join(" "));
        }
        Ok(Done::Changed(said))
    }

    // Asks a program whether the new content will do, before anything reads it. What it is asked about is beside the file, as
    // private as can be, and gone afterwards.
    async fn validate(&self, real: &Path, content: &str, command: &[String], stream: &str) -> Result<(), Fault> {
        let beside = files::beside(real);
        let shown = real.display();
        let failed = |error| io_fault(&format!("The file {shown} cannot be written"), &error);
        if let Some(folder) = real.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        files::replace_unflushed(&beside, content.as_bytes(), 0o600).map_err(failed)?;
        let name = beside.display().to_string();
        let whole: Vec<String> = command.iter().map(|argument| argument.replace("{}", &name)).collect();
        let env = BTreeMap::new();
        let ended = self
            .run("validate", &whole, Path::new("/"), &env, PATIENCE, stream, "  ")
            .await;
        let _ = fs::remove_file(&beside);
        let ended = ended?;
        if ended.is_good() {
            return Ok(());
        }
        let what = format!(
            "`{}` does not accept the new {shown}, so the old one stays",
            command.join(" ")
        );
        Err(ended.fault("state-failed", what, PATIENCE))
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
