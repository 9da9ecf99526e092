//! Probing for hypervisor interfaces, on recorded, imagined and hostile machines.

mod hostile;
mod machines;
mod replay;
mod rules;
