//! What people write on the command line to choose apps and data.

use crate::model::stack::{DataChoice, Size};
use crate::wire::stacks::{AppChoice, LaunchRequest};
use clap::Args;

/// Apps, data, size and lease of a launch.
#[derive(Debug, Args)]
pub struct Choices {
    /// Apps, each at a branch, tag or commit, or at its default; what they need is added
    #[arg(required_unless_present = "from", value_name = "APP[@REVISION]", value_parser = app)]
    pub apps: Vec<AppChoice>,

    /// A preset to start from; what else is given wins over it
    #[arg(long = "preset", id = "from", value_name = "PRESET")]
    pub preset: Option<String>,

    /// What a database starts with: `empty`, or `fixture` for the app's test data
    #[arg(long, value_name = "APP/DATABASE=CHOICE", value_parser = data)]
    pub data: Vec<(String, DataChoice)>,

    /// What to call it [default: a name is made up]
    #[arg(long)]
    pub name: Option<String>,

    /// How much room: small, medium or large [default: small]
    #[arg(long, value_parser = size)]
    pub size: Option<Size>,

    /// How long it lives, such as 4h or 2d [default: the server's]
    #[arg(long, value_name = "LENGTH")]
    pub lease: Option<String>,

    /// Where it runs [default: the server's]
    #[arg(long)]
    pub provider: Option<String>,
}

impl From<Choices> for LaunchRequest {
    fn from(choices: Choices) -> Self {
        Self {
            name: choices.name,
            preset: choices.preset,
            apps: choices.apps,
            data: choices.data.into_iter().collect(),
            size: choices.size,
            lease: choices.lease,
            provider: choices.provider,
            // A call that is repeated by the network must not launch twice.
            idempotency_key: Some(uuid::Uuid::now_v7().to_string()),
        }
    }
}

/// `storefront` or `storefront@v1.0`.
pub fn app(text: &str) -> Result<AppChoice, String> {
    let (app, revision) = match text.split_once('@') {
        Some((_, "")) => return Err("there is no revision after `@`".into()),
        Some((app, revision)) => (app, Some(revision.to_owned())),
        None => (text, None),
    };
    if app.is_empty() {
        return Err("there is no app before `@`".into());
    }
    Ok(AppChoice {
        app: app.to_owned(),
        revision,
    })
}

fn data(text: &str) -> Result<(String, DataChoice), String> {
    let (key, choice) = text
        .split_once('=')
        .filter(|(key, _)| key.contains('/'))
        .ok_or("write it like catalogue/db=fixture")?;
    let choice = choice
        .parse()
        .map_err(|_| format!("`{choice}` is not a choice: use {}", names(DataChoice::ALL)))?;
    Ok((key.to_owned(), choice))
}

fn size(text: &str) -> Result<Size, String> {
    text.parse().map_err(|_| format!("use {}", names(Size::ALL)))
}

fn names<T: std::fmt::Display>(all: &[T]) -> String {
    let names: Vec<String> = all.iter().map(ToString::to_string).collect();
    names.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_may_be_at_a_revision() {
        assert_eq!(app("shop").unwrap().revision, None);
        let choice = app("shop@feature/new@2").unwrap();
        assert_eq!(
            (choice.app.as_str(), choice.revision.as_deref()),
            ("shop", Some("feature/new@2"))
        );
        assert!(app("shop@").is_err());
        assert!(app("@v1").is_err());
    }

    #[test]
    fn data_names_a_database_and_a_choice() {
        assert_eq!(data("catalogue/db=fixture"), Ok(("catalogue/db".into(), DataChoice::Fixture)));
        assert!(data("catalogue=fixture").is_err());
        assert!(data("catalogue/db=production").unwrap_err().contains("empty or fixture"));
    }
}
