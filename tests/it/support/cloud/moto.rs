//! One moto for all tests of this process, each in an account of its own. It ends with this process, whose end closes its input.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const PROGRAM: &str = "
import os, sys, threading
def end():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=end, daemon=True).start()
from moto.server import main
main(['-H', '127.0.0.1', '-p', sys.argv[1]])
";

struct Moto {
    url: String,
    _process: Child,
}

/// Where moto answers, or nothing where there is none; in CI that fails.
pub fn url() -> Option<&'static str> {
    static MOTO: OnceLock<Option<Moto>> = OnceLock::new();
    MOTO.get_or_init(start).as_ref().map(|moto| moto.url.as_str())
}

fn start() -> Option<Moto> {
    let Ok(python) = std::env::var("GREENROOM_MOTO") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "GREENROOM_MOTO is not set; run tests/all, which installs moto"
        );
        let _ = writeln!(
            std::io::stderr(),
            "skipped: GREENROOM_MOTO names no python that has moto[server]; run tests/all"
        );
        return None;
    };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = Command::new(&python)
        .args(["-c", PROGRAM, &port.to_string()])
        // Thirteen hundred images are not needed, and loading them takes seconds for each account.
        .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        .env("MOTO_ENABLE_AMI_VALIDATION", "1")
        .env("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "1")
        .env("MOTO_ENABLE_KEYPAIR_VALIDATION", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "moto does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(Moto {
        url: format!("http://127.0.0.1:{port}"),
        _process: process,
    })
}
