//! How long things usually take: medians over the latest successes.

use super::super::{Result, Store};
use sqlx::Row;
use std::collections::BTreeMap;

const LATEST: i64 = 20;

impl Store {
    /// How long a run of this plan usually takes, in milliseconds.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn usual_ms(&self, plan_kind: &str) -> Result<Option<i64>> {
        let spans: Vec<i64> = sqlx::query_scalar(
            "SELECT ended_at - started_at FROM runs WHERE kind = $1 AND state = 'succeeded' \
             AND started_at IS NOT NULL AND ended_at IS NOT NULL ORDER BY id DESC LIMIT $2",
        )
        .bind(plan_kind.to_owned())
        .bind(LATEST)
        .fetch_all(self.pool())
        .await?;
        Ok(median(spans))
    }

    /// How long each step of this plan usually takes, by step key, in milliseconds.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn usual_step_ms(&self, plan_kind: &str) -> Result<BTreeMap<String, i64>> {
        let rows = sqlx::query(
            "SELECT step_key, ended_at - started_at FROM run_steps WHERE state = 'succeeded' AND started_at IS NOT NULL \
             AND ended_at IS NOT NULL AND run_id IN (SELECT id FROM runs WHERE kind = $1 AND state = 'succeeded' \
             ORDER BY id DESC LIMIT $2)",
        )
        .bind(plan_kind.to_owned())
        .bind(LATEST)
        .fetch_all(self.pool())
        .await?;
        let mut spans: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for row in rows {
            spans.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
        }
        Ok(spans
            .into_iter()
            .filter_map(|(key, spans)| Some((key, median(spans)?)))
            .collect())
    }
}

fn median(mut spans: Vec<i64>) -> Option<i64> {
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().map(|span| span.max(0))
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_and_nothing_has_none() {
        assert_eq!(median(vec![9, 1, 5]), Some(5));
        assert_eq!(median(vec![-3]), Some(0));
        assert_eq!(median(vec![]), None);
    }
}
