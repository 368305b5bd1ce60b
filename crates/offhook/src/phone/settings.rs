//! What `offhook phone --setup` keeps in the user's folder, so that `offhook phone` needs no arguments.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Bits of a file's mode by which others than its owner may read or write it.
const OTHERS: u32 = 0o077;

/// The file, and the one with the password beside it.
#[derive(Debug, Clone)]
pub struct Place {
    pub settings: PathBuf,
    pub password: PathBuf,
}

impl Place {
    /// In the user's folder for settings: `$XDG_CONFIG_HOME/offhook`, or `~/.config/offhook`. None where the user has no home.
    pub fn of_user() -> Option<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?.join("offhook");
        Some(Self { settings: folder.join("phone.toml"), password: folder.join("phone.password") })
    }
}

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Who we are.
    pub account: String,
    /// Servers, where they are not the account's host: the first one, and those to go to when it is gone.
    pub servers: Vec<String>,
    /// Devices, where not the system's choice.
    pub input_device: Option<String>,
    pub output_device: Option<String>,
    pub ring_device: Option<String>,
    /// The address of the exchange's pages, where the agent's state is shown, and the user there.
    pub desk: Option<String>,
    pub desk_user: Option<String>,
}

impl Settings {
    /// Reads them, and the password; none where there are none.
    pub fn load(place: &Place) -> Result<Option<(Self, String)>> {
        let text = match fs::read_to_string(&place.settings) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| place.settings.display().to_string()),
        };
        let settings = toml::from_str(&text).with_context(|| place.settings.display().to_string())?;
        let path = place.password.display();
        let mode = fs::metadata(&place.password).with_context(|| path.to_string())?.permissions().mode();
        ensure!(mode & OTHERS == 0, "{path} can be read by others: chmod 600 {path}");
        Ok(Some((settings, super::first_line(&place.password)?)))
    }

    /// Keeps them, and the password in a file that nobody else may read.
    pub fn save(&self, place: &Place, password: &str) -> Result<()> {
        let folder = place.settings.parent().context("no folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let text = toml::to_string(self)?;
        write_private(&place.settings, &text)?;
        write_private(&place.password, &format!("{password}\n"))
    }
}

/// Writes a file that is its owner's alone from its first byte on, in the place of what was there.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        // One that was left behind may have other rights.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_kept_for_their_owner_alone_and_a_password_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join("offhook").join(name);
        let place = Place { settings: at("phone.toml"), password: at("phone.password") };
        assert!(Settings::load(&place).unwrap().is_none());
        let settings = Settings {
            account: "sip:ann@pbx.example.com".into(),
            servers: vec!["10.0.0.1".into(), "10.0.0.2".into()],
            input_device: Some("usb".into()),
            ..Settings::default()
        };
        for password in ["first secret", "second secret"] {
            settings.save(&place, password).unwrap();
            assert_eq!(Settings::load(&place).unwrap(), Some((settings.clone(), password.into())));
        }
        assert_eq!(fs::metadata(&place.password).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&place.settings).unwrap().contains("secret"));
        fs::set_permissions(&place.password, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Settings::load(&place).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }
}
