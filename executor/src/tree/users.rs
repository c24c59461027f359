//! Users and groups by name: what `USER` and `--chown` mean in a tree.

use std::path::Path;

use super::stack::LayerStack;
use super::{Owner, TreeError};

/// As much of `/etc/passwd` and `/etc/group` as is read.
const LIMIT: u64 = 10 << 20;

/// Who runs a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunUser {
    /// The user's number.
    pub uid: u32,
    /// The main group's number.
    pub gid: u32,
    /// The other groups.
    pub groups: Vec<u32>,
    /// The home directory; `/` for a user without an entry.
    pub home: String,
}

/// A line of `/etc/passwd`.
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// A line of `/etc/group`.
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// Resolves what `USER` says: `user`, `uid`, `user:group`; empty is root.
///
/// A number needs no entry, a name does. Without a group it is the entry's own, with the groups that list the user; a group
/// that is given is the only one.
pub fn run_user(stack: &LayerStack, spec: &str) -> Result<RunUser, TreeError> {
    let (user, group) = split(spec);
    let user = if user.is_empty() { "0" } else { user };
    let number: Option<u32> = user.parse().ok();
    let accounts = accounts(stack)?;
    // A number that is some entry's name is that name, as everywhere.
    let account = accounts
        .iter()
        .find(|account| account.name == user)
        .or_else(|| number.and_then(|uid| accounts.iter().find(|account| account.uid == uid)));
    let uid = match (account, number) {
        (Some(account), _) => account.uid,
        (None, Some(uid)) => uid,
        (None, None) => return Err(unknown("user", user, "/etc/passwd")),
    };
    let home = account.map_or("/", |account| account.home.as_str());
    let home = if home.is_empty() { "/".to_owned() } else { home.to_owned() };
    if let Some(group) = group.filter(|group| !group.is_empty()) {
        let Some(gid) = find_group(stack, group)? else { return Err(unknown("group", group, "/etc/group")) };
        return Ok(RunUser { uid, gid, groups: Vec::new(), home });
    }
    let Some(account) = account else { return Ok(RunUser { uid, gid: 0, groups: Vec::new(), home }) };
    let mut supplementary: Vec<u32> = groups(stack)?
        .into_iter()
        .filter(|group| group.members.contains(&account.name) && group.gid != account.gid)
        .map(|group| group.gid)
        .collect();
    supplementary.sort_unstable();
    supplementary.dedup();
    Ok(RunUser { uid, gid: account.gid, groups: supplementary, home })
}

/// Resolves what `--chown` says: `user`, `uid`, `user:group`.
///
/// A number alone is the group's number too. A name without an entry is 0, as in BuildKit.
pub fn owner(stack: &LayerStack, spec: &str) -> Result<Owner, TreeError> {
    let (user, group) = split(spec);
    if user.is_empty() && group.is_none_or(str::is_empty) {
        return Err(TreeError::User(format!("`--chown={spec}` names no user")));
    }
    let mut owner = match user.parse::<u32>() {
        Ok(uid) => Owner { uid, gid: uid },
        Err(_) if user.is_empty() => Owner::default(),
        Err(_) => {
            let accounts = accounts(stack)?;
            let account = accounts.iter().find(|account| account.name == user);
            account.map_or(Owner::default(), |account| Owner { uid: account.uid, gid: account.gid })
        }
    };
    if let Some(group) = group.filter(|group| !group.is_empty()) {
        owner.gid = match group.parse::<u32>() {
            Ok(gid) => gid,
            // The group that a user's name brought stays where the group's own name is not known.
            Err(_) => find_group(stack, group)?.unwrap_or(owner.gid),
        };
    }
    Ok(owner)
}

/// Tells whether a `--chown` is all numbers, so that no tree is needed for it.
pub fn is_numeric(spec: &str) -> bool {
    let (user, group) = split(spec);
    user.parse::<u32>().is_ok() && group.is_none_or(|group| group.parse::<u32>().is_ok())
}

fn split(spec: &str) -> (&str, Option<&str>) {
    spec.split_once(':').map_or((spec, None), |(user, group)| (user, Some(group)))
}

fn unknown(what: &str, name: &str, file: &str) -> TreeError {
    TreeError::User(format!("no {what} `{name}` in the image's {file}; add it there, or give its number"))
}

fn find_group(stack: &LayerStack, name: &str) -> Result<Option<u32>, TreeError> {
    let found = groups(stack)?.into_iter().find(|group| group.name == name).map(|group| group.gid);
    Ok(found.or_else(|| name.parse().ok()))
}

fn accounts(stack: &LayerStack) -> Result<Vec<Account>, TreeError> {
    let text = text(stack, "/etc/passwd")?;
    let account = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.trim().parse().ok()?;
        let gid = fields.next()?.trim().parse().ok()?;
        let home = fields.nth(1).unwrap_or_default().to_owned();
        Some(Account { name, uid, gid, home })
    };
    Ok(lines(&text).filter_map(account).collect())
}

fn groups(stack: &LayerStack) -> Result<Vec<Group>, TreeError> {
    let text = text(stack, "/etc/group")?;
    let group = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let gid = fields.nth(1)?.trim().parse().ok()?;
        let members =
            fields.next().unwrap_or_default().split(',').map(|name| name.trim().to_owned()).collect();
        Some(Group { name, gid, members })
    };
    Ok(lines(&text).filter_map(group).collect())
}

/// Lines that are no comments. A line that makes no sense is passed over: it must not stop a build.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn text(stack: &LayerStack, path: &str) -> Result<String, TreeError> {
    let bytes = stack.read(Path::new(path), LIMIT)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
