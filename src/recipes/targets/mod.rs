//! Targets: one configuration as a shell script, as user-data for cloud-init, or as the context of an image build.
//!
//! Pure: a configuration in, text or findings out. The agent applies the configuration as it is; what is made here must end
//! in the same files, packages, users and services. What a target cannot do is refused here, at the place where the state was
//! written, and never left out in silence. Secrets are refused too, for all of these texts end where others can read them.

mod bake;
mod cloud_init;
mod image;
mod library;
mod machine;
mod matrix;
mod quote;
mod script;
mod steps;
mod unit;

pub use bake::bakeable;
pub use cloud_init::{Form, Newcomer, Stub, USER_DATA_LIMIT, UserData, stub_user_data};
pub use image::ImageContext;
pub use matrix::{Support, support};

pub use crate::model::configuration::Target;
use crate::model::configuration::{EnvValue, NodeConfiguration, State, StateBody};
use crate::model::diagnostic::{Diagnostic, Severity};

/// How it is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether a script may read secrets from the file that `GREENROOM_SECRETS` names when it is run.
    pub secrets_from_file: bool,
    /// The image that an image starts from; Debian's slim one where absent.
    pub base_image: Option<String>,
}

/// What a target is given, ready to be written to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they are, as HTTP says it.
    pub content_type: &'static str,
    /// How it fits, where it is user-data.
    pub form: Option<Form>,
}

/// The configuration as what this target is given: an image is the tar archive of its context.
///
/// # Errors
/// Every state that cannot be made into it, at the place where it was written.
pub fn render(
    configuration: &NodeConfiguration,
    target: Target,
    stub: Option<&Stub>,
    options: &Options,
) -> Result<Rendered, Vec<Diagnostic>> {
    let (bytes, content_type, form) = match target {
        Target::Agent => {
            let document = serde_json::to_value(configuration).unwrap_or_default();
            (format!("{document:#}\n").into_bytes(), "application/json", None)
        }
        Target::Shell => (shell(configuration, options)?.into_bytes(), "text/x-shellscript", None),
        Target::CloudInit => {
            let data = cloud_init(configuration, stub, options)?;
            let content_type = match data.form {
                Form::Plain | Form::Stub => "text/cloud-config",
                Form::Compressed => "application/gzip",
            };
            (data.bytes, content_type, Some(data.form))
        }
        Target::Image => (image(configuration, options)?.tar(), "application/x-tar", None),
    };
    Ok(Rendered {
        bytes,
        content_type,
        form,
    })
}

/// Everything that keeps this configuration from being made into that.
pub fn refusals(configuration: &NodeConfiguration, target: Target, options: &Options) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for state in states_for(configuration, target) {
        if let Support::No(why) = support(&state.body, target) {
            let message = format!(
                "a `{}` state cannot be made into {}: {why}",
                state.body.type_name(),
                article(target)
            );
            let mut finding = about(state, "target-unsupported", message);
            finding.help = Some(format!("leave it out there with `targets: [{}]`", others(target)));
            found.push(finding);
        }
        let needs = secrets(&state.body);
        let may = target == Target::Agent || (target == Target::Shell && options.secrets_from_file);
        if !needs.is_empty() && !may {
            let message = format!("{} would show the secret {}", article(target), needs.join(", "));
            let mut finding = about(state, "secret-in-target", message);
            finding.help = Some(match target {
                Target::Shell => "let the script read secrets from a file when it is run: `--secrets-from-file`".to_owned(),
                _ => "let the agent apply this configuration: it fetches secrets at the moment of use".to_owned(),
            });
            found.push(finding);
        }
    }
    found
}

/// The states that are meant for a target.
pub fn states_for(configuration: &NodeConfiguration, target: Target) -> impl Iterator<Item = &State> {
    configuration.states.iter().filter(move |state| state.is_for(target))
}

/// The configuration as a script.
///
/// # Errors
/// Every state that cannot be in a script, at the place where it was written.
pub fn shell(configuration: &NodeConfiguration, options: &Options) -> Result<String, Vec<Diagnostic>> {
    allowed(configuration, Target::Shell, options)?;
    Ok(script::script(configuration, Target::Shell, &[]))
}

/// The configuration as user-data of at most [`USER_DATA_LIMIT`] bytes; `stub` takes its place where it is longer even when
/// compressed.
///
/// # Errors
/// Every state that cannot be in user-data, at the place where it was written; that it is too long where there is no stub.
pub fn cloud_init(
    configuration: &NodeConfiguration,
    stub: Option<&Stub>,
    options: &Options,
) -> Result<UserData, Vec<Diagnostic>> {
    allowed(configuration, Target::CloudInit, options)?;
    cloud_init::user_data(configuration, stub)
}

/// The configuration as the context of an image build.
///
/// # Errors
/// Every state that cannot be in an image, at the place where it was written.
pub fn image(configuration: &NodeConfiguration, options: &Options) -> Result<ImageContext, Vec<Diagnostic>> {
    allowed(configuration, Target::Image, options)?;
    Ok(image::context(configuration, options))
}

fn allowed(configuration: &NodeConfiguration, target: Target, options: &Options) -> Result<(), Vec<Diagnostic>> {
    let found = refusals(configuration, target, options);
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn article(target: Target) -> &'static str {
    match target {
        Target::Agent => "a configuration",
        Target::Shell => "a shell script",
        Target::CloudInit => "user-data",
        Target::Image => "an image",
    }
}

fn others(target: Target) -> String {
    let names: Vec<&str> = Target::ALL.into_iter().filter(|t| *t != target).map(Target::name).collect();
    names.join(", ")
}

// The names of all secrets that a state needs.
fn secrets(body: &StateBody) -> Vec<&str> {
    match body {
        StateBody::Execute { env, .. } | StateBody::Service { env, .. } => env.values().flat_map(EnvValue::secrets).collect(),
        _ => Vec::new(),
    }
}

/// A finding at the place where a state was written.
fn about(state: &State, code: &str, message: String) -> Diagnostic {
    let mut parts = state.origin.rsplitn(3, ':');
    let column = parts.next().and_then(|c| c.parse().ok()).unwrap_or(1);
    let line = parts.next().and_then(|l| l.parse().ok()).unwrap_or(1);
    Diagnostic {
        severity: Severity::Error,
        code: code.to_owned(),
        message,
        file: parts.next().unwrap_or(&state.origin).to_owned(),
        line,
        column,
        path: state.id.clone(),
        help: None,
        snippet: None,
    }
}
