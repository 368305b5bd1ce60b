//! Programs from PyPI, for development only, each in an environment of its own below the build folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::children::{self, Running};

/// What an S3 server needs, the module `moto.server` of the environment `s3`.
pub const S3: [&str; 3] = ["moto[s3]", "flask", "flask-cors"];

/// The Python of the environment `name`, in which `module` can be imported; `packages` are installed on the first use.
pub fn environment(name: &str, module: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = crate::target().join(name);
    let python = folder.join("bin/python");
    std::fs::create_dir_all(&folder)?;
    let probe = format!("import {module}");
    let ready = || Command::new(&python).args(["-c", &probe]).output().is_ok_and(|o| o.status.success());
    if ready() {
        return Ok(python);
    }
    let log = folder.join("install.log");
    let run = |program: &Path, arguments: &[&str]| -> Result<()> {
        let mut command = Command::new(program);
        command.args(arguments);
        let title = format!("the installation of {name}");
        let status = Running::start(&title, &mut command, &log)?.wait(Duration::from_mins(10))?;
        let tail = || children::tail(&log, 15);
        ensure!(status.success(), "{} {}: {status}\n{}", program.display(), arguments.join(" "), tail());
        Ok(())
    };
    run(Path::new("/usr/bin/python3"), &["-m", "venv", "--clear", &folder.display().to_string()])?;
    run(&python, &[&["-m", "pip", "install", "--quiet"][..], packages].concat())?;
    Ok(python)
}
