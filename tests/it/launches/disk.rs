//! A full disk: the data folder is a small file system of its own.

use super::stage::{GOOD_APP, Props, Stage};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;

struct SmallDisk(
    PathBuf,
    #[expect(dead_code, reason = "removed when dropped")] tempfile::TempDir,
);

impl SmallDisk {
    fn mount(megabytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small");
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "greenroom-test"])
            .arg(&path)
            .output()
            .expect("`mount` runs");
        assert!(
            mounted.status.success(),
            "this test mounts a small file system, which takes root in a container that allows it: {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Self(path, folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fills_the_disk_fails_and_gives_the_room_back() {
    let disk = SmallDisk::mount(48);
    let props = Props {
        data: Some(disk.0.join("data")),
        ..Props::default()
    };
    let stage = Stage::open_with(24_700, props).await;
    let greedy = "with open('ballast', 'wb') as f:\n    while True:\n        f.write(b'x' * 65536)\n        f.flush()\n";
    let repository = stage.repository("app", &[("app.py", GOOD_APP), ("page", "lean"), ("build.py", greedy)]);
    stage
        .register(&repository, json!({"build": {"command": ["python3", "build.py"]}}))
        .await;
    let accepted = stage.launch().await.unwrap();
    let fault = stage.fails(&accepted).await;
    assert_eq!(fault.code, "disk-full", "{fault:#?}");
    assert!(fault.log_tail.iter().any(|line| line.contains("No space left")), "{fault:#?}");

    // There is room again for one that needs less.
    repository.commit(&[("build.py", "print('planed')\n")]);
    let again = stage
        .running
        .control
        .retry_stack(&stage.admin, &accepted.stack.id)
        .await
        .unwrap();
    let stack = stage.serves(&again, "lean").await;
    stage.destroy(&stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_on_a_disk_that_is_full_already_is_refused_and_works_once_there_is_room() {
    let disk = SmallDisk::mount(48);
    let props = Props {
        data: Some(disk.0.join("data")),
        ..Props::default()
    };
    let stage = Stage::open_with(24_720, props).await;
    stage.good_app("hello").await;
    let ballast = disk.0.join("ballast");
    let filled = std::fs::File::create(&ballast).and_then(|mut file| std::io::copy(&mut std::io::repeat(7), &mut file));
    assert!(filled.is_err());
    let error = stage.launch().await.unwrap_err();
    assert_eq!(error.fault.code, "disk-full", "{error:#?}");
    assert!(!error.fault.next.is_empty());
    std::fs::remove_file(&ballast).unwrap();
    stage.nothing_is_left().await;
    let stack = stage.serves(&stage.launch().await.unwrap(), "hello").await;
    stage.destroy(&stack.id).await;
}
