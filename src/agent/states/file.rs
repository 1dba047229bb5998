//! A file holds this text, with these permission bits. It is replaced in one step, so no reader finds half of it.

use super::{Done, Hands, mode_bits};
use crate::agent::folder::io_fault;
use crate::machine::files;
use crate::model::fault::Fault;
use similar::{ChangeTag, TextDiff};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const DIFF_LINES: usize = 20;
const DIFF_LIMIT: usize = 256 * 1024;

impl Hands {
    pub(super) fn file(&self, path: &str, content: &str, mode: &str, secret: bool, stream: &str) -> Result<Done, Fault> {
        let real = self.confines.check(path)?;
        let bits = mode_bits(mode)?;
        let failed = |error| io_fault(&format!("The file {path} cannot be written"), &error);
        let before = match fs::read(&real) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if before.as_deref() == Some(content.as_bytes()) {
            let now = fs::metadata(&real).map_err(failed)?.permissions().mode() & 0o7777;
            if now == bits {
                return Ok(Done::Unchanged);
            }
            fs::set_permissions(&real, fs::Permissions::from_mode(bits)).map_err(failed)?;
            return Ok(Done::Changed(format!("mode {now:04o} became {bits:04o}")));
        }
        if let Some(folder) = real.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        files::replace(&real, content.as_bytes(), bits).map_err(failed)?;
        Ok(Done::Changed(match before {
            _ if secret => "written; its content is secret".to_owned(),
            None => format!("written, {} bytes", content.len()),
            Some(before) => self.difference(&String::from_utf8_lossy(&before), content, stream),
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
        for line in unified.lines().take(DIFF_LINES) {
            self.logs.line(stream, &format!("  {line}"));
        }
        if unified.lines().count() > DIFF_LINES {
            self.logs.line(stream, "  …");
        }
        format!("{added} lines added, {removed} removed")
    }
}
