//! User-data: within what EC2 takes, and as cloud-init understands it.

use super::{configuration, shown};
use greenroom::recipes::targets::{Form, Newcomer, Options, Stub, USER_DATA_LIMIT, cloud_init};
use serde_json::{Value, json};

fn file(path: &str, content: &str) -> Value {
    json!({"type": "file", "path": path, "content": content, "mode": "0644"})
}

fn stub() -> Stub {
    Stub {
        server: "https://greenroom.example".to_owned(),
        newcomer: Newcomer::Named("web-1".to_owned()),
        token: "grr_once".to_owned(),
        program: "https://greenroom.example/agent".to_owned(),
        program_sha256: "0".repeat(64),
    }
}

#[test]
fn what_cloud_init_means_exactly_as_we_do_is_said_with_its_keys() {
    let states = configuration(json!([
        {"type": "directory", "path": "/srv/shop", "mode": "0750"},
        {"type": "package", "name": "git", "program": "git"},
        file("/etc/motd", "  hello: {{ x }}\n\n#cloud\n"),
        file("/etc/odd", "no end"),
        {"type": "execute", "command": ["true"], "cwd": "/", "timeout_s": 5, "failure": "state-failed"},
        // After a program that was run, it is no longer cloud-init's to write.
        file("/etc/late", "late\n"),
    ]));
    let data = cloud_init(&states, None, &Options::default()).unwrap_or_else(|found| panic!("{}", shown(&found)));
    assert_eq!(data.form, Form::Plain);
    let text = String::from_utf8(data.bytes).unwrap();
    assert!(text.starts_with("#cloud-config\n"), "{text}");
    let read: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(read["packages"], json!(["git"]));
    let paths: Vec<&str> = read["write_files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/etc/motd", "/etc/odd", "/var/lib/greenroom/configure"]);
    assert_eq!(read["write_files"][0]["content"], "  hello: {{ x }}\n\n#cloud\n");
    assert_eq!(read["write_files"][0]["permissions"], "0644");
    assert_eq!(read["write_files"][1]["content"], "bm8gZW5k");
    assert_eq!(read["runcmd"].as_array().unwrap().len(), 1);
    let script = read["write_files"][2]["content"].as_str().unwrap();
    assert!(script.contains("/etc/late") && !script.contains("/etc/odd"), "{script}");
    assert_eq!(super::shellcheck(script), "");
}

#[test]
fn longer_user_data_is_compressed_and_the_longest_gives_way_to_a_stub() {
    let same = |count: usize| {
        let files: Vec<Value> = (0..count)
            .map(|n| file(&format!("/etc/shop/{n}"), &"all the same\n".repeat(40)))
            .collect();
        configuration(Value::Array(files))
    };
    let compressed = cloud_init(&same(60), None, &Options::default()).unwrap();
    assert_eq!(compressed.form, Form::Compressed);
    assert!(compressed.bytes.starts_with(&[0x1f, 0x8b]) && compressed.bytes.len() <= USER_DATA_LIMIT);
    assert_eq!(compressed.bytes[4..8], [0; 4], "no time is in it");
    assert_eq!(compressed, cloud_init(&same(60), None, &Options::default()).unwrap());

    let noise: Vec<String> = (0_u64..4000)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let long = configuration(json!([file("/etc/noise", &noise.concat())]));
    let found = cloud_init(&long, None, &Options::default()).unwrap_err();
    assert!(shown(&found).contains("error[user-data-too-long]"), "{}", shown(&found));
    let short = cloud_init(&long, Some(&stub()), &Options::default()).unwrap();
    assert_eq!(short.form, Form::Stub);
    let text = String::from_utf8(short.bytes).unwrap();
    assert!(
        text.starts_with("#cloud-config\n") && text.len() < 2048,
        "{} bytes",
        text.len()
    );
    let read: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(read["write_files"][0]["permissions"], "0600");
    assert_eq!(super::shellcheck(read["write_files"][1]["content"].as_str().unwrap()), "");
}
