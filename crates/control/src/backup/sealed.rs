//! The form of a backup at rest: a stream of sealed chunks.
//!
//! A header names the form and holds the data key: 256 random bits, drawn for this one object and
//! sealed with the store's key for this one backup. The data follows in chunks of 1 MiB, each
//! sealed with AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár,
//! 2015): a chunk's nonce has its number and whether it is the last one. So an object that was
//! cut off, lengthened, put together in another order, taken from another backup or changed in
//! any bit does not open; nor does any with another key. What was opened before the end is
//! reached is genuine, but only the end says that it is all.
//!
//! Knows nothing of files, engines or tasks. Holds one chunk at a time.

use bytes::{Buf, Bytes};
use ourkv_domain::mint::Mint;
use ourkv_domain::secret::Secret;
use ourkv_store::Sealer;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

/// The first bytes of every object: its form and the version of it.
const MAGIC: [u8; 8] = *b"okvbkup1";
/// Plain bytes of every chunk but the last one.
const CHUNK: usize = 1 << 20;
/// What sealing adds to a chunk.
const TAG: usize = 16;
/// The sealed data key has its length before it.
const LENGTH: usize = 2;
/// What comes before the sealed key.
const FIXED: usize = MAGIC.len() + LENGTH;
/// More than any sealed data key has.
const KEY_LIMIT: usize = 1024;
/// Letters and digits of a data key: 261 bits.
const KEY_TEXT: usize = 44;

/// Why an object does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Corrupt {
    /// It does not begin as a sealed backup does.
    #[error("the stored object is not a sealed backup")]
    Foreign,
    /// It was sealed with another key, or for another backup.
    #[error("the stored object was not sealed for this backup with this key")]
    Key,
    /// It was changed, cut off or lengthened.
    #[error("the stored object was damaged")]
    Damaged,
}

/// Seals a stream.
pub(super) struct Sealing {
    cipher: Cipher,
    header: Bytes,
    /// The header went out.
    begun: bool,
    chunk: Vec<u8>,
}

impl Sealing {
    /// Begins an object that opens for `context` only.
    pub(super) fn new(sealer: &Sealer, mint: &Mint, context: &str) -> Self {
        let key = mint.secret(KEY_TEXT);
        let sealed_key = sealer.seal(&key, context);
        let length = u16::try_from(sealed_key.len()).expect("a sealed key has a hundred bytes");
        let header = [&MAGIC[..], &length.to_be_bytes(), &sealed_key].concat();
        Self { cipher: Cipher::new(&key), header: header.into(), begun: false, chunk: Vec::new() }
    }

    /// Takes plain bytes and gives what is sealed of the object, as far as it goes.
    pub(super) fn push(&mut self, mut plain: &[u8]) -> Vec<Bytes> {
        let mut sealed = Vec::new();
        while !plain.is_empty() {
            if self.chunk.len() == CHUNK {
                let mut full = std::mem::take(&mut self.chunk);
                self.cipher.seal(&self.header, false, &mut full);
                sealed.extend(self.take_header());
                sealed.push(full.into());
            }
            if self.chunk.capacity() == 0 {
                self.chunk.reserve_exact(CHUNK + TAG);
            }
            let (now, later) = plain.split_at(plain.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            plain = later;
        }
        sealed
    }

    /// Gives the end of the object.
    pub(super) fn finish(mut self) -> Vec<Bytes> {
        let mut sealed: Vec<Bytes> = self.take_header().into_iter().collect();
        self.cipher.seal(&self.header, true, &mut self.chunk);
        sealed.push(self.chunk.into());
        sealed
    }

    /// The header, the first time.
    fn take_header(&mut self) -> Option<Bytes> {
        (!std::mem::replace(&mut self.begun, true)).then(|| self.header.clone())
    }
}

/// Opens a stream.
pub(super) struct Opening {
    sealer: Sealer,
    context: String,
    state: State,
    buffer: Vec<u8>,
}

enum State {
    Header,
    Chunks { cipher: Box<Cipher>, header: Vec<u8> },
}

impl Opening {
    /// Opens what was sealed for `context`.
    pub(super) fn new(sealer: Sealer, context: String) -> Self {
        Self { sealer, context, state: State::Header, buffer: Vec::new() }
    }

    /// Takes bytes of the object and gives what is plain of it, as far as it goes.
    pub(super) fn push(&mut self, mut sealed: &[u8]) -> Result<Vec<Bytes>, Corrupt> {
        let mut plain = Vec::new();
        while !sealed.is_empty() {
            if let State::Chunks { cipher, header } = &mut self.state
                && self.buffer.len() == CHUNK + TAG
            {
                let mut chunk = std::mem::take(&mut self.buffer);
                cipher.open(header, false, &mut chunk)?;
                plain.push(chunk.into());
            }
            let wanted = self.wanted()?;
            if self.buffer.capacity() == 0 {
                self.buffer.reserve_exact(wanted);
            }
            let (now, later) = sealed.split_at(sealed.len().min(wanted - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            sealed = later;
            self.read_header()?;
        }
        Ok(plain)
    }

    /// The end of the object is reached: gives the end of what is plain.
    pub(super) fn finish(mut self) -> Result<Bytes, Corrupt> {
        let State::Chunks { mut cipher, header } = self.state else {
            return Err(Corrupt::Damaged);
        };
        cipher.open(&header, true, &mut self.buffer)?;
        Ok(self.buffer.into())
    }

    /// How many bytes the buffer should have before anything can be done with it.
    fn wanted(&self) -> Result<usize, Corrupt> {
        match self.state {
            State::Chunks { .. } => Ok(CHUNK + TAG),
            State::Header => header_length(&self.buffer),
        }
    }

    /// Reads the header, if it is there as a whole.
    fn read_header(&mut self) -> Result<(), Corrupt> {
        if matches!(self.state, State::Chunks { .. }) || self.buffer.len() < self.wanted()? {
            return Ok(());
        }
        let header = std::mem::take(&mut self.buffer);
        let sealed = &header[MAGIC.len() + LENGTH..];
        let key = self.sealer.open(sealed, &self.context).map_err(|_| Corrupt::Key)?;
        let cipher = Box::new(Cipher::new(&key));
        self.state = State::Chunks { cipher, header };
        Ok(())
    }
}

/// The sealed data key at the beginning of an object; `None` where there is not enough of it.
pub(super) fn sealed_key(begin: &[u8]) -> Result<Option<&[u8]>, Corrupt> {
    let length = header_length(begin)?;
    Ok(begin.get(FIXED..length).filter(|key| !key.is_empty()))
}

/// How long the header is, or as much of it as tells that.
fn header_length(begin: &[u8]) -> Result<usize, Corrupt> {
    let Some(mut fixed) = begin.get(..FIXED) else { return Ok(FIXED) };
    let magic = fixed.copy_to_bytes(MAGIC.len());
    match usize::from(fixed.get_u16()) {
        _ if magic != MAGIC[..] => Err(Corrupt::Foreign),
        length if length == 0 || length > KEY_LIMIT => Err(Corrupt::Damaged),
        length => Ok(FIXED + length),
    }
}

/// Seals or opens the chunks of one object, in their order.
struct Cipher {
    key: LessSafeKey,
    /// How many chunks there were.
    chunks: u32,
}

impl Cipher {
    /// The key text is random and for one object, so a plain hash makes a key of it, and nonces
    /// need nothing random.
    fn new(key: &Secret) -> Self {
        let key = Sha256::digest(key.expose().as_bytes());
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("a SHA-256 is as long as the key");
        Self { key: LessSafeKey::new(key), chunks: 0 }
    }

    fn seal(&mut self, header: &[u8], last: bool, chunk: &mut Vec<u8>) {
        let nonce = self.nonce(last).expect("4 PiB have fewer chunks than a number of 32 bits");
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(header), chunk)
            .expect("a chunk is not too long for the cipher");
    }

    fn open(&mut self, header: &[u8], last: bool, chunk: &mut Vec<u8>) -> Result<(), Corrupt> {
        let nonce = self.nonce(last).ok_or(Corrupt::Damaged)?;
        let plain = self.key.open_in_place(nonce, Aad::from(header), chunk);
        let len = plain.map_err(|_| Corrupt::Damaged)?.len();
        chunk.truncate(len);
        Ok(())
    }

    /// The nonce of the next chunk: seven zeros, its number, and whether it is the last one.
    fn nonce(&mut self, last: bool) -> Option<Nonce> {
        let number = self.chunks;
        self.chunks = number.checked_add(1)?;
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 5..NONCE_LEN - 1].copy_from_slice(&number.to_be_bytes());
        nonce[NONCE_LEN - 1] = u8::from(last);
        Some(Nonce::assume_unique_for_key(nonce))
    }
}

#[cfg(test)]
mod tests;
