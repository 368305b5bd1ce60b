//! Who we are to the store: a file in the form that S3's own tools use, or the environment.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use object_store::aws::AmazonS3Builder;

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 16 * 1_024;

/// A key, its secret, and the token of a loan. It cannot be shown.
pub struct Credentials {
    key: String,
    secret: String,
    token: Option<String>,
}

impl core::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Why there are none. No text of the file is in it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Others may read the file.
    #[error("others than its owner may read it")]
    Open,
    /// A key or its secret is missing.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// Neither a file nor the environment has them.
    #[error("there is no credentials_file, and the environment has no {0}")]
    Environment(&'static str),
}

const KEY: [&str; 2] = ["aws_access_key_id", "AWS_ACCESS_KEY_ID"];
const SECRET: [&str; 2] = ["aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"];
const TOKEN: [&str; 2] = ["aws_session_token", "AWS_SESSION_TOKEN"];

impl Credentials {
    /// From the file, or from the environment where none is named.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn find(file: Option<&Path>) -> Result<Self, CredentialsError> {
        if let Some(file) = file {
            return Self::read(file);
        }
        let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            key: of(KEY[1]).ok_or(CredentialsError::Environment(KEY[1]))?,
            secret: of(SECRET[1]).ok_or(CredentialsError::Environment(SECRET[1]))?,
            token: of(TOKEN[1]),
        })
    }

    /// Lines such as `aws_access_key_id = ...`; the first of a name counts, titles in brackets and other lines are passed over.
    fn read(file: &Path) -> Result<Self, CredentialsError> {
        let about = std::fs::metadata(file)?;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(CredentialsError::Open);
        }
        if about.len() > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")).into());
        }
        let text = std::fs::read_to_string(file)?;
        let of = |name: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once('='));
            let field = fields.find(|(field, _)| field.trim() == name);
            field.map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        Ok(Self {
            key: of(KEY[0]).ok_or(CredentialsError::Missing(KEY[0]))?,
            secret: of(SECRET[0]).ok_or(CredentialsError::Missing(SECRET[0]))?,
            token: of(TOKEN[0]),
        })
    }

    /// Hands them over.
    pub fn give(self, builder: AmazonS3Builder) -> AmazonS3Builder {
        let builder = builder.with_access_key_id(self.key).with_secret_access_key(self.secret);
        match self.token {
            Some(token) => builder.with_token(token),
            None => builder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_tools_of_s3_write_it_and_no_error_shows_a_secret() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let file = dir.path().join("s3.credentials");
        let check = |text: &str, mode: u32| {
            std::fs::write(&file, text).expect("written");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
            Credentials::find(Some(&file))
        };
        let whole = "[default]\n# ours\naws_access_key_id = KEY\naws_secret_access_key=geheim=/+\n";
        let read = check(whole, 0o600).expect("credentials");
        assert_eq!((&*read.key, &*read.secret, read.token.as_deref()), ("KEY", "geheim=/+", None));
        assert_eq!(format!("{read:?}"), "Credentials");
        assert!(matches!(check(whole, 0o640), Err(CredentialsError::Open)));
        let error = check("aws_secret_access_key = geheim\n", 0o600).expect_err("no key");
        assert_eq!(error.to_string(), "it has no aws_access_key_id");
        let error = check("aws_access_key_id = geheim\naws_secret_access_key =\n", 0o600).expect_err("no secret");
        assert_eq!(error.to_string(), "it has no aws_secret_access_key");
    }
}
