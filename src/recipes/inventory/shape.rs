//! The shapes of nodes, datacenters, environments and roles: the tables behind their check, their JSON Schemas and their
//! messages.

use crate::model::inventory::{API_VERSION, ObjectKind};
use crate::model::name::{DatacenterName, EnvironmentName, NodeName, RoleName};
use crate::recipes::rules;
use crate::recipes::shape::{Field, Record, Rule, Shape, optional, required};

const LINE: Shape = Shape::Text(&rules::LINE);
const VERSION: Shape = Shape::Choice(&[API_VERSION]);
const ROLES: Shape = Shape::List {
    of: &Shape::Text(&ROLE_NAME),
    min: 0,
    max: 50,
};
const VALUES: Shape = Shape::Map {
    keys: &rules::IDENTIFIER,
    of: &Shape::Any,
};
const VALUES_DOC: &str = "Values that templates read; a secret is named by `{\"$secret\": \"…\"}`, never written here";

static NODE_NAME: Rule = Rule {
    what: "a node name",
    words: NodeName::RULE,
    check: |t| t.parse::<NodeName>().is_ok(),
    pattern: Some("^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"),
    max: 253,
};
static DATACENTER_NAME: Rule = label("a datacenter", DatacenterName::RULE, |t| t.parse::<DatacenterName>().is_ok());
static ENVIRONMENT_NAME: Rule = label("an environment", EnvironmentName::RULE, |t| {
    t.parse::<EnvironmentName>().is_ok()
});
static ROLE_NAME: Rule = label("a role", RoleName::RULE, |t| t.parse::<RoleName>().is_ok());
static ADDRESS: Rule = Rule {
    what: "an address",
    words: "a host name or an IP address without a port",
    check: |t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b)) && !t.starts_with('-'),
    pattern: None,
    max: 253,
};
static BUNDLE: Rule = Rule {
    what: "the name of a bundle",
    words: "`sha256:` and 64 hexadecimal digits",
    check: |t| {
        t.strip_prefix("sha256:")
            .is_some_and(|d| d.len() == 64 && d.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    },
    pattern: Some("^sha256:[0-9a-f]{64}$"),
    max: 71,
};
static TIME: Rule = Rule {
    what: "a time",
    words: "RFC 3339, such as `2026-11-23T18:00:00Z`",
    check: |t| serde_json::from_value::<crate::model::time::Timestamp>(serde_json::Value::String(t.to_owned())).is_ok(),
    pattern: None,
    max: 40,
};

const fn label(what: &'static str, words: &'static str, check: fn(&str) -> bool) -> Rule {
    Rule {
        what,
        words,
        check,
        pattern: Some("^[a-z][a-z0-9-]{0,61}[a-z0-9]$"),
        max: 63,
    }
}

/// The shape of a kind.
pub fn of(kind: ObjectKind) -> &'static Record {
    match kind {
        ObjectKind::Node => &NODE,
        ObjectKind::Datacenter => &DATACENTER,
        ObjectKind::Environment => &ENVIRONMENT,
        ObjectKind::Role => &ROLE,
    }
}

const WORDS: &[Field] = &[
    optional("title", LINE, "What people call it"),
    optional("description", Shape::Text(&rules::WORDS), "One or two sentences about it"),
    optional(
        "labels",
        Shape::Map {
            keys: &rules::LABEL,
            of: &LINE,
        },
        "Labels for queries; any names",
    ),
];

macro_rules! documents {
    ($($document:ident $metadata:ident $kind:literal $name:ident $spec:ident $doc:literal;)*) => {$(
        static $document: Record = Record {
            name: $kind,
            doc: $doc,
            fields: &[
                required("apiVersion", VERSION, "The format of this document"),
                required("kind", Shape::Choice(&[$kind]), "What is described"),
                required("metadata", Shape::Record(&$metadata), "Name and words about it"),
                required("spec", Shape::Record(&$spec), "What it is"),
            ],
            common: &[],
        };
        static $metadata: Record = Record {
            name: "Metadata",
            doc: "Name and words about it",
            fields: &[required("name", Shape::Text(&$name), "Its name, unique among its kind")],
            common: WORDS,
        };
    )*};
}

documents! {
    NODE NODE_METADATA "Node" NODE_NAME NODE_SPEC "A node: a machine, where it stands, what it is for and which apps it runs";
    DATACENTER DATACENTER_METADATA "Datacenter" DATACENTER_NAME DATACENTER_SPEC "A datacenter: a site that can serve";
    ENVIRONMENT ENVIRONMENT_METADATA "Environment" ENVIRONMENT_NAME ENVIRONMENT_SPEC "An environment: a long-lived place, with what differs there";
    ROLE ROLE_METADATA "Role" ROLE_NAME ROLE_SPEC "A role: a named list of recipes with values";
}

static NODE_SPEC: Record = Record {
    name: "NodeSpec",
    doc: "What the machine is for",
    fields: &[
        required(
            "datacenter",
            Shape::Text(&DATACENTER_NAME),
            "The datacenter that it stands in",
        ),
        required(
            "environment",
            Shape::Text(&ENVIRONMENT_NAME),
            "The environment that it belongs to",
        ),
        optional("roles", ROLES, "What it does, in order"),
        optional(
            "apps",
            Shape::List {
                of: &Shape::Record(&APP_ON_NODE),
                min: 0,
                max: 100,
            },
            "The apps that it runs",
        ),
        optional(
            "addresses",
            Shape::Map {
                keys: &rules::NAME,
                of: &Shape::Text(&ADDRESS),
            },
            "Where it is reached, by network, such as `private` and `public`",
        ),
        optional("values", VALUES, VALUES_DOC),
        optional("audit", Shape::Bool, "Its agent changes nothing and reports what differs"),
        optional(
            "maintenance",
            Shape::Record(&MAINTENANCE),
            "Somebody works on it: its agent changes nothing",
        ),
    ],
    common: &[],
};

static APP_ON_NODE: Record = Record {
    name: "AppOnNode",
    doc: "An app of the node",
    fields: &[
        required("app", Shape::Text(&rules::APP), "The app"),
        optional(
            "revision",
            Shape::Text(&rules::REVISION),
            "The revision it should run; the environment's where absent",
        ),
    ],
    common: &[],
};

static MAINTENANCE: Record = Record {
    name: "Maintenance",
    doc: "Somebody works on the node",
    fields: &[
        required("reason", LINE, "Why, for people"),
        optional("until", Shape::Text(&TIME), "When it ends by itself"),
    ],
    common: &[],
};

static DATACENTER_SPEC: Record = Record {
    name: "DatacenterSpec",
    doc: "What the site is",
    fields: &[
        optional(
            "standbyFor",
            Shape::Text(&DATACENTER_NAME),
            "The datacenter whose work it takes over",
        ),
        optional("values", VALUES, VALUES_DOC),
    ],
    common: &[],
};

static ENVIRONMENT_SPEC: Record = Record {
    name: "EnvironmentSpec",
    doc: "What differs in the environment",
    fields: &[
        optional(
            "restorable",
            Shape::Bool,
            "Whether databases may be restored over what they hold; never in `production`",
        ),
        optional(
            "bundle",
            Shape::Text(&BUNDLE),
            "The recipes that its nodes are built from; those of the program where absent",
        ),
        optional("values", VALUES, VALUES_DOC),
        optional(
            "datacenters",
            Shape::Map {
                keys: &DATACENTER_NAME,
                of: &Shape::Record(&DATACENTER_SETTINGS),
            },
            "What differs in one datacenter",
        ),
        optional(
            "apps",
            Shape::Map {
                keys: &rules::APP,
                of: &Shape::Record(&APP_SETTINGS),
            },
            "What differs for one app",
        ),
    ],
    common: &[],
};

static DATACENTER_SETTINGS: Record = Record {
    name: "DatacenterSettings",
    doc: "What differs in one datacenter of the environment",
    fields: &[optional("values", VALUES, VALUES_DOC)],
    common: &[],
};

static APP_SETTINGS: Record = Record {
    name: "AppSettings",
    doc: "What differs for one app of the environment",
    fields: &[
        optional(
            "revision",
            Shape::Text(&rules::REVISION),
            "The revision that nodes run which do not say one",
        ),
        optional("values", VALUES, VALUES_DOC),
    ],
    common: &[],
};

static ROLE_SPEC: Record = Record {
    name: "RoleSpec",
    doc: "What the role brings",
    fields: &[
        optional("roles", ROLES, "Roles whose recipes come first, in order"),
        optional(
            "recipes",
            Shape::List {
                of: &Shape::Record(&RECIPE),
                min: 0,
                max: 100,
            },
            "Its recipes, in order",
        ),
        optional("values", VALUES, VALUES_DOC),
    ],
    common: &[],
};

static RECIPE: Record = Record {
    name: "RoleRecipe",
    doc: "A recipe of the role",
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
