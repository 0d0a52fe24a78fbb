//! Certificates: read at the start and at every hangup, or made for a test network.

use crate::args::SelfSigned;
use anyhow::{Context as _, bail};
use darkchat_transport_ws::{Certificate, TlsError};
use rcgen::{CertificateParams, KeyPair};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes of a file with certificates or a key; a chain has some thousand.
const FILE_MAX: u64 = 1024 * 1024;
/// Others than owner and group, who may not read a key. Groups may, because that is how certificates are handed out.
const OTHERS: u32 = 0o007;
/// How long a certificate that signs itself is good: as long as browsers take from anybody.
const GOOD_FOR: Duration = Duration::from_secs(397 * 24 * 3600);
/// It is good since yesterday, for clocks that are behind.
const SINCE: Duration = Duration::from_secs(24 * 3600);
/// For whom it is made unless said.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The files that a listener's certificate comes from.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    /// # Errors
    /// A file cannot be read, holds something else, or others may read the key; each names the file.
    pub(crate) fn load(&self) -> anyhow::Result<Certificate> {
        let (chain, key) = self.read()?;
        Certificate::from_pem(&chain, &key).map_err(|error| self.blame(error))
    }

    /// # Errors
    /// As [`load`](Self::load); the former certificate then stays.
    pub(crate) fn reload(&self, certificate: &Certificate) -> anyhow::Result<()> {
        let (chain, key) = self.read()?;
        certificate.replace(&chain, &key).map_err(|error| self.blame(error))
    }

    fn read(&self) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
        let (chain, _) = read(&self.cert).with_context(|| cannot_read("certificate", &self.cert))?;
        let (key, mode) = read(&self.key).with_context(|| cannot_read("key", &self.key))?;
        if mode & OTHERS != 0 {
            let (mode, path) = (mode & 0o777, self.key.display());
            bail!("others can use the TLS key (mode {mode:03o}), run: chmod 600 {path}");
        }
        Ok((chain, key))
    }

    /// Names the file in which something is wrong.
    fn blame(&self, error: TlsError) -> anyhow::Error {
        let files = match error {
            TlsError::NoCertificate => self.cert.display().to_string(),
            TlsError::NoKey => self.key.display().to_string(),
            _ => format!("{} and {}", self.cert.display(), self.key.display()),
        };
        anyhow::Error::new(error).context(format!("cannot use {files}"))
    }
}

fn cannot_read(what: &str, path: &Path) -> String {
    format!("cannot read the TLS {what} {}", path.display())
}

/// All of a file and its mode.
fn read(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok((bytes, mode))
}

/// Makes a pair and gives the lines that say where it is and how to know it again.
///
/// # Errors
/// A name is none, or a file exists or cannot be written; what exists is left as it is.
pub(crate) fn self_signed(wanted: &SelfSigned) -> anyhow::Result<String> {
    let names = if wanted.name.is_empty() { NAMES.map(str::to_owned).to_vec() } else { wanted.name.clone() };
    let mut params = CertificateParams::new(names.clone())
        .with_context(|| format!("not host names or addresses: {}", names.join(" ")))?;
    let now = SystemTime::now();
    params.not_before = (now - SINCE).into();
    params.not_after = (now + GOOD_FOR).into();
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    write(&wanted.tls_key, 0o600, &key.serialize_pem())?;
    if let Err(error) = write(&wanted.tls_cert, 0o644, &certificate.pem()) {
        // A key without its certificate is of no use, and would be in the way of the next attempt.
        drop(fs::remove_file(&wanted.tls_key));
        return Err(error);
    }
    let mut lines = String::new();
    writeln!(lines, "cert     {}", wanted.tls_cert.display())?;
    writeln!(lines, "key      {}", wanted.tls_key.display())?;
    writeln!(lines, "names    {}", names.join(" "))?;
    writeln!(lines, "sha256   {}", fingerprint(certificate.der()))?;
    Ok(lines)
}

/// As browsers show it.
fn fingerprint(der: &[u8]) -> String {
    let bytes: Vec<String> = Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

/// Writes a new file; one that exists is left as it is.
fn write(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("darkchatd-tls-{name}-{}", std::process::id()));
            drop(fs::remove_dir_all(&path));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn wanted(&self) -> SelfSigned {
            let at = |name: &str| self.0.join(name);
            SelfSigned { name: Vec::new(), tls_cert: at("cert.pem"), tls_key: at("key.pem") }
        }

        fn files(&self) -> Files {
            Files { cert: self.wanted().tls_cert, key: self.wanted().tls_key }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn what_is_made_can_be_used_and_is_never_overwritten() {
        let folder = Folder::new("made");
        let lines = self_signed(&folder.wanted()).unwrap();
        let sha256 = lines.lines().find_map(|line| line.strip_prefix("sha256   ")).unwrap();
        assert_eq!((sha256.len(), sha256.split(':').count()), (95, 32));
        let certificate = folder.files().load().unwrap();
        folder.files().reload(&certificate).unwrap();
        let before = fs::read(folder.files().cert).unwrap();
        assert!(self_signed(&folder.wanted()).is_err());
        assert_eq!(fs::read(folder.files().cert).unwrap(), before);
        let mode = fs::metadata(folder.files().key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_without_a_place_for_its_certificate_does_not_stay() {
        let folder = Folder::new("half");
        fs::write(folder.files().cert, "mine").unwrap();
        assert!(self_signed(&folder.wanted()).is_err());
        assert!(!folder.files().key.exists());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = Folder::new("wrong");
        let Files { cert, key } = folder.files();
        let says = |words: &[&str]| {
            let error = format!("{:#}", folder.files().load().unwrap_err());
            assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
        };
        says(&["cannot read", cert.to_str().unwrap()]);
        self_signed(&folder.wanted()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
        says(&["chmod 600", key.to_str().unwrap(), "604"]);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        folder.files().load().unwrap();
        fs::write(&key, "nothing").unwrap();
        says(&["private key", key.to_str().unwrap()]);
        fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        says(&["cannot be used", cert.to_str().unwrap(), key.to_str().unwrap()]);
        fs::write(&cert, "nothing").unwrap();
        says(&["no certificates", cert.to_str().unwrap()]);
    }
}
