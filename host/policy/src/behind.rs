//! Work that no call waits for, on threads that yield the processor to those of the shards: compiling,
//! configuring and trying a policy takes many times as long as a call.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use crate::fault::LoadFault;

/// How much nicer than a shard: enough for a shard that wakes to take the processor at once, and not
/// so much that nothing is done beside other programs.
const NICER: i32 = 5;

/// Longer than the host's allocator keeps what was freed, for who may want it at once.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// Does `work` on such threads and waits for it. They end with it, so that what their allocator keeps
/// of a compilation goes to others, or back to the system.
pub(crate) fn behind<T: Send>(
    work: impl FnOnce() -> Result<T, LoadFault> + Send,
) -> Result<T, LoadFault> {
    let pool = rayon::ThreadPoolBuilder::new()
        .thread_name(|number| format!("policy-stage-{number}"))
        .start_handler(|_| yield_to_shards())
        .build();
    let no_thread = |error| LoadFault::Engine(format!("no thread can be started: {error}"));
    let done = pool.map_err(no_thread)?.install(work);
    give_back_later();
    done
}

/// Has the allocator give back to the system what a compilation took, a hundred megabytes and more. It
/// does so only when a thread needs memory or ends, and before there are calls none does.
fn give_back_later() {
    let later = thread::Builder::new().name("policy-sweep".to_owned());
    let _or_with_the_first_calls = later.spawn(|| {
        thread::sleep(KEPT_FOR);
        drop(black_box(vec![0_u8; 1 << 20]));
    });
}

/// Elsewhere than on Linux this would be of the whole process.
fn yield_to_shards() {
    #[cfg(target_os = "linux")]
    let _is_as_nice_as_can_be = rustix::process::nice(NICER);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::cell::Cell;
    use std::sync::mpsc::{RecvTimeoutError, Sender, channel};

    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).expect("a thread may ask for its own")
    }

    #[test]
    fn work_yields_and_who_waits_for_it_does_not() {
        let before = niceness();
        let nicer = (before + NICER).min(19);
        assert_eq!(behind(|| Ok(niceness())).expect("it is started"), nicer);
        let all = behind(|| Ok(rayon::broadcast(|_| niceness())));
        assert!(all.expect("they are started").iter().all(|it| *it == nicer));
        assert_eq!(niceness(), before);
    }

    #[test]
    fn threads_end_with_their_work() {
        thread_local!(static ENDS: Cell<Option<Sender<()>>> = const { Cell::new(None) });
        let (sender, ended) = channel();
        behind(|| {
            ENDS.set(Some(sender));
            Ok(())
        })
        .expect("it is started");
        let with_its_thread = ended.recv_timeout(Duration::from_secs(10));
        assert_eq!(with_its_thread, Err(RecvTimeoutError::Disconnected));
    }
}
