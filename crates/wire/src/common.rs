//! The faults that every action shares: protocol, authentication, flow control, our own failures.
//!
//! Source of codes, statuses and messages: the vendor's table of common errors. Where that table
//! has no row (repeated names, broken text, sizes) the code is `InvalidParameter` or
//! `RequestTooLarge`, and the message says what to change.

use std::fmt::Display;

use crate::Fault;

/// The longest string to sign that a mismatch message repeats, bytes.
const MAX_ECHO: usize = 64 * 1024;

/// Neither GET nor POST.
pub const fn unsupported_method() -> Fault {
    Fault::fixed(400, "UnsupportedHTTPMethod", "This http method is not supported.")
}

/// No action of this name, or a path other than `/`.
pub const fn unknown_action() -> Fault {
    Fault::fixed(
        404,
        "InvalidAction.NotFound",
        "Specified api is not found, please check your url and method.",
    )
}

/// Not a version that is served.
pub const fn invalid_version() -> Fault {
    Fault::fixed(400, "InvalidVersion", "Specified parameter Version is not valid.")
}

/// `Format` is neither JSON nor XML.
pub const fn unsupported_format() -> Fault {
    Fault::fixed(400, "InvalidParameter.Format", "The Specified parameter \"Format\" is not valid.")
}

/// No such access key.
pub const fn key_not_found() -> Fault {
    Fault::fixed(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
}

/// The access key is switched off.
pub const fn key_inactive() -> Fault {
    Fault::fixed(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
}

/// A temporary token that no service here issued.
pub const fn token_refused() -> Fault {
    Fault::fixed(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
}

/// The signature is not the one we computed over `string_to_sign`.
///
/// Old SDKs split the message at its first colon and compare the rest with their own string, to
/// tell a wrong secret from a wrong encoding; so the string comes last and no colon before.
/// A string too long for an answer is not repeated.
pub fn signature_mismatch(string_to_sign: &str) -> Fault {
    let echo =
        if string_to_sign.len() <= MAX_ECHO { string_to_sign } else { "(too long to repeat)" };
    Fault::new(
        400,
        "SignatureDoesNotMatch",
        format!(
            "Specified signature is not matched with our calculation. server string to sign is:{echo}"
        ),
    )
}

/// The `Authorization` header lacks a part, or leaves a header unsigned that must be signed.
pub const fn incomplete_signature() -> Fault {
    Fault::fixed(
        400,
        "IncompleteSignature",
        "The request signature does not conform to Aliyun standards.",
    )
}

/// An algorithm that is not served.
pub const fn unsupported_signature_method() -> Fault {
    Fault::fixed(400, "InvalidSignatureMethod", "Specified signature method is not supported.")
}

/// The nonce was seen within its window.
pub const fn nonce_used() -> Fault {
    Fault::fixed(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
}

/// The time stamp is not `YYYY-MM-DDThh:mm:ssZ`.
pub const fn time_malformed() -> Fault {
    Fault::fixed(
        400,
        "InvalidTimeStamp.Format",
        "Specified time stamp or date value is not well formatted.",
    )
}

/// The time stamp is more than 15 minutes from our clock.
pub const fn time_expired() -> Fault {
    Fault::fixed(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
}

/// This key calls too often.
pub const fn throttled() -> Fault {
    Fault::fixed(400, "Throttling.User", "Request was denied due to user flow control.")
}

/// Something of ours failed; the details are in our log, not in the answer.
pub const fn internal_error() -> Fault {
    Fault::fixed(
        500,
        "InternalError",
        "The request processing has failed due to some unknown error.",
    )
}

/// For the moment nobody is served, for instance while stopping.
pub const fn service_unavailable() -> Fault {
    Fault::fixed(
        503,
        "ServiceUnavailable",
        "The request has failed due to a temporary failure of the server.",
    )
}

/// The body did not arrive whole, or not in time.
pub const fn body_incomplete() -> Fault {
    Fault::fixed(408, "RequestTimeout", "The request body did not arrive in time.")
}

/// The body is larger than `limit` bytes.
pub fn body_too_large(limit: usize) -> Fault {
    too_large(413, format_args!("body is larger than {limit} bytes"))
}

/// The query string is larger than `limit` bytes.
pub fn query_too_large(limit: usize) -> Fault {
    too_large(414, format_args!("query string is larger than {limit} bytes"))
}

/// There are more than `count` headers, or they are larger than `bytes` bytes together.
pub fn headers_too_large(count: usize, bytes: usize) -> Fault {
    too_large(431, format_args!("headers are more than {count}, or larger than {bytes} bytes"))
}

/// There are more than `limit` parameters.
pub fn too_many_parameters(limit: usize) -> Fault {
    invalid_parameter(format!("The request has more than {limit} parameters."))
}

/// A parameter name longer than `limit` bytes.
pub fn parameter_name_too_long(limit: usize) -> Fault {
    invalid_parameter(format!("A parameter name is longer than {limit} bytes."))
}

/// The value of `name` is longer than `limit` bytes.
pub fn parameter_value_too_long(name: &str, limit: usize) -> Fault {
    invalid_parameter(format!("The value of parameter \"{name}\" is longer than {limit} bytes."))
}

/// `name` is given twice with different values.
pub fn repeated_parameter(name: &str) -> Fault {
    invalid_parameter(format!(
        "The parameter \"{name}\" is given more than once with different values."
    ))
}

/// A name or value that does not decode to UTF-8.
pub fn not_utf8() -> Fault {
    invalid_parameter("The request parameters are not valid UTF-8.")
}

/// A JSON body that is not an object of texts, numbers and booleans.
pub fn body_not_flat(limit: usize) -> Fault {
    invalid_parameter(format!(
        "The request body must be a flat JSON object of at most {limit} members."
    ))
}

fn too_large(status: u16, what: impl Display) -> Fault {
    Fault::new(status, "RequestTooLarge", format!("The request is too large, its {what}."))
}

fn invalid_parameter(message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(400, "InvalidParameter", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_fault_has_its_documented_form() {
        let table = [
            unsupported_method(),
            unknown_action(),
            invalid_version(),
            unsupported_format(),
            key_not_found(),
            key_inactive(),
            token_refused(),
            signature_mismatch("POST&%2F&Action%3DX"),
            incomplete_signature(),
            unsupported_signature_method(),
            nonce_used(),
            time_malformed(),
            time_expired(),
            throttled(),
            internal_error(),
            service_unavailable(),
            body_too_large(8),
            query_too_large(8),
            headers_too_large(3, 8),
            too_many_parameters(8),
            parameter_name_too_long(8),
            parameter_value_too_long("Config", 8),
            repeated_parameter("Config"),
            not_utf8(),
            body_not_flat(8),
        ]
        .map(|fault| format!("{fault}: {}", fault.message))
        .join("\n");
        insta::assert_snapshot!(table, @r#"
        400 UnsupportedHTTPMethod: This http method is not supported.
        404 InvalidAction.NotFound: Specified api is not found, please check your url and method.
        400 InvalidVersion: Specified parameter Version is not valid.
        400 InvalidParameter.Format: The Specified parameter "Format" is not valid.
        404 InvalidAccessKeyId.NotFound: Specified access key is not found.
        400 InvalidAccessKeyId.Inactive: Specified access key is disabled.
        400 InvalidSecurityToken.Malformed: Specified SecurityToken is malformed.
        400 SignatureDoesNotMatch: Specified signature is not matched with our calculation. server string to sign is:POST&%2F&Action%3DX
        400 IncompleteSignature: The request signature does not conform to Aliyun standards.
        400 InvalidSignatureMethod: Specified signature method is not supported.
        400 SignatureNonceUsed: Specified signature nonce was used already.
        400 InvalidTimeStamp.Format: Specified time stamp or date value is not well formatted.
        400 InvalidTimeStamp.Expired: Specified time stamp or date value is expired.
        400 Throttling.User: Request was denied due to user flow control.
        500 InternalError: The request processing has failed due to some unknown error.
        503 ServiceUnavailable: The request has failed due to a temporary failure of the server.
        413 RequestTooLarge: The request is too large, its body is larger than 8 bytes.
        414 RequestTooLarge: The request is too large, its query string is larger than 8 bytes.
        431 RequestTooLarge: The request is too large, its headers are more than 3, or larger than 8 bytes.
        400 InvalidParameter: The request has more than 8 parameters.
        400 InvalidParameter: A parameter name is longer than 8 bytes.
        400 InvalidParameter: The value of parameter "Config" is longer than 8 bytes.
        400 InvalidParameter: The parameter "Config" is given more than once with different values.
        400 InvalidParameter: The request parameters are not valid UTF-8.
        400 InvalidParameter: The request body must be a flat JSON object of at most 8 members.
        "#);
    }

    #[test]
    fn a_mismatch_splits_at_its_only_colon() {
        let fault = signature_mismatch("GET&%2F&Timestamp%3D08%253A00");
        let pieces: Vec<_> = fault.message.split(':').collect();
        assert_eq!(pieces[1], "GET&%2F&Timestamp%3D08%253A00");
        assert_eq!(pieces.len(), 2);
    }

    #[test]
    fn a_huge_string_to_sign_is_not_repeated() {
        let fault = signature_mismatch(&"x".repeat(MAX_ECHO + 1));
        assert!(fault.message.len() < 200);
    }
}
