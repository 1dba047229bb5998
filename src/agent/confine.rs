//! Where states may write: anywhere on a server of their own, and only below one folder in a sandbox.
//!
//! A path is judged by where it leads once links are followed, not by how it is spelled. The agent's own folder is never a
//! state's to write to.

use crate::model::fault::Fault;
use std::io;
use std::path::{Component, Path, PathBuf};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Confines {
    inside: Option<PathBuf>,
    own: PathBuf,
}

impl Confines {
    /// States may write below `inside` where it is given, and never below the agent's folder.
    pub(super) fn new(inside: Option<&Path>, own: &Path) -> Self {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self {
            inside: inside.map(real),
            own: real(own),
        }
    }

    /// The path of an entry itself, with links followed up to its folder: for what makes, replaces or removes a link.
    ///
    /// # Errors
    /// `configuration-refused`.
    pub(super) fn check_entry(&self, path: &str) -> Result<PathBuf, Fault> {
        self.judge_entry(path, follow)
    }

    /// As [`Self::check_entry`], with links followed in this way.
    ///
    /// # Errors
    /// `configuration-refused`.
    pub(super) fn judge_entry(&self, path: &str, follow: impl Fn(&Path) -> io::Result<PathBuf>) -> Result<PathBuf, Fault> {
        let asked = Path::new(path);
        let (Some(folder), Some(name)) = (asked.parent().and_then(Path::to_str), asked.file_name()) else {
            return self.judge(path, follow);
        };
        if asked.components().any(|part| matches!(part, Component::ParentDir)) {
            return self.judge(path, follow);
        }
        let real = if folder == "/" {
            PathBuf::from("/")
        } else {
            self.judge(folder, &follow)?
        }
        .join(name);
        if real.starts_with(&self.own) || self.own.starts_with(&real) {
            return self.judge(&real.display().to_string(), follow);
        }
        Ok(real)
    }

    /// Whether states may only write below one folder.
    pub(super) fn is_sandbox(&self) -> bool {
        self.inside.is_some()
    }

    /// The path, with links followed, if a state may write there.
    ///
    /// # Errors
    /// `configuration-refused`.
    pub(super) fn check(&self, path: &str) -> Result<PathBuf, Fault> {
        self.judge(path, follow)
    }

    /// As [`Self::check`], with links followed in this way.
    ///
    /// # Errors
    /// `configuration-refused`.
    pub(super) fn judge(&self, path: &str, follow: impl Fn(&Path) -> io::Result<PathBuf>) -> Result<PathBuf, Fault> {
        let refuse = |why: String| {
            let shown: String = path.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(Fault::new("configuration-refused", format!("The agent does not write to {shown}")).why(why))
        };
        let asked = Path::new(path);
        if path.contains('\0') || !asked.is_absolute() {
            return refuse("a path must be absolute".to_owned());
        }
        if asked.components().any(|part| matches!(part, Component::ParentDir)) {
            return refuse("a path must not hold `..`".to_owned());
        }
        let real = match follow(asked) {
            Ok(real) => real,
            Err(error) => return refuse(error.to_string()),
        };
        if real.starts_with(&self.own) {
            return refuse("the agent's own folder is not a state's to write to".to_owned());
        }
        match &self.inside {
            Some(inside) if !real.starts_with(inside) => {
                let advice = "use a provider with whole machines, such as Docker or EC2, for recipes that write elsewhere";
                refuse(format!("in a sandbox it must be below {}; {advice}", inside.display()))
            }
            _ => Ok(real),
        }
    }
}

// The path with the links of all that is there followed. What is not there yet is made by us, so it is no link.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut missing = Vec::new();
    let mut there = path;
    loop {
        match there.canonicalize() {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |path, name| path.join(name))),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // A link to nothing would be written through.
            Err(_) if there.is_symlink() => return Err(io::Error::other("it is a link that leads nowhere")),
            Err(error) => {
                let (Some(parent), Some(name)) = (there.parent(), there.file_name()) else {
                    return Err(error);
                };
                missing.push(name);
                there = parent;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_is_written_outside_whichever_way_the_path_goes() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("sandbox");
        std::fs::create_dir_all(inside.join("agent")).unwrap();
        std::fs::create_dir_all(inside.join("apps")).unwrap();
        symlink("/etc", inside.join("apps/etc")).unwrap();
        symlink("/nowhere/at/all", inside.join("apps/dangling")).unwrap();
        symlink(inside.join("agent"), inside.join("apps/key")).unwrap();
        let confines = Confines::new(Some(&inside), &inside.join("agent"));
        let shown = |rest: &str| format!("{}{rest}", inside.display());
        for bad in [
            "/etc/passwd".to_owned(),
            "relative".to_owned(),
            String::new(),
            shown("/../outside"),
            shown("-beside/file"),
            shown("/apps/etc/passwd"),
            shown("/apps/etc"),
            shown("/apps/dangling"),
            shown("/apps/dangling/file"),
            shown("/apps/key/key"),
            shown("/agent/key"),
            shown("/apps/a\0b"),
        ] {
            let fault = confines.check(&bad).unwrap_err();
            assert_eq!(fault.code, "configuration-refused", "{bad:?}");
        }
        let good = shown("/apps/new/folder/file");
        assert_eq!(
            confines.check(&good).unwrap(),
            inside.canonicalize().unwrap().join("apps/new/folder/file")
        );
    }

    #[test]
    fn a_server_of_its_own_may_be_written_anywhere_but_in_the_agents_folder() {
        let folder = tempfile::tempdir().unwrap();
        let confines = Confines::new(None, folder.path());
        assert!(confines.check("/etc/apps/storefront.toml").is_ok());
        assert!(confines.check(&folder.path().join("key").display().to_string()).is_err());
    }
}
