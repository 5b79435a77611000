//! Chains of descriptors in DMA memory, and the completion word: what the engine reads, and what it answers.
//!
//! A script writes the registers itself (CHANCMP, CHAINADDR, DMACOUNT): nothing here starts anything.

mod completion;

mod field;

mod show;

mod slots;

use std::rc::Rc;

use rhai::{Dynamic, Engine, INT, Map};

use super::super::failure::{Failure, failed};
use super::super::{Entry, Session};
use field::{Field, FieldError};
use slots::Chain;

const GROUP: &str = "I/OAT descriptors and chains";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "chain",
        call: "chain(n) -> Chain",
        says: "n descriptors of 64 bytes in DMA memory, all zero but for their links: each leads to the next, the last to 0.",
        group: GROUP,
    },
    Entry {
        name: "chain_ring",
        call: "chain_ring(n) -> Chain",
        says: "As chain, but the last descriptor leads to the first.",
        group: GROUP,
    },
    Entry {
        name: "address",
        call: "chain.address(i) -> integer",
        says: "Where descriptor i is for the device. It is what CHANSTS and the completion word name. Also: chain.iova, the \
               first one's, and chain.len.",
        group: GROUP,
    },
    Entry {
        name: "copy",
        call: "chain.copy(i, source, destination, bytes)\nchain.copy(i, source, destination, bytes, #{interrupt: true, status: true})",
        says: "Makes descriptor i a COPY. Addresses are integers or buffers. The map sets control bits by name, in either \
               case: interrupt (INT_EN), status (CMPL_WR), fence, null, src_page_break, ... The link stays.",
        group: GROUP,
    },
    Entry {
        name: "null",
        call: "chain.null(i)\nchain.null(i, #{interrupt: true, status: true})",
        says: "Makes descriptor i a NULL, which moves nothing and completes in its turn.",
        group: GROUP,
    },
    Entry {
        name: "fill",
        call: "chain.fill(i, destination, bytes, pattern)\nchain.fill(i, destination, bytes, pattern, #{status: true})",
        says: "Makes descriptor i a FILL: the 8 bytes of the pattern, little-endian, over and over. The engine must offer it \
               (DMACAPABILITY).",
        group: GROUP,
    },
    Entry {
        name: "get",
        call: "chain.get(i, field) -> integer",
        says: "A field of descriptor i: SIZE, CONTROL or one of its bits, OPCODE, SRC, DST, NEXT, NEXT_SRC, NEXT_DST, USER1, \
               USER2; NetDMA's words (TransferSize, ...) will do too.",
        group: GROUP,
    },
    Entry {
        name: "put",
        call: "chain.put(i, field, value)",
        says: "Writes one field of descriptor i, and leaves the rest. OPCODE takes words as well: \"FILL\". Nothing checks \
               whether the engine will like it.",
        group: GROUP,
    },
    Entry {
        name: "link",
        call: "chain.link(i, j)\nchain.link(i, address)\nchain.link(i, other)\nchain.link(i, ())",
        says: "Descriptor i leads to descriptor j of the chain; to an address (an integer that is no index, or a buffer); to \
               another chain's first; or nowhere.",
        group: GROUP,
    },
    Entry {
        name: "show",
        call: "chain.show() -> text\nchain.show(i) -> text",
        says: "All descriptors, or one, in words.",
        group: GROUP,
    },
    Entry {
        name: "hexdump",
        call: "chain.hexdump(i) -> text",
        says: "The 64 bytes of descriptor i.",
        group: GROUP,
    },
    Entry {
        name: "completion",
        call: "completion() -> Buffer",
        says: "A buffer for the completion word: its iova is for CHANCMP, and the word is its first 8 bytes.",
        group: GROUP,
    },
    Entry {
        name: "word",
        call: "buffer.word() -> integer",
        says: "The completion word, read once. What the engine wrote before it is in memory then.",
        group: GROUP,
    },
    Entry {
        name: "status_of",
        call: "buffer.status_of() -> #{address, status, code}",
        says: "The completion word, decoded: the descriptor that was completed last (0 if none), and ACTIVE, IDLE, SUSPENDED, \
               HALTED or ARMED with its code.",
        group: GROUP,
    },
];

pub(super) fn register(engine: &mut Engine, session: &Rc<Session>) {
    completion::register(engine, session);
    engine.register_type_with_name::<Chain>("Chain");
    let it = session.clone();
    engine.register_fn("chain", move |count: INT| Chain::new(&it, count, false));
    let it = session.clone();
    engine.register_fn("chain_ring", move |count: INT| Chain::new(&it, count, true));
    engine.register_get("iova", |chain: &mut Chain| chain.address(0));
    engine.register_get("len", |chain: &mut Chain| chain.count());
    engine.register_fn("address", |chain: &mut Chain, i: INT| chain.address(i));
    engine.register_fn("to_string", |chain: &mut Chain| chain.to_string());
    engine.register_fn("to_debug", |chain: &mut Chain| chain.to_string());
    operations(engine);
    engine.register_fn("get", |chain: &mut Chain, i: INT, field: &str| chain.get(i, field));
    engine.register_fn("put", |chain: &mut Chain, i: INT, field: &str, value: Dynamic| {
        chain.put(i, field, &value)
    });
    engine.register_fn("link", |chain: &mut Chain, i: INT, to: Dynamic| chain.link(i, &to));
    engine.register_fn("show", |chain: &mut Chain| chain.show_all());
    engine.register_fn("show", |chain: &mut Chain, i: INT| chain.show(i));
    engine.register_fn("hexdump", |chain: &mut Chain, i: INT| chain.hexdump(i));
}

fn operations(engine: &mut Engine) {
    type Made = Result<(), Failure>;
    engine.register_fn("copy", |it: &mut Chain, i: INT, from: Dynamic, to: Dynamic, bytes: INT| -> Made {
        it.copy(i, &from, &to, bytes, &Map::new())
    });
    engine.register_fn(
        "copy",
        |it: &mut Chain, i: INT, from: Dynamic, to: Dynamic, bytes: INT, control: Map| -> Made {
            it.copy(i, &from, &to, bytes, &control)
        },
    );
    engine.register_fn("null", |it: &mut Chain, i: INT| -> Made { it.null(i, &Map::new()) });
    engine.register_fn("null", |it: &mut Chain, i: INT, control: Map| -> Made { it.null(i, &control) });
    engine.register_fn("fill", |it: &mut Chain, i: INT, to: Dynamic, bytes: INT, pattern: INT| -> Made {
        it.fill(i, &to, bytes, pattern, &Map::new())
    });
    engine.register_fn(
        "fill",
        |it: &mut Chain, i: INT, to: Dynamic, bytes: INT, pattern: INT, control: Map| -> Made {
            it.fill(i, &to, bytes, pattern, &control)
        },
    );
}

/// The control word that a map of bits asks for.
fn asked(map: &Map) -> Result<u32, Failure> {
    let mut word = 0;
    for (name, value) in map {
        let field = Field::control_bit(name).map_err(thrown)?;
        let on = value
            .as_bool()
            .map_err(|kind| failed(format!("control bit {name}: give true or false, not {kind}")))?;
        if on {
            word |= field.mask();
        }
    }
    // A control bit is one of the low 32.
    Ok(u32::try_from(word).unwrap_or(0))
}

fn thrown(error: FieldError) -> Failure {
    failed(error.to_string())
}
