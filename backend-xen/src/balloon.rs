//! The balloon: memory that the kernel does without, so that other domains can have it.
//!
//! The toolstack writes to the node `memory/target` how large it wants the domain to be. The kernel
//! watches the node, tells [`Balloon::set_target`], and takes [steps](Balloon::step) until the target is
//! reached. A step never takes long; after one that fails, let some time pass.
//!
//! Xen's docs/misc/xenstore-paths.pandoc for the nodes, public/memory.h for the calls.

use core::fmt;

use crate::error::XenError;
use crate::memory::{self, FrameNumber};
#[cfg(target_arch = "x86_64")]
use crate::{is_pv, pv};

/// What only the kernel can do: find frames that it can do without.
///
/// # Safety
///
/// Nobody uses a frame from [`take`](Self::take) until it is [given back](Self::give_back).
pub unsafe trait SpareFrames {
    /// A frame, by the guest's own number, or `None` if there is none to spare. Its content may come
    /// to be another domain's, so clear it if it is a secret.
    fn take(&mut self) -> Option<FrameNumber>;

    /// Takes a frame back. It holds anything.
    fn give_back(&mut self, frame: FrameNumber);
}

/// How memory goes to Xen and comes back: [`KernelReservation`] as a rule. Frames have the guest's own
/// numbers, in PV guests too.
pub trait Reservation {
    /// Gives away the memory of frames. Of how many, the first ones; the others are as before.
    ///
    /// # Errors
    ///
    /// Of none.
    ///
    /// # Safety
    ///
    /// Nobody uses the frames.
    unsafe fn decrease(&mut self, frames: &[FrameNumber]) -> Result<usize, XenError>;

    /// Gets memory for frames. For how many, the first ones.
    ///
    /// # Errors
    ///
    /// For none.
    ///
    /// # Safety
    ///
    /// The frames have no memory: it was given away.
    unsafe fn populate(&mut self, frames: &[FrameNumber]) -> Result<usize, XenError>;
}

/// The balloon. The kernel keeps it in one task, or behind a lock.
pub struct Balloon<'memory> {
    /// Frames without memory, in the first `out_count`.
    out: &'memory mut [FrameNumber],
    out_count: usize,
    frames: u64,
    overhead_frames: u64,
    target: u64,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// The domain is as large as it should be, or as large as it was at first.
    Reached,
    /// So many frames went or came. Take another step.
    Moved(usize),
}

/// Why a step has come nowhere. All of them may pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BalloonError {
    /// The kernel has no frame to spare.
    NoneToSpare,
    /// There is no room to note more frames that are out.
    NoRoom,
    /// Xen refuses: it has no memory, for one.
    Xen(XenError),
    /// Xen has done nothing, and does not say why.
    NothingDone,
}

/// At most so many frames in a step.
pub const STEP_FRAMES: usize = 64;

impl fmt::Debug for Balloon<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Balloon")
            .field("frames", &self.frames)
            .field("target", &self.target)
            .field("out_count", &self.out_count)
            .finish_non_exhaustive()
    }
}

impl<'memory> Balloon<'memory> {
    /// A balloon with nothing in it.
    ///
    /// `frames` is how many the kernel has. `overhead_frames` is how many more the toolstack counts:
    /// see [`overhead_frames`]. `out` has room for the numbers of all frames that can be out at a time.
    pub fn new(frames: u64, overhead_frames: u64, out: &'memory mut [FrameNumber]) -> Self {
        Balloon {
            out,
            out_count: 0,
            frames,
            overhead_frames,
            target: frames,
        }
    }

    /// How large the domain should be, as `memory/target` says. It never becomes larger than it was at
    /// first.
    pub fn set_target(&mut self, target_kib: u64) {
        let most = self.frames + self.out_count as u64;
        self.target = (target_kib / FRAME_KIB)
            .saturating_sub(self.overhead_frames)
            .min(most);
    }

    /// How many frames the kernel has.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Comes nearer to the target by [`STEP_FRAMES`] at most. In the contexts in which the kernel can give
    /// up frames, but not in an interrupt handler.
    ///
    /// # Errors
    ///
    /// It can't just now. Nothing is lost.
    pub fn step(
        &mut self,
        kernel: &mut impl SpareFrames,
        reservation: &mut impl Reservation,
    ) -> Result<Progress, BalloonError> {
        let missing = self.target.abs_diff(self.frames);
        let count = usize::try_from(missing).map_or(STEP_FRAMES, |count| count.min(STEP_FRAMES));
        let moved = if missing == 0 {
            return Ok(Progress::Reached);
        } else if self.frames > self.target {
            self.inflate(count, kernel, reservation)?
        } else {
            self.deflate(count, kernel, reservation)?
        };
        Ok(Progress::Moved(moved))
    }

    fn inflate(
        &mut self,
        count: usize,
        kernel: &mut impl SpareFrames,
        reservation: &mut impl Reservation,
    ) -> Result<usize, BalloonError> {
        let room = &mut self.out[self.out_count..];
        let room_count = room.len().min(count);
        if room_count == 0 {
            return Err(BalloonError::NoRoom);
        }
        let mut taken = 0;
        while let Some(slot) = room[..room_count].get_mut(taken)
            && let Some(frame) = kernel.take()
        {
            *slot = frame;
            taken += 1;
        }
        if taken == 0 {
            return Err(BalloonError::NoneToSpare);
        }
        let frames = &room[..taken];
        // SAFETY: the kernel has handed the frames over.
        let result = unsafe { reservation.decrease(frames) };
        let done = result.map_or(0, |done| done.min(taken));
        for &frame in &frames[done..] {
            kernel.give_back(frame);
        }
        self.out_count += done;
        self.frames = self.frames.saturating_sub(done as u64);
        moved(result, done)
    }

    fn deflate(
        &mut self,
        count: usize,
        kernel: &mut impl SpareFrames,
        reservation: &mut impl Reservation,
    ) -> Result<usize, BalloonError> {
        let first = self.out_count.saturating_sub(count);
        let frames = &mut self.out[first..self.out_count];
        // SAFETY: their memory was given away.
        let result = unsafe { reservation.populate(frames) };
        let done = result.map_or(0, |done| done.min(frames.len()));
        for &frame in &frames[..done] {
            kernel.give_back(frame);
        }
        frames.rotate_left(done);
        self.out_count -= done;
        self.frames += done as u64;
        moved(result, done)
    }
}

/// How many frames more than the kernel the toolstack counts in a domain of PVH or HVM, where firmware
/// and devices have some: from the node `memory/static-max` and the memory map at boot. In PV guests it
/// is 0.
pub fn overhead_frames(static_max_kib: u64, frames: u64) -> u64 {
    (static_max_kib / FRAME_KIB).saturating_sub(frames)
}

/// The value of a node with a number of KiB.
pub fn parse_kib(value: &[u8]) -> Option<u64> {
    core::str::from_utf8(value).ok()?.parse().ok()
}

/// How the kernel's own frames do it, in the direct map. A frame without memory is a hole: in PVH and HVM
/// guests among the guest's frames, in PV guests in the page tables.
#[derive(Clone, Copy, Debug)]
pub struct KernelReservation;

impl Reservation for KernelReservation {
    unsafe fn decrease(&mut self, frames: &[FrameNumber]) -> Result<usize, XenError> {
        // SAFETY: as the caller vouches.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            if is_pv() {
                return pv::own_frames::decrease(frames);
            }
            memory::decrease_reservation(frames, 0)
        }
    }

    unsafe fn populate(&mut self, frames: &[FrameNumber]) -> Result<usize, XenError> {
        #[cfg(target_arch = "x86_64")]
        if is_pv() {
            // SAFETY: as the caller vouches.
            return unsafe { pv::own_frames::populate(frames) };
        }
        // Xen may write what it is given.
        let mut numbers = [FrameNumber(0); STEP_FRAMES];
        let count = frames.len().min(STEP_FRAMES);
        let numbers = &mut numbers[..count];
        numbers.copy_from_slice(&frames[..count]);
        // SAFETY: as the caller vouches.
        unsafe { memory::populate_physmap(numbers, 0) }
    }
}

const FRAME_KIB: u64 = 4;

fn moved(result: Result<usize, XenError>, done: usize) -> Result<usize, BalloonError> {
    match result {
        Err(error) => Err(BalloonError::Xen(error)),
        Ok(_) if done == 0 => Err(BalloonError::NothingDone),
        Ok(_) => Ok(done),
    }
}

impl fmt::Display for BalloonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            BalloonError::NoneToSpare => "the kernel has no frame to spare",
            BalloonError::NoRoom => "no more frames can be out",
            BalloonError::Xen(error) => return error.fmt(formatter),
            BalloonError::NothingDone => "Xen moves no frame",
        })
    }
}

impl core::error::Error for BalloonError {}
