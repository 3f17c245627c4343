//! Who may reach an instance.

mod describe_security_ips;
mod modify_security_ips;

pub use describe_security_ips::DescribeSecurityIps;
pub use modify_security_ips::ModifySecurityIps;
