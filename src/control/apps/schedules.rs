//! What an app runs by the clock: what its descriptor wants, and what its nodes are really built to run.

use crate::control::{Control, Result};
use crate::model::actor::Actor;
use crate::model::configuration::{State, StateBody};
use crate::wire::apps::{ScheduleView, SchedulesView, WantedScheduleView};
use std::collections::BTreeMap;

// Places whose configurations are compiled for one answer.
const MOST_PLACES: usize = 12;

impl Control {
    /// What an app runs by the clock. One node of each environment and datacenter that runs the app speaks for all there.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn app_schedules(&self, _actor: &Actor, name: &str) -> Result<SchedulesView> {
        let (name, record) = self.find_app(name)?;
        let inventory = self.store.inventory();
        let mut places: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for node in inventory.nodes.values().map(|record| &record.body) {
            if node.spec.apps.iter().any(|on| on.app == name) {
                let place = (node.spec.environment.to_string(), node.spec.datacenter.to_string());
                places.entry(place).or_default().push(node.name().to_string());
            }
        }
        let mut view = SchedulesView {
            left_out: places.len().saturating_sub(MOST_PLACES),
            ..SchedulesView::default()
        };
        for ((environment, datacenter), nodes) in places.iter().take(MOST_PLACES) {
            let Some(node) = nodes.first() else { continue };
            match self.configuration(node).await {
                Ok(built) => {
                    let states = built.compiled.configuration.states.iter();
                    let of_app = states.filter(|state| state.app.as_deref() == Some(name.as_str()));
                    view.built.extend(of_app.filter_map(|state| {
                        Some(ScheduleView {
                            environment: environment.clone(),
                            datacenter: datacenter.clone(),
                            nodes: nodes.len(),
                            ..by_the_clock(state)?
                        })
                    }));
                }
                Err(error) => view
                    .unknown
                    .push(format!("{environment} in {datacenter}: {node}, {}", error.fault.why)),
            }
        }
        let wanted = &record.descriptor.spec.schedules;
        view.wanted = wanted
            .iter()
            .map(|(schedule, wanted)| WantedScheduleView {
                name: schedule.clone(),
                when: wanted.cron.clone(),
                command: wanted.command.clone(),
                in_staging: wanted.in_staging,
                runs: view
                    .built
                    .iter()
                    .any(|built| built.when == wanted.cron && built.command == wanted.command),
            })
            .collect();
        Ok(view)
    }
}

fn by_the_clock(state: &State) -> Option<ScheduleView> {
    let (kind, name, when, command, user) = match &state.body {
        StateBody::Cron(cron) if cron.present => ("cron", &cron.name, &cron.schedule, &cron.command, &cron.user),
        StateBody::Timer(timer) if timer.present => ("timer", &timer.name, &timer.calendar, &timer.command, &timer.user),
        _ => return None,
    };
    Some(ScheduleView {
        name: name.clone(),
        kind: kind.to_owned(),
        when: when.clone(),
        command: command.clone(),
        user: user.clone(),
        origin: state.origin.clone(),
        environment: String::new(),
        datacenter: String::new(),
        nodes: 0,
    })
}
