//! What GitHub, GitLab and Gitea say of pull requests and branches in their webhooks, read into one form. Pure.
//!
//! Sources: GitHub's "Webhook events and payloads" (`pull_request`, `delete`) and "Validating webhook deliveries"; GitLab's
//! "Webhook events" (merge request and push events, `X-Gitlab-Token`); Gitea's "Webhooks" (`X-Gitea-Signature`).

use ring::hmac;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

const NOTHING: &str = "0000000000000000000000000000000000000000";

/// Whose webhook it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forge {
    /// github.com or GitHub Enterprise.
    GitHub,
    /// gitlab.com or an own GitLab.
    GitLab,
    /// Gitea or Forgejo.
    Gitea,
}

impl Forge {
    /// Its name in addresses and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
        }
    }
}

impl fmt::Display for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Forge {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::GitHub, Self::GitLab, Self::Gitea]
            .into_iter()
            .find(|forge| forge.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no forge: use github, gitlab or gitea"))
    }
}

/// What of a delivery proves and names itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delivery<'a> {
    /// The event's name, as its header says it.
    pub event: &'a str,
    /// The proof, as its header says it: a signature, or GitLab's token.
    pub proof: &'a str,
}

/// What happened to a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// It has a pull request, and this is its newest commit.
    Open,
    /// Its pull request was closed or merged.
    Closed,
    /// The branch is gone.
    Gone,
}

/// What a webhook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchEvent {
    /// The addresses that the branch's repository is cloned from.
    pub repositories: Vec<String>,
    /// The forge's own address, such as `https://github.com`.
    pub site: String,
    /// The project that the pull request is in, such as `shop/storefront`.
    pub project: String,
    /// The branch.
    pub branch: String,
    /// Its newest commit; absent where it is gone.
    pub commit: Option<String>,
    /// The pull request's number.
    pub number: Option<i64>,
    /// Whether the branch is in another repository than the pull request.
    pub from_fork: bool,
    /// The pull request's labels.
    pub labels: Vec<String>,
    /// What happened.
    pub happened: Happened,
}

/// Whether a delivery proves that whoever sent it knows the secret. Takes the same time whatever is wrong.
pub fn is_proved(forge: Forge, delivery: Delivery<'_>, body: &[u8], secret: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = |text: &str| unhex(text).is_some_and(|signature| hmac::verify(&key, body, &signature).is_ok());
    match forge {
        _ if secret.is_empty() => false,
        Forge::GitHub => delivery.proof.strip_prefix("sha256=").is_some_and(signed),
        Forge::Gitea => signed(delivery.proof),
        // GitLab sends the secret itself: compared by its tag, so that the time tells nothing.
        Forge::GitLab => hmac::verify(&key, delivery.proof.as_bytes(), hmac::sign(&key, secret.as_bytes()).as_ref()).is_ok(),
    }
}

/// What a delivery says of a branch; none where it is about something else.
///
/// # Errors
/// What is missing in it, in words.
pub fn read(forge: Forge, event: &str, body: &Value) -> Result<Option<BranchEvent>, String> {
    match (forge, event) {
        (Forge::GitHub | Forge::Gitea, "pull_request") => pull_request(body).map(Some),
        (Forge::GitHub | Forge::Gitea, "delete") if body["ref_type"] == "branch" => deleted(body).map(Some),
        (Forge::GitLab, "Merge Request Hook") => merge_request(body).map(Some),
        (Forge::GitLab, "Push Hook") if body["after"] == NOTHING => pushed_away(body).map(Some),
        _ => Ok(None),
    }
}

/// One way to write where a repository is, whichever way it is cloned: `host/path`, in lower case.
pub fn same_place(repository: &str) -> String {
    let text = repository
        .trim()
        .trim_end_matches('/')
        .trim_end_matches(".git")
        .to_ascii_lowercase();
    let bare = match text.split_once("://") {
        Some((_, rest)) => rest.to_owned(),
        // git@host:path
        None => text.replacen(':', "/", 1),
    };
    let (host, path) = bare.split_once('/').unwrap_or((bare.as_str(), ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    format!("{host}/{}", path.trim_start_matches('/'))
}

fn pull_request(body: &Value) -> Result<BranchEvent, String> {
    let request = &body["pull_request"];
    let head = &request["head"];
    let closed = body["action"] == "closed" || request["state"] == "closed";
    Ok(BranchEvent {
        repositories: addresses(&head["repo"], &["clone_url", "ssh_url", "html_url"]),
        site: site(&body["repository"]["html_url"])?,
        project: text(&body["repository"]["full_name"], "repository.full_name")?,
        branch: text(&head["ref"], "pull_request.head.ref")?,
        commit: Some(text(&head["sha"], "pull_request.head.sha")?),
        number: body["number"].as_i64().or_else(|| request["number"].as_i64()),
        from_fork: head["repo"]["full_name"] != body["repository"]["full_name"],
        labels: names(&request["labels"], "name"),
        happened: if closed { Happened::Closed } else { Happened::Open },
    })
}

fn deleted(body: &Value) -> Result<BranchEvent, String> {
    let branch = text(&body["ref"], "ref")?;
    Ok(BranchEvent {
        repositories: addresses(&body["repository"], &["clone_url", "ssh_url", "html_url"]),
        site: site(&body["repository"]["html_url"])?,
        project: text(&body["repository"]["full_name"], "repository.full_name")?,
        branch: branch.trim_start_matches("refs/heads/").to_owned(),
        commit: None,
        number: None,
        from_fork: false,
        labels: Vec::new(),
        happened: Happened::Gone,
    })
}

fn merge_request(body: &Value) -> Result<BranchEvent, String> {
    let request = &body["object_attributes"];
    let closed = matches!(request["action"].as_str(), Some("close" | "merge"))
        || matches!(request["state"].as_str(), Some("closed" | "merged"));
    Ok(BranchEvent {
        repositories: addresses(&request["source"], &["git_http_url", "git_ssh_url", "web_url"]),
        site: site(&body["project"]["web_url"])?,
        project: text(&body["project"]["path_with_namespace"], "project.path_with_namespace")?,
        branch: text(&request["source_branch"], "object_attributes.source_branch")?,
        commit: Some(text(&request["last_commit"]["id"], "object_attributes.last_commit.id")?),
        number: request["iid"].as_i64(),
        from_fork: request["source_project_id"] != request["target_project_id"],
        labels: names(&body["labels"], "title"),
        happened: if closed { Happened::Closed } else { Happened::Open },
    })
}

fn pushed_away(body: &Value) -> Result<BranchEvent, String> {
    let name = text(&body["ref"], "ref")?;
    Ok(BranchEvent {
        repositories: addresses(&body["project"], &["git_http_url", "git_ssh_url", "web_url"]),
        site: site(&body["project"]["web_url"])?,
        project: text(&body["project"]["path_with_namespace"], "project.path_with_namespace")?,
        branch: name.trim_start_matches("refs/heads/").to_owned(),
        commit: None,
        number: None,
        from_fork: false,
        labels: Vec::new(),
        happened: Happened::Gone,
    })
}

fn text(value: &Value, name: &str) -> Result<String, String> {
    let found = value.as_str().filter(|text| !text.is_empty());
    found.map(str::to_owned).ok_or_else(|| format!("`{name}` is missing"))
}

// `https://github.com` of `https://github.com/shop/storefront`.
fn site(url: &Value) -> Result<String, String> {
    let url = text(url, "the project's address")?;
    let (scheme, rest) = url.split_once("://").ok_or("the project's address has no scheme")?;
    let host = rest.split('/').next().unwrap_or_default();
    Ok(format!("{scheme}://{host}"))
}

fn addresses(value: &Value, fields: &[&str]) -> Vec<String> {
    fields
        .iter()
        .filter_map(|field| Some(value[*field].as_str()?.to_owned()))
        .collect()
}

fn names(value: &Value, field: &str) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|label| Some(label[field].as_str()?.to_owned())).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_ways_to_write_one_repository_are_one_place() {
        for text in [
            "https://GitHub.com/Shop/Storefront.git",
            "git@github.com:shop/storefront.git",
            "ssh://git@github.com:22/shop/storefront",
            "https://token@github.com/shop/storefront/",
        ] {
            assert_eq!(same_place(text), "github.com/shop/storefront", "{text}");
        }
        assert_ne!(
            same_place("https://github.com/shop/a"),
            same_place("https://github.com/shop/b")
        );
    }

    #[test]
    fn a_delivery_is_believed_by_its_own_proof_only() {
        // GitHub's own example, of "Validating webhook deliveries".
        let (secret, body) = ("It's a Secret to Everybody", b"Hello, World!".as_slice());
        let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let github = format!("sha256={hex}");
        let ask = |forge, proof: &str, secret: &str| is_proved(forge, Delivery { event: "", proof }, body, secret);
        assert!(ask(Forge::GitHub, &github, secret) && ask(Forge::Gitea, hex, secret) && ask(Forge::GitLab, secret, secret));
        for (forge, proof) in [
            (Forge::GitHub, hex),
            (Forge::GitHub, ""),
            (Forge::Gitea, &github),
            (Forge::Gitea, "zz"),
            (Forge::GitLab, ""),
            (Forge::GitLab, "another"),
        ] {
            assert!(!ask(forge, proof, secret), "{forge} {proof}");
        }
        assert!(!ask(Forge::GitLab, "", ""), "without a secret nobody is believed");
    }

    #[test]
    fn what_other_events_say_is_passed_over_and_what_is_missing_is_named() {
        assert_eq!(read(Forge::GitHub, "ping", &json!({})), Ok(None));
        assert_eq!(read(Forge::GitLab, "Push Hook", &json!({"after": "abc"})), Ok(None));
        let missing = read(
            Forge::GitHub,
            "pull_request",
            &json!({"repository": {"html_url": "https://h/a/b", "full_name": "a/b"}}),
        );
        assert!(missing.unwrap_err().contains("head.ref"));
    }
}
