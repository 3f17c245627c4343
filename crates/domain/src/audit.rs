//! The audit trail: one line for every call, secrets masked.

use jiff::Timestamp;

use crate::ids::{AccessKeyId, AccountId};

/// Values of parameters with one of these in their names, in any case, never reach an audit line or
/// a log: whoever spells `NewPassword` in another way meant one all the same.
const MASKED: [&str; 5] = ["password", "passwd", "secret", "securitytoken", "signature"];

/// One call and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// The id that the caller was given.
    pub request_id: String,
    /// When the call came in.
    pub at: Timestamp,
    /// The action, as it was named.
    pub action: String,
    /// Who called; `None` where the caller could not be told.
    pub account: Option<AccountId>,
    /// With which key.
    pub access_key: Option<AccessKeyId>,
    /// From where, `address:port`.
    pub source: String,
    /// The parameters, masked, as `Name=value` joined by `&`.
    pub parameters: String,
    /// The HTTP status that was answered.
    pub status: u16,
    /// The error code that was answered; `None` for a success.
    pub code: Option<String>,
}

/// The parameters of a call as an audit line shows them: secrets as `***`, long values cut.
pub fn masked<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in parameters {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        let lower = name.to_ascii_lowercase();
        if !value.is_empty() && MASKED.iter().any(|word| lower.contains(word)) {
            text.push_str("***");
        } else {
            text.extend(value.chars().take(256));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_secrets_and_cuts_long_values() {
        let long = "x".repeat(1000);
        let text = masked([("Password", "Aa1aaaaa"), ("Token", ""), ("N", &long)].into_iter());
        assert_eq!(text, format!("Password=***&Token=&N={}", "x".repeat(256)));
    }

    #[test]
    fn masks_a_secret_however_its_parameter_is_spelled() {
        for name in ["NewPassword", "password", "AccountPassword.1", "AccessKeySecret"] {
            assert_eq!(masked([(name, "Aa1aaaaa")].into_iter()), format!("{name}=***"));
        }
    }
}
