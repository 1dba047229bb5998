//! What went wrong, for people: what failed, why, whose turn it is, and the next action, under a stable code.
//!
//! A fault is a value: it is stored with the step that failed, shown in the portal, printed by the CLI and sent as
//! problem+json. Codes never change meaning; [`CATALOGUE`] explains each (`greenroom explain CODE`).

use serde::{Deserialize, Serialize};
use std::fmt;

/// Who can do something about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// The person who asked.
    You,
    /// Whoever owns the app: its descriptor, code or data.
    AppOwner,
    /// The platform team: recipes, servers, settings.
    Platform,
    /// Nobody: it is tried again by itself.
    Nobody,
    /// The cloud that servers are rented from.
    Cloud,
}

/// A coded failure. `what`, `why` and `next` are single sentences without a full stop at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fault {
    /// Stable kebab-case code, see [`CATALOGUE`].
    pub code: String,
    /// What failed, naming the thing.
    pub what: String,
    /// The cause as far as it is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// Whose turn it is.
    pub turn: Turn,
    /// The lines of the cause's own output that tell most, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
}

impl Fault {
    /// A fault under a code of the catalogue, which gives its turn and its default next action.
    pub fn new(code: &'static str, what: impl Into<String>) -> Self {
        let entry = explain(code);
        Self {
            code: code.to_owned(),
            what: what.into(),
            why: String::new(),
            next: entry.map(|e| e.next.to_owned()).unwrap_or_default(),
            turn: entry.map_or(Turn::Platform, |e| e.turn),
            log_tail: Vec::new(),
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = why.to_string();
        self
    }

    /// Replaces the next action.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Replaces whose turn it is.
    #[must_use]
    pub fn turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    /// Keeps the lines of the cause's own output that tell most: the first error and the last lines, 30 in all.
    #[must_use]
    pub fn log_tail(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        let mut excerpt = super::excerpt::Excerpt::default();
        excerpt.extend(lines);
        self.log_tail = excerpt.lines();
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// One entry of the catalogue of codes.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct CodeEntry {
    /// The stable code.
    pub code: &'static str,
    /// HTTP status that carries it.
    pub status: u16,
    /// Whose turn it is unless the fault says otherwise.
    pub turn: Turn,
    /// A heading of a few words.
    pub title: &'static str,
    /// The next action unless the fault says a better one.
    pub next: &'static str,
    /// What it means and how it comes about, in a few sentences.
    pub explanation: &'static str,
}

/// The entry of a code, if there is one.
pub fn explain(code: &str) -> Option<&'static CodeEntry> {
    CATALOGUE.iter().find(|entry| entry.code == code)
}

macro_rules! catalogue {
    ($($code:literal $status:literal $turn:ident, $title:literal, $next:literal, $text:literal;)*) => {
        /// Every code there is.
        pub const CATALOGUE: &[CodeEntry] = &[$(CodeEntry {
            code: $code, status: $status, turn: Turn::$turn, title: $title, next: $next, explanation: $text,
        }),*];
    };
}

catalogue! {
    "internal" 500 Platform, "Greenroom made a mistake", "Try again; if it stays, send the platform team the request id", "Something failed that should not be able to. The server's log has the details under the request id; nothing was left half-done that the engine does not know of.";
    "store-unavailable" 503 Platform, "The database did not answer", "Try again in a moment", "The database that Greenroom keeps its state in could not be reached or was too busy. No change was made.";
    "not-found" 404 You, "There is no such thing", "Check the name or id, or look for it in the list", "The named app, stack, run or token does not exist, or no longer does.";
    "not-signed-in" 401 You, "You are not signed in", "Sign in, or send an API token as `Authorization: Bearer …`", "The request carried no session and no API token, or one that has expired or was revoked.";
    "not-allowed" 403 You, "Your role does not allow this", "Ask an admin for a role that does, or the owner to do it", "Viewers look; members launch and manage their own stacks; operators manage everyone's stacks and the apps; admins manage accounts.";
    "cross-site" 403 You, "The request came from another site", "Open the portal itself and try there", "A browser sent a change from a page of another site. Such requests are refused so that no other page can act in your name.";
    "too-many-attempts" 429 You, "Too many attempts", "Wait a minute, then try again", "Signing in is limited so that passwords and tokens cannot be guessed.";
    "invalid-request" 400 You, "The request is not understood", "Correct the fields that are listed", "The body, query or path is not what this endpoint takes. Each field at fault is listed.";
    "too-large" 413 You, "The request is too large", "Send less", "The body is over the limit for this endpoint.";
    "conflict" 409 You, "It is not possible in this state", "Reload to see the state it is in now", "What was asked does not fit the state the thing is in, for example updating a stack that is being destroyed.";
    "changed-meanwhile" 412 You, "Someone else changed it first", "Look at what changed, merge it into yours and save again", "The `If-Match` version is no longer the current one. Nothing was saved and nothing was lost: the answer holds the difference.";
    "descriptor-invalid" 422 AppOwner, "The app's descriptor has errors", "Correct the places that are listed; `greenroom app validate FILE` checks it without saving", "The JSON descriptor does not follow the schema, or refers to things that do not exist. All errors are listed with line and column.";
    "dependency-cycle" 422 AppOwner, "The dependencies go in a circle", "Remove one of the dependencies in the circle", "Apps are started after what they depend on, so a circle can never start.";
    "dependency-missing" 422 AppOwner, "A dependency is not registered", "Register the missing app, or remove the dependency", "The descriptor depends on an app that the inventory does not have.";
    "recipe-invalid" 422 Platform, "A recipe has errors", "Correct the places that are listed; `greenroom recipe check` checks them offline", "The recipe does not compile. All errors are listed with file, line and column.";
    "recipe-missing" 422 AppOwner, "A recipe does not exist", "Use one of the recipes that `greenroom recipe list` shows", "The descriptor names a recipe that the platform does not have.";
    "repository-unreachable" 422 AppOwner, "The app's repository cannot be read", "Check that it exists and that the server may read it, then retry", "`git` could not read the repository that the descriptor names. Its own message is given.";
    "revision-not-found" 422 You, "There is no such branch, tag or commit", "Pick one of the revisions that are listed for the app", "The repository was read, but it has no branch, tag or commit of that name.";
    "provider-unknown" 422 You, "There is no such provider", "Use one of the providers that are configured", "The launch names a provider that this server does not have.";
    "provider-unavailable" 503 Platform, "The provider cannot create servers now", "Retry; if it stays, the platform team looks at the provider", "The provider failed in a way that may pass.";
    "provider-refused" 422 Platform, "The provider refused", "The platform team checks the provider's settings", "The provider will not do this however often it is asked.";
    "capacity-exhausted" 503 Platform, "There is no room for another server", "Destroy a stack that is not needed, or wait for one to end", "All ports or places of the provider are taken.";
    "disk-full" 507 Platform, "The disk is full", "Free space, then retry", "Writing failed because the file system has no room left.";
    "port-taken" 503 Platform, "A port is taken by another program", "Retry to get other ports", "A port of the pool is used by a program that is not Greenroom's.";
    "agent-lost" 503 Platform, "The server's agent stopped answering", "Retry; if it stays, look at the node's log", "The agent on the node has not been heard of for longer than it should be.";
    "configuration-refused" 422 Platform, "The agent refuses the configuration", "Correct the recipe as the message says", "A state asks for something that this kind of server must not do, such as writing outside a sandbox.";
    "state-failed" 422 AppOwner, "A state could not be applied", "Read its log lines, correct the cause, then retry", "A state of the recipe failed on the server. Its own last lines are given.";
    "build-failed" 422 AppOwner, "The app does not build", "Correct the build at this revision, or pick another revision, then retry", "The app's build command ended with an error. Its own last lines are given.";
    "tool-missing" 422 Platform, "A program that the recipe needs is missing", "Install it on the server, or use a provider that can install packages", "A `package` state checks for a program that is not there.";
    "service-exited" 422 AppOwner, "A service stopped right after its start", "Read its last lines, correct the cause, then retry", "The process ended before it was ready, as often as its restart policy allows.";
    "service-unhealthy" 422 AppOwner, "A service does not become healthy", "Read its last lines; check its readiness probe, then retry", "The process runs, but its readiness probe did not succeed in time.";
    "unhealthy" 422 AppOwner, "The app does not answer as it should", "Open its log, correct the cause, then retry", "The app's address does not answer, or answers with an error.";
    "fixture-failed" 422 AppOwner, "The test data cannot be loaded", "Correct the fixture at this revision, then retry", "Loading the app's fixture into the new database failed. The database's message is given.";
    "database-unavailable" 503 Platform, "The database server cannot be used", "Check the server's `databases` settings, then retry", "The stack needs a database on a server that is not configured or does not answer.";
    "timed-out" 504 Nobody, "It took too long", "Retry; if it stays, look at the step's log", "The step did not end within its time limit and was stopped.";
    "in-doubt" 409 You, "It is not known whether the step took effect", "Look at the world, then say: done, not done, or undo", "The server stopped between starting an effect and noting its outcome, and the effect cannot be observed.";
    "undo-failed" 500 Platform, "Cleaning up failed", "Retry the clean-up: destroy the stack", "A step could not be undone, so something may be left. The rows name what.";
    "cancelled" 409 You, "It was cancelled", "Launch again when you want", "Someone cancelled the run; what it had done was undone.";
    "server-unreachable" 503 Platform, "The Greenroom server does not answer", "Check the address and that `greenroom serve` runs", "The CLI or agent could not reach the server.";
    "lease-too-long" 422 You, "The lease is longer than allowed", "Choose a shorter time", "Stacks end by themselves; how long one may live at most is a setting.";
    "method-not-allowed" 405 You, "This address does not take that method", "Use one of the methods in the `Allow` header", "The address exists, but not for this HTTP method. `/api/v1/openapi.json` lists every address with its methods.";
    "version-required" 428 You, "Say which version you edited", "Read it again and send its `ETag` as `If-Match`", "A change of something that others may be changing too must name the version it was made from, so that nobody's work is lost.";
    "too-busy" 503 Nobody, "The server has too much to do", "Try again in a moment", "More requests of this kind are open than the server keeps at once. Nothing was done.";
    "cannot-start" 503 You, "The server cannot start", "Correct the cause that is given, then start again", "`greenroom serve` or `greenroom demo` found something that keeps it from starting: settings that it does not understand, an address that is taken, a data folder that cannot be used or that another server uses, or a database that does not answer. Nothing was started.";
    "agent-busy" 409 You, "Another run of the agent is under way", "Wait for it to end, then try again", "One run at a time works on a node, so that two do not undo each other's changes. The lock says which process holds it and for how long; it goes with that process.";
    "clock-skew" 401 Platform, "The node's clock is wrong", "Set the node's clock; its agent corrects itself by the answer's `Date` meanwhile", "A signed request is good for 300 seconds around its making. This one was made too long ago or in the future by the server's clock, or before the server last started.";
    "signature-refused" 401 Platform, "The request is not the node's own", "Look for what stands between node and server and changes requests, or register the node anew", "A node signs each request with its key. The signature does not fit this request, or the same request has been here before.";
    "object-invalid" 422 You, "The inventory's files have errors", "Correct what is listed; `greenroom apply --plan` shows it again", "A node, datacenter, environment or role was refused by the validator. Every error is listed with file, line and column; nothing was saved.";
    "query-invalid" 400 You, "The query cannot be read", "Correct it at the column that is given", "A search query broke the grammar: words and `field:value` joined by `AND`, `OR` and `NOT`, with groups, phrases, ranges and the wildcards `*` and `?`. Fuzzy search (`~`) and boosting (`^`) are not offered.";
    "query-too-wide" 400 You, "The query would look at too much", "Name a field, or begin the word with something else than a wildcard", "A word that begins with a wildcard, or a range, without one field to look in has to look at every value of every document. With this many documents that would take too long.";
    "target-refused" 422 Platform, "The configuration cannot be made into that", "Leave out what is listed with `targets`, or let the agent apply it", "A script, user-data or an image cannot do everything that the agent does, and none may hold a secret. Every state that it cannot do is listed with file, line and column.";
    "ec2-permission" 403 Platform, "The AWS account may not do this", "Allow what the message names; docs/ec2.md has the whole policy, `greenroom provider check ec2` tries all of it", "The role or user that this server acts as in AWS lacks a permission, so EC2 refused. Nothing was made.";
    "ec2-credentials" 401 Platform, "AWS does not accept the server's credentials", "Give the server a role, a profile (`ec2.profile`) or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then `greenroom provider check ec2`", "There are no credentials, they have expired, or AWS does not know them. They are looked for in the environment, in AWS's own files, and in the role of the machine or container that the server runs on.";
    "ec2-clock" 401 Platform, "The server's clock is wrong", "Set the server's clock", "AWS takes signed requests for a few minutes around their making only, and this one was outside of that.";
    "ec2-account" 403 Platform, "The AWS account cannot be used for this yet", "Look at the account's messages in the AWS console: a verification, a payment or a subscription to the image is missing", "AWS refuses what is asked for the account as a whole, not for one permission: it is new, blocked, or has not subscribed to what the image costs.";
    "ec2-quota" 503 Platform, "A quota of the AWS account is used up", "Ask AWS for more under Service Quotas, or end stacks that are not needed", "AWS limits how many virtual processors, spot instances, volumes and addresses an account has in a region. All other types and zones of the settings were tried where that could help.";
    "ec2-capacity" 503 Cloud, "AWS has no such server to give right now", "Retry later, or add types and subnets of other zones to the ec2 settings", "All types, zones and markets of the settings were tried, and AWS has no room in any. It is not the account's quota; it usually passes within minutes to hours.";
    "ec2-subnet-full" 503 Platform, "A subnet has no free addresses", "Add a subnet to ec2.subnets, or end what is not needed in this one", "Every server takes an address of its subnet, and all subnets of the settings are full.";
    "ec2-setting" 422 Platform, "EC2 does not take what the settings say", "Correct the ec2 settings as the message says; `greenroom provider check ec2` looks at all of them", "An image, subnet, group, key pair, instance type or profile of the settings does not exist in this region, or does not fit the others.";
    "ec2-throttled" 503 Nobody, "EC2 asks for fewer requests", "Retry in a minute", "The account makes more calls than EC2 allows. Calls were slowed down and tried several times before this was said.";
    "ec2-unreachable" 503 Platform, "EC2 does not answer", "Retry; if it stays, check the server's way to the internet and https://health.aws.amazon.com", "EC2 could not be reached or failed inside, also after several attempts. What may have been made is found again by its tags.";
    "ec2-mismatch" 409 Nobody, "EC2 knows another launch under this token", "Retry: the instance is adopted, or launched under a new token", "A launch was begun before with other settings, and EC2 keeps one launch to a token. What was launched is looked for by its tags.";
    "ec2-state" 409 Nobody, "The instance is between two states", "Retry in a moment", "An instance that is starting or stopping takes no other orders until it has arrived.";
    "ec2-protected" 409 Platform, "The instance is protected", "Turn off termination or stop protection of the instance in the AWS console, then retry", "Someone protected the instance against being stopped or terminated. Greenroom never does so, and does not override it.";
    "ec2-instance-lost" 503 You, "The instance is gone", "Rebuild the stack, which makes a new one, or destroy it", "EC2 says that the instance was terminated, by someone in the console, by AWS, or because a spot instance was taken back. Its disk is gone with it.";
    "range-outside" 416 You, "There is nothing at that part of the file", "Ask for a part that begins before its end", "The `Range` header names bytes after the end of the file. `Content-Range` says how long it is.";
    "not-serving" 503 Nobody, "The stack does not serve now", "Wait, or look at what its page says", "The address belongs to a stack that is being made, changed, or is not running. `Retry-After` says when to ask again; the stack's page says what it waits for.";
    "app-unreachable" 502 AppOwner, "The app does not answer", "Read the app's log on the stack's page", "The stack is up, but nothing answers at this app's port, or what answers does not speak HTTP. Its agent restarts what has ended.";
    "link-ended" 410 You, "The link has ended", "Ask whoever gave it to you for another one", "Guest links are for a time, and whoever made one may end or replace it earlier.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_explained() {
        let mut seen = std::collections::BTreeSet::new();
        for entry in CATALOGUE {
            assert!(seen.insert(entry.code), "{} twice", entry.code);
            assert!(entry.explanation.len() > 40 && !entry.next.ends_with('.'), "{}", entry.code);
        }
    }
}
