//! Finding objects by what people type: words, or a query.

use super::super::apps::is_query;
use super::super::search::SearchRequest;
use super::super::{Control, Result};
use crate::model::actor::Actor;
use crate::model::inventory::ObjectKind;
use crate::wire::Page;
use crate::wire::inventory::ObjectView;
use serde_json::Value;

impl Control {
    /// A page of the objects that a text finds, by name, beginning after the one that `cursor` names: words that stand
    /// somewhere in an object, or a query such as `role:web AND datacenter:dc1`.
    ///
    /// # Errors
    /// `query-invalid` with the place; `query-too-wide`.
    pub async fn find_objects(
        &self,
        actor: &Actor,
        kind: ObjectKind,
        text: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<ObjectView>> {
        if is_query(text) {
            return self.queried(actor, kind, text, cursor, limit).await;
        }
        let all = self.list_objects(actor, kind, Some(text), None).await?;
        let begin = cursor.map_or(0, |cursor| all.partition_point(|object| object.name.as_str() <= cursor));
        let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let more = all.len() > begin + limit;
        let items: Vec<ObjectView> = all.into_iter().skip(begin).take(limit).collect();
        let next = items.last().filter(|_| more).map(|object| object.name.clone());
        Ok(Page { total, items, next })
    }

    async fn queried(
        &self,
        actor: &Actor,
        kind: ObjectKind,
        text: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<ObjectView>> {
        let request = SearchRequest {
            query: Some(text.to_owned()),
            rows: i64::try_from(limit).unwrap_or(i64::MAX),
            cursor: cursor.map(str::to_owned),
            fields: vec!["name".to_owned()],
            ..SearchRequest::default()
        };
        let found = self.search(actor, kind.as_str(), &request).await?;
        let mut items = Vec::with_capacity(found.rows.len());
        for name in found.rows.iter().filter_map(|row| row["name"].as_str()) {
            match self.show_object(actor, kind, name, None).await {
                Ok(object) => items.push(object),
                // Removed since it was found.
                Err(error) if error.fault.code == "not-found" => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Page {
            items,
            next: found.next,
            total: found.total,
        })
    }

    /// The nodes and roles that name an object, a page of each: what would have to change before it can go.
    ///
    /// # Errors
    /// The store's.
    pub async fn users_of(
        &self,
        actor: &Actor,
        kind: ObjectKind,
        name: &str,
        limit: usize,
    ) -> Result<Vec<(ObjectKind, String, Page<ObjectView>)>> {
        let quoted = Value::from(name).to_string();
        let places: &[(ObjectKind, &str)] = match kind {
            ObjectKind::Node => &[],
            ObjectKind::Datacenter => &[
                (ObjectKind::Node, "datacenter"),
                (ObjectKind::Environment, "datacenters"),
                (ObjectKind::Datacenter, "standbyFor"),
            ],
            ObjectKind::Environment => &[(ObjectKind::Node, "environment")],
            ObjectKind::Role => &[(ObjectKind::Node, "roles"), (ObjectKind::Role, "role")],
        };
        let mut users = Vec::new();
        for (kind, field) in places {
            let query = format!("{field}:{quoted}");
            let page = self.queried(actor, *kind, &query, None, limit).await?;
            if page.total > 0 {
                users.push((*kind, query, page));
            }
        }
        Ok(users)
    }
}
