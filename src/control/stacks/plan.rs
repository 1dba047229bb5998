//! From a launch request to a draft: everything is checked here, for the form, the API and the CLI alike, and nothing is
//! stored.

use super::super::images::wanted_image;
use super::super::{Control, ControlError, Result};
use crate::model::actor::{Actor, Role};
use crate::model::configuration::NodeConfiguration;
use crate::model::descriptor::Descriptor;
use crate::model::id::{NodeId, RunId, StackId, UserId};
use crate::model::name::{AppName, RevisionName, StackName};
use crate::model::stack::{DataChoice, Purpose, Size, Stack, StackApp, StackSpec, StackState};
use crate::model::time::{Timestamp, parse_length, show_length};
use crate::plans::{launch_stack, view};
use crate::providers::Provider;
use crate::store::inventory::Inventory;
use crate::store::nodes::DatabaseRow;
use crate::wire::problem::FieldProblem;
use crate::wire::stacks::{AppChoice, LaunchRequest, PlanStateView, PlanStepView, PlanView, StackAppView};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A launch that would work, as far as can be known before it starts.
#[derive(Debug)]
pub(in crate::control) struct Draft {
    pub(in crate::control) spec: StackSpec,
    pub(in crate::control) descriptors: Vec<Descriptor>,
    pub(in crate::control) provider: Arc<dyn Provider>,
    pub(super) lease_until: Timestamp,
    pub(super) lease_max: Timestamp,
    pub(in crate::control) configuration: NodeConfiguration,
    pub(in crate::control) name: StackName,
}

impl Control {
    /// What a launch would do: apps at commits, steps, states, usual time. Changes nothing.
    ///
    /// # Errors
    /// `invalid-request` with fields, `revision-not-found`, `repository-unreachable`, `recipe-invalid`, `lease-too-long`, ...
    pub async fn plan_stack(&self, actor: &Actor, request: &LaunchRequest) -> Result<PlanView> {
        let owner = Self::launcher(actor)?;
        let (request, _) = self.with_preset(request).await?;
        let draft = self.draft(&request).await?;
        let stack = draft.stack(StackId::from_bits(0), owner, self.store.now());
        let node = NodeId::from_bits(0);
        let databases = shared_databases(draft.provider.as_ref(), &stack.id, &draft.descriptors);
        let image = wanted_image(&draft)?;
        let plan = launch_stack::plan(&stack, &node, &draft.descriptors, &databases, Some(image));
        let usual = self.store.usual_step_ms(&plan.kind).await?;
        Ok(PlanView {
            apps: app_views(&draft.spec, &draft.descriptors),
            data: draft.spec.data.clone(),
            size: draft.spec.size,
            provider: draft.provider.name().to_owned(),
            isolation: draft.provider.capabilities().isolation,
            lease_until: draft.lease_until,
            steps: plan
                .steps
                .into_iter()
                .map(|step| PlanStepView {
                    usual_ms: usual.get(&step.key).copied(),
                    key: step.key,
                    title: step.title,
                    after: step.after,
                })
                .collect(),
            states: draft
                .configuration
                .states
                .into_iter()
                .map(|state| PlanStateView {
                    kind: state.body.type_name().to_owned(),
                    id: state.id,
                    title: state.title,
                    origin: state.origin,
                })
                .collect(),
            usual_ms: self.store.usual_ms(&plan.kind).await?,
        })
    }

    pub(in crate::control) fn launcher(actor: &Actor) -> Result<UserId> {
        match actor.user_id() {
            Some(id) if actor.role() >= Some(Role::Member) => Ok(id.clone()),
            _ => Err(ControlError::new(
                "not-allowed",
                "Launching a staging server takes the role member",
            )),
        }
    }

    pub(in crate::control) async fn draft(&self, request: &LaunchRequest) -> Result<Draft> {
        let inventory = self.store.inventory();
        let mut fields = Vec::new();
        let chosen = chosen_apps(&request.apps, &inventory, &mut fields);
        let name = match &request.name {
            None => made_up_name(),
            Some(name) => name.trim().parse().unwrap_or_else(|e| {
                fields.push(problem("name", e));
                made_up_name()
            }),
        };
        let (lease_until, lease_max) = self.lease(request.lease.as_deref(), &mut fields);
        let provider = self.chosen_provider(request.provider.as_deref(), &mut fields);
        let (Some(provider), true) = (provider, fields.is_empty()) else {
            return Err(refused(fields));
        };

        let descriptors = with_dependencies(&chosen, &inventory)?;
        let data = chosen_data(&request.data, &descriptors, &mut fields);
        if self.postgres.is_none() && !view::holds_databases(&provider.capabilities()) {
            refuse_postgres(&descriptors)?;
        }
        if !fields.is_empty() {
            return Err(refused(fields));
        }
        let apps = self.resolve(&chosen, &descriptors, &inventory, false).await?;
        let spec = StackSpec {
            apps,
            data,
            size: request.size.unwrap_or(Size::Small),
            bundle: Some(self.staging_bundle(&inventory)),
        };
        let configuration = self.compile_preview(&spec, &descriptors, provider.as_ref()).await?;
        Ok(Draft {
            spec,
            descriptors,
            provider,
            lease_until,
            lease_max,
            configuration,
            name,
        })
    }

    /// Compiles the recipes for a node as it will roughly be, so that their errors are found before anything starts.
    pub(super) async fn compile_preview(
        &self,
        spec: &StackSpec,
        descriptors: &[Descriptor],
        provider: &dyn Provider,
    ) -> Result<NodeConfiguration> {
        let mut view = view::preview(
            spec,
            descriptors,
            provider.name(),
            &provider.capabilities(),
            &self.mirrors,
            self.postgres.as_ref(),
        );
        view.layers.extend(view::layers(&self.store.inventory()));
        let bundle = self.bundles.get(spec.bundle.as_deref()).await?;
        crate::recipes::compile(&bundle, &view)
            .map(|compiled| compiled.configuration)
            .map_err(|found| {
                let mut error = ControlError::new("recipe-invalid", "The recipes do not compile for these apps");
                error.fault.why = found.first().map(|d| d.message.clone()).unwrap_or_default();
                error.diagnostics = found;
                error
            })
    }

    /// The bundle that stacks are built from: what the environment `staging` points at, or the server's own.
    pub(super) fn staging_bundle(&self, inventory: &Inventory) -> String {
        let staging = inventory.environments.iter().find(|(name, _)| name.as_str() == view::STAGING);
        let pointer = staging.and_then(|(_, record)| record.body.spec.bundle.clone());
        pointer.unwrap_or_else(|| self.bundles.own_hash().to_owned())
    }

    fn lease(&self, asked: Option<&str>, fields: &mut Vec<FieldProblem>) -> (Timestamp, Timestamp) {
        let now = self.store.now();
        let maximum = parse_length(&self.settings.leases.maximum).unwrap_or(14 * 86_400_000);
        let asked = asked
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .unwrap_or(&self.settings.leases.default);
        let length = match parse_length(asked) {
            Ok(length) if length < 60_000 => {
                fields.push(problem("lease", "it must be at least one minute"));
                maximum
            }
            Ok(length) if length > maximum => {
                fields.push(problem("lease", format!("it may be at most {}", show_length(maximum))));
                maximum
            }
            Ok(length) => length,
            Err(why) => {
                fields.push(problem("lease", why));
                maximum
            }
        };
        (now.plus(length), now.plus(maximum))
    }

    fn chosen_provider(&self, asked: Option<&str>, fields: &mut Vec<FieldProblem>) -> Option<Arc<dyn Provider>> {
        let found = match asked.map(str::trim).filter(|name| !name.is_empty()) {
            None => self.providers.all().first(),
            Some(name) => self.providers.get(name),
        };
        if found.is_none() {
            let names: Vec<&str> = self.providers.all().iter().map(|p| p.name()).collect();
            fields.push(problem(
                "provider",
                format!("there is none of this name; there are: {}", names.join(", ")),
            ));
        }
        found.cloned()
    }

    /// Resolves each app's revision to a commit, all at once; with what was pushed a moment ago where `force`.
    pub(super) async fn resolve(
        &self,
        chosen: &BTreeMap<AppName, Option<RevisionName>>,
        descriptors: &[Descriptor],
        inventory: &Inventory,
        force: bool,
    ) -> Result<Vec<StackApp>> {
        let one = async |descriptor: &Descriptor| -> Result<StackApp> {
            let name = descriptor.name();
            let asked = chosen.get(name).cloned().flatten();
            let revision = match asked {
                Some(revision) => revision,
                None => descriptor
                    .spec
                    .default_ref
                    .parse()
                    .map_err(|e| ControlError::field(format!("{name}.defaultRef"), e))?,
            };
            let found = self
                .mirrors
                .resolve(&descriptor.spec.repository, &revision, force)
                .await
                .map_err(|mut fault| {
                    fault.what = format!("{name}: {}", fault.what);
                    let mut error = ControlError::from(fault);
                    error.fields.push(problem(&format!("apps.{name}.revision"), &error.fault));
                    error
                })?;
            Ok(StackApp {
                app: name.clone(),
                descriptor_version: inventory.app(name).map_or(1, |record| record.version),
                revision: revision.as_str().to_owned(),
                commit: found.commit,
                subject: found.subject,
                chosen: chosen.contains_key(name),
            })
        };
        futures_util::future::try_join_all(descriptors.iter().map(one)).await
    }
}

impl Draft {
    /// A name for when the one made up before is taken.
    pub(in crate::control) fn another_name() -> StackName {
        made_up_name()
    }

    pub(in crate::control) fn stack(&self, id: StackId, owner: UserId, now: Timestamp) -> Stack {
        Stack {
            id,
            name: self.name.clone(),
            owner,
            purpose: Purpose::Person,
            provider: self.provider.name().to_owned(),
            state: StackState::Building,
            spec: self.spec.clone(),
            previous: None,
            node: None,
            links: Vec::new(),
            fault: None,
            run: None::<RunId>,
            created_at: now,
            ready_at: None,
            lease_until: self.lease_until,
            lease_max: self.lease_max,
            stopped_at: None,
            version: 1,
        }
    }
}

pub(in crate::control) fn problem(field: &str, message: impl std::fmt::Display) -> FieldProblem {
    FieldProblem {
        field: field.to_owned(),
        message: message.to_string(),
    }
}

fn refused(fields: Vec<FieldProblem>) -> ControlError {
    let mut error = ControlError::new("invalid-request", "The launch has errors");
    error.fault.why = fields
        .iter()
        .map(|f| format!("{}: {}", f.field, f.message))
        .collect::<Vec<_>>()
        .join("; ");
    error.fields = fields;
    error
}

/// The apps that a person picked, at the revisions they asked for.
pub(super) fn chosen_apps(
    choices: &[AppChoice],
    inventory: &Inventory,
    fields: &mut Vec<FieldProblem>,
) -> BTreeMap<AppName, Option<RevisionName>> {
    let mut chosen = BTreeMap::new();
    if choices.is_empty() {
        fields.push(problem("apps", "choose at least one app"));
    }
    for (index, choice) in choices.iter().enumerate() {
        let name = match choice.app.trim().parse::<AppName>() {
            Ok(name) if inventory.app(&name).is_some() => name,
            Ok(name) => {
                let near = nearest(name.as_str(), inventory.apps.keys().map(AppName::as_str));
                let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                fields.push(problem(
                    &format!("apps[{index}].app"),
                    format!("there is no app `{name}`{hint}"),
                ));
                continue;
            }
            Err(error) => {
                fields.push(problem(&format!("apps[{index}].app"), error));
                continue;
            }
        };
        let revision = match choice
            .revision
            .as_deref()
            .map(str::trim)
            .filter(|r| !r.is_empty())
            .map(str::parse)
            .transpose()
        {
            Ok(revision) => revision,
            Err(error) => {
                let error: crate::model::name::NameError = error;
                fields.push(problem(&format!("apps[{index}].revision"), error));
                continue;
            }
        };
        if chosen.insert(name.clone(), revision).is_some() {
            fields.push(problem(&format!("apps[{index}].app"), format!("`{name}` is chosen twice")));
        }
    }
    chosen
}

fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(text, name), name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .min()
        .map(|(_, name)| name)
}

/// The descriptors of these apps and of all they need, dependencies first.
pub(super) fn with_dependencies<T>(chosen: &BTreeMap<AppName, T>, inventory: &Inventory) -> Result<Vec<Descriptor>> {
    let all: BTreeMap<AppName, &Descriptor> = inventory
        .apps
        .iter()
        .map(|(name, record)| (name.clone(), &record.descriptor))
        .collect();
    let names: Vec<AppName> = chosen.keys().cloned().collect();
    let order = crate::recipes::descriptor::dependency_order(&names, &all)?;
    Ok(order.iter().filter_map(|name| all.get(name).map(|d| (*d).clone())).collect())
}

fn chosen_data(
    asked: &BTreeMap<String, DataChoice>,
    descriptors: &[Descriptor],
    fields: &mut Vec<FieldProblem>,
) -> BTreeMap<String, DataChoice> {
    let mut data = BTreeMap::new();
    for descriptor in descriptors {
        for (resource, spec) in &descriptor.spec.resources {
            let key = format!("{}/{resource}", descriptor.name());
            let has_fixture = spec.data.fixture.is_some();
            let usual = if has_fixture && spec.data.default.as_deref() != Some("empty") {
                DataChoice::Fixture
            } else {
                DataChoice::Empty
            };
            let choice = asked.get(&key).copied().unwrap_or(usual);
            if choice == DataChoice::Fixture && !has_fixture {
                fields.push(problem(&format!("data.{key}"), "the app has no fixture for this database"));
            }
            data.insert(key, choice);
        }
    }
    for key in asked.keys().filter(|key| !data.contains_key(*key)) {
        fields.push(problem(&format!("data.{key}"), "none of these apps has such a database"));
    }
    data
}

fn refuse_postgres(descriptors: &[Descriptor]) -> Result<()> {
    for descriptor in descriptors {
        if let Some((name, _)) = descriptor.spec.resources.iter().find(|(_, r)| r.kind == "postgres") {
            let mut error = ControlError::new(
                "database-unavailable",
                format!("{} needs the PostgreSQL database `{name}`", descriptor.name()),
            );
            error.fault.why = "this server has no `databases.postgres_url`".into();
            return Err(error);
        }
    }
    Ok(())
}

/// A row for each database in a server that stacks share: what a node holds itself comes and goes with it.
pub(super) fn shared_databases(provider: &dyn Provider, stack: &StackId, descriptors: &[Descriptor]) -> Vec<DatabaseRow> {
    if view::holds_databases(&provider.capabilities()) {
        return Vec::new();
    }
    database_rows(stack, descriptors)
}

/// A row for each database that is not a file.
pub(super) fn database_rows(stack: &StackId, descriptors: &[Descriptor]) -> Vec<DatabaseRow> {
    let mut rows = Vec::new();
    for descriptor in descriptors {
        for (resource, _) in descriptor.spec.resources.iter().filter(|(_, spec)| spec.kind == "postgres") {
            let name = view::database_name(stack, descriptor.name(), resource);
            rows.push(DatabaseRow {
                id: name.clone(),
                app: descriptor.name().as_str().to_owned(),
                resource: resource.clone(),
                server: "postgres".into(),
                name,
                state: "planned".into(),
            });
        }
    }
    rows
}

/// The apps of a stack, for people.
pub(super) fn app_views(spec: &StackSpec, descriptors: &[Descriptor]) -> Vec<StackAppView> {
    spec.apps
        .iter()
        .map(|app| StackAppView {
            app: app.app.as_str().to_owned(),
            title: descriptors
                .iter()
                .find(|d| d.name() == &app.app)
                .map_or(app.app.as_str(), Descriptor::title)
                .to_owned(),
            revision: app.revision.clone(),
            commit: app.commit.as_str().to_owned(),
            subject: app.subject.clone(),
            chosen: app.chosen,
            descriptor_version: app.descriptor_version,
            services: Vec::new(),
        })
        .collect()
}

fn made_up_name() -> StackName {
    const FIRST: [&str; 24] = [
        "amber", "bold", "brisk", "bright", "calm", "clever", "coral", "crimson", "eager", "early", "gentle", "golden", "keen",
        "late", "lively", "lucky", "mellow", "merry", "quiet", "rapid", "ruby", "silver", "velvet", "witty",
    ];
    const SECOND: [&str; 24] = [
        "aria",
        "ballad",
        "cameo",
        "chorus",
        "cue",
        "curtain",
        "duet",
        "encore",
        "finale",
        "footlight",
        "overture",
        "prelude",
        "prompt",
        "prop",
        "rehearsal",
        "reprise",
        "scene",
        "script",
        "serenade",
        "solo",
        "sonata",
        "spotlight",
        "stage",
        "waltz",
    ];
    let pick = |words: &[&'static str; 24]| words[rand::random_range(0..words.len())];
    let text = format!("{}-{}-{}", pick(&FIRST), pick(&SECOND), rand::random_range(10..100));
    // Every such text is a stack name; the fallback only satisfies the type.
    text.parse().unwrap_or_else(|_| made_up_name())
}
