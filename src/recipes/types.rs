//! The tables of recipes: what a recipe file holds, and each state type with its properties.

mod machine;

use super::rules;
use super::shape::{Field, Record, Shape, optional, required};
use machine::{GROUP, OWNER, USER};

const ARGUMENTS: Shape = Shape::List {
    of: &Shape::Text(&rules::ARGUMENT),
    min: 1,
    max: 64,
};
const ENV: Shape = Shape::Map {
    keys: &rules::VARIABLE,
    of: &Shape::Either(&Shape::Text(&rules::VALUE), &Shape::Any),
};
const FOLDERS: Shape = Shape::List {
    of: &Shape::Text(&rules::PATH),
    min: 0,
    max: 20,
};
const IDS: Shape = Shape::List {
    of: &Shape::Text(&rules::LINE),
    min: 0,
    max: 50,
};

/// A recipe file.
pub static RECIPE: Record = Record {
    name: "recipe",
    doc: "A recipe: states that should be true on a node, in written order",
    fields: &[
        required(
            "recipe",
            Shape::Text(&rules::NAME),
            "Its name, the same as the file's without `.yaml`",
        ),
        required("description", Shape::Text(&rules::WORDS), "What it is for"),
        optional(
            "params",
            Shape::Map {
                keys: &rules::IDENTIFIER,
                of: &Shape::Record(&PARAM),
            },
            "Its parameters; others are refused",
        ),
        optional(
            "include",
            Shape::List {
                of: &INCLUDED,
                min: 0,
                max: 20,
            },
            "Recipes whose states come first",
        ),
        optional(
            "states",
            Shape::List {
                of: &Shape::OneKey(ENTRIES),
                min: 0,
                max: 2_000,
            },
            "Its states: each item is one key, the state type, with its properties",
        ),
    ],
    common: &[],
};

/// A parameter of a recipe.
pub static PARAM: Record = Record {
    name: "param",
    doc: "A parameter",
    fields: &[
        required(
            "type",
            Shape::Choice(super::params::TYPES),
            "What its value is; a `duration` is such as `30s`, a `choice` one of `choices`",
        ),
        optional(
            "choices",
            Shape::List {
                of: &Shape::Text(&rules::LINE),
                min: 1,
                max: 100,
            },
            "What a `choice` may be",
        ),
        optional(
            "default",
            Shape::Any,
            "Its value where none is given; without one it must be given",
        ),
        optional("description", Shape::Text(&rules::WORDS), "What it is for"),
    ],
    common: &[],
};

/// A recipe within a recipe, with parameters.
pub static INCLUDE: Record = Record {
    name: "include",
    doc: "The states of another recipe, here",
    fields: &[
        required("recipe", Shape::Text(&rules::NAME), "The recipe's name"),
        optional(
            "with",
            Shape::Map {
                keys: &rules::IDENTIFIER,
                of: &Shape::Any,
            },
            "Values for its parameters",
        ),
        optional("when", CONDITION, "Condition at compile time"),
    ],
    common: &[],
};

const CONDITION: Shape = Shape::Either(&Shape::Text(&rules::EXPRESSION), &Shape::Bool);

/// The properties that every state type takes.
pub static COMMON: &[Field] = &[
    ID,
    TITLE,
    WHEN,
    FOR,
    ONLY_IF,
    NOT_IF,
    CREATES,
    REMOVES,
    FILE_EXISTS,
    PORT_OPEN,
    CHANGED,
    AFTER,
    SAFE_IN_PLAN,
    RESTARTS,
    NOTIFY,
    SUBSCRIBE,
    AUDIT,
    TARGETS,
];
const ID: Field = optional(
    "id",
    Shape::Text(&rules::LINE),
    "Name of the state within its app; from its name or path where absent",
);
const TITLE: Field = optional("title", Shape::Text(&rules::LINE), "What it does, for people");
const WHEN: Field = optional(
    "when",
    CONDITION,
    "Condition at compile time: an expression over the namespaces; the state is left out where it is false",
);
const FOR: Field = optional(
    "for",
    Shape::Text(&rules::EXPRESSION),
    "`NAME in EXPRESSION`: the state once for each item of a list",
);
const ONLY_IF: Field = optional(
    "only_if",
    ARGUMENTS,
    "Apply only if this program ends with 0, asked just before",
);
const NOT_IF: Field = optional("not_if", ARGUMENTS, "Apply only if this program does not end with 0");
const CREATES: Field = optional(
    "creates",
    Shape::Text(&rules::PATH),
    "Apply only while this file is not there",
);
const TARGETS: Field = optional(
    "targets",
    Shape::List {
        of: &Shape::Choice(&["agent", "shell", "cloud-init", "image"]),
        min: 1,
        max: 4,
    },
    "What it is meant for: `agent`, `shell`, `cloud-init`, `image`; everything where absent",
);
const CHANGED: Field = optional(
    "changed",
    Shape::Text(&rules::LINE),
    "Apply only if the state of this id changed something in this run",
);
const AFTER: Field = optional(
    "after",
    IDS,
    "Ids of states that come first although they are written later; otherwise the order is that in which states are written",
);
const RESTARTS: Field = optional(
    "restarts",
    IDS,
    "Ids of service states to restart once, at the end, if this state changed something",
);
const REMOVES: Field = optional(
    "removes",
    Shape::Text(&rules::PATH),
    "Apply only while this file or folder is there",
);
const FILE_EXISTS: Field = optional(
    "file_exists",
    Shape::Text(&rules::PATH),
    "Apply only if this file or folder is there",
);
const PORT_OPEN: Field = optional(
    "port_open",
    Shape::Integer { min: 1, max: 65_535 },
    "Apply only if this port of the node takes connections",
);
const SAFE_IN_PLAN: Field = optional(
    "safe_in_plan",
    Shape::Bool,
    "Whether `only_if` and `not_if` change nothing, so that they may be run when changes are only planned",
);
static A_NOTIFICATION: Shape = Shape::Record(&NOTIFICATION);
const NOTIFY: Field = optional(
    "notify",
    Shape::List {
        of: &A_NOTIFICATION,
        min: 0,
        max: 50,
    },
    "What happens once, at the end, if this state changed something",
);
const SUBSCRIBE: Field = optional(
    "subscribe",
    IDS,
    "Ids of states whose changes restart this service, or run this program; the other way round of `notify`",
);
const AUDIT: Field = optional(
    "audit",
    Shape::Bool,
    "Whether it is only looked at: what differs is reported and left as it is",
);
/// What a change leads to elsewhere.
static NOTIFICATION: Record = Record {
    name: "notification",
    doc: "Exactly one of `restart`, `reload` and `run`, with the id of a state",
    fields: &[
        optional("restart", Shape::Text(&rules::LINE), "A service to restart"),
        optional("reload", Shape::Text(&rules::LINE), "A service to reload"),
        optional("run", Shape::Text(&rules::LINE), "A program to run, one with `refresh_only`"),
        optional("now", Shape::Bool, "Whether at once rather than at the end"),
    ],
    common: &[],
};
const MODE: Field = optional("mode", Shape::Text(&rules::MODE), "Permission bits, such as `0644`");

/// The state types.
pub static STATES: &[&Record] = &[
    &machine::PACKAGE,
    &FILE,
    &TEMPLATE,
    &DIRECTORY,
    &machine::LINK,
    &GIT,
    &EXECUTE,
    &SERVICE,
    &machine::ACCOUNT,
    &machine::GROUP_STATE,
    &machine::CRON,
    &machine::TIMER,
    &machine::DOWNLOAD,
    &machine::ARCHIVE,
    &machine::APT_REPOSITORY,
    &machine::HOSTS_ENTRY,
    &DATABASE,
    &machine::DATABASE_USER,
    &machine::DATABASE_RESTORE,
    &machine::WAIT_FOR,
];

const INCLUDED: Shape = Shape::Either(&Shape::Text(&rules::NAME), &Shape::Record(&INCLUDE));

// What an item of `states` may be: a state of one of the types, or an include in its place.
const ENTRIES: &[(&str, Shape)] = &[
    ("package", Shape::Record(&machine::PACKAGE)),
    ("file", Shape::Record(&FILE)),
    ("template", Shape::Record(&TEMPLATE)),
    ("directory", Shape::Record(&DIRECTORY)),
    ("git", Shape::Record(&GIT)),
    ("execute", Shape::Record(&EXECUTE)),
    ("service", Shape::Record(&SERVICE)),
    ("database", Shape::Record(&DATABASE)),
    ("link", Shape::Record(&machine::LINK)),
    ("user", Shape::Record(&machine::ACCOUNT)),
    ("group", Shape::Record(&machine::GROUP_STATE)),
    ("cron", Shape::Record(&machine::CRON)),
    ("timer", Shape::Record(&machine::TIMER)),
    ("download", Shape::Record(&machine::DOWNLOAD)),
    ("archive", Shape::Record(&machine::ARCHIVE)),
    ("apt_repository", Shape::Record(&machine::APT_REPOSITORY)),
    ("hosts_entry", Shape::Record(&machine::HOSTS_ENTRY)),
    ("database_user", Shape::Record(&machine::DATABASE_USER)),
    ("database_restore", Shape::Record(&machine::DATABASE_RESTORE)),
    ("wait_for", Shape::Record(&machine::WAIT_FOR)),
    ("include", INCLUDED),
];

static FILE: Record = Record {
    name: "file",
    doc: "A file holds this text",
    fields: &[
        required("path", Shape::Text(&rules::PATH), "Where"),
        optional(
            "content",
            Shape::Text(&rules::CONTENT),
            "The whole content; needed unless it is to be absent",
        ),
        MODE,
        OWNER,
        GROUP,
        optional("secret", Shape::Bool, "Whether the content stays out of logs and diffs"),
        VALIDATE,
        FILE_STATE,
    ],
    common: COMMON,
};

static TEMPLATE: Record = Record {
    name: "template",
    doc: "A file holds what a template beside the recipe renders to",
    fields: &[
        required("path", Shape::Text(&rules::PATH), "Where"),
        required(
            "source",
            Shape::Text(&rules::TEMPLATE_FILE),
            "The template's file name, ending with `.j2`",
        ),
        optional(
            "vars",
            Shape::Map {
                keys: &rules::IDENTIFIER,
                of: &Shape::Any,
            },
            "More names for the template, besides the namespaces",
        ),
        MODE,
        OWNER,
        GROUP,
        optional("secret", Shape::Bool, "Whether the content stays out of logs and diffs"),
        VALIDATE,
    ],
    common: COMMON,
};

const VALIDATE: Field = optional(
    "validate",
    ARGUMENTS,
    "A program that must end with 0 before the file is put in place; `{}` among its arguments is the new file",
);
const FILE_STATE: Field = optional(
    "state",
    Shape::Choice(&["present", "absent"]),
    "Whether it is there; `present` where absent",
);

static DIRECTORY: Record = Record {
    name: "directory",
    doc: "A folder is there, with the folders above it",
    fields: &[
        required("path", Shape::Text(&rules::PATH), "Where"),
        MODE,
        OWNER,
        GROUP,
        FILE_STATE,
        optional(
            "recursive",
            Shape::Bool,
            "Whether an absent folder goes with all that is in it",
        ),
    ],
    common: COMMON,
};

static GIT: Record = Record {
    name: "git",
    doc: "A folder holds a checkout of a commit",
    fields: &[
        required("path", Shape::Text(&rules::PATH), "Where"),
        required(
            "repository",
            Shape::Text(&rules::REPOSITORY),
            "The repository, as the node reaches it",
        ),
        required("commit", Shape::Text(&rules::COMMIT), "The commit, never a branch"),
        USER,
    ],
    common: COMMON,
};

static EXECUTE: Record = Record {
    name: "execute",
    doc: "A program is run, unless a guard says that it need not be; no shell in between",
    fields: &[
        required("command", ARGUMENTS, "Program and arguments"),
        optional("cwd", Shape::Text(&rules::PATH), "Where; the checkout where absent"),
        optional("env", ENV, "Its environment besides the node's plain one"),
        optional("path", FOLDERS, "Folders searched for programs before the node's own `PATH`"),
        optional("timeout", Shape::Text(&rules::LENGTH), "Time limit; `10m` where absent"),
        optional(
            "failure",
            Shape::Choice(&["state-failed", "build-failed"]),
            "The code of a failure; `state-failed` where absent",
        ),
        USER,
        optional(
            "exit_codes",
            Shape::List {
                of: &Shape::Integer { min: 0, max: 255 },
                min: 1,
                max: 20,
            },
            "The exit codes that are good; 0 where absent",
        ),
        optional(
            "refresh_only",
            Shape::Bool,
            "Whether it is only run when another state notifies it",
        ),
    ],
    common: COMMON,
};

static SERVICE: Record = Record {
    name: "service",
    doc: "A service: with `command` a process that the agent keeps running, without it one of the operating system's",
    fields: &[
        required(
            "name",
            Shape::Text(&rules::SERVICE),
            "Name on the node, such as `storefront-web` or `nginx`",
        ),
        optional(
            "command",
            ARGUMENTS,
            "Program and arguments of a process that the agent keeps running",
        ),
        optional(
            "state",
            Shape::Choice(&["running", "stopped"]),
            "Of the operating system's: whether it runs; not looked at where absent",
        ),
        optional(
            "enabled",
            Shape::Bool,
            "Of the operating system's: whether it starts with the machine; not looked at where absent",
        ),
        optional(
            "unit",
            Shape::Text(&rules::CONTENT),
            "Of the operating system's: the text of its systemd unit, where no package brings one",
        ),
        USER,
        optional("cwd", Shape::Text(&rules::PATH), "Where; the checkout where absent"),
        optional(
            "env",
            ENV,
            "Its environment besides the node's plain one; a secret as `{secret: NAME}`",
        ),
        optional("path", FOLDERS, "Folders searched for programs before the node's own `PATH`"),
        optional(
            "restart",
            Shape::Record(&RESTART),
            "When it is restarted after its end; always, 5 times in ten minutes, where absent",
        ),
        optional(
            "ready",
            Shape::Record(&READY),
            "When it counts as ready; at once where absent",
        ),
        optional(
            "stop_timeout",
            Shape::Text(&rules::LENGTH),
            "How long a stop may take before it is killed; `10s` where absent",
        ),
        optional(
            "revision",
            Shape::Text(&rules::LINE),
            "Changes with whatever needs a restart; the commit where absent",
        ),
    ],
    common: COMMON,
};

static RESTART: Record = Record {
    name: "restart",
    doc: "When a service is restarted after its end",
    fields: &[
        optional(
            "policy",
            Shape::Choice(&["always", "on_failure", "never"]),
            "`always` where absent",
        ),
        optional(
            "limit",
            Shape::Integer { min: 0, max: 1_000 },
            "Restarts within ten minutes before it is given up; 5 where absent",
        ),
    ],
    common: &[],
};

static READY: Record = Record {
    name: "ready",
    doc: "When a service counts as ready",
    fields: &[
        optional(
            "http",
            Shape::Text(&rules::URL),
            "An address that must answer with a status below 400",
        ),
        optional("exec", ARGUMENTS, "A program that must end with 0"),
        optional(
            "timeout",
            Shape::Text(&rules::LENGTH),
            "How long it may take; `30s` where absent",
        ),
    ],
    common: &[],
};

static DATABASE: Record = Record {
    name: "database",
    doc: "A database is there: an app's resource with its schema and first data, or with `name` one of the machine's own PostgreSQL server",
    fields: &[
        optional(
            "resource",
            Shape::Text(&rules::NAME),
            "The app's resource that it is, which says its type and place",
        ),
        optional(
            "name",
            Shape::Text(&rules::SQL_NAME),
            "Its name in the machine's own PostgreSQL server",
        ),
        optional("owner", Shape::Text(&rules::SQL_NAME), "The role it belongs to, with `name`"),
        optional(
            "schema",
            Shape::Text(&rules::PATH),
            "SQL file that makes the tables; run on each new commit",
        ),
        optional(
            "fixture",
            Shape::Text(&rules::PATH),
            "SQL file with first data, loaded once into the new database",
        ),
        optional(
            "revision",
            Shape::Text(&rules::LINE),
            "Changes when the schema file may have changed; the commit where absent",
        ),
    ],
    common: COMMON,
};
