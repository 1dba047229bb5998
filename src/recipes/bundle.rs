//! A bundle: the recipes that compile together, by name, with the templates beside them.
//!
//! The platform's own recipes are inside the binary; an organisation's folder adds to them and overrides by file name, and
//! its `values.yaml` is the organisation's layer of values. The invariant: a bundle is only text, named by the hash of its
//! files, and the order of its recipes is the order of their names.

use super::recipe::Recipe;
use super::shape::{Shape, Strictness, check};
use super::tree::{Findings, Source};
use super::values::{Layer, LayerKind};
use super::{loader, rules};
use crate::model::diagnostic::Diagnostic;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The largest recipe or template that is taken, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The file with the organisation's values.
pub const VALUES: &str = "values.yaml";

#[derive(RustEmbed)]
#[folder = "recipes/"]
struct Shipped;

/// Recipes by name and templates by file name.
#[derive(Debug, Clone, Default)]
pub struct Bundle {
    recipes: BTreeMap<String, Recipe>,
    templates: BTreeMap<String, Source>,
    values: Option<(Source, Layer)>,
    broken: BTreeMap<String, Vec<Diagnostic>>,
}

impl Bundle {
    /// The recipes inside the binary.
    pub fn shipped() -> Self {
        let mut bundle = Self::default();
        let mut names: Vec<_> = Shipped::iter().collect();
        names.sort();
        for name in names {
            if !name.ends_with(".yaml") && !name.ends_with(".j2") {
                continue;
            }
            if let Some(file) = Shipped::get(&name) {
                bundle.add(&format!("recipes/{name}"), &file.data);
            }
        }
        bundle
    }

    /// The recipes inside the binary, with those of a folder added; one of the same name takes the shipped one's place.
    ///
    /// # Errors
    /// A finding where the folder or one of its files cannot be read.
    pub fn with_folder(folder: &Path) -> Result<Self, Box<Diagnostic>> {
        let mut bundle = Self::shipped();
        bundle.add_folder(folder)?;
        Ok(bundle)
    }

    /// The bundle of these files, such as a stored one has them: text by file name.
    pub fn of_files(files: &BTreeMap<String, String>) -> Self {
        let mut bundle = Self::default();
        for (name, text) in files {
            bundle.add(&format!("recipes/{name}"), text.as_bytes());
        }
        bundle
    }

    /// Its files: text by file name. What could not be read is not among them.
    pub fn files(&self) -> BTreeMap<String, String> {
        let recipes = self
            .recipes
            .iter()
            .map(|(name, recipe)| (format!("{name}.yaml"), &recipe.source));
        let templates = self.templates.iter().map(|(name, source)| (name.clone(), source));
        let values = self.values.iter().map(|(source, _)| (VALUES.to_owned(), source));
        recipes
            .chain(templates)
            .chain(values)
            .map(|(name, source)| (name, source.text.clone()))
            .collect()
    }

    /// The name of files as a bundle: `sha256:` and 64 hexadecimal digits, the same wherever they were found.
    pub fn hash_of(files: &BTreeMap<String, String>) -> String {
        let mut hash = Sha256::new();
        for (name, text) in files {
            // Lengths keep two files from being taken for one.
            for part in [name, text] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        crate::model::secret::hex("sha256:", &hash.finalize())
    }

    /// The organisation's layer of values.
    pub fn values(&self) -> Option<&Layer> {
        self.values.as_ref().map(|(_, layer)| layer)
    }

    /// The text of a file, by the name that findings and layers give it.
    pub fn source(&self, file: &str) -> Option<&Source> {
        let recipes = self.recipes.values().map(|recipe| &recipe.source);
        let mut all = recipes
            .chain(self.templates.values())
            .chain(self.values.iter().map(|(source, _)| source));
        all.find(|source| source.file == file)
    }

    /// Adds the recipes and templates of a folder.
    ///
    /// # Errors
    /// A finding where the folder or one of its files cannot be read.
    pub fn add_folder(&mut self, folder: &Path) -> Result<(), Box<Diagnostic>> {
        for (file, bytes) in loader::read_folder(folder)? {
            self.add(&file, &bytes);
        }
        Ok(())
    }

    /// Adds one file: a recipe (`.yaml`) or a template (`.j2`). Its errors are kept for [`Self::check`].
    pub fn add(&mut self, file: &str, bytes: &[u8]) {
        let stem = Path::new(file);
        let base = stem.file_name().and_then(|n| n.to_str()).unwrap_or(file);
        let is_template = stem.extension().is_some_and(|e| e == "j2");
        let limit = if is_template { MAX_BYTES / 4 } else { MAX_BYTES };
        let source = match super::tree::read_text(file, bytes, limit) {
            Ok(source) => source,
            Err(diagnostic) => {
                self.broken.insert(base.to_owned(), vec![*diagnostic]);
                return;
            }
        };
        self.broken.remove(base);
        if is_template {
            let problems = super::recipe::check_template_file(&source);
            if !problems.is_empty() {
                self.broken.insert(base.to_owned(), problems);
            }
            self.templates.insert(base.to_owned(), source);
            return;
        }
        if base == VALUES {
            let mut findings = Findings::new(&source);
            let layer = organisation(&source, &mut findings);
            let findings = findings.finish();
            if !findings.is_empty() {
                self.broken.insert(base.to_owned(), findings);
            }
            self.values = layer.map(|layer| (source, layer));
            return;
        }
        let name = stem.file_stem().and_then(|n| n.to_str()).unwrap_or(base).to_owned();
        let (recipe, findings) = Recipe::parse(source, &name);
        if !findings.is_empty() {
            self.broken.insert(base.to_owned(), findings);
        }
        match recipe {
            Some(recipe) => {
                self.recipes.insert(name, recipe);
            }
            None => {
                self.recipes.remove(&name);
            }
        }
    }

    /// Everything that is wrong with its files and with how they refer to each other.
    pub fn check(&self) -> Vec<Diagnostic> {
        let mut all: Vec<Diagnostic> = self.broken.values().flatten().cloned().collect();
        for recipe in self.recipes.values() {
            all.extend(super::references::check_references(recipe, self));
            all.extend(super::lint::check_recipe(recipe));
        }
        for source in self.templates.values() {
            all.extend(super::lint::check_template(source));
        }
        all.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        all
    }

    /// Names of the recipes, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.recipes.keys().map(String::as_str).collect()
    }

    /// All recipes by name.
    pub fn recipes(&self) -> impl Iterator<Item = &Recipe> {
        self.recipes.values()
    }

    /// A recipe.
    pub fn recipe(&self, name: &str) -> Option<&Recipe> {
        self.recipes.get(name)
    }

    /// A template by file name.
    pub fn template(&self, file: &str) -> Option<&Source> {
        self.templates.get(file)
    }

    /// File names of the templates, sorted.
    pub fn template_names(&self) -> Vec<&str> {
        self.templates.keys().map(String::as_str).collect()
    }

    /// What is wrong with the file of a recipe that could not be read.
    pub(super) fn why_broken(&self, recipe: &str) -> &[Diagnostic] {
        self.broken.get(&format!("{recipe}.yaml")).map_or(&[], Vec::as_slice)
    }
}

fn organisation(source: &Source, findings: &mut Findings<'_>) -> Option<Layer> {
    if source.text.trim().is_empty() {
        return None;
    }
    let tree = super::yaml::parse(source, findings)?;
    let shape = Shape::Map {
        keys: &rules::KEY,
        of: &Shape::Any,
    };
    check(&tree, &shape, Strictness::Yaml, "", findings);
    if findings.has_errors() {
        return None;
    }
    let serde_json::Value::Object(values) = tree.to_json() else {
        return None;
    };
    Some(Layer {
        kind: LayerKind::Organisation,
        object: source.file.clone(),
        path: String::new(),
        app: None,
        recipe: None,
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_recipes_are_without_findings() {
        let bundle = Bundle::shipped();
        let found: Vec<String> = bundle.check().iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
        assert!(bundle.names().contains(&"python-app"));
    }
}
