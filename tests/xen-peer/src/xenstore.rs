//! A client of xenstored: values are read and written, and a node is watched.
//!
//! Xen's docs/misc/xenstore.txt and public/io/xs_wire.h.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// A connection.
pub(crate) struct Store(UnixStream);

impl Store {
    pub(crate) fn connect() -> io::Result<Self> {
        UnixStream::connect("/var/run/xenstored/socket").map(Self)
    }

    pub(crate) fn read(&mut self, path: &str) -> io::Result<String> {
        let value = self.request(READ, &[path.as_bytes(), NUL])?;
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    pub(crate) fn write(&mut self, path: &str, value: &str) -> io::Result<()> {
        self.request(WRITE, &[path.as_bytes(), NUL, value.as_bytes()])?;
        Ok(())
    }

    /// Calls `changed` at once and whenever the node changes, until it says `false` or there is an error.
    pub(crate) fn watch(mut self, path: &str, mut changed: impl FnMut() -> bool) -> io::Result<()> {
        self.request(WATCH, &[path.as_bytes(), NUL, b"token", NUL])?;
        while changed() {
            while self.message()?.0 != WATCH_EVENT {}
        }
        Ok(())
    }

    fn request(&mut self, kind: u32, payload: &[&[u8]]) -> io::Result<Vec<u8>> {
        let payload = payload.concat();
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        // The request's number and its transaction are none.
        let header = [kind, 0, 0, length].map(u32::to_ne_bytes);
        self.0
            .write_all(&[header.as_flattened(), &payload].concat())?;
        loop {
            match self.message()? {
                (WATCH_EVENT, _) => {}
                (ERROR, name) => return Err(io::Error::other(String::from_utf8_lossy(&name))),
                (_, value) => return Ok(value),
            }
        }
    }

    /// The type and the payload of the next message.
    fn message(&mut self) -> io::Result<(u32, Vec<u8>)> {
        let mut header = [[0; 4]; 4];
        self.0.read_exact(header.as_flattened_mut())?;
        let [kind, _, _, length] = header.map(u32::from_ne_bytes);
        let mut payload = vec![0; length.min(PAYLOAD_MAX) as usize];
        self.0.read_exact(&mut payload)?;
        Ok((kind, payload))
    }
}

const NUL: &[u8] = &[0];
const PAYLOAD_MAX: u32 = 4096;

// `enum xsd_sockmsg_type`.
const READ: u32 = 2;
const WATCH: u32 = 4;
const WRITE: u32 = 11;
const WATCH_EVENT: u32 = 15;
const ERROR: u32 = 16;
