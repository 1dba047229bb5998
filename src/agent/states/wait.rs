//! Something else has to be there first.

use super::{Done, Hands};
use crate::model::configuration::WaitFor;
use crate::model::fault::Fault;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const ASK: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

impl Hands {
    pub(super) async fn wait_for(&self, wait: &WaitFor) -> Result<Done, Fault> {
        let deadline = Instant::now() + Duration::from_secs(wait.timeout_s);
        loop {
            let Err(why) = self.is_awaited(wait).await else {
                return Ok(Done::Unchanged);
            };
            if self.is_plan() {
                return Ok(Done::Unknown(format!("would wait: {why}")));
            }
            if Instant::now() >= deadline {
                let what = format!("What this node waits for is not there after {} s", wait.timeout_s);
                return Err(Fault::new("timed-out", what).why(why));
            }
            sleep(PAUSE).await;
        }
    }
}

impl Hands {
    async fn is_awaited(&self, wait: &WaitFor) -> Result<(), String> {
        let Some(file) = &wait.file else { return answers(wait).await };
        match self.is_there(Path::new(file)) {
            Some(true) => Ok(()),
            Some(false) => Err(format!("{file} is not there")),
            None => Err(format!("whether {file} is there is not known")),
        }
    }
}

/// Whether something listens on a port.
pub(super) async fn is_open(host: &str, port: u16) -> bool {
    timeout(ASK, TcpStream::connect((host, port))).await.is_ok_and(|c| c.is_ok())
}

async fn answers(wait: &WaitFor) -> Result<(), String> {
    if let Some(port) = wait.port {
        let open = is_open(&wait.host, port).await;
        return open
            .then_some(())
            .ok_or_else(|| format!("nothing takes connections at {}:{port}", wait.host));
    }
    if let Some(url) = &wait.http {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(ASK)
            .build()
            .map_err(|e| e.to_string())?;
        let answer = client.get(url).send().await.map_err(|e| e.without_url().to_string())?;
        let good = answer.status().as_u16() < 400;
        return good.then_some(()).ok_or_else(|| format!("{url} answers {}", answer.status()));
    }
    Ok(())
}
