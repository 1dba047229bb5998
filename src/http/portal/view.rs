//! Rendering: the templates, and what every page knows (who looks, in which light, from where, at what time).
//!
//! Templates are embedded in the binary; a debug build reads them from disk at each page, so an edit shows on reload. They
//! must not know how a page is fetched. Invariant: everything a person or an app wrote is escaped.

use super::{assets, format};
use crate::control::ControlError;
use crate::http::auth::cookie_value;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::{Actor, Role};
use crate::model::time::Timestamp;
use crate::wire::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::LazyLock;

/// The cookie that remembers which light someone likes.
pub const THEME_COOKIE: &str = "greenroom-theme";

// The script's header on what it fetches to put into a page.
const BARE: &str = "x-greenroom-fragment";

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// How a request wants its page to look.
#[derive(Debug, Clone)]
pub struct Look {
    /// `light`, `dark`, or `auto` for what the system says.
    pub theme: &'static str,
    /// Path and query of the page.
    pub path: String,
    /// When it is looked at.
    pub now: Timestamp,
    /// What was just done, as a sentence, and whether it is true only for as long as what it began is under way.
    pub said: Option<(&'static str, bool)>,
    /// Whether the script asks, which has the frame around the page already.
    pub bare: bool,
}

impl FromRequestParts<AppState> for Look {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers, &parts.uri, state.control.now()))
    }
}

impl Look {
    /// The look that a request asks for.
    pub fn of(headers: &HeaderMap, uri: &Uri, now: Timestamp) -> Self {
        let theme = cookie_value(headers, THEME_COOKIE);
        Self {
            theme: known_theme(theme),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            now,
            said: uri.query().and_then(said),
            bare: headers.contains_key(BARE),
        }
    }

    /// A page, for someone or (signing in, help, errors) for nobody yet.
    pub fn page(&self, template: &str, actor: Option<&Actor>, context: Json) -> Response {
        self.page_with(StatusCode::OK, template, actor, context)
    }

    /// A page under another status: a form that is shown again, an error.
    pub fn page_with(&self, status: StatusCode, template: &str, actor: Option<&Actor>, context: Json) -> Response {
        match self.render(template, actor, context) {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(template, error = format!("{error:#}"), "a page could not be rendered");
                ApiError::new("internal", "The page could not be rendered").into_response()
            }
        }
    }

    /// A page's text.
    ///
    /// # Errors
    /// Where the template does not fit the values.
    pub fn render(&self, template: &str, actor: Option<&Actor>, page: Json) -> Result<String, minijinja::Error> {
        let context = context! {
            me => actor.and_then(me),
            theme => self.theme,
            layout => if self.bare { "bare.html" } else { "layout.html" },
            path => self.path.as_str(),
            now => self.now.to_string(),
            said => self.said.map(|(text, begun)| context! { text, begun }),
            version => env!("CARGO_PKG_VERSION"),
            ..Value::from(Serde(page))
        };
        if cfg!(debug_assertions) {
            environment().get_template(template)?.render(context)
        } else {
            ENVIRONMENT.get_template(template)?.render(context)
        }
    }
}

/// A refusal that the form itself can show; anything else is a page of its own.
///
/// # Errors
/// Whatever no correction of the form would help against.
pub fn reshow(error: ControlError) -> Result<Problem, ApiError> {
    let problem = Problem::from(error);
    if matches!(problem.status, 400 | 409..=499) {
        Ok(problem)
    } else {
        Err(problem.into())
    }
}

/// The messages of a refusal by the field they belong to.
pub fn field_errors(problem: &Problem) -> BTreeMap<&str, &str> {
    let mut errors = BTreeMap::new();
    for field in &problem.fields {
        errors.entry(field.field.as_str()).or_insert(field.message.as_str());
    }
    errors
}

/// The theme of this name; `auto` for anything else.
pub fn known_theme(name: Option<&str>) -> &'static str {
    match name {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "auto",
    }
}

/// Goes to a page after something was done there, and says so: `word` is one of those of [`said`].
pub fn done(path: &str, word: &str) -> Response {
    Redirect::to(&format!("{path}?said={word}")).into_response()
}

// Only these sentences can be put on a page through its address.
fn said(query: &str) -> Option<(&'static str, bool)> {
    let word = query.split('&').find_map(|pair| pair.strip_prefix("said="))?;
    let text = match word {
        "launched" => "The launch has begun",
        "extended" => "The lease was extended",
        "updating" => "The update has begun",
        "retrying" => "Another try has begun",
        "stopping" => "It goes to sleep",
        "starting" => "It wakes up",
        "rebuilding" => "A new server is being built",
        "destroying" => "The stack is being taken down",
        "shared" => "It was saved who may look",
        "link-ended" => "The link was ended",
        "signalled" => "The run was told",
        "saved" => "The app was saved",
        "removed" => "The app was removed",
        "kept" => "It was saved",
        "gone" => "It was taken out of the inventory; its versions stay",
        "promoted" => "The environment is built from this bundle now",
        "restored" => "The old version was restored, as a new one",
        "paused" => "The pool is paused: what is there stays",
        "resumed" => "The pool goes on",
        "forgotten" => "The preset is forgotten",
        "preset" => "The preset is kept",
        "preview-gone" => "The preview is taken down",
        "reaped" => "What nobody knew of is gone",
        "gone-image" => "The image is removed",
        "password" => "Your password was changed",
        "revoked" => "The token was revoked",
        "user" => "The account was changed",
        _ => return None,
    };
    Some((
        text,
        matches!(
            word,
            "launched" | "updating" | "retrying" | "stopping" | "starting" | "rebuilding" | "destroying"
        ),
    ))
}

fn me(actor: &Actor) -> Option<Value> {
    let Actor::User { name, role, .. } = actor else { return None };
    Some(context! {
        name => name,
        role => role.as_str(),
        member => *role >= Role::Member,
        operator => *role >= Role::Operator,
        admin => *role >= Role::Admin,
    })
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_loader(|name| match assets::template(name) {
        None => Ok(None),
        Some(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|e| minijinja::Error::new(ErrorKind::InvalidOperation, "the template is not UTF-8").with_source(e)),
    });
    environment.add_function("asset", assets::url);
    format::add_to(&mut environment);
    environment
}
