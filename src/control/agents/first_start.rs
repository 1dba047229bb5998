//! What a stack's server does when it starts for the first time as a bare machine: it fetches the agent's program from here, installs
//! it, and registers as the node that it was made for.

use super::program::Program;
use crate::providers::NodeSpec;
use crate::providers::ec2::FirstStart;
use crate::recipes::targets::{Newcomer, Stub, stub_user_data};
use async_trait::async_trait;

/// Makes user-data for servers of stacks.
#[derive(Debug)]
pub struct FirstStarts {
    server: String,
    program: Program,
}

impl FirstStarts {
    /// For servers that reach us at this address.
    pub fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            program: Program::own(),
        }
    }
}

#[async_trait]
impl FirstStart for FirstStarts {
    async fn user_data(&self, spec: &NodeSpec) -> Result<String, String> {
        let program = self.program.facts().await.map_err(|error| error.fault.to_string())?;
        Ok(stub_user_data(&Stub {
            server: self.server.clone(),
            newcomer: Newcomer::Given(spec.node.clone()),
            token: spec.bootstrap.token.clone(),
            program: format!("{}/agent/v1/program", self.server),
            program_sha256: program.sha256,
        }))
    }
}
