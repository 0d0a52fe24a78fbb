//! What functions that have returned leave on a thread's stack, overwritten.

use std::hint::black_box;

/// Bytes overwritten by one call, below the limit from which a frame needs a probe of every page.
const FRAME: usize = 4 * 1024;
/// Calls, one within the other: half of a thread's 2 MiB, and several times what the deepest work here has used.
const FRAMES: usize = 256;

/// Overwrites the megabyte of stack below the caller. What stands there belongs to nobody any more: the copies of keys
/// that moving them has left are in it, and the C library keeps the stacks of ended threads for new ones.
pub(crate) fn wipe() {
    overwrite(FRAMES);
}

#[inline(never)]
fn overwrite(frames: usize) {
    let mut room = [0_u8; FRAME];
    black_box(&mut room);
    if let Some(less) = frames.checked_sub(1) {
        overwrite(less);
    }
    // Used after the call, so that this is no loop over one frame.
    black_box(&mut room);
}
