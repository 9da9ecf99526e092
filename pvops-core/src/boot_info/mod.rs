//! What the boot loader told us.
