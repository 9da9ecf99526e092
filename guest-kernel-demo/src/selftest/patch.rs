//! Call sites after patching.

use core::ops::Range;

use pvops_core::patch::{self, PatchError};
use pvops_core::site::image_sites;
use pvops_core::{OpTable, installed};

use super::Outcome;
use crate::layout;
use crate::selftest::extable::probe_write;
use crate::text::{ensure, text};

/// No site of the image still calls through the table.
pub(super) fn sites() -> Outcome {
    let sites = image_sites();
    ensure!(!sites.is_empty(), "the image has no call sites");
    for site in sites {
        // SAFETY: the site is in the image's text.
        let bytes = unsafe { (site.address() as *const [u8; 2]).read() };
        ensure!(
            bytes != [0xff, 0x15],
            "{} at {:#x} is not patched",
            site.op(),
            site.address()
        );
        let text = layout::text();
        ensure!(
            text.contains(&site.address()),
            "{:#x} is not in the text",
            site.address()
        );
    }
    Ok(text!(
        "{} sites, {} bytes of records",
        sites.len(),
        size_of_val(sites)
    ))
}

/// Patching a second time, which is to say sites that are no calls, is refused, and changes nothing.
pub(super) fn tampered() -> Outcome {
    let Some(bindings) = installed() else {
        return Err(text!("nothing is installed"));
    };
    let before = checksum(layout::text());
    // SAFETY: the sites are those of this image.
    let error = unsafe { patch::verify(image_sites(), &bindings) };
    let first = image_sites()[0].address();
    let named = matches!(error, Err(PatchError::NotACallSite { site, .. }) if site == first);
    ensure!(named, "patching again gives {error:?}");
    ensure!(checksum(layout::text()) == before, "the text has changed");
    Ok(text!(
        "refused at {first:#x}, {} bytes of text unchanged",
        layout::text().len()
    ))
}

/// Neither the table nor the text can be written.
pub(super) fn sealed() -> Outcome {
    let table = (&raw const *OpTable::get()).addr();
    // SAFETY: if a write gets through, it writes what is there.
    unsafe {
        ensure!(probe_write(table).is_err(), "the op table can be written");
        ensure!(
            probe_write(layout::text_start()).is_err(),
            "the text can be written"
        );
        ensure!(
            probe_write(layout::WRITABLE_ALIAS.start).is_err(),
            "the alias of the text is still there"
        );
    }
    Ok(text!("writes to the op table and the text fault"))
}

/// FNV-1a.
pub(super) fn checksum(range: Range<usize>) -> u64 {
    range.fold(0xcbf2_9ce4_8422_2325, |sum, address| {
        // SAFETY: the range is the image's text.
        let byte = unsafe { (address as *const u8).read_volatile() };
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
