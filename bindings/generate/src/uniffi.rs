//! To be written.

use crate::{Data, Model, Output, Result};

pub(crate) fn write(_model: &Model, _data: &Data) -> Result<Output> {
    Ok(Output::new())
}
