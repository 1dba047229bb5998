//! Finding apps while somebody types: plain words, or a query in the grammar of every search.

use crate::control::{Control, Result};
use crate::model::actor::Actor;
use crate::wire::apps::AppSummary;

impl Control {
    /// The apps that a text finds: words that all stand somewhere in an app, or a query such as `type:worker AND
    /// owners.ops:platform`.
    ///
    /// # Errors
    /// `query-invalid` with the place; `query-too-wide`.
    pub async fn find_apps(&self, actor: &Actor, text: &str) -> Result<Vec<AppSummary>> {
        if !is_query(text) {
            return self.list_apps(actor, Some(text), None).await;
        }
        let names = self.found_names(actor, "app", text).await?;
        let mut apps = self.list_apps(actor, None, None).await?;
        apps.retain(|app| names.contains(&app.name));
        Ok(apps)
    }
}

/// Whether a text can only be meant as a query.
pub(in crate::control) fn is_query(text: &str) -> bool {
    let is_operator =
        |word: &str| ["AND", "OR", "NOT", "&&", "||"].contains(&word) || (word.len() > 1 && word.starts_with(['-', '+', '!']));
    text.contains([':', '*', '?', '"', '(', '[', '{']) || text.split_whitespace().any(is_operator)
}

#[cfg(test)]
mod tests {
    use super::is_query;

    #[test]
    fn words_are_words_and_queries_are_queries() {
        for words in ["", "shop", "team books", "and more", "a-b", "-"] {
            assert!(!is_query(words), "{words}");
        }
        for query in ["type:worker", "shop*", "a AND b", "shop -mail", "\"two words\""] {
            assert!(is_query(query), "{query}");
        }
    }
}
