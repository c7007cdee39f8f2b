//! What the `policy!` macro expands to. No part of the public interface.

#[cfg(target_arch = "wasm32")]
mod instance {
    use std::cell::RefCell;
    use std::panic::set_hook;
    use std::sync::Once;

    use crate::{Fault, Manifest, Policy, Query, Verdict, log, world};

    pub use crate::bindings::export;
    pub use crate::bindings::exports::intertrunk::policy::packed::Guest as Packed;
    pub use crate::bindings::exports::intertrunk::policy::policy_api::Guest;

    /// Enough for most verdicts.
    const VERDICT_BYTES: usize = 256;

    /// The policy of this Wasm instance, once it is configured.
    pub struct Instance<P>(RefCell<Option<P>>);

    impl<P: Policy> Instance<P> {
        /// Not configured yet.
        pub const fn unconfigured() -> Self {
            Instance(RefCell::new(None))
        }

        /// The manifest with the crate's name and version, if the policy gave none, and with the headers
        /// of the settings, if there are settings yet.
        pub fn describe(&self, name: &str, version: &str) -> Manifest {
            report_panics();
            let mut manifest = P::describe();
            if manifest.name.is_empty() {
                manifest.name = name.to_owned();
            }
            if manifest.version.is_empty() {
                manifest.version = version.to_owned();
            }
            if let Some(policy) = &*self.0.borrow() {
                manifest.headers.extend(policy.headers());
            }
            manifest
        }

        /// Configures the policy, again if need be. Faulty settings leave it as it was.
        pub fn configure(&self, text: &str) -> Result<(), Vec<Fault>> {
            report_panics();
            *self.0.borrow_mut() = Some(P::configure(text)?);
            crate::ALLOCATOR.set_aside();
            Ok(())
        }

        /// Decides; a policy that was never configured has its defaults.
        pub fn decide(&self, query: &Query) -> Verdict {
            if self.0.borrow().is_none() {
                report_panics();
                *self.0.borrow_mut() = Some(P::default());
            }
            world::set_explaining(query.explain);
            self.0
                .borrow()
                .as_ref()
                .expect("it was just configured")
                .decide(query)
        }

        /// The same, of a packed query; the verdict is packed, too.
        pub fn decide_packed(&self, query: &[u8]) -> Vec<u8> {
            let query =
                postcard::from_bytes(query).expect("the host packs queries of this contract");
            let verdict = Vec::with_capacity(VERDICT_BYTES);
            postcard::to_extend(&self.decide(&query), verdict).expect("a vector takes all")
        }
    }

    /// Tells the host's log what a panic said: a trap alone carries no message.
    fn report_panics() {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            set_hook(Box::new(|panic| {
                log::warn(&panic.to_string().replace('\n', " "))
            }));
        });
    }
}

#[cfg(target_arch = "wasm32")]
pub use instance::{Guest, Instance, Packed, export};
