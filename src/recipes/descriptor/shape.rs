//! The shape of an app's descriptor: the tables behind its check, its JSON Schema and its messages.

use crate::recipes::rules;
use crate::recipes::shape::{Record, Shape, optional, required};

/// The API version that is taken.
pub const API_VERSION: &str = "greenroom/v1";
/// Types of resources that a stack can provide.
pub const RESOURCE_TYPES: &[&str] = &["sqlite", "postgres"];

const LINE: Shape = Shape::Text(&rules::LINE);
const COMMAND: Shape = Shape::List {
    of: &Shape::Text(&rules::ARGUMENT),
    min: 1,
    max: 64,
};

/// The whole document.
pub static DESCRIPTOR: Record = Record {
    name: "Descriptor",
    doc: "An app's descriptor: what it is, who owns it, what it needs and how it runs",
    fields: &[
        required("apiVersion", Shape::Choice(&[API_VERSION]), "The format of this document"),
        required("kind", Shape::Choice(&["App"]), "What is described; always `App`"),
        required("metadata", Shape::Record(&METADATA), "Name and words about the app"),
        required("spec", Shape::Record(&SPEC), "What the app is"),
    ],
    common: &[],
};

static METADATA: Record = Record {
    name: "Metadata",
    doc: "Name and words about the app",
    fields: &[
        required(
            "name",
            Shape::Text(&rules::APP),
            "The app's unique name, such as `storefront`",
        ),
        optional("title", LINE, "What people call it"),
        optional("description", Shape::Text(&rules::WORDS), "One or two sentences about it"),
        optional("labels", MAP_OF_LINES, "Labels for queries; any names"),
        optional("annotations", MAP_OF_WORDS, "Notes for other tools; any names"),
        optional(
            "tags",
            Shape::List {
                of: &LINE,
                min: 0,
                max: 50,
            },
            "Words to find it by",
        ),
        optional(
            "links",
            Shape::List {
                of: &Shape::Record(&LINK),
                min: 0,
                max: 50,
            },
            "Where to read more",
        ),
    ],
    common: &[],
};

const MAP_OF_LINES: Shape = Shape::Map {
    keys: &rules::LABEL,
    of: &LINE,
};
const MAP_OF_WORDS: Shape = Shape::Map {
    keys: &rules::LABEL,
    of: &Shape::Text(&rules::WORDS),
};

static LINK: Record = Record {
    name: "Link",
    doc: "Where to read more",
    fields: &[
        required("url", Shape::Text(&rules::URL), "The address"),
        optional("title", LINE, "What is there"),
    ],
    common: &[],
};

static SPEC: Record = Record {
    name: "Spec",
    doc: "What the app is",
    fields: &[
        required(
            "type",
            Shape::Text(&rules::LABEL),
            "What kind of thing it is, such as `website`, `service` or `worker`",
        ),
        optional(
            "lifecycle",
            Shape::Choice(&["experimental", "production", "deprecated"]),
            "How far it is; `production` where absent",
        ),
        required(
            "owners",
            Shape::Record(&OWNERS),
            "Who answers for it: `dev` and `ops`, both needed",
        ),
        optional("system", LINE, "The larger system it belongs to"),
        required("repository", Shape::Text(&rules::REPOSITORY), "Its git repository"),
        optional(
            "defaultRef",
            Shape::Text(&rules::REVISION),
            "The revision that is taken where nobody picks one; `main` where absent",
        ),
        optional(
            "path",
            Shape::Text(&rules::INSIDE),
            "Its folder in the repository; the root where absent",
        ),
        required(
            "recipes",
            Shape::List {
                of: &Shape::Record(&RECIPE),
                min: 1,
                max: 20,
            },
            "The recipes that build its server, in order; `greenroom recipe list` shows them",
        ),
        optional(
            "values",
            Shape::Map {
                keys: &rules::KEY,
                of: &Shape::Any,
            },
            "Values for templates and the recipes' parameters, below those of every place",
        ),
        optional(
            "dependsOn",
            Shape::List {
                of: &Shape::Record(&DEPENDENCY),
                min: 0,
                max: 50,
            },
            "The apps it needs",
        ),
        optional("build", Shape::Record(&BUILD), "How it is built from a checkout"),
        optional(
            "processes",
            Shape::Map {
                keys: &rules::NAME,
                of: &Shape::Record(&PROCESS),
            },
            "What it runs, by process name",
        ),
        optional(
            "ports",
            Shape::Map {
                keys: &rules::NAME,
                of: &Shape::Record(&PORT),
            },
            "Where it listens, by port name",
        ),
        optional("readinessProbe", Shape::Record(&PROBE), "When it is ready to serve"),
        optional(
            "env",
            Shape::Map {
                keys: &rules::VARIABLE,
                of: &Shape::Record(&VARIABLE),
            },
            "Its environment variables",
        ),
        optional(
            "resources",
            Shape::Map {
                keys: &rules::NAME,
                of: &Shape::Record(&RESOURCE),
            },
            "The databases it needs, by name",
        ),
        optional(
            "outbound",
            Shape::Record(&OUTBOUND),
            "Whom it may call outside the stack; nobody where absent",
        ),
        optional(
            "schedules",
            Shape::Map {
                keys: &rules::NAME,
                of: &Shape::Record(&SCHEDULE),
            },
            "What it runs by the clock; off in staging unless said otherwise",
        ),
        optional(
            "checks",
            Shape::List {
                of: &Shape::Record(&CHECK),
                min: 0,
                max: 50,
            },
            "Pages that must answer before a stack counts as ready",
        ),
    ],
    common: &[],
};

static OWNERS: Record = Record {
    name: "Owners",
    doc: "Who answers for the app",
    fields: &[
        required("dev", LINE, "Whoever changes its code"),
        required("ops", LINE, "Whoever is called at night"),
    ],
    common: &[],
};

static RECIPE: Record = Record {
    name: "Recipe",
    doc: "A recipe and its parameters",
    fields: &[
        required("name", Shape::Text(&rules::NAME), "The recipe's name"),
        optional(
            "with",
            Shape::Map {
                keys: &rules::IDENTIFIER,
                of: &Shape::Any,
            },
            "Values for its parameters",
        ),
    ],
    common: &[],
};

static DEPENDENCY: Record = Record {
    name: "Dependency",
    doc: "An app that this one needs",
    fields: &[
        required("app", Shape::Text(&rules::APP), "The app's name"),
        optional("optional", Shape::Bool, "Whether a stack may be launched without it"),
    ],
    common: &[],
};

static BUILD: Record = Record {
    name: "Build",
    doc: "How the app is built",
    fields: &[
        required("command", COMMAND, "Program and arguments, run in the checkout"),
        optional(
            "artifact",
            Shape::Text(&rules::INSIDE),
            "A file that is there once it is built, relative to the checkout",
        ),
        optional("timeout", Shape::Text(&rules::LENGTH), "Time limit; `10m` where absent"),
    ],
    common: &[],
};

static PROCESS: Record = Record {
    name: "Process",
    doc: "A process of the app",
    fields: &[required(
        "command",
        COMMAND,
        "Program and arguments, run in the checkout; no shell in between",
    )],
    common: &[],
};

static PORT: Record = Record {
    name: "Port",
    doc: "A port of the app",
    fields: &[
        optional(
            "port",
            Shape::Integer { min: 1, max: 65_535 },
            "The port in production; a stack gets one of its own",
        ),
        optional(
            "protocol",
            Shape::Choice(&["http", "tcp"]),
            "`http` or `tcp`; `http` where absent",
        ),
        optional("public", Shape::Bool, "Whether people open it"),
        optional("label", LINE, "What to call it"),
    ],
    common: &[],
};

static PROBE: Record = Record {
    name: "Probe",
    doc: "When the app is ready: a page or a program, one of them",
    fields: &[
        optional("httpGet", Shape::Record(&HTTP_GET), "Ask a page of one of its ports"),
        optional("exec", COMMAND, "Run a program in the checkout"),
        optional(
            "timeout",
            Shape::Text(&rules::LENGTH),
            "How long it may take; `30s` where absent",
        ),
    ],
    common: &[],
};

static HTTP_GET: Record = Record {
    name: "HttpGet",
    doc: "A page to ask",
    fields: &[
        required("path", Shape::Text(&rules::PAGE), "The page's path, starting with `/`"),
        optional("port", Shape::Text(&rules::NAME), "The port's name; the first where absent"),
    ],
    common: &[],
};

static VARIABLE: Record = Record {
    name: "Variable",
    doc: "An environment variable",
    fields: &[
        optional("description", Shape::Text(&rules::WORDS), "What it is for"),
        optional(
            "value",
            Shape::Text(&rules::VALUE),
            "Its value, which may hold `{{ … }}` over node, app, env, deps, resources, ports, release, dirs and stack",
        ),
        optional(
            "stagingValue",
            Shape::Text(&rules::VALUE),
            "Its value in staging, where production's must not be used",
        ),
        optional(
            "secret",
            Shape::Bool,
            "Never shown and never inherited from production; needs `stagingValue` or `generator`",
        ),
        optional(
            "generator",
            Shape::Choice(&["secret"]),
            "`secret`: made up at random for each stack",
        ),
    ],
    common: &[],
};

static RESOURCE: Record = Record {
    name: "Resource",
    doc: "A database that the app needs",
    fields: &[
        required("type", Shape::Choice(RESOURCE_TYPES), "`sqlite` or `postgres`"),
        optional("class", Shape::Text(&rules::NAME), "A variant that the platform offers"),
        optional(
            "id",
            Shape::Text(&rules::NAME),
            "Apps that name the same type, class and id share it",
        ),
        optional(
            "params",
            Shape::Map {
                keys: &rules::LABEL,
                of: &Shape::Any,
            },
            "What the type needs to know",
        ),
        optional("data", Shape::Record(&DATA), "What it may start with"),
    ],
    common: &[],
};

static DATA: Record = Record {
    name: "Data",
    doc: "What a database may start with",
    fields: &[
        optional(
            "schema",
            Shape::Text(&rules::INSIDE),
            "SQL file in the repository that makes the tables; it must be repeatable",
        ),
        optional(
            "fixture",
            Shape::Text(&rules::INSIDE),
            "SQL file in the repository with test data, loaded once",
        ),
        optional(
            "default",
            Shape::Choice(&["empty", "fixture"]),
            "What it starts with where nobody picks",
        ),
    ],
    common: &[],
};

static OUTBOUND: Record = Record {
    name: "Outbound",
    doc: "Whom the app may call outside the stack",
    fields: &[required(
        "allow",
        Shape::List {
            of: &Shape::Text(&rules::HOST),
            min: 0,
            max: 100,
        },
        "Host names",
    )],
    common: &[],
};

static SCHEDULE: Record = Record {
    name: "Schedule",
    doc: "What the app runs by the clock",
    fields: &[
        required("cron", Shape::Text(&rules::CRON), "Five fields of cron"),
        required("command", COMMAND, "Program and arguments"),
        optional("inStaging", Shape::Bool, "Whether it also runs in staging"),
    ],
    common: &[],
};

static CHECK: Record = Record {
    name: "Check",
    doc: "A page that must answer before a stack counts as ready",
    fields: &[
        required("name", LINE, "What to call it"),
        required("httpGet", Shape::Record(&HTTP_GET), "The page"),
        optional("contains", Shape::Text(&rules::WORDS), "Text that the page must hold"),
    ],
    common: &[],
};
