//! Where reports go: files whole or not at all, and pipes that somebody may close.

use std::io::{self, Write};
use std::path::Path;

/// Writes a file beside its place and moves it there: a reader never sees half of it. A symbolic link is followed. What
/// is there and no file (`/dev/null`, a named pipe) is written to as it is: it must not be replaced by a file.
///
/// The file is readable for its owner only.
///
/// # Errors
///
/// Any error of the file system; an earlier file of that name is then still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomically_with(path, |out| out.write_all(bytes))
}

/// Writes a file like [`write_atomically`] with what `render` writes, which may be more than fits into memory.
///
/// # Errors
///
/// Any error of `render` or the file system; an earlier file of that name is then still there.
pub fn write_atomically_with(
    path: &Path,
    render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    replace(path, 0o600, render)
}

/// Writes a file like [`write_atomically`] that others may read, as far as the umask lets them: one with numbers for the
/// exporter of another user.
///
/// # Errors
///
/// Any error of the file system; an earlier file of that name is then still there.
pub fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, 0o644, |out| out.write_all(bytes))
}

fn replace(
    path: &Path,
    mode: u32,
    render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = &match std::fs::canonicalize(path) {
        Ok(there) if !there.is_file() => {
            let mut special = std::fs::File::options().write(true).open(there)?;
            return render(&mut special);
        }
        Ok(there) => there,
        Err(_not_there_yet) => path.to_owned(),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".atrest-")
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(folder_of(path))?;
    render(&mut file)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// A file for secrets that was not written. What was there is untouched.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// There is one already.
    #[error("there is a file of that name already")]
    Exists,
    /// A symbolic link, a folder, a device: secrets go where the name says, and nowhere else.
    #[error("it is {0}, not a file")]
    NotAFile(&'static str),
    /// The file system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether [`write_private`] would begin.
///
/// # Errors
///
/// As [`write_private`], as far as it can be told before.
pub fn check_private(path: &Path, replace: bool) -> Result<(), PrivateFileError> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => Err(PrivateFileError::NotAFile("a symbolic link")),
        Ok(there) if there.is_dir() => Err(PrivateFileError::NotAFile("a folder")),
        Ok(there) if !there.is_file() => Err(PrivateFileError::NotAFile("a device or a pipe")),
        Ok(_) if !replace => Err(PrivateFileError::Exists),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes a file that holds secrets: readable for its owner only from the first byte on, whole or not at all. A
/// symbolic link is refused rather than followed, and a file that is there is replaced only when `replace` says so.
///
/// # Errors
///
/// Something is there that is not to be replaced, or any error of the file system.
pub fn write_private(path: &Path, bytes: &[u8], replace: bool) -> Result<(), PrivateFileError> {
    check_private(path, replace)?;
    // Made by tempfile with mode 0600.
    let mut file = tempfile::Builder::new()
        .prefix(".atrest-")
        .tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    let moved = if replace {
        file.persist(path)
    } else {
        // Between the look and the move somebody may have put something there: it stays.
        file.persist_noclobber(path)
    };
    match moved {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(PrivateFileError::Exists)
        }
        Err(error) => Err(error.error.into()),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

/// Whether the reader of a pipe has gone: a normal end, as with `atrest scan | head`.
#[must_use]
pub fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_atomically(&dir.path().join("no/such/folder/x"), b"").is_err());
    }

    #[test]
    fn a_file_for_others_can_be_read_by_them_and_a_report_cannot() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (public, own) = (dir.path().join("a.prom"), dir.path().join("a.json"));
        write_public(&public, b"one").unwrap();
        write_atomically(&own, b"one").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        // As far as the umask of whoever runs this lets it.
        let plain = dir.path().join("plain");
        std::fs::write(&plain, b"").unwrap();
        assert_eq!(mode(&public), mode(&plain) & 0o644);
        assert_eq!(mode(&own), 0o600);
    }

    #[test]
    fn a_report_that_fails_half_way_leaves_the_earlier_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        write_atomically(&path, b"one").unwrap();
        let failed = write_atomically_with(&path, |out| {
            out.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn devices_and_links_stay_what_they_are() {
        use std::os::unix::fs::FileTypeExt as _;
        write_atomically(Path::new("/dev/null"), b"gone").unwrap();
        let kind = std::fs::metadata("/dev/null").unwrap().file_type();
        assert!(kind.is_char_device());

        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, b"one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomically(&link, b"two").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert!(link.is_symlink());
    }

    #[test]
    fn a_file_for_secrets_is_private_and_replaces_nothing_unasked() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a.sql"), dir.path().join("link"));
        write_private(&path, b"one", false).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = write_private(&path, b"two", false).unwrap_err();
        assert!(matches!(again, PrivateFileError::Exists), "{again}");
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for replace in [false, true] {
            let refused = write_private(&link, b"two", replace).unwrap_err();
            assert!(
                matches!(refused, PrivateFileError::NotAFile(_)),
                "{refused}"
            );
            let refused = write_private(dir.path(), b"two", replace).unwrap_err();
            assert!(
                matches!(refused, PrivateFileError::NotAFile(_)),
                "{refused}"
            );
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"two", true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        assert!(write_atomically(&path, b"one").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
