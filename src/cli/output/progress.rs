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
        let mut text = format!("{done} of {} steps", run.steps.len());
        if let Some(started) = run.started_at {
            text += &format!(", {}", show_length(now.since(started)));
        }
        if let Some(usual) = run.usual_ms {
            text += &self.colour.dim(&format!(", usually {}", show_length(usual)));
        }
        live.overall.set_message(text);
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
    let mut text = plain(&step.title);
    if step.state == StepState::Undoing {
        text = format!("undoing: {text}");
    }
    if let Some(started) = step.started_at {
        text += &format!("  {}", show_length(now.since(started)));
    }
    if let Some(usual) = step.usual_ms {
        text += &colour.dim(&format!(", usually {}", show_length(usual)));
    }
    if step.attempt > 1 {
        text += &format!(", attempt {}", step.attempt);
    }
    // What the run waits for is said beside the only step that works, and not where it is just that step's name.
    let alone = run.steps.iter().filter(|other| !is_over(other.state) && other.started_at.is_some()).count() == 1;
    let waits = if step.waiting_for.is_empty() && alone {
        &run.waiting_for
    } else {
        &step.waiting_for
    };
    if !waits.is_empty() && *waits != step.title {
        text += &colour.dim(&format!("  {}", plain(waits)));
    }
    text
}
