//! Compiled code on disk: taken where it is whole, compiled anew where it is not, and never from a
//! folder that others can write to.

use std::fs::{self, DirBuilder, Permissions};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use intertrunk_policy::{Cache, CacheFault, CacheRules, Engine, Runner, Slot};

use crate::guests::{EXTENSIONS, HOSTILE, ask, options, trunks, world};

const AMPLE: u64 = 1 << 30;

/// A folder of ours alone, whatever the umask, and gone afterwards.
struct Folder(PathBuf);

fn folder(name: &str) -> Folder {
    let name = format!("intertrunk-cache-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    DirBuilder::new().mode(0o700).create(&folder).unwrap();
    Folder(folder)
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _wasmtime_may_be_writing = fs::remove_dir_all(&self.0);
    }
}

fn open(dir: &Path, max_bytes: u64) -> Result<Cache, CacheFault> {
    let dir = dir.to_owned();
    Cache::open(&CacheRules { dir, max_bytes })
}

/// A new engine, as after a restart, with `wasm` live.
fn started(dir: &Path, max_bytes: u64, wasm: &[u8]) -> (Engine, Slot) {
    let engine = Engine::with_cache(Some(open(dir, max_bytes).unwrap())).unwrap();
    let slot = Slot::new(&engine, "main", options());
    slot.stage(wasm, "", &world(), &[]).unwrap();
    slot.promote().unwrap();
    (engine, slot)
}

/// How often code was found and how often it was compiled, after a start with the policy of
/// extensions, which decides.
fn found_and_compiled(dir: &Path) -> (usize, usize) {
    let (engine, slot) = started(dir, AMPLE, &EXTENSIONS);
    let answer = ask(&mut Runner::new(&engine), &slot, None, "+14255550100");
    assert_eq!(trunks(&answer), ["pbx-a"]);
    let cache = engine.cache().unwrap();
    (cache.hits(), cache.misses())
}

/// Compiled code in the folder.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let compilers = fs::read_dir(dir.join("code/modules")).unwrap();
    let entries = compilers.flat_map(|it| fs::read_dir(it.unwrap().path()).unwrap());
    let mut entries: Vec<_> = entries.map(|it| it.unwrap().path()).collect();
    entries.retain(|path| path.extension().is_none());
    entries
}

#[test]
fn a_module_is_compiled_once() {
    let dir = folder("once");
    assert_eq!(found_and_compiled(&dir), (0, 1));
    assert_eq!(found_and_compiled(&dir), (1, 0));
    assert_eq!(found_and_compiled(&dir), (1, 0));
}

#[test]
fn damaged_code_is_compiled_anew() {
    let dir = folder("damaged");
    let other = folder("other");
    drop(started(&other, AMPLE, &HOSTILE));
    let of_another = fs::read(&entries(&other)[0]).unwrap();
    assert_eq!(found_and_compiled(&dir), (0, 1));
    let entry = entries(&dir).remove(0);
    let whole = fs::read(&entry).unwrap();

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let zeroed = vec![0; whole.len()];
    let cut = &whole[..whole.len() / 2];
    // The last is code that runs, but not this module's.
    for damage in [&[], cut, &zeroed, &flipped, &of_another] {
        fs::write(&entry, damage).unwrap();
        assert_eq!(found_and_compiled(&dir), (0, 1));
        assert_eq!(found_and_compiled(&dir), (1, 0));
    }
    // What was cut short after the code was written, and before its sum.
    fs::remove_dir_all(dir.join("sums")).unwrap();
    assert_eq!(found_and_compiled(&dir), (0, 1));
}

#[test]
fn damage_is_found_without_a_restart() {
    let dir = folder("live");
    let (engine, slot) = started(&dir, AMPLE, &EXTENSIONS);
    fs::write(&entries(&dir)[0], "no code").unwrap();
    drop(slot);
    let slot = Slot::new(&engine, "main", options());
    slot.stage(&EXTENSIONS, "", &world(), &[]).unwrap();
    let cache = engine.cache().unwrap();
    assert_eq!((cache.hits(), cache.misses()), (0, 2));
}

/// Nobody else may choose what runs: neither in the folder nor in place of it.
#[test]
fn a_folder_of_others_is_refused() {
    let above = folder("exposed");
    let dir = above.join("cache");
    DirBuilder::new().mode(0o700).create(&dir).unwrap();
    for exposed in [dir.as_path(), &above] {
        for mode in [0o777, 0o775] {
            fs::set_permissions(exposed, Permissions::from_mode(mode)).unwrap();
            let fault = open(&dir, AMPLE).unwrap_err().to_string();
            assert!(fault.contains("can be written to by others"), "{fault}");
            let remedy = format!("run `chmod go-w {}`", exposed.display());
            assert!(fault.ends_with(&remedy), "{fault}");
        }
        fs::set_permissions(exposed, Permissions::from_mode(0o755)).unwrap();
        open(&dir, AMPLE).unwrap();
    }
    // What wasmtime makes below it is shut away, whatever the umask.
    let code = fs::metadata(dir.join("code")).unwrap().permissions();
    assert_eq!(code.mode() & 0o777, 0o700);
    // In /tmp nobody puts anything in place of what is ours.
    fs::set_permissions(&*above, Permissions::from_mode(0o1777)).unwrap();
    open(&dir, AMPLE).unwrap();
}

#[test]
fn what_cannot_be_a_folder_is_named() {
    let folder = folder("file");
    let dir = folder.join("file");
    fs::write(&dir, "").unwrap();
    let fault = open(&dir, AMPLE).unwrap_err();
    assert!(matches!(fault, CacheFault::Unusable { .. }), "{fault}");
    assert!(fault.to_string().contains("cannot be used"), "{fault}");
}

#[test]
fn the_oldest_code_makes_room() {
    let dir = folder("bounded");
    drop(started(&dir, AMPLE, &EXTENSIONS));
    let first = entries(&dir).remove(0);
    let room = fs::metadata(&first).unwrap().len() + 1;
    let (_engine, _slot) = started(&dir, room, &HOSTILE);
    // wasmtime makes room on a thread of its own.
    let give_up = Instant::now() + Duration::from_secs(60);
    while first.exists() {
        assert!(Instant::now() < give_up, "{:?}", entries(&dir));
        std::thread::yield_now();
    }
}
