//! How an action fails: a documented refusal, or something that is our fault.

use ourkv_store::StoreError;
use ourkv_wire::Fault;

/// Why an action did not do what it was asked to.
///
/// The two kinds never mix: a fault is shown to the caller as it is, the chain of an internal
/// error is only logged.
#[derive(Debug)]
pub enum Failure {
    /// The caller is told this.
    Fault(Fault),
    /// The caller is told `ServiceUnavailable` and may try again; the log has the chain.
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
    /// The caller is told `InternalError`; the log has the chain.
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl Failure {
    /// Wraps an error that is not the caller's.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Failure {
    /// A database that is away or too busy will be back: clients retry on a 503. Anything else
    /// would only fail again.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } | StoreError::Conflict => {
                Self::Unavailable(Box::new(error))
            }
            StoreError::Constraint { .. }
            | StoreError::Statement { .. }
            | StoreError::Inconsistent { .. }
            | StoreError::Unreadable { .. }
            | StoreError::Superseded
            | StoreError::Panicked => Self::Internal(Box::new(error)),
        }
    }
}

/// Declares the refusals of an action: an enum, its vendor codes, and the list of them.
macro_rules! refusals {
    ($(#[$enum_doc:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $variant:ident = $status:literal $code:literal $message:literal,)+
    }) => {
        $(#[$enum_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, as they are answered.
            $vis const FAULTS: &'static [ourkv_wire::Fault] =
                &[$(ourkv_wire::Fault::fixed($status, $code, $message),)+];

            /// What the caller is told.
            $vis fn fault(self) -> ourkv_wire::Fault {
                match self { $(Self::$variant => ourkv_wire::Fault::fixed($status, $code, $message),)+ }
            }
        }

        impl From<$name> for ourkv_wire::Fault {
            fn from(refusal: $name) -> Self {
                refusal.fault()
            }
        }

        impl From<$name> for crate::actions::Failure {
            fn from(refusal: $name) -> Self {
                crate::actions::Failure::Fault(refusal.fault())
            }
        }
    };
}

pub(crate) use refusals;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_will_pass_is_worth_another_try() {
        let away = StoreError::Unavailable { detail: "connection refused".into() };
        for passing in [away, StoreError::Conflict] {
            assert!(matches!(Failure::from(passing), Failure::Unavailable(_)));
        }
        assert!(matches!(Failure::from(StoreError::Panicked), Failure::Internal(_)));
    }
}
