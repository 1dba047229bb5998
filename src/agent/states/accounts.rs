//! Accounts and groups of the machine, and whose a file is. What is true is read out of the machine's own files, without a
//! program; only changes go through the tools that keep those files whole.

use super::overlay::{Entry, Owner};
use super::{Done, Hands, io_fault};
use crate::machine::files;
use crate::model::configuration::{Group, User};
use crate::model::fault::Fault;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// An account as `/etc/passwd` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::agent) struct Account {
    pub(in crate::agent) uid: u32,
    pub(in crate::agent) gid: u32,
    pub(in crate::agent) home: String,
    comment: String,
    shell: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct KnownGroup {
    gid: u32,
    members: Vec<String>,
}

/// All accounts and groups.
#[derive(Debug, Clone, Default)]
pub(in crate::agent) struct Accounts {
    users: BTreeMap<String, Account>,
    groups: BTreeMap<String, KnownGroup>,
    // Those that a plan pretends and whose numbers the machine would choose.
    numberless: BTreeSet<String>,
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
            numberless: BTreeSet::new(),
        }
    }

    // As an owner of files.
    fn owner(&self, name: &str, number: u32) -> Owner {
        if self.numberless.contains(name) {
            Owner::Name(name.to_owned())
        } else {
            Owner::Number(number)
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

    // As it would be once this state is true.
    fn settle_group(&mut self, group: &Group) {
        if !group.present {
            self.groups.remove(&group.name);
            return;
        }
        let known = self.groups.entry(group.name.clone()).or_insert_with(|| {
            self.numberless.insert(group.name.clone());
            KnownGroup::default()
        });
        if let Some(gid) = group.gid {
            known.gid = gid;
            self.numberless.remove(&group.name);
        }
    }

    // As it would be once this state is true.
    fn settle_user(&mut self, user: &User) {
        if !user.present {
            self.users.remove(&user.name);
            for group in self.groups.values_mut() {
                group.members.retain(|member| *member != user.name);
            }
            // Its own group goes with it.
            let own = self.groups.get(&user.name).is_some_and(|group| group.members.is_empty());
            if own {
                self.groups.remove(&user.name);
            }
            return;
        }
        if !self.users.contains_key(&user.name) {
            self.numberless.insert(user.name.clone());
            let home = format!("/home/{}", user.name);
            let account = Account {
                home,
                ..Account::default()
            };
            self.users.insert(user.name.clone(), account);
            if user.group.is_none() {
                self.groups.entry(user.name.clone()).or_default();
            }
        }
        let gid = user
            .group
            .as_ref()
            .and_then(|group| self.groups.get(group))
            .map(|group| group.gid);
        if let Some(account) = self.users.get_mut(&user.name) {
            account.gid = gid.unwrap_or(account.gid);
            if let Some(uid) = user.uid {
                account.uid = uid;
                // Its own group, if it got one, has the number that is free.
                if user.group.is_some() {
                    self.numberless.remove(&user.name);
                }
            }
            account.home = user.home.clone().unwrap_or_else(|| account.home.clone());
            account.shell = user.shell.clone().unwrap_or_else(|| account.shell.clone());
            account.comment = user.comment.clone().unwrap_or_else(|| account.comment.clone());
        }
        if let Some(wanted) = &user.groups {
            for (name, group) in &mut self.groups {
                group.members.retain(|member| *member != user.name);
                if wanted.contains(name) {
                    group.members.push(user.name.clone());
                }
            }
        }
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

    fn wanted(&self, hands: &Hands) -> Result<(Option<Owner>, Option<Owner>), Fault> {
        let accounts = hands.accounts()?;
        let user = |name| accounts.user(name).map(|user| accounts.owner(name, user.uid));
        let group = |name| accounts.gid(name).map(|gid| accounts.owner(name, gid));
        Ok((self.owner.map(user).transpose()?, self.group.map(group).transpose()?))
    }

    /// What would have to change, for people; nothing where it is theirs already.
    pub(super) fn differs(&self, hands: &Hands, path: &Path) -> Result<Option<String>, Fault> {
        if self.owner.is_none() && self.group.is_none() {
            return Ok(None);
        }
        let shown = |name: Option<&str>| name.unwrap_or("").to_owned();
        let said = format!("given to {}:{}", shown(self.owner), shown(self.group));
        let (user, group) = self.wanted(hands)?;
        let now = match hands.entry(path) {
            Ok(Entry::File(file)) => file.owner,
            Ok(Entry::Folder(folder)) => folder.owner,
            _ => return Ok(None),
        };
        let same = user.is_none_or(|user| user == now.0) && group.is_none_or(|group| group == now.1);
        Ok((!same).then_some(said))
    }

    /// Gives it to them where it is not theirs, unless this is a plan, and says so.
    pub(super) fn give(&self, hands: &Hands, path: &Path) -> Result<Option<String>, Fault> {
        let said = self.differs(hands, path)?;
        if said.is_none() {
            return Ok(said);
        }
        let (user, group) = self.wanted(hands)?;
        let failed = |error| io_fault(&format!("{} cannot be given away", path.display()), &error);
        let owners = (user.clone(), group.clone());
        if let Some(pretended) = hands.pretend(|overlay| overlay.disk.amend(path, None, owners)) {
            return pretended.map(|()| said).map_err(failed);
        }
        let number = |owner| match owner {
            Some(Owner::Number(number)) => Some(number),
            _ => None,
        };
        let (uid, gid) = (number(user), number(group));
        // A change of owner takes the bits away that make a program run as its owner.
        let mode = fs::symlink_metadata(path).map(|m| m.permissions().mode() & 0o7777);
        chown(path, uid, gid)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode?)))
            .map_err(failed)?;
        Ok(said)
    }
}

impl Hands {
    /// The accounts as they are, or as a plan pretends.
    ///
    /// # Errors
    /// Where the files cannot be read.
    pub(super) fn accounts(&self) -> Result<Accounts, Fault> {
        match self.pretend(|overlay| overlay.accounts.clone()).flatten() {
            Some(pretended) => Ok(pretended),
            None => Accounts::read(),
        }
    }

    // Only in a plan: changes the accounts that later states see.
    fn pretend_accounts(&self, change: impl FnOnce(&mut Accounts)) -> Result<(), Fault> {
        if self.is_plan() {
            let mut accounts = self.accounts()?;
            change(&mut accounts);
            self.pretend(|overlay| overlay.accounts = Some(accounts));
        }
        Ok(())
    }

    pub(super) async fn group(&self, group: &Group, stream: &str) -> Result<Done, Fault> {
        let done = self.change_group(group, stream).await?;
        if done != Done::Unchanged {
            self.pretend_accounts(|accounts| accounts.settle_group(group))?;
        }
        Ok(done)
    }

    async fn change_group(&self, group: &Group, stream: &str) -> Result<Done, Fault> {
        let known = self.accounts()?.groups.remove(&group.name);
        let number = group.gid.map(|gid| gid.to_string());
        match (known, group.present) {
            (None, false) => Ok(Done::Unchanged),
            (Some(_), false) => self.tool(&["groupdel", &group.name], "removed", stream).await,
            (None, true) => {
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
        let accounts = self.accounts()?;
        let known = accounts.users.get(&user.name);
        let done = match known {
            None if !user.present => Done::Unchanged,
            Some(_) if !user.present => {
                self.tool(&["userdel", &user.name], "removed; its home folder stays", stream)
                    .await?
            }
            None => self.add_user(user, stream).await?,
            Some(known) => self.change_user(user, known, &accounts, stream).await?,
        };
        if done != Done::Unchanged {
            self.pretend_accounts(|accounts| accounts.settle_user(user))?;
        }
        if known.is_none() && user.present && !user.system {
            self.pretend_home(user)?;
        }
        if !user.present {
            return Ok(done);
        }
        let Some(keys) = &user.ssh_keys else { return Ok(done) };
        let keys = self.ssh_keys(user, keys)?;
        Ok(match (done, keys) {
            (Done::Unchanged, keys) => keys,
            (done, _) => done,
        })
    }

    async fn add_user(&self, user: &User, stream: &str) -> Result<Done, Fault> {
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

    // The home folder that comes with a new account: its bits and what is in it are the machine's own business.
    fn pretend_home(&self, user: &User) -> Result<(), Fault> {
        let home = self.accounts()?.user(&user.name)?.home;
        let real = self.place(&home)?;
        let why = "a new account's home folder is made as the machine is set up";
        self.pretend(|overlay| {
            if matches!(overlay.disk.entry(&real), Ok(Entry::Nothing)) {
                let (there, why) = (true, why.to_owned());
                overlay.disk.put(&real, Entry::Unknown { there, why });
            }
        });
        Ok(())
    }

    fn ssh_keys(&self, user: &User, keys: &[String]) -> Result<Done, Fault> {
        let account = self.accounts()?.user(&user.name)?;
        let folder = PathBuf::from(&account.home).join(".ssh");
        let file = folder.join("authorized_keys");
        let mut text = keys.iter().map(|key| key.trim()).collect::<Vec<_>>().join("\n");
        text.push('\n');
        let failed = |error| io_fault(&format!("The SSH keys of {} cannot be written", user.name), &error);
        let now = self.entry(&file);
        if let Ok(Entry::File(now)) = now
            && now.content.is(text.as_bytes()).map_err(failed)?
        {
            return Ok(Done::Unchanged);
        }
        let said = Done::Changed(format!("{} SSH keys may sign in as it", keys.len()));
        if self.is_plan() {
            self.put_file(&file, text.as_bytes(), 0o600).map_err(failed)?;
            return Ok(said);
        }
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
