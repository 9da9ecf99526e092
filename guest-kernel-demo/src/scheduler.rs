//! Which task runs where. Tasks take turns in one queue for all CPUs: threads of the kernel when they
//! yield, programs also when their time is over.

use core::mem;
use core::sync::atomic::Ordering;

use pvops_backend_kvm::async_page_fault::Token;
use pvops_core::cpu_set::CpuSet;
use pvops_core::lock::{Mutex, MutexGuard};
use pvops_core::{cpu, irq, mmu, smp, time};

use crate::address_space::{AddressSpace, HEAP, STACK};
use crate::arch::{segment, switch_stacks};
use crate::frame::Frame;
use crate::gdt;
use crate::per_cpu::{self, Schedule};
use crate::platform::Platform;
use crate::ready_queue::ReadyQueue;
use crate::task::{Parent, State, Task};
use crate::trap::WORK_VECTOR;
use crate::{interrupts, paging, stacks};

/// What a program ends with that was killed; the vector of the exception is added.
pub(crate) const KILLED: u64 = 0xdead_0000;

/// A task that the kernel has begun.
#[derive(Clone, Copy)]
pub(crate) struct TaskId(usize);

/// How a task has ended.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) code: u64,
    /// How often its time was over and others ran.
    pub(crate) preemptions: u64,
}

/// Begins a thread of the kernel's; what `function` returns is how it ends. `None` if there are too
/// many tasks, or memory is full.
pub(crate) fn spawn(function: fn(usize) -> u64, argument: usize) -> Option<TaskId> {
    /// By the Rust ABI a function pointer is a word as well.
    #[allow(improper_ctypes_definitions)]
    extern "C" fn run(function: fn(usize) -> u64, argument: usize) -> ! {
        exit(function(argument))
    }
    let id = begin(Parent::Kernel, None, |stack| {
        let arguments = [function as usize, argument];
        Frame::of_thread(run as *const () as usize, arguments, stack)
    })?;
    Some(TaskId(id))
}

/// Begins a program, with its segment at the beginning of its heap. `None` if there are
/// too many tasks, or memory is full.
pub(crate) fn spawn_program(text: &[u8], entry: usize, argument: u64) -> Option<TaskId> {
    spawn_frame(text, Frame::of_program(entry, STACK.end, argument as usize))
}

/// The same with a selector for its stack that may be wrong.
#[cfg(target_arch = "x86_64")]
pub(crate) fn spawn_on_stack_segment(text: &[u8], entry: usize, selector: u16) -> Option<TaskId> {
    let frame = Frame::of_program(entry, STACK.end, 0);
    spawn_frame(text, frame.on_stack_segment(selector))
}

fn spawn_frame(text: &[u8], frame: Frame) -> Option<TaskId> {
    let space = AddressSpace::new(text).ok()?;
    let id = begin(Parent::Kernel, Some(space), |_| frame)?;
    Some(TaskId(id))
}

/// Runs tasks on this CPU until all have ended. Not in a task.
pub(crate) fn run() {
    let cpu = per_cpu::index();
    loop {
        irq::disable();
        let mut scheduler = SCHEDULER.lock();
        scheduler.idle.remove(cpu);
        if scheduler.alive == 0 {
            drop(scheduler);
            time::cancel_event();
            // SAFETY: interrupts were on.
            return unsafe { irq::enable() };
        }
        if scheduler.ready.is_empty() {
            // What makes a task ready sees that this CPU is idle, and wakes it.
            scheduler.idle.insert(cpu);
            drop(scheduler);
            interrupts::wait();
        } else {
            switch(scheduler);
        }
    }
}

/// How a task has ended, once; then there is room for another. `None` if it has not.
pub(crate) fn end(id: TaskId) -> Option<End> {
    irq::without(|| {
        let mut scheduler = SCHEDULER.lock();
        let task = &mut scheduler.tasks[id.0];
        if task.state != State::Ended {
            return None;
        }
        task.state = State::Free;
        Some(End {
            code: task.code,
            preemptions: task.preemptions,
        })
    })
}

/// Lets others run.
pub(crate) fn yield_now() {
    irq::without(|| {
        let mut scheduler = SCHEDULER.lock();
        scheduler.ready.push(current());
        switch(scheduler);
    });
}

/// Lets others run if the time is over. On the way back to a program, interrupts off.
pub(crate) fn preempt() {
    let this = &per_cpu::this().schedule;
    if !this.is_over.load(Ordering::Relaxed) {
        return;
    }
    let mut scheduler = SCHEDULER.lock();
    begin_time();
    let others_wait = !scheduler.ready.is_empty();
    let task = &mut scheduler.tasks[current()];
    task.turns += 1;
    if others_wait {
        task.preemptions += 1;
        scheduler.ready.push(current());
        switch(scheduler);
    }
}

/// In the handler of this CPU's event.
pub(crate) fn time_is_over() {
    per_cpu::this()
        .schedule
        .is_over
        .store(true, Ordering::Relaxed);
}

/// Sees to the page fault of the running program; `false` if it can't.
pub(crate) fn page_fault(address: usize, error: usize) -> bool {
    let mut space = SPACES[current()].lock();
    space
        .as_mut()
        .is_some_and(|space| space.page_fault(address, error))
}

/// Makes a second one of the running program, which was interrupted with `frame`; it gets 0 where
/// this one gets the number that is returned. `None` if there are too many tasks, or memory is full.
pub(crate) fn fork(frame: &Frame) -> Option<u64> {
    let space = SPACES[current()].lock().as_mut()?.fork().ok()?;
    let mut frame = *frame;
    frame.set_result(0);
    let id = begin(Parent::Task(current()), Some(space), |_| frame)?;
    Some(id as u64)
}

/// Waits until a child of the running program has ended, and returns how. `None` without children.
pub(crate) fn wait() -> Option<u64> {
    irq::without(|| {
        loop {
            let mut scheduler = SCHEDULER.lock();
            let this = Parent::Task(current());
            let mut has_children = false;
            for task in scheduler
                .tasks
                .iter_mut()
                .filter(|task| task.parent == this)
            {
                if task.state == State::Ended {
                    task.state = State::Free;
                    task.parent = Parent::Nobody;
                    return Some(task.code);
                }
                has_children = true;
            }
            if !has_children {
                return None;
            }
            scheduler.tasks[current()].state = State::Waiting;
            switch(scheduler);
        }
    })
}

/// Waits until the host has fetched a page that the running program wants, and returns whether
/// there was anything to wait for. Interrupts off.
pub(crate) fn wait_for_page(token: Token) -> bool {
    let mut waited = false;
    loop {
        let mut scheduler = SCHEDULER.lock();
        if token.is_ready() {
            return waited;
        }
        scheduler.tasks[current()].state = State::WaitingForPage(token);
        switch(scheduler);
        waited = true;
    }
}

/// Lets tasks go on whose pages the host has fetched, or forgotten about. Interrupts off.
pub(crate) fn wake_page_waiters() {
    let mut scheduler = SCHEDULER.lock();
    for id in 0..TASKS {
        if let State::WaitingForPage(token) = scheduler.tasks[id].state
            && token.is_ready()
        {
            scheduler.make_ready(id);
        }
    }
}

/// How often the running program's time was over.
pub(crate) fn turns() -> u64 {
    irq::without(|| SCHEDULER.lock().tasks[current()].turns)
}

/// Ends the running task.
pub(crate) fn exit(code: u64) -> ! {
    irq::disable();
    let id = current();
    use_tables(paging::root());
    drop(SPACES[id].lock().take());
    let mut scheduler = SCHEDULER.lock();
    scheduler.end(id, code);
    switch(scheduler);
    unreachable!("a task that has ended runs")
}

/// Where a task goes on that somebody has switched to.
pub(crate) extern "C" fn switched() {
    // SAFETY: whoever has switched has left the lock to us.
    unsafe { SCHEDULER.force_unlock() };
}

/// Tasks that there can be at a time.
pub(crate) const TASKS: usize = 32;

/// How long a program runs while others wait.
const TIME_NS: u64 = 4_000_000;

/// Taken with interrupts off, as a switch hands it over to the next task.
static SCHEDULER: Mutex<Platform, Scheduler> = Mutex::new(Scheduler {
    tasks: [Task::FREE; TASKS],
    ready: ReadyQueue::new(),
    idle: CpuSet::new(),
    alive: 0,
});

/// The address space of each task that is a program. Only the task itself uses it.
static SPACES: [spin::Mutex<Option<AddressSpace>>; TASKS] =
    [const { spin::Mutex::new(None) }; TASKS];

struct Scheduler {
    tasks: [Task; TASKS],
    /// Who waits for a CPU.
    ready: ReadyQueue,
    /// CPUs that wait for a task.
    idle: CpuSet,
    /// Tasks that have not ended.
    alive: usize,
}

/// The task that runs on this CPU.
fn current() -> usize {
    per_cpu::this().schedule.task.load(Ordering::Relaxed)
}

/// Begins a task with the frame that `frame` makes, given the end of the task's stack.
fn begin(
    parent: Parent,
    space: Option<AddressSpace>,
    frame: impl FnOnce(usize) -> Frame,
) -> Option<usize> {
    irq::without(|| {
        let mut scheduler = SCHEDULER.lock();
        let id = scheduler
            .tasks
            .iter()
            .position(|task| task.state == State::Free)?;
        let task = &mut scheduler.tasks[id];
        if task.stack == 0 {
            task.stack = stacks::of_task(id)?;
        }
        let root = space.as_ref().map(AddressSpace::root);
        task.begin(parent, frame(task.stack), root);
        *SPACES[id].lock() = space;
        scheduler.alive += 1;
        scheduler.make_ready(id);
        Some(id)
    })
}

/// Goes on with the first task that is ready, or without one whatever called [`run`]. Comes back
/// when the running task is chosen again, which it is only if somebody has put it into the queue.
/// Interrupts off.
fn switch(mut scheduler: MutexGuard<'_, Platform, Scheduler>) {
    let this = per_cpu::this();
    let schedule = &this.schedule;
    let (old, new) = (current(), scheduler.ready.pop());
    if new == Some(old) {
        return;
    }
    let from = match scheduler.tasks.get_mut(old) {
        Some(task) => &raw mut task.stack_pointer,
        None => schedule.base_stack.as_ptr(),
    };
    let new_task = new.map(|new| &scheduler.tasks[new]);
    let to = new_task.map_or(schedule.base_stack.load(Ordering::Relaxed), |task| {
        task.stack_pointer
    });
    cpu::start_context_switch();
    let root = new_task.and_then(|task| task.root);
    use_tables(root.unwrap_or_else(paging::root));
    if let Some(task) = new_task.filter(|task| task.root.is_some()) {
        this.kernel_stack.store(task.stack, Ordering::Relaxed);
        // SAFETY: the stack is the task's, and empty while the program runs.
        unsafe {
            gdt::set_kernel_stack(task.stack);
            segment::load_program(HEAP.start);
        }
        begin_time();
    }
    schedule
        .task
        .store(new.unwrap_or(Schedule::NO_TASK), Ordering::Relaxed);
    cpu::end_context_switch();
    mem::forget(scheduler);
    // SAFETY: the task was in the queue, so it has saved its stack pointer, and is this CPU's alone
    // now. Until it has unlocked the scheduler nobody takes the old one's.
    unsafe { switch_stacks(from, to) };
    switched();
}

/// Gives the running program its time.
fn begin_time() {
    per_cpu::this()
        .schedule
        .is_over
        .store(false, Ordering::Relaxed);
    // One that has passed already comes at once.
    let _ = time::set_event(time::clock_ns() + TIME_NS);
}

/// Interrupts off.
fn use_tables(root: u64) {
    let loaded = &per_cpu::this().schedule.root;
    if loaded.swap(root, Ordering::Relaxed) != root {
        // SAFETY: all address spaces have the kernel in them.
        unsafe { mmu::write_cr3(root as usize) };
    }
}

impl Scheduler {
    /// Puts a task into the queue, and wakes a CPU for it.
    fn make_ready(&mut self, id: usize) {
        self.tasks[id].state = State::Ready;
        self.ready.push(id);
        let idle = self.idle.iter().next();
        if let Some(cpu) = idle {
            self.wake(cpu);
        }
    }

    fn wake(&mut self, cpu: usize) {
        self.idle.remove(cpu);
        // SAFETY: the CPU runs, and the vector has a handler.
        unsafe { smp::send_ipi(cpu, WORK_VECTOR) };
    }

    fn end(&mut self, id: usize, code: u64) {
        for task in self
            .tasks
            .iter_mut()
            .filter(|task| task.parent == Parent::Task(id))
        {
            task.parent = Parent::Nobody;
            if task.state == State::Ended {
                task.state = State::Free;
            }
        }
        let task = &mut self.tasks[id];
        task.code = code;
        task.state = match task.parent {
            Parent::Nobody => State::Free,
            _ => State::Ended,
        };
        if let Parent::Task(parent) = task.parent
            && self.tasks[parent].state == State::Waiting
        {
            self.make_ready(parent);
        }
        self.alive -= 1;
        if self.alive == 0 {
            for cpu in self.idle.iter() {
                // SAFETY: as in `wake`.
                unsafe { smp::send_ipi(cpu, WORK_VECTOR) };
            }
        }
    }
}
