//! The ops, each declared once.
//!
//! See [`crate::declare`] for what becomes of a declaration. The order is the order of the table;
//! names and numbers of an image are read from that image, so ops may be added anywhere.

use crate::declare::declare_ops;

declare_ops! {
    /// Control registers, model-specific registers, descriptor tables and counters of this CPU.
    pub cpu {
        /// Reads CR0. Any context.
        [plain] safe fn read_cr0() -> usize;
        /// Writes CR0. Any context.
        ///
        /// # Safety
        ///
        /// Protection and paging must stay as the running code needs them.
        [plain] unsafe fn write_cr0(value: usize);
        /// Reads CR4. Any context.
        [plain] safe fn read_cr4() -> usize;
        /// Writes CR4. Any context.
        ///
        /// # Safety
        ///
        /// Every bit must be one that the CPU has, and paging must stay as the running code needs
        /// it.
        [plain] unsafe fn write_cr4(value: usize);
        /// Reads debug register `number`: 0 to 3, 6 or 7. Other numbers read as 0. Any context.
        [c] safe fn read_debug_register(number: u32) -> usize;
        /// Writes debug register `number`: 0 to 3, 6 or 7. Other numbers do nothing. Any context.
        ///
        /// # Safety
        ///
        /// The kernel's #DB handler must be ready for the breakpoint, and reserved bits as the Intel
        /// SDM (volume 3, section 19.2) wants them.
        [c] unsafe fn write_debug_register(number: u32, value: usize);
        /// CPUID as this kernel is to see it. Any context; on most hypervisors it exits.
        [cpuid, 8 | 6] safe fn cpuid(leaf: u32, subleaf: u32) -> CpuIdResult;
        /// Reads a model-specific register. Any context.
        ///
        /// # Safety
        ///
        /// The register must exist, else the CPU raises #GP; see
        /// [`read_msr_safe`](fn@crate::cpu::read_msr_safe).
        [msr_read] unsafe fn read_msr(index: u32) -> u64;
        /// Writes a model-specific register. Any context.
        ///
        /// # Safety
        ///
        /// The register must exist and take the value, else the CPU raises #GP; and the effect must
        /// be one that the running code can bear.
        [msr_write] unsafe fn write_msr(index: u32, value: u64);
        /// Reads a model-specific register that may not exist. The kernel's #GP handler must ask
        /// [`extable::fixup`](crate::extable::fixup). Any context.
        ///
        /// # Errors
        ///
        /// If it does not exist, or the host does not let it be read.
        [c_msr_read] safe fn read_msr_safe(index: u32) -> Result<u64, MsrFault>;
        /// Writes a model-specific register that may not exist, or not take the value. The kernel's
        /// #GP handler must ask [`extable::fixup`](crate::extable::fixup). Any context.
        ///
        /// # Errors
        ///
        /// If it does not exist or not take the value, or the host does not let it be written.
        ///
        /// # Safety
        ///
        /// If the write succeeds, its effect must be one that the running code can bear.
        [c_msr_write] unsafe fn write_msr_safe(index: u32, value: u64) -> Result<(), MsrFault>;
        /// Time-stamp counter, in ticks; may be read ahead of earlier loads. Any context.
        [counter] safe fn read_tsc() -> u64;
        /// Time-stamp counter, in ticks, read after all earlier loads. Any context.
        [counter] safe fn read_tsc_ordered() -> u64;
        /// Reads a performance counter of this CPU, by its number as RDPMC has it. Any context.
        ///
        /// # Safety
        ///
        /// The CPU must have the counter, else it raises #GP; a virtual one without any may also
        /// raise #UD.
        [msr_read] unsafe fn read_performance_counter(counter: u32) -> u64;
        /// Loads the global descriptor table's register. When a CPU starts, interrupts off.
        ///
        /// # Panics
        ///
        /// Where the host takes a copy of the table instead, as its backend says: if there are more than
        /// 512 entries, or [`Kernel::shared_frame`](crate::Kernel::shared_frame) gives no memory for it.
        ///
        /// # Safety
        ///
        /// The table must be good for the selectors in use and stay where it is.
        [plain] unsafe fn load_gdt(pointer: *const DescriptorTablePointer);
        /// Loads the interrupt descriptor table's register. When a CPU starts, or again for what
        /// [`write_idt_entry`](fn@crate::cpu::write_idt_entry) has stored on another; interrupts off.
        ///
        /// # Safety
        ///
        /// The gates must lead to handlers and stay where they are.
        [plain] unsafe fn load_idt(pointer: *const DescriptorTablePointer);
        /// Loads the local descriptor table's register with a selector; 0 for none. Interrupts off.
        ///
        /// # Safety
        ///
        /// The selector must be 0 or name an LDT descriptor. The table must have pages of its own, which a
        /// host may make read-only for as long as it is loaded.
        [plain] unsafe fn load_ldt(selector: u16);
        /// Loads the task register with a selector. When a CPU starts, interrupts off.
        ///
        /// # Safety
        ///
        /// The selector must name a free TSS descriptor.
        [plain] unsafe fn load_task_register(selector: u16);
        /// Reads CR8: the priority, 0 to 15, up to which the local APIC holds interrupts back. Any
        /// context.
        [plain; 64 bit] safe fn read_cr8() -> usize;
        /// Writes CR8. Interrupts of vectors up to `16 * value + 15` are held back. Any context.
        ///
        /// # Safety
        ///
        /// `value` must be at most 15, and the running code must bear the interrupts that it lets
        /// in.
        [plain; 64 bit] unsafe fn write_cr8(value: usize);
        /// Reads an extended control register: 0 is XCR0, which says what XSAVE saves. Any context.
        ///
        /// # Safety
        ///
        /// The CPU must have XSAVE (CPUID.1:ECX bit 26) and the register, and the kernel must have
        /// set CR4.OSXSAVE.
        [msr_read] unsafe fn read_xcr(index: u32) -> u64;
        /// Writes an extended control register: 0 is XCR0. Any context.
        ///
        /// # Safety
        ///
        /// As for [`read_xcr`](fn@crate::cpu::read_xcr); the value must be one that CPUID leaf 0xd
        /// allows, and what it turns off must not be in use.
        [msr_write] unsafe fn write_xcr(index: u32, value: u64);
        /// Writes back and empties all caches of this CPU. It takes up to milliseconds. Any context.
        [plain] safe fn wbinvd();
        /// Clears CR0.TS: the FPU's registers are those of the running task. Any context.
        [plain] safe fn clear_task_switched();
        /// Sets CR0.TS: the next use of the FPU raises #NM. Any context.
        ///
        /// # Safety
        ///
        /// The kernel's #NM handler must be ready, and the running code must not use the FPU.
        [plain, 8] unsafe fn set_task_switched();
        /// Exchanges the base of GS with the one that SWAPGS keeps, as the first and last thing
        /// between user mode and kernel. Where the host has done that already, nothing.
        ///
        /// # Safety
        ///
        /// Nobody may rely on GS as it was: interrupts off.
        [plain; 64 bit] unsafe fn swapgs();
        /// Leaves an interrupt or exception handler, for the kernel or a program, as the frame says:
        /// IRET. Interrupts off. For user mode, after `swapgs` in 64-bit code; by
        /// [`asm_site!`](crate::asm_site) where the general registers, which go along as they are,
        /// are the interrupted code's own again.
        ///
        /// # Safety
        ///
        /// The frame must be good, else the CPU raises #GP in the kernel; and what it leads to must
        /// bear to go on so. Whatever is on the stack below the frame is lost.
        [exit, 13 | 6] unsafe fn interrupt_return(frame: *const InterruptFrame) -> !;
        /// Leaves a system call for user mode, as the frame says: SYSRET. The program loses rcx and
        /// r11; all else as for [`interrupt_return`](fn@crate::cpu::interrupt_return).
        ///
        /// # Safety
        ///
        /// As for `interrupt_return`. The selectors must be the ones that the CPU was
        /// [told](fn@crate::cpu::setup_syscall), and the address that the frame leads to canonical:
        /// Intel's CPUs raise #GP in kernel mode on the program's stack if it is not (Intel SDM volume 2,
        /// SYSRET).
        [exit, 14; 64 bit] unsafe fn syscall_return(frame: *const InterruptFrame) -> !;
        /// Leaves a system call that came by SYSENTER for user mode, and enables interrupts: STI, SYSEXIT.
        /// The program goes on at `address` with the stack pointer `stack`, and so loses ecx and edx;
        /// all else as for [`interrupt_return`](fn@crate::cpu::interrupt_return). The kernel sets
        /// SYSENTER up by [`write_msr`](fn@crate::cpu::write_msr).
        ///
        /// # Safety
        ///
        /// The CPU must have SYSEXIT, and the register IA32_SYSENTER_CS lead to the descriptors that it
        /// takes (Intel SDM volume 2, SYSEXIT).
        [sysexit; 32 bit] unsafe fn sysenter_return(address: usize, stack: usize) -> !;
        /// Says where system calls enter the kernel on this CPU. Interrupts off.
        ///
        /// # Safety
        ///
        /// `entry` must point to a [`SyscallEntry`] that is right. As SYSCALL does not switch stacks,
        /// neither a non-maskable interrupt nor a machine check may come to its direct entry on a
        /// stack that is not its own.
        [c; 64 bit] unsafe fn setup_syscall(entry: *const SyscallEntry);
        /// Base of FS. Any context.
        [base_read, 7; 64 bit] safe fn read_fs_base() -> usize;
        /// Sets the base of FS. Any context.
        ///
        /// # Safety
        ///
        /// The address must be canonical, and code that uses FS must find there what it wants.
        [base_write, 7; 64 bit] unsafe fn write_fs_base(base: usize);
        /// Base of GS: the kernel's, in the kernel. Any context.
        [base_read, 7; 64 bit] safe fn read_gs_base() -> usize;
        /// Sets the base of GS. Any context.
        ///
        /// # Safety
        ///
        /// As for [`write_fs_base`](fn@crate::cpu::write_fs_base), of GS.
        [base_write, 7; 64 bit] unsafe fn write_gs_base(base: usize);
        /// The base that SWAPGS exchanges with GS: the user's, in the kernel. Any context.
        [base_read, 7; 64 bit] safe fn read_kernel_gs_base() -> usize;
        /// Sets the base that SWAPGS exchanges with GS. Any context.
        ///
        /// # Safety
        ///
        /// The address must be canonical.
        [base_write, 7; 64 bit] unsafe fn write_kernel_gs_base(base: usize);
        /// Loads the user's GS selector, and with it the base that SWAPGS exchanges with GS; the
        /// kernel's own base of GS stays. Interrupts off.
        ///
        /// # Safety
        ///
        /// The selector must be null or of a data segment, else the CPU raises #GP while the bases
        /// are exchanged. An NMI handler must not rely on the base of GS.
        [plain, 8; 64 bit] unsafe fn load_gs_selector(selector: u16);
        /// Stores an entry of a global descriptor table. A descriptor of 16 bytes takes two entries,
        /// of which the one with the present bit is to be stored last. Interrupts off.
        ///
        /// # Safety
        ///
        /// `table` must have the entry, and whoever has a selector for it must be served by the new
        /// one.
        [plain] unsafe fn write_gdt_entry(table: *mut u64, index: usize, entry: u64);
        /// Stores an entry of a local descriptor table. Interrupts off.
        ///
        /// # Safety
        ///
        /// As for [`write_gdt_entry`](fn@crate::cpu::write_gdt_entry).
        [plain] unsafe fn write_ldt_entry(table: *mut u64, index: usize, entry: u64);
        /// Stores an entry of an interrupt descriptor table. Not in interrupt handlers.
        ///
        /// This CPU goes by it at once. Another one that has loaded the table may go by the old gate, or
        /// have none where that was not present, until it calls [`load_idt`](fn@crate::cpu::load_idt) again.
        ///
        /// # Safety
        ///
        /// `table` must have the entry and `gate` lead to one; no interrupt of that vector may come
        /// meanwhile, and the new gate must lead to its handler.
        [c] unsafe fn write_idt_entry(
            table: *mut GateDescriptor, index: usize, gate: *const GateDescriptor
        );
        /// Sets the stack that this CPU takes when it comes from user mode: `field` is where RSP0, or
        /// ESP0, is in this CPU's task state segment, and need not be aligned. A host that keeps the stack
        /// elsewhere is told and may leave the field as it is. Interrupts off.
        ///
        /// # Safety
        ///
        /// `field` must be that field, and `stack` the end of a stack that nobody uses.
        [plain] unsafe fn load_kernel_stack(field: *mut usize, stack: usize);
        /// Stores three entries of a global descriptor table, from `first` on: those of a task's
        /// thread-local storage. A host may put it off until
        /// [`end_context_switch`](fn@crate::cpu::end_context_switch). Interrupts off.
        ///
        /// # Safety
        ///
        /// As for [`write_gdt_entry`](fn@crate::cpu::write_gdt_entry), for all three; `entries` must
        /// lead to them.
        [c] unsafe fn load_tls(table: *mut u64, first: usize, entries: *const [u64; 3]);
        /// Begins a switch to another task: what follows may be put off until
        /// [`end_context_switch`](fn@crate::cpu::end_context_switch), which is to come on this CPU
        /// before anything relies on it. Interrupts off.
        [plain] safe fn start_context_switch();
        /// Ends a switch to another task: what was put off is done. Interrupts off.
        [plain] safe fn end_context_switch();
    }

    /// Interrupts of this CPU.
    ///
    /// On any host a thread with interrupts on may be preempted around these, and go on on another CPU, if the
    /// kernel gives [`Kernel::per_cpu_area`](crate::Kernel::per_cpu_area), which says why.
    pub irq {
        /// The flags register, of which only bit 9 (interrupts enabled) has meaning on every host.
        /// Any context.
        [flags_read, 10 | 6] safe fn save_flags() -> usize;
        /// Sets interrupts, and what else the host keeps in the flags, as
        /// [`save_flags`](fn@crate::irq::save_flags) found them. Any context.
        ///
        /// # Safety
        ///
        /// `flags` must come from `save_flags` on this CPU.
        [flags_write] unsafe fn restore_flags(flags: usize);
        /// Disables interrupts on this CPU. Any context.
        [flags_write, 9 | 6] safe fn disable();
        /// Enables interrupts on this CPU. Any context.
        ///
        /// # Safety
        ///
        /// The interrupt descriptor table must be loaded, and the running code must bear to be
        /// interrupted.
        [flags_write] unsafe fn enable();
        /// Waits for an interrupt, with interrupts as they are: with interrupts off, for a non-maskable
        /// one, or for ever. Any context.
        [plain] safe fn halt();
        /// Enables interrupts and waits for one; none can slip in between. Interrupts on or off.
        ///
        /// # Safety
        ///
        /// As for [`enable`](fn@crate::irq::enable).
        [plain] unsafe fn safe_halt();
    }

    /// Page tables and the TLB.
    ///
    /// An entry is a value of 64 bits everywhere. In 32-bit code its place has 8 bytes if CR4.PAE is set,
    /// which a kernel does before it stores the first one and before it installs a backend, and else 4
    /// bytes, which the value must fit into.
    ///
    /// Where stores to tables in use are calls of the host, it is a panic if that refuses one, or if the
    /// entry is not in the direct map that the kernel has told the backend of.
    ///
    /// Where the kernel has set CR4.PCIDE, translations that are not global are those of the process-context
    /// identifier that the CPU has in CR3; only [`flush_tlb_all`](fn@crate::mmu::flush_tlb_all) drops those of
    /// all identifiers.
    pub mmu {
        /// The address of the last page fault. In the page-fault handler, before anything else can
        /// fault.
        [plain] safe fn read_cr2() -> usize;
        /// Sets CR2. Any context.
        ///
        /// # Safety
        ///
        /// Nobody may still want the address of the last page fault.
        [plain] unsafe fn write_cr2(value: usize);
        /// Physical address of the page table in use, and the flag bits of CR3. Any context.
        [plain] safe fn read_cr3() -> usize;
        /// Switches to another page table; drops translations that are not global. Any context.
        ///
        /// # Safety
        ///
        /// The table must map the running code and its data.
        [plain] unsafe fn write_cr3(value: usize);
        /// Drops this CPU's translations that are not global. Any context in which the task is not
        /// preempted meanwhile: CR3 may be read and written back.
        [plain] safe fn flush_tlb();
        /// Drops all of this CPU's translations, global ones too. Contexts as for
        /// [`flush_tlb`](fn@crate::mmu::flush_tlb).
        [plain] safe fn flush_tlb_all();
        /// Drops this CPU's translation of the page that holds `address`. Any context.
        [plain] safe fn flush_tlb_page(address: usize);
        /// Drops the translations from `start` to `end` (virtual addresses) of the CPUs in a set, and
        /// returns when that is done. CPUs that are off are passed over. Not in an interrupt handler; with
        /// interrupts off, or on if the task is neither preempted nor moved to another CPU meanwhile.
        ///
        /// # Panics
        ///
        /// Natively, if another CPU of the set is up and
        /// [`setup_ipi`](fn@crate::smp::setup_ipi) was never called.
        ///
        /// # Safety
        ///
        /// `cpus` must point to a [`CpuSet`]; those of them that have been
        /// [brought up](crate::bring_up_cpu) take the vector that the kernel gave to
        /// [`setup_ipi`](fn@crate::smp::setup_ipi).
        [c] unsafe fn flush_tlb_multi(cpus: *const CpuSet, start: usize, end: usize);
        /// Stores an entry of a page table (4 KiB pages). Any context; in a handler that may have
        /// interrupted [lazy mode](crate::lazy), after [`eager`](fn@crate::mmu::eager).
        ///
        /// # Safety
        ///
        /// `entry` must point into a page table; what the new value maps must be right for
        /// everybody who uses the table. The value is one from
        /// [`make_entry`](fn@crate::mmu::make_entry).
        [plain] unsafe fn set_pte(entry: *mut u64, value: u64);
        /// Stores an entry of a page directory (2 MiB pages or page tables). Contexts as for
        /// [`set_pte`](fn@crate::mmu::set_pte).
        ///
        /// # Safety
        ///
        /// As for [`set_pte`](fn@crate::mmu::set_pte).
        [plain] unsafe fn set_pmd(entry: *mut u64, value: u64);
        /// Stores an entry of a page-directory-pointer table (1 GiB pages or page directories). Contexts as
        /// for [`set_pte`](fn@crate::mmu::set_pte).
        ///
        /// # Safety
        ///
        /// As for [`set_pte`](fn@crate::mmu::set_pte).
        [plain] unsafe fn set_pud(entry: *mut u64, value: u64);
        /// Stores an entry of a level-4 table. Contexts as for [`set_pte`](fn@crate::mmu::set_pte).
        ///
        /// # Safety
        ///
        /// As for [`set_pte`](fn@crate::mmu::set_pte).
        [plain] unsafe fn set_p4d(entry: *mut u64, value: u64);
        /// Stores an entry of a level-5 table. Contexts as for [`set_pte`](fn@crate::mmu::set_pte).
        ///
        /// # Safety
        ///
        /// As for [`set_pte`](fn@crate::mmu::set_pte).
        [plain] unsafe fn set_p5d(entry: *mut u64, value: u64);
        /// Begins a change of the protection in an entry of a page table that is in use: returns the
        /// stored entry, and sees to it that no accessed or dirty bit that the hardware sets before
        /// the commit is lost. The page may be absent meanwhile. Contexts as for
        /// [`set_pte`](fn@crate::mmu::set_pte).
        ///
        /// # Safety
        ///
        /// As for [`set_pte`](fn@crate::mmu::set_pte); the running code must not need the page, and
        /// [`commit_protection`](fn@crate::mmu::commit_protection) must follow, with nobody else
        /// changing the entry in between.
        [plain] unsafe fn start_protection(entry: *mut u64) -> u64;
        /// Ends a change of protection: stores the new entry, which maps the same frame. The TLB is
        /// left as it is. Contexts as for [`set_pte`](fn@crate::mmu::set_pte).
        ///
        /// # Safety
        ///
        /// As for [`set_pte`](fn@crate::mmu::set_pte), after
        /// [`start_protection`](fn@crate::mmu::start_protection).
        [plain] unsafe fn commit_protection(entry: *mut u64, value: u64);
        /// Tells that a frame will be a page table: of `level` 1 (of 4 KiB pages) to 5. The frame is
        /// zeroed or holds entries of its level, and from now on changes only by the ops that store
        /// entries. Before an entry leads to it. Not in interrupt handlers.
        ///
        /// # Safety
        ///
        /// `frame`, a physical address divided by 4096, must be the kernel's own; its mapping may
        /// become read-only.
        [plain] unsafe fn alloc_table(frame: u64, level: u32);
        /// Tells that a frame is a page table no more; it is memory like any other again. After the
        /// last entry that led to it has been cleared. Not in interrupt handlers.
        ///
        /// # Safety
        ///
        /// The frame must come from [`alloc_table`](fn@crate::mmu::alloc_table) with the same level,
        /// and no CPU may use it as a table.
        [plain] unsafe fn release_table(frame: u64, level: u32);
        /// Tells that an address space is complete and about to be used for the first time.
        /// `root_frame` is its top table's physical address divided by 4096. Not in interrupt handlers,
        /// nor with a lock that [`Kernel::shared_frame`](crate::Kernel::shared_frame) takes.
        ///
        /// # Panics
        ///
        /// Where programs run on another top table, as its backend says, if the kernel has no frame for that.
        ///
        /// # Safety
        ///
        /// All its tables must come from [`alloc_table`](fn@crate::mmu::alloc_table).
        [plain] unsafe fn activate_tables(root_frame: u64);
        /// Tells that an address space is about to be torn down, entry by entry. Not in interrupt
        /// handlers.
        ///
        /// # Safety
        ///
        /// The frame must come from [`activate_tables`](fn@crate::mmu::activate_tables), and no CPU
        /// may use it again.
        [plain] unsafe fn exit_tables(root_frame: u64);
        /// Lets changes to page tables be put off. [`lazy`](fn@crate::mmu::lazy) makes sure that it
        /// ends; the rules are [there](crate::lazy).
        [plain] safe fn enter_lazy();
        /// Ends what [`enter_lazy`](fn@crate::mmu::enter_lazy) began.
        [plain] safe fn leave_lazy();
        /// Makes what was put off; lazy mode goes on. Any context.
        [plain] safe fn flush_lazy();
        /// Makes what was put off, and keeps lazy mode from having an effect: for handlers of
        /// interrupts, by way of [`eager`](fn@crate::mmu::eager).
        [plain] safe fn pause_lazy();
        /// Ends what [`pause_lazy`](fn@crate::mmu::pause_lazy) began.
        [plain] safe fn resume_lazy();
        /// What to store for an entry of any level: takes flags and the frame as the kernel numbers
        /// it, gives flags and the frame as the host numbers it. Any context.
        [plain] safe fn make_entry(entry: u64) -> u64;
        /// What a stored entry of any level means: the inverse of
        /// [`make_entry`](fn@crate::mmu::make_entry). Any context.
        [plain] safe fn entry_value(entry: u64) -> u64;
    }

    /// Time, and the one event that a CPU can wait for.
    pub time {
        /// Nanoseconds since some moment before the backend was installed; never goes back, unless it is the
        /// bare time-stamp counter, as the backend says, and those of the CPUs are not in step. 0 until a
        /// backend is installed. Any context.
        [plain] safe fn clock_ns() -> u64;
        /// Readies this CPU's event to come as interrupt `vector`; none is set afterwards. On each CPU that
        /// sets events, once it was [brought up](crate::bring_up_cpu); interrupts off.
        ///
        /// # Safety
        ///
        /// The kernel must have a handler for the vector.
        [c] unsafe fn setup_event(vector: u8);
        /// Sets this CPU's event to come once, when
        /// [`clock_ns`](fn@crate::time::clock_ns) reaches `deadline_ns`; it replaces the one set
        /// before. A deadline that has passed comes at once and is reported so; one further away than
        /// the timer can count (seconds) comes early, so look at the clock and set it again. For a
        /// periodic event set it again in its handler, for the last deadline plus the period: as
        /// deadlines are absolute, that does not drift.
        /// Interrupts off, or nobody else on this CPU sets events.
        [c] safe fn set_event(deadline_ns: u64) -> EventStatus;
        /// Cancels this CPU's event; one that has come already may still be delivered. Interrupts off, or
        /// nobody else on this CPU sets events.
        [c] safe fn cancel_event();
        /// Nanoseconds in which the CPU with this index wanted to run and the host ran somebody else,
        /// since some moment; never goes back, and is never above
        /// [`clock_ns`](fn@crate::time::clock_ns). 0 on hosts that don't tell. Any context.
        [plain] safe fn stolen_ns(cpu: usize) -> u64;
        /// Whether the host has stopped this CPU for a while since this was last asked on it: for a
        /// snapshot, or a debugger. What seems to have hung for long then has not; a watchdog starts
        /// anew. `false` on hosts that don't tell. Any context.
        [plain] safe fn was_stopped() -> bool;
        /// The time of day: nanoseconds since 1970-01-01 00:00 UTC, as exact as the host tells it (a
        /// real-time clock counts whole seconds). 0 if the host has no clock that makes sense. It
        /// may jump when the host's clock is set, and asking takes microseconds, or some
        /// milliseconds while a real-time clock is being updated. One CPU at a time, and not in
        /// interrupt handlers: a real-time clock is two ports that go together.
        [c] safe fn wall_clock_ns() -> u64;
    }

    /// Port I/O.
    pub io {
        /// Reads a byte from a port. Any context.
        ///
        /// # Safety
        ///
        /// The read's effect on the device must be one that its driver expects.
        [port_in] unsafe fn in8(port: u16) -> u8;
        /// Reads 16 bits from a port. Any context.
        ///
        /// # Safety
        ///
        /// As for [`in8`](fn@crate::io::in8).
        [port_in] unsafe fn in16(port: u16) -> u16;
        /// Reads 32 bits from a port. Any context.
        ///
        /// # Safety
        ///
        /// As for [`in8`](fn@crate::io::in8).
        [port_in] unsafe fn in32(port: u16) -> u32;
        /// Writes a byte to a port. Any context.
        ///
        /// # Safety
        ///
        /// The write's effect must be one that the running code can bear.
        [port_out] unsafe fn out8(port: u16, value: u8);
        /// Writes 16 bits to a port. Any context.
        ///
        /// # Safety
        ///
        /// As for [`out8`](fn@crate::io::out8).
        [port_out] unsafe fn out16(port: u16, value: u16);
        /// Writes 32 bits to a port. Any context.
        ///
        /// # Safety
        ///
        /// As for [`out8`](fn@crate::io::out8).
        [port_out] unsafe fn out32(port: u16, value: u32);
        /// Reads `count` bytes from one port, one after the other. Any context.
        ///
        /// # Safety
        ///
        /// `buffer` must have room for them; else as for [`in8`](fn@crate::io::in8).
        [c] unsafe fn in8_string(port: u16, buffer: *mut u8, count: usize);
        /// Reads 16 bits from one port, `count` times. Any context.
        ///
        /// # Safety
        ///
        /// As for [`in8_string`](fn@crate::io::in8_string).
        [c] unsafe fn in16_string(port: u16, buffer: *mut u16, count: usize);
        /// Reads 32 bits from one port, `count` times. Any context.
        ///
        /// # Safety
        ///
        /// As for [`in8_string`](fn@crate::io::in8_string).
        [c] unsafe fn in32_string(port: u16, buffer: *mut u32, count: usize);
        /// Writes `count` bytes to one port, one after the other. Any context.
        ///
        /// # Safety
        ///
        /// `buffer` must hold them; else as for [`out8`](fn@crate::io::out8).
        [c] unsafe fn out8_string(port: u16, buffer: *const u8, count: usize);
        /// Writes 16 bits to one port, `count` times. Any context.
        ///
        /// # Safety
        ///
        /// As for [`out8_string`](fn@crate::io::out8_string).
        [c] unsafe fn out16_string(port: u16, buffer: *const u16, count: usize);
        /// Writes 32 bits to one port, `count` times. Any context.
        ///
        /// # Safety
        ///
        /// As for [`out8_string`](fn@crate::io::out8_string).
        [c] unsafe fn out32_string(port: u16, buffer: *const u32, count: usize);
        /// Gives an old device the time to take the last access: about a microsecond where such
        /// devices are real. Any context.
        [plain] safe fn delay();
    }

    /// This CPU's local APIC. Registers have the numbers of x2APIC mode: the offset in the APIC page,
    /// divided by 16 (Intel SDM volume 3, table 12-6).
    pub apic {
        /// Reads a register. Any context.
        ///
        /// # Safety
        ///
        /// The register must exist.
        [c] unsafe fn read(register: u32) -> u32;
        /// Writes a register. Any context.
        ///
        /// # Safety
        ///
        /// The register must exist and take the value; the kernel must be ready for the interrupts
        /// that it causes.
        [c] unsafe fn write(register: u32, value: u32);
        /// Ends the interrupt that is being handled. In an interrupt handler.
        [scratch, 12] safe fn eoi();
        /// Sends what the interrupt command register's 64 bits say, in the x2APIC layout: the
        /// destination's whole APIC id is in the upper half. Any context.
        ///
        /// # Safety
        ///
        /// The CPUs that it reaches must be ready for it.
        [c] unsafe fn write_icr(command: u64);
    }

    /// The other CPUs. CPUs are numbered as [`Kernel::cpu_index`](crate::Kernel::cpu_index) does.
    pub smp {
        /// Tells the CPU with this local APIC id to start; where a backend says that there are no
        /// such ids, that with this number, which is to be its index too. Any CPU, one at a time, not in
        /// interrupt handlers. The new CPU calls [`bring_up_cpu`](crate::bring_up_cpu) before anything
        /// else of this library but `cpu` and `mmu`.
        ///
        /// # Safety
        ///
        /// `start` must point to a [`CpuStart`] that is right; the CPU must not run yet.
        [c] unsafe fn start_cpu(apic_id: u32, start: *const CpuStart) -> StartStatus;
        /// Sends the interrupt `vector` to a CPU. Any context.
        ///
        /// # Safety
        ///
        /// The CPU must have been brought up and have a handler for the vector.
        [c] unsafe fn send_ipi(cpu: usize, vector: u8);
        /// Sends the interrupt `vector` to all CPUs in a set. Any context.
        ///
        /// # Safety
        ///
        /// `cpus` must point to a [`CpuSet`]; the CPUs must have been brought up and have a handler
        /// for the vector.
        [c] unsafe fn send_ipi_set(cpus: *const CpuSet, vector: u8);
        /// Sends the interrupt `vector` to all CPUs but this one. Any context.
        ///
        /// # Safety
        ///
        /// All CPUs that run must have a handler for the vector.
        [c] unsafe fn send_ipi_others(vector: u8);
        /// Says which vector the library may send from CPU to CPU: at boot, before the second CPU is
        /// brought up. Its handler calls
        /// [`handle_ipi`](fn@crate::smp::handle_ipi) and then
        /// [`apic::eoi`](fn@crate::apic::eoi).
        ///
        /// # Safety
        ///
        /// All CPUs that are brought up must have that handler.
        [c] unsafe fn setup_ipi(vector: u8);
        /// Does what another CPU wants of this one. In the handler of the vector given to
        /// [`setup_ipi`](fn@crate::smp::setup_ipi).
        [c] safe fn handle_ipi();
    }

    /// The machine as a whole.
    pub system {
        /// Writes a byte to the first console that works on this host. Never blocks for long: a
        /// console that does not take the byte loses it. Any context.
        [c] safe fn console_byte(byte: u8);
        /// Turns the machine off. Returns if this host gives no way to do that. Any context.
        ///
        /// It has the host write to no memory for this CPU any more; so do `reboot` and
        /// `report_crash`. A kernel that goes on calls [`bring_up_cpu`](crate::bring_up_cpu). The other
        /// CPUs are the kernel's to stop, by [`take_down_cpu`](crate::take_down_cpu).
        [c] safe fn poweroff();
        /// Resets the machine; what is running is lost. Returns if this host gives no way to do
        /// that. Any context; it disables interrupts.
        [c] safe fn reboot();
        /// Tells the host that the kernel has crashed, so that it can keep a dump or start another.
        /// Returns if the host only takes note, or has no ear for it. Any context, once.
        [c] safe fn report_crash();
        /// The instruction that calls the host: VMCALL, VMMCALL, SYSCALL. For backends, which know
        /// the registers: by [`asm_site!`](crate::asm_site) with `op::system::hypercall`. On a host
        /// that takes no calls it is an invalid opcode.
        ///
        /// # Safety
        ///
        /// As the host says of the call.
        [hypercall] unsafe fn hypercall();
        /// Gives others the time while this CPU waits in a loop: another thread of the core, or where
        /// the host can do that another virtual CPU. Any context.
        [plain] safe fn yield_cpu();
    }

    /// What [locks](crate::lock) ask of the host, so that a CPU that waits for long sleeps.
    pub(crate) lock {
        /// Waits until this CPU is [kicked](fn@crate::lock::kick), unless `*word` is not `value`
        /// (any more). May return at any time, so the caller looks again.
        ///
        /// A waker first changes the word, then kicks; whenever that happens, `wait` returns. A host
        /// may drop the kick of a CPU that does not sleep. Hence a backend that sleeps here does, in
        /// this order:
        ///
        /// 1. make this CPU kickable: from here on a kick ends the sleep, or keeps it from beginning;
        /// 2. read the word, with all fences that it takes not to read it before step 1, and return
        ///    if it is not `value`;
        /// 3. sleep. If interrupts are on, none is handled between steps 2 and 3, and `wait` returns
        ///    after one that is handled during the sleep: its handler may have waited too, and used
        ///    up the kick.
        ///
        /// Any CPU, interrupts on or off, which they are again afterwards. Not in the handler of a
        /// non-maskable interrupt or machine check. With interrupts off a host may sleep all the
        /// same: then only a kick wakes it.
        ///
        /// # Safety
        ///
        /// The word must be valid for atomic reads until the op returns.
        [plain] unsafe fn wait(word: *const u32, value: u32);
        /// Ends the [`wait`](fn@crate::lock::wait) of the CPU with this index
        /// ([`Kernel::cpu_index`](crate::Kernel::cpu_index)). All earlier stores of the caller are
        /// visible to whoever it wakes, and to a `wait` that begins too late for the kick. If that
        /// CPU does not wait, or does not exist, it does nothing, or ends its next wait. Any context.
        [plain] safe fn kick(cpu: usize);
        /// Whether the host runs something else on this CPU's physical CPU, so that it makes no
        /// progress: a guess, which may be old. `false` where that is not known. Any context.
        [plain] safe fn vcpu_is_preempted(cpu: usize) -> bool;
        /// Releases a queue lock. A part of [`RawQueueLock`](crate::lock::RawQueueLock), and an op
        /// because it need not look for sleepers where nobody sleeps.
        ///
        /// # Safety
        ///
        /// The lock must be held, by the caller.
        [plain] unsafe fn release(queue: *const Queue);
    }
}

/// What signatures of ops are made of.
mod types {
    pub(super) use crate::InterruptFrame;
    pub(super) use crate::cpu_set::CpuSet;
    pub(super) use crate::cpu_start::{CpuStart, StartStatus};
    pub(super) use crate::descriptor::{DescriptorTablePointer, GateDescriptor};
    pub(super) use crate::event::EventStatus;
    pub(super) use crate::lock::Queue;
    pub(super) use crate::msr::MsrFault;
    pub(super) use crate::syscall::SyscallEntry;
    pub(super) use raw_cpuid::CpuIdResult;
}

/// A group of ops as it was declared.
#[derive(Clone, Copy, Debug)]
pub struct GroupDeclaration {
    /// The group's name.
    pub name: &'static str,
    /// The documentation, as Markdown.
    pub documentation: &'static str,
}

/// An op as it was declared.
#[derive(Clone, Copy, Debug)]
pub struct OpDeclaration {
    /// `group.op`.
    pub name: &'static str,
    /// Name of the op's [shape](crate::arch::shape).
    pub shape: &'static str,
    /// The signature, as Rust.
    pub signature: &'static str,
    /// Length of its call sites in bytes, in 64-bit code and in 32-bit code.
    pub site_lengths: [u8; 2],
    /// The only word size, 64 or 32 bits, in which kernels can use it, if there is one.
    pub only_bits: Option<u32>,
    /// The documentation, as Markdown.
    pub documentation: &'static str,
}

/// The names of all ops in the order of their numbers, each followed by a NUL, in a section of their
/// own: tools read them from any image that holds the op table, which keeps them.
#[unsafe(link_section = "pvops_op_names")]
pub(crate) static NAME_TEXT: [u8; NAMES.len()] = {
    let mut text = [0; NAMES.len()];
    text.copy_from_slice(NAMES.as_bytes());
    text
};

/// The names of all ops in the order of their numbers.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    // Every name ends with a NUL, so the last piece is empty and no name.
    NAME_TEXT[..NAME_TEXT.len() - 1]
        .split(|&byte| byte == 0)
        .filter_map(|name| core::str::from_utf8(name).ok())
}
