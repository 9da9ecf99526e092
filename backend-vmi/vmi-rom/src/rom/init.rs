//! `VMI_Init`.

use core::sync::atomic::Ordering;

use super::cpu::Cpu;
use super::interrupts_off::InterruptsOff;
use super::kvm::Kvm;
use super::settings::Settings;
use super::state::State;
use super::window;

const DONE: u32 = 0;
const FAILED: u32 = 1;

/// Finds out what the ROM works with. It fails, and has changed nothing, where the ROM's memory is not to
/// be found.
pub(super) extern "C" fn initialize() -> u32 {
    if !State::is_there() {
        return FAILED;
    }
    let interrupts_off = InterruptsOff::new();
    let state = State::get();
    let settings = Settings::read();
    state.kvm.set(if settings.kvm { Kvm::find() } else { None });
    state
        .counting
        .store(u32::from(settings.count), Ordering::Relaxed);
    state
        .no_lazy
        .store(u32::from(settings.no_lazy), Ordering::Relaxed);
    window::open(state);
    let can_start = state.start.prepare(state);
    state.can_start.store(can_start.into(), Ordering::Relaxed);
    let cpu = Cpu::current(state, &interrupts_off);
    if settings.no_timer {
        state.clock.stop();
    } else {
        state.clock.start(state, cpu);
        state.wallclock.start(state, cpu);
    }
    DONE
}
