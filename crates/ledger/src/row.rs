//! Columns to values and back: times are milliseconds since 1970, maps are JSON text.

use crate::Error;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{Any, ColumnIndex, Decode, Row, Type};

pub(crate) fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// One column of a row.
pub(crate) fn get<'r, T>(row: &'r AnyRow, column: &'static str) -> Result<T, Error>
where
    T: Decode<'r, Any> + Type<Any>,
    &'static str: ColumnIndex<AnyRow>,
{
    row.try_get(column).map_err(Error::database("read a row"))
}

pub(crate) fn time(row: &AnyRow, column: &'static str) -> Result<Timestamp, Error> {
    let value: i64 = get(row, column)?;
    from_millis(value, column)
}

pub(crate) fn optional_time(row: &AnyRow, column: &'static str) -> Result<Option<Timestamp>, Error> {
    let value: Option<i64> = get(row, column)?;
    value.map(|value| from_millis(value, column)).transpose()
}

fn from_millis(value: i64, column: &'static str) -> Result<Timestamp, Error> {
    Timestamp::from_millisecond(value).map_err(|_| Error::Column {
        column,
        value: value.to_string(),
    })
}

pub(crate) fn number(row: &AnyRow, column: &'static str) -> Result<u64, Error> {
    let value: i64 = get(row, column)?;
    u64::try_from(value).map_err(|_| Error::Column {
        column,
        value: value.to_string(),
    })
}

pub(crate) fn from_json<T: DeserializeOwned>(row: &AnyRow, column: &'static str) -> Result<T, Error> {
    let text: String = get(row, column)?;
    serde_json::from_str(&text).map_err(|_| Error::Column { column, value: text })
}

/// Row numbers and counts fit in SQL's signed integers for as long as it matters; beyond that they saturate.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
