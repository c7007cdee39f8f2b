//! Work that no call waits for, on threads that yield the processor to those of the shards: compiling,
//! configuring and trying a policy takes many times as long as a call.

use std::panic::resume_unwind;
use std::thread;

use crate::fault::LoadFault;

/// How much nicer than a shard: enough for a shard that wakes to take the processor at once, and not
/// so much that nothing is done beside other programs.
const NICER: i32 = 5;

/// Does `work` on such a thread and waits for it.
pub(crate) fn behind<T: Send>(
    work: impl FnOnce() -> Result<T, LoadFault> + Send,
) -> Result<T, LoadFault> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("policy-stage".to_owned());
        let worker = builder.spawn_scoped(scope, || {
            yield_to_shards();
            work()
        });
        let no_thread = |error| LoadFault::Engine(format!("no thread can be started: {error}"));
        let worker = worker.map_err(no_thread)?;
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Makes the threads that wasmtime compiles on such threads. They are the process's, and so this is
/// of no effect but the first time.
pub(crate) fn compile_behind() {
    let pool = rayon::ThreadPoolBuilder::new()
        .thread_name(|number| format!("policy-compile-{number}"))
        .start_handler(|_| yield_to_shards());
    let _has_been_made_before = pool.build_global();
}

/// Elsewhere than on Linux this would be of the whole process.
fn yield_to_shards() {
    #[cfg(target_os = "linux")]
    let _is_as_nice_as_can_be = rustix::process::nice(NICER);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).expect("a thread may ask for its own")
    }

    #[test]
    fn work_yields_and_who_waits_for_it_does_not() {
        let before = niceness();
        let nicer = (before + NICER).min(19);
        assert_eq!(behind(|| Ok(niceness())).expect("it is started"), nicer);
        assert_eq!(niceness(), before);
        compile_behind();
        assert_eq!(rayon::broadcast(|_| niceness())[0], nicer);
    }
}
