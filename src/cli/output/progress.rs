//! Live progress of a run: on a terminal, one moving line for each step that works and a still one for each that ended;
//! elsewhere a line for each beginning that takes a while and for each end.

use super::{Colour, plain};
use crate::model::run::{RunState, StepState};
use crate::model::time::{Timestamp, show_length};
use crate::wire::runs::{RunView, StepView};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

/// Shows a run as it goes.
#[derive(Debug)]
pub struct Progress {
    colour: Colour,
    silent: bool,
    live: Option<Live>,
    shown: BTreeMap<String, StepState>,
    failed: BTreeSet<String>,
    // Steps that began a moment ago: where lines stay, a beginning is only said where its end takes a while.
    begun: BTreeMap<String, (Timestamp, String)>,
    latest: Option<RunView>,
}

#[derive(Debug)]
struct Live {
    bars: MultiProgress,
    steps: BTreeMap<String, ProgressBar>,
    overall: ProgressBar,
}

impl Progress {
    pub(super) fn new(live: bool, silent: bool, colour: Colour) -> Self {
        let live = live.then(|| {
            let bars = MultiProgress::new();
            let overall = bars.add(ProgressBar::new(0));
            overall.set_style(style("  {bar:24.green/dim} {msg}"));
            Live {
                bars,
                steps: BTreeMap::new(),
                overall,
            }
        });
        Self {
            colour,
            silent,
            live,
            shown: BTreeMap::new(),
            failed: BTreeSet::new(),
            begun: BTreeMap::new(),
            latest: None,
        }
    }

    /// Shows nothing.
    pub fn silent() -> Self {
        Self::new(false, true, Colour(false))
    }

    /// Shows the run as it is now.
    pub fn update(&mut self, run: &RunView, now: Timestamp) {
        if self.silent {
            return;
        }
        for step in &run.steps {
            if self.shown.get(&step.key) == Some(&step.state) {
                continue;
            }
            let before = self.shown.insert(step.key.clone(), step.state);
            // A failure may have been undone by the time it is seen.
            let failed = step.fault.is_some() && !matches!(step.state, StepState::Running | StepState::Backoff);
            if failed && self.failed.insert(step.key.clone()) {
                self.print(&failure(step, self.colour));
            }
            self.changed(step, before, now);
        }
        if matches!(run.state, RunState::Failed | RunState::Cancelled) {
            let text = "what it had done is undone, nothing is left";
            self.print(&format!("{} {text}", self.colour.yellow("↺")));
        }
        self.latest = Some(run.clone());
        self.tick(now);
    }

    /// Moves the clocks on.
    pub fn tick(&mut self, now: Timestamp) {
        let slow = |(_, (at, _)): (&String, &mut (Timestamp, String))| now.since(*at) > SLOW_MS;
        for (_, (_, line)) in self.begun.extract_if(.., |key, value| slow((key, value))) {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
        let (Some(live), Some(run)) = (&self.live, &self.latest) else {
            return;
        };
        for step in &run.steps {
            if let Some(bar) = live.steps.get(&step.key) {
                bar.set_message(moving(step, run, now, self.colour));
                bar.tick();
            }
        }
        let done = run.steps.iter().filter(|s| is_over(s.state)).count();
        live.overall.set_length(run.steps.len() as u64);
        live.overall.set_position(done as u64);
        let mut parts = vec![format!("{done} of {} steps", run.steps.len())];
        parts.extend(run.started_at.map(|started| show_length(now.since(started))));
        let usual = run.usual_ms.map(|usual| format!("usually {}", show_length(usual)));
        parts.extend(usual.map(|text| self.colour.dim(&text)));
        live.overall.set_message(parts.join(", "));
    }

    /// Takes the moving lines away; what was printed stays.
    pub fn finish(&mut self) {
        if let Some(live) = self.live.take() {
            for bar in live.steps.values() {
                bar.finish_and_clear();
            }
            live.overall.finish_and_clear();
        }
    }

    // One line that stays, above the moving ones.
    fn print(&self, line: &str) {
        match &self.live {
            Some(live) => {
                let _ = live.bars.println(line);
            }
            None => {
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
    }

    fn changed(&mut self, step: &StepView, before: Option<StepState>, now: Timestamp) {
        let line = still(step, before, self.colour);
        let Some(live) = &mut self.live else {
            self.begun.remove(&step.key);
            match line {
                Some(line) if step.state == StepState::Running => {
                    self.begun.insert(step.key.clone(), (now, line));
                }
                Some(line) => self.print(&line),
                None => {}
            }
            return;
        };
        if matches!(step.state, StepState::Running | StepState::Backoff | StepState::Undoing) {
            let bar = live.bars.insert_before(&live.overall, ProgressBar::new_spinner());
            bar.set_style(style("{spinner:.cyan} {msg}"));
            bar.enable_steady_tick(Duration::from_millis(90));
            if let Some(old) = live.steps.insert(step.key.clone(), bar) {
                old.finish_and_clear();
            }
            self.tick(now);
            return;
        }
        if let Some(bar) = live.steps.remove(&step.key) {
            bar.finish_and_clear();
        }
        if let Some(line) = line {
            let _ = live.bars.println(line);
        }
    }
}

// How long a step may work before its beginning is said.
const SLOW_MS: i64 = 400;

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
        .progress_chars("━━─")
}

fn is_over(state: StepState) -> bool {
    !matches!(
        state,
        StepState::Waiting | StepState::Ready | StepState::Running | StepState::Backoff | StepState::Undoing
    )
}

// The line that stays once a step has ended, or that says where a terminal would show a moving one.
fn still(step: &StepView, before: Option<StepState>, colour: Colour) -> Option<String> {
    let title = plain(&step.title);
    let took = match (step.started_at, step.ended_at) {
        (Some(started), Some(ended)) => format!("  {}", show_length(ended.since(started))),
        _ => String::new(),
    };
    let why = step.fault.as_ref().map(|fault| plain(&fault.to_string())).unwrap_or_default();
    Some(match step.state {
        StepState::Waiting | StepState::Ready | StepState::Cancelled | StepState::Failed => return None,
        // What had nothing to undo is none of anybody's business.
        StepState::Undone if before != Some(StepState::Undoing) => return None,
        StepState::Running if matches!(before, Some(StepState::Backoff)) => {
            format!("{} {title}, attempt {}", colour.cyan("·"), step.attempt)
        }
        StepState::Running => format!("{} {title}", colour.cyan("·")),
        StepState::Backoff => format!("{} {title}: {why}; it is tried again", colour.yellow("!")),
        StepState::Succeeded => format!("{} {title}{}", colour.green("✓"), colour.dim(&took)),
        StepState::Skipped => format!("{} {title}, skipped", colour.yellow("-")),
        StepState::InDoubt => format!("{} {title}: it is not known whether it took effect", colour.yellow("?")),
        StepState::Undoing => format!("{} undoing: {title}", colour.yellow("↺")),
        StepState::Undone => format!("{} undone: {title}", colour.yellow("↺")),
        StepState::UndoFailed => format!("{} could not be undone: {title}: {why}", colour.red("✗")),
    })
}

fn failure(step: &StepView, colour: Colour) -> String {
    format!("{} {} failed", colour.red("✗"), plain(&step.title))
}

fn moving(step: &StepView, run: &RunView, now: Timestamp, colour: Colour) -> String {
    let title = plain(&step.title);
    let mut parts = vec![if step.state == StepState::Undoing {
        format!("undoing: {title}")
    } else {
        title
    }];
    parts.extend(step.started_at.map(|started| show_length(now.since(started))));
    let usual = step.usual_ms.map(|usual| format!("usually {}", show_length(usual)));
    parts.extend(usual.map(|text| colour.dim(&text)));
    parts.extend((step.attempt > 1).then(|| format!("attempt {}", step.attempt)));
    // What the run waits for is said beside the only step that works, and not where it is just that step's name.
    let alone = run
        .steps
        .iter()
        .filter(|other| !is_over(other.state) && other.started_at.is_some())
        .count()
        == 1;
    let waits = if step.waiting_for.is_empty() && alone {
        &run.waiting_for
    } else {
        &step.waiting_for
    };
    if let Some(doing) = &step.doing {
        let since = show_length(now.since(doing.since).max(0));
        parts.push(colour.dim(&format!("{} ({since})", plain(&doing.what))));
    } else if !waits.is_empty() && *waits != step.title {
        parts.push(colour.dim(&plain(waits)));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::Fault;
    use crate::wire::runs::Doing;

    fn step(state: StepState) -> StepView {
        StepView {
            key: "fetch-shop".into(),
            kind: "fetch_revision".into(),
            title: "Fetch shop at v1.0".into(),
            after: Vec::new(),
            state,
            attempt: 1,
            started_at: Some(Timestamp(1_000)),
            ended_at: (state == StepState::Succeeded).then_some(Timestamp(1_250)),
            usual_ms: Some(300),
            waiting_for: String::new(),
            doing: None,
            fault: None,
        }
    }

    #[test]
    fn what_ended_says_how_long_it_took_and_what_waits_says_nothing() {
        let line = |state| still(&step(state), None, Colour(false));
        assert_eq!(line(StepState::Succeeded).as_deref(), Some("✓ Fetch shop at v1.0  250 ms"));
        assert_eq!(line(StepState::Waiting), None);
        assert_eq!(line(StepState::Undone), None);
        let mut tried = step(StepState::Backoff);
        tried.fault = Some(Fault::new("repository-unreachable", "It cannot be read"));
        let said = still(&tried, None, Colour(false)).unwrap();
        assert_eq!(said, "! Fetch shop at v1.0: It cannot be read; it is tried again");
    }

    #[test]
    fn a_moving_line_says_since_when_how_long_usually_and_what_it_waits_for() {
        let mut working = step(StepState::Running);
        working.waiting_for = "Waiting for another fetch of the same repository".into();
        let run = RunView {
            id: "run_1".into(),
            kind: "launch_stack".into(),
            title: "Launch shop".into(),
            subject: "stk_1".into(),
            actor: "user:ada".into(),
            state: RunState::Running,
            waiting_for: String::new(),
            fault: None,
            created_at: Timestamp(0),
            started_at: Some(Timestamp(0)),
            ended_at: None,
            usual_ms: None,
            steps: vec![working.clone()],
            actions: Vec::new(),
        };
        assert_eq!(
            moving(&working, &run, Timestamp(3_500), Colour(false)),
            "Fetch shop at v1.0  2.5 s  usually 300 ms  Waiting for another fetch of the same repository"
        );
        // What it is at says more than what it waits for.
        working.doing = Some(Doing {
            what: "Install the packages".into(),
            since: Timestamp(2_300),
        });
        assert_eq!(
            moving(&working, &run, Timestamp(3_500), Colour(false)),
            "Fetch shop at v1.0  2.5 s  usually 300 ms  Install the packages (1.2 s)"
        );
    }
}
