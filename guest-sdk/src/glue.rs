//! What the `policy!` macro expands to. No part of the public interface.

#[cfg(target_arch = "wasm32")]
mod instance {
    use std::cell::{Cell, RefCell};
    use std::panic::set_hook;
    use std::sync::Once;

    use crate::packed::{Bytes, Pack, Unpack};
    use crate::{Fault, Manifest, Policy, Query, Verdict, log, world};

    pub use crate::bindings::export;
    pub use crate::bindings::exports::intertrunk::policy::policy_api::Guest;

    /// Enough for most verdicts.
    const VERDICT_BYTES: usize = 256;

    /// The policy of this Wasm instance, once it is configured.
    pub struct Instance<P> {
        policy: RefCell<Option<P>>,
        /// The last packed query: the next is read into it.
        query: RefCell<Query>,
        /// The last packed verdict: the next takes its place.
        verdict: RefCell<Vec<u8>>,
        /// Where that is, and how many bytes it has.
        place: Cell<[usize; 2]>,
    }

    impl<P: Policy> Instance<P> {
        /// Not configured yet.
        pub const fn unconfigured() -> Self {
            Instance {
                policy: RefCell::new(None),
                query: RefCell::new(Query::BLANK),
                verdict: RefCell::new(Vec::new()),
                place: Cell::new([0; 2]),
            }
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
            if let Some(policy) = &*self.policy.borrow() {
                manifest.headers.extend(policy.headers());
            }
            manifest
        }

        /// Configures the policy, again if need be. Faulty settings leave it as it was.
        pub fn configure(&self, text: &str) -> Result<(), Vec<Fault>> {
            report_panics();
            *self.policy.borrow_mut() = Some(P::configure(text)?);
            #[cfg(feature = "allocator")]
            crate::ALLOCATOR.set_aside();
            Ok(())
        }

        /// Decides; a policy that was never configured has its defaults.
        pub fn decide(&self, query: &Query) -> Verdict {
            if self.policy.borrow().is_none() {
                report_panics();
                *self.policy.borrow_mut() = Some(P::default());
            }
            world::set_explaining(query.explain);
            self.policy
                .borrow()
                .as_ref()
                .expect("it was just configured")
                .decide(query)
        }

        /// The same, of a packed query; returns where the packed verdict's address and size are. That
        /// stays here, so that the host need not call once more to free it: the canonical ABI leaves
        /// `cabi_post_…` to the guest.
        ///
        /// # Safety
        /// The host has had `query` allocated, with this size, and lets go of it.
        #[allow(unsafe_code)]
        pub unsafe fn answer(&self, query: *mut u8, size: usize) -> *const [usize; 2] {
            wit_bindgen::rt::run_ctors_once();
            // SAFETY: the caller's; lists of bytes are allocated with the size that they have.
            let packed = unsafe { Vec::from_raw_parts(query, size, size) };
            let mut query = self.query.borrow_mut();
            query.unpack(&mut Bytes(&packed));
            let mut verdict = self.verdict.borrow_mut();
            verdict.clear();
            verdict.reserve(VERDICT_BYTES);
            self.decide(&query).pack(&mut verdict);
            // The host reads there.
            self.place
                .set([verdict.as_ptr().expose_provenance(), verdict.len()]);
            self.place.as_ptr()
        }
    }

    /// Tells the host's log what a panic said: a trap alone carries no message.
    fn report_panics() {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            set_hook(Box::new(|panic| {
                log::warn(&panic.to_string().replace('\n', " "));
            }));
        });
    }
}

#[cfg(target_arch = "wasm32")]
pub use instance::{Guest, Instance, export};
