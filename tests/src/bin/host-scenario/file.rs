//! The file that this process runs.

use std::slice;

use pvops_core::OpTable;
use pvops_core::site::image_sites;
use pvops_tests::check::{Outcome, equal};
use pvops_tests::image::Image;
use pvops_tests::process::{span, text};
use pvops_tests::sites::Sites;

pub(crate) fn agrees() -> Outcome {
    let file = own_file()?;
    let image = Image::parse(&file).map_err(|error| error.to_string())?;
    let sites = Sites::read(&image).map_err(|error| error.to_string())?;
    equal(
        "the number of sites",
        sites.sites.len(),
        image_sites().len(),
    )?;
    for (in_file, record) in sites.sites.iter().zip(image_sites()) {
        equal("an op", in_file.op, record.op().0)?;
        equal("a name", Some(sites.op_name(in_file)), record.op().name())?;
        equal("a length", in_file.bytes.len(), record.length())?;
        equal("a site", sites.is_unpatched(in_file), Some(true))?;
        equal(
            "a site in memory",
            text(&span(slice::from_ref(record))).as_slice(),
            in_file.bytes,
        )?;
    }
    Ok(())
}

/// The function that an address is in, by the symbols of this process's file.
pub(crate) fn function(address: usize) -> Result<String, String> {
    let file = own_file()?;
    let image = Image::parse(&file).map_err(|error| error.to_string())?;
    let table = image
        .symbols()
        .address_of("pvops_op_table")
        .ok_or("no symbol of the table")?;
    let bias = (&raw const *OpTable::get()).addr() as u64 - table;
    let place = image.symbols().place(address as u64 - bias);
    Ok(place.ok_or(format!("{address:#x} is in no function"))?.name)
}

fn own_file() -> Result<Vec<u8>, String> {
    std::fs::read("/proc/self/exe").map_err(|error| error.to_string())
}
