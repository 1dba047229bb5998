//! The JSON API under `/api/v1`, documented as it is routed.
//!
//! The document's `security` names the least role of each address; a test holds every handler to it.

pub mod agents;
pub mod apps;
pub mod bundles;
pub mod configurations;
pub mod graph;
pub mod images;
pub mod interop;
pub mod inventory;
pub mod page;
pub mod presets;
pub mod previews;
pub mod providers;
pub mod reference;
pub mod runs;
pub mod search;
pub mod secrets;
pub mod sharing;
pub mod stacks;
pub mod tokens;
pub mod users;
pub mod watch;

use super::sse;
use super::state::AppState;
use crate::wire::problem::Problem;
use axum::extract::DefaultBodyLimit;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

// Twenty thousand small files.
const FILES_LIMIT: usize = 32 * 1024 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Greenroom",
        description = "Staging servers by asking. Send an API token as `Authorization: Bearer grt_…`; browsers use their session. \
                       Every error is an RFC 9457 problem with a stable `code`; `GET /api/v1/codes/{code}` explains it. \
                       Lists answer `total`, `items` and `next`, which goes into `cursor`, and a `Link` header with `rel=\"next\"`."
    ),
    components(schemas(Problem)),
    modifiers(&Scheme)
)]
struct Base;

struct Scheme;

impl Modify for Scheme {
    fn modify(&self, document: &mut Document) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API token; its role is listed with each address"))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// All routes with their document.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(apps::list_apps, apps::create_app))
        .routes(routes!(apps::validate_app))
        .routes(routes!(apps::show_app, apps::save_app, apps::remove_app))
        .routes(routes!(apps::list_versions))
        .routes(routes!(apps::show_app_diff))
        .routes(routes!(apps::restore_app))
        .routes(routes!(apps::list_revisions))
        .routes(routes!(graph::list_dependencies))
        .routes(routes!(graph::list_dependents))
        .routes(routes!(graph::list_schedules))
        .routes(routes!(graph::show_impact))
        .routes(routes!(graph::list_running))
        .routes(routes!(inventory::list_objects, inventory::create_object))
        .routes(routes!(
            inventory::show_object,
            inventory::save_object,
            inventory::remove_object
        ))
        .routes(routes!(inventory::list_object_versions))
        .routes(routes!(inventory::show_object_diff))
        .routes(routes!(inventory::restore_object))
        .routes(routes!(inventory::show_facts, inventory::save_facts))
        .routes(routes!(inventory::validate_object))
        // A company's whole inventory comes as one request.
        .routes(routes!(inventory::apply_files).layer(DefaultBodyLimit::max(FILES_LIMIT)))
        .routes(routes!(search::list_indexes))
        .routes(routes!(search::search))
        .routes(routes!(watch::watch))
        .routes(routes!(bundles::list_bundles, bundles::push_bundle))
        .routes(routes!(bundles::show_bundle))
        .routes(routes!(bundles::diff_bundles))
        .routes(routes!(bundles::show_pointer, bundles::promote_bundle))
        .routes(routes!(configurations::show_configuration))
        .routes(routes!(configurations::explain_value))
        .routes(routes!(configurations::render_node))
        .routes(routes!(configurations::plan_fleet))
        .routes(routes!(stacks::plan_stack))
        .routes(routes!(stacks::list_stacks, stacks::launch_stack))
        .routes(routes!(stacks::show_stack, stacks::destroy_stack))
        .routes(routes!(stacks::extend_stack))
        .routes(routes!(stacks::update_stack))
        .routes(routes!(stacks::retry_stack))
        .routes(routes!(stacks::stop_stack))
        .routes(routes!(previews::list_previews))
        .routes(routes!(previews::end_preview))
        .routes(routes!(presets::list_presets))
        .routes(routes!(presets::show_preset, presets::save_preset, presets::remove_preset))
        .routes(routes!(presets::pause_pool))
        .routes(routes!(presets::resume_pool))
        .routes(routes!(images::list_images, images::bake_image))
        .routes(routes!(images::remove_image))
        .routes(routes!(images::show_holdings))
        .routes(routes!(images::reap))
        .routes(routes!(providers::check_provider))
        .routes(routes!(stacks::start_stack))
        .routes(routes!(stacks::rebuild_stack))
        .routes(routes!(stacks::read_service_log))
        .routes(routes!(sharing::show_sharing, sharing::change_sharing))
        .routes(routes!(sharing::create_guest_link))
        .routes(routes!(sharing::renew_guest_link))
        .routes(routes!(sharing::revoke_guest_link))
        .routes(routes!(runs::list_runs))
        .routes(routes!(runs::show_run))
        .routes(routes!(runs::signal_run))
        .routes(routes!(runs::read_step_log))
        .routes(routes!(users::show_me))
        .routes(routes!(users::set_password))
        .routes(routes!(users::end_sessions))
        .routes(routes!(tokens::list_tokens, tokens::create_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(agents::list_agents))
        .routes(routes!(agents::list_agent_reports))
        .routes(routes!(agents::read_agent_log))
        .routes(routes!(agents::assign_configuration))
        .routes(routes!(agents::forget_agent))
        .routes(routes!(agents::boot_node))
        .routes(routes!(agents::list_node_tokens, agents::create_node_token))
        .routes(routes!(agents::revoke_node_token))
        .routes(routes!(secrets::list_secrets, secrets::save_secret, secrets::remove_secret))
        .routes(routes!(users::list_users, users::create_user))
        .routes(routes!(users::change_user))
        .routes(routes!(users::create_login_link))
        .routes(routes!(interop::show_ansible))
        .routes(routes!(interop::show_puppet))
        .routes(routes!(interop::show_prometheus))
        .routes(routes!(interop::show_backstage))
        .routes(routes!(sse::stream_events))
        .routes(routes!(reference::list_codes))
        .routes(routes!(reference::show_code))
        .routes(routes!(reference::show_schema))
        .routes(routes!(reference::show_object_schema))
        .routes(routes!(reference::show_document))
}

/// The OpenAPI document of all routes.
pub fn document() -> Document {
    let mut document = router().into_openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    // Errors look the same everywhere, so they are written down once.
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem = ResponseBuilder::new()
        .description("What went wrong")
        .content("application/problem+json", content)
        .build();
    for item in document.paths.paths.values_mut() {
        for operation in [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ]
        .into_iter()
        .flatten()
        {
            operation
                .responses
                .responses
                .insert("default".to_owned(), RefOr::T(problem.clone()));
        }
    }
    document
}
