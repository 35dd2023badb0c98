//! The control file: reading it gives the faults in force, writing it replaces them when the writer
//! closes it or calls fsync. Each who opens it has a text of their own until then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::core::{Core, Draft};

/// How long a text may get, bytes.
const LONGEST: usize = 1 << 20;

impl Core {
    /// Opens the control file; gives the handle.
    pub(crate) fn open_draft(&self, is_cut: bool) -> u64 {
        let text = if is_cut { Vec::new() } else { self.faults().text().into_bytes() };
        self.drafts.add(Mutex::new(Draft { text, is_changed: false }))
    }

    pub(crate) fn read_draft(&self, handle: u64, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let draft = self.drafts.get(handle)?;
        let text = &lock(&draft).text;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let end = start.saturating_add(size as usize).min(text.len());
        Ok(text[start..end].to_vec())
    }

    pub(crate) fn write_draft(&self, handle: u64, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        let draft = self.drafts.get(handle)?;
        let mut draft = lock(&draft);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(data.len());
        if end > LONGEST {
            return Err(Errno::FBIG);
        }
        let length = draft.text.len().max(end);
        draft.text.resize(length, b' ');
        draft.text[start..end].copy_from_slice(data);
        draft.is_changed = true;
        u32::try_from(data.len()).map_err(|_| Errno::FBIG)
    }

    pub(crate) fn cut_draft(&self, handle: u64, size: u64) {
        if let Ok(draft) = self.drafts.get(handle) {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            lock(&draft).text.truncate(size);
        }
    }

    /// Puts the text of a handle into force, if it was changed.
    ///
    /// # Errors
    /// `EINVAL` if it cannot be read; the log says why.
    pub(crate) fn put_into_force(&self, handle: u64) -> Result<(), Errno> {
        let draft = self.drafts.get(handle)?;
        let text = {
            let mut draft = lock(&draft);
            if !std::mem::take(&mut draft.is_changed) {
                return Ok(());
            }
            draft.text.clone()
        };
        self.change(&text).map_err(|problems| {
            tracing::error!(%problems, "what was written to the control file is refused");
            Errno::INVAL
        })
    }
}

fn lock(draft: &Arc<Mutex<Draft>>) -> MutexGuard<'_, Draft> {
    draft.lock().unwrap_or_else(PoisonError::into_inner)
}
