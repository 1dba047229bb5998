//! The key file: what secrets in the database are sealed with. Made once, readable by its owner only, and never replaced.

use crate::config::Settings;
use crate::machine::files;
use crate::store::vault::KEY;
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;

/// Where the key is.
pub fn path(settings: &Settings) -> PathBuf {
    if settings.data.key_file.as_os_str().is_empty() {
        settings.data.folder.join("secrets.key")
    } else {
        settings.data.key_file.clone()
    }
}

/// The key; made where there is none.
///
/// # Errors
/// Where the file cannot be read or made, or holds no key.
pub fn load(settings: &Settings) -> Result<[u8; KEY]> {
    let path = path(settings);
    match std::fs::read(&path) {
        Ok(bytes) => match bytes.try_into() {
            Ok(key) => Ok(key),
            Err(_) => bail!("{} holds no key: one has {KEY} bytes", path.display()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key: [u8; KEY] = rand::random();
            files::replace(&path, &key, 0o600).with_context(|| format!("the key file {} cannot be made", path.display()))?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("the key file {} cannot be read", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_from_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.data.folder = folder.path().to_owned();
        let key = load(&settings).unwrap();
        assert_eq!(load(&settings).unwrap(), key);
        let mode = std::fs::metadata(path(&settings)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(path(&settings), "short").unwrap();
        assert!(load(&settings).unwrap_err().to_string().contains("holds no key"));
    }
}
