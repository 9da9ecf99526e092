//! What both sides do with a granted frame and an event channel.
//!
//! The peer maps the frame, finds the kernel's word in it and adds its own. In each round the kernel then
//! writes a number and sends an event; the peer writes the number back and sends one.
//!
//! Linux's include/uapi/xen/gntdev.h and evtchn.h.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers so many events of the domain.
pub(crate) fn exchange(domain: u32, reference: u32, port: u32, rounds: u64) -> io::Result<()> {
    let frame = Frame::map(domain, reference)?;
    let [greeting, answer, asked, answered] = frame.words();
    let found = greeting.load(Ordering::Acquire);
    if found != GREETING {
        return Err(io::Error::other(format!("the page begins with {found:#x}")));
    }
    answer.store(ANSWER, Ordering::Release);
    let mut channel = Channel::bind(domain, port)?;
    let mut last = 0;
    while last < rounds {
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
    Ok(())
}

/// The kernel's and the peer's first words in the page.
const GREETING: u64 = 0x7076_6f70_7320_646f;
const ANSWER: u64 = !GREETING;

/// A frame that the domain has granted. Once it is dropped the domain can end the grant.
struct Frame(NonNull<libc::c_void>);

impl Frame {
    fn map(domain: u32, reference: u32) -> io::Result<Self> {
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
                FRAME,
                protection,
                libc::MAP_SHARED,
                device.as_raw_fd(),
                offset,
            )
        };
        match NonNull::new(page) {
            Some(page) if page.as_ptr() != libc::MAP_FAILED => Ok(Self(page)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The words that are used.
    fn words(&self) -> &[AtomicU64; 4] {
        // SAFETY: the page is mapped as long as this, and shared with somebody who writes: all in atomics.
        unsafe { self.0.cast().as_ref() }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's, and no word is borrowed any more.
        unsafe { libc::munmap(self.0.as_ptr(), FRAME) };
    }
}

const FRAME: usize = 4096;

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
