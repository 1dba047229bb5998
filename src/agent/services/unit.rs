//! The task of one service: it starts the process, watches it, starts it again as its policy says, and carries out orders.

use super::process::{End, Running, sweep};
use super::{Record, Shared, Status, Wanted, ready};
use crate::agent::folder::io_fault;
use crate::machine::processes;
use crate::model::fault::Fault;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_mins(10);
const FIRST_PROBE: Duration = Duration::from_millis(50);
const SLOWEST_PROBE: Duration = Duration::from_millis(500);

/// What a service's task is told. The sender waits for the answer.
#[derive(Debug)]
pub(super) enum Order {
    /// Take over what a running process need not be restarted for.
    Update(Box<Wanted>),
    /// Stop the present process, if any, and start this one.
    Replace(Box<Wanted>, oneshot::Sender<()>),
    /// Stop the present process and start it again.
    Restart(oneshot::Sender<()>),
    /// Stop for good.
    Stop(oneshot::Sender<()>),
}

enum Phase {
    Up(Running),
    Pause(Instant),
    Down,
}

enum Next {
    Ordered(Option<Order>),
    Ended(End),
    Probe,
    Start,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Unit {
    shared: Arc<Shared>,
    wanted: Wanted,
    status: watch::Sender<Status>,
    env: BTreeMap<String, String>,
    ends: VecDeque<Instant>,
    found: Option<Record>,
}

/// Where a service's process is written down.
pub(super) fn record_name(service: &str) -> String {
    format!("services/{service}.json")
}

impl Unit {
    /// The task of a service; one that was found running goes on as it is, any other waits for the order to start.
    pub(super) fn new(shared: Arc<Shared>, wanted: Wanted, found: Option<Record>) -> (Self, watch::Receiver<Status>) {
        let (status, seen) = watch::channel(Status {
            state: if found.is_some() { "starting" } else { "backoff" },
            pid: found.as_ref().map(|r| r.pid),
            restarts: found.as_ref().map_or(0, |r| r.restarts),
            identity: found.as_ref().map_or_else(|| wanted.identity(), |r| r.identity.clone()),
            since: Instant::now(),
            ended: None,
            probed: None,
            fault: None,
        });
        let unit = Self {
            shared,
            wanted,
            status,
            env: BTreeMap::new(),
            ends: VecDeque::new(),
            found,
        };
        (unit, seen)
    }

    /// Runs until told to stop for good.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut pause = FIRST_PROBE;
        let mut phase = self.take_over();
        loop {
            let probing = self.status.borrow().state == "starting";
            let next = match &mut phase {
                Phase::Up(running) => tokio::select! {
                    order = orders.recv() => Next::Ordered(order),
                    end = running.ended() => Next::Ended(end),
                    () = sleep(pause), if probing => Next::Probe,
                },
                Phase::Pause(until) => {
                    let until = *until;
                    tokio::select! {
                        order = orders.recv() => Next::Ordered(order),
                        () = sleep_until(until) => Next::Start,
                    }
                }
                Phase::Down => Next::Ordered(orders.recv().await),
            };
            phase = match next {
                // The agent ends; its services go on.
                Next::Ordered(None) => return,
                Next::Ordered(Some(order)) => {
                    pause = FIRST_PROBE;
                    match order {
                        Order::Update(wanted) => {
                            self.wanted = *wanted;
                            phase
                        }
                        Order::Replace(wanted, done) => {
                            self.stop(phase).await;
                            self.wanted = *wanted;
                            self.ends.clear();
                            self.set(|s| s.restarts = 0);
                            let phase = self.start(true).await;
                            let _ = done.send(());
                            phase
                        }
                        Order::Restart(done) => {
                            self.stop(phase).await;
                            self.ends.clear();
                            let phase = self.start(true).await;
                            let _ = done.send(());
                            phase
                        }
                        Order::Stop(done) => {
                            self.stop(phase).await;
                            self.shared.folder.forget(&record_name(&self.wanted.name));
                            self.shared.logs.close(&self.wanted.name);
                            let _ = done.send(());
                            return;
                        }
                    }
                }
                Next::Ended(end) => self.ended(end).await,
                Next::Probe => {
                    pause = self.probe(pause).await;
                    phase
                }
                Next::Start => {
                    pause = FIRST_PROBE;
                    self.start(false).await
                }
            };
        }
    }

    fn take_over(&mut self) -> Phase {
        let found = self.found.take();
        let Some((record, running)) = found.and_then(|r| Some((Running::find(r.pid, r.ticks)?, r)).map(|(a, b)| (b, a))) else {
            // An order to start follows at once, or it died while no agent was there to start it again.
            return Phase::Pause(Instant::now() + FIRST_PAUSE);
        };
        self.shared.logs.follow(&self.wanted.name);
        self.say(&format!("the agent is back and goes on watching process {}", record.pid));
        if record.ready || self.wanted.ready.is_none() {
            self.set(|s| s.state = "running");
        }
        Phase::Up(running)
    }

    // An attempt that was ordered fails for good; one that is a repetition is repeated.
    async fn start(&mut self, ordered: bool) -> Phase {
        match self.try_start(ordered).await {
            Ok(running) => Phase::Up(running),
            Err(fault) if ordered => {
                self.say(&format!("cannot be started: {fault}"));
                self.set(|s| {
                    s.state = "failed";
                    s.pid = None;
                    s.fault = Some(fault);
                });
                Phase::Down
            }
            Err(fault) => {
                let end = End {
                    good: false,
                    text: fault.to_string(),
                };
                self.ended(end).await
            }
        }
    }

    async fn try_start(&mut self, ordered: bool) -> Result<Running, Fault> {
        let name = self.wanted.name.clone();
        if self.env.is_empty() || ordered {
            self.env = self.shared.secrets.resolve(&self.wanted.env).await?;
            self.shared.surroundings.add_path(&mut self.env, &self.wanted.path);
        }
        sweep(&self.shared.surroundings, &name).await;
        if let Some(ready) = &self.wanted.ready {
            ready::check_port(&name, ready).await?;
        }
        let surroundings = &self.shared.surroundings;
        let mark = (processes::SERVICE, name.as_str());
        let mut env = self.env.clone();
        let whole = crate::agent::program::Surroundings::as_user(&self.wanted.command, self.wanted.user.as_deref(), &mut env)?;
        let mut command = surroundings.command(&whole, &self.wanted.cwd, &env, mark)?;
        let output = self.shared.logs.output(&name)?;
        let errors = output.try_clone();
        let started = errors.and_then(|errors| {
            command.stdout(output).stderr(errors);
            Running::start(command)
        });
        let running = started.map_err(|e| io_fault(&format!("The service {name} cannot be started"), &e))?;
        let identity = self.wanted.identity();
        let ready = self.wanted.ready.is_none();
        self.set(|s| {
            s.state = if ready { "running" } else { "starting" };
            s.pid = Some(running.pid);
            s.identity = identity;
            s.since = Instant::now();
            s.probed = None;
            s.fault = None;
        });
        self.save(&running, ready);
        Ok(running)
    }

    fn save(&self, running: &Running, ready: bool) {
        self.write(running.pid, running.ticks, ready);
    }

    fn write(&self, pid: u32, ticks: u64, ready: bool) {
        let status = self.status.borrow().clone();
        let record = Record {
            name: self.wanted.name.clone(),
            pid,
            ticks,
            identity: status.identity,
            restarts: status.restarts,
            ready,
        };
        // Unwritten, it is found by its mark and ended by the next agent, which starts it anew.
        if let Err(fault) = self.shared.folder.save(&record_name(&self.wanted.name), &record) {
            tracing::warn!(%fault, "a service's process could not be written down");
        }
    }

    async fn probe(&mut self, pause: Duration) -> Duration {
        let Some(wanted) = self.wanted.ready.clone() else {
            self.set(|s| s.state = "running");
            return FIRST_PROBE;
        };
        let shared = &self.shared;
        let looked = ready::probe(
            &shared.http,
            &shared.surroundings,
            &self.wanted.name,
            &self.wanted.cwd,
            &self.env,
            &wanted,
        );
        match looked.await {
            Ok(()) => {
                let status = self.status.borrow().clone();
                if let Some(pid) = status.pid
                    && let Some(process) = processes::Process::look(pid)
                {
                    self.set(|s| s.state = "running");
                    self.write(pid, process.ticks, true);
                }
                FIRST_PROBE
            }
            Err(why) => {
                self.set(|s| s.probed = Some(why));
                (pause * 5 / 4).min(SLOWEST_PROBE)
            }
        }
    }

    async fn ended(&mut self, end: End) -> Phase {
        // Whatever it started and left behind goes with it.
        sweep(&self.shared.surroundings, &self.wanted.name).await;
        let policy = &self.wanted.restart;
        let again = match policy.policy.as_str() {
            "always" => true,
            "on_failure" => !end.good,
            _ => false,
        };
        let now = Instant::now();
        let lived = now.duration_since(self.status.borrow().since);
        while self.ends.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.ends.pop_front();
        }
        let often = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        if again && often < policy.limit {
            self.ends.push_back(now);
            // One that had lived for long enough starts again quickly, however often that happened before.
            let doublings = if lived > LONGEST_PAUSE { 0 } else { often.min(16) };
            let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
            self.say(&format!("{}; starting it again in {} ms", end.text, pause.as_millis()));
            self.set(|s| {
                s.state = "backoff";
                s.pid = None;
                s.restarts += 1;
                s.ended = Some(end.text);
            });
            return Phase::Pause(now + pause);
        }
        let given_up = again || !end.good;
        self.say(&if again {
            format!("{}; given up after {often} restarts", end.text)
        } else {
            format!("{}; its policy is not to start it again", end.text)
        });
        self.shared.folder.forget(&record_name(&self.wanted.name));
        self.set(|s| {
            s.state = if given_up { "failed" } else { "stopped" };
            s.pid = None;
            s.ended = Some(end.text);
        });
        Phase::Down
    }

    async fn stop(&mut self, phase: Phase) {
        if let Phase::Up(running) = phase {
            running.stop(self.wanted.stop).await;
        }
        sweep(&self.shared.surroundings, &self.wanted.name).await;
        self.set(|s| {
            s.state = "stopped";
            s.pid = None;
        });
    }

    fn set(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
        self.shared.changed.notify_one();
    }

    fn say(&self, text: &str) {
        let stream = format!("service/{}", self.wanted.name);
        self.shared.logs.line(&stream, &format!("— {}: {text}", self.wanted.name));
    }
}
