//! dom0's end of what a kernel under test shares with it: a granted frame and an event channel.
//!
//! `xen-peer DOMAIN REFERENCE PORT ROUNDS`: maps the frame, finds the kernel's word in it and adds its own,
//! then answers that many events. In each round the kernel writes a number and sends an event; the peer
//! writes the number back and sends one.
//!
//! Linux's include/uapi/xen/gntdev.h and evtchn.h.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

fn main() -> ExitCode {
    match run() {
        Ok(rounds) => {
            println!("good {rounds}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The kernel's and the peer's first words in the page.
const GREETING: u64 = 0x7076_6f70_7320_646f;
const ANSWER: u64 = !GREETING;

fn run() -> io::Result<u32> {
    let mut numbers = env::args().skip(1).map(|text| text.parse::<u32>());
    let mut next = || {
        let number = numbers.next().and_then(Result::ok);
        number.ok_or_else(|| io::Error::other("DOMAIN REFERENCE PORT ROUNDS"))
    };
    let (domain, reference, port, rounds) = (next()?, next()?, next()?, next()?);
    let page = map(domain, reference)?;
    let [greeting, answer, asked, answered] = page.first_chunk().unwrap_or_else(|| unreachable!());
    let found = greeting.load(Ordering::Acquire);
    if found != GREETING {
        return Err(io::Error::other(format!("the page begins with {found:#x}")));
    }
    answer.store(ANSWER, Ordering::Release);
    let mut channel = Channel::bind(domain, port)?;
    let mut last = 0;
    while last < u64::from(rounds) {
        // The first event may come of the binding alone.
        let number = asked.load(Ordering::Acquire);
        if number != last {
            last = number;
            answered.store(number, Ordering::Release);
            channel.notify()?;
        } else {
            channel.wait()?;
        }
    }
    Ok(rounds)
}

/// Maps a frame that the domain has granted, for good.
fn map(domain: u32, reference: u32) -> io::Result<&'static [AtomicU64; 512]> {
    /// IOCTL_GNTDEV_MAP_GRANT_REF: number 0 of 'G', with a structure of 24 bytes.
    const MAP_GRANT_REF: libc::c_ulong = 24 << 16 | (b'G' as libc::c_ulong) << 8;
    #[repr(C)]
    struct MapGrantRef {
        count: u32,
        padding: u32,
        index: u64,
        domain: u32,
        reference: u32,
    }
    let device = open("/dev/xen/gntdev")?;
    let mut operation = MapGrantRef {
        count: 1,
        padding: 0,
        index: 0,
        domain,
        reference,
    };
    // SAFETY: the structure is the call's.
    check(unsafe { libc::ioctl(device.as_raw_fd(), MAP_GRANT_REF, &raw mut operation) })?;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let offset = operation.index as libc::off_t;
    // SAFETY: a new mapping, wherever there is room.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            4096,
            protection,
            libc::MAP_SHARED,
            device.as_raw_fd(),
            offset,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the page is mapped until the end, and shared with somebody who writes: all in atomics.
    Ok(unsafe { &*page.cast() })
}

/// An event channel to the domain.
struct Channel {
    device: File,
    port: u32,
}

impl Channel {
    fn bind(domain: u32, remote_port: u32) -> io::Result<Self> {
        /// IOCTL_EVTCHN_BIND_INTERDOMAIN: number 1 of 'E', with 8 bytes.
        const BIND_INTERDOMAIN: libc::c_ulong = 8 << 16 | (b'E' as libc::c_ulong) << 8 | 1;
        let device = open("/dev/xen/evtchn")?;
        let mut operation = [domain, remote_port];
        // SAFETY: the structure is the call's.
        let port = check(unsafe {
            libc::ioctl(device.as_raw_fd(), BIND_INTERDOMAIN, &raw mut operation)
        })?;
        Ok(Channel { device, port })
    }

    fn notify(&self) -> io::Result<()> {
        /// IOCTL_EVTCHN_NOTIFY: number 4 of 'E', with 4 bytes.
        const NOTIFY: libc::c_ulong = 4 << 16 | (b'E' as libc::c_ulong) << 8 | 4;
        let mut operation = self.port;
        // SAFETY: the structure is the call's.
        check(unsafe { libc::ioctl(self.device.as_raw_fd(), NOTIFY, &raw mut operation) })?;
        Ok(())
    }

    /// Waits for an event, and lets the next one come.
    fn wait(&mut self) -> io::Result<()> {
        let mut port = [0; 4];
        self.device.read_exact(&mut port)?;
        self.device.write_all(&port)
    }
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn check(result: libc::c_int) -> io::Result<u32> {
    u32::try_from(result).map_err(|_| io::Error::last_os_error())
}
