//! Contract only: the signatures that steps and control are written against; the body lands separately.
#![expect(missing_docs, reason = "replaced by the real module")]
use crate::model::fault::Fault;
#[derive(Debug, Clone)]
pub struct DatabaseServer;
impl DatabaseServer {
    pub fn host(&self) -> &str {
        ""
    }
    pub fn port(&self) -> u16 {
        0
    }
    pub async fn ensure_database(&self, _n: &str, _r: &str, _p: &str) -> Result<(), Fault> {
        Ok(())
    }
    pub async fn drop_database(&self, _n: &str, _r: &str) -> Result<(), Fault> {
        Ok(())
    }
    pub async fn exists(&self, _n: &str) -> Result<bool, Fault> {
        Ok(false)
    }
}
