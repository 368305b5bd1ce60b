//! What is wrong with a configuration: where, what, and what to write instead.

use core::fmt;
use core::ops::Range;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report, Severity};
use serde::Serialize;

/// Most faults that are kept; a file with more is shown these.
pub const FAULTS_MAX: usize = 200;

/// One thing that is wrong, or looks wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write or do instead.
    pub advice: String,
    /// The exchange could start with it all the same.
    pub warning: bool,
    /// Only true if the rest of the file was understood: left out where the file is not even TOML.
    needs_whole_file: bool,
}

/// Collects faults while a file is read.
#[derive(Debug, Default)]
pub struct Sink {
    list: Vec<Fault>,
    secrets: Vec<Range<usize>>,
}

impl Sink {
    /// `span` is wrong.
    pub fn fault(&mut self, span: Range<usize>, message: impl Into<String>, advice: impl Into<String>) {
        self.push(span, message.into(), advice.into(), false, false);
    }

    /// Something that `span` needs is not in the file.
    pub fn missing(&mut self, span: Range<usize>, message: impl Into<String>, advice: impl Into<String>) {
        self.push(span, message.into(), advice.into(), false, true);
    }

    /// `span` looks wrong.
    pub fn warn(&mut self, span: Range<usize>, message: impl Into<String>, advice: impl Into<String>) {
        self.push(span, message.into(), advice.into(), true, true);
    }

    /// `span` is never shown.
    pub fn hide(&mut self, span: Range<usize>) {
        self.secrets.push(span);
    }

    fn push(&mut self, span: Range<usize>, message: String, advice: String, warning: bool, needs_whole_file: bool) {
        let fault = Fault { span, message, advice, warning, needs_whole_file };
        if !self.list.contains(&fault) && self.list.len() < FAULTS_MAX {
            self.list.push(fault);
        }
    }

    /// Whether nothing but warnings was put in.
    pub fn is_good(&self) -> bool {
        self.list.iter().all(|fault| fault.warning)
    }

    /// Everything in the order of the file. `whole` tells whether the file could be read as TOML.
    pub fn into_faults(self, file: &Path, source: &str, whole: bool) -> Faults {
        let Self { mut list, secrets } = self;
        list.retain(|fault| whole || !fault.needs_whole_file);
        list.sort_by_key(|fault| (fault.span.start, fault.span.end));
        let mut shown = source.to_owned();
        for secret in secrets {
            if shown.get(secret.clone()).is_some() {
                shown.replace_range(secret.clone(), &"*".repeat(secret.len()));
            }
        }
        Faults { file: file.to_owned(), source: shown, list }
    }
}

/// Everything that is wrong with one file.
#[derive(Debug, Clone)]
pub struct Faults {
    file: PathBuf,
    /// As the file is, but for its secrets: of the same length, and all stars.
    source: String,
    /// In the order of the file.
    pub list: Vec<Fault>,
}

/// A fault as programs read it.
#[derive(Debug, Serialize)]
pub struct FaultJson<'a> {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub severity: &'static str,
    pub message: &'a str,
    pub advice: &'a str,
}

impl Faults {
    /// The file could not be read at all.
    pub fn unreadable(file: &Path, message: String, advice: &str) -> Self {
        let mut sink = Sink::default();
        sink.fault(0..0, message, advice);
        sink.into_faults(file, "", false)
    }

    /// Line and column of `fault`, both from 1; columns count characters.
    pub fn place(&self, fault: &Fault) -> (usize, usize) {
        let mut at = fault.span.start.min(self.source.len());
        while !self.source.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.source[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// All faults for programs.
    pub fn json(&self) -> Vec<FaultJson<'_>> {
        self.list
            .iter()
            .map(|fault| {
                let (line, column) = self.place(fault);
                FaultJson {
                    file: self.file.display().to_string(),
                    line,
                    column,
                    severity: if fault.warning { "warning" } else { "error" },
                    message: &fault.message,
                    advice: &fault.advice,
                }
            })
            .collect()
    }

    /// All faults for people, each with its line of the file.
    pub fn graphical(&self, colour: bool) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(110).with_links(false);
        let mut text = String::new();
        for fault in &self.list {
            let (line, column) = self.place(fault);
            let place = format!("{}:{line}:{column}", self.file.display());
            let mut diagnostic = MietteDiagnostic::new(format!("{place}: {}", fault.message))
                .with_help(&fault.advice)
                .with_severity(if fault.warning { Severity::Warning } else { Severity::Error });
            if !self.source.is_empty() {
                diagnostic = diagnostic.with_label(LabeledSpan::underline(self.first_line_of(&fault.span)));
            }
            let source = NamedSource::new(self.file.display().to_string(), self.source.clone());
            let report = Report::new(diagnostic).with_source_code(source);
            if handler.render_report(&mut text, report.as_ref()).is_err() {
                text.push_str(&place);
            }
        }
        text
    }

    /// The part of `span` on its first line, so that a table with many keys is marked at its head.
    fn first_line_of(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.min(self.source.len());
        let end = span.end.clamp(start, self.source.len());
        let line = self.source.get(start..end).and_then(|text| text.find('\n')).unwrap_or(end - start);
        start..start + line
    }
}

impl fmt::Display for Faults {
    /// One line a fault: `file:line:column: what; what instead`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.list {
            let (line, column) = self.place(fault);
            let kind = if fault.warning { "warning: " } else { "" };
            writeln!(f, "{}:{line}:{column}: {kind}{}: {}", self.file.display(), fault.message, fault.advice)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
