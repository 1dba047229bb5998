//! How long the compiler takes for one node: 200 states (goal 5 ms) and 5,000 states (goal 100 ms).
//!
//! The yardstick, in the same run on the same machine: minijinja itself, rendering the same templates with one shared context
//! and writing the texts as JSON, without everything that makes a configuration of them. Where `puppet` is on the `PATH` it
//! compiles a manifest of as many files too.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and prints its figures"
)]

use greenroom::model::inventory::Role;
use greenroom::recipes::view::View;
use greenroom::recipes::{Bundle, compile, run_list, values};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;

fn main() {
    for (states, goal) in [(200, 5), (5_000, 100)] {
        let goal = Duration::from_millis(goal);
        let (bundle, view) = node(states);
        let compiled = compile(&bundle, &view).unwrap();
        assert!(compiled.configuration.states.len() >= states);
        let ours = median(|| {
            let compiled = compile(&bundle, &view).unwrap();
            compiled.configuration.hash().unwrap();
        });
        let yardstick = median(|| templates_alone(states));
        let verdict = if ours <= goal { "met" } else { "MISSED" };
        println!(
            "compile, {states:>5} states, with its hash        {ours:>9.2?}   goal {goal:?} {verdict}   ({:.1} us a state)",
            ours.as_secs_f64() * 1e6 / f64::from(u32::try_from(states).unwrap())
        );
        println!(
            "  yardstick: minijinja alone              {yardstick:>9.2?}   ratio {:.2}",
            ours.as_secs_f64() / yardstick.as_secs_f64()
        );
        let json = compiled.configuration.canonical().unwrap();
        let writing = median(|| {
            serde_json::from_slice::<greenroom::model::configuration::NodeConfiguration>(&json).unwrap();
        });
        println!(
            "  yardstick: serde_json reading the result {writing:>9.2?}   ({} KB)",
            json.len() / 1024
        );
        match puppet(states) {
            Some(time) => println!(
                "  yardstick: puppet compiling {states} files  {time:>9.2?}   ours is {:.0}x faster\n",
                time.as_secs_f64() / ours.as_secs_f64()
            ),
            None => println!("  yardstick: puppet is not on the PATH\n"),
        }
    }
    let started = Instant::now();
    let files = Bundle::shipped().files();
    let bundle = Bundle::of_files(&files);
    println!(
        "reading {} recipes                         {:>9.2?}",
        bundle.names().len(),
        started.elapsed()
    );
}

// A node with a role: files, folders, guarded programs and services in equal parts, each with the templates people write.
fn node(states: usize) -> (Bundle, View) {
    let mut bundle = Bundle::default();
    let each = states.div_ceil(10).min(1_000);
    for part in 0..10 {
        let name = format!("part{part}");
        let recipe = match part % 5 {
            0..=2 => format!(
                "recipe: {name}\ndescription: files\nparams:\n  count: {{type: int}}\n  owner: {{type: text, default: root}}\nstates:\n  \
                 - file:\n      for: n in range(params.count)\n      id: \"{name}-{{{{ n }}}}\"\n      path: \"/etc/{name}/{{{{ n }}}}.conf\"\n      mode: \"0644\"\n      \
                 content: |\n        # {{{{ node.name }}}} in {{{{ env.name }}}}, for {{{{ params.owner }}}}\n        \
                 listen = {{{{ values.listen.address }}}}:{{{{ 8000 + n }}}}\n        {{% for host in values.upstreams %}}upstream {{{{ host }}}}\n        {{% endfor %}}\n"
            ),
            3 => format!(
                "recipe: {name}\ndescription: folders\nparams:\n  count: {{type: int}}\n  owner: {{type: text, default: root}}\nstates:\n  \
                 - directory:\n      for: n in range(params.count)\n      id: \"{name}-{{{{ n }}}}\"\n      path: \"/srv/{name}/{{{{ params.owner }}}}/{{{{ n }}}}\"\n      when: n >= 0\n"
            ),
            _ => format!(
                "recipe: {name}\ndescription: programs\nparams:\n  count: {{type: int}}\n  owner: {{type: text, default: root}}\nstates:\n  \
                 - execute:\n      for: n in range(params.count)\n      id: \"{name}-{{{{ n }}}}\"\n      \
                 command: [make, \"-C\", \"/srv/{name}/{{{{ n }}}}\", \"OWNER={{{{ params.owner }}}}\"]\n      creates: \"/srv/{name}/{{{{ n }}}}/done\"\n"
            ),
        };
        bundle.add(&format!("recipes/{name}.yaml"), recipe.as_bytes());
    }
    assert_eq!(bundle.check().len(), 0, "{:?}", bundle.check().first());
    let recipes: Vec<_> = (0..10)
        .map(|part| json!({"name": format!("part{part}"), "with": {"count": each}}))
        .collect();
    let role: Role = serde_json::from_value(
        json!({"apiVersion": "greenroom/v1", "kind": "Role", "metadata": {"name": "all"}, "spec": {
            "recipes": recipes, "values": {"listen": {"address": "10.0.0.1"}, "upstreams": ["a.example.org", "b.example.org"]},
        }}),
    )
    .unwrap();
    let descriptor = serde_json::from_value(
        json!({"apiVersion": "greenroom/v1", "kind": "App", "metadata": {"name": "shop"}, "spec": {
            "type": "service", "owners": {"dev": "a", "ops": "b"}, "repository": "/srv/git/shop.git", "recipes": [],
        }}),
    )
    .unwrap();
    let mut view = View::example(&descriptor, &BTreeMap::new());
    view.apps.clear();
    view.node.confined_to = None;
    view.run_list = run_list::expand(&["all"], &|_| Some(&role), &["all"]).unwrap();
    view.layers = values::role(&role);
    (bundle, view)
}

fn templates_alone(states: usize) {
    let environment = minijinja::Environment::new();
    let template = environment
        .template_from_str(
            "# {{ node.name }} in {{ env.name }}, for {{ params.owner }}\nlisten = {{ values.listen.address }}:{{ 8000 + n }}\n\
             {% for host in values.upstreams %}upstream {{ host }}\n{% endfor %}",
        )
        .unwrap();
    let path = environment.template_from_str("/etc/part/{{ n }}.conf").unwrap();
    let base = minijinja::value::Value::from(minijinja::value::Serde(&json!({
        "node": {"name": "w1"}, "env": {"name": "staging"}, "params": {"owner": "root"},
        "values": {"listen": {"address": "10.0.0.1"}, "upstreams": ["a.example.org", "b.example.org"]},
    })));
    let mut texts = Vec::with_capacity(states);
    for n in 0..states {
        let own = minijinja::value::Value::from_pairs([("n", minijinja::value::Value::from(n))]);
        let context = minijinja::value::merge_maps([own, base.clone()]);
        texts.push((path.render(context.clone()).unwrap(), template.render(context).unwrap()));
    }
    serde_json::to_vec(&texts).unwrap();
}

fn puppet(states: usize) -> Option<Duration> {
    let folder = tempfile::tempdir().ok()?;
    let mut manifest = String::new();
    for n in 0..states {
        let _ = writeln!(
            manifest,
            "file {{ '/etc/part/{n}.conf': ensure => file, mode => '0644', content => \"listen = {n}\\n\" }}"
        );
    }
    let path = folder.path().join("site.pp");
    std::fs::write(&path, manifest).ok()?;
    let started = Instant::now();
    let done = Command::new("puppet")
        .args(["catalog", "compile", "node", "--manifest"])
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    done.success().then(|| started.elapsed())
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}
