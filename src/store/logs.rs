//! Contract only: the signatures that steps and control are written against; the body lands separately.
#![expect(missing_docs, reason = "replaced by the real module")]
use super::{Result, Store};
use crate::model::time::Timestamp;
use crate::wire::runs::LogChunk;
impl Store {
    pub async fn append_log(&self, _stream: &str, _writer: &str, _seq: Option<i64>, _at: Timestamp, _text: &str) -> Result<()> {
        Ok(())
    }
    pub async fn read_log(&self, _stream: &str, _after: i64, _limit: i64) -> Result<Vec<LogChunk>> {
        Ok(vec![])
    }
}
