//! Hosts give memory maps that are unsorted and may overlap, and a kernel that believes them twice
//! hands out the same frame twice.
//!
//! A [`MemoryMap`] is sorted and free of overlaps at all times, whatever is put into it, and errs in
//! one direction only: it may lose RAM, it never makes any up.

use core::fmt;
use core::ops::Range;

use super::{Region, RegionKind};

/// The size of a page frame, in bytes.
const PAGE_SIZE_BYTES: u64 = 4096;

/// A map of physical memory: at most [`CAPACITY`](Self::CAPACITY) regions, in the order of their
/// addresses, none overlapping another, and no two of the same kind touching.
#[derive(Clone)]
pub struct MemoryMap {
    /// One step of an insertion adds two regions at most before their number is checked.
    regions: [Region; Self::CAPACITY + 2],
    count: usize,
    ignored: u32,
    given_up: u32,
}

impl MemoryMap {
    /// The greatest number of regions that is kept.
    pub const CAPACITY: usize = 128;

    /// An empty map.
    pub const fn new() -> Self {
        Self {
            regions: [Region::EMPTY; Self::CAPACITY + 2],
            count: 0,
            ignored: 0,
            given_up: 0,
        }
    }

    /// Adds the `length_bytes` bytes at `start`, of the given kind, as a host describes them.
    ///
    /// - Where regions overlap the more restrictive kind holds, in whichever order they come.
    /// - A length of zero adds nothing.
    /// - RAM that reaches the end of the 64-bit address space or wraps around it is nonsense and
    ///   [ignored](Self::ignored). Any other region is cut there, which is one byte short of the
    ///   end: the last byte of the address space is in no region.
    /// - When the map is full, RAM is [given up](Self::given_up) for room.
    pub fn insert(&mut self, start: u64, length_bytes: u64, kind: RegionKind) {
        match start.checked_add(length_bytes) {
            Some(end) => self.paint(start, end, kind),
            None if kind.is_usable() => self.ignored = self.ignored.saturating_add(1),
            None => self.paint(start, u64::MAX, kind),
        }
    }

    /// Makes a range of addresses reserved: the kernel's image, a module, the command line.
    pub fn reserve(&mut self, range: Range<u64>) {
        self.paint(range.start, range.end, RegionKind::RESERVED);
    }

    /// The regions, sorted.
    pub fn regions(&self) -> &[Region] {
        &self.regions[..self.count]
    }

    /// The RAM to use, by physical address, in whole pages: each range starts and ends on a multiple of
    /// 4096, and part pages are left out.
    pub fn usable(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.whole_pages(|kind| kind.is_usable())
    }

    /// The RAM to map, by physical address, in whole pages: what is [usable](Self::usable), and what a backend
    /// [keeps](RegionKind::KEPT_BY_BACKEND).
    pub fn to_map(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.whole_pages(|kind| kind.is_usable() || kind == RegionKind::KEPT_BY_BACKEND)
    }

    fn whole_pages(&self, wanted: fn(RegionKind) -> bool) -> impl Iterator<Item = Range<u64>> + '_ {
        self.regions()
            .iter()
            .filter(move |region| wanted(region.kind))
            .filter_map(|region| {
                let start = region.start.checked_next_multiple_of(PAGE_SIZE_BYTES)?;
                let end = region.end - region.end % PAGE_SIZE_BYTES;
                (start < end).then_some(start..end)
            })
    }

    /// Whether all of the range is RAM to use.
    pub fn is_usable(&self, range: &Range<u64>) -> bool {
        // No two usable regions touch.
        self.regions().iter().any(|region| {
            region.kind.is_usable() && region.start <= range.start && range.end <= region.end
        })
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many entries were nonsense.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    /// How many times a region was given up because the map was full: the smallest loss is chosen
    /// of leaving out a usable region and of reserving the gap between two that are not.
    pub fn given_up(&self) -> u32 {
        self.given_up
    }

    /// Puts `kind` on all of `start..end` that has no greater one yet.
    fn paint(&mut self, start: u64, end: u64, kind: RegionKind) {
        let mut cursor = start;
        // Each turn moves the cursor past the edge of a region, or to the end.
        while cursor < end {
            let index = self.regions().partition_point(|r| r.end <= cursor);
            let below = self.regions().get(index).copied();
            let piece_end = match below {
                Some(region) if region.start <= cursor => {
                    let piece_end = region.end.min(end);
                    if region.kind.precedence() < kind.precedence() {
                        self.split(index, cursor, piece_end, kind);
                    }
                    piece_end
                }
                _ => {
                    let piece_end = below.map_or(end, |region| region.start.min(end));
                    self.put(index, cursor, piece_end, kind);
                    piece_end
                }
            };
            if self.count > Self::CAPACITY {
                self.merge_touching();
                self.give_up_until_it_fits();
            }
            cursor = piece_end;
        }
        self.merge_touching();
    }

    /// Changes the part `start..end` of the region at `index` to `kind`.
    fn split(&mut self, index: usize, start: u64, end: u64, kind: RegionKind) {
        let whole = self.regions[index];
        self.regions[index] = Region { start, end, kind };
        if end < whole.end {
            self.put(index + 1, end, whole.end, whole.kind);
        }
        if whole.start < start {
            self.put(index, whole.start, start, whole.kind);
        }
    }

    fn put(&mut self, index: usize, start: u64, end: u64, kind: RegionKind) {
        self.regions.copy_within(index..self.count, index + 1);
        self.regions[index] = Region { start, end, kind };
        self.count += 1;
    }

    fn remove(&mut self, index: usize) {
        self.regions.copy_within(index + 1..self.count, index);
        self.count -= 1;
    }

    /// Makes one region of neighbours of the same kind.
    fn merge_touching(&mut self) {
        let mut kept = 0;
        for index in 1..self.count {
            let region = self.regions[index];
            if self.regions[kept].end == region.start && self.regions[kept].kind == region.kind {
                self.regions[kept].end = region.end;
            } else {
                kept += 1;
                self.regions[kept] = region;
            }
        }
        self.count = self.count.min(kept + 1);
    }

    fn give_up_until_it_fits(&mut self) {
        while self.count > Self::CAPACITY {
            let losses = (0..self.count).filter_map(|index| Some((self.loss(index)?, index)));
            // There is always one: a map without RAM has two neighbours that are not.
            let Some((_, index)) = losses.min() else {
                return;
            };
            if !self.regions[index].kind.is_usable() {
                self.regions[index + 1].start = self.regions[index].start;
                self.regions[index + 1].kind = RegionKind::RESERVED;
            }
            self.remove(index);
            self.given_up = self.given_up.saturating_add(1);
        }
    }

    /// The bytes that can no longer be RAM if the region at `index` is given up: by leaving it out
    /// if it is RAM, or by joining it with the next if both are not.
    fn loss(&self, index: usize) -> Option<u64> {
        let region = self.regions[index];
        if region.kind.is_usable() {
            return Some(region.length_bytes());
        }
        let next = self.regions().get(index + 1)?;
        (!next.kind.is_usable()).then(|| next.start - region.end)
    }
}

impl Default for MemoryMap {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.regions()).finish()
    }
}
