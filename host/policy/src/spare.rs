//! Spare instances for policies whose `configure` takes longer than a shard may wait.
//!
//! Staging makes one for each shard; when a shard has used up the last, the builder thread makes
//! another, and until then that shard's fallback decides. A policy that configures quickly needs
//! none of this: its instances are made where they are needed.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Weak};
use std::thread;

use crate::generation::Generation;
use crate::world::World;

/// A wish for one more spare of a generation.
pub(crate) struct Refill {
    /// Of which; a generation that is gone by then needs none.
    pub generation: Weak<Generation>,
    /// What the instance may ask while it is configured.
    pub world: Arc<dyn World>,
}

/// Starts the builder. It stops when nobody can ask for a spare any more.
pub(crate) fn start() -> std::io::Result<Sender<Refill>> {
    let (refills, wanted) = mpsc::channel::<Refill>();
    thread::Builder::new()
        .name("policy-builder".to_owned())
        .spawn(move || {
            for refill in wanted {
                if let Some(generation) = refill.generation.upgrade() {
                    generation.add_spare(&refill.world);
                }
            }
        })?;
    Ok(refills)
}
