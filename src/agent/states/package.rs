//! A program is there, in at least this version. Nodes that cannot install packages check for it.

use super::{Done, Hands};
use crate::model::fault::Fault;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

impl Hands {
    pub(super) async fn package(
        &self,
        name: &str,
        program: &str,
        least: Option<&str>,
        version_args: &[String],
    ) -> Result<Done, Fault> {
        let found = self.surroundings.find(program, Path::new("/"), None)?;
        let Some(least) = least else { return Ok(Done::Unchanged) };
        let mut command = vec![found.display().to_string()];
        if version_args.is_empty() {
            command.push("--version".to_owned());
        } else {
            command.extend_from_slice(version_args);
        }
        let said = self
            .run(name, &command, Path::new("/"), &BTreeMap::new(), PATIENCE, "", "")
            .await?;
        let what = || format!("The program {program} is not in a version that will do");
        match version(&said.text) {
            Some(version) if compare(version, least) != Ordering::Less => Ok(Done::Unchanged),
            Some(version) => Err(Fault::new("tool-missing", what()).why(format!("it is {version}, and {least} is needed"))),
            None => Err(Fault::new("tool-missing", what())
                .why(format!("`{}` does not name a version", command.join(" ")))
                .log_tail(said.tail)),
        }
    }
}

// The first dotted number in a program's own words.
fn version(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .map(|word| word.trim_matches('.'))
        .find(|word| word.contains('.'))
        .or_else(|| text.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty()))
}

fn compare(one: &str, other: &str) -> Ordering {
    let numbers = |text: &str| text.split('.').map(|n| n.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    let (mut one, mut other) = (numbers(one), numbers(other));
    let length = one.len().max(other.len());
    one.resize(length, 0);
    other.resize(length, 0);
    one.cmp(&other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say_and_compared_as_numbers() {
        assert_eq!(version("git version 2.47.3 (Apple Git-1)"), Some("2.47.3"));
        assert_eq!(version("Python 3.11.7\n"), Some("3.11.7"));
        assert_eq!(version("v20.1.0"), Some("20.1.0"));
        assert_eq!(version("node 20"), Some("20"));
        assert_eq!(version("none"), None);
        assert_eq!(compare("3.11", "3.9"), Ordering::Greater);
        assert_eq!(compare("3.11.0", "3.11"), Ordering::Equal);
        assert_eq!(compare("2.9", "2.30"), Ordering::Less);
    }
}
