//! The allocator of a guest: small pieces from lists of their size, all else from the allocator of
//! the standard library.
//!
//! A decision is some dozen short strings that come and go. The standard library's allocator keeps a
//! header beside each piece and joins neighbours that are free, which was a sixth of a decision. Here a
//! piece that is freed becomes the head of a list, from where the next of its size is taken. Small
//! pieces are never joined, so that a guest keeps as many of each size as it once had at the same time.
//!
//! What `configure` frees lies all over the memory. Each page that a decision writes to costs a fresh
//! instance a copy of it, so decisions begin with a chunk of their own ([`Allocator::set_aside`]).

// Raw memory is what an allocator deals in.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// Sizes of small pieces are multiples of this, which is also how they are aligned, bytes.
const STEP: usize = 16;
/// Lists of free pieces: the largest is of 512 bytes.
const LISTS: usize = 32;
/// What is taken from the standard library at once for small pieces, bytes.
const CHUNK: usize = 8 << 10;

/// The guest's allocator.
pub(crate) struct Allocator(UnsafeCell<Lists>);

struct Lists {
    /// Free pieces of one to [`LISTS`] steps. Each begins with the address of the next.
    free: [*mut u8; LISTS],
    /// The same, of what was set aside: taken when a chunk is used up.
    aside: [*mut u8; LISTS],
    /// The rest of the last chunk.
    rest: *mut u8,
    rest_bytes: usize,
}

// SAFETY: the guest has one thread, and nothing here calls back.
unsafe impl Sync for Allocator {}

impl Allocator {
    /// Without memory; it takes some when it is asked.
    pub(crate) const fn new() -> Self {
        Allocator(UnsafeCell::new(Lists {
            free: [null_mut(); LISTS],
            aside: [null_mut(); LISTS],
            rest: null_mut(),
            rest_bytes: 0,
        }))
    }

    /// Sets what is free aside, and takes a chunk for what comes.
    pub(crate) fn set_aside(&self) {
        // SAFETY: one thread, and no other borrow lives on.
        let lists = unsafe { &mut *self.0.get() };
        lists.take_chunk();
        for (aside, free) in lists.aside.iter_mut().zip(&mut lists.free) {
            if aside.is_null() {
                (*aside, *free) = (*free, null_mut());
            }
        }
    }
}

/// The list of pieces that a layout fits in; none if it is too large. No layout has size 0.
const fn list_of(layout: Layout) -> Option<usize> {
    let list = (layout.size() - 1) / STEP;
    match list < LISTS && layout.align() <= STEP {
        true => Some(list),
        false => None,
    }
}

impl Lists {
    /// Takes a piece of the rest of the chunk, of what was set aside, or of a new chunk; null if there
    /// is no memory.
    #[cold]
    fn carve(&mut self, list: usize) -> *mut u8 {
        let bytes = (list + 1) * STEP;
        if self.rest_bytes < bytes {
            let piece = self.aside[list];
            if !piece.is_null() {
                // SAFETY: a free piece begins with the address of the next.
                self.aside[list] = unsafe { piece.cast::<*mut u8>().read() };
                return piece;
            }
            if !self.take_chunk() {
                return null_mut();
            }
        }
        let piece = self.rest;
        // SAFETY: the rest has as many bytes.
        self.rest = unsafe { piece.add(bytes) };
        self.rest_bytes -= bytes;
        piece
    }

    /// Exchanges the rest of the chunk for another chunk; false if there is no memory.
    fn take_chunk(&mut self) -> bool {
        // SAFETY: the size is not zero.
        let chunk = unsafe { System.alloc(Layout::from_size_align_unchecked(CHUNK, STEP)) };
        if chunk.is_null() {
            return false;
        }
        while self.rest_bytes > 0 {
            let steps = (self.rest_bytes / STEP).min(LISTS);
            // SAFETY: what is left is pieces of that many steps, and nobody's.
            unsafe {
                self.put(steps - 1, self.rest);
                self.rest = self.rest.add(steps * STEP);
            }
            self.rest_bytes -= steps * STEP;
        }
        (self.rest, self.rest_bytes) = (chunk, CHUNK);
        true
    }

    /// # Safety
    /// `piece` is of that list's size, and no longer anybody's.
    #[inline]
    unsafe fn put(&mut self, list: usize, piece: *mut u8) {
        // SAFETY: each piece is aligned to `STEP`, and has room for an address.
        unsafe { piece.cast::<*mut u8>().write(self.free[list]) };
        self.free[list] = piece;
    }
}

// SAFETY: pieces of a list are as large as its index says, aligned to `STEP`, and belong to one owner
// until they are freed with the same layout, which names the same list.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(list) = list_of(layout) else {
            // SAFETY: the caller's.
            return unsafe { System.alloc(layout) };
        };
        // SAFETY: one thread, and no other borrow lives on.
        let lists = unsafe { &mut *self.0.get() };
        let piece = lists.free[list];
        if piece.is_null() {
            return lists.carve(list);
        }
        // SAFETY: a free piece begins with the address of the next.
        lists.free[list] = unsafe { piece.cast::<*mut u8>().read() };
        piece
    }

    #[inline]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match list_of(layout) {
            // SAFETY: it came from this list.
            Some(list) => unsafe { (*self.0.get()).put(list, piece) },
            // SAFETY: it came from there.
            None => unsafe { System.dealloc(piece, layout) },
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if list_of(layout).is_none() {
            // SAFETY: the caller's.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's; there are as many bytes.
        unsafe {
            let piece = self.alloc(layout);
            if !piece.is_null() {
                piece.write_bytes(0, layout.size());
            }
            piece
        }
    }

    #[inline]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches for the size.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (list_of(layout), list_of(new)) {
            (Some(old), Some(new)) if old == new => piece,
            // SAFETY: it came from there.
            (None, None) => unsafe { System.realloc(piece, layout, size) },
            // SAFETY: both have the bytes that are copied, and are two.
            _ => unsafe {
                let to = self.alloc(new);
                if !to.is_null() {
                    to.copy_from_nonoverlapping(piece, layout.size().min(size));
                    self.dealloc(piece, layout);
                }
                to
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("it is a layout")
    }

    /// A piece with what was written into all of it.
    struct Piece {
        at: *mut u8,
        layout: Layout,
        filled: u8,
    }

    impl Piece {
        fn new(allocator: &Allocator, layout: Layout, filled: u8) -> Piece {
            // SAFETY: no size here is zero.
            let at = unsafe { allocator.alloc(layout) };
            assert!(!at.is_null());
            assert_eq!(at.align_offset(layout.align()), 0, "{layout:?}");
            // SAFETY: it has as many bytes.
            unsafe { at.write_bytes(filled, layout.size()) };
            Piece { at, layout, filled }
        }

        fn holds(&self, bytes: usize) -> bool {
            // SAFETY: all of it was written.
            unsafe { std::slice::from_raw_parts(self.at, bytes) }
                .iter()
                .all(|byte| *byte == self.filled)
        }

        fn free(self, allocator: &Allocator) {
            assert!(self.holds(self.layout.size()), "{:?}", self.layout);
            // SAFETY: it is of this allocator and this layout.
            unsafe { allocator.dealloc(self.at, self.layout) };
        }
    }

    #[test]
    fn pieces_do_not_overlap() {
        let allocator = Allocator::new();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut state = 1_u32;
        for step in 0..20_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if step % 3 == 2 && !pieces.is_empty() {
                let at = state as usize % pieces.len();
                pieces.swap_remove(at).free(&allocator);
            } else {
                let (size, align) = (1 + (state >> 8) as usize % 700, 1 << (state >> 24 & 5));
                pieces.push(Piece::new(&allocator, layout(size, align), step as u8));
            }
            if step % 5000 == 4999 {
                allocator.set_aside();
            }
        }
        for piece in pieces {
            piece.free(&allocator);
        }
    }

    #[test]
    fn a_piece_that_was_freed_is_the_next_of_its_size() {
        let allocator = Allocator::new();
        let [a, b] = [1, 2].map(|fill| Piece::new(&allocator, layout(17, 1), fill));
        let (first, second) = (a.at, b.at);
        a.free(&allocator);
        b.free(&allocator);
        let [c, d] = [3, 4].map(|fill| Piece::new(&allocator, layout(32, 8), fill));
        assert_eq!((c.at, d.at), (second, first));
        c.free(&allocator);
        d.free(&allocator);
    }

    #[test]
    fn what_was_set_aside_is_taken_when_the_chunk_is_used_up() {
        let allocator = Allocator::new();
        let old = Piece::new(&allocator, layout(512, 1), 1);
        let at = old.at;
        old.free(&allocator);
        allocator.set_aside();
        let next = |_| Piece::new(&allocator, layout(512, 1), 2);
        let pieces: Vec<Piece> = (0..2 * CHUNK / 512).map(next).collect();
        let (of_chunk, later) = pieces.split_at(CHUNK / 512);
        assert!(of_chunk.iter().all(|piece| piece.at != at));
        assert!(later.iter().any(|piece| piece.at == at));
        pieces.into_iter().for_each(|piece| piece.free(&allocator));
    }

    #[test]
    fn a_piece_keeps_its_bytes_when_it_grows_and_shrinks() {
        let allocator = Allocator::new();
        let mut piece = Piece::new(&allocator, layout(10, 1), 7);
        for size in [16, 17, 500, 512, 513, 5000, 600, 40, 3] {
            // SAFETY: it is of this allocator and this layout.
            piece.at = unsafe { allocator.realloc(piece.at, piece.layout, size) };
            assert!(piece.holds(size.min(piece.layout.size())), "{size}");
            piece.layout = layout(size, 1);
            // SAFETY: it has as many bytes.
            unsafe { piece.at.write_bytes(piece.filled, size) };
        }
        piece.free(&allocator);
    }

    #[test]
    fn zeroed_is_zeroed_after_others() {
        let allocator = Allocator::new();
        Piece::new(&allocator, layout(100, 1), 9).free(&allocator);
        for size in [100, 1000] {
            let layout = layout(size, 1);
            // SAFETY: no size here is zero.
            let at = unsafe { allocator.alloc_zeroed(layout) };
            let piece = Piece {
                at,
                layout,
                filled: 0,
            };
            piece.free(&allocator);
        }
    }
}
