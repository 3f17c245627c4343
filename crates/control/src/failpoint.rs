//! Failpoints: places where a test can break the program.
//!
//! With the `failpoints` feature the environment variable `FAILPOINTS` sets them, in the syntax
//! of the `fail` crate: `start_first.before=return(error)` fails what comes there, `return(abort)`
//! ends the process as `kill -9` would, `pause` holds it until the point is set anew, `panic`
//! panics. Without the feature nothing of this is compiled in.

use crate::substrate::Trouble;

/// Sets the failpoints that the environment variable `FAILPOINTS` asks for; they stay set until
/// the process ends. Does nothing in a program without failpoints.
pub fn arm() {
    if fail::has_failpoints() {
        std::mem::forget(fail::FailScenario::setup());
    }
}

/// Passes a failpoint. A paused point blocks a thread of its own and nothing else.
#[cfg(feature = "failpoints")]
pub async fn pass(name: &'static str) -> Result<(), Trouble> {
    match tokio::task::spawn_blocking(move || asked_of(name)).await {
        Ok(None) => Ok(()),
        Ok(Some(argument)) if argument == "abort" => std::process::abort(),
        Ok(Some(_)) => Err(Trouble::Failpoint(name)),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Trouble::Failpoint(name)),
        },
    }
}

#[cfg(feature = "failpoints")]
fn asked_of(name: &'static str) -> Option<String> {
    fail::fail_point!(name, |argument| Some(argument.unwrap_or_default()));
    None
}

/// Passes a failpoint that is not compiled in.
#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unused_async, reason = "the same shape as with failpoints")]
pub async fn pass(_name: &'static str) -> Result<(), Trouble> {
    Ok(())
}
