//! `check_page`: a page of an app answers as its descriptor says it must, asked from outside the node, as a person would.

use super::Tools;
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::model::name::AppName;
use crate::model::plan::EffectClass;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(15);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const PAGE_LIMIT: usize = 2 * 1024 * 1024;

/// Input of `check_page`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The node.
    pub node: NodeId,
    /// The app.
    pub app: AppName,
    /// The port's name.
    pub port: String,
    /// What the check is called.
    pub name: String,
    /// The path.
    pub path: String,
    /// Text that the page must hold.
    pub contains: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct CheckPage(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for CheckPage {
    fn name(&self) -> &'static str {
        "check_page"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Pure
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: Input = cx.input()?;
        let handle = self.0.handle(&input.node).await?;
        let port = handle.ports.get(&format!("{}/{}", input.app, input.port)).copied();
        let Some(port) = port else {
            return Err(StepError::Final(Fault::new(
                "internal",
                format!("The node has no port for {}/{}", input.app, input.port),
            )));
        };
        let url = format!("http://{}:{port}{}", handle.address, input.path);
        let began = Instant::now();
        loop {
            let asked = tokio::select! {
                () = cx.cancel.cancelled() => return Err(StepError::Stopped),
                asked = ask(&self.0.http, &url, input.contains.as_deref()) => asked,
            };
            match asked {
                Ok(status) => {
                    cx.log.line(format!("{url} answers {status}")).await;
                    return Ok(Value::Null);
                }
                Err(why) if began.elapsed() > PATIENCE => {
                    cx.log.line(format!("{url}: {why}")).await;
                    let what = format!("{} does not pass the check `{}`", input.app, input.name);
                    return Err(StepError::Final(Fault::new("unhealthy", what).why(format!("{url}: {why}"))));
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn ask(http: &reqwest::Client, url: &str, contains: Option<&str>) -> Result<u16, String> {
    let mut answer = http.get(url).timeout(ANSWER_LIMIT).send().await.map_err(|e| {
        if e.is_connect() {
            "nothing listens there".to_owned()
        } else {
            e.without_url().to_string()
        }
    })?;
    let status = answer.status();
    if !status.is_success() && !status.is_redirection() {
        return Err(format!("it answers {status}"));
    }
    let Some(wanted) = contains else { return Ok(status.as_u16()) };
    let mut page = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|e| e.without_url().to_string())? {
        page.extend_from_slice(&part);
        if page.len() > PAGE_LIMIT {
            break;
        }
    }
    if String::from_utf8_lossy(&page).contains(wanted) {
        Ok(status.as_u16())
    } else {
        Err(format!("it answers {status}, but without the text {wanted:?}"))
    }
}
