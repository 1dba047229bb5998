//! New staging server: the form, the plan before it starts, the start. What was typed survives every refusal, and a query
//! fills the form in, so a launch can be sent as a link.

use super::change::picked;
use super::fields::{Fields, QueryFields, encode};
use super::view::{Look, field_errors, reshow};
use crate::control::ControlError;
use crate::control::stacks::LaunchOptions;
use crate::http::auth::Member;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::model::pool::PoolSpec;
use crate::model::stack::DataChoice;
use crate::wire::apps::{AppSummary, RevisionView};
use crate::wire::presets::{PresetBody, PresetView};
use crate::wire::problem::Problem;
use crate::wire::stacks::{AppChoice, LaunchRequest, PlanView};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/stacks/new", get(begin).post(go_on))
        .route("/stacks/new/check", post(check))
}

/// What the form is made of.
#[derive(Debug, Clone)]
pub struct Form {
    /// All apps.
    pub apps: Vec<AppSummary>,
    /// What else there is to choose.
    pub options: LaunchOptions,
    /// Launches that are kept under a name.
    pub presets: Vec<PresetView>,
    /// What is filled in.
    pub typed: Fields,
    /// Revisions of the chosen apps, where they were asked for: a list, or why there is none.
    pub revisions: BTreeMap<String, Result<Vec<RevisionView>, String>>,
}

async fn begin(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let presets = state.control.list_presets(&actor).await?;
    let named = query
        .filled("preset")
        .and_then(|name| presets.iter().find(|preset| preset.name == name));
    let mut typed = from_link(&query);
    if let Some(preset) = named {
        typed.0.extend(from_preset(&preset.body.launch, &typed));
    }
    let form = Form {
        apps: state.control.list_apps(&actor, None, None).await?,
        options: state.control.launch_options(),
        presets,
        typed,
        revisions: BTreeMap::new(),
    };
    Ok(form_page(&look, &actor, &form, None))
}

async fn go_on(Member(actor): Member, State(state): State<AppState>, look: Look, typed: Fields) -> Result<Response, ApiError> {
    let apps = state.control.list_apps(&actor, None, None).await?;
    let request = request(&typed, &apps);
    let mut form = Form {
        apps,
        options: state.control.launch_options(),
        presets: state.control.list_presets(&actor).await?,
        typed,
        revisions: BTreeMap::new(),
    };
    let refused = match form.typed.text("do") {
        "launch" => match state.control.launch_stack(&actor, &request).await {
            Ok(accepted) => return Ok(super::view::done(&format!("/stacks/{}", accepted.stack.id), "launched")),
            Err(error) => error,
        },
        "plan" => match state.control.plan_stack(&actor, &request).await {
            Ok(plan) => return Ok(review_page(&look, &actor, &form, &plan)),
            Err(error) => error,
        },
        "keep" => match keep(&state, &actor, &form.typed, request.clone()).await {
            Ok(()) => return Ok(super::view::done("/presets", "preset")),
            Err(error) => error,
        },
        "revisions" => {
            for choice in &request.apps {
                let found = state.control.app_revisions(&actor, &choice.app, true).await;
                let found = found.map_err(|error| error.to_string());
                form.revisions.insert(choice.app.clone(), found);
            }
            return Ok(form_page(&look, &actor, &form, None));
        }
        _ => return Ok(form_page(&look, &actor, &form, None)),
    };
    let mut problem = reshow(refused)?;
    name_fields(&mut problem, &request.apps);
    Ok(form_page(&look, &actor, &form, Some(&problem)))
}

// Keeps what the form asks for as a preset.
async fn keep(state: &AppState, actor: &Actor, typed: &Fields, launch: LaunchRequest) -> Result<(), ControlError> {
    let count = |name: &str| {
        typed
            .filled(name)
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or_default()
    };
    let pool = PoolSpec {
        hot: count("pool_hot"),
        stopped: count("pool_stopped"),
        ..PoolSpec::default()
    };
    let body = PresetBody {
        title: typed.text("preset_title").trim().to_owned(),
        description: typed.text("preset_description").trim().to_owned(),
        launch: LaunchRequest {
            name: None,
            preset: None,
            idempotency_key: None,
            ..launch
        },
        pool: (pool.hot + pool.stopped > 0).then_some(pool),
    };
    state
        .control
        .save_preset(actor, typed.text("preset_name").trim(), &body)
        .await
        .map(drop)
}

// What the launch would be, beside the form, while it is filled in.
async fn check(Member(actor): Member, State(state): State<AppState>, look: Look, typed: Fields) -> Result<Response, ApiError> {
    let apps = state.control.list_apps(&actor, None, None).await?;
    let request = request(&typed, &apps);
    if request.apps.is_empty() {
        return Ok(look.page("_fragments/check.html", Some(&actor), json!({ "plan": (), "problem": () })));
    }
    let context = match state.control.plan_stack(&actor, &request).await {
        Ok(plan) => json!({ "plan": plan, "problem": () }),
        Err(error) => {
            let mut problem = reshow(error)?;
            name_fields(&mut problem, &request.apps);
            json!({ "plan": (), "problem": problem })
        }
    };
    Ok(look.page("_fragments/check.html", Some(&actor), context))
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    app: &'a AppSummary,
    picked: bool,
    brought_by: Vec<&'a str>,
    needs: Vec<&'a str>,
    revision: &'a str,
    data: BTreeMap<&'a str, &'a str>,
    revisions: Option<&'a Vec<RevisionView>>,
    unreadable: Option<&'a str>,
}

/// Renders the form.
pub fn form_page(look: &Look, actor: &Actor, form: &Form, problem: Option<&Problem>) -> Response {
    let status = problem
        .and_then(|p| StatusCode::from_u16(p.status).ok())
        .unwrap_or(StatusCode::OK);
    let typed = &form.typed;
    let chosen: BTreeSet<&str> = typed.all("app").collect();
    let row = |app: &'_ AppSummary| -> Value {
        let found = form.revisions.get(&app.name);
        json!(Row {
            app,
            picked: chosen.contains(app.name.as_str()),
            brought_by: chosen
                .iter()
                .filter(|other| **other != app.name && needs(other, &form.apps).contains(app.name.as_str()))
                .filter_map(|other| form.apps.iter().find(|a| a.name == **other))
                .map(|other| other.title.as_str())
                .collect(),
            needs: needs(&app.name, &form.apps).into_iter().collect(),
            revision: picked(typed, &app.name).unwrap_or_default(),
            data: app
                .databases
                .iter()
                .map(|db| {
                    let asked = typed.filled(&format!("data.{}", db.key));
                    let known = asked.filter(|asked| db.choices.iter().any(|choice| choice == asked));
                    (db.key.as_str(), known.unwrap_or(&db.default))
                })
                .collect(),
            revisions: found.and_then(|found| found.as_ref().ok()),
            unreadable: found.and_then(|found| found.as_ref().err()).map(String::as_str),
        })
    };
    let rows: Vec<Value> = form.apps.iter().map(row).collect();
    let errors = problem.map(field_errors).unwrap_or_default();
    let mut context = common(form);
    context["apps"] = rows.into();
    context["errors"] = json!(errors);
    context["problem"] = json!(problem);
    look.page_with(status, "stacks/new.html", Some(actor), context)
}

/// Renders what a launch would do.
pub fn review_page(look: &Look, actor: &Actor, form: &Form, plan: &PlanView) -> Response {
    let mut fields: Vec<&(String, String)> = form.typed.0.iter().collect();
    fields.retain(|(name, value)| {
        !matches!(
            name.as_str(),
            "do" | "key" | "preset_name" | "preset_title" | "preset_description" | "pool_hot" | "pool_stopped"
        ) && !value.trim().is_empty()
    });
    let key = format!("portal-{:032x}", rand::random::<u128>());
    let mut context = common(form);
    context["plan"] = json!(plan);
    context["fields"] = json!(fields);
    context["key"] = key.into();
    context["share"] = link(&form.typed).into();
    look.page("stacks/review.html", Some(actor), context)
}

fn common(form: &Form) -> Value {
    let options = &form.options;
    let sizes: Vec<Value> = options
        .sizes
        .iter()
        .map(|size| json!({ "name": size.as_str(), "cpus": size.cpus(), "gigabytes": size.memory_mb() / 1024 }))
        .collect();
    let providers: Vec<Value> = options
        .providers
        .iter()
        .map(|(name, isolation)| json!({ "name": name, "isolation": isolation }))
        .collect();
    let typed = &form.typed;
    let lease = lease_of(typed).unwrap_or_else(|| options.lease_default.clone());
    let mut leases = vec!["1h", "4h", "8h", "1d", "3d"];
    if !leases.contains(&options.lease_default.as_str()) {
        leases.insert(0, &options.lease_default);
    }
    json!({
            "presets": form.presets,
            "options": json!({
                "sizes": sizes, "providers": providers, "leases": leases,
                "lease_default": options.lease_default, "lease_maximum": options.lease_maximum
    }),
            "typed": json!({
                "name": typed.text("name"),
                "preset": typed.filled("preset"),
                "size": typed.filled("size").unwrap_or("small"),
                "provider": typed.filled("provider")
                    .or_else(|| options.providers.first().map(|(name, _)| name.as_str())),
                "lease": lease,
                "lease_other": typed.text("lease_other")
    })
    })
}

/// The length that a form asks for: one that is typed, or else one of those offered.
pub fn lease_of(fields: &Fields) -> Option<String> {
    fields
        .filled("lease_other")
        .or_else(|| fields.filled("lease"))
        .map(str::to_owned)
}

/// What the form asks for.
pub fn request(typed: &Fields, apps: &[AppSummary]) -> LaunchRequest {
    let chosen: Vec<&str> = typed.all("app").collect();
    let mut involved: BTreeSet<&str> = chosen.iter().copied().collect();
    for app in &chosen {
        involved.extend(needs(app, apps));
    }
    // Forms also send what is hidden: data for apps that nobody chose does not count.
    let data = typed
        .under("data.")
        .filter(|(key, _)| key.split_once('/').is_some_and(|(app, _)| involved.contains(app)))
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse::<DataChoice>().ok()?)))
        .collect();
    LaunchRequest {
        name: typed.filled("name").map(str::to_owned),
        preset: typed.filled("preset").map(str::to_owned),
        apps: chosen
            .iter()
            .map(|app| AppChoice {
                app: (*app).to_owned(),
                revision: picked(typed, app).map(str::to_owned),
            })
            .collect(),
        data,
        size: typed.filled("size").and_then(|size| size.parse().ok()),
        lease: lease_of(typed),
        provider: typed.filled("provider").map(str::to_owned),
        idempotency_key: typed.filled("key").map(str::to_owned),
    }
}

/// Names fields of a refusal after the app that they are about, as the form does.
pub fn name_fields(problem: &mut Problem, apps: &[AppChoice]) {
    for field in &mut problem.fields {
        let Some((index, rest)) = field.field.strip_prefix("apps[").and_then(|rest| rest.split_once(']')) else {
            continue;
        };
        if let Some(choice) = index.parse::<usize>().ok().and_then(|index| apps.get(index)) {
            field.field = format!("apps.{}{rest}", choice.app);
        }
    }
}

/// All the apps that come along with an app, directly or not.
pub fn needs<'a>(app: &str, apps: &'a [AppSummary]) -> BTreeSet<&'a str> {
    reachable(app, apps, |from, to| !from.optional.iter().any(|name| name == to))
}

/// All the apps that lines to follow lead to.
pub fn reachable<'a>(app: &str, apps: &'a [AppSummary], follow: impl Fn(&AppSummary, &str) -> bool) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![app];
    while let Some(name) = open.pop() {
        let Some(app) = apps.iter().find(|a| a.name == name) else {
            continue;
        };
        for other in app.depends_on.iter().filter(|other| follow(app, other)) {
            if found.insert(other.as_str()) {
                open.push(other);
            }
        }
    }
    found
}

// `app=storefront@v1.1` of a link is the box `app` and the field `rev.storefront` of the form.
fn from_link(query: &Fields) -> Fields {
    let mut fields = Vec::new();
    for (name, value) in &query.0 {
        match value.split_once('@') {
            Some((app, revision)) if name == "app" => {
                fields.push((name.clone(), app.to_owned()));
                fields.push((format!("rev.{app}"), revision.to_owned()));
            }
            _ => fields.push((name.clone(), value.clone())),
        }
    }
    Fields(fields)
}

// The fields that a preset fills in, where the link says nothing else.
fn from_preset(launch: &LaunchRequest, typed: &Fields) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    if typed.filled("app").is_none() {
        for choice in &launch.apps {
            fields.push(("app".to_owned(), choice.app.clone()));
            fields.extend(
                choice
                    .revision
                    .iter()
                    .map(|revision| (format!("rev.{}", choice.app), revision.clone())),
            );
        }
    }
    for (key, choice) in &launch.data {
        fields.push((format!("data.{key}"), choice.to_string()));
    }
    let others = [
        ("size", launch.size.map(|size| size.to_string())),
        ("lease", launch.lease.clone()),
        ("provider", launch.provider.clone()),
    ];
    fields.extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    fields.retain(|(name, _)| name == "app" || typed.filled(name).is_none());
    fields
}

// The address that fills the form in like this again.
fn link(typed: &Fields) -> String {
    let mut pairs: Vec<String> = typed
        .all("app")
        .map(|app| match picked(typed, app) {
            Some(revision) => format!("app={}", encode(&format!("{app}@{revision}"))),
            None => format!("app={}", encode(app)),
        })
        .collect();
    for name in ["preset", "size", "provider", "name"] {
        pairs.extend(typed.filled(name).map(|value| format!("{name}={}", encode(value))));
    }
    pairs.extend(lease_of(typed).map(|lease| format!("lease={}", encode(&lease))));
    for (key, value) in typed.under("data.") {
        pairs.push(format!("data.{}={}", encode(key), encode(value)));
    }
    format!("/stacks/new?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn a_link_fills_the_form_in_and_comes_back_from_it() {
        let typed = from_link(&fields(&[
            ("app", "storefront@v1.1"),
            ("app", "mailer"),
            ("size", "large"),
            ("lease", "2h"),
        ]));
        assert_eq!(typed.all("app").collect::<Vec<_>>(), ["storefront", "mailer"]);
        assert_eq!(picked(&typed, "storefront"), Some("v1.1"));
        assert_eq!(link(&typed), "/stacks/new?app=storefront@v1.1&app=mailer&size=large&lease=2h");
    }

    #[test]
    fn what_is_picked_or_typed_last_counts() {
        let typed = fields(&[
            ("app", "a"),
            ("rev.a", "main"),
            ("pick.a", "v2"),
            ("lease", "8h"),
            ("lease_other", " 90m "),
        ]);
        let asked = request(&typed, &[]);
        assert_eq!(asked.apps[0].revision.as_deref(), Some("v2"));
        assert_eq!(asked.lease.as_deref(), Some("90m"));
    }

    #[test]
    fn errors_are_named_after_the_app_they_are_about() {
        let mut problem = Problem::from(crate::control::ControlError::field("apps[1].revision", "no"));
        let choice = |app: &str| AppChoice {
            app: app.into(),
            revision: None,
        };
        name_fields(&mut problem, &[choice("a"), choice("b")]);
        assert_eq!(problem.fields[0].field, "apps.b.revision");
    }
}
