//! The operations on files that faults can hit, and sets of them.

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// An operation of the file system.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            /// All of them, with their names in faults.
            pub(crate) const ALL: &'static [(&'static str, Operation)] =
                &[$(($text, Operation::$name),)*];
        }

        /// The names, for field tables.
        pub(crate) const OPERATION_NAMES: &[&str] = &[$($text,)*];
    };
}

operations! {
    /// A name is looked for in a directory.
    Lookup = "lookup",
    /// stat(2).
    Getattr = "getattr",
    /// chmod(2), chown(2), utimensat(2).
    Setattr = "setattr",
    /// truncate(2) and ftruncate(2), also when a file is opened with `O_TRUNC`.
    Truncate = "truncate",
    /// open(2) of a file that is there.
    Open = "open",
    /// open(2) of a new file, and mknod(2).
    Create = "create",
    /// read(2) and its like, and the first use of a mapped page.
    Read = "read",
    /// write(2) and its like, and the writing back of mapped pages.
    Write = "write",
    /// close(2).
    Close = "close",
    /// fsync(2), fdatasync(2), msync(2), also of directories.
    Fsync = "fsync",
    /// fallocate(2).
    Allocate = "allocate",
    /// The entries of a directory.
    Readdir = "readdir",
    /// mkdir(2).
    Mkdir = "mkdir",
    /// rmdir(2).
    Rmdir = "rmdir",
    /// unlink(2).
    Unlink = "unlink",
    /// rename(2).
    Rename = "rename",
    /// link(2).
    Link = "link",
    /// symlink(2).
    Symlink = "symlink",
    /// readlink(2).
    Readlink = "readlink",
    /// Extended attributes, all calls.
    Xattr = "xattr",
    /// statfs(2).
    Statfs = "statfs",
}

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Operations(u32);

impl Operations {
    pub(crate) fn contains(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u32) != 0
    }

    pub(crate) fn and(self, other: Operations) -> Operations {
        Operations(self.0 | other.0)
    }

    pub(crate) fn touch(self, other: Operations) -> bool {
        self.0 & other.0 != 0
    }
}

impl FromIterator<Operation> for Operations {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Operations {
        Operations(operations.into_iter().fold(0, |bits, operation| bits | 1 << operation as u32))
    }
}
