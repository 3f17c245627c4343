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

/// Declares what a worker does, one step after the other, each with a failpoint before and after
/// it: `$name::run` is the only way to perform one, so a step without failpoints can't be written.
macro_rules! steps {
    (
        $(#[$meta:meta])* $vis:vis enum $kind:ident;
        $($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?
    ) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray,
        )]
        $vis enum $kind {
            $($(#[$doc])* #[strum(serialize = $text)] $name,)+
        }

        impl $kind {
            /// Its name in logs, metrics and failpoints.
            pub fn name(self) -> &'static str {
                self.into()
            }

            /// The names of its failpoints: before it and after it.
            pub fn failpoints(self) -> [&'static str; 2] {
                match self {
                    $(Self::$name => [concat!($text, ".before"), concat!($text, ".after")],)+
                }
            }

            /// Performs the step between its two failpoints.
            pub async fn run<T, E: From<$crate::substrate::Trouble>>(
                self,
                work: impl Future<Output = Result<T, E>> + Send,
            ) -> Result<T, E> {
                let [before, after] = self.failpoints();
                $crate::failpoint::pass(before).await?;
                let done = work.await?;
                $crate::failpoint::pass(after).await?;
                Ok(done)
            }
        }
    };
}

pub(crate) use steps;
