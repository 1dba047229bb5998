//! Accounts and groups of the machine, and whose a file is. What is true is read out of the machine's own files, without a
//! program; only changes go through the tools that keep those files whole.

use super::{Done, Hands, io_fault};
use crate::machine::files;
use crate::model::configuration::{Group, User};
use crate::model::fault::Fault;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// An account as `/etc/passwd` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct Account {
    pub(in crate::agent) uid: u32,
    pub(in crate::agent) gid: u32,
    pub(in crate::agent) home: String,
    comment: String,
    shell: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct KnownGroup {
    gid: u32,
    members: Vec<String>,
}

/// All accounts and groups.
#[derive(Debug, Default)]
pub(in crate::agent) struct Accounts {
    users: BTreeMap<String, Account>,
    groups: BTreeMap<String, KnownGroup>,
}

impl Accounts {
    /// As they are now.
    ///
    /// # Errors
    /// Where the files cannot be read.
    pub(in crate::agent) fn read() -> Result<Self, Fault> {
        let text = |file: &str| fs::read_to_string(file).map_err(|e| io_fault(&format!("{file} cannot be read"), &e));
        Ok(Self::parse(&text("/etc/passwd")?, &text("/etc/group")?))
    }

    fn parse(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let [name, _, uid, gid, comment, home, shell] = line.split(':').collect::<Vec<_>>().try_into().ok()?;
            let account = Account {
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home: home.to_owned(),
                comment: comment.to_owned(),
                shell: shell.to_owned(),
            };
            Some((name.to_owned(), account))
        });
        let groups = group.lines().filter_map(|line| {
            let [name, _, gid, members] = line.split(':').collect::<Vec<_>>().try_into().ok()?;
            let members = members.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
            let gid = gid.parse().ok()?;
            Some((name.to_owned(), KnownGroup { gid, members }))
        });
        Self {
            users: users.collect(),
            groups: groups.collect(),
        }
    }

    /// The account of this name.
    ///
    /// # Errors
    /// `state-failed` where there is none.
    pub(in crate::agent) fn user(&self, name: &str) -> Result<Account, Fault> {
        self.users.get(name).cloned().ok_or_else(|| {
            let fault = Fault::new("state-failed", format!("There is no account {name} on this node"));
            fault.next("Make it with a `user` state before what needs it")
        })
    }

    fn gid(&self, name: &str) -> Result<u32, Fault> {
        self.groups.get(name).map(|group| group.gid).ok_or_else(|| {
            let fault = Fault::new("state-failed", format!("There is no group {name} on this node"));
            fault.next("Make it with a `group` state before what needs it")
        })
    }

    // The groups, other than its own, that an account is in.
    fn groups_of(&self, name: &str) -> Vec<&str> {
        let all = self
            .groups
            .iter()
            .filter(|(_, group)| group.members.iter().any(|m| m == name));
        all.map(|(group, _)| group.as_str()).collect()
    }
}

/// Whose a file or folder should be; what is not given is not looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) owner: Option<&'a str>,
    pub(super) group: Option<&'a str>,
}

impl<'a> Whose<'a> {
    pub(super) fn new(owner: Option<&'a String>, group: Option<&'a String>) -> Self {
        Self {
            owner: owner.map(String::as_str),
            group: group.map(String::as_str),
        }
    }

    fn wanted(&self) -> Result<(Option<u32>, Option<u32>), Fault> {
        let accounts = Accounts::read()?;
        let uid = self.owner.map(|name| accounts.user(name).map(|user| user.uid)).transpose()?;
        let gid = self.group.map(|name| accounts.gid(name)).transpose()?;
        Ok((uid, gid))
    }

    /// What would have to change, for people; nothing where it is theirs already.
    pub(super) fn differs(&self, hands: &Hands, path: &Path) -> Result<Option<String>, Fault> {
        if self.owner.is_none() && self.group.is_none() {
            return Ok(None);
        }
        let shown = |name: Option<&str>| name.unwrap_or("").to_owned();
        let said = format!("given to {}:{}", shown(self.owner), shown(self.group));
        if [self.owner, self.group]
            .into_iter()
            .flatten()
            .any(|name| hands.is_pretended(name))
        {
            return Ok(Some(said));
        }
        let (uid, gid) = self.wanted()?;
        let Ok(now) = fs::symlink_metadata(path) else {
            return Ok(None);
        };
        let same = uid.is_none_or(|uid| uid == now.uid()) && gid.is_none_or(|gid| gid == now.gid());
        Ok((!same).then_some(said))
    }

    /// Gives it to them where it is not theirs, unless this is a plan, and says so.
    pub(super) fn give(&self, hands: &Hands, path: &Path) -> Result<Option<String>, Fault> {
        let said = self.differs(hands, path)?;
        if said.is_none() || hands.is_plan() {
            return Ok(said);
        }
        let (uid, gid) = self.wanted()?;
        // A change of owner takes the bits away that make a program run as its owner.
        let mode = fs::symlink_metadata(path).map(|m| m.permissions().mode() & 0o7777);
        chown(path, uid, gid)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode?)))
            .map_err(|e| io_fault(&format!("{} cannot be given away", path.display()), &e))?;
        Ok(said)
    }
}

impl Hands {
    pub(super) async fn group(&self, group: &Group, stream: &str) -> Result<Done, Fault> {
        let known = Accounts::read()?.groups.remove(&group.name);
        let number = group.gid.map(|gid| gid.to_string());
        match (known, group.present) {
            (None, false) => Ok(Done::Unchanged),
            (Some(_), false) => self.tool(&["groupdel", &group.name], "removed", stream).await,
            (None, true) => {
                self.pretend_account(&group.name);
                let mut command = vec!["groupadd"];
                command.extend(number.iter().flat_map(|gid| ["--gid", gid]));
                command.extend(group.system.then_some("--system"));
                command.push(&group.name);
                self.tool(&command, "made", stream).await
            }
            (Some(known), true) => match &number {
                Some(gid) if *gid != known.gid.to_string() => {
                    let said = format!("number {} became {gid}", known.gid);
                    self.tool(&["groupmod", "--gid", gid, &group.name], &said, stream).await
                }
                _ => Ok(Done::Unchanged),
            },
        }
    }

    pub(super) async fn user(&self, user: &User, stream: &str) -> Result<Done, Fault> {
        let accounts = Accounts::read()?;
        let known = accounts.users.get(&user.name);
        if !user.present {
            return match known {
                None => Ok(Done::Unchanged),
                Some(_) => {
                    self.tool(&["userdel", &user.name], "removed; its home folder stays", stream)
                        .await
                }
            };
        }
        let done = match known {
            None => self.add_user(user, stream).await?,
            Some(known) => self.change_user(user, known, &accounts, stream).await?,
        };
        let Some(keys) = &user.ssh_keys else { return Ok(done) };
        let keys = self.ssh_keys(user, keys)?;
        Ok(match (done, keys) {
            (Done::Unchanged, keys) => keys,
            (done, _) => done,
        })
    }

    async fn add_user(&self, user: &User, stream: &str) -> Result<Done, Fault> {
        self.pretend_account(&user.name);
        let uid = user.uid.map(|uid| uid.to_string());
        let groups = user.groups.as_ref().map(|groups| groups.join(","));
        let mut command = vec!["useradd"];
        command.push(if user.system { "--system" } else { "--create-home" });
        let options = [
            ("--uid", &uid),
            ("--gid", &user.group),
            ("--groups", &groups.filter(|groups| !groups.is_empty())),
            ("--home-dir", &user.home),
            ("--shell", &user.shell),
            ("--comment", &user.comment),
        ];
        for (option, value) in &options {
            command.extend(value.as_deref().iter().flat_map(|value| [*option, value]));
        }
        command.push(&user.name);
        self.tool(&command, "made", stream).await
    }

    async fn change_user(&self, user: &User, known: &Account, accounts: &Accounts, stream: &str) -> Result<Done, Fault> {
        let mut command: Vec<String> = vec!["usermod".to_owned()];
        let mut said = Vec::new();
        let mut differs = |option: &str, what: &str, wanted: Option<String>, now: &str| {
            if let Some(wanted) = wanted.filter(|wanted| wanted != now) {
                said.push(format!("{what} {now} became {wanted}"));
                command.extend([option.to_owned(), wanted]);
            }
        };
        differs("--uid", "number", user.uid.map(|uid| uid.to_string()), &known.uid.to_string());
        if let Some(group) = &user.group
            && accounts.groups.get(group).is_none_or(|g| g.gid != known.gid)
        {
            differs("--gid", "group", Some(group.clone()), &known.gid.to_string());
        }
        differs("--home", "home", user.home.clone(), &known.home);
        differs("--shell", "shell", user.shell.clone(), &known.shell);
        differs("--comment", "comment", user.comment.clone(), &known.comment);
        if let Some(groups) = &user.groups {
            let mut wanted = groups.clone();
            wanted.sort();
            wanted.dedup();
            differs(
                "--groups",
                "groups",
                Some(wanted.join(",")),
                &accounts.groups_of(&user.name).join(","),
            );
        }
        if said.is_empty() {
            return Ok(Done::Unchanged);
        }
        command.push(user.name.clone());
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        self.tool(&command, &said.join("; "), stream).await
    }

    fn ssh_keys(&self, user: &User, keys: &[String]) -> Result<Done, Fault> {
        let Some(account) = Accounts::read()?.users.remove(&user.name) else {
            // Only planned so far.
            return Ok(Done::Unchanged);
        };
        let folder = PathBuf::from(&account.home).join(".ssh");
        let file = folder.join("authorized_keys");
        let mut text = keys.iter().map(|key| key.trim()).collect::<Vec<_>>().join("\n");
        text.push('\n');
        if fs::read_to_string(&file).is_ok_and(|now| now == text) {
            return Ok(Done::Unchanged);
        }
        let said = Done::Changed(format!("{} SSH keys may sign in as it", keys.len()));
        if self.is_plan() {
            return Ok(said);
        }
        let failed = |error| io_fault(&format!("The SSH keys of {} cannot be written", user.name), &error);
        fs::create_dir_all(&folder).map_err(failed)?;
        files::replace(&file, text.as_bytes(), 0o600).map_err(failed)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        for path in [&folder, &file] {
            chown(path, Some(account.uid), Some(account.gid)).map_err(failed)?;
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_as_the_machine_writes_them() {
        let accounts = Accounts::parse(
            "root:x:0:0:root:/root:/bin/bash\nshop:x:998:997:The shop:/srv/shop:/usr/sbin/nologin\nbroken\n",
            "root:x:0:\nadm:x:4:shop,ada\nwww-data:x:33:shop\nshop:x:997:\n",
        );
        let shop = accounts.user("shop").unwrap();
        assert_eq!((shop.uid, shop.gid, shop.home.as_str()), (998, 997, "/srv/shop"));
        assert_eq!(accounts.groups_of("shop"), ["adm", "www-data"]);
        assert_eq!(accounts.gid("adm").unwrap(), 4);
        let fault = accounts.user("nobody-here").unwrap_err();
        assert!(fault.next.contains("`user` state"), "{fault:?}");
    }
}
