//! file
use std::path::Path;
use super::{Opened, SinkError};
pub fn open(_name: &str, _dir: &Path) -> Result<Opened, SinkError> {
    open_documents(_dir)
}
pub fn open_documents(_path: &Path) -> Result<Opened, SinkError> {
    Ok(Opened { writer: Box::new(super::discard::Discard::new(true, Default::default())), above: 0 })
}
