//! The tables of the state types that need a whole machine.

use super::{ARGUMENTS, COMMON, MODE};
use crate::recipes::rules;
use crate::recipes::shape::{Field, Record, Shape, optional, required};

const PATH: Field = required("path", Shape::Text(&rules::PATH), "Where");
const PRESENT: Field = optional(
    "state",
    Shape::Choice(&["present", "absent"]),
    "Whether it is there; `present` where absent",
);
/// Whose a file or folder is.
pub const OWNER: Field = optional(
    "owner",
    Shape::Text(&rules::ACCOUNT),
    "The account whose it is; not looked at where absent",
);
/// The group of a file or folder.
pub const GROUP: Field = optional("group", Shape::Text(&rules::ACCOUNT), "Its group; not looked at where absent");
/// As whom something runs.
pub const USER: Field = optional(
    "user",
    Shape::Text(&rules::ACCOUNT),
    "The account it runs as; the agent's own where absent",
);
const NUMBER: Shape = Shape::Integer {
    min: 0,
    max: 4_294_967_294,
};
const PACKAGES: Shape = Shape::List {
    of: &Shape::Text(&rules::PACKAGE),
    min: 1,
    max: 200,
};
const WORDS: Shape = Shape::List {
    of: &Shape::Text(&rules::WORD),
    min: 1,
    max: 50,
};
const SHA256: Field = required("sha256", Shape::Text(&rules::SHA256), "Hash of it: 64 hexadecimal digits");

/// `package`.
pub static PACKAGE: Record = Record {
    name: "package",
    doc: "Packages are installed, or not; where packages cannot be installed, the program is only looked for",
    fields: &[
        required(
            "name",
            Shape::Either(&Shape::Text(&rules::PACKAGE), &PACKAGES),
            "The package's name, or a list of names",
        ),
        optional(
            "state",
            Shape::Choice(&["installed", "latest", "absent", "purged"]),
            "`installed` where absent; `purged` takes its settings along",
        ),
        optional(
            "version",
            Shape::Text(&rules::WORD),
            "Exactly this version, as the package manager writes it",
        ),
        optional("hold", Shape::Bool, "Whether upgrades leave it alone"),
        optional(
            "program",
            Shape::Text(&rules::PROGRAM),
            "The program it brings, to look for where packages cannot be installed; its name where absent",
        ),
        optional(
            "min_version",
            Shape::Text(&rules::VERSION),
            "The least version of the program, as dotted numbers",
        ),
        optional(
            "version_args",
            ARGUMENTS,
            "Arguments that make it print its version; `--version` where absent",
        ),
    ],
    common: COMMON,
};

/// `link`.
pub static LINK: Record = Record {
    name: "link",
    doc: "A symbolic link leads there",
    fields: &[
        PATH,
        optional(
            "to",
            Shape::Text(&rules::LINE),
            "Where it leads; needed unless it is to be absent",
        ),
        PRESENT,
    ],
    common: COMMON,
};

/// `user`.
pub static ACCOUNT: Record = Record {
    name: "user",
    doc: "An account of the machine; what is left out is not looked at",
    fields: &[
        required("name", Shape::Text(&rules::ACCOUNT), "Its name"),
        PRESENT,
        optional("uid", NUMBER, "Its number"),
        optional("group", Shape::Text(&rules::ACCOUNT), "Its own group"),
        optional(
            "groups",
            Shape::List {
                of: &Shape::Text(&rules::ACCOUNT),
                min: 0,
                max: 100,
            },
            "The other groups it is in: these and no others",
        ),
        optional("home", Shape::Text(&rules::PATH), "Its home folder"),
        optional("shell", Shape::Text(&rules::PATH), "Its shell"),
        optional("comment", Shape::Text(&rules::LINE), "Words about it"),
        optional(
            "system",
            Shape::Bool,
            "Whether it is one of the system's, without a home folder of its own",
        ),
        optional(
            "ssh_keys",
            Shape::List {
                of: &Shape::Text(&rules::WORDS),
                min: 0,
                max: 100,
            },
            "All SSH keys that may sign in as it",
        ),
    ],
    common: COMMON,
};

/// `group`.
pub static GROUP_STATE: Record = Record {
    name: "group",
    doc: "A group of the machine",
    fields: &[
        required("name", Shape::Text(&rules::ACCOUNT), "Its name"),
        PRESENT,
        optional("gid", NUMBER, "Its number"),
        optional("system", Shape::Bool, "Whether it is one of the system's"),
    ],
    common: COMMON,
};

/// `cron`.
pub static CRON: Record = Record {
    name: "cron",
    doc: "Cron runs a command: a file of this name in `/etc/cron.d`",
    fields: &[
        required("name", Shape::Text(&rules::NAME), "The file's name"),
        PRESENT,
        required("schedule", Shape::Text(&rules::CRON), "When, as five fields"),
        required("command", ARGUMENTS, "Program and arguments; no shell syntax"),
        optional("user", Shape::Text(&rules::ACCOUNT), "As whom; `root` where absent"),
        optional(
            "env",
            Shape::Map {
                keys: &rules::VARIABLE,
                of: &Shape::Text(&rules::LINE),
            },
            "Its environment",
        ),
    ],
    common: COMMON,
};

/// `timer`.
pub static TIMER: Record = Record {
    name: "timer",
    doc: "systemd runs a command by the clock",
    fields: &[
        required("name", Shape::Text(&rules::SERVICE), "Name of the timer and of its service"),
        PRESENT,
        required(
            "calendar",
            Shape::Text(&rules::LINE),
            "When, as `OnCalendar` takes it, such as `*-*-* 03:15:00`",
        ),
        required("command", ARGUMENTS, "Program and arguments; the program by its whole path"),
        optional("user", Shape::Text(&rules::ACCOUNT), "As whom; `root` where absent"),
        optional("persistent", Shape::Bool, "Whether a run that was missed is made up for"),
    ],
    common: COMMON,
};

/// `download`.
pub static DOWNLOAD: Record = Record {
    name: "download",
    doc: "A file holds what is at an address; anything that has not this hash is not kept",
    fields: &[
        PATH,
        required("url", Shape::Text(&rules::URL), "The address"),
        SHA256,
        MODE,
        OWNER,
        GROUP,
    ],
    common: COMMON,
};

/// `archive`.
pub static ARCHIVE: Record = Record {
    name: "archive",
    doc: "A folder holds what a tar archive holds, compressed or not",
    fields: &[
        required("path", Shape::Text(&rules::PATH), "The folder"),
        required(
            "source",
            Shape::Text(&rules::SOURCE),
            "The archive: a path on the node, or an address",
        ),
        SHA256,
        optional(
            "strip",
            Shape::Integer { min: 0, max: 20 },
            "How many leading folders of the names in it are left out",
        ),
    ],
    common: COMMON,
};

/// `apt_repository`.
pub static APT_REPOSITORY: Record = Record {
    name: "apt_repository",
    doc: "apt knows a repository, trusted for nothing but its own key",
    fields: &[
        required("name", Shape::Text(&rules::NAME), "Name of its files"),
        PRESENT,
        required(
            "uris",
            Shape::List {
                of: &Shape::Text(&rules::URL),
                min: 1,
                max: 20,
            },
            "Its addresses",
        ),
        required("suites", WORDS, "Its suites, such as `bookworm`"),
        optional("components", WORDS, "Its components, such as `main`"),
        optional(
            "key",
            Shape::Text(&rules::CONTENT),
            "The key it is signed with: an ASCII-armoured public key",
        ),
    ],
    common: COMMON,
};

/// `hosts_entry`.
pub static HOSTS_ENTRY: Record = Record {
    name: "hosts_entry",
    doc: "`/etc/hosts` knows names of an address",
    fields: &[
        required("address", Shape::Text(&rules::ADDRESS), "The address"),
        required(
            "names",
            Shape::List {
                of: &Shape::Text(&rules::HOST),
                min: 1,
                max: 20,
            },
            "Its names, the main one first, which is also what it is recognised by",
        ),
        PRESENT,
    ],
    common: COMMON,
};

/// `database_user`.
pub static DATABASE_USER: Record = Record {
    name: "database_user",
    doc: "A role of the machine's own PostgreSQL server",
    fields: &[
        required("name", Shape::Text(&rules::SQL_NAME), "Its name"),
        PRESENT,
        optional("password", Shape::Any, "Its password: `{secret: NAME}`, never in clear"),
        optional(
            "may",
            Shape::List {
                of: &Shape::Choice(&["createdb", "createrole", "replication", "superuser"]),
                min: 0,
                max: 4,
            },
            "What it may do besides signing in",
        ),
    ],
    common: COMMON,
};

/// `database_restore`.
pub static DATABASE_RESTORE: Record = Record {
    name: "database_restore",
    doc: "An empty database of the machine's own PostgreSQL server is filled from a dump; only in environments marked `restorable`",
    fields: &[
        required("database", Shape::Text(&rules::SQL_NAME), "The database"),
        required(
            "source",
            Shape::Text(&rules::PATH),
            "The dump: SQL text, or `pg_dump`'s custom format where it ends with `.dump`",
        ),
    ],
    common: COMMON,
};

/// `wait_for`.
pub static WAIT_FOR: Record = Record {
    name: "wait_for",
    doc: "Something else has to be there first: exactly one of `port`, `http` and `file`",
    fields: &[
        optional(
            "host",
            Shape::Text(&rules::HOST),
            "Host of the port; `127.0.0.1` where absent",
        ),
        optional(
            "port",
            Shape::Integer { min: 1, max: 65_535 },
            "A port that takes connections",
        ),
        optional(
            "http",
            Shape::Text(&rules::URL),
            "An address that answers with a status below 400",
        ),
        optional("file", Shape::Text(&rules::PATH), "A file or folder"),
        optional(
            "timeout",
            Shape::Text(&rules::LENGTH),
            "How long it may take; `30s` where absent",
        ),
    ],
    common: COMMON,
};
