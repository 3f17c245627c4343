//! How much of a request is read at all.
//!
//! Every limit is checked before the work that grows with what it bounds, and has its own clear
//! 4xx fault. The sizes of a refused request never reach the signature.

use crate::{Fault, Params, RawRequest, common};

/// Upper bounds on one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Body, bytes.
    pub body_bytes: usize,
    /// Query string as sent, bytes.
    pub query_bytes: usize,
    /// Parameters in query and body together.
    pub params: usize,
    /// One decoded parameter name, bytes.
    pub name_bytes: usize,
    /// One decoded parameter value, bytes.
    pub value_bytes: usize,
    /// Number of headers.
    pub headers: usize,
    /// Header names and values together, bytes.
    pub header_bytes: usize,
    /// The signature nonce, bytes; nonces are remembered, so their size is memory.
    pub nonce_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            query_bytes: 64 * 1024,
            params: 512,
            name_bytes: 256,
            value_bytes: 32 * 1024,
            headers: 100,
            header_bytes: 32 * 1024,
            nonce_bytes: 256,
        }
    }
}

impl Limits {
    /// Checks what can be seen without decoding: body, query, headers.
    pub(crate) fn check_sizes(&self, raw: &RawRequest<'_>) -> Result<(), Fault> {
        if raw.body.len() > self.body_bytes {
            return Err(common::body_too_large(self.body_bytes));
        }
        if raw.query.len() > self.query_bytes {
            return Err(common::query_too_large(self.query_bytes));
        }
        let header_bytes: usize =
            raw.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if raw.headers.len() > self.headers || header_bytes > self.header_bytes {
            return Err(common::headers_too_large(self.headers, self.header_bytes));
        }
        Ok(())
    }

    /// Checks the length of a nonce.
    pub(crate) fn check_nonce(&self, nonce: &str) -> Result<(), Fault> {
        if nonce.len() > self.nonce_bytes {
            return Err(Fault::invalid("SignatureNonce"));
        }
        Ok(())
    }

    /// Adds one decoded parameter.
    ///
    /// A name given twice is refused unless both values are equal: which of two would count is a
    /// guess, and a signature covers only one.
    pub(crate) fn admit(
        &self,
        params: &mut Params,
        name: String,
        value: String,
    ) -> Result<(), Fault> {
        if name.len() > self.name_bytes {
            return Err(common::parameter_name_too_long(self.name_bytes));
        }
        if value.len() > self.value_bytes {
            return Err(common::parameter_value_too_long(&name, self.value_bytes));
        }
        match params.get_raw(&name) {
            Some(earlier) if earlier == value => Ok(()),
            Some(_) => Err(common::repeated_parameter(&name)),
            None if params.len() >= self.params => Err(common::too_many_parameters(self.params)),
            None => {
                params.insert(name, value);
                Ok(())
            }
        }
    }
}
