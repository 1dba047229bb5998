//! Real containers to end in: a plain Debian server with systemd as its first process, in Docker.
//!
//! `tests/containers/setup` starts the engine and makes the image. Where it cannot, tests are skipped and say why; in CI they
//! fail.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The image to start from, or nothing where there are no containers here.
pub fn image() -> Option<&'static str> {
    static IMAGE: OnceLock<Result<String, String>> = OnceLock::new();
    let made = IMAGE.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers/setup");
        // The engine outlives the tests; it must not hold their output open.
        let ran = Command::new(script).output().map_err(|e| e.to_string())?;
        if !ran.status.success() {
            return Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&ran.stdout);
        said.lines()
            .last()
            .map(str::to_owned)
            .ok_or_else(|| "no image was named".to_owned())
    });
    match made {
        Ok(image) => Some(image),
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "there are no containers: {why}");
            let _ = writeln!(std::io::stderr(), "skipped, for there are no containers here: {why}");
            None
        }
    }
}

/// A container, removed when it is dropped.
pub struct Container {
    name: String,
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", &self.name]).output();
    }
}

impl Container {
    /// A server with systemd, booted; files are put in before, and folders of this machine are readable in it.
    pub fn boot(image: &str, files: &[(&str, &[u8])], readable: &[(&str, &str)]) -> Self {
        Self::boot_with(image, files, readable, &[])
    }

    /// As [`Self::boot`], with these words on its kernel's command line: that of a container is its first process's.
    pub fn boot_with(image: &str, files: &[(&str, &[u8])], readable: &[(&str, &str)], words: &[&str]) -> Self {
        let name = format!("greenroom-test-{:08x}", rand::random::<u32>());
        let mut create = Command::new("docker");
        create.args(["create", "--name", &name, "--hostname", "shop-1", "--cap-add", "SYS_ADMIN"]);
        create.args([
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "apparmor=unconfined",
        ]);
        // Never the host's control groups: systemd would change them for the whole machine.
        create.args([
            "--cgroupns",
            "private",
            "--tmpfs",
            "/sys/fs/cgroup:rw,mode=755",
            "--tmpfs",
            "/run",
            "--tmpfs",
            "/run/lock",
        ]);
        create.args(["--tmpfs", "/tmp:exec", "-e", "container=docker"]);
        for (here, there) in readable {
            create.args(["-v", &format!("{here}:{there}:ro")]);
        }
        good(create.args([image, "/sbin/init"]).args(words));
        let container = Self { name };
        if words.is_empty() && !files.iter().any(|(path, _)| path.starts_with("/var/lib/cloud/")) {
            container.put("/etc/cloud/cloud-init.disabled", b"");
        }
        for (path, bytes) in files {
            container.put(path, bytes);
        }
        good(Command::new("docker").args(["start", &container.name]));
        container.wait_for_systemd();
        container
    }

    /// Boots it again: everything that runs in it ends, and what is on its disk stays.
    pub fn reboot(&self) {
        good(Command::new("docker").args(["restart", "-t", "20", &self.name]));
        self.wait_for_systemd();
    }

    fn wait_for_systemd(&self) {
        self.wait(
            Duration::from_secs(60),
            "systemctl is-system-running | grep -qE 'running|degraded|starting'",
        );
    }

    /// Puts a file into it; the folder must be there once it runs.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let mut here = folder.path().join("tree");
        std::fs::create_dir(&here).unwrap();
        let tree = here.clone();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        for part in &parts[..parts.len() - 1] {
            here.push(part);
            std::fs::create_dir(&here).unwrap();
        }
        std::fs::write(here.join(parts[parts.len() - 1]), bytes).unwrap();
        let from = format!("{}/.", tree.display());
        good(Command::new("docker").args(["cp", &from, &format!("{}:/", self.name)]));
    }

    /// Runs a shell command in it.
    pub fn run(&self, command: &str) -> Output {
        let mut docker = Command::new("docker");
        docker.args(["exec", &self.name, "bash", "-c", command]).output().unwrap()
    }

    /// The output of a shell command that must succeed.
    pub fn output(&self, command: &str) -> String {
        let ran = self.run(command);
        assert!(ran.status.success(), "{command}: {}", super::text(&ran));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// Its address, as other containers reach it.
    pub fn address(&self) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let ran = Command::new("docker")
            .args(["inspect", "-f", format, &self.name])
            .output()
            .unwrap();
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    /// Asks until a shell command succeeds.
    pub fn wait(&self, most: Duration, command: &str) {
        let began = Instant::now();
        loop {
            let ran = self.run(command);
            if ran.status.success() {
                return;
            }
            assert!(began.elapsed() < most, "{command}: {}", super::text(&ran));
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// The address of this machine that containers reach it at.
pub fn gateway() -> String {
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let ran = Command::new("docker")
        .args(["network", "inspect", "bridge", "-f", format])
        .output()
        .unwrap();
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

/// Builds an image of a context in a tar archive.
pub fn build(context: &[u8], name: &str) {
    let mut docker = Command::new("docker");
    docker.env("DOCKER_BUILDKIT", "0");
    docker.args([
        "build",
        "--quiet",
        "--force-rm",
        "--tag",
        name,
        "--file",
        "Containerfile",
        "-",
    ]);
    docker
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = docker.spawn().unwrap();
    child.stdin.take().unwrap().write_all(context).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", super::text(&ended));
}

/// Removes an image.
pub fn remove(name: &str) {
    let _ = Command::new("docker").args(["rmi", "-f", name]).output();
}

fn good(command: &mut Command) {
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{command:?}: {}", super::text(&ran));
}
