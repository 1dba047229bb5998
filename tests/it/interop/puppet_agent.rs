//! A real Puppet server that classifies by the inventory, and a real agent run against it.

use super::puppet::{MODULES, write_modules};
use super::{Company, program, run};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

// A Java program that loads a Ruby: on a busy machine it takes its time.
const PATIENCE: Duration = Duration::from_mins(5);

struct PuppetServer {
    child: Child,
    port: u16,
}

impl Drop for PuppetServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl PuppetServer {
    /// One of our own in this folder: its certificate authority, its settings and its code; it asks `classifier` about nodes.
    fn start(folder: &Path, code: &Path, classifier: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (own, settings, services) = (folder.join("puppetserver"), folder.join("conf.d"), folder.join("services.d"));
        for made in [&own, &settings, &services] {
            std::fs::create_dir_all(made).unwrap();
        }
        let (at, code) = (own.display(), code.display());
        let conf = format!(
            "[main]\ncertname = localhost\ncodedir = {code}\nvardir = {at}/var\nlogdir = {at}/log\nrundir = {at}/run\nssldir = {at}/ssl\n\
             [server]\ncadir = {at}/ca\nautosign = true\nnode_terminus = exec\nexternal_nodes = {}\n",
            classifier.display()
        );
        std::fs::write(own.join("puppet.conf"), conf).unwrap();
        let shipped = Path::new("/etc/puppet/puppetserver");
        let routes = std::fs::read_to_string(shipped.join("conf.d/web-routes.conf")).unwrap();
        let all = format!(
            "jruby-puppet: {{ ruby-load-path: [/usr/lib/puppetserver/ruby/vendor_ruby], gem-home: \"{at}/gems\",\n\
             gem-path: [\"/usr/lib/puppetserver/vendored-jruby-gems\"], server-conf-dir: \"{at}\", server-code-dir: \"{code}\",\n\
             server-var-dir: \"{at}/var\", server-run-dir: \"{at}/run\", server-log-dir: \"{at}/log\", max-active-instances: 1 }}\n\
             webserver: {{ client-auth: want, ssl-host: 127.0.0.1, ssl-port: {port} }}\n\
             certificate-authority: {{}}\nproduct: {{ check-for-updates: false }}\nmetrics: {{ server-id: localhost }}\n{routes}"
        );
        std::fs::write(settings.join("all.conf"), all).unwrap();
        std::fs::copy(shipped.join("conf.d/auth.conf"), settings.join("auth.conf")).unwrap();
        std::fs::copy(shipped.join("services.d/ca.cfg"), services.join("ca.cfg")).unwrap();
        let services_text = std::fs::read_to_string(shipped.join("services.d/bootstrap.cfg")).unwrap();
        // It would tell its makers of itself.
        let quiet: Vec<&str> = services_text.lines().filter(|line| !line.contains("analytics")).collect();
        std::fs::write(services.join("bootstrap.cfg"), quiet.join("\n")).unwrap();
        let log = std::fs::File::create(folder.join("puppetserver.log")).unwrap();
        let child = Command::new("java")
            .args([
                "-Xmx512m",
                "-Djruby.lib=/usr/share/jruby/lib",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
            ])
            .args(["-jar", "/usr/share/puppetserver/puppetserver.jar", "--config"])
            .arg(settings)
            .arg("--bootstrap-config")
            .arg(services)
            .arg("--restart-file")
            .arg(folder.join("restart"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// Waits until it answers.
    async fn ready(&mut self, folder: &Path) {
        let deadline = Instant::now() + PATIENCE;
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .unwrap();
        let url = format!("https://127.0.0.1:{}/puppet-ca/v1/certificate/ca", self.port);
        while http.get(&url).send().await.is_err() {
            let log = || std::fs::read_to_string(folder.join("puppetserver.log")).unwrap_or_default();
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "the Puppet server has ended: {}",
                log()
            );
            assert!(Instant::now() < deadline, "the Puppet server does not answer: {}", log());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_puppet_agent_is_classified_by_the_inventory_and_made_so() {
    if std::env::var_os("CI").is_none() && std::env::var_os("GREENROOM_PUPPETSERVER").is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "left out: a Puppet server takes a minute; set GREENROOM_PUPPETSERVER to its path"
        );
        return;
    }
    let (Some(puppet), Some(_)) = (
        program("puppet", &["/opt/puppetlabs/bin"]),
        program("puppetserver", &["/usr/bin"]),
    ) else {
        return;
    };
    let company = Company::open(24_100).await;
    let folder = company.folder();
    let code = write_modules(folder, MODULES);
    let mut server = PuppetServer::start(folder, &code, &company.script("enc.sh", "inventory enc"));
    server.ready(folder).await;
    let agent = |certname: &str| {
        let mut command = Command::new(&puppet);
        command
            .args([
                "agent",
                "--test",
                "--server",
                "localhost",
                "--serverport",
                &server.port.to_string(),
            ])
            .args(["--certname", certname])
            .args(["--confdir", folder.join(format!("agent-{certname}")).to_str().unwrap()])
            .args(["--vardir", folder.join(format!("agent-{certname}-var")).to_str().unwrap()])
            .args(["--ssldir", folder.join(format!("agent-{certname}-ssl")).to_str().unwrap()])
            .env("FACTER_out", folder)
            .env("HOME", folder);
        command
    };
    let ended = run(agent("web-2")).await;
    let said = || {
        format!(
            "{}{}",
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr)
        )
    };
    // Puppet's word for "changed, and nothing failed".
    assert_eq!(ended.status.code(), Some(2), "{}", said());
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert_eq!(read("web-2.motd"), "this is web-2");
    assert_eq!(read("web-2.tools"), "web in dc-south");
    // Whom the inventory does not know gets no catalogue.
    let stranger = run(agent("nobody")).await;
    assert_eq!(
        stranger.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&stranger.stdout)
    );
    assert!(!std::fs::exists(folder.join("nobody.motd")).unwrap());
}
