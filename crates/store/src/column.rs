//! How values of the domain stand in columns.
//!
//! The databases share three kinds of values: whole numbers, texts and bytes. Texts lose NUL
//! characters (PostgreSQL has no place for them); times are kept to the millisecond.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use ourkv_domain::backup::{
    BackupId, BackupJobId, BackupMode, BackupStage, BackupWindow, EngineStamp, Weekdays,
};
use ourkv_domain::billing::{EntryKind, Money, Months, OrderKind, Period};
use ourkv_domain::event::EventKind;
use ourkv_domain::ids::{
    AccessKeyId, AccountId, CouponNo, InstanceId, NodeId, OrderId, RegionId, VSwitchId, VpcId,
    ZoneId,
};
use ourkv_domain::instance::name::InstanceName;
use ourkv_domain::instance::{
    ChargeType, EngineVersion, InstanceType, Intent, Member, NetworkType, NodeType, Status, Stride,
};
use ourkv_domain::parameter::Parameters;
use ourkv_domain::security::{AddressList, GroupAttribute, GroupName};

use crate::error::StoreError;

/// A value as both databases hold it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// Something that can be written to a column.
pub(crate) trait ToValue {
    fn to_value(&self) -> Value;
}

/// Something that can be read from a column; `None` where the value is not one of its kind.
pub(crate) trait FromValue: Sized {
    fn from_value(value: Value) -> Option<Self>;
}

/// A row, read column by column.
pub(crate) struct Row {
    table: &'static str,
    columns: Arc<[String]>,
    values: Vec<Value>,
    /// Where the next column is expected: readers go through a table in its order.
    next: usize,
}

impl Row {
    pub(crate) fn new(table: &'static str, columns: Arc<[String]>, values: Vec<Value>) -> Self {
        Self { table, columns, values, next: 0 }
    }

    /// Takes the value of a column; each column can be taken once.
    pub(crate) fn take<T: FromValue>(&mut self, column: &'static str) -> Result<T, StoreError> {
        let expected = self.columns.get(self.next).is_some_and(|name| name == column);
        let place = if expected {
            Some(self.next)
        } else {
            self.columns.iter().position(|name| name == column)
        };
        let inconsistent = StoreError::Inconsistent { table: self.table, column };
        let place = place.ok_or_else(|| inconsistent.clone())?;
        self.next = place + 1;
        T::from_value(std::mem::replace(&mut self.values[place], Value::Null)).ok_or(inconsistent)
    }

    /// The columns in their order, with their values.
    pub(crate) fn into_columns(self) -> Vec<(String, Value)> {
        self.columns.iter().cloned().zip(self.values).collect()
    }

    /// The error for a value of this row that does not fit the others.
    pub(crate) fn inconsistent(&self, column: &'static str) -> StoreError {
        StoreError::Inconsistent { table: self.table, column }
    }
}

/// The values of a statement, in the order of its placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        [$($crate::column::ToValue::to_value(&$value)),*]
    };
}
pub(crate) use values;

/// Columns and their values: `columns! { id: account.id, name: account.name }`.
macro_rules! columns {
    ($($column:ident: $value:expr),* $(,)?) => {
        [$((stringify!($column), $crate::column::ToValue::to_value(&$value))),*]
    };
}
pub(crate) use columns;

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl FromValue for Value {
    fn from_value(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Option<Self> {
        if value == Value::Null { Some(None) } else { T::from_value(value).map(Some) }
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        if self.contains('\0') {
            Value::Text(self.replace('\0', "\u{fffd}"))
        } else {
            Value::Text(self.to_owned())
        }
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value {
        self.as_str().to_value()
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value {
        Value::Blob(self.to_vec())
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value {
        self.as_slice().to_value()
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Blob(bytes) = value { Some(bytes) } else { None }
    }
}

/// A value that stands in a column of whole numbers.
macro_rules! numbers {
    ($($kind:ty: $to:expr, $from:expr;)+) => {$(
        impl ToValue for $kind {
            fn to_value(&self) -> Value {
                let to: fn(&$kind) -> i64 = $to;
                Value::Int(to(self))
            }
        }
        impl FromValue for $kind {
            fn from_value(value: Value) -> Option<Self> {
                let from: fn(i64) -> Option<$kind> = $from;
                if let Value::Int(number) = value { from(number) } else { None }
            }
        }
    )+};
}

numbers! {
    i64: |number| *number, Some;
    u16: |number| i64::from(*number), |number| number.try_into().ok();
    u32: |number| i64::from(*number), |number| number.try_into().ok();
    bool: |yes| i64::from(*yes), |number| match number { 0 => Some(false), 1 => Some(true), _ => None };
    Timestamp: |time| time.as_millisecond(), |millis| Timestamp::from_millisecond(millis).ok();
    BackupId: |id| id.get(), Self::new;
    BackupJobId: |id| id.get(), Self::new;
    Ipv4Addr: |ip| i64::from(u32::from(*ip)), |number| u32::try_from(number).ok().map(Self::from);
    Money: |money| money.micros(), |micros| Some(Self::from_micros(micros));
    Months: |months| i64::from(months.get()), |number| {
        Period::parse(&number.to_string()).ok().map(Period::months)
    };
}

/// A value that stands in a column of texts.
macro_rules! texts {
    ($($kind:ty: $to:expr, $from:expr;)+) => {$(
        impl ToValue for $kind {
            fn to_value(&self) -> Value {
                let to: fn(&$kind) -> String = $to;
                Value::Text(to(self))
            }
        }
        impl FromValue for $kind {
            fn from_value(value: Value) -> Option<Self> {
                let from: fn(String) -> Option<$kind> = $from;
                String::from_value(value).and_then(from)
            }
        }
    )+};
}

macro_rules! ids {
    ($($kind:ty),+ $(,)?) => {
        texts! { $($kind: |id| id.as_str().to_owned(), |text| Self::parse(text).ok();)+ }
    };
}

macro_rules! words {
    ($($kind:ty),+ $(,)?) => {
        texts! { $($kind: |word| <&str>::from(word).to_owned(), |text| text.parse().ok();)+ }
    };
}

ids! {
    AccessKeyId, AccountId, CouponNo, InstanceId, NodeId, OrderId, RegionId, VSwitchId, VpcId,
    ZoneId,
}

words! {
    BackupMode, BackupStage, ChargeType, EngineVersion, EntryKind, EventKind, InstanceType, Intent,
    Member, NetworkType, NodeType, OrderKind, Status, Stride,
}

texts! {
    AddressList: ToString::to_string, |text| text.parse().ok();
    BackupWindow: ToString::to_string, |text| text.parse().ok();
    EngineStamp: ToString::to_string, |text| text.parse().ok();
    GroupAttribute: ToString::to_string, |text| text.parse().ok();
    GroupName: ToString::to_string, |text| text.parse().ok();
    Ipv4Net: ToString::to_string, |text| text.parse().ok();
    Weekdays: ToString::to_string, |text| text.parse().ok();
    InstanceName: |name| name.as_str().to_owned(), |text| Self::parse(&text).ok();
    Parameters: Self::to_stored, |text| Self::from_stored(&text).ok();
}
