//! One xtask at a time in a target directory: each writes images and archives there that QEMU reads.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::kernel::target_directory_of_cargo;

/// Waits until no other xtask works in the target directory. None begins until what this returns is
/// dropped.
pub(crate) fn begin() -> io::Result<File> {
    let directory = target_directory_of_cargo();
    fs::create_dir_all(&directory)?;
    begin_at(&directory.join(".xtask-lock"))
}

fn begin_at(path: &Path) -> io::Result<File> {
    let file = File::create(path)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    eprintln!("waiting for another xtask that works in this target directory");
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_second_waits_for_the_first() {
        let path = std::env::temp_dir().join(format!("xtask-lock-{}", std::process::id()));
        let first = begin_at(&path).unwrap();
        let (begun, begins) = channel();
        let second = thread::spawn({
            let path = path.clone();
            move || {
                let file = begin_at(&path).unwrap();
                begun.send(()).unwrap();
                drop(file);
            }
        });
        let early = begins.recv_timeout(Duration::from_millis(100));
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
        drop(first);
        begins.recv().unwrap();
        second.join().unwrap();
        fs::remove_file(path).unwrap();
    }
}
