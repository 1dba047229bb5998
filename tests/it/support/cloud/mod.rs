//! A cloud to test against: a real EC2 API server (moto) behind a proxy of ours, which brings the weather. It delays, drops and doubles
//! calls, and has what moto lacks: the memory of client tokens, limits, states that take time, and lists that lag behind.

mod moto;
mod proxy;
mod rewrite;

pub use proxy::{Cloud, Trouble, Weather};
