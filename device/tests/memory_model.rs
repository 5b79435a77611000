//! The table against a naive model of single pages, and the raw accesses against plain slices: random, with the
//! failing case printed and shrunk by proptest.

#[path = "memory_support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use support::{PAGE, memfd, peek, poke, reopen};
use vfio_user_ioat::memory::{
    Access, Denied, DmaTable, GuestMemory, Lane, MapError, Pin, UnmapError, Want, access,
};

const FILE_PAGES: u64 = 32;
const SPACE_PAGES: u64 = 24;

#[derive(Clone, Debug)]
enum Op {
    Map { page: u64, pages: u64, access: u8, offset: Option<u64> },
    Unmap { page: u64, pages: u64 },
    UnmapAll,
    Resolve { iova: u64, len: u64, write: bool },
}

/// What the model knows of one page: the map that it belongs to, its permission and its page of the file.
#[derive(Clone, Copy)]
struct ModelPage {
    map: (u64, u64),
    access: u8,
    file_page: Option<u64>,
}

fn op() -> impl Strategy<Value = Op> {
    let page = 0..SPACE_PAGES;
    prop_oneof![
        6 => (page.clone(), 1..5_u64, 0..4_u8, proptest::option::weighted(0.9, 0..FILE_PAGES))
            .prop_map(|(page, pages, access, offset)| Op::Map { page, pages, access, offset }),
        3 => (page, 1..10_u64).prop_map(|(page, pages)| Op::Unmap { page, pages }),
        1 => Just(Op::UnmapAll),
        12 => (0..SPACE_PAGES * PAGE, 1..6 * PAGE, any::<bool>())
            .prop_map(|(iova, len, write)| Op::Resolve { iova, len, write }),
    ]
}

fn access_of(bits: u8) -> Access {
    [Access::NONE, Access::READ, Access::WRITE, Access::READ_WRITE][usize::from(bits)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn table_behaves_as_a_page_by_page_model(ops in proptest::collection::vec(op(), 1..80)) {
        let file = memfd(FILE_PAGES * PAGE);
        for page in 0..FILE_PAGES {
            poke(&file, page * PAGE, &page.to_le_bytes().repeat(512));
        }
        let table = DmaTable::new();
        let mut model: BTreeMap<u64, ModelPage> = BTreeMap::new();
        let mut reader = table.reader();
        for op in ops {
            match op {
                Op::Map { page, pages, access, offset } => {
                    let source = offset.map(|offset| (reopen(&file), offset * PAGE));
                    let result = table.map(page * PAGE, pages * PAGE, access_of(access), source);
                    let beyond = offset.is_some_and(|offset| offset + pages > FILE_PAGES);
                    let taken = model.range(page..page + pages).next().is_some();
                    match result {
                        Err(MapError::BeyondFile { .. }) => prop_assert!(beyond),
                        Err(MapError::Exists { iova, size }) => {
                            prop_assert!(taken);
                            prop_assert!(model.values().any(|page| page.map == (iova, size)));
                        }
                        Err(other) => prop_assert!(false, "{other}"),
                        Ok(()) => {
                            prop_assert!(!beyond && !taken);
                            let map = (page * PAGE, pages * PAGE);
                            for i in 0..pages {
                                let file_page = offset.map(|offset| offset + i);
                                model.insert(page + i, ModelPage { map, access, file_page });
                            }
                        }
                    }
                }
                Op::Unmap { page, pages } => {
                    let (first, end) = (page * PAGE, (page + pages) * PAGE);
                    let cut = model.range(page..page + pages).any(|(_, page)| {
                        page.map.0 < first || page.map.0 + page.map.1 > end
                    });
                    match table.unmap(first, pages * PAGE) {
                        Err(UnmapError::Cuts { .. }) => prop_assert!(cut),
                        Err(other) => prop_assert!(false, "{other}"),
                        Ok(ticket) => {
                            prop_assert!(!cut);
                            prop_assert!(table.is_drained(&ticket));
                            let covered = model.range(page..page + pages).count() as u64 * PAGE;
                            prop_assert_eq!(ticket.bytes(), covered);
                            model.retain(|number, _| !(page..page + pages).contains(number));
                        }
                    }
                }
                Op::UnmapAll => {
                    prop_assert_eq!(table.unmap_all().bytes(), model.len() as u64 * PAGE);
                    model.clear();
                }
                Op::Resolve { iova, len, write } => {
                    let pin = reader.pin();
                    check_resolve(&pin, &model, iova, len, write)?;
                    reader = pin.unpin();
                }
            }
        }
        prop_assert_eq!(table.stats().bytes, model.len() as u64 * PAGE);
    }

    #[test]
    fn fill_repeats_the_pattern_from_its_phase(
        start in 0..64_usize, len in 0..5000_usize, phase in any::<u64>(), pattern in any::<[u8; 8]>()
    ) {
        let mut memory = vec![0xa5_u8; 6000];
        let slice = vm_memory::VolatileSlice::from(&mut memory[start..start + len]);

        access::fill(&slice, pattern, phase);

        for (j, &byte) in memory.iter().enumerate() {
            let inside = (start..start + len).contains(&j);
            let position = |j: usize| ((phase % 8) as usize + j - start) % 8;
            prop_assert_eq!(byte, if inside { pattern[position(j)] } else { 0xa5 });
        }
    }

    #[test]
    fn copy_moves_any_alignment_and_overlap(from in 0..300_usize, to in 0..300_usize, len in 0..3000_usize) {
        let bytes: Vec<u8> = (0..4000_u32).map(|i| (i * 7 % 251) as u8).collect();
        let mut expected = bytes.clone();
        expected.copy_within(from..from + len, to);
        let mut memory = bytes;
        let all = vm_memory::VolatileSlice::from(&mut memory[..]);

        access::copy(&all.subslice(from, len).unwrap(), &all.subslice(to, len).unwrap());

        prop_assert_eq!(memory, expected);
    }
}

/// The slice must be a non-empty prefix that holds the model's bytes; a denial must give the model's reason.
fn check_resolve(
    pin: &Pin,
    model: &BTreeMap<u64, ModelPage>,
    iova: u64,
    len: u64,
    write: bool,
) -> Result<(), TestCaseError> {
    let want = if write { Want::Write } else { Want::Read };
    let expected = match model.get(&(iova / PAGE)) {
        None => Err(Denied::Unmapped { iova }),
        Some(page) if page.file_page.is_none() => Err(Denied::NoFile { iova }),
        Some(page) if !access_of(page.access).grants(want) => {
            Err(if write { Denied::ReadOnly { iova } } else { Denied::WriteOnly { iova } })
        }
        Some(_) => Ok(()),
    };
    let result = pin.resolve(Lane::Source, iova, len, want);
    prop_assert_eq!(result.as_ref().map(|_| ()).map_err(|&e| e), expected);
    let Ok(slice) = result else {
        return Ok(());
    };
    prop_assert!(!slice.is_empty() && slice.len() as u64 <= len);
    let mut bytes = vec![0; slice.len()];
    slice.copy_to(&mut bytes);
    for (at, byte) in (iova..).zip(bytes) {
        let page = model.get(&(at / PAGE));
        prop_assert!(page.is_some_and(|page| access_of(page.access).grants(want)));
        let file_page = page.and_then(|page| page.file_page).unwrap_or(u64::MAX);
        prop_assert_eq!(byte, file_page.to_le_bytes()[(at % 8) as usize]);
    }
    Ok(())
}

#[test]
fn descriptor_is_loaded_whole_and_in_order() {
    let table = DmaTable::new();
    let file = memfd(PAGE);
    for word in 0..8 {
        poke(&file, 128 + word * 8, &(word * 0x0101_0101_0101_0101 + 3).to_le_bytes());
    }
    table.map(0, PAGE, Access::READ, Some((reopen(&file), 0))).unwrap();
    let pin = table.reader().pin();

    let slice = pin.resolve(Lane::Descriptor, 128, 64, Want::Read).unwrap();
    let words = access::load_descriptor(&slice).unwrap();

    assert_eq!(words, std::array::from_fn(|i| i as u64 * 0x0101_0101_0101_0101 + 3));
    let short = pin.resolve(Lane::Descriptor, PAGE - 56, 64, Want::Read).unwrap();
    assert!(access::load_descriptor(&short).is_err());
}

#[test]
fn word_store_needs_alignment_and_room() {
    let table = DmaTable::new();
    let file = memfd(PAGE);
    table.map(0, PAGE, Access::READ_WRITE, Some((reopen(&file), 0))).unwrap();
    let pin = table.reader().pin();
    let at = |iova, len| pin.resolve(Lane::Completion, iova, len, Want::Write).unwrap();

    access::store_u64(&at(64, 8), 0x1122_3344_5566_7788).unwrap();

    assert_eq!(access::load_u64(&at(64, 8)).unwrap(), 0x1122_3344_5566_7788);
    assert_eq!(peek(&file, 64, 8), 0x1122_3344_5566_7788_u64.to_le_bytes());
    assert!(access::store_u64(&at(68, 8), 1).is_err());
    assert!(access::store_u64(&at(64, 4), 1).is_err());
    assert!(access::load_u64(&at(PAGE - 4, 8)).is_err());
}
