use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const CONTEXT: &str = "backup/123456789";

fn sealer(key: u8) -> Sealer {
    Sealer::new([key; 32], mint(key))
}

fn mint(seed: u8) -> Arc<Mint> {
    Arc::new(Mint::from_seed([seed; 32]))
}

fn seal(plain: &[u8], pieces: usize) -> Vec<u8> {
    let mut sealing = Sealing::new(&sealer(1), &mint(5), CONTEXT);
    let mut sealed = Vec::new();
    for piece in plain.chunks(pieces.max(1)) {
        sealed.extend(sealing.push(piece));
    }
    sealed.extend(sealing.finish());
    sealed.concat()
}

fn open_as(sealed: &[u8], pieces: usize, key: u8, context: &str) -> Result<Vec<u8>, Corrupt> {
    let mut opening = Opening::new(sealer(key), context.into());
    let mut plain = Vec::new();
    for piece in sealed.chunks(pieces.max(1)) {
        plain.extend(opening.push(piece)?);
    }
    plain.push(opening.finish()?);
    Ok(plain.concat())
}

fn open(sealed: &[u8]) -> Result<Vec<u8>, Corrupt> {
    open_as(sealed, sealed.len(), 1, CONTEXT)
}

/// Bytes of which no two stretches are alike.
fn data(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

/// The header's length in an object.
fn header(sealed: &[u8]) -> usize {
    MAGIC.len() + LENGTH + usize::from(u16::from_be_bytes([sealed[8], sealed[9]]))
}

#[test]
fn opens_what_it_sealed_at_every_edge_of_a_chunk() {
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7] {
        let plain = data(len);
        let sealed = seal(&plain, 100_000);
        let chunks = len.div_ceil(CHUNK).max(1);
        assert_eq!(sealed.len(), header(&sealed) + len + chunks * TAG, "{len}");
        assert!(open_as(&sealed, 77_777, 1, CONTEXT) == Ok(plain), "{len}");
    }
}

#[test]
fn never_seals_the_same_twice() {
    let (sealer, mint) = (sealer(1), mint(5));
    let seal = || Sealing::new(&sealer, &mint, CONTEXT).finish().concat();
    assert_ne!(seal(), seal());
}

#[test]
fn shows_nothing_of_what_it_sealed() {
    let plain = b"canary-value-that-is-secret".repeat(50_000);
    let sealed = seal(&plain, plain.len());
    assert!(!sealed.windows(12).any(|window| window == b"canary-value"));
}

#[test]
fn refuses_another_key_and_another_backup() {
    let sealed = seal(b"data", 4);
    assert_eq!(open_as(&sealed, 10, 2, CONTEXT), Err(Corrupt::Key));
    assert_eq!(open_as(&sealed, 10, 1, "backup/123456780"), Err(Corrupt::Key));
}

#[test]
fn refuses_what_is_no_sealed_backup() {
    assert_eq!(open(b"REDIS0011\xfa\x09redis-ver"), Err(Corrupt::Foreign));
    assert_eq!(open(b""), Err(Corrupt::Damaged));
    assert_eq!(open(&MAGIC), Err(Corrupt::Damaged));
    let claims_much = [&MAGIC[..], &[0xff, 0xff], &[0; 64]].concat();
    assert_eq!(open(&claims_much), Err(Corrupt::Damaged));
}

#[test]
fn refuses_chunks_in_another_order_twice_or_missing() {
    let sealed = seal(&data(3 * CHUNK + 9), CHUNK);
    let (header, chunks) = sealed.split_at(header(&sealed));
    let chunks: Vec<_> = chunks.chunks(CHUNK + TAG).collect();
    let object = |order: &[usize]| {
        let order: Vec<_> = order.iter().map(|at| chunks[*at]).collect();
        [header, &order.concat()].concat()
    };
    assert!(open(&object(&[0, 1, 2, 3])).is_ok());
    let others: [&[usize]; 8] = [
        &[1, 0, 2, 3],
        &[0, 2, 1, 3],
        &[0, 0, 1, 2, 3],
        &[0, 1, 2, 3, 3],
        &[0, 1, 3],
        &[1, 2, 3],
        &[0, 1, 2],
        &[],
    ];
    for order in others {
        assert_eq!(open(&object(order)), Err(Corrupt::Damaged), "{order:?}");
    }
}

#[test]
fn refuses_chunks_of_another_object_with_the_same_key() {
    let (key, mint) = (sealer(1), mint(5));
    let seal = |byte: u8| {
        let mut sealing = Sealing::new(&key, &mint, CONTEXT);
        let mut sealed = sealing.push(&vec![byte; 2 * CHUNK]);
        sealed.extend(sealing.finish());
        sealed.concat()
    };
    let (one, other) = (seal(1), seal(2));
    let at = header(&one) + CHUNK + TAG;
    let mixed = [&one[..at], &other[at..]].concat();
    assert_eq!(open(&mixed), Err(Corrupt::Damaged));
}

#[test]
fn holds_no_more_than_a_chunk() {
    let mut sealing = Sealing::new(&sealer(1), &mint(5), CONTEXT);
    let mut opening = Opening::new(sealer(1), CONTEXT.into());
    let piece = vec![7; 200_000];
    for _ in 0..64 {
        for sealed in sealing.push(&piece) {
            opening.push(&sealed).unwrap();
            assert!(opening.buffer.capacity() <= CHUNK + TAG);
        }
        assert!(sealing.chunk.capacity() <= CHUNK + TAG);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn opens_however_it_is_cut(len in 0..3_000_000usize, one in 1..1_500_000usize, two in 1..1_500_000usize) {
        let plain = data(len);
        prop_assert!(open_as(&seal(&plain, one), two, 1, CONTEXT) == Ok(plain));
    }

    #[test]
    fn refuses_any_truncation(len in 0..1_500_000usize, cut in any::<prop::sample::Index>()) {
        let sealed = seal(&data(len), len);
        let cut = cut.index(sealed.len());
        prop_assert!(open(&sealed[..cut]).is_err());
    }

    #[test]
    fn refuses_any_changed_bit(len in 0..1_500_000usize, at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut sealed = seal(&data(len), len);
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(open(&sealed).is_err());
    }

    #[test]
    fn refuses_any_changed_bit_of_the_header(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut sealed = seal(b"some data", 9);
        let at = at.index(header(&sealed));
        sealed[at] ^= 1 << bit;
        prop_assert!(open(&sealed).is_err());
    }

    #[test]
    fn refuses_anything_after_the_end(len in 0..1_100_000usize, more in prop::collection::vec(any::<u8>(), 1..100)) {
        let sealed = [seal(&data(len), len), more].concat();
        prop_assert!(open(&sealed).is_err());
    }

    #[test]
    fn never_panics_on_what_is_no_object(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(open(&bytes).is_err());
        prop_assert!(open(&[&MAGIC[..], &bytes].concat()).is_err());
    }
}
