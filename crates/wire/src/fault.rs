//! What a caller is told when a call fails: HTTP status, code, message, and the envelope around.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Value, json};

use crate::signature::encode;

/// A refusal or failure in the vendor's vocabulary.
///
/// The message is for the caller alone. It may repeat what they sent (the message of
/// `SignatureDoesNotMatch` holds the string to sign, password parameters included), so logs take
/// the `Display` form, which is status and code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// The vendor's error code, as in `InvalidToken.Malformed`.
    pub code: Cow<'static, str>,
    /// The vendor's sentence for it.
    pub message: Cow<'static, str>,
}

impl Fault {
    /// A fault whose texts are known when the program is written.
    pub const fn fixed(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code: Cow::Borrowed(code), message: Cow::Borrowed(message) }
    }

    /// A fault with texts made at run time.
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// 400 `MissingParameter`: a mandatory parameter is absent or empty.
    pub fn missing(name: &str) -> Self {
        let message = format!("{name} is mandatory for this action.");
        Self::new(400, "MissingParameter", message)
    }

    /// 400 `Invalid{Name}.Malformed`: the text breaks the parameter's rules of form.
    pub fn malformed(name: &str) -> Self {
        Self::new(400, format!("Invalid{name}.Malformed"), not_valid(name))
    }

    /// 400 `Invalid{Name}`: not a value that the parameter takes.
    pub fn invalid(name: &str) -> Self {
        Self::new(400, format!("Invalid{name}"), not_valid(name))
    }

    /// The value of an error answer. `host` is the endpoint's host name as the caller wrote it.
    pub fn envelope(&self, request_id: &str, host: &str) -> Value {
        let recommend = format!(
            "https://api.aliyun.com/troubleshoot?q={}&requestId={}",
            encode::once(&self.code),
            encode::once(request_id)
        );
        json!({
            "RequestId": request_id,
            "HostId": host,
            "Code": self.code,
            "Message": self.message,
            "Recommend": recommend,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.code)
    }
}

impl std::error::Error for Fault {}

fn not_valid(name: &str) -> String {
    format!("The Specified parameter \"{name}\" is not valid.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_faults_have_the_documented_texts() {
        assert_eq!(
            Fault::missing("Period"),
            Fault::fixed(400, "MissingParameter", "Period is mandatory for this action.")
        );
        assert_eq!(
            Fault::malformed("Token"),
            Fault::fixed(
                400,
                "InvalidToken.Malformed",
                "The Specified parameter \"Token\" is not valid."
            )
        );
        assert_eq!(
            Fault::invalid("Capacity"),
            Fault::fixed(
                400,
                "InvalidCapacity",
                "The Specified parameter \"Capacity\" is not valid."
            )
        );
    }

    #[test]
    fn the_envelope_has_its_five_fields_in_order() {
        let fault = Fault::fixed(400, "A.B", "Why.");
        insta::assert_snapshot!(
            fault.envelope("5DEA3CC9-F81D", "127.0.0.1:2015"),
            @r#"{"RequestId":"5DEA3CC9-F81D","HostId":"127.0.0.1:2015","Code":"A.B","Message":"Why.","Recommend":"https://api.aliyun.com/troubleshoot?q=A.B&requestId=5DEA3CC9-F81D"}"#
        );
    }

    #[test]
    fn display_leaves_the_message_out() {
        let fault = Fault::fixed(400, "SignatureDoesNotMatch", "…Password%3Dsecret");
        assert_eq!(fault.to_string(), "400 SignatureDoesNotMatch");
    }
}
