//! Error numbers by name, as faults and people write them.

use rustix::io::Errno;

const NAMES: &[(&str, Errno)] = &[
    ("EACCES", Errno::ACCESS),
    ("EAGAIN", Errno::AGAIN),
    ("EBADF", Errno::BADF),
    ("EBUSY", Errno::BUSY),
    ("EDQUOT", Errno::DQUOT),
    ("EEXIST", Errno::EXIST),
    ("EFAULT", Errno::FAULT),
    ("EFBIG", Errno::FBIG),
    ("EINTR", Errno::INTR),
    ("EINVAL", Errno::INVAL),
    ("EIO", Errno::IO),
    ("EISDIR", Errno::ISDIR),
    ("ELOOP", Errno::LOOP),
    ("EMFILE", Errno::MFILE),
    ("EMLINK", Errno::MLINK),
    ("ENAMETOOLONG", Errno::NAMETOOLONG),
    ("ENFILE", Errno::NFILE),
    ("ENODEV", Errno::NODEV),
    ("ENOENT", Errno::NOENT),
    ("ENOLCK", Errno::NOLCK),
    ("ENOMEM", Errno::NOMEM),
    ("ENOSPC", Errno::NOSPC),
    ("ENOTCONN", Errno::NOTCONN),
    ("ENOTDIR", Errno::NOTDIR),
    ("ENOTEMPTY", Errno::NOTEMPTY),
    ("ENXIO", Errno::NXIO),
    ("EOPNOTSUPP", Errno::OPNOTSUPP),
    ("EOVERFLOW", Errno::OVERFLOW),
    ("EPERM", Errno::PERM),
    ("EROFS", Errno::ROFS),
    ("ESTALE", Errno::STALE),
    ("ETIMEDOUT", Errno::TIMEDOUT),
    ("ETXTBSY", Errno::TXTBSY),
    ("EXDEV", Errno::XDEV),
];

/// The largest number that the kernel takes as an error.
const LARGEST: i32 = 4095;
/// Numbers with a meaning of their own between kernel and file system: an application would never see
/// them, or the kernel would stop asking (ENOSYS) or ask for ever.
const KERNEL_ONLY: std::ops::RangeInclusive<i32> = 512..=531;

/// The error of this name or number.
///
/// # Errors
/// What is wrong with it, in a sentence that goes on from the field's name.
pub(crate) fn errno(text: &str) -> Result<Errno, String> {
    match text.parse::<i32>() {
        Ok(number) => number_as_errno(number),
        Err(_) => NAMES.iter().find(|(name, _)| *name == text).map(|(_, errno)| *errno).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("{text:?} is no error; give its number or one of {}", names.join(", "))
        }),
    }
}

/// The error of this number; Kibosh takes it with either sign.
///
/// # Errors
/// As [`errno`].
pub(crate) fn number_as_errno(number: i32) -> Result<Errno, String> {
    let number = number.saturating_abs();
    let errno = Errno::from_raw_os_error(number.clamp(1, LARGEST));
    if !(1..=LARGEST).contains(&number) || KERNEL_ONLY.contains(&number) || errno == Errno::NOSYS {
        return Err(format!("{number} is no error that a file system can give"));
    }
    Ok(errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_names_and_numbers() {
        let rows = [("EIO", 5), ("5", 5), ("-5", 5), ("ENOSPC", 28), ("EDQUOT", 122), ("95", 95)];
        for (text, number) in rows {
            assert_eq!(errno(text).map(Errno::raw_os_error), Ok(number), "{text}");
        }
        for text in ["", "eio", "0", "38", "512", "4096", "99999999999", "EWHAT", "-2147483648"] {
            assert!(errno(text).is_err(), "{text}");
        }
    }
}
