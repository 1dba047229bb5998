//! Contract only: the signatures that steps and control are written against; the body lands separately.
#![expect(missing_docs, reason = "replaced by the real module")]
use super::{Result, Store, Tx};
use crate::model::{
    actor::Actor,
    fault::Fault,
    id::RunId,
    plan::{Plan, StepSpec},
    run::{RunState, Signal, StepState},
    time::Timestamp,
};
use std::collections::BTreeMap;
#[derive(Debug, Clone)]
pub struct RunRecord {
    pub run: RunRow,
    pub steps: Vec<StepRow>,
}
#[derive(Debug, Clone)]
pub struct RunRow {
    pub id: RunId,
    pub kind: String,
    pub title: String,
    pub subject: String,
    pub actor: String,
    pub state: RunState,
    pub fault: Option<Fault>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}
#[derive(Debug, Clone)]
pub struct StepRow {
    pub spec: StepSpec,
    pub state: StepState,
    pub attempt: u32,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub fault: Option<Fault>,
}
pub fn allowed_actions(_r: &RunRecord) -> Vec<String> {
    vec![]
}
pub fn waiting_for(_r: &RunRecord) -> String {
    String::new()
}
impl Tx {
    pub async fn insert_run(&mut self, _p: &Plan, _a: &Actor, _k: Option<&str>) -> Result<RunId> {
        unimplemented!()
    }
    pub async fn run_subject(&mut self, _r: &RunId) -> Result<Option<String>> {
        unimplemented!()
    }
    pub async fn insert_signal(&mut self, _r: &RunId, _s: &Signal, _a: &Actor, _q: Option<&str>) -> Result<()> {
        unimplemented!()
    }
}
impl Store {
    pub async fn run(&self, _r: &RunId) -> Result<Option<RunRecord>> {
        unimplemented!()
    }
    pub async fn runs_of(&self, _s: Option<&str>, _c: Option<&RunId>, _l: i64) -> Result<(Vec<RunRecord>, i64)> {
        unimplemented!()
    }
    pub async fn usual_ms(&self, _k: &str) -> Result<Option<i64>> {
        unimplemented!()
    }
    pub async fn usual_step_ms(&self, _k: &str) -> Result<BTreeMap<String, i64>> {
        unimplemented!()
    }
}
