//! Whether a service is ready: an address answers, or a program ends with 0.

use crate::agent::program::{self, Surroundings};
use crate::agent::secrets::Veil;
use crate::machine::processes;
use crate::model::configuration::Readiness;
use crate::model::fault::Fault;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(2);
const PROGRAM: Duration = Duration::from_secs(5);

/// Looks once; where it is not ready, says why.
pub(super) async fn probe(
    http: &reqwest::Client,
    surroundings: &Surroundings,
    name: &str,
    cwd: &Path,
    env: &BTreeMap<String, String>,
    ready: &Readiness,
) -> Result<(), String> {
    if let Some(url) = &ready.http {
        let answer = http.get(url).timeout(ANSWER).send().await.map_err(|error| {
            if error.is_connect() {
                format!("nothing listens at {url} yet")
            } else if error.is_timeout() {
                format!("{url} does not answer within {} s", ANSWER.as_secs())
            } else {
                format!("{url} does not answer: {}", error.without_url())
            }
        })?;
        let status = answer.status();
        if status.as_u16() >= 400 {
            return Err(format!("{url} answers {status}"));
        }
    }
    if let Some(command) = &ready.exec {
        let marked = surroundings.command(command, cwd, env, (processes::TASK, name));
        let command = marked.map_err(|fault| fault.to_string())?;
        let ended = program::run(command, PROGRAM, &Veil::default(), |_| {}).await;
        let ended = ended.map_err(|error| error.to_string())?;
        if !ended.is_good() {
            let fault = ended.fault("state-failed", "the readiness program fails".to_owned(), PROGRAM);
            return Err(fault.to_string());
        }
    }
    Ok(())
}

/// Refuses to start a service whose address someone else already answers at; its readiness would be the other's.
pub(super) async fn check_port(name: &str, ready: &Readiness) -> Result<(), Fault> {
    let Some(address) = ready.http.as_deref().and_then(address) else {
        return Ok(());
    };
    let mut tries = 0;
    while let Err(error) = TcpListener::bind(address) {
        if error.kind() != std::io::ErrorKind::AddrInUse {
            return Ok(());
        }
        tries += 1;
        if tries > 20 {
            return Err(Fault::new(
                "port-taken",
                format!("The port {} of the service {name} is taken", address.port()),
            )
            .why("a program that is not this node's listens there"));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Ok(())
}

// The address of a URL, where it is this machine's.
fn address(url: &str) -> Option<SocketAddr> {
    let url = reqwest::Url::parse(url).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    let address = (host, url.port_or_known_default()?).to_socket_addrs().ok()?.next()?;
    (address.ip().is_loopback() || address.ip().is_unspecified()).then_some(address)
}
