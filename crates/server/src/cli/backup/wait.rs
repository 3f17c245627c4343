//! Looks again and again until something has come about, and says on the way how far it is.

use std::time::Duration;

use ourkv_store::{Store, StoreError, Tx};

use crate::cli::output;

/// Between two looks at the store.
const EVERY: Duration = Duration::from_millis(100);

/// What a look found.
pub(super) enum Look<T> {
    /// It has come about.
    Done(T),
    /// It will not come about, for this reason.
    Failed(String),
    /// It is that far.
    At(String),
}

/// Waits as long as it takes; each step is said once, on standard error.
pub(super) async fn until<T: Send + 'static>(
    store: &Store,
    look: impl FnMut(&mut Tx<'_>) -> Result<Look<T>, StoreError> + Clone + Send + 'static,
) -> anyhow::Result<T> {
    let mut said = String::new();
    loop {
        match store.read(look.clone()).await? {
            Look::Done(found) => return Ok(found),
            Look::Failed(reason) => anyhow::bail!(reason),
            Look::At(step) if step == said => {}
            Look::At(step) => {
                output::say(&step);
                said = step;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
