//! The balloon against a kernel with little to spare and a Xen that does what it likes.

use std::collections::BTreeSet;

use proptest::prelude::*;
use pvops_backend_xen::balloon::{
    Balloon, BalloonError, Progress, Reservation, STEP_FRAMES, SpareFrames, overhead_frames,
    parse_kib,
};
use pvops_backend_xen::memory::FrameNumber;
use pvops_backend_xen::{Word, XenError};

/// The frames of a machine: each is free, in use or out.
struct Machine {
    free: Vec<Word>,
    has_memory: BTreeSet<Word>,
}

struct Kernel<'machine>(&'machine mut Vec<Word>);

// SAFETY: there is no memory.
unsafe impl SpareFrames for Kernel<'_> {
    fn take(&mut self) -> Option<FrameNumber> {
        self.0.pop().map(FrameNumber)
    }

    fn give_back(&mut self, frame: FrameNumber) {
        assert!(!self.0.contains(&frame.0), "given back twice");
        self.0.push(frame.0);
    }
}

/// What Xen answers next; all is done at the end of these.
struct Xen<'machine> {
    has_memory: &'machine mut BTreeSet<Word>,
    answer: Answer,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    All,
    Some(usize),
    Refusal,
    /// It says that it did more than it was asked.
    Lie(usize),
}

impl Xen<'_> {
    fn count(&self, asked: usize) -> Result<(usize, usize), XenError> {
        match self.answer {
            Answer::All => Ok((asked, asked)),
            Answer::Some(count) => Ok((count.min(asked), count.min(asked))),
            Answer::Refusal => Err(XenError::OUT_OF_MEMORY),
            Answer::Lie(more) => Ok((asked, asked.saturating_add(more))),
        }
    }
}

impl Reservation for Xen<'_> {
    unsafe fn decrease(&mut self, frames: &[FrameNumber]) -> Result<usize, XenError> {
        assert!(frames.len() <= STEP_FRAMES);
        let (done, answer) = self.count(frames.len())?;
        for frame in &frames[..done] {
            assert!(self.has_memory.remove(&frame.0), "given away twice");
        }
        Ok(answer)
    }

    unsafe fn populate(&mut self, frames: &[FrameNumber]) -> Result<usize, XenError> {
        assert!(frames.len() <= STEP_FRAMES);
        let (done, answer) = self.count(frames.len())?;
        for frame in &frames[..done] {
            assert!(self.has_memory.insert(frame.0), "it has memory");
        }
        Ok(answer)
    }
}

const FRAMES: u64 = 500;

impl Machine {
    /// Of which so many can be spared.
    fn with_free(free: u64) -> Self {
        Machine {
            free: (0..free as Word).collect(),
            has_memory: (0..FRAMES as Word).collect(),
        }
    }

    fn step(
        &mut self,
        balloon: &mut Balloon<'_>,
        answer: Answer,
    ) -> Result<Progress, BalloonError> {
        let mut xen = Xen {
            has_memory: &mut self.has_memory,
            answer,
        };
        let result = balloon.step(&mut Kernel(&mut self.free), &mut xen);
        assert_eq!(balloon.frames(), self.has_memory.len() as u64);
        assert!(
            self.free
                .iter()
                .all(|frame| self.has_memory.contains(frame))
        );
        result
    }

    /// Steps until nothing moves.
    fn settle(&mut self, balloon: &mut Balloon<'_>) -> Result<Progress, BalloonError> {
        loop {
            match self.step(balloon, Answer::All) {
                Ok(Progress::Moved(_)) => {}
                end => return end,
            }
        }
    }
}

#[test]
fn it_reaches_the_target_and_comes_back() {
    let mut machine = Machine::with_free(400);
    let mut out = [FrameNumber(0); 400];
    let mut balloon = Balloon::new(FRAMES, 0, &mut out);
    assert_eq!(machine.settle(&mut balloon), Ok(Progress::Reached));
    for (kib, frames) in [
        (1200, 300),
        (1203, 300),
        (400, 100),
        (1999, 499),
        (2000, 500),
    ] {
        balloon.set_target(kib);
        assert_eq!(machine.settle(&mut balloon), Ok(Progress::Reached));
        assert_eq!(balloon.frames(), frames);
    }
    // Not more than at first.
    for kib in [2004, u64::MAX] {
        balloon.set_target(kib);
        assert_eq!(machine.settle(&mut balloon), Ok(Progress::Reached));
        assert_eq!(balloon.frames(), FRAMES);
    }
    machine.free.sort_unstable();
    assert!(machine.free.into_iter().eq(0..400));
}

#[test]
fn what_the_toolstack_counts_more_is_not_the_kernels() {
    let mut machine = Machine::with_free(400);
    let mut out = [FrameNumber(0); 400];
    let overhead = overhead_frames(2200, FRAMES);
    assert_eq!(overhead, 50);
    let mut balloon = Balloon::new(FRAMES, overhead, &mut out);
    balloon.set_target(2200);
    assert_eq!(
        machine.step(&mut balloon, Answer::All),
        Ok(Progress::Reached)
    );
    balloon.set_target(2100);
    assert_eq!(machine.settle(&mut balloon), Ok(Progress::Reached));
    assert_eq!(balloon.frames(), FRAMES - 25);
    assert_eq!(overhead_frames(100, FRAMES), 0);
}

#[test]
fn what_is_in_the_way_is_told() {
    let mut machine = Machine::with_free(70);
    let mut out = [FrameNumber(0); 100];
    let mut balloon = Balloon::new(FRAMES, 0, &mut out);
    balloon.set_target(0);
    assert_eq!(machine.settle(&mut balloon), Err(BalloonError::NoneToSpare));
    assert_eq!(balloon.frames(), FRAMES - 70);
    machine.free.extend(100..200);
    assert_eq!(machine.settle(&mut balloon), Err(BalloonError::NoRoom));
    assert_eq!(balloon.frames(), FRAMES - 100);
    balloon.set_target(2000);
    let refusal = machine.step(&mut balloon, Answer::Refusal);
    assert_eq!(refusal, Err(BalloonError::Xen(XenError::OUT_OF_MEMORY)));
    let nothing = machine.step(&mut balloon, Answer::Some(0));
    assert_eq!(nothing, Err(BalloonError::NothingDone));
    assert_eq!(machine.settle(&mut balloon), Ok(Progress::Reached));
}

#[test]
fn a_number_is_all_digits() {
    assert_eq!(parse_kib(b"1048576"), Some(1 << 20));
    for value in [
        &b""[..],
        b"-1",
        b"1 ",
        b"0x10",
        b"99999999999999999999",
        b"\xff",
    ] {
        assert_eq!(parse_kib(value), None, "{value:?}");
    }
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::All),
        (0..STEP_FRAMES).prop_map(Answer::Some),
        Just(Answer::Refusal),
        prop_oneof![1..100_usize, Just(usize::MAX)].prop_map(Answer::Lie),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever Xen answers, no frame is lost, and with a Xen that works again all is well.
    #[test]
    #[cfg_attr(miri, ignore = "slow, and the balloon has no memory of its own")]
    fn no_frame_is_lost(
        free in 0..FRAMES,
        room in 0..600_usize,
        steps in prop::collection::vec((prop::option::of(0..2500_u64), answer()), 1..60),
        last in 0..2500_u64,
    ) {
        let mut machine = Machine::with_free(free);
        let mut out = vec![FrameNumber(Word::MAX); room];
        let mut balloon = Balloon::new(FRAMES, 0, &mut out);
        for (target, answer) in steps {
            if let Some(kib) = target {
                balloon.set_target(kib);
            }
            let before = balloon.frames();
            if let Ok(Progress::Moved(count)) = machine.step(&mut balloon, answer) {
                prop_assert_eq!(before.abs_diff(balloon.frames()), count as u64);
            } else {
                prop_assert_eq!(before, balloon.frames());
            }
            let in_use = FRAMES - free;
            prop_assert_eq!(machine.free.len() as u64 + in_use, balloon.frames());
        }
        balloon.set_target(last);
        let end = machine.settle(&mut balloon);
        let wanted = (last / 4).min(FRAMES);
        let possible = FRAMES - free.min(room as u64);
        prop_assert_eq!(balloon.frames(), wanted.max(possible));
        prop_assert_eq!(end.is_ok(), wanted >= possible);
    }
}
