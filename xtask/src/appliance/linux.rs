//! Linux's image, unpacked.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

/// Linux as it is in a bzImage, for a loader that takes both: an emulated machine needs seconds to unpack it.
/// Where this machine can't, or it is not packed by xz, the image is left as it is.
pub(crate) fn unpacked(image: Vec<u8>) -> Vec<u8> {
    payload(&image).and_then(unpack).unwrap_or(image)
}

/// The packed part; Linux's Documentation/arch/x86/boot.rst: `setup_sects`, "HdrS", `payload_offset` and
/// `payload_length`.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |offset: usize| {
        let bytes = image.get(offset..offset + 4)?;
        let word = u32::from_le_bytes(bytes.try_into().ok()?);
        usize::try_from(word).ok()
    };
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let setup = (usize::from(*image.get(0x1f1)?) + 1) * 512;
    let start = setup.checked_add(word(0x248)?)?;
    image.get(start..start.checked_add(word(0x24c)?)?)
}

/// By the program of this machine; `None` if that can't.
fn unpack(payload: &[u8]) -> Option<Vec<u8>> {
    // What is behind the stream is its length.
    let mut program = Command::new("xz")
        .args(["--decompress", "--stdout", "--single-stream"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut packed = program.stdin.take()?;
    let output = thread::scope(|scope| {
        // It need not read all.
        scope.spawn(move || drop(packed.write_all(payload)));
        program.wait_with_output()
    });
    let output = output.ok()?;
    (output.status.success() && output.stdout.starts_with(b"\x7fELF")).then_some(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_where_the_header_says() {
        let mut image = vec![0; 2048];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248] = 16;
        image[0x24c] = 3;
        image[1040..1043].copy_from_slice(b"abc");
        assert_eq!(payload(&image), Some(&b"abc"[..]));
        image[0x24e] = 1;
        assert_eq!(payload(&image), None);
        image.truncate(0x24d);
        assert_eq!(payload(&image), None);
    }

    #[test]
    fn what_is_not_packed_stays() {
        assert_eq!(unpacked(b"no bzImage".to_vec()), b"no bzImage");
    }
}
