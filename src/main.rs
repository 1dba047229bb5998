//! The `greenroom` program: server, CLI and agent.

fn main() -> std::process::ExitCode {
    greenroom::cli::main()
}
