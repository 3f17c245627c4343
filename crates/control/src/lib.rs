//! What makes intent true.
//!
//! The [`reconciler`] reads what should be from the store and what is from a [`substrate`], and
//! drives the one towards the other; [`engine`] knows the engines themselves, [`dns`] answers the
//! names of endpoints, [`jobs`] turn dates into changes of intent, the [`guard`] lets in whom
//! whitelists name. A substrate never sees the store: it is told, and it reports.

pub mod backup;
pub mod dns;
pub mod engine;
pub mod failpoint;
pub mod guard;
pub mod jobs;
pub mod reconciler;
pub mod substrate;
