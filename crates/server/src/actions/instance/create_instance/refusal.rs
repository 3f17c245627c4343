//! Why CreateInstance refuses: the fifteen rows of the page's error table, and their neighbours.

use crate::actions::refusals;

refusals! {
    /// What CreateInstance refuses, in the order in which refusals are looked for.
    pub enum Refusal {
        /// Neither a class nor a capacity.
        SizeMissing = 400 "MissingParameter"
            "InstanceClass/Capacity at least one is mandatory for this action.",
        /// Row Token.
        MalformedToken = 400 "InvalidToken.Malformed"
            "The Specified parameter \"Token\" is not valid.",
        /// Row InstanceName.
        MalformedName = 400 "InvalidInstanceName.Malformed"
            "The Specified parameter \"InstanceName\" is not valid.",
        /// Row Password.
        MalformedPassword = 400 "InvalidPassword.Malformed"
            "The Specified parameter \"Password\" is not valid.",
        /// Row Config: not JSON, an unknown parameter or a bad value.
        MalformedConfig = 400 "InvalidParameters.Format"
            "The Specified parameter \"Config\" is not valid.",
        /// Row Config: a parameter of another engine version.
        ConfigNotForVersion = 400 "ParamNotSupportedForCurrentVersion"
            "The parameter is not supported for the current version.",
        /// Row Period: prepaid without one.
        PeriodMissing = 400 "MissingParameter" "Period is mandatory for this action.",
        /// Row Period: hourly-paid with one.
        PeriodUnsupported = 400 "UnsupportedParameter"
            "The Specified parameter \"Period\" is not supported for PostPaid.",
        /// Row EngineVersion.
        MalformedVersion = 400 "InvalidEngineVersion.Malformed"
            "Specified engine version is not valid.",
        /// Row RegionId.
        UnknownRegion = 404 "InvalidRegion.NotFound" "The specified region does not exist.",
        /// Row InstanceClass.
        UnknownClass = 400 "InvalidInstanceClass.NotFound"
            "The InstanceClass provided does not exist in our records.",
        /// Row Capacity.
        UnknownCapacity = 400 "InvalidCapacity.NotFound"
            "The Capacity provided does not exist in our records.",
        /// The class is of another type or node type, or its memory is too small for the backup.
        ClassMismatch = 400 "InstanceClass.NotMatch"
            "Current instance class and instance type is not match.",
        /// The class does not run here.
        NotAvailable = 400 "ResourceNotAvailable"
            "Resource you requested is not available: this class can not be created here.",
        /// The class does not exist for the engine version, or the backup is of a newer one.
        VersionMismatch = 400 "InvalidEngineVersion.Malformed"
            "Specified engine version is not valid.",
        /// Row ZoneId.
        UnknownZone = 400 "InvalidZoneId.NotFound"
            "The specified zone does not exist in the region.",
        /// The region has no classic network.
        NoClassicNetwork = 400 "InvalidIzNo.NotSupported"
            "The specified zone does not support the classic network.",
        /// An operator took the VPC service down.
        VpcServiceDown = 400 "VpcServiceError" "Invoke vpc service failed.",
        /// Row VpcId.
        UnknownVpc = 400 "InvalidVPCId.NotFound" "Specified virtual vpc is not found.",
        /// Row VSwitchId: unknown, of another VPC, or in another zone.
        UnknownVSwitch = 400 "InvalidvSwitchId"
            "Specified virtual switch is not found, or is not of the VPC or zone.",
        /// The zone has no VPC.
        ZoneWithoutVpc = 400 "IzNotSupportVpcError" "Specify iz not support vpc.",
        /// Row PrivateIpAddress: outside the block of the vSwitch.
        IpNotInSubnet = 400 "InvalidIPNotInSubnet" "Error ip not in subnet.",
        /// Rows SrcDBInstanceId and BackupId.
        UnknownBackup = 400 "InvalidBackupSetID.NotFound" "The specified backup set is not found.",
        /// Rows SrcDBInstanceId and BackupId: still being taken, or failed.
        BackupState = 403 "IncorrectBackupSetState"
            "Current backup set state does not support this operation.",
        /// Row CouponNo.
        UnknownCoupon = 400 "InvalidCouponNo.NotFound"
            "The specified coupon does not exist, is used or has expired.",
        /// The token was used for something else.
        TokenMismatch = 400 "IdempotentParameterMismatch"
            "Request uses a client token in a previous request but is not identical to that request.",
        /// The account is not authenticated.
        NoRealName = 403 "RealNameAuthenticationError"
            "Your account has not passed the real-name authentication yet.",
        /// A finance account outside the finance regions.
        FinanceUser = 400 "ResourceNotAvailable"
            "Resource you requested is not available for finance user.",
        /// The account has as many hourly-paid instances as it may.
        AfterpayQuota = 400 "QuotaExceed.AfterpayInstance"
            "Living afterpay instances quota exceeded.",
        /// The account has as many hourly-paid instances in the region as it may.
        RegionQuota = 400 "QuotaExceed" "Living afterpay instances quota exceed.",
        /// The zone is sold out.
        ZoneQuota = 400 "QuotaNotEnough" "Quota not enough in this zone.",
        /// The address is taken.
        IpInUse = 400 "InvalidPrivateIpAddress.Duplicate"
            "The specified private IP address is in use.",
        /// The vSwitch or the classic pool has no address left.
        NoAddressLeft = 400 "AllocateVpcIp.NotEnough"
            "No private IP address is left in the network.",
        /// Nothing on file to charge afterwards.
        NoPaymentMethod = 400 "PaymentMethodNotFound"
            "No payment method has been registered on the account.",
        /// Too little money.
        NoMoney = 400 "InsufficientBalance" "Your account does not have enough balance.",
        /// A rehearsal that went well.
        DryRun = 400 "DryRunOperation"
            "Request validation has been passed with DryRun flag set.",
    }
}
